/* Products where B's rows are adjacent: packed rows of A stay in the second cache, and B flows by. The tiles of a panel of
 * 32 columns pack the next one while they are computed, row by row, each those that the one before has asked
 * for; so it costs next to no time. */
#include "device/cpu/wide.h"

#if CPU_HAS_WIDE
#include <xmmintrin.h>

#define HIGH 288    /* rows of a part of A, at most */
#define NARROW 256  /* columns for which packing A at once is dear */
#define SHALLOW 128 /* steps along k in which a tile cannot move much */
#define PANELS (HIGH / WIDE_ROWS + 1)
#define BEFORE 8 /* panels of B, before a part of A is packed, with which it is asked for */

_Static_assert((2 * WIDE_COLUMNS + PANELS * WIDE_LANES) * WIDE_DEPTH <= WIDE_ALL, "room");

/* A part of A: rows and steps along k. */
typedef struct part {
    int64_t i, rows, k, depth, panels;
} part;

typedef struct flow {
    const weft__wide *p;
    int64_t j0, columns;
    part now, next;
    int64_t size;         /* numbers of a packed panel of A */
    bool past;            /* as tiles' */
    float *a, *b, *ahead; /* packed A, the panel in use, and the next one */
    int64_t moved;        /* rows of the next one */
    weft__wide_list list;
} flow;

static int64_t row_of(const part *a, int64_t panel)
{
    return a->i + a->rows * panel / a->panels;
}

static void pack_a(flow *f)
{
    int64_t first[PANELS + 1];
    const part *a = &f->now;
    for (int64_t i = 0; i <= a->panels; i++)
        first[i] = row_of(a, i);
    if (f->p->ca != 1)
        weft__wide_pack_columns(f->a, f->size, f->p, first, a->panels, a->k, a->depth);
    else
        for (int64_t i = 0; i < a->panels; i++)
            weft__wide_pack_rows(f->a + i * f->size, f->p, first[i], first[i + 1] - first[i], a->k,
                                 a->depth);
}

/* Rows of panel j that were not moved. */
static void pack_b(flow *f, int64_t j)
{
    if (f->moved < f->now.depth)
        weft__wide_pack_b(f->b + f->moved * WIDE_COLUMNS, f->p, f->j0 + j,
                          wide_least(WIDE_COLUMNS, f->columns - j), f->now.k + f->moved,
                          f->now.depth - f->moved);
    f->moved = 0;
}

/* Of the rows that tiles move tile i has those from the first to the second. */
static int64_t share(const part *a, int64_t i)
{
    const int64_t most = a->depth / WIDE_HALF * 4, each = wide_ceiling(a->depth, a->panels);
    return wide_least(i * wide_least((each + 3) & -4, most), a->depth & -4);
}

/* Of the next part of A what tile i asks for with the panel of B from column j on. */
static void list_a(flow *f, int64_t i, int64_t j)
{
    const part *n = &f->next;
    const int64_t panels = wide_ceiling(f->columns, WIDE_COLUMNS),
                  times = wide_least(BEFORE, panels);
    const int64_t x = j / WIDE_COLUMNS - panels + times;
    const int64_t lo = n->depth * x / times, some = n->depth * (x + 1) / times - lo;
    if (x >= 0 && some > 0 && i < n->panels)
        weft__wide_fetch_a(&f->list, f->p, row_of(n, i), row_of(n, i + 1) - row_of(n, i), n->k + lo,
                           some);
}

/* What tile i asks for: the rows of B that the next tile moves, its part of C, and some of A. */
static void list(flow *f, weft__wide_tile *t, int64_t i, int64_t j)
{
    const part *a = &f->now;
    weft__wide_list *l = &f->list;
    const int64_t other = (i + 1) % a->panels, then = j + (other ? 1 : 2) * WIDE_COLUMNS;
    const int64_t lo = share(a, other), n = share(a, other + 1) - lo;
    l->n = 0;
    if (then + WIDE_COLUMNS <= f->columns && n > 0)
        weft__wide_fetch_b(l, f->p, f->j0 + then, WIDE_COLUMNS, a->k + lo, n, 0, 1);
    if (!f->past)
        weft__wide_fetch_c(l, f->p, row_of(a, i), row_of(a, i + 1) - row_of(a, i), f->j0 + j, t->n);
    list_a(f, i, j);
    t->pace = t->k > 1 ? (uint32_t)((l->n << 16) / (t->k / 2)) : 0;
}

