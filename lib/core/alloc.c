/* Host memory with a hook that makes the k-th allocation fail. */
#include "core/alloc.h"

#include "core/error.h"
#include "core/process.h"

#include <stdlib.h>
#include <string.h>

#define ALIGN 64

long weft__fail_alloc(long k)
{
    return atomic_exchange(&weft__process.fail_alloc, k);
}

static int tortured(void)
{
    return atomic_load_explicit(&weft__process.fail_alloc, memory_order_relaxed) > 0 &&
           atomic_fetch_sub(&weft__process.fail_alloc, 1) == 1;
}

void *weft__new(size_t n, size_t size)
{
    size_t bytes;
    void *p = NULL;
    if (!__builtin_mul_overflow(n, size, &bytes) && bytes <= PTRDIFF_MAX - ALIGN && !tortured())
        p = aligned_alloc(ALIGN, (bytes + ALIGN) / ALIGN * ALIGN);
    if (p)
        memset(p, 0, bytes);
    else
        weft__fail(WEFT_ENOMEM, "no memory for %zu x %zu bytes on the host", n, size);
    return p;
}

weft_status weft__grow(void *p, size_t *have, size_t want, size_t size)
{
    size_t n = *have ? *have : 8;
    void *old, *fresh;
    if (want <= *have)
        return WEFT_OK;
    while (n < want && n <= SIZE_MAX / 2)
        n *= 2;
    if (n < want)
        n = want;
    if (!(fresh = weft__new(n, size)))
        return WEFT_ENOMEM;
    memcpy(&old, p, sizeof old);
    if (old)
        memcpy(fresh, old, *have * size);
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
