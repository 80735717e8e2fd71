/* The gradient of attention in bf16 by AMX, as in attention_back.c. Keys are rows here: with 64 of them and
 * 64 queries, S^T = k q^T and what reaches the weights, v gy^T, become P^T and G^T, and
 *   gv += P^T gy,  gk += G^T q,  gq^T += k^T G^T
 * A head is a piece of work. P and G are bf16 for their products, all sums f32. */
#include "device/cpu/attention_amx.h"

#if CPU_HAS_AMX
#include <string.h>

#define SIDE 64          /* keys and queries of a block */
#define ROOM (800 << 10) /* bytes of what is kept of a head's queries */
#define LOG2_E 1.4426950408889634

/* A head's queries: right factors and sums, all in tiles. */
typedef struct queries {
    char *q_across, *q_along, *gy_across, *gy_along;
    float *gq;      /* turned */
    float *gk, *gv; /* of all keys, if heads share them */
    float *lse, *delta;
    int64_t n, deep, vdeep; /* tiles along them, along size and vsize */
} queries;

/* A block of keys, and of it with one of queries. */
typedef struct block {
    char k[SIDE * WIDTH * 2], v[SIDE * WIDTH * 2], turned[SIDE * WIDTH * 2]; /* left factors */
    char p[SIDE * SIDE * 2], g[SIDE * SIDE * 2], g_along[SIDE * SIDE * 2];
    float s[32 * 32], gs[32 * 32];
    float gk[SIDE * WIDTH], gv[SIDE * WIDTH], keep[SIDE * SIDE];
} block;

static int64_t room_of(const weft_attention_terms *o)
{
    const int64_t size = even(o->size), vsize = even(o->vsize), n = even(o->queries);
    return n * (8 * size + 4 * vsize + 2 * (int64_t)sizeof(float)) +
           (o->heads > o->kv_heads ? even(o->keys) * (size + vsize) * (int64_t)sizeof(float) : 0);
}

static void lay(const weft_attention_terms *o, char *room, queries *x)
{
    const int64_t size = even(o->size), vsize = even(o->vsize), n = even(o->queries);
    x->n = n / 32, x->deep = size / 32, x->vdeep = vsize / 32;
    x->q_across = room;
    x->q_along = x->q_across + n * size * 2;
    x->gy_across = x->q_along + n * size * 2;
    x->gy_along = x->gy_across + n * vsize * 2;
    x->gq = (float *)(x->gy_along + n * vsize * 2);
    x->lse = x->gq + n * size;
    x->delta = x->lse + n;
    x->gk = x->delta + n;
    x->gv = x->gk + even(o->keys) * size;
}

/* delta and lse in units of log 2; infinite for queries that are not there or see nothing. */
AMX_TARGET static void lines(const struct attend *t, const head *at, queries *x)
{
    const weft_attention_terms *o = t->o;
    const int64_t from = place_of(o->y, at->b, at->h, 0);
    const uint16_t *y = (const uint16_t *)t->y + from, *gy = (const uint16_t *)t->gy + from;
    const float *lse = (const float *)t->lse + (at->b * o->heads + at->h) * o->queries;
    for (int64_t i = 0; i < even(o->queries); i++) {
        __m512 sum = _mm512_setzero_ps();
        for (int64_t d = 0; d < o->vsize; d += 32)
            sum = _mm512_dpbf16_ps(sum, (__m512bh)row_of(y, o->y[2], i, o->queries, d, o->vsize),
                                   (__m512bh)row_of(gy, o->y[2], i, o->queries, d, o->vsize));
        x->delta[i] = _mm512_reduce_add_ps(sum);
        x->lse[i] = i < o->queries && lse[i] != -INFINITY ? lse[i] * (float)LOG2_E : INFINITY;
    }
}

AMX_TARGET static void pack_queries(const struct attend *t, const head *at, queries *x)
{
    const weft_attention_terms *o = t->o;
    const uint16_t *q = (const uint16_t *)t->q + place_of(o->q, at->b, at->h, 0);
    const uint16_t *gy = (const uint16_t *)t->gy + place_of(o->y, at->b, at->h, 0);
    pack_across(x->q_across, q, o->q[2], o->queries, o->size);
    pack_along(x->q_along, q, o->q[2], o->queries, o->size, false);
    pack_across(x->gy_across, gy, o->y[2], o->queries, o->vsize);
    pack_along(x->gy_along, gy, o->y[2], o->queries, o->vsize, false);
    memset(x->gq, 0, (size_t)(even(o->queries) * even(o->size)) * sizeof *x->gq);
    lines(t, at, x);
}

