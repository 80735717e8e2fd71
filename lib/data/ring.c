/* The ring. Batch n lives in slot n % depth. The consumer keeps the slot of its last batch until it
 * asks for the next one, because the batch's ids point into it; so `prefetch` batches ahead take
 * prefetch + 1 slots. A batch that cannot be read takes its place in the order like any other. */
#include "data/ring.h"

#include "core/alloc.h"

#include <errno.h>
#include <signal.h>

#define ROUND 64
#define SMALL (256 << 10) /* bytes of batches ahead, unless told otherwise, */
#define MOST_SMALL 64     /* in this many batches */

static size_t rounded(size_t bytes)
{
    return (bytes + ROUND - 1) / ROUND * ROUND;
}

/* Bytes of n rows of a field after its cast, or before it. */
static size_t field_bytes(const weft__source *s, int field, int64_t n, weft_dtype t)
{
    return s->field[field].present ? (size_t)(n * s->width[field]) * weft_dtype_size(t) : 0;
}

static size_t staging_bytes(const weft__ring *r, int64_t rows)
{
    size_t most = 0;
    for (int k = 0; k < WEFT_FIELDS; k++) {
        int64_t piece = weft__ring_piece(r->source, k), n = piece < rows ? piece : rows;
        size_t bytes = field_bytes(r->source, k, n, r->source->field[k].dtype);
        if (!r->source->cast[k].plain && bytes > most)
            most = bytes;
    }
    return most;
}

static void release(weft__ring *r)
{
    weft__free(r->slot);
    weft__free(r->memory);
    weft__free(r->staging);
    weft__free(r->order);
    r->slot = NULL;
    r->memory = r->staging = NULL;
    r->order = NULL;
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

/* Waking the worker costs more than reading a small batch, so of small ones it reads more ahead. */
static int depth_of(const weft__plan *p, size_t bytes)
{
    size_t fit = bytes ? SMALL / bytes : SMALL;
    int deep = fit < MOST_SMALL ? (int)fit : MOST_SMALL;
    return 1 + (p->small_more && deep > p->prefetch ? deep : p->prefetch);
}

static weft_status reserve(weft__ring *r)
{
    int64_t most = weft__plan_most(r->plan);
    size_t field[WEFT_FIELDS], ids = rounded((size_t)most * sizeof(int64_t)), all = ids;
    for (int k = 0; k < WEFT_FIELDS; k++)
        all += field[k] = rounded(field_bytes(r->source, k, most, r->source->cast[k].to));
    r->depth = depth_of(r->plan, all);
    r->slot = weft__new((size_t)r->depth, sizeof *r->slot);
    r->memory = r->slot ? weft__new((size_t)r->depth, all) : NULL;
    r->staging = r->memory ? weft__new(1, staging_bytes(r, most)) : NULL;
    if (r->staging)
        r->order = weft__new(r->plan->shuffle ? (size_t)r->plan->rows : 0, sizeof(int64_t));
    if (!r->order) {
        release(r);
        return WEFT_ENOMEM;
    }
    cut(r, ids, field);
    return WEFT_OK;
}

/* The worker's next batch; negative when it must end. */
static int64_t claim(weft__ring *r)
{
    int64_t n = -1;
    pthread_mutex_lock(&r->mutex);
    while (!r->stop && r->next - r->held >= r->depth)
        pthread_cond_wait(&r->freed, &r->mutex);
    if (!r->stop && r->next < weft__plan_total(r->plan))
        n = r->next;
    pthread_mutex_unlock(&r->mutex);
    return n;
}

static void *work(void *ring)
{
    weft__ring *r = ring;
    for (int64_t n; (n = claim(r)) >= 0;) {
        weft__ring_fill(r, &r->slot[n % r->depth], n);
        pthread_mutex_lock(&r->mutex);
        r->next = n + 1;
        pthread_cond_signal(&r->filled);
        pthread_mutex_unlock(&r->mutex);
    }
    return NULL;
}

/* Signals belong to the program's own threads. */
static weft_status start(weft__ring *r)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    r->stop = false;
    errno = pthread_create(&r->worker, NULL, work, r);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    r->running = errno == 0;
    return r->running ? WEFT_OK
                      : weft__fail_errno(WEFT_ENOMEM, "loader: no thread for reading ahead, "
                                                      "prefetch = WEFT_OFF reads without one");
}

static void end(weft__ring *r)
{
    if (!r->running)
        return;
    pthread_mutex_lock(&r->mutex);
    r->stop = true;
    pthread_cond_signal(&r->freed);
    pthread_mutex_unlock(&r->mutex);
    pthread_join(r->worker, NULL);
    r->running = false;
}

void weft__ring_init(weft__ring *r, const weft__plan *plan, const weft__source *source)
{
    r->plan = plan;
    r->source = source;
    r->order_epoch = -1;
    pthread_mutex_init(&r->mutex, NULL);
    pthread_cond_init(&r->filled, NULL);
    pthread_cond_init(&r->freed, NULL);
}

weft_status weft__ring_take(weft__ring *r, weft__slot **out)
{
    *out = NULL;
    if (r->taken >= weft__plan_total(r->plan))
        return WEFT_OK;
    if (!r->depth)
        WEFT_TRY(reserve(r));
    if (r->plan->prefetch && !r->running)
        WEFT_TRY(start(r));
    if (!r->running)
        weft__ring_fill(r, &r->slot[0], r->taken);
    pthread_mutex_lock(&r->mutex);
    r->held = r->taken;
    if (r->next - r->held <= r->depth - (r->depth < 8 ? 1 : r->depth / 2))
        pthread_cond_signal(&r->freed); /* a deep ring is refilled by halves */
    while (r->running && r->next <= r->taken)
        pthread_cond_wait(&r->filled, &r->mutex);
    *out = &r->slot[r->taken % r->depth];
    r->taken++;
    pthread_mutex_unlock(&r->mutex);
    return WEFT_OK;
}

void weft__ring_seek(weft__ring *r, int64_t n)
{
    end(r);
    r->next = r->taken = r->held = n;
    r->order_epoch = -1; /* the seed may be another one */
}

void weft__ring_close(weft__ring *r)
{
    end(r);
    release(r);
    pthread_cond_destroy(&r->freed);
    pthread_cond_destroy(&r->filled);
    pthread_mutex_destroy(&r->mutex);
}
