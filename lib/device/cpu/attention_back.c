/* The gradient of attention by tiles, as in attention.c, from lse alone. With P = exp(s - lse), Z what
 * dropout multiplies it with, and delta = the sum of gy y in a row:
 *   gv = (P Z)^T gy,  G = P (Z gy v^T - delta) scale,  gq = G k,  gk = G^T q
 * A tile of queries is a piece of work for gq, one of keys for gk and gv, over the heads that share
 * it: so that sums have one order. */
#include "device/cpu/attention.h"
#ifdef T
#ifndef LOW
#include "device/cpu/math.h"

CPU_INLINE void M(turn_places)(C *s, C *g, const float *keep, C factor, const C *lse,
                               const C *delta, int step, C scale, int64_t n)
{
#pragma omp simd
    for (int64_t j = 0; j < n; j++) {
        const C p = M(cpu_decay)(s[j] * scale - lse[j * step]);
        const C z = keep ? (C)keep[j] * factor : 1;
        s[j] = p * z;
        g[j] = p * (z * g[j] - delta[j * step]) * scale;
    }
}

/* A row of scores becomes weights, what reaches them becomes G, and s keeps P Z. lse and delta are those
 * of the row, or, with step 1, of its places; places before `from` and from `to` on are 0, w in all. */
static void M(turn_row)(const weft__tile_set *set, C *s, C *g, const float *keep, C factor,
                        const C *lse, const C *delta, int step, C scale, int64_t from, int64_t to,
                        int64_t w)
{
    const int64_t x = from / LINE(C) * LINE(C), n = M(lines)(to) - x;
    if (set->OF(turn))
        set->OF(turn)(s + x, g + x, keep ? keep + x : NULL, factor, lse + x * step,
                      delta + x * step, step, scale, n);
    else if (keep)
        M(turn_places)
    (s + x, g + x, keep + x, factor, lse + x * step, delta + x * step, step, scale, n);
    else if (step) M(turn_places)(s + x, g + x, NULL, factor, lse + x, delta + x, 1, scale, n);
    else M(turn_places)(s + x, g + x, NULL, factor, lse, delta, 0, scale, n);
    for (int64_t j = 0; j < from; j++)
        s[j] = g[j] = 0;
    for (int64_t j = to; j < w; j++)
        s[j] = g[j] = 0;
}
#endif

/* P Z and G of a tile, and what makes them: two inputs turned. */
typedef struct N(tile) {
    C q[TILE * WIDTH], gy[TILE * WIDTH]; /* or keys and values: rows as they were read */
    C s[TILE * TILE], g[TILE * TILE], zt[WIDTH * TILE], yt[WIDTH * TILE];
    float keep[TILE * TILE];
} N(tile);

/* Rows of (batch, heads, queries). */
static void N(deltas)(const void *args, int64_t lo, int64_t hi)
{
    const struct attend *t = args;
    const weft_attention_terms *o = t->o;
    for (int64_t r = lo; r < hi; r++) {
        const int64_t i = r % o->queries, h = r / o->queries % o->heads;
        const int64_t at = place_of(o->y, r / o->queries / o->heads, h, i);
        const T *y = (const T *)t->y + at, *gy = (const T *)t->gy + at;
        double lane[CPU_LANES] = {0};
        int64_t j = 0;
        for (; j + CPU_LANES <= o->vsize; j += CPU_LANES) {
#pragma omp simd
            for (int e = 0; e < CPU_LANES; e++)
                lane[e] += (double)LOAD(y[j + e]) * (double)LOAD(gy[j + e]);
        }
        for (int e = 0; j < o->vsize; j++, e++)
            lane[e] += (double)LOAD(y[j]) * (double)LOAD(gy[j]);
        ((C *)t->delta)[r] = (C)cpu_fold(lane);
    }
}