AMX_TARGET static void pack_keys(const struct attend *t, const head *at, block *x, int64_t j0,
                                 int64_t n)
{
    const weft_attention_terms *o = t->o;
    const uint16_t *k = (const uint16_t *)t->k + place_of(o->k, at->b, at->group, j0);
    const uint16_t *v = (const uint16_t *)t->v + place_of(o->v, at->b, at->group, j0);
    pack_left(x->k, k, o->k[2], n, o->size);
    pack_along(x->turned, k, o->k[2], n, o->size, true);
    pack_left(x->v, v, o->v[2], n, o->vsize);
}

/* Row j of a block, 16 queries of it: what is seen of it. */
CPU_INLINE __mmask16 seen_of(const weft_attention_terms *o, int64_t j, int64_t i)
{
    const int64_t from = o->causal ? j - o->offset : 0;
    return j < o->keys ? (__mmask16)~below(i, from) : 0;
}

/* 16 queries of rows r and r + 1, which become P and G. */
AMX_INLINE void soften_pair(block *x, const weft_attention_terms *o, const float *lse,
                            const float *delta, int64_t jh, int64_t ih, int64_t r, int64_t c,
                            const __mmask16 *seen)
{
    const __m512 scale = _mm512_set1_ps((float)(o->scale * LOG2_E));
    const __m512 level = _mm512_load_ps(lse + c), less = _mm512_load_ps(delta + c);
    const int64_t at = (r / LANES * 2 + c / LANES) * 256 + r % LANES * LANES;
    const float *keep = o->p > 0 ? x->keep + (jh + r) * SIDE + ih + c : NULL;
    __m512 p[2], g[2];
    AMX_UNROLL for (int e = 0; e < 2; e++)
    {
        const __m512 s = _mm512_load_ps(x->s + at + e * LANES);
        const __m512 w = _mm512_maskz_mov_ps(seen[e], two_to(_mm512_fmsub_ps(s, scale, level)));
        const __m512 z = keep ? _mm512_load_ps(keep + e * SIDE) : _mm512_set1_ps(1);
        g[e] = _mm512_maskz_mul_ps(
            seen[e], w, _mm512_fmsub_ps(z, _mm512_load_ps(x->gs + at + e * LANES), less));
        p[e] = keep ? _mm512_mul_ps(w, z) : w;
    }
    const __m512i weave =
        _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6,
                         21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    const __m512i low = (__m512i)_mm512_cvtne2ps_pbh(p[1], p[0]);
    const __m512i glow = (__m512i)_mm512_cvtne2ps_pbh(g[1], g[0]);
    const int64_t left =
        ((jh + r) / LANES * (SIDE / 32) + ih / 32) * BYTES + r % LANES * 64 + c * 2;
    _mm256_store_si256((__m256i *)(x->p + left), _mm512_castsi512_si256(low));
    _mm256_store_si256((__m256i *)(x->p + left + 64), _mm512_extracti64x4_epi64(low, 1));
    _mm256_store_si256((__m256i *)(x->g + left), _mm512_castsi512_si256(glow));
    _mm256_store_si256((__m256i *)(x->g + left + 64), _mm512_extracti64x4_epi64(glow, 1));
    _mm512_store_si512(x->g_along + ((ih + c) / LANES * (SIDE / 32) + jh / 32) * BYTES + r * 32,
                       _mm512_permutexvar_epi16(weave, glow));
}

