/* Attention by tiles, as Dao, "FlashAttention-2: faster attention with better parallelism and work
 * partitioning" (2023): with the largest score m and the sum l = sum_j exp(s_j - m) of the keys so far,
 * a further tile with a larger m' makes
 *   l = exp(m - m') l + sum_j exp(s_j - m'),  y = exp(m - m') y + sum_j exp(s_j - m') v_j
 * and at the end y = y / l, lse = m + log l. A tile of queries is a piece of work of its own. Its scores
 * are laid out by keys, so that queries lie side by side in vectors. */
#include "device/cpu/attention.h"
#ifdef T
#ifndef LOW
#include "device/cpu/math.h"

/* Queries of a tile: their largest scores and sums so far, and how a tile of keys changes them. */
typedef struct M(running) {
    C m[TILE], before[TILE], sum[TILE];
    double l[TILE];
} M(running);

/* The line that query number i is in. */
CPU_INLINE int64_t M(line_of)(int64_t i)
{
    return i / LINE(C) * LINE(C);
}

/* The largest scores, those of n keys included: each key's from the line of the first query that sees it. */
static void M(rise)(M(running) * run, C *s, band seeing, int64_t n, int64_t w, C scale)
{
    C top[TILE];
    for (int64_t i = 0; i < w; i++)
        top[i] = run->m[i];
    for (int64_t j = 0; j < n; j++)
#pragma omp simd
        for (int64_t i = M(line_of)(within(j + seeing.lower, w)); i < w; i++) {
            const C x = s[j * TILE + i] * scale;
            s[j * TILE + i] = x;
            top[i] = x > top[i] ? x : top[i];
        }
#pragma omp simd
    for (int64_t i = 0; i < w; i++) {
        const C level = top[i] == -(C)INFINITY ? 0 : top[i]; /* nothing was seen */
        run->before[i] = M(cpu_decay)(run->m[i] - level);
        run->m[i] = top[i];
        run->sum[i] = 0;
    }
}

/* Scores become exp(s - m), before the line 0; sums move on. */
static void M(soften)(M(running) * run, C *s, band seeing, int64_t n, int64_t w)
{
    C level[TILE];
    for (int64_t i = 0; i < w; i++)
        level[i] = run->m[i] == -(C)INFINITY ? 0 : run->m[i];
    for (int64_t j = 0; j < n; j++) {
        const int64_t from = M(line_of)(within(j + seeing.lower, w));
        for (int64_t i = 0; i < from; i++)
            s[j * TILE + i] = 0;
#pragma omp simd
        for (int64_t i = from; i < w; i++) {
            s[j * TILE + i] = M(cpu_decay)(s[j * TILE + i] - level[i]);
            run->sum[i] += s[j * TILE + i];
        }
    }
}

static void M(add_up)(M(running) * run, int64_t w)
{
    for (int64_t i = 0; i < w; i++)
        run->l[i] = run->l[i] * (double)run->before[i] + (double)run->sum[i];
}

static void M(rescale)(C *y, const C *factor, int64_t rows, int64_t w)
{
    for (int64_t r = 0; r < rows; r++) {
        const C f = factor[r];
#pragma omp simd
        for (int64_t j = 0; j < w; j++)
            y[r * w + j] *= f;
    }
}

/* Drops weights of a tile, n keys and so many queries. */
static void M(drop)(const weft_attention_terms *o, const head *at, C *s, int64_t i0, int64_t rows,
                    int64_t j0, int64_t n)
{
    const C factor = (C)keep_of(o);
    float keep[TILE * TILE];
    kept(o, at, i0, rows, j0, n, keep, TILE, true);
    for (int64_t j = 0; j < n; j++)
#pragma omp simd
        for (int64_t i = 0; i < rows; i++)
            s[j * TILE + i] *= (C)keep[j * TILE + i] * factor;
}

/* Scores of n keys from j0 on become weights; those that a query does not see are 0. */
static void M(weights)(const weft__tile_set *set, const weft_attention_terms *o, const head *at,
                       C *s, int64_t i0, int64_t rows, int64_t j0, int64_t n, M(running) * run)
{
    const int64_t w = M(lines)(rows);
    const band seeing = queries_seeing(o, i0, j0, n);
    for (int64_t j = 0; j < n; j++) {
        const int64_t first = within(j + seeing.lower, rows);
        for (int64_t i = M(line_of)(first); i < first; i++)
            s[j * TILE + i] = -(C)INFINITY;
    }
    if (set->OF(soften)) {
        set->OF(soften)(s, run->m, run->before, run->sum, seeing.lower, n, w, (C)o->scale);
    } else {
        M(rise)(run, s, seeing, n, w, (C)o->scale);
        M(soften)(run, s, seeing, n, w);
    }
    M(add_up)(run, w);
    if (o->p > 0)
        M(drop)(o, at, s, i0, rows, j0, n);
}
#endif

/* Columns d..d+c-1 of the result for `rows` queries from i0 on. keys and values: as they were read, if they
 * were. */