/* The tile's share of the next panel. */
static void move(flow *f, weft__wide_tile *t, int64_t i, int64_t j)
{
    const int64_t lo = share(&f->now, i), step = f->p->rb;
    t->moves = 0;
    if (j + 2 * WIDE_COLUMNS > f->columns)
        return;
    f->moved = share(&f->now, i + 1);
    t->moves = f->moved - lo;
    t->step = step;
    t->from = (const float *)f->p->b + (f->now.k + lo) * step + f->j0 + j + WIDE_COLUMNS;
    t->to = f->ahead + lo * WIDE_COLUMNS;
}

static void panel(flow *f, int64_t j)
{
    const weft__wide *p = f->p;
    const part *a = &f->now;
    weft__wide_tile t = {.b = f->b,
                         .past = f->past,
                         .rb = WIDE_COLUMNS,
                         .rc = p->rc,
                         .k = a->depth,
                         .n = wide_least(WIDE_COLUMNS, f->columns - j),
                         .alpha = p->alpha,
                         .beta = a->k ? 1 : p->beta,
                         .line = f->list.line};
    for (int64_t i = 0; i < a->panels; i++) {
        const int64_t row = row_of(a, i), end = row_of(a, i + 1);
        t.a = f->a + i * f->size;
        t.c = (float *)p->c + row * p->rc + f->j0 + j;
        list(f, &t, i, j);
        move(f, &t, i, j);
        weft__wide_multiply(&t, end - row, p->ca != 1);
        if (a->k + a->depth == p->k)
            weft__wide_end(p, row, end, f->j0 + j, f->j0 + j + t.n);
    }
}

static void all_columns(flow *f)
{
    f->size = f->p->ca != 1 ? f->now.depth * WIDE_LANES : WIDE_STEP * WIDE_ROWS / 2;
    f->moved = 0;
    pack_a(f);
    for (int64_t j = 0; j < f->columns; j += WIDE_COLUMNS) {
        float *const was = f->b;
        pack_b(f, j);
        panel(f, j);
        f->b = f->ahead;
        f->ahead = was;
    }
}

/* Part `at` of rows i0..i1-1: along k first. */
static part part_of(const weft__wide *p, int64_t i0, int64_t i1, int64_t at)
{
    const int64_t times = wide_ceiling(i1 - i0, HIGH), parts = wide_ceiling(p->k, wide_deepest(p));
    const int64_t x = at / parts, e = at % parts, i = i0 + (i1 - i0) * x / times;
    const int64_t rows = i0 + (i1 - i0) * (x + 1) / times - i, k = p->k * e / parts;
    if (at == times * parts)
        return (part){.rows = 0};
    return (part){i, rows, k, p->k * (e + 1) / parts - k, wide_ceiling(rows, WIDE_ROWS)};
}

bool weft__wide_flows(const weft__wide *p)
{
    return p->dt == WEFT_F32 && p->ct == WEFT_F32 && p->cb == 1 && p->cc == 1 && p->m > WIDE_ROWS &&
           p->n >= NARROW && p->k >= SHALLOW;
}

void weft__wide_flow(const weft__wide *p, int64_t i0, int64_t i1, int64_t j0, int64_t j1,
                     float *room)
{
    flow f; /* not all of it is set: the list is long */
    f.p = p, f.j0 = j0, f.columns = j1 - j0;
    f.past = p->k <= wide_deepest(p) && weft__wide_is_far(p, j1);
    f.b = room, f.ahead = room + WIDE_DEPTH * WIDE_COLUMNS;
    f.a = room + 2 * WIDE_DEPTH * WIDE_COLUMNS;
    f.list.line[0] = (uintptr_t)room;
    f.next = part_of(p, i0, i1, 0);
    for (int64_t at = 0; f.next.rows; at++) {
        f.now = f.next;
        f.next = part_of(p, i0, i1, at + 1);
        all_columns(&f);
    }
    if (f.past) /* there for all threads */
        _mm_sfence();
}
#endif
