/* Summing over ranks, each element in the order of the ranks: where it lies, if all buffers are in a
 * window, else through slots or chunk by chunk. */
#include "comm/shm_self.h"

#include "core/error.h"

#include <string.h>

#define TINY 2048 /* bytes that are not worth asking where they are */

/* What is reduced: n elements, and where rank q's share of them begins, to the cache line. */
typedef struct job {
    int64_t n, unit;
    size_t size;
    weft_dtype type;
    weft_reduce op;
} job;

static job job_of(int64_t n, weft_dtype t, weft_reduce op)
{
    size_t size = weft_dtype_size(t);
    return (job){.n = n, .unit = WEFT__LINE / (int64_t)size, .size = size, .type = t, .op = op};
}

/* What this rank brings to the next meeting. */
static void bring(const weft__shm *s, const void *from, int64_t n, size_t size)
{
    if (n)
        memcpy(weft__shm_next(s), from, (size_t)n * size);
}

static int64_t cut(const weft__shm *s, const job *j, int64_t n, int q)
{
    return q == s->base.world ? n : n / j->unit * q / s->base.world * j->unit;
}

/* Elements of chunk i. */
static int64_t length(const job *j, int64_t i)
{
    int64_t most = WEFT__STAGE / (int64_t)j->size, left = j->n - i * most;
    return left < most ? left : most;
}

static void reduce(const weft__shm *s, const job *j, int nouts, int64_t n)
{
    weft__shm_reduce(s->out, nouts, s->in, s->base.world, n, j->type, j->op);
}

/* What lies in the slots of the last meeting, from element `first`. */
static void reduce_slots(const weft__shm *s, const job *j, int64_t first, void *out, int64_t n)
{
    for (int q = 0; q < s->base.world; q++)
        s->in[q] = weft__slot_of(s, q)->data + (size_t)first * j->size;
    s->out[0] = out;
    reduce(s, j, 1, n);
}

/* ---- all_reduce ---- */

/* Each rank sums its share of all ranks' buffers and writes it to all of them. They start at
 * different ones, so that they are not all at the same. */
static weft_status in_place(weft__shm *s, const job *j)
{
    const int world = s->base.world, rank = s->base.rank;
    int64_t lo = cut(s, j, j->n, rank), hi = cut(s, j, j->n, rank + 1);
    for (int q = 0; q < world; q++) {
        char *at = weft__shm_buffer(s, q) + (size_t)lo * j->size;
        s->in[q] = at;
        s->out[(q + world - rank) % world] = at;
    }
    reduce(s, j, world, hi - lo);
    return weft__shm_meet(s);
}

/* Gives the others what they need of chunk i: all but this rank's share. */
static void give(const weft__shm *s, const job *j, const char *buf, int64_t i)
{
    int64_t n = length(j, i);
    size_t lo = (size_t)cut(s, j, n, s->base.rank) * j->size;
    size_t hi = (size_t)cut(s, j, n, s->base.rank + 1) * j->size;
    char *stage = weft__desk_of(s, s->base.rank)->stage[i & 1];
    buf += i * WEFT__STAGE;
    memcpy(stage, buf, lo);
    memcpy(stage + hi, buf + hi, (size_t)n * j->size - hi);
}

static void sum(const weft__shm *s, const job *j, char *buf, int64_t i)
{
    int64_t n = length(j, i), lo = cut(s, j, n, s->base.rank), hi = cut(s, j, n, s->base.rank + 1);
    size_t at = (size_t)lo * j->size;
    for (int q = 0; q < s->base.world; q++)
        s->in[q] = weft__desk_of(s, q)->stage[i & 1] + at;
    s->in[s->base.rank] = s->out[0] = buf + i * WEFT__STAGE + at;
    s->out[1] = weft__desk_of(s, s->base.rank)->result[i & 1] + at;
    reduce(s, j, 2, hi - lo);
}

static void fetch(const weft__shm *s, const job *j, char *buf, int64_t i)
{
    int64_t n = length(j, i);
    for (int q = 0; q < s->base.world; q++) {
        size_t lo = (size_t)cut(s, j, n, q) * j->size, hi = (size_t)cut(s, j, n, q + 1) * j->size;
        if (q != s->base.rank)
            memcpy(buf + i * WEFT__STAGE + lo, weft__desk_of(s, q)->result[i & 1] + lo, hi - lo);
    }
}

