/* How a convolution is done, which its shape, the type and the processor say: with few channels to a group plane by
 * plane, in f32 and 16 bits image by image where there is AVX-512, if what that takes fits into a core's cache; by the
 * products of matrices otherwise. */
#include "device/cpu/conv.h"
#include "device/conv.h"

#define FEW 16                   /* channels for which tiles of AMX do not pay */
#define THIN 8                   /* channels that fill less than half a vector */
#define CACHE ((int64_t)1 << 20) /* bytes that a thread works in, */
#define IMAGE ((int64_t)4 << 20) /* and where a matrix of windows would be larger still */

#if CPU_HAS_WIDE
bool weft__conv_by_tiles(const weft_conv_terms *t, weft_dtype dt)
{
    return dt == WEFT_BF16 && t->groups == 1 && t->c >= FEW && t->o >= FEW && weft__cpu_amx();
}

static int64_t weights_each(const weft_conv_terms *t, weft_dtype dt)
{
    return weft__conv_by_tiles(t, dt) ? weft__conv_weights_amx_each(t) : weft__conv_weights_each(t);
}

static int64_t weights_room(const weft_conv_terms *t, int threads, weft_dtype dt)
{
    return weft__conv_by_tiles(t, dt) ? weft__conv_weights_amx_room(t, threads)
                                      : weft__conv_weights_room(t, threads);
}

static bool is_wide(const weft_conv_terms *t, weft_dtype dt)
{
    return weft__cpu_wide_name() && dt != WEFT_F64 && t->n > 0;
}

/* Tiles of AMX are done before what is not in a cache has come; windows of one place need no matrix of their own. */
static bool fits(const conv_map *m, weft_dtype dt)
{
    const bool amx = dt == WEFT_BF16 && weft__cpu_amx(), one = m->weights == m->source * m->target;
    return weft__conv_images_each(m, dt) <= (amx || one ? CACHE : IMAGE);
}
#else
#define fits(m, dt) false
#define weft__conv_images_room(m, threads, dt) 0
#define weights_each(t, dt) 0
#define weights_room(t, threads, dt) 0
#define is_wide(t, dt) false
#endif

conv_by weft__conv_by_images(conv_mapping *map, conv_map *m, const weft_conv_terms *t,
                             weft_dtype dt)
{
    if (!map(m, t))
        return CONV_BY_PRODUCTS;
    const bool wide = is_wide(t, dt), few = m->target < THIN && (wide || m->source < THIN);
    if (few && weft__conv_depth_each(m, dt) <= CACHE)
        return CONV_BY_PLANES;
    return wide && fits(m, dt) ? CONV_BY_IMAGES : CONV_BY_PRODUCTS;
}

conv_by weft__conv_by_weights(conv_map *m, const weft_conv_terms *t, weft_dtype dt)
{
    if (!weft__conv_forward(m, t))
        return CONV_BY_PRODUCTS;
    const bool wide = is_wide(t, dt);
    const int64_t thin = wide ? THIN / 2 : THIN; /* tiles have two sides to fill a part of */
    const bool few = m->source < thin && m->target < thin;
    if (few && weft__conv_depth_each(m, dt) <= CACHE)
        return CONV_BY_PLANES;
    return wide && weights_each(t, dt) <= CACHE ? CONV_BY_IMAGES : CONV_BY_PRODUCTS;
}

static int64_t most(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t room_of_images(conv_by by, const conv_map *m, int threads, weft_dtype dt)
{
    return by == CONV_BY_PLANES   ? threads * weft__conv_depth_each(m, dt)
           : by == CONV_BY_IMAGES ? weft__conv_images_room(m, threads, dt)
                                  : 0;
}

int64_t weft__cpu_conv_room(const weft_conv_terms *t, int threads, weft_dtype dt)
{
    conv_map m;
    conv_by by = weft__conv_by_images(weft__conv_forward, &m, t, dt);
    const int64_t forward = room_of_images(by, &m, threads, dt);
    by = weft__conv_by_images(weft__conv_backward, &m, t, dt);
    const int64_t backward = room_of_images(by, &m, threads, dt);
    by = weft__conv_by_weights(&m, t, dt);
    const int64_t of_weights =
        by == CONV_BY_IMAGES ? weights_room(t, threads, dt) : room_of_images(by, &m, threads, dt);
    return most(most(forward, backward), of_weights);
}
