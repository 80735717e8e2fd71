/* The program's memory that a GPU reads beside it. What was copied from there in a step has been read when the event
 * behind that step has happened, which the host waits for at the edge after: the device has had a step more by then. */
#include "core/alloc.h"
#include "device/device.h"
#include "tensor/tensor.h"

#include <string.h>

typedef struct pin {
    const char *from;
    size_t bytes;
    weft_dev at; /* where the device finds it; none: it computes in the host's memory */
} pin;

struct weft__pins {
    pin *pin;
    size_t n, room;
    weft_event *event; /* behind the last step that read */
    bool read, sent;   /* in this step; the event was recorded */
};

/* The one that has a byte of those, or NULL. */
static pin *find(const struct weft__pins *p, const char *from, size_t bytes)
{
    for (size_t i = 0; p && i < p->n; i++)
        if (from < p->pin[i].from + p->pin[i].bytes && p->pin[i].from < from + bytes)
            return &p->pin[i];
    return NULL;
}

weft_dev weft__pin_near(weft_fabric *f, const void *data, size_t bytes)
{
    struct weft__pins *p = f->engine->pins;
    const char *from = data;
    const pin *i = find(p, from, bytes);
    weft_dev at = {0};
    if (i && i->at.addr && from >= i->from && from + bytes <= i->from + i->bytes) {
        at = weft__at(i->at, from - i->from);
        p->read = true;
    }
    return at;
}

weft_status weft__pins_edge(weft_fabric *f)
{
    struct weft__pins *p = f->engine->pins;
    if (!p)
        return WEFT_OK;
    if (p->sent)
        WEFT_TRY(f->device->ops->event_sync(p->event));
    p->sent = p->read;
    p->read = false;
    return p->sent ? f->device->ops->event_record(p->event, f->stream) : WEFT_OK;
}

static weft_status take_in(weft_fabric *f, void *memory, size_t bytes)
{
    weft__engine *e = f->engine;
    const weft_device_ops *d = f->device->ops;
    pin new = {.from = memory, .bytes = bytes};
    if (!e->pins && !(e->pins = weft__new(1, sizeof *e->pins)))
        return WEFT_ENOMEM;
    if (find(e->pins, memory, bytes))
        return weft__fail(WEFT_EARG, "weft_pin_memory: %zu bytes at %p, of which some are pinned",
                          bytes, memory);
    WEFT_TRY(weft__grow(&e->pins->pin, &e->pins->room, e->pins->n + 1, sizeof new));
    if (!d->immediate && d->import) {
        if (!e->pins->event)
            WEFT_TRY(d->event_new(f->device, &e->pins->event));
        const weft_status s = d->import(f->device, memory, bytes, &new.at);
        if (s && s != WEFT_ENOTSUP) /* else it is copied by way of the device's own */
            return s;
    }
    e->pins->pin[e->pins->n++] = new;
    return WEFT_OK;
}

/* A fabric that is closed has no engine to keep them. */
static weft_status closed(weft_fabric *f)
{
    return weft__stick(f, weft__fail(f ? WEFT_ESTATE : WEFT_EARG, "the fabric is not open"));
}

weft_status weft_pin_memory(weft_fabric *f, void *memory, size_t bytes)
{
    if (!f || f->shut || !f->engine)
        return closed(f);
    const weft_status s =
        memory && bytes ? take_in(f, memory, bytes)
                        : weft__fail(WEFT_EARG, "weft_pin_memory: %zu bytes at %p", bytes, memory);
    return s ? weft__stick(f, s) : WEFT_OK;
}

static void let_go(weft_fabric *f, const pin *i)
{
    if (i->at.addr)
        weft__device_unimport(f->device, i->at, i->bytes); /* waits for what reads it */
}

weft_status weft_unpin_memory(weft_fabric *f, void *memory)
{
    if (!f || f->shut || !f->engine)
        return closed(f);
    struct weft__pins *p = f->engine->pins;
    pin *i = find(p, memory, 1);
    if (!i || i->from != memory)
        return weft__stick(
            f, weft__fail(WEFT_EARG, "weft_unpin_memory: nothing is pinned from %p on", memory));
    let_go(f, i);
    *i = p->pin[--p->n];
    return WEFT_OK;
}

void weft__pins_close(weft_fabric *f)
{
    struct weft__pins *p = f->engine->pins;
    if (!p)
        return;
    for (size_t i = 0; i < p->n; i++)
        let_go(f, &p->pin[i]);
    if (p->event)
        f->device->ops->event_free(p->event);
    weft__free(p->pin);
    weft__free(p);
    f->engine->pins = NULL;
}
