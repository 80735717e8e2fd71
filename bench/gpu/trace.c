/* What a GPU did: a library that CUDA's driver loads into a program that knows nothing of it, and that prints at its end
 * a line of JSON for the span looked at and one for each kind of kernel and copy, the longest first.
 *
 *   CUDA_INJECTION64_PATH=./trace.so TRACE_OUT=kernels.jsonl bench/gpt2 --steps 20
 *
 * The last TRACE_SHARE (0.5) of the time between the first and the last kernel counts, so that what happens once stays out.
 * Times are CUPTI's, in microseconds; `busy` is the time in which anything ran at all, the rest of `span` the GPU waited. */
#include <cupti.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUFFER (8 << 20)

typedef struct event {
    const char *name; /* CUPTI keeps a kernel's */
    uint64_t start, end;
} event;

typedef struct kind {
    const char *name;
    uint64_t ns;
    long count;
} kind;

static event *events;
static size_t held, room;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void note(const char *name, uint64_t start, uint64_t end)
{
    if (held == room) {
        const size_t more = room ? 2 * room : 1 << 16;
        event *e = realloc(events, more * sizeof *e);
        if (!e)
            return;
        events = e, room = more;
    }
    events[held++] = (event){name, start, end};
}

static void take(const CUpti_Activity *a)
{
    if (a->kind == CUPTI_ACTIVITY_KIND_MEMCPY) {
        static const char *const names[] = {[CUPTI_ACTIVITY_MEMCPY_KIND_HTOD] = "copy to the GPU",
                                            [CUPTI_ACTIVITY_MEMCPY_KIND_DTOH] = "copy from the GPU",
                                            [CUPTI_ACTIVITY_MEMCPY_KIND_DTOD] = "copy on the GPU"};
        const CUpti_ActivityMemcpy6 *m = (const CUpti_ActivityMemcpy6 *)a;
        const char *name = m->copyKind < sizeof names / sizeof *names ? names[m->copyKind] : NULL;
        note(name ? name : "copy", m->start, m->end);
    } else if (a->kind == CUPTI_ACTIVITY_KIND_MEMSET) {
        const CUpti_ActivityMemset4 *m = (const CUpti_ActivityMemset4 *)a;
        note("set", m->start, m->end);
    } else if (a->kind == CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL) {
        const CUpti_ActivityKernel9 *k = (const CUpti_ActivityKernel9 *)a;
        note(k->name, k->start, k->end);
    }
}

static void CUPTIAPI wanted(uint8_t **buffer, size_t *size, size_t *most)
{
    *buffer = aligned_alloc(8, BUFFER);
    *size = *buffer ? BUFFER : 0;
    *most = 0;
}

static void CUPTIAPI filled(CUcontext context, uint32_t stream, uint8_t *buffer, size_t size,
                            size_t valid)
{
    (void)context, (void)stream, (void)size;
    pthread_mutex_lock(&lock);
    for (CUpti_Activity *a = NULL; cuptiActivityGetNextRecord(buffer, valid, &a) == CUPTI_SUCCESS;)
        take(a);
    pthread_mutex_unlock(&lock);
    free(buffer);
}

static int by_start(const void *a, const void *b)
{
    const uint64_t x = ((const event *)a)->start, y = ((const event *)b)->start;
    return (x > y) - (x < y);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const event *)a)->name, ((const event *)b)->name);
}

static int by_time(const void *a, const void *b)
{
    const uint64_t x = ((const kind *)a)->ns, y = ((const kind *)b)->ns;
    return (x < y) - (x > y);
}

static size_t fold(event *e, size_t n, kind *kinds)
{
    size_t k = 0;
    qsort(e, n, sizeof *e, by_name);
    for (size_t i = 0; i < n; i++) {
        if (!i || strcmp(e[i].name, e[i - 1].name))
            kinds[k++] = (kind){e[i].name, 0, 0};
        kinds[k - 1].ns += e[i].end - e[i].start;
        kinds[k - 1].count++;
    }
    qsort(kinds, k, sizeof *kinds, by_time);
    return k;
}

static void report(void)
{
    cuptiActivityFlushAll(1);
    pthread_mutex_lock(&lock);
    kind *kinds = held ? calloc(held, sizeof *kinds) : NULL;
    FILE *out = getenv("TRACE_OUT") ? fopen(getenv("TRACE_OUT"), "w") : stderr;
    if (kinds && out) {
        const double share = getenv("TRACE_SHARE") ? strtod(getenv("TRACE_SHARE"), NULL) : 0.5;
        qsort(events, held, sizeof *events, by_start);
        const uint64_t last = events[held - 1].end;
        const uint64_t from = last - (uint64_t)(share * (double)(last - events[0].start));
        size_t first = 0;
        while (first + 1 < held && events[first].start < from)
            first++;
        uint64_t busy = 0, until = 0;
        for (size_t i = first; i < held; i++) {
            const event *e = events + i;
            if (e->end > until)
                busy += e->end - (e->start > until ? e->start : until), until = e->end;
        }
        fprintf(out, "{\"trace\":\"all\",\"events\":%zu,\"span_us\":%.1f,\"busy_us\":%.1f}\n",
                held - first, 1e-3 * (double)(until - events[first].start), 1e-3 * (double)busy);
        const size_t k = fold(events + first, held - first, kinds);
        for (size_t i = 0; i < k; i++)
            fprintf(out, "{\"trace\":\"%s\",\"count\":%ld,\"us\":%.1f}\n", kinds[i].name,
                    kinds[i].count, 1e-3 * (double)kinds[i].ns);
    }
    if (out && out != stderr)
        fclose(out);
    free(kinds);
}

int InitializeInjection(void);
int InitializeInjection(void)
{
    if (cuptiActivityRegisterCallbacks(wanted, filled) != CUPTI_SUCCESS)
        return 0;
    cuptiActivityEnable(CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL);
    cuptiActivityEnable(CUPTI_ACTIVITY_KIND_MEMCPY);
    cuptiActivityEnable(CUPTI_ACTIVITY_KIND_MEMSET);
    atexit(report);
    return 1;
}
