/* Rows i0..i1-1 and columns j0..j1-1 of C: blocks of columns and of k, whose part of B is packed into the
 * second cache, and of these tiles. A's rows are packed a tile's height at a time. While a tile is computed, a part
 * of what comes next is fetched from afar, by what the tile asks for (wide_fetch.c), and that of A is packed, rows
 * by the tile itself, all else after it, before anything can push it out. */
#include "device/cpu/wide.h"

#if CPU_HAS_WIDE
#include <string.h>
#include <xmmintrin.h>

#define IN_PLACE 14   /* rows for which packing B does not pay where its rows are adjacent */
#define SHALLOW 100   /* steps along k in which a tile cannot ask for much */
#define SOME 96       /* rows of several groups of panels */
#define LINES_ROWS 12 /* of a panel, four of which are three lines */
#define NEAR 150000   /* numbers of A, B and C that are sure to be in the second cache */
#define LITTLE 2048   /* sums that are kept where there is no room */
#define FAR 1048576   /* numbers of C that are too many for the second cache */
#define BESIDE 256    /* columns of a block whose sums are kept */

_Static_assert(WIDE_ROOM + 2 * WIDE_GROUP * WIDE_ONCE * WIDE_LANES + WIDE_SUMS <= WIDE_ALL, "room");

typedef struct rectangle {
    const weft__wide *p;
    int64_t i0, i1, j0, j1;
    int64_t block, blocks, parts; /* columns of a block, blocks of columns and of k */
    int64_t panels;               /* of rows */
    int64_t group, size;          /* panels that are packed together; numbers of a packed one */
    int64_t width;                /* columns of a tile */
    bool plain;                   /* B is not packed */
    bool past;                    /* as tiles' */
    bool keeps;                   /* sums, which are rounded once there are those of all of k */
    bool near; /* nothing is asked for: all of it may be in the second cache, or tiles are short */
    float *room, *a, *ahead; /* packed: B, the rows of A in use and those that come next */
    float *sums; /* of a block that keeps them, or of a tile of bf16; in rows `step` apart */
    int64_t step;
    weft__wide_list list; /* of the tile that is computed */
} rectangle;

typedef struct block {
    int64_t j, columns, k, depth;
} block;

/* Rows of A in a block. */
typedef struct panel {
    int64_t i, rows, k, depth;
} panel;

/* What is packed next: the group that begins with panel `first`. */
typedef struct ahead {
    const block *b;
    int64_t first;
    panel rows;
} ahead;

static block block_of(const rectangle *o, int64_t at)
{
    const int64_t e = at % o->parts, j = o->j0 + at / o->parts * o->block;
    const int64_t k = o->p->k * e / o->parts;
    return (block){j, wide_least(o->block, o->j1 - j), k, o->p->k * (e + 1) / o->parts - k};
}

static panel panel_of(const rectangle *o, const block *b, int64_t i)
{
    const int64_t rows = o->i1 - o->i0, lo = rows * i / o->panels;
    return (panel){o->i0 + lo, rows * (i + 1) / o->panels - lo, b->k, b->depth};
}

/* Part x of `across` of what is packed next: some of its rows, by twos, or where these are adjacent in A some of k. */
static panel slice(const rectangle *o, const panel *n, int64_t x, int64_t across)
{
    const int64_t twos = wide_ceiling(n->rows, 2), from = 2 * (twos * x / across);
    const int64_t lo = n->depth * x / across & -WIDE_LANES;
    const int64_t hi = x + 1 < across ? n->depth * (x + 1) / across & -WIDE_LANES : n->depth;
    if (o->p->ca == 1)
        return (panel){n->i + from, wide_least(n->rows, 2 * (twos * (x + 1) / across)) - from, n->k,
                       n->depth};
    return (panel){n->i, n->rows, n->k + lo, hi - lo};
}

/* All panels of the group that begins with panel i. */
static panel group_of(const rectangle *o, const block *b, int64_t i)
{
    const panel first = panel_of(o, b, i),
                last = panel_of(o, b, wide_least(i + o->group, o->panels) - 1);
    return (panel){first.i, last.i + last.rows - first.i, b->k, b->depth};
}

/* `some` is a slice of what is next. */
static void pack_a(float *to, const rectangle *o, const ahead *next, const panel *some)
{
    const panel *const all = &next->rows;
    const int64_t n = wide_least(o->group, o->panels - next->first);
    int64_t row[WIDE_GROUP + 1];
    if (o->p->ca == 1) { /* then a group is one panel */
        weft__wide_pack_rows(to + (some->i - all->i) / 2 * WIDE_STEP + 2 * (some->k - all->k), o->p,
                             some->i, some->rows, some->k, some->depth);
        return;
    }
    for (int64_t i = 0; i < n; i++)
        row[i] = panel_of(o, next->b, next->first + i).i;
    row[n] = some->i + some->rows;
    weft__wide_pack_columns(to + (some->k - all->k) * WIDE_LANES, o->size, o->p, row, n, some->k,
                            some->depth);
}

