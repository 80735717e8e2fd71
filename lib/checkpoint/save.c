/* Saving: everything is written and synced aside, one rename commits it, and only then are older
 * checkpoints touched. Each phase ends with a verdict of all ranks, so that none is left waiting. */
#include "checkpoint/collect.h"
#include "checkpoint/directory.h"
#include "checkpoint/disk.h"
#include "checkpoint/load.h"
#include "checkpoint/shard.h"
#include "comm/comm.h"
#include "core/alloc.h"
#include "core/error.h"
#include "core/log.h"
#include "core/quiet.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

struct save {
    weft__checkpoint *c;
    const char *dir;
    int64_t step;
    weft__manifest m;
    int parent, tmp; /* directories, open */
    char name[WEFT__NAME], aside[WEFT__NAME], where[PATH_MAX];
    bool there; /* a good one is there already */
    bool bad;   /* a bad one is in the way */
    bool made;  /* the directory of this save stands, uncommitted */
};

static weft_status open_parent(struct save *s)
{
    s->parent = open(s->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return s->parent < 0 ? weft__fail_errno(WEFT_EIO, "%s: cannot open the directory", s->dir)
                         : WEFT_OK;
}

/* One save at a time: what another run has not committed yet looks like what a crash left, and is
 * removed. (A launcher that is killed leaves its ranks alive for a moment, perhaps in a save.) Where
 * directories cannot be locked it goes on without. */
static weft_status lock_parent(const struct save *s)
{
    if (flock(s->parent, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK)
        return weft__fail(WEFT_EIO, "%s: another process is saving there at this moment", s->dir);
    return WEFT_OK;
}

static weft_status list_items(struct save *s)
{
    char text[600];
    weft_status mine = weft__collect(s->c, &s->m);
    s->m.step = s->step;
    WEFT_TRY(weft__verdict(s->c, "checkpoint items", mine));
    snprintf(text, sizeof text, "%.480s, step %lld", s->dir, (long long)s->step);
    WEFT_TRY(weft__agree_text(s->c->comm, "checkpoint save", "the checkpoint to save", text));
    return weft__collect_agree(s->c, &s->m);
}

/* Is step-N there, and good? */
static weft_status look(struct save *s)
{
    char path[PATH_MAX];
    struct stat st;
    int64_t is_there = 0, step;
    weft_status mine = WEFT_OK;
    if (s->c->comm->rank == 0) {
        mine = weft__make_directories(s->dir);
        if (!mine)
            mine = open_parent(s);
        if (!mine)
            mine = lock_parent(s);
        if (!mine)
            is_there = fstatat(s->parent, s->name, &st, AT_SYMLINK_NOFOLLOW) == 0;
    }
    WEFT_TRY(weft__verdict(s->c, "checkpoint directory", mine));
    WEFT_TRY(
        weft__comm_broadcast(s->c->comm, "checkpoint directory", &is_there, sizeof is_there, 0));
    if (!is_there)
        return WEFT_OK;
    snprintf(path, sizeof path, "%s/%s", s->dir, s->name);
    mine = weft__attempt(s->c, path, s->step, false, &step, &s->bad);
    if (mine < 0 && !s->bad)
        return mine;
    s->there = !s->bad;
    if (s->bad && s->c->comm->rank == 0)
        weft__say(WEFT_LOG_WARNING, "a bad checkpoint is in the way and will be moved aside: %s",
                  weft__why());
    /* The save that wrote it may have failed to sync the rename. */
    return weft__verdict(s->c, "checkpoint directory",
                         s->there && s->c->comm->rank == 0 ? weft__sync_directory(s->parent, s->dir)
                                                           : WEFT_OK);
}

static weft_status make_aside(struct save *s)
{
    WEFT_TRY(weft__save_id(s->m.id));
    weft__aside_name(s->aside, s->name, "tmp", s->m.id);
    if (mkdirat(s->parent, s->aside, 0700))
        return weft__fail_errno(WEFT_EIO, "%s/%s: cannot make the directory", s->dir, s->aside);
    s->made = true;
    return WEFT_OK;
}

static weft_status open_aside(struct save *s)
{
    int rank = s->c->comm->rank;
    if (s->parent >= 0 || !open_parent(s))
        s->tmp = openat(s->parent, s->aside, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (s->tmp >= 0)
        return WEFT_OK;
    if (rank == 0)
        return weft__fail_errno(WEFT_EIO, "%s: cannot open the directory", s->where);
    return weft__fail_errno(WEFT_ECONFIG,
                            "%s: rank 0 made it, but rank %d on %s does not see it; all ranks must "
                            "share the checkpoint's file system",
                            s->where, rank, s->c->host ? s->c->host : "?");
}

/* The directory aside, made by rank 0 and seen by all. */
static weft_status begin(struct save *s)
{
    weft_status mine = s->c->comm->rank ? WEFT_OK : make_aside(s);
    WEFT_TRY(weft__verdict(s->c, "checkpoint directory", mine));
    WEFT_TRY(weft__comm_broadcast(s->c->comm, "checkpoint id", s->m.id, sizeof s->m.id, 0));
    weft__aside_name(s->aside, s->name, "tmp", s->m.id);
    snprintf(s->where, sizeof s->where, "%s/%s", s->dir, s->aside);
    /* Not weft__verdict: the message names its rank itself. */
    return weft__agree(s->c->comm, "checkpoint directory", open_aside(s), "");
}

static weft_status write_manifest(struct save *s)
{
    char *text;
    int64_t bytes;
    WEFT_TRY(weft__manifest_encode(&s->m, s->where, &text, &bytes));
    weft_status mine = weft__write_file(s->tmp, s->where, WEFT__MANIFEST, text, bytes);
    weft__free(text);
    return mine;
}

/* The commit point is the second rename. */
static weft_status put_in_place(struct save *s)
{
    char bad[WEFT__NAME];
    if (s->bad) {
        weft__aside_name(bad, s->name, "bad", s->m.id);
        if (renameat(s->parent, s->name, s->parent, bad))
            return weft__fail_errno(WEFT_EIO, "%s/%s: cannot move it aside", s->dir, s->name);
        weft__say(WEFT_LOG_WARNING, "%s/%s was bad and is now %s", s->dir, s->name, bad);
    }
    if (renameat(s->parent, s->aside, s->parent, s->name))
        return weft__fail_errno(WEFT_EIO, "%s: cannot rename it to %s", s->where, s->name);
    s->made = false;
    if (fsync(s->parent))
        return weft__fail_errno(WEFT_EIO,
                                "%s/%s is complete, but a crash of the machine may undo "
                                "it: cannot sync the directory",
                                s->dir, s->name);
    return WEFT_OK;
}

static weft_status commit(struct save *s)
{
    WEFT_TRY(weft__manifest_seal(&s->m, s->where));
    WEFT_TRY(weft__index_write(s->tmp, s->where, &s->m));
    WEFT_TRY(write_manifest(s));
    WEFT_TRY(weft__sync_directory(s->tmp, s->where));
    return put_in_place(s);
}

static weft_status run(struct save *s)
{
    WEFT_TRY(list_items(s));
    WEFT_TRY(look(s));
    if (s->there)
        return WEFT_OK;
    WEFT_TRY(begin(s));
    WEFT_TRY(
        weft__verdict(s->c, "checkpoint shards", weft__shard_write(s->c, s->tmp, s->where, &s->m)));
    WEFT_TRY(weft__gather(s->c, &s->m));
    return weft__verdict(s->c, "checkpoint commit", s->c->comm->rank ? WEFT_OK : commit(s));
}

static void clean_up(struct save *s, weft_status result)
{
    char why[WEFT__TEXT];
    snprintf(why, sizeof why, "%s", weft__why());
    if (s->tmp >= 0)
        close(s->tmp);
    if (s->made && !weft__remove(s->parent, s->aside))
        weft__say(WEFT_LOG_WARNING, "%s/%s, left by a save that failed, cannot be removed", s->dir,
                  s->aside);
    if (result >= 0 && !s->there && s->c->comm->rank == 0)
        weft__tidy(s->parent, s->dir, s->step, s->m.id, s->c->keep ? s->c->keep : 1);
    if (s->parent >= 0)
        close(s->parent);
    weft__manifest_free(&s->m);
    if (result < 0)
        weft__fail(result, "%s", why);
}

weft_status weft__checkpoint_save(weft__checkpoint *c, const char *dir, int64_t step)
{
    struct save s = {.c = c, .dir = dir, .step = step, .parent = -1, .tmp = -1};
    weft__quiet quiet;
    if (step < 0)
        return weft__fail(WEFT_EARG, "a checkpoint of step %lld", (long long)step);
    weft__step_name(s.name, step);
    weft__quiet_begin(&quiet);
    weft_status result = run(&s);
    clean_up(&s, result);
    weft__quiet_end(&quiet);
    return result;
}

int64_t weft__checkpoint_bytes(const weft__checkpoint *c)
{
    return c->layout ? weft__layout_bytes(c->layout) : 0;
}

void weft__checkpoint_free(weft__checkpoint *c)
{
    weft__layout_free(c->layout);
    c->layout = NULL;
}
