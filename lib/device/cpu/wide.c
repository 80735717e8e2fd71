/* C = alpha A B + beta C in f32, cut into a rectangle for each thread. */
#include "device/cpu/wide.h"

#if CPU_HAS_WIDE
#include "core/process.h"

#define MULTIPLY_ADDS 16.0 /* that count as one element operation */
#define MANY_ROWS 1024     /* above which turning B once costs less than turning all of C */
#define FEW_ROWS 11        /* for which dot products are quicker than packing, */
#define MORE_ROWS 16       /* where they are long, */
#define MOST_ROWS 64       /* and B stays in the second cache, too */
#define SHORT 384          /* numbers of a dot product */
#define NEAR 250000        /* numbers of B */
#define SOME_ROWS 16       /* of sums of them that are rounded together, */
#define SOME_COLUMNS 128   /* and columns */

typedef struct job {
    weft__wide p;
    int64_t down, across; /* rectangles */
    bool dots;
} job;

static void one(const weft__wide *p, int64_t i0, int64_t i1, int64_t j0, int64_t j1)
{
    weft__lane *of = weft__process.lane;
    if (weft__wide_is_short(p)) {
        weft__wide_short(p, i0, i1, j0, j1);
        return;
    }
    const int lane = j1 - j0 > WIDE_COLUMNS || weft__wide_flows(p)
                         ? weft__cpu_lane_take(of, WIDE_ALL * sizeof(float))
                         : -1;
    weft__wide_rectangle(p, i0, i1, j0, j1, lane >= 0 ? of[lane].room : NULL);
    weft__cpu_lane_give(of, lane);
}

static void low_dots(const weft__wide *p, int64_t i0, int64_t i1, int64_t j0, int64_t j1)
{
    float sums[SOME_ROWS * SOME_COLUMNS];
    for (int64_t i = i0; i < i1; i += SOME_ROWS)
        for (int64_t j = j0; j < j1; j += SOME_COLUMNS) {
            const int64_t m = wide_least(i + SOME_ROWS, i1), n = wide_least(j + SOME_COLUMNS, j1);
            weft__wide_dots(p, i, m, j, n, sums, SOME_COLUMNS, 0);
            weft__wide_round(p, sums, SOME_COLUMNS, i, m, j, n);
        }
}

static void dots(const weft__wide *p, int64_t i0, int64_t i1, int64_t j0, int64_t j1)
{
    float *c = (float *)p->c;
    if (weft__wide_is_narrow(p)) {
        weft__wide_narrow(p, i0, i1);
        return;
    }
    if (p->ct != WEFT_F32) {
        low_dots(p, i0, i1, j0, j1);
        return;
    }
    weft__wide_dots(p, i0, i1, j0, j1, c + i0 * p->rc + j0, p->rc, p->beta);
    weft__wide_end(p, i0, i1, j0, j1);
}

/* Rows that tiles, or dot products, have together. */
static int64_t height(const job *o)
{
    return o->dots ? 4 : WIDE_ROWS;
}

static void rectangles(const void *args, int64_t lo, int64_t hi)
{
    const job *o = args;
    const weft__wide *p = &o->p;
    const int64_t rows = wide_ceiling(p->m, height(o)), row = wide_ceiling(p->m, rows);
    const int64_t columns = wide_ceiling(p->n, WIDE_COLUMNS);
    for (int64_t r = lo; r < hi; r++) {
        const int64_t y = r / o->across, x = r % o->across;
        const int64_t i0 = wide_least(p->m, rows * y / o->down * row);
        const int64_t i1 = wide_least(p->m, rows * (y + 1) / o->down * row);
        const int64_t j0 = columns * x / o->across * WIDE_COLUMNS;
        const int64_t j1 = wide_least(p->n, columns * (x + 1) / o->across * WIDE_COLUMNS);
        if (i0 < i1 && j0 < j1)
            (o->dots ? dots : one)(p, i0, i1, j0, j1);
    }
}

/* As many rectangles as threads, if there are tiles for them. Each thread packs its own share of A and B, and of C what it does not
 * leave to itself is fetched from another's cache by what comes next, which is cut by rows: an optimizer's pass over gradients. */
