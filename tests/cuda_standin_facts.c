/* The stand-in: what there is, errors, and kernels, which do nothing. */
#include "cuda_standin.h"

#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

standin cuda;
_Thread_local int standin_current;
static _Thread_local cudaError_t last;

void standin_reset(int devices)
{
    cuda = (standin){.devices = devices, .driver = 13000, .room = (size_t)64 << 20};
    standin_current = 0;
    last = cudaSuccess;
}

cudaError_t standin_give(cudaError_t e)
{
    last = e ? e : last;
    return e;
}

cudaError_t cudaGetLastError(void)
{
    const cudaError_t e = last;
    last = cudaSuccess;
    return e;
}

const char *cudaGetErrorName(cudaError_t e)
{
    return e == cudaErrorInsufficientDriver   ? "cudaErrorInsufficientDriver"
           : e == cudaErrorNoDevice           ? "cudaErrorNoDevice"
           : e == cudaErrorMemoryAllocation   ? "cudaErrorMemoryAllocation"
           : e == cudaErrorDevicesUnavailable ? "cudaErrorDevicesUnavailable"
                                              : "an error";
}

const char *cudaGetErrorString(cudaError_t e)
{
    return cudaGetErrorName(e);
}

cudaError_t cudaDriverGetVersion(int *version)
{
    *version = cuda.driver;
    return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int *n)
{
    *n = cuda.count ? 0 : cuda.devices;
    return standin_give(cuda.count);
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *p, int device)
{
    if (device < 0 || device >= cuda.devices)
        return standin_give(cudaErrorInvalidDevice);
    memset(p, 0, sizeof *p);
    snprintf(p->name, sizeof p->name, "Stand-in %d", device);
    p->uuid.bytes[0] = (char)(device + 1);
    p->totalGlobalMem = cuda.room;
    p->major = 9;
    p->memoryPoolsSupported = 1;
    p->multiProcessorCount = 4;
    p->pciBusID = cuda.bus[device] ? cuda.bus[device] : device + 1;
    return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attr, int device)
{
    *value = attr == cudaDevAttrCanUseHostPointerForRegisteredMem && device < cuda.devices;
    return cudaSuccess;
}

/* From CUDA 12 on this alone makes a context. */
cudaError_t cudaSetDevice(int device)
{
    if (device < 0 || device >= cuda.devices)
        return standin_give(cudaErrorInvalidDevice);
    standin_current = device;
    cuda.contexts |= 1u << device;
    return cudaSuccess;
}

/* No graphs. */

cudaError_t cudaStreamBeginCapture(cudaStream_t s, enum cudaStreamCaptureMode mode)
{
    return standin_give(s && mode >= 0 ? cudaErrorNotSupported : cudaErrorInvalidValue);
}

cudaError_t cudaStreamEndCapture(cudaStream_t s, cudaGraph_t *out)
{
    *out = NULL;
    return standin_give(s ? cudaErrorNotSupported : cudaErrorInvalidValue);
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *out, cudaGraph_t g, unsigned long long flags)
{
    *out = NULL;
    return standin_give(g || flags ? cudaErrorNotSupported : cudaErrorInvalidValue);
}

cudaError_t cudaGraphUpload(cudaGraphExec_t g, cudaStream_t s)
{
    return standin_give(g && s ? cudaErrorNotSupported : cudaErrorInvalidValue);
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t g, cudaStream_t s)
{
    return standin_give(g && s ? cudaErrorNotSupported : cudaErrorInvalidValue);
}

cudaError_t cudaGraphDestroy(cudaGraph_t g)
{
    return standin_give(g ? cudaErrorNotSupported : cudaErrorInvalidValue);
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t g)
{
    return standin_give(g ? cudaErrorNotSupported : cudaErrorInvalidValue);
}

/* What code that nvcc compiled calls. */

static struct {
    dim3 grid, block;
    size_t shared;
    void *stream;
} configuration;

void **__cudaRegisterFatBinary(void *binary);
void __cudaRegisterFatBinaryEnd(void **handle);
void __cudaUnregisterFatBinary(void **handle);
void __cudaRegisterFunction(void **handle, const char *host, char *device, const char *name,
                            int limit, void *tid, void *bid, void *block, void *grid, int *warps);
unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t shared, void *stream);
cudaError_t __cudaPopCallConfiguration(dim3 *grid, dim3 *block, size_t *shared, void *stream);
cudaError_t __cudaGetKernel(void **out, const void *host);
cudaError_t __cudaLaunchKernel(void *kernel, dim3 grid, dim3 block, void **args, size_t shared,
                               cudaStream_t stream);

void **__cudaRegisterFatBinary(void *binary)
{
    static void *handle;
    handle = binary;
    return &handle;
}

void __cudaRegisterFatBinaryEnd(void **handle)
{
    (void)handle;
}

void __cudaUnregisterFatBinary(void **handle)
{
    (void)handle;
}

void __cudaRegisterFunction(void **handle, const char *host, char *device, const char *name,
                            int limit, void *tid, void *bid, void *block, void *grid, int *warps)
{
    (void)handle, (void)host, (void)device, (void)name, (void)limit, (void)tid, (void)bid;
    (void)block, (void)grid, (void)warps;
}

cudaError_t cudaFuncSetAttribute(const void *kernel, enum cudaFuncAttribute attribute, int value)
{
    (void)kernel, (void)attribute, (void)value;
    return cudaSuccess;
}

unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t shared, void *stream)
{
    configuration.grid = grid;
    configuration.block = block;
    configuration.shared = shared;
    configuration.stream = stream;
    return 0;
}

cudaError_t __cudaPopCallConfiguration(dim3 *grid, dim3 *block, size_t *shared, void *stream)
{
    *grid = configuration.grid;
    *block = configuration.block;
    *shared = configuration.shared;
    *(void **)stream = configuration.stream;
    return cudaSuccess;
}

cudaError_t __cudaGetKernel(void **out, const void *host)
{
    *out = (void *)(uintptr_t)host;
    return cudaSuccess;
}

cudaError_t __cudaLaunchKernel(void *kernel, dim3 grid, dim3 block, void **args, size_t shared,
                               cudaStream_t stream)
{
    (void)args;
    cuda.plain += !stream;
    cuda.launches++;
    return standin_give(kernel && grid.x && block.x && shared < (size_t)1 << 20
                            ? cudaSuccess
                            : cudaErrorInvalidValue);
}

/* Libraries that would look for a GPU of their own are not there. */
void *dlopen(const char *name, int flags)
{
    void *(*next)(const char *, int);
    *(void **)&next = dlsym(RTLD_NEXT, "dlopen");
    return name && (strstr(name, "cublas") || strstr(name, "cudnn")) ? NULL : next(name, flags);
}
