/* NCCL's part of the house (comm/nccl*.c) with a stand-in for its library, so that it takes no GPU: NCCL's
 * header alone. Calls and requests, starting, ends of all kinds, and whole trainings on the mock. */
#include "mpi_train.h"
#include "nccl_standin.h"

#include "comm/comm.h"
#include "comm/mpi.h"
#include "comm/request.h"
#include "core/context.h"
#include "core/error.h"

#define N 1000
#define RANKS 16

static weft_stream *stream;
static weft__direct_ops ops;
static weft_device_ops table;
static int world_handle;

static weft_status open_fake(void **self, weft_comm *c, weft_device *d)
{
    return weft__nccl_open(self, c, d, &api);
}

static weft_status event_done(weft_event *e, bool *done)
{
    *done = false;
    return fake.stuck ? WEFT_OK : weft__mock_device.event_done(e, done);
}

static weft_comm *host_comm(double timeout)
{
    weft_comm *c = NULL;
    bool is_world;
    ck_all(!weft__comm_mpi(&c, world_handle, timeout, &is_world));
    memset(&fake, 0, sizeof fake);
    fake.busy = 2;
    return c;
}

static weft_comm *make(double timeout)
{
    weft_comm *c = host_comm(timeout);
    ck_all(!weft__comm_direct(&c, device, &ops, true));
    ck_all(strcmp(c->ops->name, "nccl") == 0 && fake.opened == 1 && !fake.comm.blocking &&
           fake.comm.rank == c->rank && fake.comm.world == c->world && fake.comm.asked > 1);
    return c;
}

/* A communicator that ended as it should. */
static void finish(weft_comm *c)
{
    weft__comm_free(c);
    ck_all(fake.finalized == 1 && fake.destroyed == 1 && fake.aborted == 0);
    ck_all(fake.registered == 0 && fake.allocated == 0 && fake.early == 0 && fake.depth == 0);
}

/* One that was lost on these ranks: MPI itself is whole, so that it can be freed. */
static void abandon(weft_comm *c, bool aborted)
{
    ck_all(fake.aborted == aborted && c->lost);
    c->lost = false;
    weft__comm_free(c);
    ck_all(fake.finalized == 0 && fake.destroyed == 0 && fake.aborted == 1);
}

static weft_dev memory;

static double value(int rank, int i)
{
    return rank + 1 + i % 5;
}

/* n elements of this rank's at element `at`, and enqueued only. */
static void put(int at, int n)
{
    static double x[RANKS * N];
    for (int i = 0; i < n; i++)
        x[i] = value(all_rank(), i);
    ck_all(!device->ops->upload(stream, weft__at(memory, at * 8), x, (size_t)n * 8));
}

static void *place(int at)
{
    return (void *)weft__at(memory, at * 8).addr; /* NOLINT */
}

/* Whether n elements at `at` are sums of what the ranks had from `first` on. */
static bool are_sums(int at, int first, int n)
{
    static double x[RANKS * N];
    if (device->ops->download(stream, x, weft__at(memory, at * 8), (size_t)n * 8))
        return false;
    for (int i = 0; i < n; i++) {
        double want = 0;
        for (int r = 0; r < all_world(); r++)
            want += value(r, first + i);
        if (x[i] != want)
            return false;
    }
    return true;
}

START_TEST(calls)
{
    weft_comm *c = make(60);
    int64_t counts[RANKS], before = 0, all = 0;
    for (int r = 0; r < c->world; r++) { /* alike, and not */
        counts[r] = _i ? 100 + r : 100;
        before += r < c->rank ? counts[r] : 0;
        all += counts[r];
    }
    const int mine = (int)counts[c->rank];
    put(0, N);
    ck_all(!weft__comm_after(c, stream) &&
           !weft__all_reduce(c, "sum", place(0), N, WEFT_F64, WEFT_REDUCE_SUM));
    ck_all(are_sums(0, 0, N));
    put(0, (int)all);
    ck_all(!weft__comm_after(c, stream) &&
           !weft__reduce_scatter(c, "parts", place(N * 4), place(0), counts, WEFT_F64));
    ck_all(are_sums(N * 4, (int)before, mine));
    ck_all(!weft__all_gather(c, "all", place(N * 6), counts, place(N * 4), WEFT_F64));
    ck_all(are_sums(N * 6, 0, (int)all));
    put(0, N);
    ck_all(!weft__comm_after(c, stream) &&
           !weft__reduce_scatter(c, "in place", place((int)before), place(0), counts, WEFT_F64));
    ck_all(!weft__all_gather(c, "in place", place(0), counts, place((int)before), WEFT_F64));
    ck_all(are_sums(0, 0, (int)all));
    put(0, N);
    ck_all(!weft__comm_after(c, stream) &&
           !weft__comm_broadcast(c, "of rank 0", place(0), N * 8, 0));
    double x[2];
    ck_all(!device->ops->download(stream, x, memory, sizeof x) && x[1] == value(0, 1));
    ck_all(fake.calls == (_i ? 2 + 4 * c->world : 6));
    finish(c);
}
END_TEST

