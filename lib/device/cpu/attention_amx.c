/* Attention of bf16 by AMX, as in attention.c: 32 queries with a block of keys at a time. Weights are bf16 for
 * their product with v; sums are f32, and scores count in units of log 2. */
#include "device/cpu/attention_amx.h"

#if CPU_HAS_AMX
#include <string.h>

#define QUERIES 32
#define LOG2_E 1.4426950408889634
#define BLOCK 256 /* keys */
#define READY                                                                                      \
    (1 << 19) /* bytes of a head's keys and values that are packed once for all its queries */
#define DOWN (BLOCK / LANES * BYTES) /* from scores to those of 16 queries later */

/* A tile of queries. */
typedef struct work {
    __m512 sum[QUERIES]; /* of weights, in lanes */
    char q[QUERIES * WIDTH * 2], weights[QUERIES * BLOCK * 2];
    float s[QUERIES * BLOCK], y[QUERIES * WIDTH]; /* in tiles */
    float top[QUERIES], level[QUERIES], keep[QUERIES * BLOCK];
} work;

/* Keys of a block from j0 on. */
CPU_INLINE int64_t keys_of(const weft_attention_terms *o, int64_t j0)
{
    return least(BLOCK, o->keys - j0);
}

/* Block j0 of keys and, behind them, of values, as right factors. */
AMX_TARGET static void pack_block(const struct attend *t, const head *at, int64_t j0, char *to)
{
    const weft_attention_terms *o = t->o;
    const int64_t n = keys_of(o, j0);
    const uint16_t *k = t->k, *v = t->v;
    pack_across(to, k + place_of(o->k, at->b, at->group, j0), o->k[2], n, o->size);
    pack_along(to + even(n) * even(o->size) * 2, v + place_of(o->v, at->b, at->group, j0), o->v[2],
               n, o->vsize, false);
}

CPU_INLINE int64_t block_bytes(const weft_attention_terms *o)
{
    return BLOCK * (even(o->size) + even(o->vsize)) * 2;
}

AMX_INLINE float highest(const float *s, int64_t n, __m512 scale)
{
    __m512 top = _mm512_set1_ps(-INFINITY);
    int64_t j = 0;
    for (; j + LANES <= n; j += LANES)
        top = _mm512_max_ps(top, _mm512_mul_ps(_mm512_load_ps(s + j * LANES), scale));
    if (j < n)
        top = _mm512_mask_max_ps(top, below(j, n), top,
                                 _mm512_mul_ps(_mm512_load_ps(s + j * LANES), scale));
    return _mm512_reduce_max_ps(top);
}

/* Sixteen weights of a row of scores, of which n are left. */
AMX_INLINE __m512 weight(const float *s, __m512 scale, __m512 level, int64_t n)
{
    const __m512 x = two_to(_mm512_fmsub_ps(_mm512_load_ps(s), scale, level));
    return n >= LANES ? x : _mm512_maskz_mov_ps(below(0, n), x);
}

/* The largest scores, those of a block included; what was summed up before is brought down to them. */
AMX_TARGET static void rise(work *w, const weft_attention_terms *o, const int64_t *seen, bool first)
{
    const __m512 scale = _mm512_set1_ps((float)(o->scale * LOG2_E));
    const __m512 none = _mm512_set1_ps(-INFINITY);
    _Alignas(64) float here[QUERIES], factor[QUERIES];
    for (int64_t r = 0; r < QUERIES; r++)
        here[r] = seen[r] > 0 ? highest(row_in(w->s, DOWN, r), seen[r], scale) : -INFINITY;
    for (int64_t r = 0; r < QUERIES; r += LANES) {
        const __m512 before = _mm512_load_ps(w->top + r);
        const __m512 top = _mm512_max_ps(_mm512_load_ps(here + r), before);
        const __mmask16 any = _mm512_cmp_ps_mask(top, none, _CMP_NEQ_UQ);
        const __m512 level = _mm512_maskz_mov_ps(any, top);
        _mm512_store_ps(w->top + r, top);
        _mm512_store_ps(w->level + r, level);
        _mm512_store_ps(factor + r, two_to(_mm512_sub_ps(before, level)));
    }
    for (int64_t r = 0; r < QUERIES && !first; r++)
        if (factor[r] != 1) {
            const __m512 f = _mm512_set1_ps(factor[r]);
            float *y = (float *)row_in(w->y, even(o->vsize) / LANES * BYTES, r);
            for (int64_t d = 0; d < even(o->vsize); d += LANES)
                _mm512_store_ps(y + d * LANES, _mm512_mul_ps(_mm512_load_ps(y + d * LANES), f));
            w->sum[r] = _mm512_mul_ps(w->sum[r], f);
        }
}

