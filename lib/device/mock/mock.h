/* A CPU that poses as a GPU, so that what goes wrong on one goes wrong here too, on any machine.
 *
 * Memory is one file mapped twice: at the addresses that the host is given, where it may do nothing,
 * and at those where kernels work. Fresh and freed blocks are NaN, and a freed one is kept back for a
 * while. Work waits in the queues of its streams and is run late, on the host's thread: when somebody
 * waits for it, or when the seed says so. Each stream keeps its order; between streams the seed
 * chooses, but for what events say. The kernels are the cpu's. Waits that let a GPU run dry are counted. */
#ifndef DEVICE_MOCK_MOCK_H
#define DEVICE_MOCK_MOCK_H
#include "core/error.h"
#include "device/device.h"

#include <pthread.h>

/* Bytes at `at`, which kernels find at `memory`. */
typedef struct weft__mock_block {
    uintptr_t at;
    size_t bytes, span; /* asked for; up to the next block's room */
    char *memory;
    uint64_t freed; /* when: the smallest is the oldest; 0: it is in use */
} weft__mock_block;

typedef struct weft__mock_blocks {
    weft__mock_block *block; /* ascending */
    size_t n, room;
} weft__mock_blocks;

typedef struct weft__mock_stream weft__mock_stream;
typedef struct weft__mock_graph weft__mock_graph;
typedef weft_status weft__mock_run(weft_stream *s, const void *record);

typedef struct weft__mock {
    pthread_mutex_t mutex; /* guards all of it; held by every call, and may be taken again */
    int index;             /* of the device */
    bool far;              /* nobody gets the address where kernels work */
    size_t size;           /* of its memory */
    uintptr_t base;        /* where the host finds it, and must not look */
    char *memory;          /* where kernels do */
    weft__mock_blocks own, imported;
    size_t used, kept; /* bytes in use, and of freed blocks that are kept back */
    uint64_t frees;
    uint64_t random; /* state of the seed's choices */
    weft__mock_stream *stream;
    uint64_t streams;       /* made so far */
    _Atomic int64_t stalls; /* times that the host waited for the end of a stream */
} weft__mock;

/* A queue of records: what to run, and with what. */
struct weft__mock_stream {
    weft_stream stream;
    weft__mock *mock;
    weft__mock_stream *next;
    uint64_t id;
    char *queue;
    size_t room, head, tail; /* bytes */
    uint64_t put, done;      /* records so far */
    weft_status failed;      /* of a record that ran; told to who waits next */
    char why[WEFT__TEXT];
    weft__mock_graph *graph; /* which is being made */
};

/* What precedes the bytes that a record was asked with. */
typedef struct weft__mock_header {
    weft__mock_run *run;
    size_t bytes; /* of the record, this header included */
} weft__mock_header;

void weft__mock_lock(weft__mock *m);
void weft__mock_unlock(weft__mock *m);

/* memory.c */
weft_status weft__mock_memory_open(weft__mock *m);
void weft__mock_memory_close(weft__mock *m);
weft_status weft__mock_alloc(weft_device *d, size_t bytes, weft_dev *out);
void weft__mock_free(weft_device *d, weft_dev p, size_t bytes);
weft_status weft__mock_import(weft_device *d, void *host, size_t bytes, weft_dev *out);
void weft__mock_unimport(weft_device *d, weft_dev p, size_t bytes);
/* Where kernels find p. NULL if it is in no block, and on a far device but for what was imported. */
void *weft__mock_host(weft_device *d, weft_dev p);
/* Whether it is memory of a far device. */
bool weft__mock_holds(weft_device *d, const void *p);
/* The same as an address for a kernel, 0 for 0. Makes *s WEFT_EHANDLE, naming the kernel and its
 * argument, for what is in no block or in a freed one. */
void weft__mock_reach(weft__mock *m, const char *kernel, const char *argument, weft_dev p,
                      weft_dev *out, weft_status *s);
/* Marks bytes as worth nothing. */
void weft__mock_spoil(void *memory, size_t bytes);

/* queue.c */
weft_status weft__mock_stream_new(weft_device *d, weft_stream **out);
void weft__mock_stream_free(weft_stream *s);
weft_status weft__mock_sync(weft_stream *s);
/* How often the host has waited until a stream had nothing to do: by sync, by download, for an event with
 * nothing behind it. A GPU would idle then until the host has found it other work. */
int64_t weft__mock_stalls(const weft_device *d);
/* Runs all that waits. */
void weft__mock_drain(weft__mock *m);
/* Room for a record at the end of the queue, NULL if there is none. weft__mock_put follows: the record
 * counts if s is 0. @return s, or WEFT_ENOMEM. */
void *weft__mock_begin(weft_stream *stream, size_t bytes);
weft_status weft__mock_put(weft_stream *stream, weft_status s, weft__mock_run *run, size_t bytes);
weft_status weft__mock_event_new(weft_device *d, weft_event **out);
void weft__mock_event_free(weft_event *e);
weft_status weft__mock_event_record(weft_event *e, weft_stream *s);
weft_status weft__mock_event_wait(weft_stream *s, weft_event *e);
weft_status weft__mock_event_sync(weft_event *e);
/* Runs a record if it has not happened. */
weft_status weft__mock_event_done(weft_event *e, bool *done);
/* The next number of the seed's, below n. */
uint64_t weft__mock_random(weft__mock *m, uint64_t n);

/* graphs.c: records that run again and again. */
weft_status weft__mock_graph_begin(weft_stream *s);
weft_status weft__mock_graph_end(weft_stream *s, weft_graph **out);
weft_status weft__mock_graph_launch(weft_stream *s, weft_graph *g);
void weft__mock_graph_free(weft_graph *g);
/* In the place of the queue's, while the stream makes a graph. */
void *weft__mock_graph_room(weft__mock_graph *g, size_t need);
weft_status weft__mock_graph_put(weft__mock_graph *g, weft_status s, weft__mock_run *run,
                                 size_t need);

/* copies.c */
weft_status weft__mock_upload(weft_stream *stream, weft_dev dst, const void *src, size_t bytes);
weft_status weft__mock_download(weft_stream *stream, void *dst, weft_dev src, size_t bytes);
weft_status weft__mock_move(weft_stream *stream, weft_dev dst, weft_dev src, size_t bytes);
weft_status weft__mock_zero(weft_stream *stream, weft_dev dst, size_t bytes);
weft_status weft__mock_discard(weft_stream *stream, weft_dev dst, size_t bytes);

/* kernels.c */
extern const weft_kernels weft__mock_kernels;

/* trap.c: says what it was when the host touches the device's memory. */
void weft__mock_trap(const weft__mock *m);
void weft__mock_untrap(const weft__mock *m);
#endif