/* P and G of 32 keys and 32 queries, from j and i on. */
AMX_TARGET static void weigh_part(const weft_attention_terms *o, const queries *q, block *x,
                                  int64_t j, int64_t i)
{
    const int64_t jh = j % SIDE, ih = i % SIDE;
    multiply((char *)x->s, 2 * BYTES, BYTES, x->k + jh / LANES * q->deep * BYTES, q->deep * BYTES,
             q->q_across + i / LANES * q->deep * BYTES, q->deep * BYTES, q->deep, false);
    multiply((char *)x->gs, 2 * BYTES, BYTES, x->v + jh / LANES * q->vdeep * BYTES,
             q->vdeep * BYTES, q->gy_across + i / LANES * q->vdeep * BYTES, q->vdeep * BYTES,
             q->vdeep, false);
    const bool whole = j + 32 <= o->keys && (!o->causal || j + 31 - o->offset <= i);
    for (int64_t r = 0; r < 32; r += 2)
        for (int64_t c = 0; c < 32; c += LANES) {
            __mmask16 seen[2] = {0xFFFF, 0xFFFF};
            for (int e = 0; e < 2 && !whole; e++)
                seen[e] = seen_of(o, j + r + e, i + c);
            soften_pair(x, o, q->lse + i, q->delta + i, jh, ih, r, c, seen);
        }
}

/* The first 32 queries of a block that see a key from j on; SIDE: none. */
CPU_INLINE int64_t first_of(const weft_attention_terms *o, int64_t j, int64_t i0)
{
    return o->causal ? within(j - o->offset - i0, SIDE) / 32 * 32 : 0;
}

/* n keys from j0 on with m queries from i0 on: what they add to gk, gv and gq. */
AMX_TARGET static void add_block(const weft_attention_terms *o, const queries *q, ahead *next,
                                 block *x, float *gk, float *gv, int64_t j0, int64_t n, int64_t i0,
                                 int64_t m)
{
    const int64_t size = q->deep * 2 * BYTES, vsize = q->vdeep * 2 * BYTES;
    const int64_t right = q->n * BYTES, down = SIDE / 32 * BYTES;
    int64_t seeing[SIDE / 32] = {0}; /* blocks of 32 keys that 32 queries see */
    for (int64_t j = 0; j < n; j += 32)
        for (int64_t i = first_of(o, j0 + j, i0); i < m; i += 32) {
            weigh_part(o, q, x, j0 + j, i0 + i);
            fetch(next);
            seeing[i / 32] = j / 32 + 1;
        }
    for (int64_t j = 0; j < n; j += 32) {
        const int64_t first = first_of(o, j0 + j, i0), tiles = (even(m) - first) / 32;
        const int64_t left = j / LANES * down + first / 32 * BYTES, at = (i0 + first) / 32 * BYTES;
        for (int64_t d = 0; d < o->vsize && tiles > 0; d += 32, fetch(next))
            multiply((char *)gv + j / LANES * vsize + d / LANES * BYTES, vsize, BYTES, x->p + left,
                     down, q->gy_along + d / LANES * right + at, right, tiles, true);
        for (int64_t d = 0; d < o->size && tiles > 0; d += 32, fetch(next))
            multiply((char *)gk + j / LANES * size + d / LANES * BYTES, size, BYTES, x->g + left,
                     down, q->q_along + d / LANES * right + at, right, tiles, true);
    }
    for (int64_t i = 0; i < m; i += 32)
        for (int64_t d = 0; d < o->size && seeing[i / 32]; d += 32, fetch(next))
            multiply((char *)q->gq + (d / LANES * 2 * q->n + (i0 + i) / LANES) * BYTES,
                     2 * q->n * BYTES, BYTES, x->turned + d / LANES * (even(n) / 32) * BYTES,
                     even(n) / 32 * BYTES, x->g_along + i / LANES * down, down, seeing[i / 32],
                     true);
}

/* Sums of rows j0.. of gk or gv, in tiles. */
AMX_TARGET static void write_keys(void *to, const int64_t stride[3], const head *at,
                                  const float *sum, int64_t j0, int64_t n, int64_t columns,
                                  float factor)
{
    uint16_t *y = (uint16_t *)to + place_of(stride, at->b, at->group, j0);
    for (int64_t r = 0; r < n; r++)
        narrow(y + r * stride[2], row_in(sum, even(columns) / LANES * BYTES, r), columns, factor);
}

