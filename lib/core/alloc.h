/* Host memory. Sizes are checked for overflow; failures leave a message. */
#ifndef CORE_ALLOC_H
#define CORE_ALLOC_H
#include <weft/status.h>

/* Zeroed memory for n things of `size` bytes, aligned to 64; NULL and a message if there is none.
 * n = 0 gives a valid pointer. */
void *weft__new(size_t n, size_t size);
/* The same of so many bytes with any contents: whoever will compute on them shall be the first to touch
 * them. */
void *weft__claim(size_t bytes);
/* Room for `want` things in *p, which has *have: grows by doubling, keeps contents, zeroes the
 * rest. */
weft_status weft__grow_to(void *p, size_t *have, size_t want, size_t size);
static inline weft_status weft__grow(void *p, size_t *have, size_t want, size_t size)
{
    return want <= *have ? WEFT_OK : weft__grow_to(p, have, want, size);
}
/* A copy of text. */
char *weft__strdup(const char *text);
void weft__free(void *p);

/* The torture hook: WEFT_FAIL_ALLOC=k, or this, makes the k-th allocation from now fail, once.
 * 0 switches it off. Returns what was left of the countdown. */
long weft__fail_alloc(long k);
#endif
