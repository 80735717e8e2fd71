/* Convolutions: those of f32 and 16 bits image by image where the processor has AVX-512 and an image fits into a core's
 * cache, the others by the products of matrices. */
#include "device/cpu/conv.h"
#include "device/conv.h"

#define FEW 16                   /* channels for which tiles of AMX do not pay */
#define CACHE ((int64_t)1 << 20) /* bytes that a thread works in */

#if CPU_HAS_WIDE
/* Whether weights' gradients are products of tiles of AMX. */
static bool by_tiles(const weft_conv_terms *t, weft_dtype dt)
{
    return dt == WEFT_BF16 && t->c >= FEW && t->o >= FEW && weft__cpu_amx();
}

static int64_t weights_each(const weft_conv_terms *t, weft_dtype dt)
{
    return by_tiles(t, dt) ? weft__conv_weights_amx_each(t) : weft__conv_weights_each(t);
}

static int64_t weights_room(const weft_conv_terms *t, int threads, weft_dtype dt)
{
    return by_tiles(t, dt) ? weft__conv_weights_amx_room(t, threads)
                           : weft__conv_weights_room(t, threads);
}

/* Whether this is done image by image, which the shapes and the processor say. */
static bool is_own(const weft_conv_terms *t, conv_map *forward, conv_map *backward, weft_dtype dt)
{
    return weft__cpu_wide_name() && dt != WEFT_F64 && t->groups == 1 && t->n > 0 &&
           weft__conv_forward(forward, t) && weft__conv_backward(backward, t) &&
           weft__conv_images_each(forward, dt) <= CACHE &&
           weft__conv_images_each(backward, dt) <= CACHE && weights_each(t, dt) <= CACHE;
}

static int64_t most(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

int64_t weft__cpu_conv_room(const weft_conv_terms *t, int threads, weft_dtype dt)
{
    conv_map forward, backward;
    if (!is_own(t, &forward, &backward, dt))
        return 0;
    return most(most(weft__conv_images_room(&forward, threads, dt),
                     weft__conv_images_room(&backward, threads, dt)),
                weights_room(t, threads, dt));
}

weft_status weft__cpu_conv(weft_stream *s, weft_dev y, weft_dev x, weft_dev w, weft_dev b,
                           weft_dev room, const weft_conv_terms *t, weft_dtype dt)
{
    conv_map forward, backward;
    if (!is_own(t, &forward, &backward, dt))
        return weft__convolve(weft__cpu.kernels, s, y, x, w, b, room, t, dt);
    weft__conv_images(s->device, &forward, cpu_ptr(y), dt, cpu_ptr(x), cpu_ptr(w), cpu_ptr(b),
                      cpu_ptr(room), t->room, dt);
    return WEFT_OK;
}

weft_status weft__cpu_conv_back(weft_stream *s, weft_dev gx, weft_dtype xt, weft_dev gw,
                                weft_dev gy, weft_dev x, weft_dev w, weft_dev room,
                                const weft_conv_terms *t, weft_dtype dt)
{
    conv_map forward, backward;
    if (!is_own(t, &forward, &backward, dt))
        return weft__convolve_back(weft__cpu.kernels, s, gx, xt, gw, gy, x, w, room, t, dt);
    if (gw.addr && by_tiles(t, dt))
        weft__conv_weights_amx(s->device, t, cpu_ptr(gw), cpu_ptr(gy), cpu_ptr(x), cpu_ptr(room));
    else if (gw.addr)
        weft__conv_weights(s->device, t, cpu_ptr(gw), cpu_ptr(gy), cpu_ptr(x), cpu_ptr(room), dt);
    if (gx.addr)
        weft__conv_images(s->device, &backward, cpu_ptr(gx), xt, cpu_ptr(gy), cpu_ptr(w), NULL,
                          cpu_ptr(room), t->room, dt);
    return WEFT_OK;
}
#else
int64_t weft__cpu_conv_room(const weft_conv_terms *t, int threads, weft_dtype dt)
{
    (void)t, (void)threads, (void)dt;
    return 0;
}

weft_status weft__cpu_conv(weft_stream *s, weft_dev y, weft_dev x, weft_dev w, weft_dev b,
                           weft_dev room, const weft_conv_terms *t, weft_dtype dt)
{
    return weft__convolve(weft__cpu.kernels, s, y, x, w, b, room, t, dt);
}

weft_status weft__cpu_conv_back(weft_stream *s, weft_dev gx, weft_dtype xt, weft_dev gw,
                                weft_dev gy, weft_dev x, weft_dev w, weft_dev room,
                                const weft_conv_terms *t, weft_dtype dt)
{
    return weft__convolve_back(weft__cpu.kernels, s, gx, xt, gw, gy, x, w, room, t, dt);
}
#endif
