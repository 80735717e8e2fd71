/* An NVIDIA GPU as a device: its table, and which GPUs there are. Nothing here makes a context on a GPU
 * but opening it. */
#include "device/cuda/cuda.h"

#include "core/alloc.h"
#include "core/env.h"
#include "core/error.h"
#include "core/hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LEAST 8 /* compute capability that the kernels are compiled for */

static weft_status no_driver(cudaError_t e)
{
    int driver = 0;
    if (cudaDriverGetVersion(&driver) || !driver)
        return weft__fail(WEFT_EDEVICE,
                          "accelerator cuda: this machine has no NVIDIA driver (%s); use "
                          "accelerator=cpu or auto, or install the driver",
                          cudaGetErrorName(e));
    return weft__fail(WEFT_EDEVICE,
                      "accelerator cuda: the NVIDIA driver of this machine is for CUDA %d.%d, this "
                      "build is of CUDA %d.%d (%s); use a newer driver, or accelerator=cpu",
                      driver / 1000, driver % 1000 / 10, CUDART_VERSION / 1000,
                      CUDART_VERSION % 1000 / 10, cudaGetErrorName(e));
}

static weft_status count(int *n)
{
    int there = 0;
    const char *visible = getenv("CUDA_VISIBLE_DEVICES");
    const cudaError_t e = cudaGetDeviceCount(&there);
    if (e != cudaSuccess)
        cudaGetLastError();
    if (e == cudaErrorInsufficientDriver)
        return no_driver(e);
    if (e == cudaErrorNoDevice || (e == cudaSuccess && there == 0))
        return weft__fail(WEFT_EDEVICE,
                          "accelerator cuda: this process sees no GPU (%s%s%s); use "
                          "accelerator=cpu or auto, or start where there is one",
                          cudaGetErrorName(cudaErrorNoDevice),
                          visible ? "; CUDA_VISIBLE_DEVICES is " : "", visible ? visible : "");
    if (e != cudaSuccess)
        return weft__fail(WEFT_EDEVICE, "accelerator cuda: %s (%s)", cudaGetErrorString(e),
                          cudaGetErrorName(e));
    *n = there;
    return WEFT_OK;
}

static weft_status facts(int index, weft_device_facts *out)
{
    struct cudaDeviceProp p;
    const cudaError_t e = cudaGetDeviceProperties(&p, index);
    if (e != cudaSuccess) {
        cudaGetLastError();
        return weft__fail(WEFT_EDEVICE, "device cuda %d: %s (%s)", index, cudaGetErrorString(e),
                          cudaGetErrorName(e));
    }
    *out = (weft_device_facts){.bytes = (int64_t)p.totalGlobalMem};
    snprintf(out->name, sizeof out->name, "%.95s", p.name);
    snprintf(out->bus, sizeof out->bus, "%04x:%02x:%02x.0", (unsigned)p.pciDomainID & 0xffff,
             (unsigned)p.pciBusID & 0xff, (unsigned)p.pciDeviceID & 0xff);
    out->identity = weft__hash(WEFT__HASH, p.uuid.bytes, sizeof p.uuid.bytes) | 1;
    return WEFT_OK;
}

static weft_status describe(weft_device *d, weft__cuda *c)
{
    struct cudaDeviceProp p;
    const cudaError_t e = cudaGetDeviceProperties(&p, c->index);
    WEFT_TRY(weft__cuda_status(d, "cudaGetDeviceProperties", e));
    c->processors = p.multiProcessorCount;
    c->major = p.major;
    c->minor = p.minor;
    c->total = p.totalGlobalMem;
    snprintf(c->name, sizeof c->name, "%.63s", p.name);
    if (c->major < LEAST || !p.memoryPoolsSupported)
        return weft__fail(WEFT_ENOTSUP,
                          "device cuda %d (%s) has compute capability %d.%d%s; it takes %d.0 or "
                          "newer, with memory pools; use accelerator=cpu",
                          c->index, c->name, c->major, c->minor,
                          p.memoryPoolsSupported ? "" : " and no memory pools", LEAST);
    return WEFT_OK;
}

/* Freed memory is kept for what comes next. */
static cudaError_t open_pool(weft__cuda *c)
{
    const struct cudaMemPoolProps props = {
        .allocType = cudaMemAllocationTypePinned,
        .handleTypes = cudaMemHandleTypeNone,
        .location = {.type = cudaMemLocationTypeDevice, .id = c->index}};
    uint64_t all = UINT64_MAX;
    cudaError_t e = cudaMemPoolCreate(&c->pool, &props);
    if (!e)
        e = cudaMemPoolSetAttribute(c->pool, cudaMemPoolAttrReleaseThreshold, &all);
    if (!e)
        e = cudaStreamCreateWithFlags(&c->memory, cudaStreamNonBlocking);
    return e ? e : cudaEventCreateWithFlags(&c->order, cudaEventDisableTiming);
}

