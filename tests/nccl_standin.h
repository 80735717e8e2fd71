/* A stand-in for NCCL's library: the same functions, which move the mock's memory by MPI, late and in the
 * order of the stream that they are given, see whether all ranks ask for the same, and fail when told to. */
#ifndef TESTS_NCCL_STANDIN_H
#define TESTS_NCCL_STANDIN_H
#include "mpi_all.h"

#include "comm/nccl_self.h"
#include "device/device.h"

#include <stdint.h>
#include <string.h>

#define STANDIN_BYTES (1 << 20)
#define STANDIN_PIECES 64
#define STANDIN_SMALL 64 /* bytes of what need not be registered */

static weft_device *device; /* whose memory it moves */

struct ncclComm {
    int rank, world, asked;
    bool blocking;
};

static struct {
    struct ncclComm comm;
    int busy;          /* looks before what was begun is over; -1: it never is */
    ncclResult_t init; /* what the beginning, a call, and the next look give */
    ncclResult_t call, look;
    bool stuck; /* events do not happen */
    int opened, finalized, destroyed, aborted, registered, allocated;
    struct {
        uintptr_t at;
        size_t bytes;        /* 0: none */
    } piece[STANDIN_PIECES]; /* that are registered */
    bool poor;               /* it has no memory */
    int loose;               /* calls with a larger buffer that is not registered */
    int early;               /* pieces whose memory went before their registration */
    int calls, depth;
    uint64_t order; /* hash of all calls */
} fake;

static ncclResult_t version_of(int *v)
{
    *v = NCCL_VERSION_CODE;
    return ncclSuccess;
}

static ncclResult_t unique(ncclUniqueId *id)
{
    snprintf(id->internal, sizeof id->internal, "one of rank %d", all_rank());
    return ncclSuccess;
}

static ncclResult_t init(ncclComm_t *out, int world, ncclUniqueId id, int rank,
                         ncclConfig_t *config)
{
    if (strcmp(id.internal, "one of rank 0") || config->magic != 0xcafebeef)
        return ncclInvalidArgument;
    fake.comm = (struct ncclComm){.rank = rank, .world = world, .blocking = config->blocking != 0};
    if (fake.init)
        return fake.init;
    fake.opened++;
    *out = &fake.comm;
    return ncclInProgress;
}

static ncclResult_t look(ncclComm_t c, ncclResult_t *e)
{
    c->asked++;
    *e = fake.look ? fake.look : fake.busy ? ncclInProgress : ncclSuccess;
    fake.busy -= fake.busy > 0;
    return ncclSuccess;
}

static ncclResult_t finalize(ncclComm_t c)
{
    (void)c;
    fake.finalized++;
    fake.busy = 3;
    return ncclInProgress;
}

static ncclResult_t destroy(ncclComm_t c)
{
    (void)c;
    fake.destroyed++;
    return ncclSuccess;
}

static ncclResult_t stop(ncclComm_t c)
{
    (void)c;
    fake.aborted++;
    return ncclSuccess;
}

static const char *text_of(ncclResult_t e)
{
    return e == ncclRemoteError ? "remote error" : "some error";
}

static const char *last_of(ncclComm_t c)
{
    (void)c;
    return "the stand-in's";
}

static MPI_Datatype mpi_type(ncclDataType_t t)
{
    return t == ncclFloat32   ? MPI_FLOAT
           : t == ncclFloat64 ? MPI_DOUBLE
           : t == ncclInt64   ? MPI_INT64_T
           : t == ncclInt32   ? MPI_INT32_T
                              : MPI_UINT8_T;
}

static size_t size_of(ncclDataType_t t)
{
    int size;
    MPI_Type_size(mpi_type(t), &size);
    return (size_t)size;
}

static int piece_of(const void *p)
{
    const uintptr_t at = (uintptr_t)p;
    for (int i = 0; i < STANDIN_PIECES; i++)
        if (fake.piece[i].bytes > at - fake.piece[i].at)
            return i;
    return -1;
}

/* Before a call: all ranks ask for the same. What has to be there is not, unless the stream waited. */
static ncclResult_t enter(int kind, size_t n, int type, int root, const void *in, char *host,
                          size_t bytes, cudaStream_t s)
{
    const int64_t what[4] = {kind, (int64_t)n, type, root};
    int64_t least[4], most[4];
    weft_stream *q = (weft_stream *)(void *)s;
    if (fake.call)
        return fake.call;
    MPI_Allreduce(what, least, 4, MPI_INT64_T, MPI_MIN, MPI_COMM_WORLD);
    MPI_Allreduce(what, most, 4, MPI_INT64_T, MPI_MAX, MPI_COMM_WORLD);
    if (memcmp(least, most, sizeof least))
        return ncclInvalidUsage;
    fake.calls++;
    fake.loose += n * size_of((ncclDataType_t)type) > STANDIN_SMALL && piece_of(in) < 0;
    for (int i = 0; i < 4; i++)
        fake.order = fake.order * 1000003 + (uint64_t)what[i];
    if (bytes && device->ops->download(q, host, (weft_dev){(uintptr_t)in}, bytes))
        return ncclUnhandledCudaError;
    return ncclSuccess;
}

/* The result comes when the stream gets there. */
static ncclResult_t leave(void *out, const char *host, size_t bytes, cudaStream_t s)
{
    weft_stream *q = (weft_stream *)(void *)s;
    if (bytes && device->ops->upload(q, (weft_dev){(uintptr_t)out}, host, bytes))
        return ncclUnhandledCudaError;
    if (fake.busy >= 0)
        fake.busy = fake.depth ? 0 : 2;
    return fake.depth ? ncclSuccess : ncclInProgress;
}

