/* Tensors: tokens, slots, and the step's arena. */
#ifndef TENSOR_TENSOR_H
#define TENSOR_TENSOR_H
#include "core/context.h"
#include "core/shape.h"

#include <stddef.h>
#include <string.h>
#include <weft/sys/op.h>

/* The rows of a batch that a tensor was derived from. */
typedef struct weft__rows {
    bool batch;         /* derived from a batch, even if local is 0 */
    int dim;            /* along which its rows lie */
    int64_t base;       /* global row of the first one, over the whole run */
    int64_t local;      /* this rank's rows */
    int64_t global;     /* of all ranks; 0: not known yet */
    const int64_t *ids; /* data set index of each local row, or NULL; borrowed for the step */
} weft__rows;

/* How a tensor stands to its batch: rows of it, their mean, their sum, or what only this rank's rows
 * decide. */
typedef enum weft__reduction { WEFT__NONE, WEFT__MEAN, WEFT__SUM, WEFT__LOCAL } weft__reduction;

typedef struct weft__tensor {
    uint32_t generation;
    bool live;
    bool step;       /* dies at the edge */
    bool wants_grad; /* a gradient flows to it or through it */
    bool derived;    /* made from a result of weft_grad, whose own gradient is not recorded */
    struct weft__segment *segment; /* it is this parameter */
    int64_t node;                  /* of the tape that made it, -1: none */
    int result;                    /* of that node: 0 is its out, i is saved[i - 1] */
    weft__reduction reduction;
    weft_dev weight; /* f64: what a mean was divided by; none: the rows */
    weft_view view;
    weft__rows rows;
    weft_dev leaf_grad; /* of a leaf with weft_require_grad, */
    uint64_t leaf_edge; /* which is good until this edge has passed; 0: none yet */
    bool leaf_blank;    /* there is only room for it */
    size_t owned;       /* bytes of view.data that die with it, 0: someone else's */
    size_t imported;    /* bytes of view.data that are the program's own */
    uint64_t *changed;  /* what is written to a parameter is noted here */
} weft__tensor;

typedef struct weft__chunk {
    weft_dev data;
    size_t bytes, used;
} weft__chunk;

/* What a kernel may have found wrong with an integer input. */
typedef struct weft__late {
    const char *op, *what; /* "cross_entropy", "label" */
    int64_t limit, step;   /* numbers are in 0..limit-1 */
    int64_t width;         /* numbers of a row; 0: they are of no rows */
    const int64_t *sample; /* data set index of each row, or NULL; borrowed until the next batch */
    int64_t rows;
} weft__late;

/* Those of the last step, whose flags are on their way to the host. */
typedef struct weft__due {
    weft__late *late;
    size_t n, room;
    int64_t *sample; /* theirs */
    size_t samples;  /* room */
    bool sent, gated;
    int64_t step; /* of the gate */
    int64_t (*bad)[2];
    weft_dev at; /* where the device finds bad */
    weft_event *event;
} weft__due;

/* A place in the step's history, to go back to. */
typedef struct weft__mark {
    size_t chunk, used, made;
} weft__mark;

/* Memory of the arena that is taken again within a step. */
typedef struct weft__block {
    weft_dev data;
    size_t bytes;
    int uses;        /* 0: it is nobody's, */
    int next;        /* and so is this one, since earlier; 0: no more */
    weft__mark from; /* where the arena was before it */
} weft__block;

typedef struct weft__engine {
    int id; /* of the process's table, part of every token */
    uint32_t first_generation;
    weft__tensor **page; /* slots, in pages that never move */
    size_t pages, slots;
    uint32_t *spare; /* free slots, a stack */
    size_t spares, spare_room;
    uint32_t *made; /* slots made in this step, a stack */
    size_t nmade, made_room;
    weft__chunk *chunk; /* the step's arena on the device */
    size_t chunks, chunk_room, current;
    weft__block *block; /* in the order of the arena */
    size_t blocks, block_room;
    int spare_block;  /* the last that became nobody's; 0: there is none */
    size_t most;      /* bytes in use at once since there are several chunks */
    bool settled;     /* the arena has had the size of a step */
    weft__late *late; /* that were not read yet, and their flags */
    size_t lates, late_room;
    weft_dev flags; /* the gate's, and theirs */
    weft__due due;
    struct weft__pins *pins; /* NULL: none was asked for */
    /* The gate: a flag that stays, once it is set, until it is dropped. Whoever opened the engine judges it. */
    weft_status (*gate)(weft_fabric *f, const int64_t word[2], int64_t step, bool sent);
    bool gate_asked, gate_heeded;
    int64_t gate_step;
    uint64_t edge;                /* the next one's number, from 1 */
    int64_t copies, copied_bytes; /* of tensors, for weft_traffic_count */
} weft__engine;

