/* Products where B's rows are adjacent: packed rows of A stay in the second cache, and B flows by. The tiles of a panel of
 * 32 columns pack the next one while they are computed, row by row, each those that the one before has asked
 * for, and those of the last panel the next part of A; so it costs next to no time. */
#include "device/cpu/wide.h"

#if CPU_HAS_WIDE
#include <xmmintrin.h>

#define HIGH 288    /* rows of a part of A, at most */
#define NARROW 256  /* columns for which packing A at once is dear */
#define SHALLOW 128 /* steps along k in which a tile cannot move much */
#define PANELS (HIGH / WIDE_ROWS + 1)
#define BEFORE 8 /* panels of B, before a part of A is packed, with which it is asked for */
/* Steps along k of a part whose columns lie apart: so little of what was asked for stays near until it is packed. */
#define FEW 256

_Static_assert(PANELS + 1 <= 22, "room");

/* A part of A, rows and steps along k, and the columns of B that flow by. */
typedef struct part {
    int64_t rows, k, depth, panels, j, columns;
    int64_t row[PANELS + 1]; /* where a panel begins, and the last one ends */
} part;

typedef struct flow {
    const weft__wide *p;
    int64_t i0, i1, j0, j1;
    int64_t block; /* columns of a part */
    part now, next;
    int64_t size;         /* numbers of a packed panel of A */
    bool past;            /* as tiles' */
    bool hides;           /* A, but for the first part, is packed beside tiles */
    float *a, *b, *ahead; /* packed A, the panel in use, and the next one */
    float *sums;          /* of a part, or of a tile, in rows `step` apart, where C is bf16 */
    int64_t step;
    int64_t first;       /* place of A's first panel; those after it follow, in a ring */
    int64_t packed;      /* panels of A that are there */
    int64_t each, moved; /* rows of the next panel of B: of a tile, and so far */
    int64_t k, some;     /* steps along k of the next part of A that are asked for */
    weft__wide_list list;
} flow;

static float *place(const flow *f, int64_t i)
{
    const int64_t x = f->first + i, all = PANELS + 1;
    return f->a + (x < 0 ? x + all : x < all ? x : x - all) * f->size;
}

/* Panel i of a part, but for the first `done` steps along k. */
static void pack_panel(const flow *f, float *to, const part *a, int64_t i, int64_t done)
{
    const int64_t *row = &a->row[i], k = a->k + done, depth = a->depth - done;
    if (depth > 0 && f->p->ca != 1)
        weft__wide_pack_columns(to + done * WIDE_LANES, 0, f->p, row, 1, k, depth);
    else if (depth > 0)
        weft__wide_pack_rows(to + 2 * done, f->p, row[0], row[1] - row[0], k, depth);
}

static void pack_a(flow *f)
{
    const part *a = &f->now;
    if (!f->packed && f->p->ca != 1) {
        f->first = 0;
        weft__wide_pack_columns(f->a, f->size, f->p, a->row, a->panels, a->k, a->depth);
        return;
    }
    for (int64_t i = f->packed; i < a->panels; i++)
        pack_panel(f, place(f, i), a, i, 0);
}

/* Rows of panel j that were not moved. */
static void pack_b(flow *f, int64_t j)
{
    if (f->moved < f->now.depth)
        weft__wide_pack_b(f->b + f->moved * WIDE_COLUMNS, f->p, f->now.j + j,
                          wide_least(WIDE_COLUMNS, f->now.columns - j), f->now.k + f->moved,
                          f->now.depth - f->moved);
    f->moved = 0;
}

/* Of the rows that tiles move tile i has those from the first to the second. */
static int64_t share(const flow *f, int64_t i)
{
    return wide_least(i * f->each, f->now.depth & -4);
}

