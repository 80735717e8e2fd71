/* The queues of a mock device. A record is its header and the bytes that it was asked with; the queue
 * begins anew whenever it has been run to its end. */
#include "device/mock/mock.h"

#include "core/alloc.h"

#include <stdio.h>
#include <string.h>

#define ROOM ((size_t)1 << 18) /* bytes of a queue; what is larger makes it grow */
#define ALIGN 16
#define NOW 8     /* one time in so many that something is put, some of it runs */
#define MOST 1024 /* records that wait on a stream */

typedef weft__mock_header header;
_Static_assert(sizeof(header) % ALIGN == 0, "records must stay aligned");

typedef struct event {
    weft_event event;
    uint64_t stream, number; /* it has happened once that stream has run so many records */
} event;

/* A record that waits for an event. */
typedef struct wait {
    uint64_t stream, number;
} wait;

uint64_t weft__mock_random(weft__mock *m, uint64_t n)
{
    m->random = m->random * 6364136223846793005u + 1442695040888963407u;
    return (m->random >> 33) % n;
}

static bool has_run(const weft__mock *m, uint64_t id, uint64_t number)
{
    for (const weft__mock_stream *s = m->stream; s; s = s->next)
        if (s->id == id)
            return s->done >= number;
    return true; /* it is gone, and was run to its end before */
}

static weft_status waited(weft_stream *s, const void *record)
{
    (void)s, (void)record;
    return WEFT_OK;
}

static bool can_go_on(const weft__mock_stream *s)
{
    const header *h = (const header *)(s->queue + s->head);
    const wait *w = (const wait *)(h + 1);
    return s->head < s->tail && (h->run != waited || has_run(s->mock, w->stream, w->number));
}

static void run(weft__mock_stream *s)
{
    const header *h = (const header *)(s->queue + s->head);
    weft_status code = h->run(&s->stream, h + 1);
    if (code < 0 && !s->failed) {
        s->failed = code;
        snprintf(s->why, sizeof s->why, "%s", weft__why());
    }
    s->head += h->bytes;
    s->done++;
    if (s->head == s->tail)
        s->head = s->tail = 0;
}

/* Runs one record, of a stream that the seed chooses among those that can go on. An event is recorded
 * before it is waited for, so one can unless all are empty. */
static bool run_any(weft__mock *m)
{
    weft__mock_stream *chosen = NULL;
    uint64_t n = 0;
    for (weft__mock_stream *s = m->stream; s; s = s->next)
        if (can_go_on(s) && weft__mock_random(m, ++n) == 0)
            chosen = s;
    if (chosen)
        run(chosen);
    return chosen != NULL;
}

void weft__mock_drain(weft__mock *m)
{
    while (run_any(m))
        continue;
}

static weft_status add_stream(weft_device *d, weft__mock_stream *s)
{
    weft__mock *m = d->self;
    WEFT_TRY(weft__grow(&s->queue, &s->room, ROOM, 1));
    s->stream = (weft_stream){.device = d, .self = s};
    s->mock = m;
    weft__mock_lock(m);
    s->id = ++m->streams;
    s->next = m->stream;
    m->stream = s;
    weft__mock_unlock(m);
    return WEFT_OK;
}

weft_status weft__mock_stream_new(weft_device *d, weft_stream **out)
{
    weft__mock_stream *s = weft__new(1, sizeof *s);
    weft_status code = s ? add_stream(d, s) : WEFT_ENOMEM;
    if (code < 0)
        weft__free(s);
    else
        *out = &s->stream;
    return code;
}

void weft__mock_stream_free(weft_stream *stream)
{
    weft__mock_stream *s = stream->self, **link = &s->mock->stream;
    weft__mock_lock(s->mock);
    weft__mock_drain(s->mock);
    while (*link != s)
        link = &(*link)->next;
    *link = s->next;
    weft__mock_unlock(s->mock);
    weft__free(s->queue);
    weft__free(s);
}

