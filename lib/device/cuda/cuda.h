/* What the files of the CUDA device share, C and .cu alike. Work goes to streams of its own, which do not
 * wait for the default one; the host waits for nothing but sync, download and event_sync.
 *
 * A kernel weft__cuda_<name> is a C function in a .cu file that starts with cuda_on(s), launches on
 * the stream that this gives, and ends with weft__cuda_launched. */
#ifndef DEVICE_CUDA_CUDA_H
#define DEVICE_CUDA_CUDA_H
#include <cuda_runtime_api.h>
#include <weft/sys/device.h>
#ifdef __cplusplus
extern "C" {
#endif
#include "device/device.h"

/* A device's `self`. */
typedef struct weft__cuda {
    int index;           /* among those that the process sees */
    int processors;      /* streaming multiprocessors */
    int major, minor;    /* 9, 0: sm_90 */
    char name[64];       /* "NVIDIA H100 80GB HBM3" */
    char kernel_set[96]; /* the same with what multiplies matrices */
    cudaMemPool_t pool;
    cudaStream_t memory; /* in whose order memory comes and goes */
    struct weft__cuda_imports *imports;
    struct weft__cuda_gemm *gemm; /* what gemm.c keeps; NULL: nothing yet */
} weft__cuda;

/* A stream; `stream.self` is the cudaStream_t. */
typedef struct weft__cuda_stream {
    weft_stream stream; /* the first member */
    cudaStream_t cuda;
    struct weft__cuda_staging *staging; /* pinned memory on the way from and to the host */
    struct weft__cuda_scratches *scratches;
    struct weft__cuda_stream *next;
} weft__cuda_stream;

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

/* Gets ready to multiply matrices, and says by what in kernel_set. Without cuBLASLt the device opens all the
 * same, and gemm says why it fails. */
weft_status weft__cuda_gemm_open(weft_device *d);
void weft__cuda_gemm_close(weft_device *d);

#define CUDA_PROTOTYPE(name) weft_status weft__cuda_##name(WEFT_KERNEL_ARGS(name));
WEFT_KERNEL_LIST(CUDA_PROTOTYPE)
#undef CUDA_PROTOTYPE
extern const weft_kernels weft__cuda_kernels;

#ifdef __cplusplus
}
#endif
#endif
