/* Modules: functions with parameters, in a tree. A module is made without memory; its parameters
 * come into being at weft_setup, or at the first weft_forward, on the fabric's device and in its
 * type. Their initial values depend on the seed, the parameter's place in the tree and the element
 * alone: never on ranks, threads or device. */
#ifndef WEFT_NN_H
#define WEFT_NN_H
#include <weft/base.h>
#include <weft/status.h>
#include <weft/tensor.h>
WEFT_BEGIN

/* y = x W^T + b, x (...,in) -> (...,out). Parameters weight (out,in) and bias (out), both uniform in
 * +-1/sqrt(in), PyTorch's initialisation. */
WEFT_API weft_module *weft_nn_linear(weft_fabric *f, int64_t in, int64_t out);
/* The same without bias. */
WEFT_API weft_module *weft_nn_linear_nobias(weft_fabric *f, int64_t in, int64_t out);
WEFT_API weft_module *weft_nn_relu(weft_fabric *f);
WEFT_API weft_module *weft_nn_softmax(weft_fabric *f);
WEFT_API weft_module *weft_nn_log_softmax(weft_fabric *f);
WEFT_API weft_module *weft_nn_gelu(weft_fabric *f);
WEFT_API weft_module *weft_nn_gelu_tanh(weft_fabric *f);
WEFT_API weft_module *weft_nn_silu(weft_fabric *f);
WEFT_API weft_module *weft_nn_sigmoid(weft_fabric *f);
WEFT_API weft_module *weft_nn_tanh(weft_fabric *f);
/* One module after the other; it becomes the parent of all n, whose names are "0", "1", ... A NULL
 * among them (an error stuck) gives NULL. */
WEFT_API weft_module *weft_nn_sequential_n(weft_fabric *f, size_t n, weft_module *const *modules);
#ifdef __cplusplus
WEFT_END
template <class... M> static inline weft_module *weft_nn_sequential(weft_fabric *f, M... m)
{
    weft_module *const a[] = {m...};
    return weft_nn_sequential_n(f, sizeof...(m), a);
}
WEFT_BEGIN
#else
#define weft_nn_sequential(f, ...)                                                                 \
    weft_nn_sequential_n(f, sizeof((weft_module *const[]){__VA_ARGS__}) / sizeof(weft_module *),   \
                         (weft_module *const[]){__VA_ARGS__})
#endif

/* The module's function. Inputs that are floating point are cast to what the precision computes in.
 * With x NULL its hooks still fire, and the result is NULL. Not collective, except under a strategy
 * that gathers parameters. */
WEFT_API weft_tensor *weft_forward(weft_module *m, weft_tensor *x);

/* Training or evaluation mode of m and all below it. Modules start in training mode. */
WEFT_API void weft_train(weft_module *m, bool training);
WEFT_API bool weft_is_training(const weft_module *m);

/* Parameters by name, as "0.weight". weft_param: NULL and WEFT_ENOENT, with the nearest name, if
 * there is none. The tensor is the parameter itself and lives with the module. The values of a
 * parameter may be read with weft_copy_out and written with weft_copy_in, alike on all ranks. */
WEFT_API int64_t weft_param_count(weft_module *m);    /* how many parameters */
WEFT_API int64_t weft_param_elements(weft_module *m); /* how many numbers in all of them */
WEFT_API const char *weft_param_name(weft_module *m, int64_t i); /* borrowed from m */
WEFT_API weft_tensor *weft_param(weft_module *m, const char *name);
/* A frozen parameter gets no gradient and no update; true means all below m. Call before
 * setup: WEFT_ESTATE once there is memory. */
WEFT_API weft_status weft_freeze(weft_module *m, bool frozen);

WEFT_END
#endif
