/* Slots and tokens. A slot's generation grows whenever its tenant dies, so that old tokens stay stale. */
#include "tensor/tensor.h"

#include "core/alloc.h"
#include "core/process.h"
#include "device/device.h"

_Static_assert(sizeof(void *) == 8, "tokens need 64-bit pointers");

static weft_tensor *token(const weft__engine *e, uint32_t slot, uint32_t generation)
{
    uint64_t bits = (uint64_t)(e->id + 1) << 56 | (uint64_t)slot << 32 | generation;
    return (weft_tensor *)(uintptr_t)bits;
}

weft_status weft__engine_open(weft_fabric *f)
{
    weft__engine *e = weft__new(1, sizeof *e);
    if (!e)
        return WEFT_ENOMEM;
    f->engine = e;
    e->edge = 1;
    e->id = weft__process_enter(f, &e->first_generation);
    if (e->id < 0)
        return weft__fail(WEFT_ENOMEM, "more than %d fabrics are open in this process; close some",
                          WEFT__FABRICS);
    return WEFT_OK;
}

/* Whether a tensor's memory is its own, or the device's for its sake. */
static bool holds(const weft__tensor *t)
{
    return t->owned || t->imported;
}

static void let_go(const weft_fabric *f, const weft__tensor *t)
{
    if (t->owned)
        weft_device_free(f->device, t->view.data, t->owned, WEFT_MEMORY_DATA);
    if (t->imported)
        weft__device_unimport(f->device, t->view.data, t->imported);
}

void weft__engine_close(weft_fabric *f)
{
    weft__engine *e = f->engine;
    if (!e)
        return;
    uint32_t highest = e->first_generation;
    for (size_t i = 0; i < e->slots; i++) {
        weft__tensor *t = weft__slot_at(e, i);
        if (t->live)
            let_go(f, t);
        if (t->generation >= highest)
            highest = t->generation + 1;
    }
    weft__arena_close(f);
    weft__late_close(f);
    weft__pins_close(f);
    weft__process_leave(e->id, highest);
    for (size_t i = 0; i < e->pages && e->page[i]; i++)
        weft__free(e->page[i]);
    weft__free(e->page);
    weft__free(e->spare);
    weft__free(e->made);
    weft__free(e);
    f->engine = NULL;
}

weft_status weft__engine_edge(weft_fabric *f)
{
    weft__engine_rewind(f, (weft__mark){0});
    f->engine->edge++;
    WEFT_TRY(weft__pins_edge(f));
    return weft__arena_edge(f);
}

static void retire(weft_fabric *f, uint32_t slot, weft__tensor *t)
{
    weft__engine *e = f->engine;
    if (holds(t))
        let_go(f, t);
    t->live = false;
    t->generation++;
    e->spare[e->spares++] = slot; /* room was made when the slot was */
}

/* Tensors made since the mark are stale from now on. */
static void forget(weft_fabric *f, size_t made)
{
    weft__engine *e = f->engine;
    size_t kept = made;
    for (size_t i = made; i < e->nmade; i++) {
        weft__tensor *t = weft__slot_at(e, e->made[i]);
        if (!t->live || !t->step)
            continue;
        if (made && holds(t)) /* the tape before the mark may need it */
            e->made[kept++] = e->made[i];
        else
            retire(f, e->made[i], t);
    }
    e->nmade = kept;
}

void weft__engine_rewind(weft_fabric *f, weft__mark mark)
{
    forget(f, mark.made);
    weft__arena_cut(f, mark, mark.chunk, mark.used);
}

void weft__count_copy(weft_fabric *f, const weft_view *v)
{
    f->engine->copies += v->numel > 0;
    f->engine->copied_bytes += (int64_t)weft__view_bytes(v);
}

/* The chunk, from the mark on, that has the address; chunks: none, it lies elsewhere. */
static size_t chunk_of(const weft__engine *e, weft__mark mark, weft_dev p)
{
    for (size_t i = mark.chunk; i < e->chunks; i++) {
        const weft__chunk *c = &e->chunk[i];
        const uint64_t from = c->data.addr + (i == mark.chunk ? mark.used : 0);
        if (p.addr >= from && p.addr < c->data.addr + c->used)
            return i;
    }
    return e->chunks;
}

weft_status weft__engine_keep(weft_fabric *f, weft__mark mark, weft_view *v)
{
    weft__engine *e = f->engine;
    const size_t found = chunk_of(e, mark, v->data);
    if (found < e->chunks)
        WEFT_TRY(weft__view_packed(f, v, v));
    const size_t at = found < e->chunks ? chunk_of(e, mark, v->data) : found;
    forget(f, mark.made);
    if (at == e->chunks) {
        weft__engine_rewind(f, mark);
        return WEFT_OK;
    }
    const size_t bytes = weft__view_bytes(v), room = weft__arena_room(bytes);
    weft__chunk *c = &e->chunk[at];
    const size_t low = at == mark.chunk ? mark.used : 0, from = v->data.addr - c->data.addr;
    size_t end = from + room; /* it stays, */
    if (low + room <= from) { /* unless it can move down without lying on itself */
        WEFT_TRY(f->device->ops->move(f->stream, weft__at(c->data, (int64_t)low), v->data, bytes));
        v->data = weft__at(c->data, (int64_t)low);
        end = low + room;
    }
    weft__arena_cut(f, mark, at, end);
    return WEFT_OK;
}

