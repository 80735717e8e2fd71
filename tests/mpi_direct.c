/* The communicator that gives memory of the device to a library: every call with memory of either kind,
 * over MPI, shared memory and alone, on a mock whose memory the host does not reach. The library is
 * one of the test's, on MPI; NCCL itself takes GPUs. */
#include "mpi_all.h"

#include "comm/comm.h"
#include "comm/direct.h"
#include "comm/mpi.h"
#include "comm/request.h"
#include "comm/shm.h"
#include "comm/stage.h"
#include "core/error.h"
#include "device/device.h"

#include <string.h>

#define N 1000
#define RANKS 16

static weft_device *device;
static weft_stream *stream;
static weft_comm *other; /* the library's */

typedef struct library {
    int calls, polls; /* made so far; of the last one, before it has ended */
    int waited;       /* calls that came behind an event */
    int has, gave;    /* pieces of memory that it handed out, and those that came back */
    int listed;       /* of them, pieces that all ranks have enlisted */
    bool poor, fails; /* it has no memory; its next call fails */
    weft_dev last;
} library;

static library *newest;

static weft_status open_library(void **self, weft_comm *c, weft_device *d)
{
    library *l = calloc(1, sizeof *l);
    (void)c;
    *self = newest = l;
    return l ? weft__stage_open(other, d) : WEFT_ENOMEM;
}

static weft_status behind(library *l, weft_event *after)
{
    l->calls++;
    l->waited += after != NULL;
    return after ? device->ops->event_sync(after) : WEFT_OK;
}

static weft_status start(void *self, const weft_comm *c, weft_request *r, weft_event *after)
{
    library *l = self;
    weft_request q = *r;
    l->polls = 2;
    r->status = WEFT_OK;
    (void)c;
    if (l->fails)
        return weft__fail(WEFT_EDEVICE, "a cable was pulled");
    WEFT_TRY(behind(l, after));
    weft_status s = weft__stage_in(other, &q);
    s = s ? s : weft__request_run(other, &q);
    return weft__stage_out(other, &q, s);
}

static weft_status test(void *self, const weft_comm *c, weft_request *r, bool *done)
{
    library *l = self;
    (void)c, (void)r;
    *done = l->polls-- <= 0;
    return WEFT_OK;
}

static weft_status wait(void *self, const weft_comm *c, weft_request *r)
{
    (void)self, (void)c;
    return r->status;
}

static weft_status broadcast(void *self, const weft_comm *c, void *buf, int64_t bytes, int root,
                             weft_event *after)
{
    (void)c;
    WEFT_TRY(behind(self, after));
    return weft__comm_broadcast(other, "of the library", buf, bytes, root);
}

static weft_status take(void *self, size_t bytes, weft_dev *out)
{
    library *l = self;
    if (l->poor)
        return weft__fail(WEFT_ENOMEM, "none left");
    WEFT_TRY(device->ops->alloc(device, bytes, out));
    l->last = *out;
    l->has++;
    return WEFT_OK;
}

static weft_status enlist(void *self, weft_dev p)
{
    library *l = self;
    if (l->has == l->gave || p.addr != l->last.addr)
        return weft__fail(WEFT_ENOTSUP, "another's memory");
    l->listed++;
    return WEFT_OK;
}

static void strike(void *self, weft_dev p)
{
    library *l = self;
    ck_assert(p.addr == l->last.addr);
    l->listed--;
}

static bool give_back(void *self, weft_dev p)
{
    library *l = self;
    if (l->has == l->gave || p.addr != l->last.addr)
        return false;
    device->ops->free(device, p, sizeof(double));
    l->gave++;
    return true;
}

static void end(void *self, bool lost)
{
    const library *l = self;
    ck_assert(lost == l->fails && l->has == l->gave);
    free(self);
}

static const weft__direct_ops ops = {.name = "fake",
                                     .open = open_library,
                                     .start = start,
                                     .test = test,
                                     .wait = wait,
                                     .broadcast = broadcast,
                                     .alloc = take,
                                     .enlist = enlist,
                                     .strike = strike,
                                     .release = give_back,
                                     .free = end};

static int world_handle;

