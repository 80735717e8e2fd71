/* A module of the user's own. Built-in ones use the same door:
 *
 *     weft_module *m = weft_module_new(f, &my_ops, &my, sizeof my);      copies my into the module
 *     weft_module_param(m, "weight", 2, shape, WEFT_UNIFORM(lo, hi));
 *     weft_module_child(m, "head", weft_nn_linear(f, 8, 2));
 */
#ifndef WEFT_SYS_MODULE_H
#define WEFT_SYS_MODULE_H
#include <weft/nn.h>
#include <weft/sys/state.h>
WEFT_BEGIN

typedef struct weft_module_ops {
    size_t size; /* sizeof(weft_module_ops) */
    const char *name;
    /* REQUIRED. Builds the result from x and the module's parameters with ops and with
     * weft_forward of its children. x is NULL on a rank that has failed, and the children are called
     * with NULL then: what is below may wait for all ranks. */
    weft_tensor *(*forward)(weft_module *m, void *self, weft_tensor *x);
    /* OPTIONAL. forward of m followed by next, if m can do both at once, else NULL. */
    weft_tensor *(*fused)(weft_module *m, void *self, weft_tensor *x, weft_module *next);
    /* OPTIONAL. State beyond the parameters. */
    weft_status (*state)(void *self, weft_visitor *v);
    /* OPTIONAL. Frees what self points to; self itself belongs to the module. */
    void (*destroy)(void *self);
} weft_module_ops;

/* How a parameter starts: uniform in [lo, hi), or lo everywhere if they are equal. With std: normal
 * with that deviation about mean, within [lo, hi] unless they are equal. weft_init_param has more
 * kinds, which come down to these. */
typedef struct weft_init {
    double lo, hi;
    double std, mean;
    int64_t zero_first, zero_count; /* elements that start as 0 all the same */
} weft_init;
#ifdef __cplusplus
#define WEFT__START(...) (weft_init{__VA_ARGS__})
#else
#define WEFT__START(...) ((weft_init){__VA_ARGS__})
#endif
#define WEFT_UNIFORM(lo, hi) WEFT__START((lo), (hi), 0, 0, 0, 0)
#define WEFT_CONSTANT(v) WEFT_UNIFORM(v, v)
#define WEFT_NORMAL(mean, std) WEFT__START(0, 0, (std), (mean), 0, 0)
#define WEFT_TRUNC_NORMAL(mean, std, lo, hi) WEFT__START((lo), (hi), (std), (mean), 0, 0)

/* @return NULL after an error; ops must outlive the module. */
WEFT_API weft_module *weft_module_new(weft_fabric *f, const weft_module_ops *ops, const void *self,
                                      size_t bytes);
/* The parameter's tensor; its memory comes at setup. Names have no dot and no slash. */
WEFT_API weft_tensor *weft_module_param(weft_module *m, const char *name, int rank,
                                        const int64_t *shape, weft_init init);
/* State of m that is no parameter, as running statistics: it is not trained, frozen, counted, decayed or
 * reduced. Of f32, or f64 where parameters are; its memory comes with theirs, and it starts so. m's
 * forward may read and write it. All ranks have rank 0's after weft_setup, weft_backward and weft_save,
 * and it is part of every checkpoint. Its name is none of m's parameters'. @return NULL after an error. */
WEFT_API weft_tensor *weft_module_buffer(weft_module *m, const char *name, int rank,
                                         const int64_t *shape, weft_init init);
/* Makes child part of m, under name. A module has one parent. @return child. */
WEFT_API weft_module *weft_module_child(weft_module *m, const char *name, weft_module *child);
/* A parameter of m itself (not of its children) by name; NULL if there is none. */
WEFT_API weft_tensor *weft_module_own(weft_module *m, const char *name);
WEFT_API const weft_module_ops *weft_module_table(const weft_module *m);
/* The fabric that m was made from. */
WEFT_API weft_fabric *weft_module_fabric(const weft_module *m);
WEFT_API void *weft_module_self(weft_module *m);

WEFT_END
#endif