static weft_status start(weft_device *d, weft__cuda *c)
{
    int n = 0;
    WEFT_TRY(count(&n));
    if (c->index >= n)
        return weft__fail(WEFT_ECONFIG,
                          "there is no device cuda %d: this process sees %d, numbered from 0",
                          c->index, n);
    WEFT_TRY(weft__cuda_status(d, "cudaSetDevice", cudaSetDevice(c->index)));
    WEFT_TRY(describe(d, c));
    WEFT_TRY(weft__cuda_status(d, "its memory pool", open_pool(c)));
    WEFT_TRY(weft__cuda_imports_open(c));
    WEFT_TRY(weft__cuda_gemm_open(d));
    WEFT_TRY(weft__cuda_dnn_open(d));
    return WEFT_OK;
}

/* What there is of it, from any thread. */
static void close_cuda(weft_device *d)
{
    weft__cuda *c = cuda_of(d);
    if (c->pool)
        cudaSetDevice(c->index);
    weft__cuda_dnn_close(d);
    weft__cuda_gemm_close(d);
    weft__cuda_imports_close(c);
    if (c->order)
        cudaEventDestroy(c->order);
    if (c->memory) {
        cudaStreamSynchronize(c->memory);
        cudaStreamDestroy(c->memory);
    }
    if (c->pool)
        cudaMemPoolDestroy(c->pool);
    pthread_mutex_destroy(&c->lock);
    weft__free(c);
}

static weft_status open_cuda(weft_device *d, int index, int threads)
{
    weft__cuda *c = weft__new(1, sizeof *c);
    (void)threads;
    if (!c)
        return WEFT_ENOMEM;
    c->index = index;
    snprintf(c->name, sizeof c->name, "not open yet");
    pthread_mutex_init(&c->lock, NULL);
    d->self = c;
    const weft_status s = start(d, c);
    if (s)
        close_cuda(d);
    return s;
}

static void bind(weft_device *d)
{
    cudaSetDevice(cuda_of(d)->index);
}

/* Bound first: asking would make a context on GPU 0 in a thread that has none. */
static bool holds(weft_device *d, const void *p)
{
    struct cudaPointerAttributes a = {.type = cudaMemoryTypeUnregistered};
    bind(d);
    if (cudaPointerGetAttributes(&a, p) != cudaSuccess)
        cudaGetLastError();
    return a.type == cudaMemoryTypeDevice && a.device == d->index;
}

static const char *kernel_set(weft_device *d)
{
    weft__cuda *c = cuda_of(d);
    pthread_mutex_lock(&c->lock);
    snprintf(c->text, sizeof c->text, "%s, %s%s", c->name, c->kernel_set, d->tf32 ? ", TF32" : "");
    pthread_mutex_unlock(&c->lock);
    return c->text;
}

const weft_device_ops weft__cuda_device = {
    .size = sizeof(weft_device_ops),
    .name = "cuda",
    .count = count,
    .facts = facts,
    .open = open_cuda,
    .close = close_cuda,
    .alloc = weft__cuda_alloc,
    .free = weft__cuda_free,
    .stream_new = weft__cuda_stream_new,
    .stream_free = weft__cuda_stream_free,
    .sync = weft__cuda_sync,
    .upload = weft__cuda_upload,
    .download = weft__cuda_download,
    .move = weft__cuda_move,
    .zero = weft__cuda_zero,
    .event_new = weft__cuda_event_new,
    .event_free = weft__cuda_event_free,
    .event_record = weft__cuda_event_record,
    .event_wait = weft__cuda_event_wait,
    .event_sync = weft__cuda_event_sync,
    .host = weft__cuda_host,
    .import = weft__cuda_import,
    .unimport = weft__cuda_unimport,
    .holds = holds,
    .graph_begin = weft__cuda_graph_begin,
    .graph_end = weft__cuda_graph_end,
    .graph_launch = weft__cuda_graph_launch,
    .graph_free = weft__cuda_graph_free,
    .graph_pays = true,
    .kernel_set = kernel_set,
    .kernels = &weft__cuda_kernels,
    .no_float8 = weft__cuda_no_float8,
    .bind = bind,
    .stream_urgent = weft__cuda_stream_urgent,
    .event_done = weft__cuda_event_done,
    .sync_all = weft__cuda_sync_all,
};
