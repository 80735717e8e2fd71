/* FNV-1a, 64 bits: a number for each name, and a digest of what all ranks must have alike. */
#ifndef CORE_HASH_H
#define CORE_HASH_H
#include <stddef.h>
#include <stdint.h>

#define WEFT__HASH UINT64_C(0xCBF29CE484222325) /* of nothing */

/* The hash of what `hash` is of, and then p. */
uint64_t weft__hash(uint64_t hash, const void *p, size_t bytes);
uint64_t weft__hash_text(uint64_t hash, const char *text);
#endif