/* Tile x of n keys from j0 on, laid out by keys, for the queries of i0; their numbers are turned. */
static void N(by_keys)(const struct attend *t, const head *at, N(tile) * x, const C *lse,
                       const C *delta, int64_t i0, int64_t rows, int64_t j0, int64_t n)
{
    const weft_attention_terms *o = t->o;
    const band seeing = queries_seeing(o, i0, j0, n);
    N(scores)
    (t->set, x->q, seeing, x->s, (const T *)t->k + place_of(o->k, at->b, at->group, j0), o->k[2], n,
     x->zt, (const T *)t->q + place_of(o->q, at->b, at->h, i0), o->q[2], rows, o->size);
    N(scores)
    (t->set, x->gy, seeing, x->g, (const T *)t->v + place_of(o->v, at->b, at->group, j0), o->v[2],
     n, x->yt, (const T *)t->gy + place_of(o->y, at->b, at->h, i0), o->y[2], rows, o->vsize);
    if (o->p > 0)
        kept(o, at, i0, rows, j0, n, x->keep, TILE, true);
    for (int64_t j = 0; j < n; j++)
        M(turn_row)
    (t->set, x->s + j * TILE, x->g + j * TILE, o->p > 0 ? x->keep + j * TILE : NULL, (C)keep_of(o),
     lse, delta, 1, (C)o->scale, within(j + seeing.lower, rows), rows, M(lines)(rows));
}

/* Columns d..d+c-1 of gq for a tile of queries. */
static void N(to_queries)(const struct attend *t, const head *at, int64_t i0, int64_t d, int64_t c)
{
    const weft_attention_terms *o = t->o;
    const int64_t rows = least(TILE, o->queries - i0), end = seen_below(o, i0 + rows);
    const int64_t line = (at->b * o->heads + at->h) * o->queries + i0;
    const T *k = (const T *)t->k + place_of(o->k, at->b, at->group, 0) + d;
    C sum[TILE * WIDTH], lse[TILE] = {0}, delta[TILE] = {0};
    N(tile) x;
    for (int64_t r = 0; r < rows; r++) {
        lse[r] = ((const C *)t->lse)[line + r];
        delta[r] = ((const C *)t->delta)[line + r];
    }
    N(turned)
    (x.q, x.zt, (const T *)t->q + place_of(o->q, at->b, at->h, i0), o->q[2], rows, part(o->size));
    N(turned)
    (x.q, x.yt, (const T *)t->gy + place_of(o->y, at->b, at->h, i0), o->y[2], rows, part(o->vsize));
    for (int64_t j = 0, n; j < end; j += n) {
        n = least(TILE, end - j);
        N(by_keys)(t, at, &x, lse, delta, i0, rows, j, n);
        N(weigh)
        (t->set, x.q, keys_seen(o, i0, j, n), sum, x.g, k + j * o->k[2], o->k[2], rows, c, n,
         j > 0);
    }
    N(write)
    ((T *)t->gq + place_of(o->gq, at->b, at->h, i0) + d, o->gq[2], end ? sum : NULL, NULL, rows, c);
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
            c = part(o->size - d);
            N(to_queries)(t, &at, begin_of(e, tiles), d, c);
        }
    }
}

/* The first tile of queries that sees key j. */
CPU_INLINE int64_t N(first_to_see)(const weft_attention_terms *o, int64_t j)
{
    const int64_t i = o->causal && j > o->offset ? j - o->offset : 0;
    return i / TILE * TILE;
}

/* The tile of `rows` queries from i0 on, laid out by queries, for the keys of j0; their numbers are turned. */
static void N(by_queries)(const struct attend *t, const head *at, N(tile) * x, int64_t i0,
                          int64_t rows, int64_t j0, int64_t n)
{
    const weft_attention_terms *o = t->o;
    const band seen = keys_seen(o, i0, j0, n);
    const int64_t line = (at->b * o->heads + at->h) * o->queries + i0;
    const C *lse = (const C *)t->lse + line, *delta = (const C *)t->delta + line;
    N(scores)
    (t->set, x->q, seen, x->s, (const T *)t->q + place_of(o->q, at->b, at->h, i0), o->q[2], rows,
     x->zt, (const T *)t->k + place_of(o->k, at->b, at->group, j0), o->k[2], n, o->size);
    N(scores)
    (t->set, x->gy, seen, x->g, (const T *)t->gy + place_of(o->y, at->b, at->h, i0), o->y[2], rows,
     x->yt, (const T *)t->v + place_of(o->v, at->b, at->group, j0), o->v[2], n, o->vsize);
    if (o->p > 0)
        kept(o, at, i0, rows, j0, n, x->keep, TILE, false);
    for (int64_t r = 0; r < rows; r++)
        M(turn_row)
    (t->set, x->s + r * TILE, x->g + r * TILE, o->p > 0 ? x->keep + r * TILE : NULL, (C)keep_of(o),
     lse + r, delta + r, 0, (C)o->scale, 0, within(r + 1 + seen.upper, n), M(lines)(n));
}

