/* The mock device: its settings and its table. */
#include "device/mock/mock.h"

#include "core/alloc.h"
#include "core/env.h"
#include "device/cpu/cpu.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define MEMORY ((int64_t)4 << 30) /* bytes, sparse */
#define LEAST ((int64_t)1 << 16)
#define LARGEST ((int64_t)1 << 40)
#define DEVICES 8
#define MOST 64

/* "500M": bytes, or so many K, M or G of 1024, 1024^2, 1024^3. */
static weft_status read_memory(int64_t *bytes)
{
    static const char unit[] = "KMG";
    const char *text = weft__env_text("WEFT_MOCK_MEMORY"), *u;
    char number[24];
    int64_t n, scale = 1;
    *bytes = MEMORY;
    if (!text)
        return WEFT_OK;
    size_t length = strlen(text);
    if (length && (u = strchr(unit, toupper((unsigned char)text[length - 1])))) {
        scale <<= 10 * (u - unit + 1);
        length--;
    }
    snprintf(number, sizeof number, "%.*s", (int)(length < 23 ? length : 23), text);
    if (weft__parse_int("WEFT_MOCK_MEMORY", number, 1, LARGEST / scale, &n) || n * scale < LEAST)
        return weft__fail(
            WEFT_EARG,
            "WEFT_MOCK_MEMORY is \"%.60s\"; it takes a number of bytes, or of K, M or "
            "G of them as in 500M, from 64K to 1024G",
            text);
    *bytes = n * scale;
    return WEFT_OK;
}

static weft_status count(int *n)
{
    int64_t devices = DEVICES;
    if (weft__env_int("WEFT_MOCK_DEVICES", 1, MOST, &devices) < 0)
        return WEFT_EARG;
    *n = (int)devices;
    return WEFT_OK;
}

/* The process sees those from number WEFT_MOCK_FIRST of the node on. */
static weft_status facts(int index, weft_device_facts *out)
{
    int64_t first = 0;
    *out = (weft_device_facts){.name = "a cpu that poses as a GPU"};
    if (weft__env_int("WEFT_MOCK_FIRST", 0, MOST, &first) < 0)
        return WEFT_EARG;
    out->identity = (uint64_t)(first + index + 1);
    /* Where no machine has a device, but one that a test describes to hwloc. */
    snprintf(out->bus, sizeof out->bus, "ffff:%02x:00.0", (unsigned)(first + index) & 0xff);
    return read_memory(&out->bytes);
}

static weft_status read_settings(weft__mock *m)
{
    const char *far = weft__env_text("WEFT_MOCK_FAR");
    int64_t bytes, seed = 0;
    int devices;
    WEFT_TRY(read_memory(&bytes));
    WEFT_TRY(count(&devices));
    if (weft__env_int("WEFT_MOCK_SEED", 0, INT64_MAX, &seed) < 0)
        return WEFT_EARG;
    if (m->index >= devices)
        return weft__fail(WEFT_ECONFIG,
                          "there is no device mock %d: there are %d (WEFT_MOCK_DEVICES), numbered "
                          "from 0",
                          m->index, devices);
    if (far)
        WEFT_TRY(weft__parse_bool("WEFT_MOCK_FAR", far, &m->far));
    m->size = (size_t)bytes / 4096 * 4096;
    m->random = (uint64_t)seed * 2 + 1;
    return WEFT_OK;
}

void weft__mock_lock(weft__mock *m)
{
    pthread_mutex_lock(&m->mutex);
}

void weft__mock_unlock(weft__mock *m)
{
    pthread_mutex_unlock(&m->mutex);
}

static void make_mutex(weft__mock *m)
{
    pthread_mutexattr_t again;
    pthread_mutexattr_init(&again);
    pthread_mutexattr_settype(&again, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&m->mutex, &again);
    pthread_mutexattr_destroy(&again);
}

static weft_status open_mock(weft_device *d, int index, int threads)
{
    weft__mock *m = weft__new(1, sizeof *m);
    (void)threads;
    if (!m)
        return WEFT_ENOMEM;
    m->index = index;
    weft_status s = read_settings(m);
    if (s >= 0)
        s = weft__cpu_choose_kernels();
    if (s >= 0)
        s = weft__mock_memory_open(m);
    if (s < 0) {
        weft__free(m);
        return s;
    }
    make_mutex(m);
    weft__mock_trap(m);
    d->self = m;
    return WEFT_OK;
}

static void close_mock(weft_device *d)
{
    weft__mock *m = d->self;
    weft__mock_drain(m);
    weft__mock_untrap(m);
    weft__mock_memory_close(m);
    pthread_mutex_destroy(&m->mutex);
    weft__free(m);
}

/* Nothing: it computes as a GPU that does would. */
static const char *no_float8(weft_device *d)
{
    (void)d;
    return NULL;
}

static void bind(weft_device *d)
{
    (void)d;
}

static weft_status sync_all(weft_device *d)
{
    weft__mock *m = d->self;
    weft__mock_lock(m);
    weft__mock_drain(m);
    weft__mock_unlock(m);
    return WEFT_OK;
}

const weft_device_ops weft__mock_device = {
    .size = sizeof(weft_device_ops),
    .name = "mock",
    .count = count,
    .facts = facts,
    .open = open_mock,
    .close = close_mock,
    .alloc = weft__mock_alloc,
    .free = weft__mock_free,
    .stream_new = weft__mock_stream_new,
    .stream_free = weft__mock_stream_free,
    .sync = weft__mock_sync,
    .upload = weft__mock_upload,
    .download = weft__mock_download,
    .move = weft__mock_move,
    .zero = weft__mock_zero,
    .discard = weft__mock_discard,
    .event_new = weft__mock_event_new,
    .event_free = weft__mock_event_free,
    .event_record = weft__mock_event_record,
    .event_wait = weft__mock_event_wait,
    .event_sync = weft__mock_event_sync,
    .host = weft__mock_host,
    .import = weft__mock_import,
    .unimport = weft__mock_unimport,
    .holds = weft__mock_holds,
    .graph_begin = weft__mock_graph_begin,
    .graph_end = weft__mock_graph_end,
    .graph_launch = weft__mock_graph_launch,
    .graph_free = weft__mock_graph_free,
    .kernel_set = weft__cpu_kernel_set,
    .lacks = weft__cpu_lacks,
    .kernels = &weft__mock_kernels,
    .no_float8 = no_float8,
    .bind = bind,
    .stream_urgent = weft__mock_stream_new,
    .event_done = weft__mock_event_done,
    .sync_all = sync_all,
};