/* The host does not wait when requests start, and they end in order. */
START_TEST(requests)
{
    weft_comm *c = make(60);
    static weft_request r[80];
    for (int i = 0; i < 80; i++) { /* more than there are events */
        put(i * 10, 10);
        ck_all(!weft__comm_after(c, stream) &&
               !weft__start_all_reduce(c, &r[i], "one of many", place(i * 10), 10, WEFT_F64,
                                       WEFT_REDUCE_SUM));
        weft__advance(c);
    }
    for (int i = 79; i >= 0; i--)
        ck_all(!weft__await(c, &r[i]) && are_sums(i * 10, 0, 10));
    ck_all(fake.calls == 80);
    finish(c);
}
END_TEST

START_TEST(memory_is_registered)
{
    weft_comm *c = make(60);
    weft_dev p;
    ck_all(!weft__comm_alloc(c, device, 800, WEFT_MEMORY_GRADS, &p));
    ck_all(fake.registered == 1 && fake.allocated == 1);
    ck_all(!device->ops->zero(stream, p, 800)); /* still to come when it is given back */
    weft__comm_release(c, device, p, 800, WEFT_MEMORY_GRADS);
    ck_all(fake.registered == 0 && fake.allocated == 0 && !device->ops->sync(stream));
    finish(c);
}
END_TEST

/* One rank alone has it, and keeps it to itself until all are there; if one of them has none, no other's is
 * registered. */
START_TEST(memory_is_registered_later)
{
    weft_comm *c = make(60);
    weft_dev p, q;
    ck_all(!weft__comm_reserve(c, device, 800, WEFT_MEMORY_PARAMS, &p) && fake.registered == 0);
    ck_all(!weft__comm_enlist(c, p) && fake.registered == 1 && fake.allocated == 1);
    fake.poor = c->rank == 0;
    ck_all(!weft__comm_reserve(c, device, 400, WEFT_MEMORY_PARAMS, &q));
    ck_all(!weft__comm_enlist(c, q) && fake.registered == 1 && !c->lost);
    ck_all(fake.allocated == (c->rank == 0 ? 1 : 2));
    weft__comm_release(c, device, q, 400, WEFT_MEMORY_PARAMS);
    weft__comm_release(c, device, p, 800, WEFT_MEMORY_PARAMS);
    finish(c);
}
END_TEST

/* All ranks or none: one that fails, or is never there, leaves nobody waiting. */
START_TEST(one_rank_does_not_start)
{
    static const char *const why[] = {"ncclCommInitRankConfig: some error (the stand-in's)",
                                      "ncclCommInitRankConfig: remote error",
                                      "NCCL did not connect the GPUs within 0.3 s"};
    weft_comm *c = host_comm(_i == 2 ? 0.3 : 60), *same = c;
    const double since = weft__now();
    if (c->rank == c->world - 1) {
        fake.init = _i == 0 ? ncclSystemError : ncclSuccess;
        fake.look = _i == 1 ? ncclRemoteError : ncclSuccess;
        fake.busy = _i == 2 ? -1 : 2;
    }
    const weft_status s = weft__comm_direct(&c, device, &ops, true);
    ck_all(s == (_i == 0 ? WEFT_EDEVICE : _i == 1 ? WEFT_EPEER : WEFT_ETIMEOUT));
    ck_all(strstr(weft__why(), why[_i]) != NULL);
    ck_all(c == same && !c->lost && fake.aborted == fake.opened && weft__now() - since < 10);
    ck_all(!weft__barrier(c, "it goes on by the host"));
    weft__comm_free(c);
}
END_TEST

START_TEST(one_gpu_for_two)
{
    weft_comm *c = host_comm(60);
    device->index = c->rank == 0 ? 1 : c->rank; /* ranks 0 and 1 have number 1 */
    const weft_status s = weft__comm_direct(&c, device, &ops, true);
    device->index = c->rank;
    ck_all(s == WEFT_ECONFIG && strstr(weft__why(), "ranks 0 and 1 have the same one"));
    ck_all(!c->lost && fake.opened == 0);
    weft__comm_free(c);
}
END_TEST

