/* What the ranks must agree on: verdicts, and the list of items. */
#include "checkpoint/collect.h"
#include "comm/comm.h"
#include "core/error.h"

#include <stdio.h>
#include <string.h>
#include <xxhash.h>

weft_status weft__verdict(const weft__checkpoint *c, const char *name, weft_status mine)
{
    char text[WEFT__TEXT];
    snprintf(text, sizeof text, "%s", weft__why());
    if (mine < 0 && c->comm->world > 1)
        snprintf(text, sizeof text, "%.380s (rank %d on %.64s)", weft__why(), c->comm->rank,
                 c->host ? c->host : "?");
    return weft__agree(c->comm, name, mine, mine < 0 ? text : "");
}

weft_status weft__collect_agree(const weft__checkpoint *c, const weft__manifest *m)
{
    char text[80];
    uint64_t h = 0;
    for (size_t i = 0; i < m->n; i++) {
        const weft__entry *e = &m->entry[i];
        const int64_t word[] = {e->kind, e->placement, e->dtype, e->rank, e->count};
        h = XXH3_64bits_withSeed(e->name, strlen(e->name), h);
        h = XXH3_64bits_withSeed(word, sizeof word, h);
        h = XXH3_64bits_withSeed(e->shape, sizeof e->shape, h);
    }
    snprintf(text, sizeof text, "%zu items, digest %016llx", m->n, (unsigned long long)h);
    return weft__agree_text(c->comm, "checkpoint items",
                            "the list of names, types and shapes to save", text);
}