/* Three chunks are under way: one is given, one summed, one fetched. */
static weft_status by_chunks(weft__shm *s, const job *j, char *buf)
{
    int64_t most = WEFT__STAGE / (int64_t)j->size, chunks = (j->n + most - 1) / most;
    for (int64_t i = 0; i < chunks + 2; i++) {
        if (i < chunks)
            give(s, j, buf, i);
        if (i > 0 && i <= chunks)
            sum(s, j, buf, i - 1);
        if (i > 1)
            fetch(s, j, buf, i - 2);
        if (i <= chunks)
            WEFT_TRY(weft__shm_meet(s));
    }
    return WEFT_OK;
}

weft_status weft__shm_all_reduce(weft_comm *c, void *buf, int64_t n, weft_dtype t, weft_reduce op)
{
    weft__shm *s = c->self;
    const job j = job_of(n, t, op);
    const weft__call call = {
        .kind = WEFT__ALL_REDUCE, .type = (int16_t)t, .how = (int32_t)op, .n = n};
    const bool tiny = n <= TINY / (int64_t)j.size;
    if (tiny)
        bring(s, buf, n, j.size);
    WEFT_TRY(weft__shm_begin(s, &call, buf));
    if (!tiny && weft__shm_in_window(s))
        return in_place(s, &j);
    if (n > WEFT__SLOT / (int64_t)j.size)
        return by_chunks(s, &j, buf);
    if (!tiny) {
        bring(s, buf, n, j.size);
        WEFT_TRY(weft__shm_meet(s));
    }
    reduce_slots(s, &j, 0, buf, n);
    return WEFT_OK;
}

/* ---- reduce_scatter ---- */

/* Elements of part q that travel from its element `at` on, `most` at a time. */
static int64_t left(const int64_t *counts, int q, int64_t at, int64_t most)
{
    int64_t n = counts[q] - at;
    return n < 0 ? 0 : n < most ? n : most;
}

/* As many elements of every part at a time. `in` and `out` are at the first of them. */
static weft_status scatter_some(weft__shm *s, const job *j, char *out, const char *in,
                                const int64_t *counts, int64_t at, int64_t most)
{
    const int rank = s->base.rank;
    const size_t room = (size_t)most * j->size, turn = (size_t)(at / most & 1);
    for (int q = 0; q < s->base.world; q++) {
        memcpy(weft__desk_of(s, rank)->stage[turn] + (size_t)q * room, in,
               (size_t)left(counts, q, at, most) * j->size);
        in += (size_t)counts[q] * j->size;
    }
    WEFT_TRY(weft__shm_meet(s));
    for (int q = 0; q < s->base.world; q++)
        s->in[q] = weft__desk_of(s, q)->stage[turn] + (size_t)rank * room;
    s->out[0] = out;
    reduce(s, j, 1, left(counts, rank, at, most));
    return WEFT_OK;
}

static weft_status scatter_chunks(weft__shm *s, const job *j, char *out, const char *in,
                                  const int64_t *counts)
{
    const int64_t most = WEFT__STAGE / (int64_t)j->size / s->base.world;
    int64_t longest = 0;
    for (int q = 0; q < s->base.world; q++)
        longest = counts[q] > longest ? counts[q] : longest;
    for (int64_t at = 0; at < longest; at += most)
        WEFT_TRY(scatter_some(s, j, out + (size_t)at * j->size, in + (size_t)at * j->size, counts,
                              at, most));
    return WEFT_OK;
}

weft_status weft__shm_reduce_scatter(weft_comm *c, void *out, const void *in, const int64_t *counts,
                                     weft_dtype t)
{
    weft__shm *s = c->self;
    int64_t all = 0, before = 0;
    for (int q = 0; q < c->world; q++) {
        before = q == c->rank ? all : before;
        all += counts[q];
    }
    const job j = job_of(all, t, WEFT_REDUCE_SUM);
    const weft__call call = {.kind = WEFT__REDUCE_SCATTER,
                             .type = (int16_t)t,
                             .n = all,
                             .parts = weft__shm_hash(s, counts)};
    const bool tiny = all <= TINY / (int64_t)j.size;
    if (tiny)
        bring(s, in, all, j.size);
    WEFT_TRY(weft__shm_begin(s, &call, in));
    if (tiny) {
        reduce_slots(s, &j, before, out, counts[c->rank]);
        return WEFT_OK;
    }
    if (!weft__shm_in_window(s))
        return scatter_chunks(s, &j, out, in, counts);
    for (int q = 0; q < c->world; q++)
        s->in[q] = weft__shm_buffer(s, q) + (size_t)before * j.size;
    s->out[0] = out;
    reduce(s, &j, 1, counts[c->rank]);
    return weft__shm_meet(s); /* the others may change theirs again */
}
