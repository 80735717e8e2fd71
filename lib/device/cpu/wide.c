/* C = alpha A B + beta C in f32: C is cut into a rectangle for each thread, that into blocks of columns and
 * of k whose part of B is packed into the second cache, and those into tiles. A's rows are packed a tile's
 * height at a time. While a tile is computed, a part of what will be packed next is fetched. */
#include "device/cpu/wide.h"

#if CPU_HAS_WIDE
#include "core/alloc.h"
#include "core/process.h"

#include <omp.h>

#define MULTIPLY_ADDS 16.0      /* that count as one element operation */
#define ROOM (WIDE_DEPTH * 256) /* numbers of packed B */
#define FEW_ROWS 12             /* for which dot products are quicker than packing */
#define IN_PLACE 14 /* rows for which packing B does not pay where its rows are adjacent */
#define LINE 16     /* numbers of a line of the caches */

typedef struct job {
    weft__wide p;
    int64_t down, across; /* rectangles */
    bool dots;
} job;

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t ceiling(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

/* --- room for packed B: a lane for each call at one time, kept until the process ends --- */

static float *take(int *lane)
{
    const size_t bytes = (size_t)ROOM * sizeof(float);
    for (int i = 0; i < WEFT__LANES; i++) {
        *lane = (omp_get_thread_num() + i) % WEFT__LANES;
        if (atomic_exchange(&weft__process.lane[*lane].busy, 1))
            continue;
        if (!weft__process.lane[*lane].room)
            weft__process.lane[*lane].room = weft__new(bytes, 1);
        if (weft__process.lane[*lane].room)
            return weft__process.lane[*lane].room;
        atomic_store(&weft__process.lane[*lane].busy, 0);
        break;
    }
    *lane = -1;
    return NULL;
}

static void give_back(int lane)
{
    if (lane >= 0)
        atomic_store(&weft__process.lane[lane].busy, 0);
}

/* --- one rectangle --- */

typedef struct rectangle {
    const weft__wide *p;
    int64_t i0, i1, j0, j1;
    int64_t block, blocks, parts; /* columns of a block, blocks of columns and of k */
    int64_t width;                /* columns of a tile */
    bool plain;                   /* B is not packed */
    float *room;
} rectangle;

typedef struct block {
    int64_t j, columns, k, depth;
} block;

static block block_of(const rectangle *o, int64_t at)
{
    const int64_t e = at % o->parts, j = o->j0 + at / o->parts * o->block;
    const int64_t k = o->p->k * e / o->parts;
    return (block){j, least(o->block, o->j1 - j), k, o->p->k * (e + 1) / o->parts - k};
}

/* Lines of one of `parts` parts of n rows, `length` numbers each. */
static void fetch(const float *from, int64_t n, int64_t step, int64_t length, int64_t part,
                  int64_t parts)
{
    const int64_t lines = length / LINE + 1, lo = n * lines * part / parts;
    const int64_t hi = n * lines * (part + 1) / parts;
    int64_t row = lo / lines, at = lo % lines;
    for (int64_t i = lo; i < hi; i++) {
        const int64_t number = at * LINE;
        __builtin_prefetch(from + row * step + least(number, length - 1), 0, 2);
        if (++at == lines) {
            at = 0;
            row++;
        }
    }
}

static void fetch_a(const weft__wide *p, int64_t i, int64_t rows, const block *b, int64_t part,
                    int64_t parts)
{
    const float *from = p->a + i * p->ra + b->k * p->ca;
    if (p->ca == 1)
        fetch(from, rows, p->ra, b->depth, part, parts);
    else
        fetch(from, b->depth, p->ca, rows, part, parts);
}

static void fetch_b(const weft__wide *p, const block *b, int64_t part, int64_t parts)
{
    const float *from = p->b + b->k * p->rb + b->j * p->cb;
    if (p->cb == 1)
        fetch(from, b->depth, p->rb, b->columns, part, parts);
    else
        fetch(from, b->columns, p->cb, b->depth, part, parts);
}

/* All tiles of a block of columns and of k. The first row of them packs B. */
static void tiles(const rectangle *o, int64_t at)
{
    _Alignas(64) float a[WIDE_STEP * WIDE_LANES];
    const weft__wide *p = o->p;
    const block b = block_of(o, at);
    const bool last = at + 1 == o->blocks * o->parts, by_depth = p->ca != 1;
    const block next = block_of(o, last ? at : at + 1);
    const int64_t rows = o->i1 - o->i0, panels = ceiling(rows, WIDE_ROWS);
    const int64_t across = ceiling(b.columns, o->width);
    weft__wide_tile t = {.a = a,
                         .rb = o->plain ? p->rb : WIDE_COLUMNS,
                         .rc = p->rc,
                         .k = b.depth,
                         .alpha = p->alpha,
                         .beta = b.k ? 1 : p->beta};
    for (int64_t i = 0; i < panels; i++) {
        const int64_t lo = o->i0 + rows * i / panels, hi = o->i0 + rows * (i + 1) / panels;
        const int64_t to = i + 1 < panels ? o->i0 + rows * (i + 2) / panels : o->i0 + rows / panels;
        weft__wide_pack_a(a, p, lo, hi - lo, b.k, b.depth, by_depth);
        for (int64_t x = 0; x < across; x++) {
            const int64_t j = x * o->width;
            t.n = least(o->width, b.columns - j);
            t.b = o->plain ? p->b + b.k * p->rb + b.j + j : o->room + j * b.depth;
            t.c = p->c + lo * p->rc + (b.j + j) * p->cc;
            if (!o->plain && i == 0)
                weft__wide_pack_b(o->room + j * b.depth, p, b.j + j, t.n, b.k, b.depth);
            if (!(last && i + 1 == panels))
                fetch_a(p, i + 1 < panels ? hi : o->i0, to - (i + 1 < panels ? hi : o->i0),
                        i + 1 < panels ? &b : &next, x, across);
            if (!last && !o->plain)
                fetch_b(p, &next, i * across + x, panels * across);
            if (p->cc == 1)
                weft__wide_multiply(&t, hi - lo, by_depth);
            else
                weft__wide_multiply_turned(&t, hi - lo, by_depth, p->cc);
        }
    }
}

static void one(const weft__wide *p, int64_t i0, int64_t i1, int64_t j0, int64_t j1)
{
    float small[WIDE_DEPTH * WIDE_COLUMNS];
    int lane = -1;
    rectangle o = {.p = p, .i0 = i0, .i1 = i1, .j0 = j0, .j1 = j1, .width = WIDE_COLUMNS};
    const int64_t rows = i1 - i0, depth = ceiling(p->k, o.parts = ceiling(p->k, WIDE_DEPTH));
    o.plain = p->cb == 1 && p->cc == 1 && p->m <= IN_PLACE && (j1 - j0) % WIDE_LANES == 0;
    if (o.plain)
        o.width = rows > 6 ? WIDE_COLUMNS : rows > 2 ? 64 : 128;
    o.room = o.plain || j1 - j0 <= WIDE_COLUMNS ? NULL : take(&lane);
    o.block = o.plain || o.room ? ROOM / depth / WIDE_COLUMNS * WIDE_COLUMNS : WIDE_COLUMNS;
    o.blocks = ceiling(j1 - j0, o.block);
    o.block = ceiling(ceiling(j1 - j0, o.blocks), WIDE_COLUMNS) * WIDE_COLUMNS;
    o.blocks = ceiling(j1 - j0, o.block);
    o.room = o.room ? o.room : small;
    for (int64_t at = 0; at < o.blocks * o.parts; at++)
        tiles(&o, at);
    give_back(lane);
}

static void rectangles(const void *args, int64_t lo, int64_t hi)
{
    const job *o = args;
    const weft__wide *p = &o->p;
    const int64_t rows = ceiling(p->m, o->dots ? 4 : WIDE_ROWS), row = ceiling(p->m, rows);
    const int64_t columns = ceiling(p->n, WIDE_COLUMNS);
    for (int64_t r = lo; r < hi; r++) {
        const int64_t y = r / o->across, x = r % o->across;
        const int64_t i0 = least(p->m, rows * y / o->down * row);
        const int64_t i1 = least(p->m, rows * (y + 1) / o->down * row);
        const int64_t j0 = columns * x / o->across * WIDE_COLUMNS;
        const int64_t j1 = least(p->n, columns * (x + 1) / o->across * WIDE_COLUMNS);
        if (i0 < i1 && j0 < j1)
            (o->dots ? weft__wide_dots : one)(p, i0, i1, j0, j1);
    }
}

/* As many rectangles as threads; each thread packs its own share of A and B, so they should be few. */
static void cut(job *o, int team)
{
    double best = 0;
    for (int64_t down = 1; down <= team; down++) {
        const double copied =
            (double)down * (double)o->p.n + (double)(team / down) * (double)o->p.m;
        if (team % down == 0 && (down == 1 || copied < best)) {
            best = copied;
            o->down = down;
            o->across = team / down;
        }
    }
}

/* C^T = B^T A^T: the smaller operand is turned as it is packed, where both lie along k. */
static void turn(weft__wide *p)
{
    const weft__wide was = *p;
    *p = (weft__wide){.m = was.n,
                      .n = was.m,
                      .k = was.k,
                      .a = was.b,
                      .b = was.a,
                      .c = was.c,
                      .ra = was.cb,
                      .ca = was.rb,
                      .rb = was.ca,
                      .cb = was.ra,
                      .rc = was.cc,
                      .cc = was.rc,
                      .alpha = was.alpha,
                      .beta = was.beta};
}

bool weft__cpu_wide(weft_stream *s, weft_dev c, int64_t ldc, double alpha, weft_dev a, int64_t lda,
                    int ta, weft_dev b, int64_t ldb, int tb, double beta, int64_t m, int64_t n,
                    int64_t k)
{
    job o = {.p = {.m = m,
                   .n = n,
                   .k = k,
                   .a = cpu_ptr(a),
                   .b = cpu_ptr(b),
                   .c = cpu_ptr(c),
                   .ra = ta ? 1 : lda,
                   .ca = ta ? lda : 1,
                   .rb = tb ? 1 : ldb,
                   .cb = tb ? ldb : 1,
                   .rc = ldc,
                   .cc = 1,
                   .alpha = (float)alpha,
                   .beta = (float)beta}};
    if (k == 0 || !weft__cpu_wide_name())
        return false;
    const int team = weft__cpu_team(s->device, (double)m * (double)n * (double)k / MULTIPLY_ADDS);
    o.dots = !ta && tb && (m < FEW_ROWS || n < WIDE_LANES);
    if (!o.dots && !ta && tb && m < n)
        turn(&o.p);
    cut(&o, team);
    weft__cpu_pieces(rectangles, &o, team, 1, team);
    return true;
}

const char *weft__cpu_wide_name(void)
{
    const bool there = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                       __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
    return there ? "avx512" : NULL;
}
#else
bool weft__cpu_wide(weft_stream *s, weft_dev c, int64_t ldc, double alpha, weft_dev a, int64_t lda,
                    int ta, weft_dev b, int64_t ldb, int tb, double beta, int64_t m, int64_t n,
                    int64_t k)
{
    (void)s, (void)c, (void)ldc, (void)alpha, (void)a, (void)lda, (void)ta, (void)b, (void)ldb;
    (void)tb, (void)beta, (void)m, (void)n, (void)k;
    return false;
}

const char *weft__cpu_wide_name(void)
{
    return NULL;
}
#endif