/* Communicator 0 is over MPI, 1 over shared memory. */
static weft_comm *made(int i, bool beside)
{
    weft_comm *c = NULL;
    bool is_world;
    weft_status s = weft__comm_mpi(&c, world_handle, 60, &is_world);
    if (!s && i == 1 && c->world > 1)
        s = weft__comm_shm(&c);
    if (!s)
        s = weft__comm_direct(&c, device, &ops, beside);
    ck_all(!s && c && strcmp(c->ops->name, "fake") == 0);
    ck_all(weft__mpi_handle(c) == weft__mpi_handle(weft__direct_under(c)));
    return c;
}

static weft_comm *make(int i)
{
    return made(i, true);
}

typedef struct memory {
    weft_dev dev; /* {0}: the host's */
    double host[RANKS * N];
} memory;

static memory in, out;

static void *place(weft_comm *c, memory *m, bool on_device)
{
    if (!on_device)
        return m->host;
    ck_all(!device->ops->upload(stream, m->dev, m->host, sizeof m->host) &&
           !device->ops->sync(stream));
    void *at = weft__comm_reach(c, device, m->dev);
    ck_all(at == (void *)m->dev.addr); /* NOLINT */
    return at;
}

static void fetch(memory *m, bool on_device)
{
    if (on_device)
        ck_all(!device->ops->download(stream, m->host, m->dev, sizeof m->host));
}

static double value(int rank, int i)
{
    return rank + 1 + i % 7;
}

static void fill(weft_comm *c)
{
    for (int i = 0; i < RANKS * N; i++) {
        in.host[i] = value(c->rank, i);
        out.host[i] = -1;
    }
}

static bool is_sum(const weft_comm *c, const double *at, int first, int n)
{
    for (int i = 0; i < n; i++) {
        double want = 0;
        for (int r = 0; r < c->world; r++)
            want += value(r, first + i);
        if (at[i] != want)
            return false;
    }
    return true;
}

static void check_calls(weft_comm *c, bool a, bool b)
{
    int64_t counts[RANKS];
    int before = 0, all = 0;
    bool good = true;
    for (int r = 0; r < c->world; r++) {
        counts[r] = N / 2 + r;
        before += r < c->rank ? (int)counts[r] : 0;
        all += (int)counts[r];
    }
    fill(c);
    void *from = place(c, &in, a);
    ck_all(!weft__all_reduce(c, "sum", from, N, WEFT_F64, WEFT_REDUCE_SUM));
    fetch(&in, a);
    ck_all(is_sum(c, in.host, 0, N));

    fill(c);
    from = place(c, &in, a);
    void *to = place(c, &out, b);
    ck_all(!weft__reduce_scatter(c, "parts", to, from, counts, WEFT_F64));
    fetch(&out, b);
    ck_all(is_sum(c, out.host, before, (int)counts[c->rank]));

    fill(c);
    from = place(c, &in, a);
    to = place(c, &out, b);
    ck_all(!weft__all_gather(c, "all", to, counts, from, WEFT_F64));
    fetch(&out, b);
    for (int r = 0, at = 0; r < c->world; at += (int)counts[r++])
        for (int i = 0; i < counts[r]; i++)
            good &= out.host[at + i] == value(r, i);
    ck_all(good && out.host[all] == -1);
}

static void check_others(weft_comm *c, bool a)
{
    const int last = c->world - 1;
    fill(c);
    void *at = place(c, &in, a);
    ck_all(!weft__comm_broadcast(c, "from the last", at, N * (int64_t)sizeof(double), last));
    fetch(&in, a);
    ck_all(in.host[N - 1] == value(last, N - 1) && in.host[N] == value(c->rank, N));

    fill(c);
    if (last > 0 && c->rank == last)
        ck_assert(!weft__send(c, "last", in.host, 80, 0, 3));
    if (last > 0 && c->rank == 0)
        ck_assert(!weft__recv(c, "last", in.host, 80, last, 3));
    ck_all(in.host[9] == value(c->rank == 0 ? last : c->rank, 9));

    fill(c);
    at = place(c, &in, a);
    if (last & c->world)
        return;
    ck_all(!weft__all_reduce_tree(c, "tree", at, N, WEFT_F64));
    fetch(&in, a);
    ck_all(is_sum(c, in.host, 0, N));
}