static weft_status add_page(weft__engine *e)
{
    weft__tensor *page;
    size_t n = e->slots / WEFT__PAGE;
    if (e->slots + WEFT__PAGE > (size_t)1 << 24)
        return weft__fail(WEFT_ENOMEM, "more than 16 million tensors are alive; release some");
    WEFT_TRY(weft__grow(&e->page, &e->pages, n + 1, sizeof *e->page));
    WEFT_TRY(weft__grow(&e->spare, &e->spare_room, e->slots + WEFT__PAGE, sizeof *e->spare));
    if (!(page = weft__new(WEFT__PAGE, sizeof *page)))
        return WEFT_ENOMEM;
    e->page[n] = page;
    for (uint32_t i = 0; i < WEFT__PAGE; i++) {
        page[i].generation = e->first_generation;
        e->spare[e->spares++] = (uint32_t)(e->slots + WEFT__PAGE - 1 - i);
    }
    e->slots += WEFT__PAGE;
    return WEFT_OK;
}

static weft_status take(weft__engine *e, bool step, uint32_t *slot)
{
    if (!e->spares)
        WEFT_TRY(add_page(e));
    if (step)
        WEFT_TRY(weft__grow(&e->made, &e->made_room, e->nmade + 1, sizeof *e->made));
    *slot = e->spare[--e->spares];
    if (step)
        e->made[e->nmade++] = *slot;
    return WEFT_OK;
}

/* All but the generation, one by one: a whole struct of zeros would be a string instruction, which takes
 * longer than the rest of an op. */
static void begin(weft__tensor *t, const weft_view *v, bool step)
{
    t->live = true;
    t->step = step;
    t->wants_grad = t->derived = t->leaf_blank = false;
    weft__view_copy(&t->view, v);
    t->rows = (weft__rows){0};
    t->reduction = WEFT__NONE;
    t->weight.addr = t->leaf_grad.addr = 0;
    t->node = -1;
    t->result = 0;
    t->leaf_edge = 0;
    t->owned = t->imported = 0;
    t->segment = NULL;
    t->changed = NULL;
}

weft_tensor *weft__tensor_new(weft_fabric *f, const weft_view *v, bool step, weft__tensor **slot)
{
    uint32_t i;
    weft_status s = take(f->engine, step, &i);
    if (s) {
        weft__stick(f, s);
        return NULL;
    }
    weft__tensor *t = weft__slot_at(f->engine, i);
    begin(t, v, step);
    if (slot)
        *slot = t;
    return token(f->engine, i, t->generation);
}

/* *home: the fabric it names, NULL if that is not open. */
static weft__tensor *find(weft_tensor *t, weft_fabric **home)
{
    *home = weft__process_fabric((int)((uint64_t)(uintptr_t)t >> 56) - 1);
    return *home && (*home)->engine ? weft__tensor_here(*home, t) : NULL;
}

bool weft_is_valid(weft_tensor *t)
{
    weft_fabric *home;
    return find(t, &home) != NULL;
}

weft__tensor *weft__tensor_for(const char *who, weft_tensor *t, weft_fabric **f)
{
    weft_fabric *home;
    weft__tensor *x = find(t, &home);
    if (f && home)
        *f = home;
    if (x || !t)
        return x;
    weft__fail(WEFT_EHANDLE,
               "%s%sa tensor handle is stale: tensors made by ops live until the step's edge "
               "(weft_next or weft_step_end); weft_retain keeps one",
               who ? who : "", who ? ": " : "");
    if (home)
        weft__stick(home, WEFT_EHANDLE);
    return NULL;
}

weft_fabric *weft__fabric_of(const char *who, weft_tensor *t)
{
    weft_fabric *home = weft__process_fabric((int)((uint64_t)(uintptr_t)t >> 56) - 1);
    if (!home && t)
        weft__tensor_for(who, t, NULL);
    return home;
}

weft__tensor *weft__tensor_at(weft_tensor *t, weft_fabric **f)
{
    return weft__tensor_for(NULL, t, f);
}

void weft__tensor_free(weft_fabric *f, weft_tensor *t)
{
    weft__engine *e = f->engine;
    uint32_t slot = (uint32_t)((uint64_t)(uintptr_t)t >> 32 & 0xFFFFFF);
    weft__tensor *x = weft__tensor_at(t, NULL);
    if (!x)
        return;
    if (!holds(x)) {
        retire(f, slot, x);
    } else if (!weft__grow(&e->made, &e->made_room, e->nmade + 1, sizeof *e->made)) {
        /* views and the tape may still need its memory: the handle goes now, the rest at the edge */
        x->generation++;
        x->step = true;
        e->made[e->nmade++] = slot;
    }
}

void weft__set_rows(weft_tensor *t, const weft__rows *rows)
{
    weft__tensor *x = weft__tensor_at(t, NULL);
    if (x)
        x->rows = *rows;
}

weft_status weft__weight_of(weft_fabric *f, const weft__tensor *t, double *weight)
{
    *weight = t->rows.batch ? (double)t->rows.local : 0;
    if (!t->weight.addr)
        return WEFT_OK;
    WEFT_TRY(f->device->ops->download(f->stream, weight, t->weight, sizeof *weight));
    return weft__late_read(f);
}