/* The tile packs of it what it can. @return the rest */
static panel hand_over(const rectangle *o, weft__wide_tile *t, const ahead *next, const panel *some)
{
    const weft__wide *p = o->p;
    const int64_t run = some->depth / WIDE_RUN, rest = some->depth - run * WIDE_RUN;
    t->lines = 0;
    if (p->ca != 1 || t->low == WIDE_B || wide_ceiling(t->n, WIDE_LANES) != 2 ||
        wide_ceiling(some->rows, 2) * run > t->k / WIDE_HALF)
        return *some;
    t->from = wide_at(p->a, p->dt, some->i, p->ra, some->k, 1);
    t->to = o->ahead + (some->i - next->rows.i) / 2 * WIDE_STEP;
    t->step = p->ra;
    t->lines = some->rows;
    t->run = run;
    return (panel){some->i, some->rows, some->k + some->depth - rest, rest};
}

/* What is to be fetched during a tile: its part of C, of the next rows of A and of the next block of B. */
static void list(rectangle *o, weft__wide_tile *t, const panel *n, int64_t j, const panel *some,
                 const weft__wide_list *b, int64_t x, int64_t across)
{
    const weft__wide *p = o->p;
    weft__wide_list *l = &o->list;
    const int64_t lo = b->n * x / across, all = b->n * (x + 1) / across - lo;
    const bool last = n->k + n->depth == p->k;
    l->n = 0;
    if (some->depth && some->rows) /* first, as the tile may pack it */
        weft__wide_fetch_a(l, p, some->i, some->rows, some->k, some->depth);
    if (!o->past && (p->ct == WEFT_F32 || last))
        weft__wide_fetch_c(l, p, n->i, n->rows, j, t->n);
    const int64_t more = wide_least(all, WIDE_LINES - l->n);
    memcpy(l->line + l->n, b->line + lo, (size_t)more * sizeof *l->line);
    l->n += more;
    t->pace = t->k > 1 ? (uint32_t)((l->n << 16) / (t->k / 2)) : 0;
}

/* A tile of C from column j on. */
static void multiply(const rectangle *o, weft__wide_tile *t, const panel *n, int64_t j,
                     const block *b)
{
    const weft__wide *p = o->p;
    const bool by_depth = p->ca != 1, last = n->k + n->depth == p->k;
    t->c = p->ct == WEFT_F32 ? (float *)p->c + n->i * p->rc + j * p->cc
           : o->keeps        ? o->sums + (n->i - o->i0) * o->step + j - b->j
                             : o->sums;
    if (p->ct != WEFT_F32 || p->cc == 1)
        weft__wide_multiply(t, n->rows, by_depth);
    else
        weft__wide_multiply_turned(t, n->rows, by_depth, p->cc);
    if (last && p->ct == WEFT_F32)
        weft__wide_end(p, n->i, n->i + n->rows, j, j + t->n);
    else if (last)
        weft__wide_round(p, t->c, o->step, n->i, n->i + n->rows, j, j + t->n);
}

/* One row of tiles. The first one of a block packs B. */
static void across(rectangle *o, const block *b, int64_t i, const ahead *next,
                   const weft__wide_list *next_b)
{
    static const panel none;
    const weft__wide *p = o->p;
    const panel n = panel_of(o, b, i);
    const int64_t times = wide_ceiling(b->columns, o->width), within = i % o->group;
    const int64_t parts = times * wide_least(o->group, o->panels - i + within);
    weft__wide_tile t = {.a = o->a + within * o->size,
                         .low = p->dt == WEFT_F32 ? WIDE_NONE
                                : o->plain        ? WIDE_B
                                                  : WIDE_PACKED,
                         .past = o->past,
                         .rb = o->plain ? p->rb : WIDE_COLUMNS,
                         .rc = p->ct == WEFT_F32 ? p->rc : o->step,
                         .k = b->depth,
                         .alpha = p->alpha,
                         .beta = b->k                ? 1
                                 : p->ct == WEFT_F32 ? p->beta
                                                     : 0,
                         .line = o->list.line};
    for (int64_t x = 0; x < times; x++) {
        const int64_t j = x * o->width;
        const int64_t part = within * times + x;
        const panel some = !o->near || p->ca == 1 ? slice(o, &next->rows, part, parts)
                           : part + 1 == parts    ? next->rows
                                                  : none;
        t.n = wide_least(o->width, b->columns - j);
        t.b = o->room + j * b->depth;
        if (o->plain)
            t.b = wide_at(p->b, p->dt, b->k, p->rb, b->j + j, 1);
        if (!o->plain && i == 0)
            weft__wide_pack_b(o->room + j * b->depth, p, b->j + j, t.n, b->k, b->depth);
        if (!o->near)
            list(o, &t, &n, b->j + j, &some, next_b, x, times);
        const panel rest = hand_over(o, &t, next, &some);
        multiply(o, &t, &n, b->j + j, b);
        if (rest.depth && rest.rows)
            pack_a(o->ahead, o, next, &rest);
    }
}

