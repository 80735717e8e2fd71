/* Loading: read the MANIFEST, agree; check and verify, agree; apply, agree. No rank changes
 * anything before all ranks can. */
#include "checkpoint/load.h"

#include "checkpoint/collect.h"
#include "checkpoint/directory.h"
#include "comm/comm.h"
#include "core/alloc.h"
#include "core/error.h"
#include "core/log.h"

#include <stdio.h>

static weft_status open_all(weft__checkpoint *c, weft__reader *r, const char *path, int64_t expect)
{
    char digest[WEFT__ID];
    weft_status s = weft__reader_open(r, path);
    if (!s && expect >= 0 && r->m.step != expect)
        s = weft__fail(WEFT_EFORMAT, "%s holds step %lld by its " WEFT__MANIFEST, path,
                       (long long)r->m.step);
    WEFT_TRY(weft__verdict(c, "checkpoint manifest", s));
    snprintf(digest, sizeof digest, "%016llx", (unsigned long long)r->digest);
    return weft__agree_text(c->comm, "checkpoint manifest", "the MANIFEST that a rank reads",
                            digest);
}

/* The checkpoint's own faults come first: one that is damaged cannot be said not to fit. */
static weft_status examine(weft__checkpoint *c, weft__reader *r, bool apply, bool *bad)
{
    char why[WEFT__TEXT] = "";
    weft_status fit = WEFT_OK, s = WEFT_ENOMEM;
    unsigned char *mark = weft__new((size_t)r->m.blocks, 1);
    if (mark && apply && (fit = weft__fit(c, r, mark)) < 0)
        snprintf(why, sizeof why, "%s", weft__why());
    if (mark)
        s = weft__verify(c, r, mark);
    weft__free(mark);
    s = weft__verdict(c, "checkpoint digests", s);
    *bad = s == WEFT_EFORMAT || s == WEFT_EIO;
    if (s < 0)
        return s;
    if (fit < 0)
        weft__fail(fit, "%s", why);
    return weft__verdict(c, "checkpoint items", fit);
}

static weft_status overwrite(weft__checkpoint *c, weft__reader *r)
{
    return weft__verdict(c, "checkpoint load", weft__apply(c, r));
}

weft_status weft__attempt(weft__checkpoint *c, const char *path, int64_t expect, bool apply,
                          int64_t *step, bool *bad)
{
    weft__reader *r = weft__new(1, sizeof *r);
    weft_status s = weft__verdict(c, "checkpoint load", r ? WEFT_OK : WEFT_ENOMEM);
    *bad = false;
    if (s >= 0) {
        s = open_all(c, r, path, expect);
        *bad = s == WEFT_EFORMAT || s == WEFT_EIO || s == WEFT_ENOENT;
        if (s >= 0)
            s = examine(c, r, apply, bad);
        if (s >= 0 && apply)
            s = overwrite(c, r);
        if (s >= 0)
            *step = r->m.step;
        weft__reader_close(r);
    }
    weft__free(r);
    return s;
}

weft_status weft__checkpoint_load(weft__checkpoint *c, const char *path, int64_t *step)
{
    bool bad;
    WEFT_TRY(weft__agree_text(c->comm, "checkpoint load", "the checkpoint to load", path));
    return weft__attempt(c, path, -1, true, step, &bad);
}

/* Rank 0's list, to all ranks. */
static weft_status scan_all(weft__checkpoint *c, const char *dir, int64_t **steps, int64_t *n)
{
    size_t found = 0;
    weft_status s = c->comm->rank ? WEFT_OK : weft__scan(dir, steps, &found);
    *n = (int64_t)found;
    WEFT_TRY(weft__verdict(c, "checkpoint scan", s));
    WEFT_TRY(weft__comm_broadcast(c->comm, "checkpoint scan", n, sizeof *n, 0));
    if (c->comm->rank)
        *steps = weft__new((size_t)*n, sizeof **steps);
    s = *steps || !*n ? WEFT_OK : WEFT_ENOMEM;
    WEFT_TRY(weft__verdict(c, "checkpoint scan", s));
    return *n ? weft__comm_broadcast(c->comm, "checkpoint scan", *steps, *n * 8, 0) : WEFT_OK;
}

static weft_status newest_good(weft__checkpoint *c, const char *dir, const int64_t *steps,
                               int64_t n, int64_t *step)
{
    char path[PATH_MAX], first[WEFT__TEXT] = "";
    for (int64_t i = 0; i < n; i++) {
        bool bad;
        snprintf(path, sizeof path, "%s/step-%06lld", dir, (long long)steps[i]);
        weft_status s = weft__attempt(c, path, steps[i], true, step, &bad);
        if (s >= 0 || !bad)
            return s;
        if (c->comm->rank == 0)
            weft__say(WEFT_LOG_WARNING, "bad checkpoint: %s%s", weft__why(),
                      i + 1 < n ? "; trying the one before" : "");
        if (i == 0)
            snprintf(first, sizeof first, "%s", weft__why());
    }
    return n ? weft__fail(WEFT_EFORMAT,
                          "%s: none of the %lld checkpoints is good; the newest: %.400s", dir,
                          (long long)n, first)
             : WEFT_OK;
}

weft_status weft__checkpoint_resume(weft__checkpoint *c, const char *dir, int64_t *step)
{
    int64_t *steps = NULL, n = 0, found = -1;
    WEFT_TRY(weft__agree_text(c->comm, "checkpoint resume", "the checkpoint directory", dir));
    weft_status s = scan_all(c, dir, &steps, &n);
    if (s >= 0)
        s = newest_good(c, dir, steps, n, &found);
    weft__free(steps);
    if (s >= 0)
        *step = found;
    return s;
}
