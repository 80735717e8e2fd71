/* The host's side of the CUDA device on a stand-in for CUDA's run time, so that it takes no GPU: machines
 * without a driver or a GPU, whose contexts are made, copies through pinned memory, memory in the order of
 * streams, a full GPU, and pages of the host. */
#include "cuda_standin.h"

#include "core/error.h"
#include "device/device.h"

#include <check.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <weft.h>

#define MIB ((size_t)1 << 20)

static weft_device *device;
static weft_stream *stream;

static void open_device(int devices, int index)
{
    standin_reset(devices);
    ck_assert_msg(!weft__device_open(&device, "cuda", index, 1), "%s", weft__why());
    ck_assert(!device->ops->stream_new(device, &stream));
}

/* Nothing is left, and no call was for another GPU, or held up the host. */
static void close_device(void)
{
    const unsigned own = 1u << device->index;
    device->ops->stream_free(stream);
    weft__device_close(device);
    ck_assert_uint_eq(cuda.contexts, own);
    ck_assert_int_eq(cuda.plain + cuda.pageable + cuda.changed + cuda.stale + cuda.foreign, 0);
    ck_assert_int_eq(cuda.pinned + cuda.registered + cuda.streams + cuda.events, 0);
}

/* A machine without a driver, with one that is too old, and without a GPU. */
static const struct {
    cudaError_t code;
    int driver;
    const char *says;
} lacking[] = {
    {cudaErrorInsufficientDriver, 0, "this machine has no NVIDIA driver"},
    {cudaErrorInsufficientDriver, 11040, "the NVIDIA driver of this machine is for CUDA 11.4"},
    {cudaErrorNoDevice, 13000, "this process sees no GPU (cudaErrorNoDevice"},
    {cudaErrorDevicesUnavailable, 13000, "cudaErrorDevicesUnavailable"},
    {cudaSuccess, 13000, "this process sees no GPU"}, /* none there */
};

START_TEST(a_machine_without)
{
    weft_fabric *f;
    standin_reset(0);
    cuda.count = lacking[_i].code;
    cuda.driver = lacking[_i].driver;
    ck_assert_int_eq(weft_open(&f, NULL, NULL, WEFT_OPEN(.accelerator = "cuda", .devices = "1")),
                     WEFT_EDEVICE);
    ck_assert_msg(strstr(weft_message(f), lacking[_i].says) != NULL, "%s", weft_message(f));
    ck_assert(lacking[_i].code == cudaErrorDevicesUnavailable ||
              strstr(weft_message(f), "accelerator=cpu"));
    weft_close(&f);
    ck_assert_int_eq(weft_open(&f, NULL, NULL, WEFT_OPEN(.accelerator = "auto", .devices = "1")),
                     WEFT_OK);
    ck_assert_str_eq(weft_accelerator_name(f), "cpu");
    ck_assert_int_eq(weft_close(&f), WEFT_OK);
    ck_assert_uint_eq(cuda.contexts, 0);
}
END_TEST

/* Looking, and starting ranks on several, makes no context. */
START_TEST(a_parent_makes_no_context)
{
    weft_fabric *f;
    const weft_device_ops *ops;
    weft_device_facts facts;
    int n = 0;
    standin_reset(4);
    ck_assert(!weft__device_find("auto", &ops) && strcmp(ops->name, "cuda") == 0);
    ck_assert(!ops->count(&n) && n == 4 && !ops->facts(2, &facts) && facts.identity);
    ck_assert_str_eq(facts.bus, "0000:03:00.0");
    setenv("WEFT_MPIRUN", "/bin/true", 1);
    const weft_status s =
        weft_open(&f, NULL, NULL, WEFT_OPEN(.accelerator = "cuda", .devices = "2"));
    ck_assert_msg(s == WEFT_RELAUNCHED, "%d %s", (int)s, weft_message(f));
    weft_close(&f);
    unsetenv("WEFT_MPIRUN");
    ck_assert_uint_eq(cuda.contexts, 0);
}
END_TEST