static void share_out(job *o, int team)
{
    const double m = (double)o->p.m, n = (double)o->p.n, k = (double)o->p.k;
    const int64_t high = wide_ceiling(o->p.m, height(o));
    team = (int)wide_least(team, high * wide_ceiling(o->p.n, WIDE_COLUMNS));
    double best = 0;
    for (int down = 1; down <= wide_least(team, high); down++) {
        const double across = (double)team / down;
        const double cost = (down * n + across * m) * k + m * n * (1 - 1 / across);
        if (team % down == 0 && (down == 1 || cost < best)) {
            best = cost;
            o->down = down;
            o->across = team / down;
        }
    }
    weft__cpu_pieces(rectangles, o, team, 1, team);
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
                      .beta = was.beta,
                      .bias = was.bias,
                      .relu = was.relu,
                      .dt = was.dt,
                      .ct = was.ct};
}

/* Rows of A and columns of B lie along k. */
static bool by_dots(const weft__wide *p)
{
    const int64_t most = p->k < SHORT || p->dt != WEFT_F32 ? FEW_ROWS
                         : p->n * p->k < NEAR              ? MOST_ROWS
                                                           : MORE_ROWS;
    return p->m <= most || p->n < WIDE_LANES;
}

/* along: rows of A and columns of B lie along k. */
static bool multiply(weft_stream *s, job *o, bool along)
{
    weft__wide *p = &o->p;
    if (p->k == 0 || (p->dt != WEFT_F32 && p->dt != WEFT_BF16) || !weft__cpu_wide_name())
        return false;
    const double m = (double)p->m, n = (double)p->n, k = (double)p->k;
    const double multiplies = m * n * k / MULTIPLY_ADDS, moves = m * k + (m + k) * n;
    const int team = weft__cpu_team(s->device, multiplies > moves ? multiplies : moves);
    o->dots = along && by_dots(p);
    if (!o->dots && along && p->m < p->n && p->m <= MANY_ROWS)
        turn(p);
    if (team == 1) /* divisions take long beside small products */
        (o->dots ? dots : one)(p, 0, p->m, 0, p->n);
    else
        share_out(o, team);
    return true;
}

bool weft__cpu_wide(weft_stream *s, weft_dev c, weft_dtype ct, int64_t ldc, double alpha,
                    weft_dev a, int64_t lda, int ta, weft_dev b, int64_t ldb, int tb, double beta,
                    int64_t m, int64_t n, int64_t k, weft_dtype dt)
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
                   .beta = (float)beta,
                   .dt = dt,
                   .ct = ct}};
    return multiply(s, &o, !ta && tb);
}

bool weft__cpu_wide_linear(weft_stream *s, weft_dev y, weft_dev x, weft_dev w, weft_dev b,
                           bool relu, int64_t rows, int64_t c, int64_t o, weft_dtype dt)
{
    job of = {.p = {.m = rows,
                    .n = o,
                    .k = c,
                    .a = cpu_ptr(x),
                    .b = cpu_ptr(w),
                    .c = cpu_ptr(y),
                    .ra = c,
                    .ca = 1,
                    .rb = 1,
                    .cb = c,
                    .rc = o,
                    .cc = 1,
                    .alpha = 1,
                    .bias = b.addr ? cpu_ptr(b) : NULL,
                    .relu = relu,
                    .dt = dt,
                    .ct = dt}};
    return multiply(s, &of, true);
}

const char *weft__cpu_wide_name(void)
{
    const bool there = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                       __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
    return there ? "avx512" : NULL;
}
#else
bool weft__cpu_wide(weft_stream *s, weft_dev c, weft_dtype ct, int64_t ldc, double alpha,
                    weft_dev a, int64_t lda, int ta, weft_dev b, int64_t ldb, int tb, double beta,
                    int64_t m, int64_t n, int64_t k, weft_dtype dt)
{
    (void)s, (void)c, (void)ldc, (void)alpha, (void)a, (void)lda, (void)ta, (void)b, (void)ldb;
    (void)tb, (void)beta, (void)m, (void)n, (void)k, (void)ct, (void)dt;
    return false;
}

bool weft__cpu_wide_linear(weft_stream *s, weft_dev y, weft_dev x, weft_dev w, weft_dev b,
                           bool relu, int64_t rows, int64_t c, int64_t o, weft_dtype dt)
{
    (void)s, (void)y, (void)x, (void)w, (void)b, (void)relu, (void)rows, (void)c, (void)o, (void)dt;
    return false;
}

const char *weft__cpu_wide_name(void)
{
    return NULL;
}
#endif
