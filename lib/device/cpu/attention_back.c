/* The gradient of attention by tiles, as in attention.c, from lse alone. With P = exp(s - lse), Z what
 * dropout multiplies it with, and delta = the sum of gy y in a row:
 *   gv = (P Z)^T gy,  G = P (Z gy v^T - delta) scale,  gq = G k,  gk = G^T q
 * A tile of queries is a piece of work for gq, one of keys for gk and gv, over the heads that share
 * it: so that sums have one order. */
#include "device/cpu/attention.h"
#ifdef T
#ifndef LOW
#include "device/cpu/math.h"

/* Rows of s: scores become weights, dp what reaches them becomes G; s keeps P Z. */
CPU_WIDE static void M(turn_row)(C *s, C *dp, const float *keep, C factor, int64_t n, int64_t seen,
                                 C lse, C delta, C scale)
{
#pragma omp simd
    for (int64_t j = 0; j < seen; j++) {
        const C p = M(cpu_exp)(s[j] - lse), z = (C)keep[j] * factor;
        s[j] = p * z;
        dp[j] = p * (z * dp[j] - delta) * scale;
    }
    for (int64_t j = seen; j < n; j++)
        s[j] = dp[j] = 0;
}
#endif

/* P Z and G of a tile: `rows` queries from i0 on, n keys from j0 on. */
typedef struct N(tile) {
    N(casts) room;
    C s[TILE * TILE], g[TILE * TILE];
} N(tile);

static void N(turn)(const struct attend *t, const head *at, N(tile) * x, int64_t i0, int64_t rows,
                    int64_t j0, int64_t n)
{
    const weft_attention_terms *o = t->o;
    const int64_t line = (at->b * o->heads + at->h) * o->queries + i0;
    const C *lse = (const C *)t->lse + line, *delta = (const C *)t->delta + line;
    const C factor = (C)keep_of(o);
    float keep[TILE];
    N(scores)
    (t, &x->room, x->s, o->scale, (const T *)t->q + place_of(o->q, at->b, at->h, i0), o->q[2], rows,
     (const T *)t->k + place_of(o->k, at->b, at->group, j0), o->k[2], n, o->size);
    N(scores)
    (t, &x->room, x->g, 1, (const T *)t->gy + place_of(o->y, at->b, at->h, i0), o->y[2], rows,
     (const T *)t->v + place_of(o->v, at->b, at->group, j0), o->v[2], n, o->vsize);
    for (int64_t j = 0; j < n; j++)
        keep[j] = 1;
    for (int64_t r = 0; r < rows; r++) {
        const int64_t end = seen_below(o, i0 + r + 1) - j0, seen = end < 0 ? 0 : least(n, end);
        if (o->p > 0)
            kept(o, at, i0 + r, j0, seen, keep);
        M(turn_row)
        (x->s + r * TILE, x->g + r * TILE, keep, factor, n, seen, lse[r], delta[r], (C)o->scale);
    }
}

/* Rows of (batch, heads, queries). */
CPU_WIDE static void N(deltas)(const void *args, int64_t lo, int64_t hi)
{
    const struct attend *t = args;
    const weft_attention_terms *o = t->o;
    for (int64_t r = lo; r < hi; r++) {
        const int64_t i = r % o->queries, h = r / o->queries % o->heads;
        const int64_t at = place_of(o->y, r / o->queries / o->heads, h, i);
        const T *y = (const T *)t->y + at, *gy = (const T *)t->gy + at;
        double sum = 0;
        for (int64_t j = 0; j < o->vsize; j++)
            sum += (double)LOAD(y[j]) * (double)LOAD(gy[j]);
        ((C *)t->delta)[r] = (C)sum;
    }
}

/* Columns d..d+c-1 of gq for a tile of queries. */
static void N(to_queries)(const struct attend *t, const head *at, int64_t i0, int64_t d, int64_t c)
{
    const weft_attention_terms *o = t->o;
    const int64_t rows = least(TILE, o->queries - i0), end = seen_below(o, i0 + rows);
    const T *k = (const T *)t->k + place_of(o->k, at->b, at->group, 0) + d;
    T *gq = (T *)t->gq + place_of(o->gq, at->b, at->h, i0) + d;
    N(sums) sums;
    N(tile) x;
    int64_t ld = o->gq[2];
    C *sum = N(sum_in)(&sums, gq, &ld, c);
    for (int64_t j = 0, n; j < end; j += n) {
        n = least(TILE, end - j);
        N(turn)(t, at, &x, i0, rows, j, n);
        N(weigh)(t, &x.room, sum, ld, j ? 1 : 0, x.g, 0, k + j * o->k[2], o->k[2], rows, c, n);
    }
    if (end)
        N(write)(gq, o->gq[2], sum, ld, NULL, rows, c);
    else
        N(blank)(gq, o->gq[2], rows, c);
}