/* Waits for a place in a stream. @return what went wrong there late, once. */
static weft_status wait_for(weft__mock *m, uint64_t id, uint64_t number)
{
    weft_status code = WEFT_OK;
    weft__mock_lock(m);
    while (!has_run(m, id, number) && run_any(m))
        continue;
    for (weft__mock_stream *s = m->stream; s; s = s->next)
        if (s->id == id && s->failed) {
            code = weft__fail(s->failed, "%s", s->why);
            s->failed = WEFT_OK;
        }
    weft__mock_unlock(m);
    return code;
}

weft_status weft__mock_sync(weft_stream *stream)
{
    const weft__mock_stream *s = stream->self;
    s->mock->stalls++;
    return wait_for(s->mock, s->id, s->put);
}

int64_t weft__mock_stalls(const weft_device *d)
{
    const weft__mock *m = d->self;
    return m->stalls;
}

/* Whether nothing was put behind it. */
static bool is_last(weft__mock *m, const event *e)
{
    bool last = false;
    weft__mock_lock(m);
    for (const weft__mock_stream *s = m->stream; s; s = s->next)
        last |= s->id == e->stream && s->put == e->number;
    weft__mock_unlock(m);
    return last;
}

static size_t size_of(size_t bytes)
{
    return sizeof(header) + (bytes + ALIGN - 1) / ALIGN * ALIGN;
}

void *weft__mock_begin(weft_stream *stream, size_t bytes)
{
    weft__mock_stream *s = stream->self;
    const size_t need = size_of(bytes);
    weft__mock_lock(s->mock);
    if (s->graph)
        return weft__mock_graph_room(s->graph, need);
    if (need > s->room - s->tail || s->put - s->done >= MOST)
        while (s->head < s->tail && run_any(s->mock))
            continue;
    return weft__grow(&s->queue, &s->room, need, 1) ? NULL : s->queue + s->tail + sizeof(header);
}

weft_status weft__mock_put(weft_stream *stream, weft_status code, weft__mock_run *run_it,
                           size_t bytes)
{
    weft__mock_stream *s = stream->self;
    weft__mock *m = s->mock;
    if (s->graph) {
        code = weft__mock_graph_put(s->graph, code, run_it, size_of(bytes));
    } else if (code >= 0) {
        *(header *)(s->queue + s->tail) = (header){.run = run_it, .bytes = size_of(bytes)};
        s->tail += size_of(bytes);
        s->put++;
        if (weft__mock_random(m, NOW) == 0)
            for (uint64_t n = weft__mock_random(m, 2 * NOW); n > 0 && run_any(m); n--)
                continue;
    }
    weft__mock_unlock(m);
    return code;
}

weft_status weft__mock_event_new(weft_device *d, weft_event **out)
{
    event *e = weft__new(1, sizeof *e);
    if (!e)
        return WEFT_ENOMEM;
    e->event = (weft_event){.device = d, .self = e};
    *out = &e->event;
    return WEFT_OK;
}

void weft__mock_event_free(weft_event *e)
{
    weft__free(e->self);
}

weft_status weft__mock_event_record(weft_event *self, weft_stream *stream)
{
    const weft__mock_stream *s = stream->self;
    event *e = self->self;
    weft__mock_lock(s->mock);
    e->stream = s->id;
    e->number = s->put;
    weft__mock_unlock(s->mock);
    return WEFT_OK;
}

weft_status weft__mock_event_wait(weft_stream *s, weft_event *self)
{
    const event *e = self->self;
    wait *w = weft__mock_begin(s, sizeof *w);
    if (w)
        *w = (wait){.stream = e->stream, .number = e->number};
    return weft__mock_put(s, w ? WEFT_OK : WEFT_ENOMEM, waited, sizeof *w);
}

weft_status weft__mock_event_sync(weft_event *self)
{
    const event *e = self->self;
    weft__mock *m = self->device->self;
    m->stalls += is_last(m, e);
    return wait_for(m, e->stream, e->number);
}

weft_status weft__mock_event_done(weft_event *self, bool *done)
{
    const event *e = self->self;
    weft__mock *m = self->device->self;
    weft__mock_lock(m);
    if (!has_run(m, e->stream, e->number))
        run_any(m);
    *done = has_run(m, e->stream, e->number);
    weft__mock_unlock(m);
    return *done ? wait_for(m, e->stream, e->number) : WEFT_OK;
}
