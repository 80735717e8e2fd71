/* The memory of a mock device. Blocks lie one behind the other with a gap between them, so that an
 * address at a block's end belongs to that block. Memory of others gets addresses of its own, where
 * the host may do nothing either. */
#include "device/mock/mock.h"

#include "core/alloc.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define ALIGN 256
#define GAP 256
#define PAGE ((size_t)4096)

static size_t round_up(size_t n, size_t to)
{
    return (n + to - 1) / to * to;
}

static void *no_access(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

static weft_status map_twice(weft__mock *m, int file)
{
    void *p, *q;
    if (ftruncate(file, (off_t)m->size))
        return weft__fail_errno(WEFT_ENOMEM, "device mock %d: %zu bytes of memory", m->index,
                                m->size);
    p = mmap(NULL, m->size, PROT_NONE, MAP_SHARED | MAP_NORESERVE, file, 0);
    q = mmap(NULL, m->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, file, 0);
    m->base = p == MAP_FAILED ? 0 : (uintptr_t)p;
    m->memory = q == MAP_FAILED ? NULL : q;
    return m->base && m->memory
               ? WEFT_OK
               : weft__fail_errno(WEFT_ENOMEM, "device mock %d: %zu bytes of memory, mapped twice",
                                  m->index, m->size);
}

weft_status weft__mock_memory_open(weft__mock *m)
{
    int file = memfd_create("weft-mock", MFD_CLOEXEC);
    if (file < 0)
        return weft__fail_errno(WEFT_ENOMEM, "device mock %d: a file in memory", m->index);
    weft_status s = map_twice(m, file);
    close(file);
    if (s < 0)
        weft__mock_memory_close(m);
    return s;
}

void weft__mock_memory_close(weft__mock *m)
{
    if (m->base)
        munmap((void *)m->base, m->size);
    if (m->memory)
        munmap(m->memory, m->size);
    m->base = 0;
    m->memory = NULL;
    weft__free(m->own.block);
    weft__free(m->imported.block);
}

void weft__mock_spoil(void *memory, size_t bytes)
{
    memset(memory, 0xff, bytes); /* NaN in every floating point type */
}

/* The first block that begins behind the address. */
static size_t behind(const weft__mock_blocks *b, uintptr_t at)
{
    size_t lo = 0, hi = b->n;
    while (lo < hi) {
        const size_t middle = (lo + hi) / 2;
        if (b->block[middle].at <= at)
            lo = middle + 1;
        else
            hi = middle;
    }
    return lo;
}

static weft__mock_block *find(const weft__mock_blocks *b, uintptr_t at)
{
    const size_t i = behind(b, at);
    return i && at - b->block[i - 1].at < b->block[i - 1].span ? &b->block[i - 1] : NULL;
}

static weft__mock_block *find_any(const weft__mock *m, uintptr_t at)
{
    weft__mock_block *b = find(&m->own, at);
    return b ? b : find(&m->imported, at);
}

static weft_status insert(weft__mock_blocks *b, const weft__mock_block *block)
{
    WEFT_TRY(weft__grow(&b->block, &b->room, b->n + 1, sizeof *b->block));
    const size_t i = behind(b, block->at);
    memmove(b->block + i + 1, b->block + i, (b->n - i) * sizeof *b->block);
    b->block[i] = *block;
    b->n++;
    return WEFT_OK;
}

static void take_out(weft__mock_blocks *b, const weft__mock_block *block)
{
    const size_t i = (size_t)(block - b->block);
    b->n--;
    memmove(b->block + i, b->block + i + 1, (b->n - i) * sizeof *b->block);
}

/* The first gap with room for span bytes; *largest: the largest gap. */
static bool find_gap(const weft__mock *m, size_t span, uintptr_t *at, size_t *largest)
{
    uintptr_t from = m->base;
    *largest = 0;
    for (size_t i = 0; i <= m->own.n; i++) {
        const weft__mock_block *b = &m->own.block[i];
        const size_t room = (i < m->own.n ? b->at : m->base + m->size) - from;
        *largest = room > *largest ? room : *largest;
        *at = from;
        if (room >= span)
            return true;
        if (i < m->own.n)
            from = b->at + b->span;
    }
    return false;
}

/* Gives back the blocks that were freed first, until at most so many bytes are kept. */
static void let_go(weft__mock *m, size_t keep)
{
    while (m->kept > keep) {
        weft__mock_block *oldest = NULL;
        for (size_t i = 0; i < m->own.n; i++) {
            weft__mock_block *b = &m->own.block[i];
            if (b->freed && (!oldest || b->freed < oldest->freed))
                oldest = b;
        }
        m->kept -= oldest->span;
        take_out(&m->own, oldest);
    }
}

static weft_status no_room(const weft__mock *m, size_t bytes, size_t largest)
{
    char want[WEFT__SIZE_TEXT], all[WEFT__SIZE_TEXT], used[WEFT__SIZE_TEXT], one[WEFT__SIZE_TEXT];
    return weft__fail(WEFT_ENOMEM,
                      "mock %d has no room for %s: %s of %s (WEFT_MOCK_MEMORY) are in use, the "
                      "largest free piece is %s",
                      m->index, weft__size_text((double)bytes, want),
                      weft__size_text((double)m->used, used), weft__size_text((double)m->size, all),
                      weft__size_text((double)largest, one));
}

static weft_status place(weft__mock *m, size_t bytes, weft_dev *out)
{
    weft__mock_block b = {.bytes = bytes};
    size_t largest = m->size;
    if (bytes > m->size)
        return no_room(m, bytes, m->size - m->used);
    b.span = round_up(bytes, ALIGN) + GAP;
    if (!find_gap(m, b.span, &b.at, &largest)) {
        let_go(m, 0);
        if (!find_gap(m, b.span, &b.at, &largest))
            return no_room(m, bytes, largest > GAP ? largest - GAP : 0);
    }
    b.memory = m->memory + (b.at - m->base);
    WEFT_TRY(insert(&m->own, &b));
    m->used += bytes;
    weft__mock_spoil(b.memory, b.span);
    out->addr = b.at;
    return WEFT_OK;
}

weft_status weft__mock_alloc(weft_device *d, size_t bytes, weft_dev *out)
{
    weft__mock_lock(d->self);
    weft_status s = place(d->self, bytes, out);
    weft__mock_unlock(d->self);
    return s;
}

static void give_back(weft__mock *m, weft_dev p)
{
    weft__mock_block *b = find(&m->own, p.addr);
    if (!b || b->freed || b->at != p.addr)
        return;
    weft__mock_drain(m); /* what was queued before may use it */
    weft__mock_spoil(b->memory, b->span);
    b->freed = ++m->frees;
    m->used -= b->bytes;
    m->kept += b->span;
    let_go(m, m->size / 4);
}

void weft__mock_free(weft_device *d, weft_dev p, size_t bytes)
{
    (void)bytes;
    weft__mock_lock(d->self);
    give_back(d->self, p);
    weft__mock_unlock(d->self);
}

static weft_status take_in(weft__mock *m, void *host, size_t bytes, weft_dev *out)
{
    const size_t into = (uintptr_t)host % PAGE; /* as aligned here as there */
    weft__mock_block b = {.bytes = bytes, .memory = host, .span = bytes + 1};
    const char *p = no_access(round_up(into + b.span, PAGE));
    if (!p)
        return weft__fail_errno(WEFT_ENOMEM, "device mock %d: addresses for %zu bytes of the host",
                                m->index, bytes);
    b.at = (uintptr_t)p + into;
    weft_status s = insert(&m->imported, &b);
    if (s < 0)
        munmap((void *)p, round_up(into + b.span, PAGE));
    else
        out->addr = b.at;
    return s;
}

weft_status weft__mock_import(weft_device *d, void *host, size_t bytes, weft_dev *out)
{
    weft__mock_lock(d->self);
    weft_status s = take_in(d->self, host, bytes, out);
    weft__mock_unlock(d->self);
    return s;
}

void weft__mock_unimport(weft_device *d, weft_dev p, size_t bytes)
{
    weft__mock *m = d->self;
    const size_t into = p.addr % PAGE;
    (void)bytes;
    weft__mock_lock(m);
    weft__mock_drain(m);
    const weft__mock_block *b = find(&m->imported, p.addr);
    if (b) {
        munmap((void *)(p.addr - into), round_up(into + b->span, PAGE));
        take_out(&m->imported, b);
    }
    weft__mock_unlock(m);
}

void *weft__mock_host(weft_device *d, weft_dev p)
{
    weft__mock_lock(d->self);
    const weft__mock *m = d->self;
    const weft__mock_block *b = m->far ? find(&m->imported, p.addr) : find_any(m, p.addr);
    void *host = b ? b->memory + (p.addr - b->at) : NULL;
    weft__mock_unlock(d->self);
    return host;
}

bool weft__mock_holds(weft_device *d, const void *p)
{
    const weft__mock *m = d->self;
    return m->far && (uintptr_t)p - m->base < m->size;
}

void weft__mock_reach(weft__mock *m, const char *kernel, const char *argument, weft_dev p,
                      weft_dev *out, weft_status *s)
{
    const weft__mock_block *b = p.addr ? find_any(m, p.addr) : NULL;
    out->addr = b ? (uintptr_t)b->memory + (p.addr - b->at) : 0;
    if (!p.addr || (b && !b->freed) || *s < 0)
        return;
    if (!b)
        *s = weft__fail(WEFT_EHANDLE, "device mock %d: %s of %s is %#zx, no memory of this device",
                        m->index, argument, kernel, (size_t)p.addr);
    else
        *s = weft__fail(WEFT_EHANDLE,
                        "device mock %d: %s of %s is %#zx, byte %zu of a block of %zu bytes that "
                        "was freed",
                        m->index, argument, kernel, (size_t)p.addr, (size_t)(p.addr - b->at),
                        b->bytes);
}
