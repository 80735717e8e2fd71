/* Windows: memory of the device's that all ranks see, in which gradients are reduced where they are. */
#include "comm/shm_self.h"

#include "core/alloc.h"
#include "core/error.h"
#include "device/device.h"

static bool holds(const weft__window *w, uintptr_t base, uintptr_t at)
{
    return at >= base && at - base < w->memory.each;
}

static char *part(const weft__window *w)
{
    return weft__shared_of(&w->memory, w->memory.rank);
}

weft__place weft__shm_place(const weft__shm *s, const void *p)
{
    for (size_t i = 0; i < s->windows; i++) {
        const weft__window *w = &s->window[i];
        if (holds(w, (uintptr_t)part(w), (uintptr_t)p))
            return (weft__place){w->id, (uintptr_t)p - (uintptr_t)part(w)};
    }
    return (weft__place){0};
}

char *weft__shm_buffer(const weft__shm *s, int q)
{
    weft__place at = weft__slot_of(s, q)->place;
    size_t i = 0;
    while (s->window[i].id != at.window)
        i++;
    return (char *)weft__shared_of(&s->window[i].memory, q) + at.offset;
}

/* NULL if p is in none. */
static weft__window *find(const weft__shm *s, weft_dev p)
{
    for (size_t i = 0; i < s->windows; i++)
        if (holds(&s->window[i], s->window[i].dev.addr, p.addr))
            return &s->window[i];
    return NULL;
}

/* A device that cannot import has its own memory reduced as any other is. */
weft_status weft__shm_alloc(weft_comm *c, weft_device *d, size_t bytes, weft_dev *out)
{
    weft__shm *s = c->self;
    weft__window w = {.id = s->made + 1, .device = d};
    if (!d->ops->import)
        return d->ops->alloc(d, bytes, out);
    weft_status rc = weft__grow(&s->window, &s->room, s->windows + 1, sizeof *s->window);
    WEFT_TRY(weft__agree(c, "shared memory", rc, ""));
    WEFT_TRY(weft__shared_new(c, bytes, "what is reduced", &w.memory));
    rc = weft__device_import(d, part(&w), w.memory.each, &w.dev);
    rc = weft__agree(c, "shared memory", rc, "");
    if (rc) {
        if (w.dev.addr)
            weft__device_unimport(d, w.dev, w.memory.each);
        weft__shared_free(&w.memory);
        return rc;
    }
    s->made = w.id;
    s->window[s->windows++] = w;
    *out = w.dev;
    return WEFT_OK;
}

void weft__shm_release(weft_comm *c, weft_device *d, weft_dev p, size_t bytes)
{
    weft__shm *s = c->self;
    weft__window *w = find(s, p);
    if (!w) {
        d->ops->free(d, p, bytes);
        return;
    }
    weft__device_unimport(d, w->dev, w->memory.each);
    weft__shared_free(&w->memory);
    *w = s->window[--s->windows];
}

void *weft__shm_reach(weft_comm *c, weft_device *d, weft_dev p)
{
    const weft__window *w = find(c->self, p);
    return w ? part(w) + (p.addr - w->dev.addr) : weft__device_host(d, p);
}
