/* The CPU's table with other entries in the place of all that computes or copies. */
#include "empty.h"

#include "core/context.h"
#include "device/device.h"

#include <string.h>

#define SMALL 64 /* bytes that are copied: flags, which the library reads */

static int64_t calls;

#define UNUSED_D(name) (void)name;
#define UNUSED_V(type, name) (void)name;
#define UNUSED_A(type, name, count) (void)name;
/* clang-format off */
#define NOTHING(kernel)                                                                            \
    static weft_status nothing_##kernel(WEFT_KERNEL_ARGS(kernel))                                  \
    {                                                                                              \
        (void)s;                                                                                   \
        WEFT_ARGS_##kernel(UNUSED_D, UNUSED_V, UNUSED_A)                                           \
        calls++;                                                                                   \
        return WEFT_OK;                                                                            \
    }
/* clang-format on */
WEFT_KERNEL_LIST(NOTHING)

static const weft_kernels kernels = {
#define ENTRY(name) .name = nothing_##name,
    WEFT_KERNEL_LIST(ENTRY)
#undef ENTRY
};

static void *at(weft_dev p)
{
    return (void *)p.addr; /* NOLINT: an address that the CPU handed out */
}

static weft_status upload(weft_stream *s, weft_dev dst, const void *src, size_t bytes)
{
    (void)s;
    calls++;
    if (bytes && bytes <= SMALL)
        memcpy(at(dst), src, bytes);
    return WEFT_OK;
}

static weft_status download(weft_stream *s, void *dst, weft_dev src, size_t bytes)
{
    (void)s;
    calls++;
    memset(dst, 0, bytes);
    if (bytes && bytes <= SMALL)
        memcpy(dst, at(src), bytes);
    return WEFT_OK;
}

static weft_status move(weft_stream *s, weft_dev dst, weft_dev src, size_t bytes)
{
    (void)s, (void)dst, (void)src, (void)bytes;
    calls++;
    return WEFT_OK;
}

static weft_status zero(weft_stream *s, weft_dev dst, size_t bytes)
{
    (void)s;
    calls++;
    if (bytes && bytes <= SMALL)
        memset(at(dst), 0, bytes);
    return WEFT_OK;
}

static weft_status graph_begin(weft_stream *s)
{
    (void)s;
    return WEFT_OK;
}

static weft_status graph_end(weft_stream *s, weft_graph **out)
{
    static weft_graph graph;
    graph.device = s->device;
    *out = &graph;
    return WEFT_OK;
}

static weft_status graph_launch(weft_stream *s, weft_graph *g)
{
    (void)s, (void)g;
    calls++;
    return WEFT_OK;
}

static void graph_free(weft_graph *g)
{
    (void)g;
}

int64_t bench_empty_calls(void)
{
    return calls;
}

/* Of one fabric at a time. */
static weft_device_ops empty;
static const weft_device_ops *before;

bool bench_empty_begin(weft_fabric *f, bool late, bool graph)
{
    before = f->device->ops;
    empty = *before;
    empty.name = "empty";
    empty.kernels = &kernels;
    empty.upload = upload;
    empty.download = download;
    empty.move = move;
    empty.zero = zero;
    empty.immediate = !late;
    if (graph) {
        empty.graph_begin = graph_begin;
        empty.graph_end = graph_end;
        empty.graph_launch = graph_launch;
        empty.graph_free = graph_free;
    }
    f->device->ops = &empty;
    return !graph || !weft__graph_open(f->device, f->stream);
}

void bench_empty_forget(weft_fabric *f)
{
    weft__graph_close(f->device);
    if (!weft__graph_open(f->device, f->stream))
        weft__graph_step(f->device);
}

void bench_empty_end(weft_fabric *f)
{
    weft__graph_close(f->device);
    f->device->ops = before;
}
