/* A device: memory, streams and kernels. */
#ifndef WEFT_SYS_DEVICE_H
#define WEFT_SYS_DEVICE_H
#include <weft/memory.h>
#include <weft/sys/kernels.h>
WEFT_BEGIN

typedef struct weft_device weft_device;
typedef struct weft_event weft_event;
typedef struct weft_graph weft_graph;

/* What a device is. */
typedef struct weft_device_facts {
    char name[96];     /* "NVIDIA H100 80GB HBM3" */
    int64_t bytes;     /* of its memory; 0: unknown */
    uint64_t identity; /* the same for all processes of a node that see it, whatever its number; 0:
                          unknown */
    char bus[16];      /* its PCI address, "0000:65:00.0"; "": unknown */
} weft_device_facts;

/* Memory and streams. `self` is the device's own. REQUIRED unless marked OPTIONAL. */
typedef struct weft_device_ops {
    size_t size;      /* sizeof(weft_device_ops) */
    const char *name; /* "cpu" */
    /* True: kernels and copies are done when they return, so flags may be read at once. */
    bool immediate;
    /* OPTIONAL, for devices that have numbers: how many this node has. */
    weft_status (*count)(int *n);
    /* OPTIONAL, with count: what number `index` is, without opening it. */
    weft_status (*facts)(int index, weft_device_facts *out);
    weft_status (*open)(weft_device *d, int index, int threads);
    void (*close)(weft_device *d);
    /* 64-byte aligned; bytes may be 0, addresses are distinct. Callers take weft_device_alloc. */
    weft_status (*alloc)(weft_device *d, size_t bytes, weft_dev *out);
    /* What was enqueued before still finds it. */
    void (*free)(weft_device *d, weft_dev p, size_t bytes);
    weft_status (*stream_new)(weft_device *d, weft_stream **out);
    void (*stream_free)(weft_stream *s);
    weft_status (*sync)(weft_stream *s); /* waits for all that was enqueued */
    /* src may change once it returns. */
    weft_status (*upload)(weft_stream *s, weft_dev dst, const void *src, size_t bytes);
    weft_status (*download)(weft_stream *s, void *dst, weft_dev src, size_t bytes); /* waits */
    weft_status (*move)(weft_stream *s, weft_dev dst, weft_dev src, size_t bytes);
    weft_status (*zero)(weft_stream *s, weft_dev dst, size_t bytes);
    /* OPTIONAL. What lies there is worth nothing any more: a device may make it show. */
    weft_status (*discard)(weft_stream *s, weft_dev dst, size_t bytes);
    /* Events: places in a stream. What is enqueued after wait runs after what was enqueued before the
     * event was recorded, on any stream; sync makes the host wait for that. One that was never
     * recorded has happened. */
    weft_status (*event_new)(weft_device *d, weft_event **out);
    void (*event_free)(weft_event *e);
    weft_status (*event_record)(weft_event *e, weft_stream *s);
    weft_status (*event_wait)(weft_stream *s, weft_event *e);
    weft_status (*event_sync)(weft_event *e);
    /* OPTIONAL. The host address of device memory, of all on devices that compute in host memory, of
     * what was imported on others; NULL if there is none. What was enqueued has written there only once it is waited for. */
    void *(*host)(weft_device *d, weft_dev p);
    /* OPTIONAL, both or none. Makes `bytes` of host memory that is somebody else's, the program's or
     * one that processes share, reachable by kernels at *out, until unimport gets what import gave.
     * The same memory may be imported several times over. */
    weft_status (*import)(weft_device *d, void *host, size_t bytes, weft_dev *out);
    void (*unimport)(weft_device *d, weft_dev p, size_t bytes);
    /* OPTIONAL. Whether an address is of memory that alloc gave and the host does not reach. Without
     * it, `host` finds all. */
    bool (*holds)(weft_device *d, const void *p);
    /* OPTIONAL. Describes the GEMM kernels, "BLIS 0.9.0 skx". */
    const char *(*kernel_set)(weft_device *d);
    /* OPTIONAL. Gets ready to multiply matrices of type t. @return why that is slower than this device
     * could, or NULL. */
    const char *(*lacks)(weft_device *d, weft_dtype t);
    const weft_kernels *kernels;
    /* OPTIONAL, all or none: work that is kept and launched as a whole. What is enqueued on a stream between
     * begin and end, kernels, move, zero and discard, does not run: it is the graph, which end gives if
     * all of it could be kept. Launch enqueues it, as often as it is called, on the stream it was made
     * on. A kernel that is asked for while stream->live is set takes its weft_sgd_step, weft_adam_step,
     * weft_rmsprop_step, weft_adagrad_step, weft_dropout_terms or weft_attention_terms from there when it
     * runs: lr, correct1, correct2, seed, stream, step and base differ then, the rest is as given. */
    weft_status (*graph_begin)(weft_stream *s);
    weft_status (*graph_end)(weft_stream *s, weft_graph **out);
    weft_status (*graph_launch)(weft_stream *s, weft_graph *g);
    /* What was launched before still finds it. */
    void (*graph_free)(weft_graph *g);
    bool graph_pays; /* graph=auto is on */
    /* OPTIONAL. @return why it does not multiply in 8 bits (code8, gemm8), or NULL. Without it a device
     * does not. */
    const char *(*no_float8)(weft_device *d);
    /* OPTIONAL, all or none, for a library that moves this device's memory beside its kernels: from
     * bind on, the calling thread's calls of such a library are for d. What goes to an urgent stream,
     * whose `self` the library takes, goes before other work; memory is not kept back for it, and
     * kernels do not go there. event_done says whether event_sync would return at once. sync_all waits
     * for all streams but the urgent ones. */
    void (*bind)(weft_device *d);
    weft_status (*stream_urgent)(weft_device *d, weft_stream **out);
    weft_status (*event_done)(weft_event *e, bool *done);
    weft_status (*sync_all)(weft_device *d);
} weft_device_ops;

struct weft_device {
    const weft_device_ops *ops;
    void *self;
    int index;
    int threads;
    struct weft__ledger *ledger; /* of its memory */
    const char *who; /* asks for memory, in messages: an op, an optimizer; NULL: unknown */
    bool tf32;       /* products of f32 may round what they multiply to TF32, where it has that */
    bool steady;     /* algorithms may not be chosen by time: results are a function of shapes */
    struct weft__graph *graph; /* stands between ops and the device's own; NULL: nothing does */
    int vectors; /* the set of instructions for vectors that kernels may use at most, from 1 on, where
                    the device has several; 0: what there is. Results are the same */
};

struct weft_stream {
    weft_device *device;
    void *self;
    weft_dev live; /* of a graph that is being made; none: structs are as they are given */
};

struct weft_event {
    weft_device *device;
    void *self;
};

struct weft_graph {
    weft_device *device;
    void *self;
};

/* Memory of a device, which weft_memory and the message of a full device tell by kind. Not for what
 * lives within a step: an op's outputs and scratch are in the step's arena.
 * @return 0; WEFT_ENOMEM: what was asked for, by whom, and what is held. */
WEFT_API weft_status weft_device_alloc(weft_device *d, size_t bytes, weft_memory_kind kind,
                                       weft_dev *out);
/* bytes and kind are those it was asked for with. */
WEFT_API void weft_device_free(weft_device *d, weft_dev p, size_t bytes, weft_memory_kind kind);

WEFT_END
#endif
