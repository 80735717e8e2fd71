/* What a strategy's author sees of a space. */
#include "strategy/strategy.h"

_Static_assert((int)WEFT_PLANE_PARAM == (int)WEFT__PARAM &&
                   (int)WEFT_PLANE_GRAD == (int)WEFT__GRAD &&
                   (int)WEFT_PLANE_MOMENT == (int)WEFT__MOMENT0 &&
                   (int)WEFT_PLANE_COMPUTE == (int)WEFT__COMPUTE,
               "planes have two numbers");

static weft_status in_setup(const weft__flat *flat, const char *call)
{
    return flat->plane[WEFT__GRAD].addr
               ? weft__fail(WEFT_ESTATE, "%s: the space has its memory already; call it in setup",
                            call)
               : WEFT_OK;
}

weft_status weft_space_cut(weft_space *space)
{
    WEFT_TRY(in_setup(space, "weft_space_cut"));
    if (!space->trainable) /* nothing updates it */
        return WEFT_OK;
    for (weft__plane p = WEFT__MOMENT0; p <= WEFT__MOMENT2; p++)
        space->sharded[p] = true;
    return weft__flat_cut(space);
}

weft_status weft_space_shard(weft_space *space, weft_plane plane)
{
    WEFT_TRY(in_setup(space, "weft_space_shard"));
    if (plane != WEFT_PLANE_GRAD)
        return weft__fail(WEFT_ENOTSUP, "weft_space_shard: gradients can be sharded, and moments "
                                        "are where the space is cut; other planes cannot");
    if (!space->trainable)
        return WEFT_OK;
    if (!space->cut)
        return weft__fail(WEFT_ESTATE, "weft_space_shard: call weft_space_cut before");
    space->sharded[WEFT__GRAD] = true;
    return WEFT_OK;
}

bool weft_space_is_trainable(const weft_space *space)
{
    return space->trainable;
}

int64_t weft_space_elements(const weft_space *space)
{
    return space->elements;
}

static bool is_plane(weft_plane plane)
{
    return (int)plane >= 0 && (int)plane < WEFT__PLANES;
}

weft_dtype weft_space_dtype(const weft_space *space, weft_plane plane)
{
    return is_plane(plane) ? space->type[plane] : WEFT_DEFAULT;
}

weft_dev weft_space_at(const weft_space *space, weft_plane plane, int64_t element)
{
    const bool there = is_plane(plane) && element >= 0 && element < space->elements;
    return there && space->plane[plane].addr ? weft__flat_at(space, (weft__plane)plane, element)
                                             : (weft_dev){0};
}

int weft_space_buckets(const weft_space *space)
{
    return space->nbuckets;
}

weft_bucket weft_space_bucket(weft_space *space, int i)
{
    if (i < 0 || i >= space->nbuckets)
        return (weft_bucket){.space = space, .index = i};
    weft__bucket *b = &space->bucket[i];
    weft_bucket out = {.space = space,
                       .index = i,
                       .name = b->name,
                       .first = b->first,
                       .count = b->count,
                       .dtype = space->type[WEFT__GRAD],
                       .counts = b->counts,
                       .own_count = b->count,
                       .updated = b->updated,
                       .request = &b->request};
    for (int r = 0; b->counts && r < space->fabric->rank; r++)
        out.own += b->counts[r];
    if (b->counts)
        out.own_count = b->counts[space->fabric->rank];
    return out;
}
