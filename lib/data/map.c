/* Makes one batch of a data set whose rows have numbers: the order, the rows, the cast, the
 * transform. Runs in the workers, so it makes no HDF5, MPI or tensor calls, and allocates
 * nothing. */
#include "data/map.h"

#include "core/alloc.h"

#include <stdio.h>
#include <string.h>

#define PIECE (1 << 20) /* bytes read before they are cast: they stay in the cache */

/* Rows of a field that are cast at once. */
static int64_t piece_of(const weft__source *s, int field)
{
    int64_t bytes = (int64_t)weft__source_bytes(s, field, 1, false);
    return bytes > 0 && bytes < PIECE ? PIECE / bytes : 1;
}

/* Of one worker. A collate needs the whole batch of all fields that are cast, read a piece of
 * one. */
static size_t staging_of(const weft__source *s, int64_t rows)
{
    size_t most = 0, sum = 0;
    for (int k = 0; k < s->fields; k++) {
        int64_t piece = piece_of(s, k), n = piece < rows && !s->ops->collate ? piece : rows;
        size_t bytes = s->cast[k].plain ? 0 : weft__source_bytes(s, k, n, false);
        sum += bytes;
        most = bytes > most ? bytes : most;
    }
    return ((s->ops->collate ? sum : most) + 63) / 64 * 64;
}

static weft_status open_map(void *self, int workers)
{
    weft__map *m = self;
    const weft__plan *p = m->plan;
    m->staging_bytes = staging_of(m->source, weft__plan_most(p));
    if (!m->staging && !(m->staging = weft__new((size_t)workers, m->staging_bytes)))
        return WEFT_ENOMEM;
    if (!m->order && !(m->order = weft__new(p->ordered ? (size_t)p->samples : 0, sizeof *m->order)))
        return WEFT_ENOMEM;
    return weft__source_open_workers(m->source, workers);
}

void weft__map_free(weft__map *m)
{
    weft__free(m->staging);
    weft__free(m->order);
}

/* Position `at` of the epoch's order; negative: no row of the data set. */
static int64_t row_at(const weft__map *m, int64_t at)
{
    const weft__plan *p = m->plan;
    int64_t i = at % p->samples; /* padding goes round to the first rows */
    if (!m->sampler->ops)
        return i;
    return m->order[i] >= 0 && m->order[i] < p->rows ? m->order[i] : -1;
}

static void make_order(weft__map *m, int64_t epoch)
{
    const weft__plan *p = m->plan;
    const weft__sampler *s = m->sampler;
    m->order_why[0] = '\0';
    m->order_code = s->ops->order(s->self, p->seed, epoch, p->rows, m->order, p->samples,
                                  m->order_why, sizeof m->order_why);
    m->order_epoch = epoch;
}

static weft_status bad_order(const weft__map *m, weft__slot *s, weft_status code, const char *why)
{
    snprintf(s->why, sizeof s->why, "%.120s: sampler %.40s, batch %lld of epoch %lld: %s",
             m->source->label, m->sampler->ops->name ? m->sampler->ops->name : "of the program",
             (long long)s->part.index, (long long)s->part.epoch,
             why[0] ? why : weft_strerror(code));
    return s->code = code;
}

static void claim(void *self, weft__slot *s)
{
    weft__map *m = self;
    s->part = weft__plan_part(m->plan, s->number);
    if (m->sampler->ops && m->order_epoch != s->part.epoch)
        make_order(m, s->part.epoch);
    if (m->sampler->ops && m->order_code < 0) {
        bad_order(m, s, m->order_code, m->order_why);
        return;
    }
    for (int64_t i = 0; i < s->part.local; i++) {
        s->ids[i] = row_at(m, s->part.position + i);
        if (s->ids[i] < 0) {
            char why[100];
            int64_t at = (s->part.position + i) % m->plan->samples;
            snprintf(why, sizeof why, "order[%lld] is %lld, the data set has rows 0 to %lld",
                     (long long)at, (long long)m->order[at], (long long)m->plan->rows - 1);
            bad_order(m, s, WEFT_EUSER, why);
            return;
        }
    }
}

/* Who does not say which row it was, of several, is at least told where to look. */
static weft_status name_rows(const weft__source *src, weft__slot *s, int field, weft_status code,
                             int64_t first, int64_t n, const char *why)
{
    char text[WEFT__TEXT / 2];
    snprintf(text, sizeof text, "row %lld%s: %s", (long long)s->ids[first],
             n > 1 ? " or one read with it" : "", weft_strerror(code));
    return weft__slot_fail(src, s, field, code, why[0] ? why : text);
}

static weft_status fetch(const weft__source *src, void *worker, int field, weft__slot *s,
                         int64_t first, int64_t n, void *out)
{
    char why[WEFT__TEXT / 2] = "";
    weft_status code = src->ops->read(worker, field, s->ids + first, n, out, why, sizeof why);
    return code < 0 ? name_rows(src, s, field, code, first, n, why) : WEFT_OK;
}

static weft_status fill_field(const weft__source *src, void *worker, weft__slot *s, int field,
                              void *staging)
{
    const weft__cast *c = &src->cast[field];
    int64_t width = src->width[field], step = piece_of(src, field), n;
    if (c->plain)
        return fetch(src, worker, field, s, 0, s->part.local, s->data[field]);
    for (int64_t i = 0; i < s->part.local; i += n) {
        n = s->part.local - i < step ? s->part.local - i : step;
        WEFT_TRY(fetch(src, worker, field, s, i, n, staging));
        char *out = s->data[field];
        weft__cast_run(c, out + (size_t)(i * width) * weft_dtype_size(c->to), staging, n * width);
    }
    return WEFT_OK;
}

static weft_status collate(const weft__map *m, void *worker, weft__slot *s, void *staging)
{
    const weft__source *src = m->source;
    char why[WEFT__TEXT / 2] = "";
    void *raw[WEFT_FIELDS] = {NULL};
    weft__slot_raw(src, s, staging, weft__plan_most(m->plan), raw);
    const weft_rows r = weft__slot_rows(src, s, m->plan->seed);
    weft_status code = src->ops->collate(worker, &r, raw, why, sizeof why);
    if (code < 0)
        return name_rows(src, s, 0, code, 0, s->part.local, why);
    return weft__slot_cast(src, s, raw);
}

static void fill(void *self, int number, weft__slot *s)
{
    const weft__map *m = self;
    const weft__source *src = m->source;
    void *worker = src->workers ? src->worker[number] : src->self;
    void *staging = m->staging + (size_t)number * m->staging_bytes;
    if (s->code < 0 || s->part.local == 0)
        return;
    if (src->ops->collate)
        collate(m, worker, s, staging);
    for (int k = 0; k < src->fields && !src->ops->collate && s->code == WEFT_OK; k++)
        if (src->field[k].present)
            fill_field(src, worker, s, k, staging);
    if (s->code == WEFT_OK)
        weft__slot_transform(src, number, s, m->plan->seed);
}

static void seek(void *self, int64_t n)
{
    (void)n;
    ((weft__map *)self)->order_epoch = -1; /* the seed may be another one */
}

const weft__maker_ops weft__map_ops = {
    .open = open_map, .claim = claim, .fill = fill, .seek = seek};
