/* The ring. Batch n lives in slot n % depth. The consumer keeps the slot of its last batch until it
 * asks for the next one, because the batch's ids point into it; so `prefetch` batches ahead take
 * prefetch + 1 slots. Workers claim batches in order, finish them in any, and the consumer gets
 * them in order. A batch that cannot be made takes its place in the order like any other. */
#include "data/ring.h"

#include "core/alloc.h"
#include "core/thread.h"

#include <errno.h>

#define ROUND 64
#define SMALL (256 << 10) /* bytes of batches ahead, unless told otherwise, */
#define MOST_SMALL 64     /* in this many batches */

static size_t rounded(size_t bytes)
{
    return (bytes + ROUND - 1) / ROUND * ROUND;
}

static void release(weft__ring *r)
{
    weft__pinned_close(&r->pinned);
    weft__free(r->slot);
    weft__free(r->memory);
    r->slot = NULL;
    r->memory = NULL;
    r->bytes = 0;
    r->depth = 0;
}

static void cut(weft__ring *r, size_t ids, const size_t field[WEFT_FIELDS])
{
    char *p = r->memory;
    for (int i = 0; i < r->depth; i++) {
        r->slot[i].ids = (int64_t *)p;
        p += ids;
        for (int k = 0; k < WEFT_FIELDS; p += field[k++])
            r->slot[i].data[k] = p;
    }
}

/* Waking a worker costs more than reading a small batch, so of small ones they read more ahead. */
static int depth_of(const weft__plan *p, size_t bytes)
{
    size_t fit = bytes ? SMALL / bytes : SMALL;
    int deep = fit < MOST_SMALL ? (int)fit : MOST_SMALL;
    int ahead = p->small_more && deep > p->prefetch ? deep : p->prefetch;
    return 1 + (ahead && ahead < p->workers ? p->workers : ahead);
}

static weft_status reserve(weft__ring *r)
{
    int64_t most = weft__plan_most(r->plan);
    size_t field[WEFT_FIELDS] = {0}, ids = rounded((size_t)most * sizeof(int64_t)), all = ids;
    for (int k = 0; k < r->source->fields; k++)
        all += field[k] = rounded(weft__source_bytes(r->source, k, most, true));
    r->depth = depth_of(r->plan, all);
    r->slot = weft__new((size_t)r->depth, sizeof *r->slot);
    r->memory = r->slot ? weft__new((size_t)r->depth, all) : NULL;
    weft_status s = r->memory ? r->ops->open(r->self, r->plan->workers) : WEFT_ENOMEM;
    if (s < 0)
        release(r);
    else
        cut(r, ids, field);
    r->bytes = s < 0 ? 0 : (size_t)r->depth * all;
    weft__pinned_open(&r->pinned, r->device, r->memory, r->bytes);
    return s;
}

static weft__slot *slot_of(const weft__ring *r, int64_t n)
{
    return &r->slot[n % r->depth];
}

static weft__slot *begin(weft__ring *r, int64_t n)
{
    weft__slot *s = slot_of(r, n);
    s->number = n;
    weft__slot_begin(r->source, s);
    r->ops->claim(r->self, s);
    return s;
}

/* A worker's next batch; NULL when it must end. */
static weft__slot *claim(weft__ring *r)
{
    int64_t n = -1;
    weft__slot *s = NULL;
    pthread_mutex_lock(&r->turn);
    pthread_mutex_lock(&r->mutex);
    while (!r->stop && r->next - r->held >= r->depth)
        pthread_cond_wait(&r->freed, &r->mutex);
    if (!r->stop && r->next < r->total) {
        n = r->next++;
        slot_of(r, n)->ready = false;
    }
    pthread_mutex_unlock(&r->mutex);
    if (n >= 0)
        s = begin(r, n);
    pthread_mutex_unlock(&r->turn);
    return s;
}

static void *work(void *hand)
{
    const weft__hand *h = hand;
    weft__ring *r = h->ring;
    for (weft__slot *s; (s = claim(r)) != NULL;) {
        r->ops->fill(r->self, h->number, s);
        pthread_mutex_lock(&r->mutex);
        s->ready = true;
        if (s->number == r->taken)
            pthread_cond_signal(&r->filled);
        pthread_mutex_unlock(&r->mutex);
    }
    return NULL;
}

static weft_status start(weft__ring *r)
{
    int code = 0;
    r->stop = false;
    for (; r->running < r->plan->workers && !code; r->running += !code) {
        weft__hand *h = &r->hand[r->running];
        *h = (weft__hand){.ring = r, .number = r->running};
        code = weft__thread_start(&h->thread, 0, work, h);
    }
    if (!code)
        return WEFT_OK;
    weft__ring_seek(r, r->taken);
    errno = code;
    return weft__fail_errno(WEFT_ENOMEM, "loader: no thread for reading ahead, "
                                         "prefetch = WEFT_OFF reads without one");
}

void weft__ring_stop(weft__ring *r)
{
    pthread_mutex_lock(&r->mutex);
    r->stop = true;
    pthread_cond_broadcast(&r->freed);
    pthread_mutex_unlock(&r->mutex);
    for (; r->running > 0; r->running--)
        pthread_join(r->hand[r->running - 1].thread, NULL);
    weft__pinned_wait(&r->pinned);
}

void weft__ring_init(weft__ring *r, const weft__plan *plan, const weft__source *source,
                     const weft__maker_ops *ops, void *self, int64_t total)
{
    r->plan = plan;
    r->source = source;
    r->ops = ops;
    r->self = self;
    r->total = total;
    pthread_mutex_init(&r->turn, NULL);
    pthread_mutex_init(&r->mutex, NULL);
    pthread_cond_init(&r->filled, NULL);
    pthread_cond_init(&r->freed, NULL);
}

weft_status weft__ring_take(weft__ring *r, weft__slot **out)
{
    *out = NULL;
    if (r->taken >= r->total)
        return WEFT_OK;
    if (!r->depth)
        WEFT_TRY(reserve(r));
    WEFT_TRY(weft__pinned_wait(&r->pinned)); /* for the last batch, whose slot is given back */
    if (r->plan->prefetch && !r->running)
        WEFT_TRY(start(r));
    if (!r->running)
        r->ops->fill(r->self, 0, begin(r, r->taken));
    weft__slot *s = slot_of(r, r->taken);
    pthread_mutex_lock(&r->mutex);
    r->held = r->taken;
    if (r->next - r->held <= r->depth - (r->depth < 8 ? 1 : r->depth / 2))
        pthread_cond_signal(&r->freed); /* a deep ring is refilled by halves; one claimer waits */
    while (r->running && (r->next <= r->taken || !s->ready))
        pthread_cond_wait(&r->filled, &r->mutex);
    r->taken++;
    pthread_mutex_unlock(&r->mutex);
    *out = s;
    return WEFT_OK;
}

void weft__ring_seek(weft__ring *r, int64_t n)
{
    weft__ring_stop(r);
    r->next = r->taken = r->held = n;
    r->ops->seek(r->self, n);
}

void weft__ring_close(weft__ring *r)
{
    weft__ring_stop(r);
    release(r);
    pthread_cond_destroy(&r->freed);
    pthread_cond_destroy(&r->filled);
    pthread_mutex_destroy(&r->mutex);
    pthread_mutex_destroy(&r->turn);
}
