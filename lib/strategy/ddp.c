/* Data parallel: every rank holds all parameters; gradients are summed over ranks bucket by bucket,
 * in the order of the flat planes, as they become ready. The schedule is every bucket of every space
 * that was set up, so a rank that failed knows what its peers will call and takes part with zeros.
 * The verdict rides behind the last bucket: the number of ranks that failed, of those whose loss needs
 * the sum of its weights over ranks, and whether all have the same token, as the sums of each of its
 * pieces and of their squares: x is the same on all n ranks if n sum x^2 = (sum x)^2. Pieces are
 * small, so that f32 adds them up exactly on any number of ranks. */
#include "strategy/strategy.h"

#include "device/device.h"

static weft_status setup(weft__strategy *s, weft__flat *flat)
{
    weft_fabric *f = s->fabric;
    void *p = weft__comm_reach(f->comm, f->device, flat->plane[WEFT__PARAM]);
    weft_status made = flat->trainable ? weft__grad_plane(flat, true) : WEFT_OK;
    WEFT_TRY(weft__agree(f->comm, "memory of gradients", made, ""));
    WEFT_TRY(f->device->ops->sync(f->stream));
    return p ? weft__comm_broadcast(f->comm, "initial parameters", p,
                                    (int64_t)weft__flat_bytes(flat, WEFT__PARAM), 0)
             : WEFT_ENOTSUP;
}

static weft_status begin(weft__strategy *s)
{
    for (size_t i = 0; i < s->flats; i++) {
        weft__flat *flat = s->flat[i];
        for (int b = 0; b < flat->nbuckets; b++) {
            flat->bucket[b].ready = 0;
            flat->bucket[b].reduced = false;
        }
        for (int k = 0; k < flat->nsegments; k++)
            if (flat->segment[k]->grad == WEFT__GRAD_REDUCED)
                flat->segment[k]->grad = s->fabric->rank == 0 ? WEFT__GRAD_LOCAL : WEFT__GRAD_EMPTY;
    }
    return WEFT_OK;
}

/* The space whose last bucket carries the verdict; NULL if all are held. */
static const weft__flat *carrier(const weft__strategy *s)
{
    for (size_t i = s->flats; i > 0; i--)
        if (!s->flat[i - 1]->hold)
            return s->flat[i - 1];
    return NULL;
}

static bool is_last(const weft__strategy *s, const weft__flat *flat, const weft__bucket *b)
{
    return flat == carrier(s) && b == &flat->bucket[flat->nbuckets - 1];
}

/* The words of the verdict. */
enum { FAILED, WEIGH, TOKEN };
#define PIECES 7 /* of the token, 4 bits each */
#define PIECE(i) (TOKEN + 2 * (i))
#define SQUARE(i) (PIECE(i) + 1)
_Static_assert(PIECE(PIECES) <= WEFT__VERDICT, "the token does not fit into the verdict");

static weft_status write_words(const weft__strategy *s, const weft__flat *flat, weft_dev at,
                               double failed)
{
    double wide[WEFT__VERDICT] = {[FAILED] = failed, [WEIGH] = s->weigh};
    float single[WEFT__VERDICT];
    for (int i = 0; i < PIECES; i++) {
        const int piece = (int)(s->token >> 4 * i & 15);
        wide[PIECE(i)] = piece;
        wide[SQUARE(i)] = piece * piece;
    }
    for (int i = 0; i < WEFT__VERDICT; i++)
        single[i] = (float)wide[i];
    const weft_fabric *f = s->fabric;
    return flat->type[WEFT__GRAD] == WEFT_F64
               ? f->device->ops->upload(f->stream, at, wide, sizeof wide)
               : f->device->ops->upload(f->stream, at, single, sizeof single);
}

