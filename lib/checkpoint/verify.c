/* Every byte that counts is read and compared with its digest, the work divided over the ranks. */
#include "checkpoint/load.h"
#include "checkpoint/slabs.h"
#include "core/error.h"
#include "core/log.h"

/* Structure is for people and tools: loading does without it. */
static void warn_structure(weft__reader *r, const weft__file *f)
{
    if (weft__reader_structure(r, f) < 0)
        weft__say(WEFT_LOG_WARNING, "%s; HDF5 tools may fail on it, the tensors are unharmed",
                  weft__why());
}

static weft_status verify_files(const weft__checkpoint *c, weft__reader *r)
{
    for (int i = c->comm->rank; i < r->m.world; i += c->comm->world) {
        WEFT_TRY(weft__reader_shard(r, i));
        warn_structure(r, &r->m.file[i]);
    }
    if (c->comm->rank == 0)
        warn_structure(r, &r->m.index);
    return WEFT_OK;
}

weft_status weft__verify(const weft__checkpoint *c, weft__reader *r, const unsigned char *mark)
{
    int64_t from = weft__share(r->m.blocks, c->comm->rank, c->comm->world);
    int64_t to = weft__share(r->m.blocks, c->comm->rank + 1, c->comm->world);
    WEFT_TRY(verify_files(c, r));
    for (size_t k = 0; k < r->m.n; k++) {
        const weft__entry *e = &r->m.entry[k];
        for (size_t j = 0; j < e->npieces; j++) {
            const weft__piece *p = &e->piece[j];
            int64_t n = weft__piece_blocks(e, p);
            for (int64_t i = 0; i < n; i++) {
                int64_t b = p->block + i;
                if (mark[b] || (b >= from && b < to))
                    WEFT_TRY(weft__reader_block(r, e, p, i));
            }
        }
    }
    return WEFT_OK;
}
