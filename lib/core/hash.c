#include "core/hash.h"

#include <string.h>

uint64_t weft__hash(uint64_t hash, const void *p, size_t bytes)
{
    const unsigned char *c = p;
    for (size_t i = 0; i < bytes; i++)
        hash = (hash ^ c[i]) * 0x100000001B3u;
    return hash;
}

uint64_t weft__hash_text(uint64_t hash, const char *text)
{
    return weft__hash(hash, text, strlen(text));
}
