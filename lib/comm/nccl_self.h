/* What the files of NCCL share. */
#ifndef COMM_NCCL_SELF_H
#define COMM_NCCL_SELF_H
#include "comm/nccl.h"

#include <nccl.h>

/* clang-format off */
#define WEFT__NCCL_FUNCTIONS(F) \
    F(ncclGetVersion) F(ncclGetUniqueId) F(ncclCommInitRankConfig) F(ncclCommGetAsyncError) \
    F(ncclCommFinalize) F(ncclCommDestroy) F(ncclCommAbort) F(ncclGetErrorString) F(ncclGetLastError) \
    F(ncclGroupStart) F(ncclGroupEnd) F(ncclAllReduce) F(ncclReduce) F(ncclReduceScatter) \
    F(ncclAllGather) F(ncclBroadcast) F(ncclMemAlloc) F(ncclMemFree) F(ncclCommRegister) \
    F(ncclCommDeregister)
/* clang-format on */

typedef struct weft__nccl_api {
#define MEMBER(name) __typeof__(name) *name;
    WEFT__NCCL_FUNCTIONS(MEMBER)
#undef MEMBER
} weft__nccl_api;

/* A piece of memory, and what it is registered as. */
typedef struct weft__nccl_memory {
    void *at, *handle;
    size_t bytes;
    bool registered;
    struct weft__nccl_memory *next;
} weft__nccl_memory;

typedef struct weft__nccl {
    weft__nccl_api api;
    ncclComm_t comm; /* NULL: not yet, or it was aborted */
    weft_device *device;
    weft_stream *stream;
    weft_event *
        *event; /* of request number i % WEFT__NCCL_EVENTS: they end in the stream's order */
    uint64_t begun;
    weft__nccl_memory *memory;
} weft__nccl;

#define WEFT__NCCL_EVENTS 64
#define WEFT__NCCL_SPINS 1000

/* Opens the library. */
weft_status weft__nccl_load(weft__nccl_api *out);
/* As open of the table, by functions that were found already. */
weft_status weft__nccl_open(void **self, weft_comm *c, weft_device *d, const weft__nccl_api *api);
void weft__nccl_close(void *self, bool lost);
weft_status weft__nccl_alloc(void *self, size_t bytes, weft_dev *out);
weft_status weft__nccl_enlist(void *self, weft_dev p);
void weft__nccl_strike(void *self, weft_dev p);
bool weft__nccl_release(void *self, weft_dev p);
weft_status weft__nccl_failed(const weft__nccl *q, const char *call, ncclResult_t e);
/* Until what NCCL does beside us is over, or a peer is lost, or c's time is. */
weft_status weft__nccl_settle(const weft__nccl *q, const weft_comm *c, const char *call);
/* Ends all that goes on. */
void weft__nccl_abort(weft__nccl *q);
#endif
