/* C = alpha A B + beta C in f32: C is cut into a rectangle for each thread, that into blocks of columns and
 * of k whose part of B is packed into the second cache, and those into tiles. A's rows are packed a tile's
 * height at a time, into the first cache. */
#include "device/cpu/wide.h"

#if CPU_HAS_WIDE
#include "core/alloc.h"
#include "core/process.h"

#include <omp.h>

#define MULTIPLY_ADDS 16.0 /* that count as one element operation */
#define BLOCK 512          /* columns */
#define FEW_ROWS 20        /* for which dot products are quicker than packing B */
#define IN_PLACE 14        /* rows for which packing B does not pay where its rows are adjacent */

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
    const size_t bytes = (size_t)WIDE_DEPTH * BLOCK * sizeof(float);
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

typedef struct part {
    int64_t i0, i1, j0, columns, k0, depth;
    const float *b; /* packed, or NULL */
} part;

/* All tiles of a block of columns and of k, `width` columns each. */
static void tiles(const weft__wide *p, const part *o, int64_t width)
{
    float a[WIDE_DEPTH * WIDE_LANES]; /* no less than WIDE_ROWS * WIDE_STEP */
    const int64_t rows = o->i1 - o->i0, panels = ceiling(rows, WIDE_ROWS);
    const bool by_depth = p->ca != 1;
    weft__wide_tile t = {.a = a,
                         .rb = o->b ? WIDE_COLUMNS : p->rb,
                         .rc = p->rc,
                         .k = o->depth,
                         .alpha = p->alpha,
                         .beta = o->k0 ? 1 : p->beta};
    for (int64_t i = 0; i < panels; i++) {
        const int64_t lo = o->i0 + rows * i / panels, hi = o->i0 + rows * (i + 1) / panels;
        weft__wide_pack_a(a, p, lo, hi - lo, o->k0, o->depth, by_depth);
        for (int64_t j = 0; j < o->columns; j += width) {
            t.n = least(width, o->columns - j);
            t.b = o->b ? o->b + j * o->depth : p->b + o->k0 * p->rb + o->j0 + j;
            t.c = p->c + lo * p->rc + o->j0 + j;
            weft__wide_multiply(&t, hi - lo, by_depth);
        }
    }
}

static void rectangle(const weft__wide *p, int64_t i0, int64_t i1, int64_t j0, int64_t j1)
{
    float small[WIDE_DEPTH * WIDE_COLUMNS];
    const int64_t parts = ceiling(p->k, WIDE_DEPTH), rows = i1 - i0;
    const bool plain = p->cb == 1 && p->m <= IN_PLACE;
    const int64_t width = !plain || rows > 6 ? WIDE_COLUMNS : rows > 2 ? 64 : 128;
    int lane = -1;
    float *room = plain || j1 - j0 <= WIDE_COLUMNS ? NULL : take(&lane);
    const int64_t block = plain || room ? BLOCK : WIDE_COLUMNS;
    room = room ? room : small;
    for (int64_t j = j0; j < j1; j += block)
        for (int64_t e = 0; e < parts; e++) {
            const int64_t k0 = p->k * e / parts, k1 = p->k * (e + 1) / parts;
            const part o = {i0, i1, j, least(block, j1 - j), k0, k1 - k0, plain ? NULL : room};
            if (!plain)
                weft__wide_pack_b(room, p, j, o.columns, k0, o.depth);
            tiles(p, &o, width);
        }
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
            (o->dots ? weft__wide_dots : rectangle)(p, i0, i1, j0, j1);
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
                   .alpha = (float)alpha,
                   .beta = (float)beta}};
    if (k == 0 || !weft__cpu_wide_name())
        return false;
    const int team = weft__cpu_team(s->device, (double)m * (double)n * (double)k / MULTIPLY_ADDS);
    o.dots = !ta && tb && (m < FEW_ROWS || n < WIDE_LANES);
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