/* A peer that is gone shows as an error of NCCL's, a wait without end as the time limit. */
START_TEST(lost_peer)
{
    weft_comm *c = make(0.3);
    weft_request r = {0}, q = {0};
    put(0, 10);
    ck_all(!weft__start_all_reduce(c, &r, "lost", place(0), 10, WEFT_F64, WEFT_REDUCE_SUM));
    ck_all(!weft__start_all_reduce(c, &q, "next", place(0), 10, WEFT_F64, WEFT_REDUCE_SUM));
    fake.stuck = true;
    fake.look = _i ? ncclRemoteError : ncclSuccess;
    const double since = weft__now();
    ck_all(weft__await(c, &r) == (_i ? WEFT_EPEER : WEFT_ETIMEOUT));
    ck_all(strstr(weft__why(), "all_reduce \"lost\" (collective ") &&
           strstr(weft__why(), _i ? "remote error" : "did not come within 0.3 s"));
    ck_all(fake.aborted == 1 && c->lost);
    ck_all(weft__await(c, &q) == WEFT_EPEER && fake.aborted == 1);
    ck_all(weft__now() - since < 5);
    ck_all(weft__all_reduce(c, "more", place(0), 10, WEFT_F64, WEFT_REDUCE_SUM) == WEFT_EPEER);
    fake.stuck = false;
    abandon(c, true);
}
END_TEST

/* What the heartbeat finds while requests go on. */
START_TEST(lost_elsewhere)
{
    weft_comm *c = make(60);
    weft_request r = {0};
    ck_all(!weft__start_all_reduce(c, &r, "begun", place(0), 10, WEFT_F64, WEFT_REDUCE_SUM));
    fake.stuck = true;
    c->lost = true;
    ck_all(weft__await(c, &r) == WEFT_EPEER && fake.aborted == 1);
    fake.stuck = false;
    abandon(c, true);
}
END_TEST

START_TEST(a_call_fails)
{
    weft_comm *c = make(60);
    fake.call = ncclUnhandledCudaError;
    ck_all(weft__all_reduce(c, "bad", place(0), 10, WEFT_F64, WEFT_REDUCE_SUM) == WEFT_EDEVICE);
    ck_all(strstr(weft__why(), "some error (the stand-in's)") != NULL);
    abandon(c, true);
}
END_TEST

/* The real library, or what stands in its place. It needs no GPU to be found. */
START_TEST(library)
{
    static const struct {
        const char *file, *says;
    } bad[] = {{"no", "WEFT_NCCL=no"},
               {"/nowhere/libnccl.so.2", "NCCL cannot be loaded (/nowhere/libnccl.so.2"},
               {"libm.so.6", "libm.so.6 has no nccl"}};
    weft__nccl_api found;
    int version = 0;
    for (int i = 0; i < 3; i++) {
        setenv("WEFT_NCCL", bad[i].file, 1);
        ck_all(weft__nccl_load(&found) == WEFT_ENOTSUP && strstr(weft__why(), bad[i].says));
    }
    unsetenv("WEFT_NCCL");
    ck_all(weft__nccl_load(&found) == WEFT_OK
               ? !found.ncclGetVersion(&version) && version / 10000 == NCCL_MAJOR
               : strstr(weft__why(), "name its file in WEFT_NCCL") != NULL);
}
END_TEST

/* Where there is no GPU, and where it is missed on one rank alone. */
START_TEST(not_on_this_device)
{
    weft_fabric *f;
    const bool one = _i == 1 && all_rank() != 0;
    ck_all(weft_open_mpi(&f, MPI_COMM_WORLD,
                         WEFT_OPEN(.accelerator = one ? "cpu" : "mock",
                                   .process_group_backend = "nccl")) == WEFT_ECONFIG);
    ck_all(strstr(weft_message(f), _i ? "accelerator differs" : "computes on device mock") != NULL);
    weft_close(&f);
}
END_TEST

/* This rank's four rows of batch i. */
static weft_tensor *loss_of(weft_fabric *f, weft_module *m, int i)
{
    const int64_t each = 4, all = each * all_world(), first = i * 7 + each * all_rank();
    weft_tensor *x = weft_tensor_of(f, data_x + first * FEATURES, 2,
                                    (const int64_t[]){each, FEATURES}, WEFT_F64);
    weft_tensor *y = weft_tensor_of(f, data_y + first, 1, &each, WEFT_I32);
    weft_batch b = weft_batch_of(f, x, y, first, all);
    return weft_cross_entropy(weft_forward(m, b.x), b.y);
}