/* A tile of keys: columns from d on, as many as are left and go at a time, of gk and gv. */
static void N(to_keys)(const struct attend *t, head at, int64_t j0, int64_t d)
{
    const weft_attention_terms *o = t->o;
    const int64_t n = least(TILE, o->keys - j0), many = o->heads / o->kv_heads;
    const int64_t ck = d < o->size ? part(o->size - d) : 0;
    const int64_t cv = d < o->vsize ? part(o->vsize - d) : 0;
    C ksum[TILE * WIDTH], vsum[TILE * WIDTH];
    N(tile) x;
    bool any = false;
    N(turned)
    (x.q, x.zt, (const T *)t->k + place_of(o->k, at.b, at.group, j0), o->k[2], n, part(o->size));
    N(turned)
    (x.q, x.yt, (const T *)t->v + place_of(o->v, at.b, at.group, j0), o->v[2], n, part(o->vsize));
    for (at.h = at.group * many; at.h < (at.group + 1) * many; at.h++)
        for (int64_t i = N(first_to_see)(o, j0); i < o->queries; i += TILE, any = true) {
            const int64_t rows = least(TILE, o->queries - i);
            const T *q = (const T *)t->q + place_of(o->q, at.b, at.h, i) + d;
            const T *gy = (const T *)t->gy + place_of(o->y, at.b, at.h, i) + d;
            N(by_queries)(t, &at, &x, i, rows, j0, n);
            const band seeing = queries_seeing(o, i, j0, n);
            N(weigh)(t->set, x.q, seeing, vsum, x.s, gy, o->y[2], n, cv, rows, any);
            N(weigh)(t->set, x.q, seeing, ksum, x.g, q, o->q[2], n, ck, rows, any);
        }
    N(write)
    ((T *)t->gk + place_of(o->gk, at.b, at.group, j0) + d, o->gk[2], any ? ksum : NULL, NULL, n,
     ck);
    N(write)
    ((T *)t->gv + place_of(o->gv, at.b, at.group, j0) + d, o->gv[2], any ? vsum : NULL, NULL, n,
     cv);
}

static void N(keys_back)(const void *args, int64_t lo, int64_t hi)
{
    const struct attend *t = args;
    const weft_attention_terms *o = t->o;
    const int64_t tiles = tiles_of(o->keys), most = o->size > o->vsize ? o->size : o->vsize;
    for (int64_t e = lo; e < hi; e++) {
        const head at = {.b = e / tiles / o->kv_heads, .group = e / tiles % o->kv_heads};
        for (int64_t d = 0; d < most; d += part(most - d))
            N(to_keys)(t, at, begin_of(e, tiles), d);
    }
}

/* Tile j0 of n keys with all queries of its group's heads, of one part each: its gk and gv, and what it adds
 * to gq, head after head in `sum`. */
static void N(key_tile)(const struct attend *t, ahead *next, head at, int64_t j0, C *sum)
{
    const weft_attention_terms *o = t->o;
    const int64_t n = least(TILE, o->keys - j0), many = o->heads / o->kv_heads;
    const int64_t first = at.group * many, w = M(lines)(o->size);
    C ksum[TILE * WIDTH], vsum[TILE * WIDTH], keys[TILE * WIDTH];
    N(tile) x;
    bool any = false;
    N(turned)
    (keys, x.yt, (const T *)t->v + place_of(o->v, at.b, at.group, j0), o->v[2], n, o->vsize);
    N(turned)
    (keys, x.zt, (const T *)t->k + place_of(o->k, at.b, at.group, j0), o->k[2], n, o->size);
    for (at.h = first; at.h < first + many; at.h++)
        for (int64_t i = N(first_to_see)(o, j0); i < o->queries; i += TILE, any = true) {
            const int64_t rows = least(TILE, o->queries - i);
            const band seeing = queries_seeing(o, i, j0, n), seen = keys_seen(o, i, j0, n);
            N(by_queries)(t, &at, &x, i, rows, j0, n);
            M(weigh_of)(t->set, next, seeing, vsum, x.s, 1, TILE, x.gy, n, o->vsize, rows, any);
            M(weigh_of)(t->set, next, seeing, ksum, x.g, 1, TILE, x.q, n, o->size, rows, any);
            M(weigh_of)
            (t->set, next, seen, sum + ((at.h - first) * o->queries + i) * w, x.g, TILE, 1, keys,
             rows, o->size, n, true);
        }
    N(write)
    ((T *)t->gk + place_of(o->gk, at.b, at.group, j0), o->gk[2], any ? ksum : NULL, NULL, n,
     o->size);
    N(write)
    ((T *)t->gv + place_of(o->gv, at.b, at.group, j0), o->gv[2], any ? vsum : NULL, NULL, n,
     o->vsize);
}

