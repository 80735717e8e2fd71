/* weft verify: every byte that a MANIFEST names, against its digest; each file that is bad is named.
 * Threads share out the files, each with a reader of its own. No HDF5. */
#include "checkpoints.h"
#include "tool.h"

#include "core/alloc.h"
#include "core/error.h"

#include <stdio.h>
#include <string.h>

static const char usage[] =
    "usage: weft verify DIR...\n"
    "\n"
    "DIR is a checkpoint (run/step-000123) or holds some (run). Reads all files of all of them "
    "and\n"
    "compares them with the digests of their MANIFEST. Exit status 1 if anything is damaged, each\n"
    "damaged file is named.\n";

/* Prints the first fault of a file; *n counts all. */
static void found(int *n, weft_status s)
{
    if (s >= 0)
        return;
    if ((*n)++)
        return;
#pragma omp critical(output)
    printf("bad  %s\n", weft__why());
}

/* All that shard k holds. @return faults in it */
static int verify_shard(weft__reader *r, int k)
{
    int faults = 0;
    found(&faults, weft__reader_shard(r, k));
    if (faults)
        return 1; /* missing or cut off: the rest would say the same again and again */
    for (size_t i = 0; i < r->m.n; i++) {
        const weft__entry *e = &r->m.entry[i];
        for (size_t j = 0; j < e->npieces; j++)
            for (int64_t b = 0; e->piece[j].shard == k && b < weft__piece_blocks(e, &e->piece[j]);
                 b++)
                found(&faults, weft__reader_block(r, e, &e->piece[j], b));
    }
    found(&faults, weft__reader_structure(r, &r->m.file[k]));
    if (faults > 1)
#pragma omp critical(output)
        printf("     and %d more places in %s\n", faults - 1, r->m.file[k].name);
    return faults;
}

static int verify_index(weft__reader *r)
{
    int faults = 0;
    found(&faults, weft__reader_structure(r, &r->m.index));
    return faults;
}

/* The files of checkpoint i. @return bad ones */
static int verify_files(const checkpoints *c, size_t i, int files)
{
    int bad = 0;
#pragma omp parallel reduction(+ : bad) if (files > 1)
    {
        weft__reader *r = weft__new(1, sizeof *r);
        weft_status s = r ? checkpoints_open(r, c, i) : WEFT_ENOMEM;
        int own = 0;
        found(&own, s);
#pragma omp for schedule(dynamic)
        for (int k = 0; k < files; k++)
            if (s >= 0)
                bad += (k + 1 < files ? verify_shard(r, k) : verify_index(r)) > 0;
        bad += own;
        if (r)
            weft__reader_close(r);
        weft__free(r);
    }
    return bad;
}

/* @return true if checkpoint i is good */
static bool verify(const checkpoints *c, size_t i)
{
    weft__reader *r = weft__new(1, sizeof *r);
    char size[32] = "";
    int bad = 0, files = 0;
    size_t items = 0;
    found(&bad, r ? checkpoints_open(r, c, i) : WEFT_ENOMEM);
    if (r && !bad) {
        files = r->m.world + 1;
        items = r->m.n;
        tool_size(size, (double)checkpoints_bytes(&r->m));
    }
    if (r)
        weft__reader_close(r);
    weft__free(r);
    if (!bad)
        bad = verify_files(c, i, files);
    if (!bad)
        printf("ok   %s: %zu items, %s in %d files\n", c->path[i], items, size, files);
    else if (files)
        printf("bad  %s: %d of %d files\n", c->path[i], bad, files);
    return !bad;
}

int tool_verify(int argc, char **argv)
{
    int status = 0;
    if (argc > 1 && tool_is(argv[1], "--help"))
        return fputs(usage, stdout) < 0;
    if (argc < 2 || argv[1][0] == '-')
        return tool_misused("weft verify takes directories; weft verify --help says more");
    for (int k = 1; k < argc; k++) {
        checkpoints c;
        weft_status s = checkpoints_find(&c, argv[k]);
        if (s < 0)
            status = tool_failed(s);
        for (size_t i = 0; s >= 0 && i < c.n; i++)
            if (!verify(&c, i))
                status = status ? status : 1;
        checkpoints_free(&c);
    }
    return status;
}