/* Parameters after some steps, and what all ranks agree on beside. @return how many. */
static size_t train(bool by_nccl, const char *strategy, bool reproducible, double *out)
{
    weft_fabric *f;
    weft_device *ours = device;
    memset(&fake, 0, sizeof fake);
    ck_all(!weft_open_mpi(&f, MPI_COMM_WORLD,
                          WEFT_OPEN(.accelerator = "mock", .strategy = strategy, .threads = 1,
                                    .precision = "64-true", .heartbeat = WEFT_OFF, .seed = 3,
                                    .reproducible = reproducible ? all_world() : 0)));
    device = f->device;
    if (by_nccl)
        ck_all(!weft__comm_direct(&f->comm, f->device, &ops, true));
    weft_module *m = small_net(f);
    weft_optimizer *adam = weft_adam(m, WEFT_ADAM(.lr = 1e-2));
    weft_setup(f, m, adam);
    for (int i = 0; i < 4; i++) {
        weft_zero_grad(adam);
        weft_tensor *loss = loss_of(f, m, i);
        weft_backward(f, loss);
        weft_step(adam);
        out[i] = weft_item(weft_all_reduce(f, loss, "mean"));
        weft_step_end(f);
    }
    const size_t n = numbers_of(m, out + 4) + 4;
    ck_all(!weft_error(f) && same_bytes(out, n * sizeof *out));
    ck_all(weft_close(&f) == 0);
    device = ours;
    ck_all(!by_nccl || (fake.destroyed == 1 && fake.aborted == 0 && fake.registered == 0 &&
                        fake.allocated == 0 && fake.early == 0 && fake.loose == 0));
    return n;
}

/* What NCCL moves gives what the host's memory does, in the same order of calls every time. */
START_TEST(training)
{
    static const char *const strategy[] = {"ddp", "zero1", "zero2"};
    static double host[2000], nccl[2000], again[2000];
    const size_t n = train(false, strategy[_i], false, host);
    ck_all(n < 2000 && train(true, strategy[_i], false, nccl) == n && fake.calls >= 8);
    const uint64_t order = fake.order;
    ck_all(train(true, strategy[_i], false, again) == n && fake.order == order);
    ck_all(furthest(host, nccl, n) < 1e-12 && furthest(again, nccl, n) == 0);
}
END_TEST

/* Sums in the fixed tree are not NCCL's: the bits are those of the host's way. */
START_TEST(reproducible)
{
    static double host[2000], nccl[2000];
    if (all_world() & (all_world() - 1))
        return;
    const size_t n = train(false, "ddp", true, host);
    ck_all(train(true, "ddp", true, nccl) == n && furthest(host, nccl, n) == 0);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("nccl");
    TCase *t = tcase_create("all");
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, calls, 0, 2);
    tcase_add_test(t, requests);
    tcase_add_test(t, memory_is_registered);
    tcase_add_test(t, memory_is_registered_later);
    tcase_add_loop_test(t, one_rank_does_not_start, 0, 3);
    tcase_add_test(t, one_gpu_for_two);
    tcase_add_loop_test(t, lost_peer, 0, 2);
    tcase_add_test(t, lost_elsewhere);
    tcase_add_test(t, library);
    tcase_add_loop_test(t, not_on_this_device, 0, 2);
    tcase_add_test(t, a_call_fails);
    tcase_add_loop_test(t, training, 0, 3);
    tcase_add_test(t, reproducible);
    suite_add_tcase(s, t);
    return s;
}

int main(void)
{
    all_yield();
    make_data();
    setenv("WEFT_MOCK_FAR", "1", 1);
    if (weft__mpi_enter(&world_handle))
        return EXIT_FAILURE;
    if (all_world() == 1) { /* which needs no NCCL */
        weft__mpi_leave(false);
        return 77;
    }
    ops = weft__nccl_ops;
    ops.open = open_fake;
    table = weft__mock_device;
    table.event_done = event_done;
    if (weft__device_open_ops(&device, &table, all_rank(), 1) ||
        device->ops->stream_new(device, &stream) ||
        device->ops->alloc(device, (size_t)RANKS * N * 8, &memory)) {
        fprintf(stderr, "cannot begin: %s\n", weft__why());
        return EXIT_FAILURE;
    }
    const int failed = all_run(suite());
    device->ops->free(device, memory, (size_t)RANKS * N * 8);
    device->ops->stream_free(stream);
    weft__device_close(device);
    weft__mpi_leave(false);
    int over;
    MPI_Finalized(&over);
    if (!over) /* peers that were lost on purpose are there */
        MPI_Finalize();
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