/* A group of heads, all of it: each tile is formed once, in the same order as above. */
static void N(groups_back)(const void *args, int64_t lo, int64_t hi)
{
    const struct attend *t = args;
    const weft_attention_terms *o = t->o;
    const int64_t many = o->heads / o->kv_heads, w = M(lines)(o->size);
    C sum[TOGETHER / sizeof(C)];
    ahead next = {.rows = 0};
    for (int64_t e = lo; e < hi; e++) {
        head at = {.b = e / o->kv_heads, .group = e % o->kv_heads};
        const int64_t tiles = tiles_of(o->queries);
        want_back(&next, t, e + 1 < hi ? (e + 1) * many : o->batch * o->heads, sizeof(T),
                  tiles * (tiles + 1) / 2 * 3 * TILE / STEP);
        memset(sum, 0, (size_t)(many * o->queries * w) * sizeof *sum);
        for (int64_t j = 0; j < o->keys; j += TILE)
            N(key_tile)(t, &next, at, j, sum);
        for (int64_t h = 0; h < many; h++)
            N(write)
        ((T *)t->gq + place_of(o->gq, at.b, at.group * many + h, 0), o->gq[2],
         sum + h * o->queries * w, NULL, o->queries, o->size);
    }
}

#else

#include <string.h>

/* Bytes of gq that are summed up beside gk and gv. */
#define TOGETHER (1 << 18)
#define CPU_FAMILY "device/cpu/attention_back.c"
#define CPU_LOW
#include "device/cpu/typed.h"

/* All that is wanted at once, if gq's sums find room and there are heads enough for all threads. */
static bool together(const struct attend *t, weft_dtype dt, int threads)
{
    const weft_attention_terms *o = t->o;
    const int64_t number = dt == WEFT_F64 ? sizeof(double) : sizeof(float);
    const int64_t line = (o->size * number + 63) / 64 * 64;
    return t->gq && t->gk && o->size <= WIDTH && o->vsize <= WIDTH && o->queries <= TOGETHER / 64 &&
           o->heads / o->kv_heads * o->queries * line <= TOGETHER &&
           (threads == 1 || o->batch * o->kv_heads >= 3 * threads);
}

weft_status weft__cpu_attention_back(weft_stream *s, weft_dev gq, weft_dev gk, weft_dev gv,
                                     weft_dev delta, weft_dev gy, weft_dev q, weft_dev k,
                                     weft_dev v, weft_dev y, weft_dev lse,
                                     const weft_attention_terms *o, weft_dtype dt)
{
    const struct attend t = {.o = o,
                             .set = weft__tile_best(),
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
    if (dt == WEFT_BF16 && weft__cpu_attention_amx_back(s, &t))
        return WEFT_OK;
    const int64_t sizes = o->size + o->vsize, rows = o->batch * o->heads * o->queries;
    WEFT_TRY(weft__cpu_each_row(s, CPU_FLOATS(deltas), dt, &t, rows, o->vsize));
    if (rows && together(&t, dt, s->device->threads))
        return weft__cpu_each_row(s, CPU_FLOATS(groups_back), dt, &t, o->batch * o->kv_heads,
                                  o->heads / o->kv_heads * o->queries * o->keys * sizes /
                                      MULTIPLY_ADDS);
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
