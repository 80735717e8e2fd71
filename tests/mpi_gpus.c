/* NCCL itself, on GPUs: each rank alone, and all together where no two have the same GPU. Where two have, it is
 * refused before NCCL would hang. */
#include "mpi_all.h"

#include "comm/comm.h"
#include "comm/mpi.h"
#include "comm/nccl.h"
#include "comm/request.h"
#include "core/error.h"
#include "device/device.h"

#include <string.h>

#define N 1000
#define RANKS 16
#define REQUESTS 80 /* more than NCCL's part of the house has events */

static weft_device *device;
static weft_stream *stream;
static int world_handle, gpus;

/* This rank's own communicator, or that of all ranks; NULL: it takes more GPUs than there are. */
static weft_comm *make(bool all)
{
    weft_comm *c = NULL;
    bool is_world;
    ck_all(!(all ? weft__comm_mpi(&c, world_handle, 60, &is_world) : weft__comm_self(&c)));
    const weft_status s = weft__comm_direct(&c, device, &weft__nccl_ops, true);
    if (all && gpus < all_world()) {
        ck_all(s == WEFT_ECONFIG && strstr(weft__why(), "have the same one") && !c->lost);
        weft__comm_free(c);
        return NULL;
    }
    ck_all(!s);
    ck_all(!strcmp(c->ops->name, "nccl"));
    return c;
}

static float value(int rank, int i)
{
    return (float)(rank + 1 + i % 5);
}

static weft_dev memory;

static void *place(weft_comm *c, int at)
{
    return weft__comm_reach(c, device, weft__at(memory, at * 4));
}

/* n numbers of this rank's at element `at`, enqueued only: the next call must wait for them. */
static void put(weft_comm *c, int at, int n)
{
    static float x[RANKS * N];
    for (int i = 0; i < n; i++)
        x[i] = value(c->rank, i);
    ck_all(!device->ops->upload(stream, weft__at(memory, at * 4), x, (size_t)n * 4) &&
           !weft__comm_after(c, stream));
}

/* Whether n elements at `at` are sums of what the ranks had from `first` on. */
static bool are_sums(const weft_comm *c, int at, int first, int n)
{
    static float x[RANKS * N];
    if (device->ops->download(stream, x, weft__at(memory, at * 4), (size_t)n * 4))
        return false;
    for (int i = 0; i < n; i++) {
        float want = 0;
        for (int r = 0; r < c->world; r++)
            want += value(r, first + i);
        if (x[i] != want)
            return false;
    }
    return true;
}

/* Parts of the ranks: alike, and not. */
static void calls(weft_comm *c, bool alike)
{
    int64_t counts[RANKS];
    int before = 0, all = 0;
    for (int r = 0; r < c->world; r++) {
        counts[r] = alike ? 100 : 100 + r;
        before += r < c->rank ? (int)counts[r] : 0;
        all += (int)counts[r];
    }
    const int mine = (int)counts[c->rank];
    put(c, 0, N);
    ck_all(!weft__all_reduce(c, "sum", place(c, 0), N, WEFT_F32, WEFT_REDUCE_SUM));
    ck_all(are_sums(c, 0, 0, N));
    put(c, 0, all);
    ck_all(!weft__reduce_scatter(c, "parts", place(c, N * 4), place(c, 0), counts, WEFT_F32));
    ck_all(are_sums(c, N * 4, before, mine));
    ck_all(!weft__all_gather(c, "all", place(c, N * 6), counts, place(c, N * 4), WEFT_F32));
    ck_all(are_sums(c, N * 6, 0, all));
    put(c, 0, all);
    ck_all(!weft__reduce_scatter(c, "in place", place(c, before), place(c, 0), counts, WEFT_F32));
    ck_all(!weft__all_gather(c, "in place", place(c, 0), counts, place(c, before), WEFT_F32));
    ck_all(are_sums(c, 0, 0, all));
    put(c, 0, N);
    ck_all(!weft__comm_broadcast(c, "of rank 0", place(c, 0), N * 4, 0));
    float x[2];
    ck_all(!device->ops->download(stream, x, memory, sizeof x) && x[1] == value(0, 1));
}

/* The host does not wait when they start, and they end in order. */
static void requests(weft_comm *c)
{
    static weft_request r[REQUESTS];
    for (int i = 0; i < REQUESTS; i++) {
        put(c, i * 10, 10);
        ck_all(!weft__start_all_reduce(c, &r[i], "one of many", place(c, i * 10), 10, WEFT_F32,
                                       WEFT_REDUCE_SUM));
        weft__advance(c);
    }
    for (int i = REQUESTS - 1; i >= 0; i--)
        ck_all(!weft__await(c, &r[i]) && are_sums(c, i * 10, 0, 10));
}

START_TEST(collectives_are_those_of_nccl)
{
    const size_t bytes = (size_t)RANKS * N * 4;
    weft_comm *c = make(_i);
    for (int own = 0; c && own < 2; own++) { /* NCCL's memory, registered, and the device's */
        ck_all(!(own ? device->ops->alloc(device, bytes, &memory)
                     : weft__comm_alloc(c, device, bytes, WEFT_MEMORY_GRADS, &memory)));
        calls(c, true);
        calls(c, false);
        requests(c);
        if (own)
            device->ops->free(device, memory, bytes);
        else
            weft__comm_release(c, device, memory, bytes, WEFT_MEMORY_GRADS);
    }
    if (c)
        ck_all(!c->lost);
    weft__comm_free(c);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("gpus");
    TCase *c = tcase_create("gpus");
    tcase_set_timeout(c, 100);
    tcase_add_loop_test(c, collectives_are_those_of_nccl, 0, 2);
    suite_add_tcase(s, c);
    return s;
}

int main(void)
{
    const char *on = getenv("WEFT_ACCELERATOR");
    if (!on || strcmp(on, "cuda") != 0) {
        puts("NCCL takes GPUs");
        return 77;
    }
    all_yield();
    if (weft__mpi_enter(&world_handle))
        return EXIT_FAILURE;
    if (weft__cuda_device.count(&gpus) || gpus < 1 ||
        weft__device_open(&device, "cuda", all_rank() % gpus, 1) ||
        device->ops->stream_new(device, &stream)) {
        fprintf(stderr, "cannot begin: %s\n", weft__why());
        return EXIT_FAILURE;
    }
    const int failed = all_run(suite());
    device->ops->stream_free(stream);
    weft__device_close(device);
    weft__mpi_leave(false);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