static void N(queries_back)(const void *args, int64_t lo, int64_t hi)
{
    const struct attend *t = args;
    const weft_attention_terms *o = t->o;
    const int64_t tiles = tiles_of(o->queries);
    for (int64_t e = lo; e < hi; e++) {
        const int64_t h = e / tiles % o->heads;
        const head at = {.b = e / tiles / o->heads, .h = h, .group = h / (o->heads / o->kv_heads)};
        for (int64_t d = 0, c; d < o->size; d += c) {
            c = N(part)(o->size - d);
            N(to_queries)(t, &at, e % tiles * TILE, d, c);
        }
    }
}

/* The first tile of queries that sees key j. */
CPU_INLINE int64_t N(first_to_see)(const weft_attention_terms *o, int64_t j)
{
    const int64_t i = o->causal && j > o->offset ? j - o->offset : 0;
    return i / TILE * TILE;
}

/* A tile of keys: columns from d on, as many as are left and go at a time, of gk and gv. */
static void N(to_keys)(const struct attend *t, head at, int64_t j0, int64_t d)
{
    const weft_attention_terms *o = t->o;
    const int64_t n = least(TILE, o->keys - j0), many = o->heads / o->kv_heads;
    const int64_t ck = d < o->size ? N(part)(o->size - d) : 0;
    const int64_t cv = d < o->vsize ? N(part)(o->vsize - d) : 0;
    T *gk = (T *)t->gk + place_of(o->gk, at.b, at.group, j0) + d;
    T *gv = (T *)t->gv + place_of(o->gv, at.b, at.group, j0) + d;
    N(sums) ksums, vsums;
    N(tile) x;
    int64_t ldk = o->gk[2], ldv = o->gv[2];
    C *ksum = N(sum_in)(&ksums, gk, &ldk, ck), *vsum = N(sum_in)(&vsums, gv, &ldv, cv);
    bool any = false;
    for (at.h = at.group * many; at.h < (at.group + 1) * many; at.h++)
        for (int64_t i = N(first_to_see)(o, j0); i < o->queries; i += TILE, any = true) {
            const int64_t rows = least(TILE, o->queries - i);
            const T *q = (const T *)t->q + place_of(o->q, at.b, at.h, i) + d;
            const T *gy = (const T *)t->gy + place_of(o->y, at.b, at.h, i) + d;
            N(turn)(t, &at, &x, i, rows, j0, n);
            if (cv)
                N(weigh)(t, &x.room, vsum, ldv, any, x.s, 1, gy, o->y[2], n, cv, rows);
            if (ck)
                N(weigh)(t, &x.room, ksum, ldk, any, x.g, 1, q, o->q[2], n, ck, rows);
        }
    N(blank)(gk, o->gk[2], any ? 0 : n, ck);
    N(blank)(gv, o->gv[2], any ? 0 : n, cv);
    N(write)(gk, o->gk[2], ksum, ldk, NULL, any ? n : 0, ck);
    N(write)(gv, o->gv[2], vsum, ldv, NULL, any ? n : 0, cv);
}

static void N(keys_back)(const void *args, int64_t lo, int64_t hi)
{
    const struct attend *t = args;
    const weft_attention_terms *o = t->o;
    const int64_t tiles = tiles_of(o->keys), most = o->size > o->vsize ? o->size : o->vsize;
    for (int64_t e = lo; e < hi; e++) {
        const head at = {.b = e / tiles / o->kv_heads, .group = e / tiles % o->kv_heads};
        for (int64_t d = 0; d < most; d += N(part)(most - d))
            N(to_keys)(t, at, e % tiles * TILE, d);
    }
}

#else

#define CPU_FAMILY "device/cpu/attention_back.c"
#define CPU_LOW
#include "device/cpu/typed.h"

weft_status weft__cpu_attention_back(weft_stream *s, weft_dev gq, weft_dev gk, weft_dev gv,
                                     weft_dev delta, weft_dev gy, weft_dev q, weft_dev k,
                                     weft_dev v, weft_dev y, weft_dev lse,
                                     const weft_attention_terms *o, weft_dtype dt)
{
    const struct attend t = {.stream = s,
                             .o = o,
                             .y = cpu_ptr(y),
                             .lse = cpu_ptr(lse),
                             .gq = cpu_ptr(gq),
                             .gk = cpu_ptr(gk),
                             .gv = cpu_ptr(gv),
                             .delta = cpu_ptr(delta),
                             .q = cpu_ptr(q),
                             .k = cpu_ptr(k),
                             .v = cpu_ptr(v),
                             .gy = cpu_ptr(gy)};
    const int64_t sizes = o->size + o->vsize, rows = o->batch * o->heads * o->queries;
    WEFT_TRY(weft__cpu_each_row(s, CPU_FLOATS(deltas), dt, &t, rows, o->vsize));
    if (gq.addr)
        WEFT_TRY(weft__cpu_each_row(s, CPU_FLOATS(queries_back), dt, &t,
                                    o->batch * o->heads * tiles_of(o->queries),
                                    2 * TILE * o->keys * sizes / MULTIPLY_ADDS));
    return gk.addr ? weft__cpu_each_row(s, CPU_FLOATS(keys_back), dt, &t,
                                        o->batch * o->kv_heads * tiles_of(o->keys),
                                        2 * TILE * o->queries * sizes / MULTIPLY_ADDS)
                   : WEFT_OK;
}
#endif