static void down(rectangle *o, int64_t at)
{
    const bool last = at + 1 == o->blocks * o->parts;
    const block b = block_of(o, at), then = block_of(o, last ? at : at + 1);
    for (int64_t i = 0; i < o->panels; i++) {
        const int64_t group = (i / o->group + 1) * o->group;
        const bool below = group < o->panels;
        ahead next = {.b = below ? &b : &then, .first = below ? group : 0};
        weft__wide_list next_b;
        next_b.n = 0;
        next.rows = group_of(o, next.b, next.first);
        if (last && !below)
            next.rows.depth = 0;
        if (!last && !o->plain && !o->near)
            weft__wide_fetch_b(&next_b, o->p, then.j, then.columns, then.k, then.depth, i,
                               o->panels);
        across(o, &b, i, &next, &next_b);
        if (i + 1 < group && i + 1 < o->panels)
            continue;
        float *was = o->a;
        o->a = o->ahead;
        o->ahead = was;
    }
}

bool weft__wide_is_far(const weft__wide *p, int64_t j1)
{
    return p->ct == WEFT_F32 && p->ca != 1 && p->alpha == 1 && p->beta == 0 && !p->bias &&
           !p->relu && p->m * p->n > FAR && p->cc == 1 && p->rc % WIDE_LANES == 0 &&
           j1 % WIDE_LANES == 0 && (uintptr_t)p->c % 64 == 0;
}

/* How wide blocks and how deep parts of k are. */
static void choose(rectangle *o, const float *room)
{
    const weft__wide *p = o->p;
    const bool low = p->ct != WEFT_F32, thin = p->ca != 1 && p->m > IN_PLACE && !low;
    const int64_t rows = o->i1 - o->i0, columns = o->j1 - o->j0;
    const int64_t most = weft__wide_flows(p)        ? wide_deepest(p)
                         : thin && p->k > WIDE_ONCE ? WIDE_THIN
                                                    : WIDE_DEPTH;
    const int64_t depth = wide_ceiling(p->k, o->parts = wide_ceiling(p->k, most));
    o->size = depth * WIDE_LANES;
    o->group = thin && room && rows >= SOME ? WIDE_GROUP : 1;
    o->near = p->k < SHALLOW || p->m * p->k + p->k * p->n + p->m * p->n < NEAR;
    o->plain = p->cb == 1 && p->cc == 1 && p->m <= IN_PLACE && columns % WIDE_LANES == 0;
    o->width = !o->plain || rows > 6 ? WIDE_COLUMNS : rows > 2 ? 64 : 128;
    o->block = o->plain || room ? WIDE_ROOM / depth / WIDE_COLUMNS * WIDE_COLUMNS : WIDE_COLUMNS;
    if ((o->keeps = low && o->parts > 1))
        o->block = wide_least(o->block, room ? BESIDE : WIDE_COLUMNS);
    o->blocks = wide_ceiling(columns, o->block);
    o->block = wide_ceiling(wide_ceiling(columns, o->blocks), WIDE_COLUMNS) * WIDE_COLUMNS;
    o->blocks = wide_ceiling(columns, o->block);
    o->step = o->keeps ? o->block : o->width;
    o->past = o->parts == 1 && weft__wide_is_far(p, o->j1);
}

/* Rows i0..i1-1. */
static void rows_of(rectangle *o, int64_t i0, int64_t i1)
{
    o->i0 = i0, o->i1 = i1;
    o->panels = wide_ceiling(i1 - i0, o->group > 1 ? LINES_ROWS : WIDE_ROWS);
    const block b = block_of(o, 0);
    const ahead first = {.b = &b, .rows = group_of(o, &b, 0)};
    pack_a(o->a, o, &first, &first.rows);
    for (int64_t at = 0; at < o->blocks * o->parts; at++)
        down(o, at);
}

void weft__wide_rectangle(const weft__wide *p, int64_t i0, int64_t i1, int64_t j0, int64_t j1,
                          float *room)
{
    if (room && weft__wide_flows(p)) {
        weft__wide_flow(p, i0, i1, j0, j1, room);
        return;
    }
    float small[WIDE_DEPTH * WIDE_COLUMNS], little[LITTLE];
    _Alignas(64) float a[2][WIDE_STEP * WIDE_LANES / 2];
    rectangle o; /* not all of it is set: the list is long */
    o.p = p, o.i0 = i0, o.i1 = i1, o.j0 = j0, o.j1 = j1, o.a = a[0], o.ahead = a[1];
    choose(&o, room);
    if (o.group > 1) {
        o.a = room + WIDE_ROOM;
        o.ahead = o.a + o.group * o.size;
    }
    o.room = room ? room : small;
    o.sums = room ? room + WIDE_ALL - WIDE_SUMS : little;
    o.list.line[0] = (uintptr_t)a;
    const int64_t most = (room ? WIDE_SUMS : LITTLE) / o.step - WIDE_LANES; /* 16 are turned */
    const int64_t rows = i1 - i0, times = o.keeps ? wide_ceiling(rows, most) : 1;
    for (int64_t x = 0; x < times; x++)
        rows_of(&o, i0 + rows * x / times, i0 + rows * (x + 1) / times);
    if (o.past) /* there for all threads */
        _mm_sfence();
}
#endif