AMX_TARGET static void write_queries(const struct attend *t, const head *at, const queries *x)
{
    const weft_attention_terms *o = t->o;
    uint16_t *y = (uint16_t *)t->gq + place_of(o->gq, at->b, at->h, 0);
    _Alignas(64) float rows[2 * 256];
    for (int64_t i = 0; i < o->queries; i += LANES)
        for (int64_t d = 0; d < o->size; d += 32) {
            for (int64_t e = 0; e < 2; e++) {
                const float *from = x->gq + ((d / LANES + e) * 2 * x->n + i / LANES) * 256;
                __m512i v[LANES];
                AMX_UNROLL for (int r = 0; r < LANES; r++) v[r] =
                    _mm512_load_si512(from + r * LANES);
                cpu_turn(v);
                put((char *)(rows + e * 256), v);
            }
            for (int64_t r = 0; r < LANES && i + r < o->queries; r++)
                narrow(y + (i + r) * o->gq[2] + d, rows + r * LANES, least(32, o->size - d),
                       (float)o->scale);
        }
}

/* All keys with a head's queries. */
AMX_TARGET static void head_back(const struct attend *t, const head *at, ahead *next, queries *q,
                                 block *x, bool first, bool last)
{
    const weft_attention_terms *o = t->o;
    const bool shared = o->heads > o->kv_heads;
    pack_queries(t, at, q);
    for (int64_t j = 0; j < o->keys; j += SIDE) {
        const int64_t n = least(SIDE, o->keys - j);
        float *gk = shared ? q->gk + j * even(o->size) : x->gk;
        float *gv = shared ? q->gv + j * even(o->vsize) : x->gv;
        if (first) {
            memset(gk, 0, (size_t)(even(n) * even(o->size)) * sizeof *gk);
            memset(gv, 0, (size_t)(even(n) * even(o->vsize)) * sizeof *gv);
        }
        pack_keys(t, at, x, j, n);
        const int64_t from = o->causal ? within(j - o->offset, o->queries) / SIDE * SIDE : 0;
        for (int64_t i = from; i < o->queries; i += SIDE) {
            const int64_t m = least(SIDE, o->queries - i);
            if (o->p > 0)
                keep_or_drop(o, at, i, m, j, n, x->keep, SIDE, true);
            add_block(o, q, next, x, gk, gv, j, n, i, m);
        }
        if (last) {
            write_keys(t->gk, o->gk, at, gk, j, n, o->size, (float)o->scale);
            write_keys(t->gv, o->gv, at, gv, j, n, o->vsize, 1);
        }
    }
    write_queries(t, at, q);
}

AMX_TARGET static void heads_back(const void *args, int64_t lo, int64_t hi)
{
    const struct attend *t = args;
    const weft_attention_terms *o = t->o;
    const int64_t many = o->heads / o->kv_heads;
    _Alignas(64) char room[ROOM];
    _Alignas(64) block x;
    queries q;
    ahead next = {.rows = 0};
    const int64_t blocks = (o->queries + SIDE - 1) / SIDE;
    lay(o, room, &q);
    if (o->p > 0) /* nothing undefined meets the zeros of the edges */
        memset(x.keep, 0, sizeof x.keep);
    weft__amx_begin();
    for (int64_t e = lo; e < hi; e++) {
        head at = {.b = e / o->kv_heads, .group = e % o->kv_heads};
        for (int64_t h = 0; h < many; h++) {
            at.h = at.group * many + h;
            const int64_t here = at.b * o->heads + at.h + 1;
            want_back(&next, t, here < hi * many ? here : o->batch * o->heads, 2,
                      blocks * (blocks + 1) * 8);
            head_back(t, &at, &next, &q, &x, h == 0, h == many - 1);
        }
    }
    weft__amx_end();
}

bool weft__cpu_attention_amx_back(weft_stream *s, const struct attend *t)
{
    const weft_attention_terms *o = t->o;
    if (!t->gq || !t->gk || !amx_pays(o) || room_of(o) > ROOM || !weft__cpu_amx())
        return false;
    weft__cpu_rows(s->device, heads_back, t, o->batch * o->kv_heads,
                   o->heads / o->kv_heads * o->queries * o->keys * (o->size + o->vsize) /
                       MULTIPLY_ADDS / 4);
    return true;
}
#else
bool weft__cpu_attention_amx_back(weft_stream *s, const struct attend *t)
{
    (void)s, (void)t;
    return false;
}
#endif
