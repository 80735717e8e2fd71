/* The CPU as a device: host memory, streams on which everything is done at once, kernels on OpenMP
 * threads and BLIS. */
#include "device/cpu/cpu.h"

#include "core/alloc.h"

#include <string.h>

#define PAGE 4096
#define CLEARING 256 /* element operations that a page is worth */

static weft_status cpu_open(weft_device *d, int index, int threads)
{
    (void)d, (void)threads, (void)index; /* all local ranks compute on the same one */
    return weft__cpu_choose_kernels();
}

static void cpu_close(weft_device *d)
{
    (void)d;
}

static void clear(const void *at, int64_t lo, int64_t hi)
{
    memset(*(char *const *)at + lo, 0, (size_t)(hi - lo));
}

/* Threads touch first what they will compute on: like shares of an array. */
static weft_status cpu_alloc(weft_device *d, size_t bytes, weft_dev *out)
{
    char *p = weft__claim(bytes);
    if (!p)
        return WEFT_ENOMEM;
    weft__cpu_pieces(clear, &p, (int64_t)bytes, PAGE,
                     weft__cpu_team(d, (double)bytes / PAGE * CLEARING));
    out->addr = (uintptr_t)p;
    return WEFT_OK;
}

static void cpu_free(weft_device *d, weft_dev p, size_t bytes)
{
    (void)d;
    (void)bytes;
    weft__free(cpu_ptr(p));
}

static weft_status stream_new(weft_device *d, weft_stream **out)
{
    weft_stream *s = weft__new(1, sizeof *s);
    if (!s)
        return WEFT_ENOMEM;
    s->device = d;
    *out = s;
    return WEFT_OK;
}

static void stream_free(weft_stream *s)
{
    weft__free(s);
}

static weft_status sync_stream(weft_stream *s)
{
    (void)s;
    return WEFT_OK;
}

/* Copies of nothing may come with null addresses, which memcpy does not take. */
static weft_status bytes_to(void *dst, const void *src, size_t bytes)
{
    if (bytes)
        memmove(dst, src, bytes);
    return WEFT_OK;
}

static weft_status upload(weft_stream *s, weft_dev dst, const void *src, size_t bytes)
{
    (void)s;
    return bytes_to(cpu_ptr(dst), src, bytes);
}

static weft_status download(weft_stream *s, void *dst, weft_dev src, size_t bytes)
{
    (void)s;
    return bytes_to(dst, cpu_ptr(src), bytes);
}

static weft_status move(weft_stream *s, weft_dev dst, weft_dev src, size_t bytes)
{
    (void)s;
    return bytes_to(cpu_ptr(dst), cpu_ptr(src), bytes);
}

static weft_status zero(weft_stream *s, weft_dev dst, size_t bytes)
{
    (void)s;
    if (bytes)
        memset(cpu_ptr(dst), 0, bytes);
    return WEFT_OK;
}

static weft_status event_new(weft_device *d, weft_event **out)
{
    weft_event *e = weft__new(1, sizeof *e);
    if (!e)
        return WEFT_ENOMEM;
    e->device = d;
    *out = e;
    return WEFT_OK;
}

static void event_free(weft_event *e)
{
    weft__free(e);
}

static weft_status event_record(weft_event *e, weft_stream *s)
{
    (void)e, (void)s; /* all that was enqueued is done */
    return WEFT_OK;
}

static weft_status event_wait(weft_stream *s, weft_event *e)
{
    return event_record(e, s);
}

static weft_status event_sync(weft_event *e)
{
    (void)e;
    return WEFT_OK;
}

static void *host(weft_device *d, weft_dev p)
{
    (void)d;
    return cpu_ptr(p);
}

static weft_status import_memory(weft_device *d, void *host_memory, size_t bytes, weft_dev *out)
{
    (void)d, (void)bytes;
    out->addr = (uintptr_t)host_memory;
    return WEFT_OK;
}

static void unimport_memory(weft_device *d, weft_dev p, size_t bytes)
{
    (void)d, (void)p, (void)bytes;
}

static const weft_kernels kernels = {
#define ENTRY(name) .name = weft__cpu_##name,
    WEFT_KERNEL_LIST(ENTRY)
#undef ENTRY
};

const weft_device_ops weft__cpu = {
    .size = sizeof(weft_device_ops),
    .name = "cpu",
    .immediate = true,
    .open = cpu_open,
    .close = cpu_close,
    .alloc = cpu_alloc,
    .free = cpu_free,
    .stream_new = stream_new,
    .stream_free = stream_free,
    .sync = sync_stream,
    .upload = upload,
    .download = download,
    .move = move,
    .zero = zero,
    .event_new = event_new,
    .event_free = event_free,
    .event_record = event_record,
    .event_wait = event_wait,
    .event_sync = event_sync,
    .host = host,
    .import = import_memory,
    .unimport = unimport_memory,
    .kernel_set = weft__cpu_kernel_set,
    .lacks = weft__cpu_lacks,
    .kernels = &kernels,
};
