/* What the files of the CUDA device share, C and .cu alike. Work goes to streams of its own, which do not
 * wait for the default one; the host waits for nothing but sync, download and event_sync.
 *
 * A kernel weft__cuda_<name> is a C function in a .cu file that starts with cuda_on(s), launches on
 * the stream that this gives, and ends with weft__cuda_launched. */
#ifndef DEVICE_CUDA_CUDA_H
#define DEVICE_CUDA_CUDA_H
#include <cuda_runtime_api.h>
#include <pthread.h>
#include <weft/sys/device.h>
#ifdef __cplusplus
extern "C" {
#endif
#include "device/device.h"

typedef struct weft__cuda_stream weft__cuda_stream;

/* A device's `self`. */
typedef struct weft__cuda {
    int index;            /* among those that the process sees */
    int processors;       /* streaming multiprocessors */
    int major, minor;     /* 9, 0: sm_90 */
    size_t total;         /* bytes of its memory */
    char name[64];        /* "NVIDIA H100 80GB HBM3" */
    char kernel_set[96];  /* what multiplies matrices */
    char text[168];       /* both */
    pthread_mutex_t lock; /* of the streams and of the memory's order */
    weft__cuda_stream *streams;
    cudaMemPool_t pool;
    cudaStream_t memory; /* in whose order memory comes and goes */
    cudaEvent_t order;   /* between that and the others */
    struct weft__cuda_imports *imports;
    struct weft__cuda_gemm *gemm; /* what gemm.c keeps; NULL: nothing yet */
    struct weft__cuda_dnn *dnn;   /* what cudnn.c keeps; NULL: nothing yet */
} weft__cuda;

/* A stream; `stream.self` is the cudaStream_t. */
struct weft__cuda_stream {
    weft_stream stream; /* the first member */
    cudaStream_t cuda;
    struct weft__cuda_staging *staging; /* pinned memory on the way from and to the host */
    struct weft__cuda_scratches *scratches;
    bool makes_graph;
    weft__cuda_stream *next;
};

static inline weft__cuda *cuda_of(const weft_device *d)
{
    return (weft__cuda *)d->self;
}

static inline weft__cuda_stream *cuda_stream_of(weft_stream *s)
{
    return (weft__cuda_stream *)(void *)s;
}

/* The calling thread works with the stream's GPU from here on. */
static inline cudaStream_t cuda_on(const weft_stream *s)
{
    cudaSetDevice(cuda_of(s->device)->index);
    return (cudaStream_t)s->self;
}

static inline void *cuda_ptr(weft_dev p)
{
    return (void *)p.addr; /* NOLINT: an address that this device handed out */
}

/* Why `what` failed ("launching relu", "cudaStreamCreate"), as a code with a message that names the
 * GPU: WEFT_ENOMEM for a full one, else WEFT_EDEVICE. WEFT_OK for cudaSuccess. */
weft_status weft__cuda_status(const weft_device *d, const char *what, cudaError_t e);
/* After a launch: what stopped it. */
weft_status weft__cuda_launched(const weft_stream *s, const char *kernel);
/* Memory for the kernels of one call, 256-byte aligned, worth nothing at first: what is enqueued on the
 * stream before unscratch may use it. */
weft_status weft__cuda_scratch(weft_stream *s, size_t bytes, void **out);
void weft__cuda_unscratch(weft_stream *s, void *p);

weft_status weft__cuda_scratch_open(weft__cuda_stream *s);
void weft__cuda_scratch_close(weft__cuda_stream *s);

/* gemm.c */
/* Gets ready to multiply matrices, and says by what in kernel_set. Without cuBLASLt the device opens all the
 * same, and gemm says why it fails. */
weft_status weft__cuda_gemm_open(weft_device *d);
void weft__cuda_gemm_close(weft_device *d);
/* gemm8.c */
const char *weft__cuda_no_float8(weft_device *d);

/* cudnn.c: attention, and its gradient, by cuDNN. @return false: it has no way, nothing was enqueued that
 * counts. */
weft_status weft__cuda_dnn_open(weft_device *d);
void weft__cuda_dnn_close(weft_device *d);
bool weft__cuda_fused(weft_stream *s, const weft_attention_terms *o, weft_dtype dt, weft_dev y,
                      weft_dev lse, weft_dev q, weft_dev k, weft_dev v);
bool weft__cuda_fused_back(weft_stream *s, const weft_attention_terms *o, weft_dtype dt,
                           weft_dev gq, weft_dev gk, weft_dev gv, weft_dev delta, weft_dev gy,
                           weft_dev q, weft_dev k, weft_dev v, weft_dev y, weft_dev lse);

/* memory.c */
weft_status weft__cuda_alloc(weft_device *d, size_t bytes, weft_dev *out);
void weft__cuda_free(weft_device *d, weft_dev p, size_t bytes);
/* What was allocated so far is there for the stream, too. */
weft_status weft__cuda_order_after_memory(weft_device *d, cudaStream_t stream);

/* imports.c */
weft_status weft__cuda_imports_open(weft__cuda *c);
void weft__cuda_imports_close(weft__cuda *c);
weft_status weft__cuda_import(weft_device *d, void *host, size_t bytes, weft_dev *out);
void weft__cuda_unimport(weft_device *d, weft_dev p, size_t bytes);
void *weft__cuda_host(weft_device *d, weft_dev p);
/* How many of the bytes from p on are of one piece; all, if p is in none. */
size_t weft__cuda_together(weft_device *d, const void *p, size_t bytes);

/* streams.c */
weft_status weft__cuda_stream_new(weft_device *d, weft_stream **out);
void weft__cuda_stream_free(weft_stream *s);
weft_status weft__cuda_sync(weft_stream *s);
/* Waits for all streams of the device. */
weft_status weft__cuda_sync_all(weft_device *d);
weft_status weft__cuda_event_new(weft_device *d, weft_event **out);
void weft__cuda_event_free(weft_event *e);
weft_status weft__cuda_event_record(weft_event *e, weft_stream *s);
weft_status weft__cuda_event_wait(weft_stream *s, weft_event *e);
weft_status weft__cuda_event_sync(weft_event *e);
/* For libraries: of the highest priority, and not among those that memory is ordered with. */
weft_status weft__cuda_stream_urgent(weft_device *d, weft_stream **out);
weft_status weft__cuda_event_done(weft_event *e, bool *done);

/* graphs.c */
weft_status weft__cuda_graph_begin(weft_stream *s);
weft_status weft__cuda_graph_end(weft_stream *s, weft_graph **out);
weft_status weft__cuda_graph_launch(weft_stream *s, weft_graph *g);
void weft__cuda_graph_free(weft_graph *g);

/* copies.c */
weft_status weft__cuda_upload(weft_stream *s, weft_dev dst, const void *src, size_t bytes);
weft_status weft__cuda_download(weft_stream *s, void *dst, weft_dev src, size_t bytes);
weft_status weft__cuda_move(weft_stream *s, weft_dev dst, weft_dev src, size_t bytes);
weft_status weft__cuda_zero(weft_stream *s, weft_dev dst, size_t bytes);
weft_status weft__cuda_staging_open(weft__cuda_stream *s);
void weft__cuda_staging_close(weft__cuda_stream *s);

#define CUDA_PROTOTYPE(name) weft_status weft__cuda_##name(WEFT_KERNEL_ARGS(name));
WEFT_KERNEL_COMMON(CUDA_PROTOTYPE)
#undef CUDA_PROTOTYPE
extern const weft_kernels weft__cuda_kernels;

#ifdef __cplusplus
}
#endif
#endif