/* A whole fabric, its loader's and checkpoint's threads too, stays on its GPU. */
START_TEST(a_rank_stays_on_its_gpu)
{
    weft_fabric *f;
    float x[64] = {1};
    int64_t shape[1] = {64};
    standin_reset(4);
    const weft_status s =
        weft_open(&f, NULL, NULL, WEFT_OPEN(.accelerator = "cuda", .devices = "2,"));
    ck_assert_msg(!s, "%s", weft_message(f));
    ck_assert_int_eq(weft_copy_out(weft_tensor_of(f, x, 1, shape, WEFT_F32), x, sizeof x), 0);
    ck_assert(x[0] == 1);
    ck_assert_int_eq(weft_close(&f), WEFT_OK);
    ck_assert_uint_eq(cuda.contexts, 1u << 2);
    ck_assert_int_eq(cuda.plain + cuda.pageable + cuda.changed + cuda.stale + cuda.foreign, 0);
}
END_TEST

/* A loader's batches leave from where they were made: pages are registered once, the host moves nothing, and
 * waits for a batch's copies before it makes another there. */
START_TEST(batches_are_pinned)
{
    enum { ROWS = 64, WIDE = 1000 };
    static float x[ROWS][WIDE], got[4 * WIDE];
    const int64_t shape[1] = {WIDE};
    weft_fabric *f;
    int registered = 0, n = 0, bad = 0;
    for (int i = 0; i < ROWS; i++)
        for (int j = 0; j < WIDE; j++)
            x[i][j] = (float)(i + j);
    standin_reset(1);
    ck_assert(
        !weft_open(&f, NULL, NULL, WEFT_OPEN(.accelerator = "cuda", .devices = "1", .threads = 1)));
    weft_loader *l = weft_loader_arrays(f, ROWS, x, 1, shape, WEFT_F32, NULL, WEFT_DEFAULT,
                                        WEFT_LOADER(.global_batch = 4, .prefetch = 2));
    weft_setup_loader(f, l);
    for (weft_batch b; weft_next(l, &b); n++) {
        ck_assert(!n || cuda.registered == registered);
        registered = cuda.registered;
        if (n % 3) /* the others are not looked at */
            continue;
        ck_assert_int_eq(weft_copy_out(b.x, got, sizeof got), WEFT_OK);
        for (int i = 0; i < 4 * WIDE; i++)
            bad += got[i] != x[4 * n + i / WIDE][i % WIDE];
    }
    ck_assert_msg(n == ROWS / 4 && bad == 0, "%d batches, %d wrong", n, bad);
    ck_assert_int_gt(registered, 0);
    ck_assert_int_ge(cuda.direct, n);
    ck_assert_int_eq(weft_close(&f), WEFT_OK);
    ck_assert_int_eq(cuda.registered + cuda.pageable + cuda.changed + cuda.foreign, 0);
}
END_TEST

static void fill(unsigned char *p, size_t n, unsigned seed)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (unsigned char)((i + seed) * 2654435761u >> 24);
}

/* Larger than the ring of slots, and what is uploaded changes at once. */
START_TEST(copies_pass_pinned_memory)
{
    static const size_t size[] = {1, 63, 2 * MIB - 1, 2 * MIB, 11 * MIB + 5};
    unsigned char *x = malloc(12 * MIB), *y = malloc(12 * MIB);
    weft_dev p[5];
    open_device(2, 1);
    for (int i = 0; i < 5; i++) {
        ck_assert(!device->ops->alloc(device, size[i], &p[i]));
        fill(x, size[i], (unsigned)i);
        ck_assert(!device->ops->upload(stream, p[i], x, size[i]));
        memset(x, 0, size[i]);
    }
    ck_assert_int_eq(cuda.stream_waits, 0);
    for (int i = 0; i < 5; i++) {
        fill(x, size[i], (unsigned)i);
        ck_assert(!device->ops->download(stream, y, p[i], size[i]));
        ck_assert(memcmp(x, y, size[i]) == 0);
        device->ops->free(device, p[i], size[i]);
    }
    ck_assert_int_eq(cuda.stream_waits, 0);
    close_device();
    free(x);
    free(y);
}
END_TEST