/* What tile i asks for: the rows of B that the next tile moves, its part of C, and some of A. */
static void list(flow *f, weft__wide_tile *t, int64_t i, int64_t j)
{
    const part *a = &f->now, *next = &f->next;
    weft__wide_list *l = &f->list;
    const bool last = i + 1 == a->panels;
    const bool writes = f->p->ct == WEFT_F32 ? !f->past : a->k + a->depth == f->p->k;
    const int64_t other = last ? 0 : i + 1, then = j + (last ? 2 : 1) * WIDE_COLUMNS;
    const int64_t lo = share(f, other), n = share(f, other + 1) - lo;
    l->n = 0;
    if (then + WIDE_COLUMNS <= a->columns && n > 0)
        weft__wide_fetch_b(l, f->p, a->j + then, WIDE_COLUMNS, a->k + lo, n, 0, 1);
    if (writes)
        weft__wide_fetch_c(l, f->p, a->row[i], a->row[i + 1] - a->row[i], a->j + j, t->n);
    if (f->some > 0 && i < next->panels)
        weft__wide_fetch_a(l, f->p, next->row[i], next->row[i + 1] - next->row[i], f->k, f->some);
    t->pace = t->k > 1 ? (uint32_t)((l->n << 16) / (t->k / 2)) : 0;
}

/* The tile's share of the next panel. */
static void move_b(flow *f, weft__wide_tile *t, int64_t i, int64_t j)
{
    const int64_t lo = share(f, i), step = f->p->rb;
    t->moves = 0;
    if (j + 2 * WIDE_COLUMNS > f->now.columns)
        return;
    f->moved = share(f, i + 1);
    t->moves = f->moved - lo;
    t->step = step;
    t->from = wide_at(f->p->b, f->p->dt, f->now.k + lo, step, f->now.j + j + WIDE_COLUMNS, 1);
    t->to = f->ahead + lo * WIDE_COLUMNS;
}

/* With the last panel of B, of which nothing is left to move, panel i of the next part of A. @return steps of it along k that
 * the tile packs */
static int64_t move_a(const flow *f, weft__wide_tile *t, int64_t i, float *to)
{
    const weft__wide *p = f->p;
    const part *n = &f->next;
    const int64_t rows = n->row[i + 1] - n->row[i], run = n->depth / WIDE_RUN;
    if (t->n <= WIDE_LANES)
        return 0;
    t->from = wide_at(p->a, p->dt, n->row[i], p->ra, n->k, p->ca);
    t->to = to;
    if (p->ca != 1) {
        t->step = p->ca;
        t->run = wide_least(p->m - n->row[i], WIDE_LANES);
        return t->lines = wide_least(n->depth, t->k) & -2;
    }
    if (wide_ceiling(rows, 2) * run > t->k / WIDE_HALF)
        return 0;
    t->step = p->ra;
    t->run = run;
    t->lines = rows;
    return run * WIDE_RUN;
}

/* The steps of the next part of A that are asked for with the panel of B from column j on. */
static void ask(flow *f, int64_t j)
{
    const int64_t panels = wide_ceiling(f->now.columns, WIDE_COLUMNS),
                  times = wide_least(BEFORE, panels);
    const int64_t x = j / WIDE_COLUMNS - panels + times, depth = f->next.depth;
    f->k = f->next.k + depth * x / times;
    f->some = x < 0 ? 0 : f->next.k + depth * (x + 1) / times - f->k;
}

/* Panel i of the next part of A goes where panel i - 1 of this one was. */
static void panel(flow *f, int64_t j)
{
    const weft__wide *p = f->p;
    const part *a = &f->now;
    const int64_t beside = f->hides && j + WIDE_COLUMNS >= a->columns ? f->next.panels : 0;
    const bool low = p->ct != WEFT_F32, keeps = a->depth < p->k, last = a->k + a->depth == p->k;
    weft__wide_tile t = {.b = f->b,
                         .low = p->dt == WEFT_F32 ? WIDE_NONE : WIDE_PACKED,
                         .past = f->past,
                         .rb = WIDE_COLUMNS,
                         .rc = low ? f->step : p->rc,
                         .k = a->depth,
                         .n = wide_least(WIDE_COLUMNS, a->columns - j),
                         .alpha = p->alpha,
                         .beta = a->k  ? 1
                                 : low ? 0
                                       : p->beta,
                         .line = f->list.line};
    for (int64_t i = 0; i < a->panels; i++) {
        const int64_t row = a->row[i], end = a->row[i + 1];
        float *const to = place(f, i - 1);
        t.a = place(f, i);
        t.c = !low    ? (float *)p->c + row * p->rc + a->j + j
              : keeps ? f->sums + (row - a->row[0]) * f->step + j
                      : f->sums;
        t.lines = 0;
        list(f, &t, i, j);
        move_b(f, &t, i, j);
        const int64_t done = i < beside ? move_a(f, &t, i, to) : 0;
        weft__wide_multiply(&t, end - row, p->ca != 1);
        if (low && last)
            weft__wide_round(p, t.c, f->step, row, end, a->j + j, a->j + j + t.n);
        if (i < beside)
            pack_panel(f, to, &f->next, i, done);
    }
}

