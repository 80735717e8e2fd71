/* Host memory of others that kernels reach, at the host's own addresses. It is registered by pages, in
 * pieces that do not overlap: what an import finds registered it counts once more, what lies between
 * becomes pieces of its own. While an import lives, all pieces within it do, and not longer: who gave the memory may
 * give it back then, and what comes to lie at the same address would not be what is registered. CUDA registers for the whole
 * process, so that all devices have one list. */
#include "core/alloc.h"
#include "core/error.h"
#include "core/process.h"
#include "device/cuda/cuda.h"

#include <string.h>
#include <unistd.h>

typedef struct piece {
    uintptr_t from, to; /* whole pages */
    int users;
} piece;

struct weft__cuda_imports {
    pthread_mutex_t lock;
    piece *piece; /* ascending */
    size_t n, room;
    uintptr_t page;
};

static struct weft__cuda_imports *make(void)
{
    struct weft__cuda_imports *m = weft__new(1, sizeof *m);
    if (m) {
        m->page = (uintptr_t)sysconf(_SC_PAGESIZE);
        pthread_mutex_init(&m->lock, NULL);
    }
    return m;
}

weft_status weft__cuda_imports_open(weft__cuda *c)
{
    weft__process_facts *p = &weft__process;
    weft__process_lock();
    if (!p->imports)
        p->imports = make();
    c->imports = p->imports;
    p->importers += c->imports != NULL;
    weft__process_unlock();
    return c->imports ? WEFT_OK : WEFT_ENOMEM;
}

static void unregister(const piece *p)
{
    cudaHostUnregister((void *)p->from);
    cudaGetLastError();
}

static void destroy(struct weft__cuda_imports *m)
{
    for (size_t i = 0; i < m->n; i++)
        unregister(&m->piece[i]);
    pthread_mutex_destroy(&m->lock);
    weft__free(m->piece);
    weft__free(m);
}

void weft__cuda_imports_close(weft__cuda *c)
{
    weft__process_facts *p = &weft__process;
    if (!c->imports)
        return;
    weft__process_lock();
    if (--p->importers == 0) {
        destroy(p->imports);
        p->imports = NULL;
    }
    weft__process_unlock();
}

/* Pages that may only be read are registered so. */
static weft_status enter(weft_device *d, uintptr_t from, uintptr_t to)
{
    cudaError_t e = cudaHostRegister((void *)from, to - from, cudaHostRegisterPortable);
    if (e != cudaSuccess && e != cudaErrorMemoryAllocation) {
        cudaGetLastError();
        e = cudaHostRegister((void *)from, to - from,
                             cudaHostRegisterPortable | cudaHostRegisterReadOnly);
    }
    return weft__cuda_status(d, "making memory of the host reachable", e);
}

/* The first piece that ends behind the address. */
static size_t behind(const struct weft__cuda_imports *m, uintptr_t at)
{
    size_t i = 0;
    while (i < m->n && m->piece[i].to <= at)
        i++;
    return i;
}

/* A piece less of each user's; those without any go. */
static void leave(struct weft__cuda_imports *m, uintptr_t from, uintptr_t to)
{
    size_t kept = behind(m, from);
    for (size_t i = kept; i < m->n; i++) {
        piece p = m->piece[i];
        if (p.from < to && --p.users == 0)
            unregister(&p);
        else
            m->piece[kept++] = p;
    }
    m->n = kept;
}

/* The gap at `from` up to the next piece, or that piece once more; *from moves on. */
static weft_status cover(weft_device *d, uintptr_t *from, uintptr_t to)
{
    struct weft__cuda_imports *m = cuda_of(d)->imports;
    const size_t i = behind(m, *from);
    piece *p = &m->piece[i];
    if (i < m->n && p->from <= *from) {
        p->users++;
        *from = p->to;
        return WEFT_OK;
    }
    const uintptr_t end = i < m->n && p->from < to ? p->from : to;
    WEFT_TRY(weft__grow(&m->piece, &m->room, m->n + 1, sizeof *m->piece));
    WEFT_TRY(enter(d, *from, end));
    p = &m->piece[i];
    memmove(p + 1, p, (m->n - i) * sizeof *p);
    *p = (piece){.from = *from, .to = end, .users = 1};
    m->n++;
    *from = end;
    return WEFT_OK;
}

weft_status weft__cuda_import(weft_device *d, void *host, size_t bytes, weft_dev *out)
{
    weft__cuda *c = cuda_of(d);
    struct weft__cuda_imports *m = c->imports;
    const uintptr_t first = (uintptr_t)host / m->page * m->page;
    const uintptr_t end = ((uintptr_t)host + bytes + m->page - 1) / m->page * m->page;
    uintptr_t at = first;
    weft_status s = WEFT_OK;
    int same = 0;
    cudaDeviceGetAttribute(&same, cudaDevAttrCanUseHostPointerForRegisteredMem, c->index);
    if (!same)
        return weft__fail(WEFT_ENOTSUP,
                          "device cuda %d (%s) does not compute in memory of the host", c->index,
                          c->name);
    cudaSetDevice(c->index);
    pthread_mutex_lock(&m->lock);
    while (at < end && !s)
        s = cover(d, &at, end);
    if (s)
        leave(m, first, at);
    pthread_mutex_unlock(&m->lock);
    if (!s)
        out->addr = (uintptr_t)host;
    return s;
}

void weft__cuda_unimport(weft_device *d, weft_dev p, size_t bytes)
{
    struct weft__cuda_imports *m = cuda_of(d)->imports;
    weft__cuda_sync_all(d); /* what was enqueued before may use it */
    pthread_mutex_lock(&m->lock);
    leave(m, p.addr, p.addr + bytes);
    pthread_mutex_unlock(&m->lock);
}

void *weft__cuda_host(weft_device *d, weft_dev p)
{
    struct weft__cuda_imports *m = cuda_of(d)->imports;
    pthread_mutex_lock(&m->lock);
    const size_t i = behind(m, p.addr);
    const bool is = i < m->n && m->piece[i].from <= p.addr;
    pthread_mutex_unlock(&m->lock);
    return is ? cuda_ptr(p) : NULL;
}

size_t weft__cuda_together(weft_device *d, const void *p, size_t bytes)
{
    struct weft__cuda_imports *m = cuda_of(d)->imports;
    const uintptr_t at = (uintptr_t)p;
    pthread_mutex_lock(&m->lock);
    const size_t i = behind(m, at);
    const bool is = i < m->n && m->piece[i].from <= at && m->piece[i].to < at + bytes;
    const size_t n = is ? m->piece[i].to - at : bytes;
    pthread_mutex_unlock(&m->lock);
    return n;
}