static void N(attend_to)(const struct attend *t, ahead *next, const head *at, const C *keys,
                         const C *values, int64_t i0, int64_t rows, int64_t d, int64_t c)
{
    const weft_attention_terms *o = t->o;
    const T *q = (const T *)t->q + place_of(o->q, at->b, at->h, i0);
    const T *k = (const T *)t->k + place_of(o->k, at->b, at->group, 0);
    const T *v = (const T *)t->v + place_of(o->v, at->b, at->group, 0) + d;
    C *lse = (C *)t->lse + (at->b * o->heads + at->h) * o->queries + i0;
    C s[TILE * TILE], qt[WIDTH * TILE], sum[TILE * WIDTH], factor[TILE];
    C room[TILE * WIDTH];
    M(running) run;
    const int64_t end = seen_below(o, i0 + rows), kw = M(lines)(o->size);
    for (int64_t r = 0; r < TILE; r++) {
        run.m[r] = -(C)INFINITY;
        run.l[r] = 0;
    }
    N(turned)(room, qt, q, o->q[2], rows, part(o->size));
    for (int64_t j = 0, n; j < end; j += n) {
        n = least(TILE, end - j);
        const band seeing = queries_seeing(o, i0, j, n), seen = keys_seen(o, i0, j, n);
        if (keys) {
            M(scores_of)
            (t->set, next, seeing, s, keys + j * kw, kw, qt, n, rows, o->size, false);
        } else {
            N(scores)
            (t->set, room, seeing, s, k + j * o->k[2], o->k[2], n, qt, q, o->q[2], rows, o->size);
        }
        M(weights)(t->set, o, at, s, i0, rows, j, n, &run);
        if (j)
            M(rescale)(sum, run.before, rows, M(lines)(c));
        if (values) {
            M(weigh_of)
            (t->set, next, seen, sum, s, 1, TILE, values + j * M(lines)(c), rows, c, n, j > 0);
        } else {
            N(weigh)(t->set, room, seen, sum, s, v + j * o->v[2], o->v[2], rows, c, n, j > 0);
        }
    }
    for (int64_t r = 0; r < rows; r++) {
        lse[r] = run.l[r] == 0 ? -(C)INFINITY : (C)((double)run.m[r] + log(run.l[r]));
        factor[r] = run.l[r] == 0 ? 0 : (C)(1 / run.l[r]);
    }
    N(write)
    ((T *)t->y + place_of(o->y, at->b, at->h, i0) + d, o->y[2], end ? sum : NULL, factor, rows, c);
}

/* Reads the keys and values of a head. */
static void N(read_head)(const struct attend *t, const head *at, C *keys, C *values)
{
    const weft_attention_terms *o = t->o;
    N(read)
    (keys, (const T *)t->k + place_of(o->k, at->b, at->group, 0), o->k[2], o->keys, o->size);
    N(read)
    (values, (const T *)t->v + place_of(o->v, at->b, at->group, 0), o->v[2], o->keys, o->vsize);
}

/* Tiles of queries, head by head: each head is read once, if there is room for all of it. */
static void N(attention)(const void *args, int64_t lo, int64_t hi)
{
    const struct attend *t = args;
    const weft_attention_terms *o = t->o;
    const int64_t tiles = tiles_of(o->queries), many = o->heads / o->kv_heads;
    const int64_t line = M(lines)(o->size) + M(lines)(o->vsize);
    const bool fits = o->size <= WIDTH && o->vsize <= WIDTH && many * tiles > 1 &&
                      o->keys <= READY / ((int64_t)sizeof(C) * (line ? line : 1));
    C ready[READY / sizeof(C)], *values = ready + (fits ? o->keys * M(lines)(o->size) : 0);
    int64_t last = -1;
    ahead next = {.rows = 0};
    for (int64_t e = lo; e < hi; e++) {
        const int64_t h = e / tiles % o->heads, i = begin_of(e, tiles);
        const head at = {.b = e / tiles / o->heads, .h = h, .group = h / many};
        if (fits && last != e / tiles / many)
            N(read_head)(t, &at, ready, values);
        if (e == lo || e % tiles == 0)
            want_forward(&next, t,
                         (e / tiles + 1) * tiles < hi ? e / tiles + 1 : o->batch * o->heads,
                         sizeof(T), tiles * (tiles + 1) * TILE / STEP);
        last = e / tiles / many;
        int64_t d = 0;
        do {
            const int64_t c = part(o->vsize - d);
            N(attend_to)
            (t, &next, &at, fits ? ready : NULL, fits ? values : NULL, i,
             least(TILE, o->queries - i), d, c);
            d += c;
        } while (d < o->vsize);
    }
}

#else

/* Bytes of a head's keys and values that are read once for all its queries. */
#define READY (1 << 19)
#define CPU_FAMILY "device/cpu/attention.c"
#define CPU_LOW
#include "device/cpu/typed.h"

weft_status weft__cpu_attention(weft_stream *s, weft_dev y, weft_dev lse, weft_dev q, weft_dev k,
                                weft_dev v, const weft_attention_terms *o, weft_dtype dt)
{
    const struct attend t = {.o = o,
                             .set = weft__tile_best(),
                             .y = cpu_ptr(y),
                             .lse = cpu_ptr(lse),
                             .q = cpu_ptr(q),
                             .k = cpu_ptr(k),
                             .v = cpu_ptr(v)};
    if (dt == WEFT_BF16 && weft__cpu_attention_amx(s, &t))
        return WEFT_OK;
    return weft__cpu_each_row(s, CPU_FLOATS(attention), dt, &t,
                              o->batch * o->heads * tiles_of(o->queries),
                              TILE * o->keys * (o->size + o->vsize) / MULTIPLY_ADDS);
}
#endif