static weft_status reduce(weft__strategy *s, weft__flat *flat, weft__bucket *b, double verdict)
{
    weft_fabric *f = s->fabric;
    weft_dev at = weft__flat_at(flat, WEFT__GRAD, b->first);
    int64_t n = b->count;
    if (is_last(s, flat, b)) {
        weft_dev word = weft__flat_at(flat, WEFT__GRAD, b->first + b->count);
        n += WEFT__VERDICT;
        WEFT_TRY(write_words(s, flat, word, verdict));
    }
    WEFT_TRY(f->device->ops->sync(f->stream));
    weft__part part = weft__enter(f, WEFT__COMMUNICATION);
    const weft_dtype t = flat->type[WEFT__GRAD];
    void *p = weft__comm_reach(f->comm, f->device, at);
    weft_status code = f->leaves ? weft__all_reduce_tree(f->comm, b->name, p, n, t)
                                 : weft__all_reduce(f->comm, b->name, p, n, t, WEFT_REDUCE_SUM);
    weft__enter(f, part);
    b->reduced = true;
    s->traffic.gradient_reduces++;
    s->traffic.gradient_bytes += b->payload * (int64_t)weft_dtype_size(flat->type[WEFT__GRAD]);
    return code;
}

/* Reduces in order all that are complete, but the last one, which waits for the verdict. */
static weft_status grad_ready(weft__strategy *s, weft__segment *segment)
{
    segment->flat->bucket[segment->bucket].ready++;
    for (size_t i = 0; i < s->flats && !segment->flat->hold; i++)
        for (int k = 0; k < s->flat[i]->nbuckets && !s->flat[i]->hold; k++) {
            weft__bucket *b = &s->flat[i]->bucket[k];
            if (b->reduced)
                continue;
            if (b->ready < b->segments || is_last(s, s->flat[i], b))
                return WEFT_OK;
            WEFT_TRY(reduce(s, s->flat[i], b, 0));
        }
    return WEFT_OK;
}

static weft_status finish(weft__strategy *s, weft__flat *flat, weft__bucket *b, weft_status mine)
{
    weft_fabric *f = s->fabric;
    if (b->reduced)
        return WEFT_OK;
    if (mine < 0)
        WEFT_TRY(f->device->ops->zero(f->stream, weft__flat_at(flat, WEFT__GRAD, b->first),
                                      (size_t)b->count * weft_dtype_size(flat->type[WEFT__GRAD])));
    else
        WEFT_TRY(weft__fill_empty(flat, b));
    return reduce(s, flat, b, mine < 0 ? 1 : 0);
}

static weft_status verdict(weft__strategy *s, bool *failed)
{
    weft_fabric *f = s->fabric;
    const weft__flat *flat = carrier(s);
    weft_dev word = weft__flat_at(flat, WEFT__GRAD, flat->elements);
    float single[WEFT__VERDICT];
    double v[WEFT__VERDICT];
    if (flat->type[WEFT__GRAD] == WEFT_F64)
        WEFT_TRY(f->device->ops->download(f->stream, v, word, sizeof v));
    else
        WEFT_TRY(f->device->ops->download(f->stream, single, word, sizeof single));
    for (int i = 0; i < WEFT__VERDICT && flat->type[WEFT__GRAD] != WEFT_F64; i++)
        v[i] = (double)single[i];
    *failed = v[FAILED] != 0;
    s->weigh = v[WEIGH] != 0;
    s->differ = false;
    for (int i = 0; i < PIECES; i++)
        s->differ |= f->world * v[SQUARE(i)] != v[PIECE(i)] * v[PIECE(i)];
    return WEFT_OK;
}

static weft_status end(weft__strategy *s, weft_status mine, bool *failed)
{
    *failed = mine < 0;
    for (size_t i = 0; i < s->flats; i++)
        for (int b = 0; b < s->flat[i]->nbuckets && !s->flat[i]->hold; b++)
            WEFT_TRY(finish(s, s->flat[i], &s->flat[i]->bucket[b], mine));
    for (size_t i = 0; i < s->flats; i++)
        for (int k = 0; k < s->flat[i]->nsegments && !s->flat[i]->hold; k++)
            s->flat[i]->segment[k]->grad = WEFT__GRAD_REDUCED;
    if (s->flats)
        return carrier(s) ? verdict(s, failed) : WEFT_OK;
    int64_t any[2] = {mine < 0, s->weigh};
    WEFT_TRY(weft__all_reduce(s->fabric->comm, "verdict", any, 2, WEFT_I64, WEFT_REDUCE_SUM));
    *failed = any[0] != 0;
    s->weigh = any[1] != 0;
    return WEFT_OK;
}

const weft__strategy_ops weft__ddp = {.size = sizeof(weft__strategy_ops),
                                      .name = "ddp",
                                      .setup = setup,
                                      .begin = begin,
                                      .grad_ready = grad_ready,
                                      .end = end};