weft_status weft__engine_open(weft_fabric *f);
void weft__engine_close(weft_fabric *f);
/* The step's edge: all step tensors become stale and the arena is one chunk of the step's size. */
weft_status weft__engine_edge(weft_fabric *f);
static inline weft__mark weft__engine_mark(const weft_fabric *f)
{
    const weft__engine *e = f->engine;
    const size_t used = e->current < e->chunks ? e->chunk[e->current].used : 0;
    return (weft__mark){.chunk = e->current, .used = used, .made = e->nmade};
}
void weft__engine_rewind(weft_fabric *f, weft__mark mark);
/* The same, but the elements of *v stay, made contiguous and moved down where that is simple. */
weft_status weft__engine_keep(weft_fabric *f, weft__mark mark, weft_view *v);

/* Two int64 on the device, 0, where a kernel leaves 1 + the place of the first bad number of an integer
 * input, and that number. Good until it is judged, or the next is asked for. */
weft_status weft__late_flag(weft_fabric *f, weft_dev *flag);
/* WEFT_EDATA if it did, at once: the device is waited for. */
weft_status weft__late_verdict(weft_fabric *f, weft_dev flag, const weft__late *l);
/* The same, but a device that queues is not waited for: the verdict comes with weft__late_read. */
weft_status weft__late_judge(weft_fabric *f, weft_dev flag, const weft__late *l);
/* Waits for the device if a verdict is due. @return 0, or WEFT_EDATA, which sticks. */
weft_status weft__late_read(weft_fabric *f);
/* At an edge: the same of what was asked for before the last one; what was asked for since is for the
 * next. */
weft_status weft__late_edge(weft_fabric *f);
/* Two int64 on the device. The first, 0, is set by kernels that find what forbids the steps from now on, and
 * these heed it; it and the second are read like flags, and engine->gate judges: of step f->step, sent or not. */
weft_status weft__late_gate(weft_fabric *f, weft_dev *gate);
/* None, if nobody has asked for it. */
weft_dev weft__late_gate_at(const weft_fabric *f);
/* Nobody wants to know any more. */
void weft__late_drop(weft_fabric *f);
void weft__late_close(weft_fabric *f);

/* Where the device finds that memory if it is pinned, and has found it by the second edge from now; else none. */
weft_dev weft__pin_near(weft_fabric *f, const void *data, size_t bytes);
weft_status weft__pins_edge(weft_fabric *f);
void weft__pins_close(weft_fabric *f);

/* The bytes that the arena gives for so many; never 0: addresses are distinct. */
static inline size_t weft__arena_room(size_t bytes)
{
    return (bytes + 64) / 64 * 64;
}
/* Device memory until the edge, aligned to 64 bytes. _more: where the arena is not one chunk with that room. */
weft_status weft__scratch_more(weft_fabric *f, size_t bytes, weft_dev *out);
static inline weft_status weft__scratch(weft_fabric *f, size_t bytes, weft_dev *out)
{
    const size_t need = weft__arena_room(bytes);
    const weft__engine *e = f->engine;
    weft__chunk *c = e->chunk;
    if (e->chunks != 1 || e->current || need < bytes || c->bytes - c->used < need)
        return weft__scratch_more(f, bytes, out);
    out->addr = c->data.addr + c->used;
    c->used += need;
    return WEFT_OK;
}
/* The same, shaped: contiguous, uninitialised; dtype, rank and shape of *v are given. */
weft_status weft__scratch_view(weft_fabric *f, weft_view *v);

/* What was given out since the mark is worth nothing any more, but for `end` bytes of chunk `at`. */
void weft__arena_cut(weft_fabric *f, weft__mark mark, size_t at, size_t end);
weft_status weft__arena_edge(weft_fabric *f);
void weft__arena_close(weft_fabric *f);

/* Device memory for as long as it is used, up to the edge at most; block: its number, from 1 on, used once. */
weft_status weft__block_take(weft_fabric *f, size_t bytes, int *block, weft_dev *out);
/* One more use, one less; 0: of none. What was enqueued before still finds it. */
void weft__block_share(weft_fabric *f, int block);
void weft__block_drop(weft_fabric *f, int block);
/* Whether it has one use. */
static inline bool weft__block_alone(const weft_fabric *f, int block)
{
    return block && f->engine->block[block - 1].uses == 1;
}
/* Those taken from the arena since the mark are gone. */
void weft__blocks_cut(weft__engine *e, weft__mark mark);

