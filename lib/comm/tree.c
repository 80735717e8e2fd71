/* The sum over ranks as a binary tree in the order of the ranks, ((0+1)+(2+3))+..., so that a rank
 * whose part is a sum of that shape itself can be cut in two without a change of a single bit. By
 * recursive halving and doubling (Thakur, Rabenseifner, Gropp 2005), whose first exchange is with
 * the next rank: a sum of two is the same from either side. */
#include "comm/comm.h"

#include "comm/direct.h"
#include "comm/heartbeat.h"
#include "comm/request.h"
#include "comm/stage.h"
#include "core/alloc.h"
#include "core/error.h"

#define TAG 7

/* Elements [lo, hi) of the buffer. */
typedef struct range {
    int64_t lo, hi;
} range;

typedef struct tree {
    weft_comm *c;
    char *buf;
    weft_dtype t;
} tree;

static size_t bytes_of(const tree *x, range r)
{
    return (size_t)(r.hi - r.lo) * weft_dtype_size(x->t);
}

static char *at(const tree *x, range r)
{
    return x->buf + (size_t)r.lo * weft_dtype_size(x->t);
}

/* The lower rank of a pair speaks first. */
static weft_status exchange(const tree *x, int peer, range mine, void *into, range theirs)
{
    const weft_comm_ops *ops = x->c->ops;
    for (int turn = 0; turn < 2; turn++) {
        const bool speaks = (x->c->rank < peer) == (turn == 0);
        const size_t bytes = bytes_of(x, speaks ? mine : theirs);
        if (bytes && speaks)
            WEFT_TRY(ops->send(x->c, at(x, mine), (int64_t)bytes, peer, TAG));
        else if (bytes)
            WEFT_TRY(ops->recv(x->c, into, (int64_t)bytes, peer, TAG));
    }
    return WEFT_OK;
}

static void add(const tree *x, range r, const void *from)
{
    const int64_t n = r.hi - r.lo;
    const float *f = from;
    const double *d = from;
    float *single = (float *)(void *)at(x, r);
    double *wide = (double *)(void *)at(x, r);
    for (int64_t i = 0; i < n && x->t == WEFT_F32; i++)
        single[i] += f[i];
    for (int64_t i = 0; i < n && x->t == WEFT_F64; i++)
        wide[i] += d[i];
}

/* The half that this rank keeps in its exchange with rank ^ distance. */
static range half(range r, bool upper)
{
    const int64_t middle = r.lo + (r.hi - r.lo) / 2;
    return upper ? (range){middle, r.hi} : (range){r.lo, middle};
}

static weft_status reduce(const tree *x, int64_t n, void *room)
{
    const int rank = x->c->rank, world = x->c->world;
    range r = {0, n}, above[32];
    int depth = 0;
    for (int distance = 1; distance < world; distance *= 2, depth++) {
        const bool upper = (rank & distance) != 0;
        const range mine = half(r, upper);
        WEFT_TRY(exchange(x, rank ^ distance, half(r, !upper), room, mine));
        add(x, mine, room);
        above[depth] = r;
        r = mine;
    }
    for (int distance = world / 2; distance > 0; distance /= 2) {
        const range all = above[--depth], theirs = half(all, (rank & distance) == 0);
        WEFT_TRY(exchange(x, rank ^ distance, r, at(x, theirs), theirs));
        r = all;
    }
    return WEFT_OK;
}

weft_status weft__tree_reserve(weft_comm *c, int64_t n)
{
    const size_t bytes = (size_t)(n / 2 + 1) * sizeof(double);
    return c->world > 1 ? weft__grow(&c->room, &c->room_bytes, bytes, 1) : WEFT_OK;
}

static weft_status can(const weft_comm *c, int64_t n, weft_dtype t)
{
    if (n < 0)
        return weft__fail(WEFT_EARG, "a count of %lld", (long long)n);
    if (c->world & (c->world - 1))
        return weft__fail(WEFT_EARG, "a tree of %d ranks; their number must be a power of two",
                          c->world);
    return t == WEFT_F32 || t == WEFT_F64
               ? WEFT_OK
               : weft__fail(WEFT_EDTYPE, "%s is not summed by a tree; f32 and f64 are",
                            weft_dtype_name(t));
}

weft_status weft__all_reduce_tree(weft_comm *c, const char *name, void *buf, int64_t n,
                                  weft_dtype t)
{
    weft_request r = weft__request_all_reduce(buf, n, t, WEFT_REDUCE_SUM);
    WEFT_TRY(weft__comm_begin(c, name));
    weft__heartbeat_enter(c);
    weft_status s = can(c, n, t);
    s = s ? s : weft__tree_reserve(c, n);
    if (!s) {
        s = weft__stage_in(weft__direct_under(c), &r);
        const tree x = {.c = c, .buf = r.out, .t = t};
        s = s ? s : reduce(&x, n, c->room);
        s = weft__stage_out(weft__direct_under(c), &r, s);
    }
    return weft__comm_end(c, "all_reduce_tree", name, c->sequence, s);
}
