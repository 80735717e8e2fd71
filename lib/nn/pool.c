/* Pooling of images, as modules. */
#include "nn/module.h"
#include "ops/window.h"

static weft_tensor *max_forward(weft_module *m, void *self, weft_tensor *x)
{
    (void)m;
    return weft_max_pool2d(x, self);
}

static weft_tensor *avg_forward(weft_module *m, void *self, weft_tensor *x)
{
    (void)m;
    return weft_avg_pool2d(x, self);
}

static weft_tensor *adaptive_forward(weft_module *m, void *self, weft_tensor *x)
{
    const int64_t *parts = self;
    (void)m;
    return weft_adaptive_avg_pool2d(x, parts[0], parts[1]);
}

static weft_tensor *global_forward(weft_module *m, void *self, weft_tensor *x)
{
    (void)m, (void)self;
    return weft_global_avg_pool(x);
}

static const weft_module_ops max_module = {
    .size = sizeof(weft_module_ops), .name = "max_pool2d", .forward = max_forward};
static const weft_module_ops avg_module = {
    .size = sizeof(weft_module_ops), .name = "avg_pool2d", .forward = avg_forward};
static const weft_module_ops adaptive_module = {
    .size = sizeof(weft_module_ops), .name = "adaptive_avg_pool2d", .forward = adaptive_forward};
static const weft_module_ops global_module = {
    .size = sizeof(weft_module_ops), .name = "global_avg_pool", .forward = global_forward};

static weft_module *make(weft_fabric *f, const char *who, const weft_module_ops *ops,
                         const weft_pool_options *o)
{
    weft_window window;
    if (!f)
        return NULL;
    if (!weft__pool_read(who, o, ops == &max_module, &window))
        return weft_module_new(f, ops, o, sizeof *o);
    weft__stick(f, WEFT_EARG);
    return NULL;
}

weft_module *weft_nn_max_pool2d(weft_fabric *f, const weft_pool_options *o)
{
    return make(f, "weft_nn_max_pool2d", &max_module, o);
}

weft_module *weft_nn_avg_pool2d(weft_fabric *f, const weft_pool_options *o)
{
    return make(f, "weft_nn_avg_pool2d", &avg_module, o);
}

weft_module *weft_nn_adaptive_avg_pool2d(weft_fabric *f, int64_t height, int64_t width)
{
    const int64_t parts[2] = {height, width};
    if (height >= 1 && width >= 1 && height <= INT32_MAX && width <= INT32_MAX)
        return weft_module_new(f, &adaptive_module, parts, sizeof parts);
    weft_fail(f, WEFT_EARG,
              "weft_nn_adaptive_avg_pool2d: %lld x %lld parts; both are from 1 up and below 2^31",
              (long long)height, (long long)width);
    return NULL;
}

weft_module *weft_nn_global_avg_pool(weft_fabric *f)
{
    return weft_module_new(f, &global_module, NULL, 0);
}