/* Elements of v were copied as they are: from or to the program, in another order, or cast. */
void weft__count_copy(weft_fabric *f, const weft_view *v);

/* weft_tensor_of, of data that the device has at `near` (addr 0: nowhere): then it copies beside the host, and
 * data must stay until it has. */
weft_tensor *weft__tensor_of(weft_fabric *f, const void *data, weft_dev near, int rank,
                             const int64_t *shape, weft_dtype dtype);
/* A new tensor of v; step: it dies at the edge. NULL after ENOMEM has stuck. */
weft_tensor *weft__tensor_new(weft_fabric *f, const weft_view *v, bool step, weft__tensor **slot);
#define WEFT__PAGE 256 /* slots */
static inline weft__tensor *weft__slot_at(const weft__engine *e, size_t i)
{
    return &e->page[i / WEFT__PAGE][i % WEFT__PAGE];
}
/* The slot behind a token of f, NULL if it is none or stale. A token is (fabric + 1, slot, generation) in 8,
 * 24 and 32 bits. */
static inline weft__tensor *weft__tensor_here(const weft_fabric *f, weft_tensor *t)
{
    const weft__engine *e = f->engine;
    const uint64_t bits = (uint64_t)(uintptr_t)t;
    const size_t slot = bits >> 32 & 0xFFFFFF;
    if (bits >> 56 != (uint64_t)e->id + 1 || slot >= e->slots)
        return NULL;
    weft__tensor *x = weft__slot_at(e, slot);
    return x->live && x->generation == (uint32_t)bits ? x : NULL;
}
/* The slot behind a token, and its fabric. NULL for NULL (silently) and for a stale or foreign
 * token, which sticks to the fabric it names if that is open. */
weft__tensor *weft__tensor_at(weft_tensor *t, weft_fabric **f);
/* The same for `who`, whom the message names. */
weft__tensor *weft__tensor_for(const char *who, weft_tensor *t, weft_fabric **f);
/* The fabric of a token, for a call that looks at the tensor itself anyhow; NULL for NULL and where there is
 * none, which has been said for `who`. */
weft_fabric *weft__fabric_of(const char *who, weft_tensor *t);
/* Makes a token of f stale at once; memory that is its own lasts until the edge. */
void weft__tensor_free(weft_fabric *f, weft_tensor *t);
void weft__set_rows(weft_tensor *t, const weft__rows *rows);
/* What a loss weighs on this rank: the denominator of its mean, or the rows of its batch, 0 if it has
 * neither. */
weft_status weft__weight_of(weft_fabric *f, const weft__tensor *loss, double *weight);

/* Fills numel and row-major strides of v from its rank and shape; WEFT_ESHAPE if impossible. */
weft_status weft__view_pack(weft_view *v);
/* The extents of a view of that rank: most have few, and the rest is not copied. */
static inline void weft__extents_copy(weft_view *to, const int64_t *shape, const int64_t *stride)
{
    if (to->rank <= 4) {
        memcpy(to->shape, shape, 4 * sizeof *shape);
        memcpy(to->stride, stride, 4 * sizeof *stride);
    } else {
        memcpy(to->shape, shape, sizeof to->shape);
        memcpy(to->stride, stride, sizeof to->stride);
    }
}
static inline void weft__view_copy(weft_view *to, const weft_view *from)
{
    memcpy(to, from, offsetof(weft_view, shape));
    weft__extents_copy(to, from->shape, from->stride);
    to->numel = from->numel;
}
static inline bool weft__view_is_packed(const weft_view *v)
{
    return weft__is_contiguous(v->rank, v->shape, v->stride);
}
/* *out = a contiguous copy of v in the arena; or v, if it is contiguous. */
weft_status weft__view_copied(weft_fabric *f, const weft_view *v, weft_view *out);
static inline weft_status weft__view_packed(weft_fabric *f, const weft_view *v, weft_view *out)
{
    if (!weft__view_is_packed(v))
        return weft__view_copied(f, v, out);
    if (out != v)
        *out = *v;
    return WEFT_OK;
}
static inline size_t weft__view_bytes(const weft_view *v)
{
    return (size_t)v->numel * weft__size_of(v->dtype);
}
static inline bool weft__is_float(weft_dtype t)
{
    return t == WEFT_F32 || t == WEFT_F64 || t == WEFT_F16 || t == WEFT_BF16;
}
#endif