START_TEST(calls_take_either_memory)
{
    weft_comm *c = make(_i);
    for (int k = 0; k < 4; k++) {
        const int before = newest->calls;
        check_calls(c, k & 1, k & 2);
        check_others(c, k & 1);
        const int alone = c->world == 1 ? 2 : 0; /* calls in place, that one rank does not make */
        ck_all(newest->calls - before == (k == 3 ? 4 - alone : k == 1 ? 2 - alone : 0));
    }
    ck_all(!weft__barrier(c, "end"));
    weft__comm_free(c);
}
END_TEST

START_TEST(requests_and_parts)
{
    weft_comm *c = make(_i), *part = NULL;
    weft_request r = {0};
    fill(c);
    void *at = place(c, &in, true);
    ck_all(!weft__start_all_reduce(c, &r, "begun", at, N, WEFT_F64, WEFT_REDUCE_SUM));
    ck_all(r.flying && newest->calls == 1);
    weft__advance(c);
    ck_all(!weft__await(c, &r) && newest->polls == 1);
    fetch(&in, true);
    ck_all(is_sum(c, in.host, 0, N));
    ck_all(!weft__split(c, "halves", c->rank % 2, 0, &part) && part);
    fill(c);
    ck_all(!weft__all_reduce(part, "half", in.host, N, WEFT_F64, WEFT_REDUCE_MAX));
    const int highest = c->world - 1 - ((c->world - 1 - c->rank) & 1);
    ck_all(in.host[5] == value(highest, 5));
    weft__comm_free(part);
    weft__comm_free(c);
}
END_TEST

START_TEST(memory_that_is_reduced)
{
    weft_comm *c = make(_i);
    const size_t bytes = sizeof in.host;
    weft_dev p;
    ck_all(!weft__comm_alloc(c, device, bytes, WEFT_MEMORY_GRADS, &p));
    memory window = {.dev = p};
    for (int i = 0; i < N; i++)
        window.host[i] = value(c->rank, i);
    ck_all(!device->ops->upload(stream, p, window.host, bytes) && !device->ops->sync(stream));
    void *at = weft__comm_reach(c, device, p);
    ck_all(at && !weft__all_reduce(c, "sum", at, N, WEFT_F64, WEFT_REDUCE_SUM));
    fetch(&window, true);
    ck_all(is_sum(c, window.host, 0, N));
    weft__comm_release(c, device, p, bytes, WEFT_MEMORY_GRADS);
    weft__comm_free(c);
}
END_TEST

/* What the device is still at when a call begins is waited for by the library; without one, by the host. */
START_TEST(calls_come_behind_the_device)
{
    weft_comm *c = make(_i);
    for (int round = 0; round < 2 && c->world > 1; round++) {
        fill(c);
        void *at = place(c, &in, true);
        const int waited = newest->waited;
        ck_all(!device->ops->zero(stream, in.dev, N * sizeof(double)) &&
               !weft__comm_after(c, stream) &&
               !weft__all_reduce(c, "zeros", at, N, WEFT_F64, WEFT_REDUCE_SUM));
        ck_all(newest->waited == waited + 1);
        fetch(&in, true);
        ck_all(in.host[0] == 0 && in.host[N - 1] == 0 && in.host[N] == value(c->rank, N));
        ck_all(!weft__all_reduce(c, "more", at, 1, WEFT_F64, WEFT_REDUCE_SUM));
        ck_all(newest->waited == waited + 1);
    }
    weft__comm_free(c);
}
END_TEST

/* Ranks with nothing of their own take part in the same way as those with something. */
START_TEST(ranks_without_a_part)
{
    weft_comm *c = make(_i);
    int64_t counts[RANKS] = {0};
    counts[c->world - 1] = N;
    const bool mine = c->rank == c->world - 1;
    fill(c);
    void *from = place(c, &in, true), *to = place(c, &out, true);
    const int before = newest->calls;
    ck_all(!weft__all_gather(c, "of the last", to, counts, mine ? from : NULL, WEFT_F64));
    fetch(&out, true);
    ck_all(out.host[N - 1] == value(c->world - 1, N - 1) && out.host[N] == -1);
    ck_all(!weft__reduce_scatter(c, "for the last", mine ? to : NULL, from, counts, WEFT_F64));
    fetch(&out, true);
    ck_all(!mine || is_sum(c, out.host, 0, N));
    ck_all(newest->calls - before == 2);
    counts[c->world - 1] = 0;
    ck_all(!weft__all_gather(c, "nothing", c->rank ? to : NULL, counts, NULL, WEFT_F64));
    ck_all(newest->calls - before == 2);
    weft__comm_free(c);
}
END_TEST

