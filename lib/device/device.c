/* Devices by name, and what all of them have in common. */
#include "device/device.h"

#include "config.h"

#include "core/alloc.h"
#include "core/env.h"
#include "core/error.h"

#ifdef HAVE_CUDA
#define CUDA &weft__cuda_device
#else
#define CUDA NULL
#endif

/* The accelerators by name. Without a table: known, but not in this build. */
static const struct {
    const char *name;
    const weft_device_ops *ops;
} accelerator[] = {{"auto", &weft__cpu}, {"cpu", &weft__cpu}, {"mock", &weft__mock_device},
                   {"gpu", CUDA},        {"cuda", CUDA},      {"mps", NULL},
                   {"tpu", NULL}};
#define ACCELERATORS ((int)(sizeof accelerator / sizeof accelerator[0]))

/* What "auto" takes where this machine has one; the first that it has, else the cpu. */
static const weft_device_ops *const preferred[] = {CUDA, NULL};

/* The entries that no table may lack. */
/* clang-format off */
#define REQUIRED(E) \
    E(name) E(open) E(close) E(alloc) E(free) E(stream_new) E(stream_free) \
    E(sync) E(upload) E(download) E(move) E(zero) E(event_new) E(event_free) E(event_record) \
    E(event_wait) E(event_sync) E(kernels)
/* clang-format on */

static weft_status complete(const weft_device_ops *ops)
{
    const char *lacks = NULL;
    if (ops->size < sizeof *ops)
        return weft__fail(WEFT_EARG,
                          "a device's table has size %zu, this version's is %zu; set .size = "
                          "sizeof(weft_device_ops) and compile against this version",
                          ops->size, sizeof *ops);
#define CHECK(entry) lacks = ops->entry ? lacks : #entry;
    REQUIRED(CHECK)
#undef CHECK
    if (lacks)
        return weft__fail(WEFT_EARG, "the table of device %s lacks its required entry %s",
                          ops->name ? ops->name : "(no name)", lacks);
    if (!ops->import != !ops->unimport)
        return weft__fail(WEFT_EARG, "the table of device %s has only one of import and unimport",
                          ops->name);
    const int graph =
        !!ops->graph_begin + !!ops->graph_end + !!ops->graph_launch + !!ops->graph_free;
    if (graph % 4)
        return weft__fail(WEFT_EARG,
                          "the table of device %s has %d of graph_begin, graph_end, graph_launch "
                          "and graph_free; it takes all or none",
                          ops->name, graph);
    if (!ops->bind != !ops->stream_urgent || !ops->bind != !ops->event_done ||
        !ops->bind != !ops->sync_all)
        return weft__fail(WEFT_EARG,
                          "the table of device %s has only some of bind, stream_urgent, event_done "
                          "and sync_all",
                          ops->name);
    return WEFT_OK;
}

static const weft_device_ops *automatic(void)
{
    int n = 0;
    for (int i = 0; preferred[i]; i++)
        if (!preferred[i]->count(&n) && n > 0)
            return preferred[i];
    return accelerator[0].ops;
}

weft_status weft__device_find(const char *name, const weft_device_ops **ops)
{
    const char *word[ACCELERATORS];
    int i;
    for (i = 0; i < ACCELERATORS; i++)
        word[i] = accelerator[i].name;
    i = weft__parse_choice("accelerator", name ? name : "auto", word, ACCELERATORS);
    if (i < 0)
        return WEFT_EARG;
    if (!accelerator[i].ops)
        return weft__fail(WEFT_ENOTSUP,
                          "accelerator \"%s\" is not in this build; use accelerator=cpu or auto "
                          "(mock is a cpu that poses as a GPU, for tests)",
                          accelerator[i].name);
    *ops = i ? accelerator[i].ops : automatic();
    return WEFT_OK;
}

weft_status weft__device_open(weft_device **out, const char *name, int index, int threads)
{
    const weft_device_ops *ops;
    WEFT_TRY(weft__device_find(name, &ops));
    return weft__device_open_ops(out, ops, index, threads);
}

weft_status weft__device_open_ops(weft_device **out, const weft_device_ops *ops, int index,
                                  int threads)
{
    weft_device *d;
    weft_status s;
    WEFT_TRY(complete(ops));
    if (index < 0 || threads < 1)
        return weft__fail(WEFT_EARG,
                          "device %s was asked for with index %d and %d threads; an index counts "
                          "from 0, threads from 1",
                          ops->name, index, threads);
    if (!(d = weft__new(1, sizeof *d)))
        return WEFT_ENOMEM;
    d->ops = ops;
    d->index = index;
    d->threads = threads;
    s = weft__ledger_open(d);
    if (s || (s = ops->open(d, index, threads)) < 0) {
        weft__free(d->ledger);
        weft__free(d);
        return s;
    }
    *out = d;
    return WEFT_OK;
}

void weft__device_close(weft_device *d)
{
    if (!d)
        return;
    d->ops->close(d);
    weft__free(d->ledger);
    weft__free(d);
}

void *weft__device_host(weft_device *d, weft_dev p)
{
    return d->ops->host ? d->ops->host(d, p) : NULL;
}

weft_status weft__device_import(weft_device *d, void *host, size_t bytes, weft_dev *out)
{
    return d->ops->import ? d->ops->import(d, host, bytes, out)
                          : weft__fail(WEFT_ENOTSUP, "device %s does not compute in host memory",
                                       d->ops->name);
}

void weft__device_unimport(weft_device *d, weft_dev p, size_t bytes)
{
    if (d->ops->unimport)
        d->ops->unimport(d, p, bytes);
}

weft_status weft__no_kernel(weft_device *d, const char *kernel, weft_dtype t)
{
    return weft__fail(WEFT_ENOTSUP, "device %s has no kernel %s for %s; cast to f32 or f64 first",
                      d->ops->name, kernel, weft_dtype_name(t));
}