static void all_columns(flow *f)
{
    const part *a = &f->now;
    const int64_t each = wide_ceiling(a->depth, a->panels);
    f->moved = 0;
    f->each = wide_least((each + 3) & -4, a->depth / WIDE_HALF * 4);
    pack_a(f);
    for (int64_t j = 0; j < a->columns; j += WIDE_COLUMNS) {
        float *const was = f->b;
        pack_b(f, j);
        ask(f, j);
        panel(f, j);
        f->b = f->ahead;
        f->ahead = was;
    }
    f->packed = f->hides ? wide_least(a->panels, f->next.panels) : 0;
    f->first = f->first ? f->first - 1 : PANELS;
}

/* Part `at`: along k first, then along the columns. Behind the last one there is an empty one. */
static void cut(const flow *f, part *a, int64_t at)
{
    const weft__wide *p = f->p;
    const int64_t rows = f->i1 - f->i0, times = wide_ceiling(rows, HIGH);
    const int64_t parts = wide_ceiling(p->k, wide_deepest(p)),
                  blocks = wide_ceiling(f->j1 - f->j0, f->block);
    const int64_t x = at / parts / blocks, e = at % parts, i = f->i0 + rows * x / times;
    a->rows = x < times ? f->i0 + rows * (x + 1) / times - i : 0;
    a->k = p->k * e / parts;
    a->depth = x < times ? p->k * (e + 1) / parts - a->k : 0;
    a->j = f->j0 + at / parts % blocks * f->block;
    a->columns = wide_least(f->block, f->j1 - a->j);
    a->panels = wide_ceiling(a->rows, WIDE_ROWS);
    for (int64_t y = 0; y <= a->panels && a->rows; y++)
        a->row[y] = i + a->rows * y / a->panels;
}

bool weft__wide_flows(const weft__wide *p)
{
    return p->cb == 1 && p->cc == 1 && p->m > WIDE_ROWS && p->n >= NARROW && p->k >= SHALLOW &&
           !p->bias && !p->relu;
}

/* Columns of a part: all of them, or as many as have room for their sums. */
static void choose(flow *f)
{
    const int64_t columns = f->j1 - f->j0, rows = wide_least(f->i1 - f->i0, HIGH);
    const bool keeps = f->p->ct != WEFT_F32 && f->p->k > wide_deepest(f->p);
    const int64_t blocks = keeps ? wide_ceiling(columns, WIDE_SUMS / rows & -WIDE_COLUMNS) : 1;
    f->block = wide_ceiling(wide_ceiling(columns, blocks), WIDE_COLUMNS) * WIDE_COLUMNS;
    f->step = keeps ? f->block : WIDE_COLUMNS;
}

void weft__wide_flow(const weft__wide *p, int64_t i0, int64_t i1, int64_t j0, int64_t j1,
                     float *room)
{
    flow f; /* not all of it is set: the list is long */
    f.p = p, f.i0 = i0, f.i1 = i1, f.j0 = j0, f.j1 = j1;
    choose(&f);
    f.past = p->k <= wide_deepest(p) && weft__wide_is_far(p, j1);
    f.b = room, f.ahead = room + WIDE_DEPTH * WIDE_COLUMNS;
    f.a = room + 2 * WIDE_DEPTH * WIDE_COLUMNS;
    f.sums = room + WIDE_ALL - WIDE_SUMS;
    f.list.line[0] = (uintptr_t)room;
    f.first = f.packed = 0;
    cut(&f, &f.next, 0);
    f.size = p->ca != 1 ? wide_least(p->k, WIDE_FLAT) * WIDE_LANES : WIDE_STEP * WIDE_ROWS / 2;
    f.hides = p->ca == 1 || f.next.depth <= FEW;
    for (int64_t at = 1; f.next.rows; at++) {
        f.now = f.next;
        cut(&f, &f.next, at);
        all_columns(&f);
    }
    if (f.past) /* there for all threads */
        _mm_sfence();
}
#endif