START_TEST(memory_of_the_library)
{
    weft_comm *c = make(_i);
    weft_dev p, q;
    ck_all(!weft__comm_alloc(c, device, 4096, WEFT_MEMORY_GRADS, &p) && newest->has == 1);
    newest->poor = c->rank == c->world - 1; /* then nobody has it from there */
    ck_all(!weft__comm_alloc(c, device, 4096, WEFT_MEMORY_GRADS, &q));
    ck_all(newest->has - newest->gave == 1 && !c->lost);
    if (newest->has == 2)
        newest->last = p;
    weft__comm_release(c, device, q, 4096, WEFT_MEMORY_GRADS);
    ck_all(newest->has - newest->gave == 1);
    weft__comm_release(c, device, p, 4096, WEFT_MEMORY_GRADS);
    ck_all(newest->has == newest->gave);
    weft__comm_free(c);
}
END_TEST

START_TEST(nothing_goes_on_beside)
{
    weft_comm *c = made(_i, false);
    weft_request r = {0};
    fill(c);
    void *at = place(c, &in, true);
    ck_all(!weft__start_all_reduce(c, &r, "begun", at, N, WEFT_F64, WEFT_REDUCE_SUM));
    newest->calls = 0;
    ck_all(!weft__await(c, &r) && newest->calls == 0);
    fetch(&in, true);
    ck_all(is_sum(c, in.host, 0, N));
    weft__comm_free(c);
}
END_TEST

/* No rank knows then how far the others are. */
START_TEST(failure_of_the_library)
{
    weft_comm *c = make(0);
    weft_request r = {0};
    fill(c);
    void *at = place(c, &in, true);
    newest->fails = true;
    ck_all(weft__start_all_reduce(c, &r, "cut", at, N, WEFT_F64, WEFT_REDUCE_SUM) == WEFT_EDEVICE &&
           strstr(weft__why(), "a cable was pulled"));
    ck_all(c->lost && weft__barrier(c, "more") == WEFT_EPEER);
    c->lost = false; /* MPI is whole here */
    newest->fails = false;
    weft__comm_free(c);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("direct");
    TCase *t = tcase_create("all");
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, calls_take_either_memory, 0, 2);
    tcase_add_loop_test(t, requests_and_parts, 0, 2);
    tcase_add_loop_test(t, memory_that_is_reduced, 0, 2);
    tcase_add_loop_test(t, calls_come_behind_the_device, 0, 2);
    tcase_add_loop_test(t, ranks_without_a_part, 0, 2);
    tcase_add_loop_test(t, memory_of_the_library, 0, 2);
    tcase_add_loop_test(t, nothing_goes_on_beside, 0, 2);
    tcase_add_test(t, failure_of_the_library);
    suite_add_tcase(s, t);
    return s;
}

int main(void)
{
    bool is_world;
    all_yield();
    setenv("WEFT_MOCK_FAR", "1", 1);
    if (weft__mpi_enter(&world_handle) || weft__comm_mpi(&other, world_handle, 60, &is_world) ||
        weft__device_open(&device, "mock", 0, 1) || device->ops->stream_new(device, &stream) ||
        device->ops->alloc(device, sizeof in.host, &in.dev) ||
        device->ops->alloc(device, sizeof out.host, &out.dev)) {
        fprintf(stderr, "cannot begin: %s\n", weft__why());
        return EXIT_FAILURE;
    }
    const int failed = all_run(suite());
    weft__comm_free(other);
    device->ops->free(device, in.dev, sizeof in.host);
    device->ops->free(device, out.dev, sizeof out.host);
    device->ops->stream_free(stream);
    weft__device_close(device);
    weft__mpi_leave(false);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