/* Row r of scores of n keys, of which it sees `seen`, becomes weights. */
AMX_INLINE void soften(work *w, const weft_attention_terms *o, int64_t r, int64_t seen, int64_t n,
                       bool first)
{
    const __m512 scale = _mm512_set1_ps((float)(o->scale * LOG2_E));
    const __m512 level = _mm512_set1_ps(w->level[r]);
    const float *s = row_in(w->s, DOWN, r), *keep = o->p > 0 ? w->keep + r * BLOCK : NULL;
    char *to = w->weights + r / LANES * (DOWN / 2) + r % LANES * 64;
    __m512 sum = first ? _mm512_setzero_ps() : w->sum[r];
    for (int64_t j = 0; j < even(n); j += 32, to += BYTES) {
        if (j >= seen) {
            _mm512_store_si512(to, _mm512_setzero_si512());
            continue;
        }
        __m512 a = weight(s + j * LANES, scale, level, seen - j);
        __m512 b = weight(s + (j + LANES) * LANES, scale, level, seen - j - LANES);
        sum = _mm512_add_ps(sum, _mm512_add_ps(a, b));
        if (keep) {
            a = _mm512_mul_ps(a, _mm512_load_ps(keep + j));
            b = _mm512_mul_ps(b, _mm512_load_ps(keep + j + LANES));
        }
        _mm512_store_si512(to, (__m512i)_mm512_cvtne2ps_pbh(b, a));
    }
    w->sum[r] = sum;
}

/* n keys from j0 on, packed. */
AMX_TARGET static void attend_block(const struct attend *t, const head *at, ahead *next, work *w,
                                    const char *packed, int64_t i0, int64_t rows, int64_t j0,
                                    int64_t n)
{
    const weft_attention_terms *o = t->o;
    const int64_t deep = even(o->size) / 32, all = even(keys_of(o, j0));
    const char *v = packed + all * even(o->size) * 2;
    int64_t seen[QUERIES];
    for (int64_t j = 0; j < n; j += 32, fetch(next))
        multiply((char *)w->s + j / LANES * BYTES, DOWN, BYTES, w->q, deep * BYTES,
                 packed + j / LANES * deep * BYTES, deep * BYTES, deep, false);
    if (o->p > 0)
        for (int64_t j = 0; j < n; j += TILE)
            keep_or_drop(o, at, i0, rows, j0 + j, least(TILE, n - j), w->keep + j, BLOCK, false);
    for (int64_t r = 0; r < QUERIES; r++)
        seen[r] = r < rows ? within(seen_below(o, i0 + r + 1) - j0, n) : 0;
    rise(w, o, seen, j0 == 0);
    for (int64_t r = 0; r < QUERIES; r++)
        soften(w, o, r, seen[r], n, j0 == 0);
    for (int64_t d = 0; d < o->vsize; d += 32, fetch(next))
        multiply((char *)w->y + d / LANES * BYTES, even(o->vsize) / LANES * BYTES, BYTES,
                 w->weights, DOWN / 2, v + d / LANES * (all / 32) * BYTES, all / 32 * BYTES,
                 even(n) / 32, j0 > 0);
}

