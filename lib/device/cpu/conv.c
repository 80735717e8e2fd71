/* Convolutions: conv_ways.c says how they are done. */
#include "device/cpu/conv.h"
#include "device/conv.h"

#if CPU_HAS_WIDE
static void weights(const weft_device *d, const weft_conv_terms *t, void *gw, const void *gy,
                    const void *x, void *room, weft_dtype dt)
{
    if (weft__conv_by_tiles(t, dt))
        weft__conv_weights_amx(d, t, gw, gy, x, room);
    else
        weft__conv_weights(d, t, gw, gy, x, room, dt);
}
#else
#define weights(...) (void)0
#define weft__conv_images(...) (void)0
#endif

static weft_status images(weft_stream *s, conv_by by, const conv_map *m, weft_dev y, weft_dtype yt,
                          weft_dev x, weft_dev w, weft_dev b, weft_dev room, int64_t bytes,
                          weft_dtype dt)
{
    if (by == CONV_BY_PLANES)
        return weft__conv_depth(s, m, cpu_ptr(y), yt, cpu_ptr(x), cpu_ptr(w), cpu_ptr(b),
                                cpu_ptr(room), bytes, dt);
    weft__conv_images(s->device, m, cpu_ptr(y), yt, cpu_ptr(x), cpu_ptr(w), cpu_ptr(b),
                      cpu_ptr(room), bytes, dt);
    return WEFT_OK;
}

weft_status weft__cpu_conv(weft_stream *s, weft_dev y, weft_dev x, weft_dev w, weft_dev b,
                           weft_dev room, const weft_conv_terms *t, weft_dtype dt)
{
    conv_map m;
    const conv_by by = weft__conv_by_images(weft__conv_forward, &m, t, dt);
    return by == CONV_BY_PRODUCTS ? weft__convolve(weft__cpu.kernels, s, y, x, w, b, room, t, dt)
                                  : images(s, by, &m, y, dt, x, w, b, room, t->room, dt);
}

/* Sets what is done to none. */
static weft_status weights_back(weft_stream *s, weft_dev *gw, weft_dev gy, weft_dev x,
                                weft_dev room, const weft_conv_terms *t, weft_dtype dt)
{
    conv_map m;
    const conv_by by = weft__conv_by_weights(&m, t, dt);
    void *to = cpu_ptr(*gw);
    if (by == CONV_BY_PRODUCTS || !to)
        return WEFT_OK;
    *gw = (weft_dev){0};
    if (by == CONV_BY_PLANES)
        return weft__conv_dots(s, &m, to, cpu_ptr(gy), cpu_ptr(x), cpu_ptr(room), t->room, dt);
    weights(s->device, t, to, cpu_ptr(gy), cpu_ptr(x), cpu_ptr(room), dt);
    return WEFT_OK;
}

weft_status weft__cpu_conv_back(weft_stream *s, weft_dev gx, weft_dtype xt, weft_dev gw,
                                weft_dev gy, weft_dev x, weft_dev w, weft_dev room,
                                const weft_conv_terms *t, weft_dtype dt)
{
    conv_map m;
    const conv_by by = weft__conv_by_images(weft__conv_backward, &m, t, dt);
    WEFT_TRY(weights_back(s, &gw, gy, x, room, t, dt));
    if (gx.addr && by != CONV_BY_PRODUCTS) {
        WEFT_TRY(images(s, by, &m, gx, xt, gy, w, (weft_dev){0}, room, t->room, dt));
        gx = (weft_dev){0};
    }
    return gx.addr || gw.addr
               ? weft__convolve_back(weft__cpu.kernels, s, gx, xt, gw, gy, x, w, room, t, dt)
               : WEFT_OK;
}
