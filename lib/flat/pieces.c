/* Which elements of a space are this rank's own, and where planes have them. A space that is cut has a
 * piece a rank in each bucket, one after the other: of equal length, or, where optimizers need whole
 * tensors, ending where segments end. */
#include "flat/flat.h"

#include "core/alloc.h"
#include "core/shape.h"
#include "device/device.h"

#include <stdlib.h>

/* The first piece that ends behind an element; NULL if none does. */
static const weft__range *piece_at(const weft__flat *flat, int64_t element)
{
    int lo = 0, hi = flat->npieces;
    while (lo < hi) {
        const int mid = lo + (hi - lo) / 2;
        if (flat->piece[mid].first + flat->piece[mid].count > element)
            hi = mid;
        else
            lo = mid + 1;
    }
    return lo < flat->npieces ? &flat->piece[lo] : NULL;
}

weft_dev weft__flat_piece_at(const weft__flat *flat, weft__plane plane, int64_t element)
{
    const weft__range *p = piece_at(flat, element);
    if (!p || p->first > element)
        return (weft_dev){0};
    return weft__at(flat->plane[plane],
                    (element + p->local - p->first) * (int64_t)weft__size_of(flat->type[plane]));
}

bool weft__flat_own(const weft__flat *flat, int64_t first, int64_t count, weft__range *own)
{
    const int64_t from = own->count ? own->first + own->count : first, end = first + count;
    const weft__range *p = from < end ? piece_at(flat, from) : NULL;
    if (!p || p->first >= end)
        return false;
    own->first = p->first > from ? p->first : from;
    own->count = (p->first + p->count < end ? p->first + p->count : end) - own->first;
    own->local = p->local + own->first - p->first;
    return true;
}

size_t weft__flat_bytes(const weft__flat *flat, weft__plane plane)
{
    int64_t n = flat->sharded[plane] ? 0 : flat->elements;
    for (int i = 0; i < flat->npieces && flat->sharded[plane]; i++)
        n += flat->piece[i].count;
    return (size_t)n * weft_dtype_size(flat->type[plane]);
}

/* Pieces follow from the counts. */
static void settle(weft__flat *flat)
{
    const int rank = flat->fabric->rank;
    int64_t local = 0;
    flat->npieces = 0;
    for (int i = 0; i < flat->nbuckets; i++) {
        const weft__bucket *b = &flat->bucket[i];
        int64_t first = b->first;
        for (int r = 0; r < rank; r++)
            first += b->counts[r];
        if (b->counts[rank])
            flat->piece[flat->npieces++] =
                (weft__range){.first = first, .count = b->counts[rank], .local = local};
        local += b->counts[rank];
    }
}

weft_status weft__flat_cut(weft__flat *flat)
{
    const int world = flat->fabric->world;
    const size_t n = (size_t)flat->nbuckets;
    weft__range *piece = weft__new(n + 1, sizeof *piece);
    int64_t *counts = weft__new(n + 1, (size_t)world * sizeof *counts);
    if (!piece || !counts || flat->cut) {
        weft__free(piece);
        weft__free(counts);
        return flat->cut ? WEFT_OK : WEFT_ENOMEM;
    }
    weft__free(flat->piece);
    flat->piece = piece;
    flat->counts = counts;
    flat->cut = true;
    for (int i = 0; i < flat->nbuckets; i++) {
        weft__bucket *b = &flat->bucket[i];
        b->counts = counts + (size_t)i * (size_t)world;
        for (int r = 0; r < world; r++)
            b->counts[r] = b->count / world;
    }
    settle(flat);
    return WEFT_OK;
}

/* Where a segment of b begins or b ends, nearest to element `at`. */
static int64_t edge_near(const weft__flat *flat, const weft__bucket *b, int64_t at)
{
    int64_t best = b->first + b->count;
    for (int i = b->begin; i < b->begin + b->segments; i++) {
        const int64_t edge = flat->segment[i]->first;
        if (llabs(edge - at) < llabs(best - at))
            best = edge;
    }
    return best;
}

weft_status weft__flat_cut_whole(weft__flat *flat, const char *who)
{
    const int world = flat->fabric->world;
    for (weft__plane p = WEFT__MOMENT0; p <= WEFT__MOMENT2 && !flat->whole; p++)
        if (flat->plane[p].addr)
            return weft__fail(WEFT_ESTATE,
                              "weft_setup: %s needs whole parameters, and another optimizer of the "
                              "module has cut them already: set it up before the others",
                              who);
    if (flat->whole)
        return WEFT_OK;
    flat->whole = true;
    const bool again = flat->sharded[WEFT__GRAD] && flat->plane[WEFT__GRAD].addr;
    if (again)
        weft__flat_drop(flat, WEFT__GRAD);
    for (int i = 0; i < flat->nbuckets; i++) {
        weft__bucket *b = &flat->bucket[i];
        int64_t from = b->first;
        for (int r = 0; r < world; r++) {
            const int64_t to = r + 1 < world
                                   ? edge_near(flat, b, b->first + b->count / world * (r + 1))
                                   : b->first + b->count;
            b->counts[r] = to - from;
            from = to;
        }
    }
    settle(flat);
    return again ? weft__flat_plane(flat, WEFT__GRAD) : WEFT_OK;
}
