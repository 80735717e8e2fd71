/* Attention by tiles, as Dao, "FlashAttention-2: faster attention with better parallelism and work
 * partitioning" (2023): with the largest score m and the sum l = sum_j exp(s_j - m) of the keys so far,
 * a further tile with a larger m' makes
 *   l = exp(m - m') l + sum_j exp(s_j - m'),  y = exp(m - m') y + sum_j exp(s_j - m') v_j
 * and at the end y = y / l, lse = m + log l. A tile of queries is a piece of work of its own. */
#include "device/cpu/attention.h"
#ifdef T
#ifndef LOW
#include "device/cpu/math.h"

/* A row of n scores becomes exp(s - m'), those from `seen` on 0; *m and *l move on.
 * @return exp(m - m'), what sums so far are to be multiplied with. */
CPU_WIDE static double M(soften)(C *s, int64_t n, int64_t seen, C *m, double *l)
{
    C top = *m;
    double sum = 0, lane[CPU_LANES] = {0};
    for (int64_t j = 0; j < seen; j++)
        top = s[j] > top ? s[j] : top;
    const double before = *l > 0 ? exp((double)(*m - top)) : 0;
#pragma omp simd
    for (int64_t j = 0; j < seen; j++)
        s[j] = M(cpu_exp)(s[j] - top);
    int64_t j = 0;
    for (; j + CPU_LANES <= seen; j += CPU_LANES)
        for (int e = 0; e < CPU_LANES; e++)
            lane[e] += (double)s[j + e];
    for (; j < seen; j++)
        sum += (double)s[j];
    for (; j < n; j++)
        s[j] = 0;
    *l = *l * before + (cpu_fold(lane) + sum);
    *m = top;
    return before;
}
#endif

/* Rows of a tile: their maxima and sums so far, and how the tile changes them. */
typedef struct N(running) {
    C m[TILE];
    double l[TILE], before[TILE];
} N(running);

static void N(soften_tile)(const struct attend *t, const head *at, C *s, int64_t i0, int64_t rows,
                           int64_t j0, int64_t n, N(running) * run)
{
    const weft_attention_terms *o = t->o;
    const C factor = (C)keep_of(o);
    float keep[TILE];
    for (int64_t r = 0; r < rows; r++) {
        const int64_t end = seen_below(o, i0 + r + 1) - j0, seen = end < 0 ? 0 : least(n, end);
        run->before[r] = M(soften)(s + r * TILE, n, seen, &run->m[r], &run->l[r]);
        if (o->p > 0) {
            kept(o, at, i0 + r, j0, seen, keep);
            for (int64_t j = 0; j < seen; j++)
                s[r * TILE + j] *= (C)keep[j] * factor;
        }
    }
}

CPU_WIDE static void N(rescale)(C *y, int64_t ld, const double *factor, int64_t rows,
                                int64_t columns)
{
    for (int64_t r = 0; r < rows; r++) {
        const C f = (C)factor[r];
        for (int64_t j = 0; j < columns; j++)
            y[r * ld + j] *= f;
    }
}

/* Columns d..d+c-1 of the result for `rows` queries from i0 on. */
static void N(attend_to)(const struct attend *t, const head *at, int64_t i0, int64_t rows,
                         int64_t d, int64_t c)
{
    const weft_attention_terms *o = t->o;
    const T *q = (const T *)t->q + place_of(o->q, at->b, at->h, i0);
    const T *k = (const T *)t->k + place_of(o->k, at->b, at->group, 0);
    const T *v = (const T *)t->v + place_of(o->v, at->b, at->group, 0) + d;
    T *y = (T *)t->y + place_of(o->y, at->b, at->h, i0) + d;
    C *lse = (C *)t->lse + (at->b * o->heads + at->h) * o->queries + i0, s[TILE * TILE];
    N(casts) room;
    N(sums) sums;
    N(running) run;
    int64_t ld = o->y[2];
    C *sum = N(sum_in)(&sums, y, &ld, c);
    const int64_t end = seen_below(o, i0 + rows);
    for (int64_t r = 0; r < rows; r++) {
        run.m[r] = -(C)INFINITY;
        run.l[r] = 0;
    }
    for (int64_t j = 0, n; j < end; j += n) {
        n = least(TILE, end - j);
        N(scores)(t, &room, s, o->scale, q, o->q[2], rows, k + j * o->k[2], o->k[2], n, o->size);
        N(soften_tile)(t, at, s, i0, rows, j, n, &run);
        if (j)
            N(rescale)(sum, ld, run.before, rows, c);
        N(weigh)(t, &room, sum, ld, j ? 1 : 0, s, 0, v + j * o->v[2], o->v[2], rows, c, n);
    }
    for (int64_t r = 0; r < rows; r++) {
        lse[r] = run.l[r] == 0 ? -(C)INFINITY : (C)((double)run.m[r] + log(run.l[r]));
        run.l[r] = run.l[r] == 0 ? 0 : 1 / run.l[r];
    }
    if (end)
        N(write)(y, o->y[2], sum, ld, run.l, rows, c);
    else
        N(blank)(y, o->y[2], rows, c);
}

/* Tiles of queries, those of a head one after the other. */
static void N(attention)(const void *args, int64_t lo, int64_t hi)
{
    const struct attend *t = args;
    const weft_attention_terms *o = t->o;
    const int64_t tiles = tiles_of(o->queries);
    for (int64_t e = lo; e < hi; e++) {
        const int64_t h = e / tiles % o->heads, i = e % tiles * TILE;
        const head at = {.b = e / tiles / o->heads, .h = h, .group = h / (o->heads / o->kv_heads)};
        int64_t d = 0;
        do {
            const int64_t c = N(part)(o->vsize - d);
            N(attend_to)(t, &at, i, least(TILE, o->queries - i), d, c);
            d += c;
        } while (d < o->vsize);
    }
}

#else

#define CPU_FAMILY "device/cpu/attention.c"
#define CPU_LOW
#include "device/cpu/typed.h"

weft_status weft__cpu_attention(weft_stream *s, weft_dev y, weft_dev lse, weft_dev q, weft_dev k,
                                weft_dev v, const weft_attention_terms *o, weft_dtype dt)
{
    const struct attend t = {.stream = s,
                             .o = o,
                             .y = cpu_ptr(y),
                             .lse = cpu_ptr(lse),
                             .q = cpu_ptr(q),
                             .k = cpu_ptr(k),
                             .v = cpu_ptr(v)};
    return weft__cpu_each_row(s, CPU_FLOATS(attention), dt, &t,
                              o->batch * o->heads * tiles_of(o->queries),
                              TILE * o->keys * (o->size + o->vsize) / MULTIPLY_ADDS);
}
#endif