/* y and lse of a tile of queries. */
AMX_TARGET static void finish(const struct attend *t, const head *at, const work *w, int64_t i0,
                              int64_t rows, bool any)
{
    const weft_attention_terms *o = t->o;
    uint16_t *y = (uint16_t *)t->y + place_of(o->y, at->b, at->h, i0);
    float *lse = (float *)t->lse + (at->b * o->heads + at->h) * o->queries + i0;
    for (int64_t r = 0; r < rows; r++, y += o->y[2]) {
        const double l = any ? (double)_mm512_reduce_add_ps(w->sum[r]) : 0;
        const float *s = row_in(w->y, even(o->vsize) / LANES * BYTES, r);
        lse[r] = l == 0
                     ? -INFINITY
                     : (float)(((double)w->top[r] + (double)log2f((float)l)) * 0.69314718055994531);
        narrow(y, s, o->vsize, l == 0 ? 0 : (float)(1 / l));
    }
}

/* Tiles of queries, head by head. */
AMX_TARGET static void attend_all(const void *args, int64_t lo, int64_t hi)
{
    const struct attend *t = args;
    const weft_attention_terms *o = t->o;
    const int64_t tiles = (o->queries + QUERIES - 1) / QUERIES, many = o->heads / o->kv_heads;
    const int64_t blocks = (o->keys + BLOCK - 1) / BLOCK;
    const bool fits = blocks * block_bytes(o) <= READY;
    _Alignas(64) char ready[READY];
    _Alignas(64) work w;
    int64_t last = -1;
    ahead next = {.rows = 0};
    if (o->p > 0) /* nothing undefined meets the zeros of the edges */
        memset(w.keep, 0, sizeof w.keep);
    weft__amx_begin();
    for (int64_t e = lo; e < hi; e++) {
        const int64_t h = e / tiles % o->heads, x = e % tiles;
        const int64_t i0 = (x % 2 ? tiles - 1 - x / 2 : x / 2) * QUERIES;
        const head at = {.b = e / tiles / o->heads, .h = h, .group = h / many};
        const int64_t rows = least(QUERIES, o->queries - i0), end = seen_below(o, i0 + rows);
        for (int64_t j = 0; fits && last != e / tiles / many && j < blocks; j++)
            pack_block(t, &at, j * BLOCK, ready + j * block_bytes(o));
        last = e / tiles / many;
        if (e == lo || e % tiles == 0)
            want_forward(&next, t,
                         (e / tiles + 1) * tiles < hi ? e / tiles + 1 : o->batch * o->heads, 2,
                         tiles * (tiles + 1) / 2 + tiles);
        pack_left(w.q, (const uint16_t *)t->q + place_of(o->q, at.b, at.h, i0), o->q[2], rows,
                  o->size);
        for (int64_t r = 0; r < QUERIES; r++)
            w.top[r] = -INFINITY;
        if (end == 0)
            memset(w.y, 0, sizeof w.y);
        for (int64_t j = 0; j < end; j += BLOCK) {
            if (!fits)
                pack_block(t, &at, j, ready);
            attend_block(t, &at, &next, &w, ready + (fits ? j / BLOCK * block_bytes(o) : 0), i0,
                         rows, j, least(BLOCK, end - j));
        }
        finish(t, &at, &w, i0, rows, end > 0);
    }
    weft__amx_end();
}

bool weft__cpu_attention_amx(weft_stream *s, const struct attend *t)
{
    const weft_attention_terms *o = t->o;
    const int64_t tiles = o->batch * o->heads * ((o->queries + QUERIES - 1) / QUERIES);
    if (!amx_pays(o) || !weft__cpu_amx())
        return false;
    weft__cpu_rows(s->device, attend_all, t, tiles,
                   QUERIES * o->keys * (o->size + o->vsize) / MULTIPLY_ADDS / 4);
    return true;
}
#else
bool weft__cpu_attention_amx(weft_stream *s, const struct attend *t)
{
    (void)s, (void)t;
    return false;
}
#endif
