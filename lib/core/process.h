/* Facts that belong to the process, not to a fabric: the only mutable globals of the library. */
#ifndef CORE_PROCESS_H
#define CORE_PROCESS_H
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <weft/log.h>
#include <weft/status.h>

#define WEFT__TRAP_TEXT 200
#define WEFT__TRAPS 16    /* the most ranges of addresses that the host may not touch */
#define WEFT__LANES 256   /* calls at one time that have room of their own */
#define WEFT__FABRICS 128 /* the most fabrics open at once in a process */

typedef struct weft__lane {
    atomic_int busy; /* 1: a call has it */
    void *room;      /* kept */
} weft__lane;

typedef struct weft__process_facts {
    weft_log_fn log_fn;
    void *log_user;
    weft_level log_level;
    atomic_long fail_alloc; /* > 0: the torture hook's countdown, see core/alloc.h */
    struct {
        weft_fabric *fabric; /* NULL: free */
        uint32_t generation; /* where the next tenant's tokens start */
    } fabric[WEFT__FABRICS];
    int mpi_users;    /* fabrics open on an MPI that we initialised */
    int mpi_ours;     /* 1: MPI_Init was ours, so MPI_Finalize is too */
    void **abandoned; /* see weft__process_abandon */
    size_t nabandoned, abandoned_room;
    struct {
        uintptr_t at;
        size_t bytes;               /* 0: free */
        char text[WEFT__TRAP_TEXT]; /* what is said if it does */
        size_t length;
    } trap[WEFT__TRAPS];
    int traps; /* in use: then SIGSEGV is caught, and handled as it was before */
    struct sigaction before_traps;
    void *machine[2];                    /* hwloc's, once asked for: cores, and with PCI devices */
    int kernels_chosen;                  /* 1: BLIS_ARCH_TYPE has been looked at */
    struct weft__onednn *_Atomic onednn; /* once it was asked for */
    atomic_int amx;                      /* 1: the system lets us, -1: not; 0: not yet asked */
    weft__lane lane[WEFT__LANES],
        brain_lane[WEFT__LANES],        /* where products in f32 and in bf16 pack */
        norm_lane[WEFT__LANES];         /* where gradients of normalisation are summed */
    struct weft__cuda_imports *imports; /* host memory that GPUs reach, while one is open; */
    int importers;                      /* how many are */
} weft__process_facts;

extern weft__process_facts weft__process;

/* Guards all of it; held briefly. Reads WEFT_LOG_LEVEL and WEFT_FAIL_ALLOC at its first use. */
void weft__process_lock(void);
void weft__process_unlock(void);

/* libhdf5 is not thread-safe: whoever calls it holds this, with nothing else held. */
void weft__process_hdf5_lock(void);
void weft__process_hdf5_unlock(void);

/* Memory that can never be freed, because a call that did not end may still write to it. */
void weft__process_abandon(void *p);

/* A number for f, 0..WEFT__FABRICS-1, and the generation its tokens start from; -1 if all are
 * taken. */
int weft__process_enter(weft_fabric *f, uint32_t *generation);
/* Gives the number back; tokens of generation below `generation` stay stale for ever. */
void weft__process_leave(int id, uint32_t generation);
/* The fabric with that number, or NULL. */
static inline weft_fabric *weft__process_fabric(int id)
{
    return id >= 0 && id < WEFT__FABRICS ? weft__process.fabric[id].fabric : NULL;
}
#endif
