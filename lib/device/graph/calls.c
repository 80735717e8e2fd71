/* The kernels as they are noted. For each line of the list: the call with its arguments, 8 bytes each;
 * what asks the device for it; and what notes it. The host's arrays are copied behind the arguments. */
#include "core/error.h"
#include "device/graph/graph.h"

#include <string.h>

#define ALIGN 8

static size_t rounded(size_t bytes)
{
    return (bytes + ALIGN - 1) / ALIGN * ALIGN;
}

/* Copies an array to the call's byte *end, and moves that on. @return where it is, 0: there is none. */
static uint64_t keep(weft__graph_call *c, size_t *end, const void *array, size_t bytes,
                     weft__graph_renew *renew)
{
    const size_t at = *end, all = rounded(bytes);
    if (!array)
        return 0;
    if (all > bytes)
        memset((char *)c + at + all - ALIGN, 0, ALIGN);
    memcpy((char *)c + at, array, bytes);
    *end += all;
    if (renew) {
        c->renew = renew;
        c->live = (uint32_t)at;
        c->live_bytes = (uint32_t)bytes;
    }
    return at;
}

/* What may change in a struct from step to step, so that the device takes it from the block. */
static void renew_sgd(void *kept, const void *now)
{
    ((weft_sgd_step *)kept)->lr = ((const weft_sgd_step *)now)->lr;
}

static void renew_adam(void *kept, const void *now)
{
    weft_adam_step *k = kept;
    const weft_adam_step *n = now;
    k->lr = n->lr;
    k->correct1 = n->correct1;
    k->correct2 = n->correct2;
    k->t = n->t;
}

static void renew_rmsprop(void *kept, const void *now)
{
    ((weft_rmsprop_step *)kept)->lr = ((const weft_rmsprop_step *)now)->lr;
}

static void renew_adagrad(void *kept, const void *now)
{
    ((weft_adagrad_step *)kept)->lr = ((const weft_adagrad_step *)now)->lr;
}

static void renew_dropout(void *kept, const void *now)
{
    weft_dropout_terms *k = kept;
    const weft_dropout_terms *n = now;
    k->seed = n->seed;
    k->stream = n->stream;
    k->step = n->step;
    k->base = n->base;
}

/* Only where something is dropped: the rest need not be read again. */
static void renew_attention(void *kept, const void *now)
{
    weft_attention_terms *k = kept;
    const weft_attention_terms *n = now;
    k->seed = n->seed;
    k->stream = n->stream;
    k->step = n->step;
    k->base = n->base;
}

#define RENEW(type)                                                                                \
    _Generic((type *)NULL, weft_sgd_step *                                                         \
             : renew_sgd, weft_adam_step *                                                         \
             : renew_adam, weft_rmsprop_step *                                                     \
             : renew_rmsprop, weft_adagrad_step *                                                  \
             : renew_adagrad, weft_dropout_terms *                                                 \
             : renew_dropout, weft_attention_terms *                                               \
             : renew_attention, default                                                            \
             : NULL)

/* Names that end in _ are those of no argument. */
/* clang-format off */
#define NOTHING_D(name)
#define NOTHING_V(type, name)

#define MEMBER_D(name) weft_dev name;
#define MEMBER_V(type, name) union { type value; uint64_t whole; } name;
#define MEMBER_A(type, name, count) uint64_t name;

#define PASS_D(name) , r->name
#define PASS_V(type, name) , r->name.value
#define PASS_A(type, name, count)                                                                  \
    , r->name ? (const type *)(const void *)((const char *)r + r->name) : NULL

#define BYTES_A(type, name, count) +rounded((name) ? sizeof(type) * (size_t)(count) : 0)

#define KEEP_D(name) r_->name = name;
#define KEEP_V(type, name) r_->name.whole = 0; r_->name.value = name;
#define KEEP_A(type, name, count)                                                                  \
    r_->name = keep(&r_->call, &end_, name, sizeof(type) * (size_t)(count), RENEW(type));

#define SAME_D(name) , name
#define SAME_V(type, name) , name
#define SAME_A(type, name, count) , name

#define NOTED(kernel_)                                                                             \
    typedef struct kernel_##_noted {                                                               \
        weft__graph_call call;                                                                     \
        WEFT_ARGS_##kernel_(MEMBER_D, MEMBER_V, MEMBER_A)                                          \
    } kernel_##_noted;                                                                             \
    static weft_status run_##kernel_(const weft__graph *g, const weft__graph_call *c)              \
    {                                                                                              \
        const kernel_##_noted *r = (const kernel_##_noted *)(const void *)c;                       \
        return g->inner->kernels->kernel_(g->stream WEFT_ARGS_##kernel_(PASS_D, PASS_V, PASS_A));  \
    }                                                                                              \
    static weft_status note_##kernel_(WEFT_KERNEL_ARGS(kernel_))                                   \
    {                                                                                              \
        static const char name_[] = #kernel_;                                                      \
        weft__graph *g_ = s->device->graph;                                                        \
        size_t end_ = sizeof(kernel_##_noted);                                                     \
        weft_status lacks_ = WEFT_OK;                                                              \
        kernel_##_noted *r_ = weft__graph_room(                                                    \
            g_, s, end_ WEFT_ARGS_##kernel_(NOTHING_D, NOTHING_V, BYTES_A), &lacks_);              \
        if (r_) {                                                                                  \
            r_->call = (weft__graph_call){.name = name_, .run = run_##kernel_};                    \
            WEFT_ARGS_##kernel_(KEEP_D, KEEP_V, KEEP_A)                                            \
            r_->call.bytes = (uint32_t)end_;                                                       \
            const int now_ = weft__graph_take(g_);                                                 \
            if (now_ != WEFT__GRAPH_CALL)                                                          \
                return now_ < 0 ? (weft_status)now_ : WEFT_OK;                                     \
        }                                                                                          \
        return lacks_ ? lacks_ : g_->inner->kernels->kernel_(                                      \
            s WEFT_ARGS_##kernel_(SAME_D, SAME_V, SAME_A));                                        \
    }
/* clang-format on */

WEFT_KERNEL_LIST(NOTED)

void weft__graph_kernels(weft__graph *g)
{
    const weft_kernels *own = g->inner->kernels;
#define ENTRY(name) g->kernels.name = own->name ? note_##name : NULL;
    WEFT_KERNEL_LIST(ENTRY)
#undef ENTRY
    g->ops.kernels = &g->kernels;
}
