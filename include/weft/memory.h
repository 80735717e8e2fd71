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
    WEFT_MEMORY_OTHER,   /* metrics, logged values, an optimizer's own */
    WEFT_MEMORY_BUFFERS  /* of modules: running statistics */
} weft_memory_kind;
#define WEFT_MEMORY_KINDS 8

/* "params", "grads", "moments", "compute", "arena", "data", "other", "buffers"; "?" for any other number. */
WEFT_API const char *weft_memory_name(weft_memory_kind kind);

/* Bytes. */
typedef struct weft_memory_use {
    int64_t now, peak;
} weft_memory_use;

/* What this rank holds for a fabric. Each kind's peak is its own; that of the device is the highest
 * sum, which may be less than the sum of the peaks. */
typedef struct weft_memory_report {
    weft_memory_use kind[WEFT_MEMORY_KINDS]; /* on the device, .kind[WEFT_MEMORY_GRADS] */
    weft_memory_use device;                  /* all of them */
    int64_t loaders;     /* on the host, now: batches that loaders hold or have made ahead */
    int64_t checkpoints; /* on the host, now: what the last save keeps for the next */
} weft_memory_report;

/* As it is now. What is counted is what was asked for; the system's own rounding and the memory of
 * MPI, HDF5 and the program are not in it. On the cpu the device's memory is the host's. Never
 * fails: all zeros before weft_open has succeeded. Not collective. */
WEFT_API weft_memory_report weft_memory(const weft_fabric *f);
/* Peaks begin anew at what is held now, so that the next report tells of one part of a program. */
WEFT_API void weft_memory_reset_peak(weft_fabric *f);

WEFT_END
#endif
