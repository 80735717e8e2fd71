/* A bounded table of plans by shape. No CUDA in here, so that it is tested anywhere. A set has a few
 * places; the one that was not used for longest makes room. */
#ifndef DEVICE_CUDA_PLANS_H
#define DEVICE_CUDA_PLANS_H
#include <stdint.h>
#include <string.h>
#include <weft/base.h>

#define WEFT__PLAN_SETS 128
#define WEFT__PLAN_WAYS 4

/* A row-major product, C (m,n) = op(A) op(B). Compared as bytes: no padding, unused members 0. */
typedef struct weft__product {
    int64_t m, n, k, lda, ldb, ldc;
    int64_t count, astride, bstride,
        cstride;                    /* matrices and elements between them; one: 1 and 0s */
    int32_t ta, tb, dt, ct;         /* dt of A, and of B unless bt says otherwise */
    int32_t aalign, balign, calign; /* bytes that the addresses are multiples of, at most 16 */
    int32_t fast;                   /* TF32 is allowed */
    int32_t adds;                   /* beta is not 0 */
    int32_t epilogue, ealign;       /* what is done to C at once, and with addresses how aligned */
    int32_t bt;
} weft__product;

/* Values of dt and bt beside weft_dtype's: codes of 8 bits. */
#define WEFT__PLAN_E4M3 (-1)
#define WEFT__PLAN_E5M2 (-2)

_Static_assert(sizeof(weft__product) == 10 * sizeof(int64_t) + 12 * sizeof(int32_t), "no padding");

typedef struct weft__plan_place {
    weft__product key;
    uint64_t used; /* when, by the table's clock; 0: empty */
    void *plan;
} weft__plan_place;

typedef struct weft__plans {
    uint64_t clock, made; /* made: plans so far */
    weft__plan_place place[WEFT__PLAN_SETS][WEFT__PLAN_WAYS];
} weft__plans;

#define WEFT__PLAN_TRIES 8 /* ways to compute a product that are timed */

/* Whether ways to compute it differ by more than what it costs to start one and what times vary by: from
 * 2^29 multiply-adds, some 10 us on the fastest GPUs. A C that is added to would change with each try. */
static inline int weft__plan_is_timed(const weft__product *p)
{
    return !p->adds && (double)p->m * (double)p->n * (double)p->k * (double)p->count >= 536870912.0;
}

/* Which of n ways to take by their times: the first, which the heuristics think best, unless another
 * is faster by a twentieth. A time below 0: that one failed. -1: all did. */
static inline int weft__plan_fastest(const float *time, int n)
{
    int first = 0, best;
    while (first < n && time[first] < 0)
        first++;
    if (first == n)
        return -1;
    best = first;
    for (int i = first + 1; i < n; i++)
        if (time[i] >= 0 && time[i] < time[best])
            best = i;
    return time[best] < time[first] * 0.95f ? best : first;
}

static inline int32_t weft__plan_align(uintptr_t address)
{
    const uintptr_t lowest = address & (~address + 1);
    return lowest == 0 || lowest > 16 ? 16 : (int32_t)lowest;
}

/* FNV-1a. */
static inline uint64_t weft__plan_hash(const weft__product *p)
{
    const unsigned char *byte = (const unsigned char *)p;
    uint64_t h = 14695981039346656037u;
    for (size_t i = 0; i < sizeof *p; i++)
        h = (h ^ byte[i]) * 1099511628211u;
    return h ^ h >> 32;
}

/* The place of p: its plan, or else the oldest of the set, whose plan is the caller's to replace. */
static inline weft__plan_place *weft__plan_find(weft__plans *t, const weft__product *p)
{
    weft__plan_place *set = t->place[weft__plan_hash(p) % WEFT__PLAN_SETS], *oldest = set;
    for (int i = 0; i < WEFT__PLAN_WAYS; i++) {
        if (set[i].used && memcmp(&set[i].key, p, sizeof *p) == 0) {
            set[i].used = ++t->clock;
            return &set[i];
        }
        if (set[i].used < oldest->used)
            oldest = &set[i];
    }
    return oldest;
}

static inline bool weft__plan_is(const weft__plan_place *at, const weft__product *p)
{
    return at->used && memcmp(&at->key, p, sizeof *p) == 0;
}

/* After what was there has been freed. */
static inline void weft__plan_put(weft__plans *t, weft__plan_place *at, const weft__product *p,
                                  void *plan)
{
    at->key = *p;
    at->used = ++t->clock;
    at->plan = plan;
    t->made++;
}

/* Dimensions of batches, folded: what lies at one stride in A, B and C is one dimension. */
typedef struct weft__fold {
    int rank;
    int64_t shape[WEFT_MAX_RANK], a[WEFT_MAX_RANK], b[WEFT_MAX_RANK], c[WEFT_MAX_RANK];
} weft__fold;

/* C's matrices of `each` elements lie one behind the other. Dimensions of one are left out. */
static inline weft__fold weft__fold_batch(int rank, const int64_t *shape, const int64_t *a,
                                          const int64_t *b, int64_t each)
{
    weft__fold f = {0};
    int64_t at = each;
    for (int i = rank - 1; i >= 0; at *= shape[i--]) {
        const int top = f.rank - 1; /* the dimension within this one */
        if (shape[i] == 1)
            continue;
        if (f.rank && a[i] == f.a[top] * f.shape[top] && b[i] == f.b[top] * f.shape[top]) {
            f.shape[top] *= shape[i];
            continue;
        }
        f.shape[f.rank] = shape[i];
        f.a[f.rank] = a[i];
        f.b[f.rank] = b[i];
        f.c[f.rank++] = at;
    }
    return f;
}

/* The dimension that is best taken at once, taken out of f; count 1 where there is none. */
static inline void weft__fold_take(weft__fold *f, int64_t *count, int64_t *a, int64_t *b,
                                   int64_t *c)
{
    int best = 0;
    *count = 1;
    *a = *b = *c = 0;
    if (!f->rank)
        return;
    for (int i = 1; i < f->rank; i++)
        if (f->shape[i] > f->shape[best])
            best = i;
    *count = f->shape[best];
    *a = f->a[best];
    *b = f->b[best];
    *c = f->c[best];
    f->rank--;
    for (int i = best; i < f->rank; i++) {
        f->shape[i] = f->shape[i + 1];
        f->a[i] = f->a[i + 1];
        f->b[i] = f->b[i + 1];
        f->c[i] = f->c[i + 1];
    }
}

/* Where matrix number i of what is left lies. */
static inline void weft__fold_at(const weft__fold *f, int64_t i, int64_t *a, int64_t *b, int64_t *c)
{
    *a = *b = *c = 0;
    for (int d = 0; d < f->rank; i /= f->shape[d++]) {
        const int64_t k = i % f->shape[d];
        *a += k * f->a[d];
        *b += k * f->b[d];
        *c += k * f->c[d];
    }
}
#endif
