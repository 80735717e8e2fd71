/* Host memory with a hook that makes the k-th allocation fail. */
#include "core/alloc.h"

#include "core/error.h"
#include "core/process.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define ALIGN 64
#define HUGE_PAGE ((size_t)1 << 21)

long weft__fail_alloc(long k)
{
    return atomic_exchange(&weft__process.fail_alloc, k);
}

static int tortured(void)
{
    return atomic_load_explicit(&weft__process.fail_alloc, memory_order_relaxed) > 0 &&
           atomic_fetch_sub(&weft__process.fail_alloc, 1) == 1;
}

/* Where there are many pages, huge ones, asked for before any is touched: the table that finds pages has
 * room for few. */
void *weft__claim(size_t bytes)
{
    const size_t align = bytes < 2 * HUGE_PAGE ? ALIGN : HUGE_PAGE;
    void *p = NULL;
    if (bytes > PTRDIFF_MAX - 2 * HUGE_PAGE || tortured() || posix_memalign(&p, align, bytes + 1)) {
        weft__fail(WEFT_ENOMEM, "no memory for %zu bytes on the host", bytes);
        return NULL;
    }
#ifdef MADV_HUGEPAGE
    if (align == HUGE_PAGE)
        madvise(p, bytes, MADV_HUGEPAGE);
#endif
    return p;
}

/* weft__new with any contents. */
static void *room(size_t n, size_t size)
{
    size_t bytes;
    if (!__builtin_mul_overflow(n, size, &bytes))
        return weft__claim(bytes);
    weft__fail(WEFT_ENOMEM, "no memory for %zu x %zu bytes on the host", n, size);
    return NULL;
}

void *weft__new(size_t n, size_t size)
{
    void *p = room(n, size);
    return p ? memset(p, 0, n * size) : NULL;
}

weft_status weft__grow_to(void *p, size_t *have, size_t want, size_t size)
{
    size_t n = *have ? *have : 8;
    void *old, *fresh;
    while (n < want && n <= SIZE_MAX / 2)
        n *= 2;
    if (n < want)
        n = want;
    if (!(fresh = room(n, size)))
        return WEFT_ENOMEM;
    memcpy(&old, p, sizeof old);
    if (old)
        memcpy(fresh, old, *have * size);
    memset((char *)fresh + *have * size, 0, (n - *have) * size);
    memcpy(p, &fresh, sizeof fresh);
    weft__free(old);
    *have = n;
    return WEFT_OK;
}

char *weft__strdup(const char *text)
{
    size_t n = strlen(text) + 1;
    char *copy = weft__new(n, 1);
    return copy ? memcpy(copy, text, n) : NULL;
}

void weft__free(void *p)
{
    free(p);
}