static char from[STANDIN_BYTES], to[STANDIN_BYTES];

static ncclResult_t all_reduce(const void *in, void *out, size_t n, ncclDataType_t t,
                               ncclRedOp_t op, ncclComm_t c, cudaStream_t s)
{
    const size_t bytes = n * size_of(t);
    ncclResult_t e = enter('a' + (int)op, n, (int)t, 0, in, from, bytes, s);
    (void)c;
    if (e)
        return e;
    MPI_Allreduce(from, to, (int)n, mpi_type(t),
                  op == ncclSum   ? MPI_SUM
                  : op == ncclMin ? MPI_MIN
                                  : MPI_MAX,
                  MPI_COMM_WORLD);
    return leave(out, to, bytes, s);
}

static ncclResult_t reduce(const void *in, void *out, size_t n, ncclDataType_t t, ncclRedOp_t op,
                           int root, ncclComm_t c, cudaStream_t s)
{
    const size_t bytes = n * size_of(t);
    ncclResult_t e = enter('r', n, (int)t, root, in, from, bytes, s);
    if (e || op != ncclSum)
        return e ? e : ncclInvalidArgument;
    MPI_Reduce(from, to, (int)n, mpi_type(t), MPI_SUM, root, MPI_COMM_WORLD);
    return leave(out, to, c->rank == root ? bytes : 0, s);
}

static ncclResult_t scatter(const void *in, void *out, size_t n, ncclDataType_t t, ncclRedOp_t op,
                            ncclComm_t c, cudaStream_t s)
{
    const size_t bytes = n * size_of(t);
    ncclResult_t e = enter('s', n, (int)t, 0, in, from, bytes * (size_t)c->world, s);
    if (e || op != ncclSum)
        return e ? e : ncclInvalidArgument;
    MPI_Reduce_scatter_block(from, to, (int)n, mpi_type(t), MPI_SUM, MPI_COMM_WORLD);
    return leave(out, to, bytes, s);
}

static ncclResult_t gather(const void *in, void *out, size_t n, ncclDataType_t t, ncclComm_t c,
                           cudaStream_t s)
{
    const size_t bytes = n * size_of(t);
    ncclResult_t e = enter('g', n, (int)t, 0, in, from, bytes, s);
    if (e)
        return e;
    MPI_Allgather(from, (int)n, mpi_type(t), to, (int)n, mpi_type(t), MPI_COMM_WORLD);
    return leave(out, to, bytes * (size_t)c->world, s);
}

static ncclResult_t broadcast(const void *in, void *out, size_t n, ncclDataType_t t, int root,
                              ncclComm_t c, cudaStream_t s)
{
    const size_t bytes = n * size_of(t);
    ncclResult_t e = enter('b', n, (int)t, root, in, to, c->rank == root ? bytes : 0, s);
    if (e)
        return e;
    MPI_Bcast(to, (int)n, mpi_type(t), root, MPI_COMM_WORLD);
    return leave(out, to, bytes, s);
}

static ncclResult_t group_start(void)
{
    fake.depth++;
    return ncclSuccess;
}

static ncclResult_t group_end(void)
{
    fake.depth--;
    fake.busy = 2;
    return ncclInProgress;
}

static ncclResult_t mem_alloc(void **p, size_t bytes)
{
    weft_dev d;
    if (fake.poor || device->ops->alloc(device, bytes, &d))
        return ncclSystemError;
    fake.allocated++;
    *p = (void *)d.addr; /* NOLINT */
    return ncclSuccess;
}

static ncclResult_t mem_free(void *p)
{
    fake.early += piece_of(p) >= 0;
    device->ops->free(device, (weft_dev){(uintptr_t)p}, 0);
    fake.allocated--;
    return ncclSuccess;
}

static ncclResult_t enroll(ncclComm_t c, void *p, size_t bytes, void **handle)
{
    int i = 0;
    (void)c;
    while (i < STANDIN_PIECES && fake.piece[i].bytes)
        i++;
    if (i == STANDIN_PIECES || piece_of(p) >= 0)
        return ncclInvalidUsage;
    fake.piece[i].at = (uintptr_t)p;
    fake.piece[i].bytes = bytes;
    fake.registered++;
    *handle = p;
    return ncclSuccess;
}

static ncclResult_t strike(ncclComm_t c, void *handle)
{
    const int i = piece_of(handle);
    (void)c;
    if (i < 0)
        return ncclInvalidArgument;
    fake.piece[i].bytes = 0;
    fake.registered--;
    return ncclSuccess;
}

static const weft__nccl_api api = {.ncclGetVersion = version_of,
                                   .ncclGetUniqueId = unique,
                                   .ncclCommInitRankConfig = init,
                                   .ncclCommGetAsyncError = look,
                                   .ncclCommFinalize = finalize,
                                   .ncclCommDestroy = destroy,
                                   .ncclCommAbort = stop,
                                   .ncclGetErrorString = text_of,
                                   .ncclGetLastError = last_of,
                                   .ncclGroupStart = group_start,
                                   .ncclGroupEnd = group_end,
                                   .ncclAllReduce = all_reduce,
                                   .ncclReduce = reduce,
                                   .ncclReduceScatter = scatter,
                                   .ncclAllGather = gather,
                                   .ncclBroadcast = broadcast,
                                   .ncclMemAlloc = mem_alloc,
                                   .ncclMemFree = mem_free,
                                   .ncclCommRegister = enroll,
                                   .ncclCommDeregister = strike};
#endif