/* What was enqueued on any stream before memory is freed still finds it; the host does not wait. */
START_TEST(memory_goes_in_order)
{
    int x = 7, y = 0;
    weft_dev p, q;
    weft_stream *other;
    weft_event *e;
    open_device(1, 0);
    ck_assert(!device->ops->stream_new(device, &other));
    ck_assert(!device->ops->event_new(device, &e));
    ck_assert(!device->ops->alloc(device, sizeof x, &p) &&
              !device->ops->alloc(device, sizeof x, &q));
    ck_assert(!device->ops->upload(stream, p, &x, sizeof x));
    ck_assert(!device->ops->event_record(e, stream) && !device->ops->event_wait(other, e));
    ck_assert(!device->ops->move(other, q, p, sizeof x));
    device->ops->free(device, p, sizeof x);
    ck_assert_int_eq(cuda.stream_waits + cuda.event_waits, 0);
    ck_assert(!device->ops->download(other, &y, q, sizeof y) && y == 7);
    device->ops->free(device, q, sizeof x);
    device->ops->event_free(e);
    device->ops->stream_free(other);
    close_device();
}
END_TEST

START_TEST(a_full_gpu_goes_on)
{
    weft_dev p, q = {0};
    open_device(1, 0);
    cuda.room = 4 * MIB;
    ck_assert(!device->ops->alloc(device, 3 * MIB, &p));
    ck_assert_int_eq(device->ops->alloc(device, 2 * MIB, &q), WEFT_ENOMEM);
    ck_assert_msg(strstr(weft__why(), "no room for 2.0 MiB: 3.0 MiB of 4.0 MiB are in use") != NULL,
                  "%s", weft__why());
    ck_assert_int_eq(cudaGetLastError(), cudaSuccess); /* else the next launch fails */
    ck_assert(q.addr == 0 && !device->ops->alloc(device, MIB, &q));
    device->ops->free(device, p, 3 * MIB);
    device->ops->free(device, q, MIB);
    close_device();
}
END_TEST

