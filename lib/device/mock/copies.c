/* Copies of bytes, in the order of their stream. What is uploaded waits in its record, so that the host
 * may change it. */
#include "device/mock/mock.h"

#include <string.h>

typedef struct copy {
    weft_dev to, from;
    size_t bytes;
} copy;

static void *place(weft_dev p)
{
    return (void *)p.addr; /* NOLINT: where kernels work */
}

static weft_status run_upload(weft_stream *s, const void *record)
{
    const copy *c = record;
    (void)s;
    memcpy(place(c->to), c + 1, c->bytes);
    return WEFT_OK;
}

static weft_status run_move(weft_stream *s, const void *record)
{
    const copy *c = record;
    (void)s;
    memmove(place(c->to), place(c->from), c->bytes);
    return WEFT_OK;
}

static weft_status run_zero(weft_stream *s, const void *record)
{
    const copy *c = record;
    (void)s;
    memset(place(c->to), 0, c->bytes);
    return WEFT_OK;
}

static weft_status run_discard(weft_stream *s, const void *record)
{
    const copy *c = record;
    (void)s;
    weft__mock_spoil(place(c->to), c->bytes);
    return WEFT_OK;
}

/* Puts a copy; data: the host's bytes that go with it, or NULL. */
static weft_status put(weft_stream *stream, const char *what, weft__mock_run *run, const copy *c,
                       const void *data)
{
    weft__mock *m = stream->device->self;
    const size_t all = sizeof *c + (data ? c->bytes : 0);
    if (!c->bytes)
        return WEFT_OK;
    copy *record = weft__mock_begin(stream, all);
    weft_status s = record ? WEFT_OK : WEFT_ENOMEM;
    if (record) {
        record->bytes = c->bytes;
        weft__mock_reach(m, what, "dst", c->to, &record->to, &s);
        weft__mock_reach(m, what, "src", c->from, &record->from, &s);
        if (data)
            memcpy(record + 1, data, c->bytes);
    }
    return weft__mock_put(stream, s, run, all);
}

weft_status weft__mock_upload(weft_stream *s, weft_dev dst, const void *src, size_t bytes)
{
    return put(s, "upload", run_upload, &(copy){.to = dst, .bytes = bytes}, src);
}

weft_status weft__mock_download(weft_stream *stream, void *dst, weft_dev src, size_t bytes)
{
    weft__mock *m = stream->device->self;
    weft_dev from;
    weft_status s = weft__mock_sync(stream);
    weft__mock_lock(m);
    weft__mock_reach(m, "download", "src", src, &from, &s);
    if (s >= 0 && bytes)
        memcpy(dst, place(from), bytes);
    weft__mock_unlock(m);
    return s;
}

weft_status weft__mock_move(weft_stream *s, weft_dev dst, weft_dev src, size_t bytes)
{
    return put(s, "move", run_move, &(copy){.to = dst, .from = src, .bytes = bytes}, NULL);
}

weft_status weft__mock_zero(weft_stream *s, weft_dev dst, size_t bytes)
{
    return put(s, "zero", run_zero, &(copy){.to = dst, .bytes = bytes}, NULL);
}

weft_status weft__mock_discard(weft_stream *s, weft_dev dst, size_t bytes)
{
    return put(s, "discard", run_discard, &(copy){.to = dst, .bytes = bytes}, NULL);
}
