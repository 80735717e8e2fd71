/* Memory: what this rank holds, by what it is for. */
#ifndef WEFT_MEMORY_H
#define WEFT_MEMORY_H
#include <weft/base.h>
WEFT_BEGIN

/* What memory is for. */
typedef enum weft_memory_kind {
    WEFT_MEMORY_PARAMS,
    WEFT_MEMORY_GRADS,   /* buckets, in the communicator's window or not, and their verdict words */
    WEFT_MEMORY_MOMENTS, /* of optimizers */
    WEFT_MEMORY_COMPUTE, /* the weights once more, in the type that ops compute in */
    WEFT_MEMORY_ARENA,   /* of the step: activations, their gradients, batches, scratch */
    WEFT_MEMORY_DATA,    /* tensors that outlive the step: weft_retain */
    WEFT_MEMORY_OTHER    /* metrics, logged values, an optimizer's own */
} weft_memory_kind;
#define WEFT_MEMORY_KINDS 7

/* "params", "grads", "moments", "compute", "arena", "data", "other"; "?" for any other number. */
WEFT_API const char *weft_memory_name(weft_memory_kind kind);

/* Bytes. */
typedef struct weft_memory_use {
    int64_t now, peak;
} weft_memory_use;

WEFT_END
#endif
