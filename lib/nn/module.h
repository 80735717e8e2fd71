/* The module tree. A root owns the flat spaces of all parameters below it. */
#ifndef NN_MODULE_H
#define NN_MODULE_H
#include "autograd/tape.h"

#include <weft/sys/module.h>

#define WEFT__FLATS 2 /* trainable, frozen */

typedef struct weft__param weft__param;
struct weft__param {
    weft__segment segment;
    char *name; /* own, "weight" */
    char *path; /* full, "0.weight"; made with the memory */
    weft_module *owner;
    weft__param *tied; /* it is only another name of this one */
};

struct weft_module {
    weft__object object; /* kind WEFT__MODULE */
    const weft_module_ops *ops;
    void *self;
    char *name; /* under its parent */
    weft_module *parent, **child;
    size_t children, child_room;
    weft__param **param;
    size_t params, param_room;
    weft__param **buffer; /* state that is no parameter */
    size_t buffers, buffer_room;
    int64_t
        meets; /* f64 numbers that its forward in training exchanges with other ranks; 0: none */
    bool training;
    bool recompute; /* backward runs its forward again */
    /* Of a root: */
    bool setup;
    int number;        /* of the set up modules, from 0 */
    weft__param **all; /* every parameter below, in order of registration */
    size_t nall;
    weft__flat *flat[WEFT__FLATS];
    int flats;
    weft__param **held; /* every buffer below, in order of registration */
    size_t nheld;
    weft__flat *space; /* theirs; NULL: there are none */
    uint64_t scopes;   /* of weft_no_backward_sync, innermost lowest: 1 if enabled */
    int depth;         /* how many are open */
};

/* What a linear layer before them does, too. */
extern const weft_module_ops weft__relu_module, weft__gelu_tanh_module;

/* 0, or WEFT_EARG with the names that there are. */
weft_status weft__activation_known(const char *name);

weft_module *weft__module_root(weft_module *m);
/* A parameter or buffer of m that has neither memory nor a place among the others yet. */
weft_status weft__param_make(const char *who, weft_module *m, const char *name, int rank,
                             const int64_t *shape, weft_init init, weft_dtype dtype,
                             weft__param **out);
void weft__param_free(weft__param *p);
#define WEFT__PATH 256 /* bytes of a full name */
/* prefix and name in one. */
weft_status weft__module_path(char path[WEFT__PATH], const char *prefix, const char *name,
                              const char *behind);
/* Gives the buffers below a root their memory, and takes it away. */
weft_status weft__buffers_materialise(weft_module *root);
void weft__buffers_undo(weft_module *root);
weft_status weft__buffers_state(const weft_module *root, weft_visitor *v);
/* The most that a module of the tree exchanges. */
int64_t weft__module_meets(const weft_module *m);
/* The parameter of that full name below root, NULL if there is none. It need not have memory. */
weft__param *weft__param_at(weft_module *root, const char *path);
/* What p is another name of, or p. */
weft__param *weft__param_itself(weft__param *p);
/* Freezes or thaws p, under all its names. */
void weft__param_freeze(weft__param *p, bool frozen);
/* Whether m is top or part of it. */
bool weft__module_below(const weft_module *m, const weft_module *top);
/* Gives all parameters below a root their memory, once. Fixes the tree. */
weft_status weft__module_materialise(weft_module *root);
/* One line that is alike on all ranks only if names, shapes and types are. */
weft_status weft__module_digest(weft_module *root, char *text, size_t size);
/* Parameters and buffers as tensors, and what the modules themselves have. */
weft_status weft__module_state(void *root, weft_visitor *v);
/* Names and tensors of one plane of the parameters below m: how moments are saved too. */
weft_status weft__module_plane_state(weft_module *m, weft__plane plane, weft_visitor *v);
#endif