/* Imports that share pages, and one that CUDA refuses. */
START_TEST(pages_of_the_host)
{
    char *at = mmap(NULL, 8 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    weft_dev a, b, c = {0};
    open_device(1, 0);
    ck_assert(!device->ops->import(device, at + 100, 4096, &a) && cuda.registered == 1);
    ck_assert(!device->ops->import(device, at + 4096, 4 * 4096, &b) && cuda.registered == 2);
    ck_assert(a.addr == (uintptr_t)at + 100 && device->ops->host(device, b) == at + 4096);
    ck_assert(!device->ops->holds(device, at));
    device->ops->unimport(device, a, 4096);
    ck_assert(device->ops->host(device, b) == at + 4096 && cuda.registered == 2);
    cuda.refuses_pages = true;
    ck_assert_int_eq(device->ops->import(device, at + 4096, 7 * 4096, &c), WEFT_EDEVICE);
    device->ops->unimport(device, b, 4 * 4096);
    ck_assert(!device->ops->host(device, b) && cuda.registered == 0);
    munmap(at, 8 * 4096);
    close_device();
}
END_TEST

/* Every call in a thread of its own, whose device is 0 until it says otherwise. */
static struct {
    weft_stream *stream, *urgent;
    weft_event *event;
    weft_dev p, q, import;
    char x[64], page[4096];
} work;

#define STEP(name, ok)                                                                             \
    static bool name(const weft_device_ops *o)                                                     \
    {                                                                                              \
        return o && (ok);                                                                          \
    }
STEP(makes_stream, !o->stream_new(device, &work.stream))
STEP(makes_urgent, !o->stream_urgent(device, &work.urgent))
STEP(makes_event, !o->event_new(device, &work.event))
STEP(allocates, !o->alloc(device, 64, &work.p) && !o->alloc(device, 64, &work.q))
STEP(uploads, !o->upload(work.stream, work.p, work.x, 64))
STEP(moves, !o->move(work.stream, work.q, work.p, 64))
STEP(zeroes, !o->zero(work.stream, work.p, 64))
STEP(fills, !o->kernels->fill(work.stream, work.p, 16, 1, WEFT_F32))
STEP(downloads, !o->download(work.stream, work.x, work.q, 64))
STEP(records, !o->event_record(work.event, work.stream))
STEP(waits, !o->event_wait(work.urgent, work.event))
STEP(looks, !o->event_done(work.event, &(bool){false}))
STEP(awaits, !o->event_sync(work.event))
STEP(imports, !o->import(device, work.page, sizeof work.page, &work.import))
STEP(finds, o->host(device, work.import) && !o->holds(device, work.x))
STEP(unimports, (o->unimport(device, work.import, sizeof work.page), true))
STEP(syncs, !o->sync(work.stream))
STEP(syncs_all, !o->sync_all(device))
STEP(frees, (o->free(device, work.p, 64), o->free(device, work.q, 64), true))
STEP(imports_again, !o->import(device, work.page, sizeof work.page, &work.import))
STEP(ends_event, (o->event_free(work.event), true))
STEP(ends_streams, (o->stream_free(work.stream), o->stream_free(work.urgent), true))
STEP(closes, (weft__device_close(device), true))

static bool (*const steps[])(const weft_device_ops *) = {
    makes_stream, makes_urgent,  makes_event, allocates,    uploads, moves,
    zeroes,       fills,         downloads,   records,      waits,   looks,
    awaits,       imports,       finds,       unimports,    syncs,   syncs_all,
    frees,        imports_again, ends_event,  ends_streams, closes};

static void *take_step(void *step)
{
    return (*(bool (*const *)(const weft_device_ops *))step)(&weft__cuda_device) ? step : NULL;
}

START_TEST(any_thread_may_call)
{
    standin_reset(3);
    ck_assert(!weft__device_open(&device, "cuda", 2, 1));
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        pthread_t thread;
        void *ok = NULL;
        ck_assert(!pthread_create(&thread, NULL, take_step, (void *)(uintptr_t)&steps[i]));
        pthread_join(thread, &ok);
        ck_assert_msg(ok && cuda.contexts == 1u << 2 && !cuda.foreign && !cuda.plain,
                      "step %zu: ok %d, contexts %x, foreign %d", i, ok != NULL, cuda.contexts,
                      cuda.foreign);
    }
    ck_assert_int_eq(cuda.pinned + cuda.registered + cuda.streams + cuda.events, 0);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("cuda host");
    TCase *t = tcase_create("on a stand-in");
    tcase_add_loop_test(t, a_machine_without, 0, (int)(sizeof lacking / sizeof lacking[0]));
    tcase_add_test(t, a_parent_makes_no_context);
    tcase_add_test(t, a_rank_stays_on_its_gpu);
    tcase_add_test(t, batches_are_pinned);
    tcase_add_test(t, copies_pass_pinned_memory);
    tcase_add_test(t, memory_goes_in_order);
    tcase_add_test(t, a_full_gpu_goes_on);
    tcase_add_test(t, pages_of_the_host);
    tcase_add_test(t, any_thread_may_call);
    tcase_set_timeout(t, 60);
    suite_add_tcase(s, t);
    return s;
}

int main(void)
{
    SRunner *r = srunner_create(suite());
    weft_log_level(WEFT_LOG_ERROR);
    srunner_run_all(r, CK_ENV);
    const int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
