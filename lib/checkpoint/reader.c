/* Reads and verifies what a MANIFEST names. */
#include "checkpoint/reader.h"

#include "checkpoint/disk.h"
#include "core/alloc.h"
#include "core/error.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

static weft_status read_manifest(weft__reader *r)
{
    int fd;
    int64_t size;
    WEFT_TRY(weft__in_open(r->dir, r->where, WEFT__MANIFEST, &fd, &size));
    weft_status s = size <= WEFT__MANIFEST_MAX
                        ? WEFT_OK
                        : weft__fail(WEFT_EFORMAT, "%s/" WEFT__MANIFEST " has %lld bytes", r->where,
                                     (long long)size);
    char *text = s ? NULL : weft__new((size_t)size + 1, 1);
    if (!s)
        s = text ? weft__in_read(fd, r->where, WEFT__MANIFEST, text, size, 0) : WEFT_ENOMEM;
    close(fd);
    if (!s) {
        r->digest = XXH3_64bits(text, (size_t)size);
        s = weft__manifest_decode(&r->m, r->where, text, size);
    }
    weft__free(text);
    return s;
}

weft_status weft__reader_open(weft__reader *r, const char *path)
{
    memset(r, 0, sizeof *r);
    for (int i = 0; i < WEFT__OPEN_SHARDS; i++)
        r->fd[i] = -1;
    snprintf(r->where, sizeof r->where, "%s", path);
    r->dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (r->dir < 0)
        return weft__fail_errno(errno == ENOENT ? WEFT_ENOENT : WEFT_EIO,
                                "%s: cannot open the checkpoint", path);
    if (!(r->block = weft__new((size_t)WEFT__BLOCK, 1)))
        return WEFT_ENOMEM;
    return read_manifest(r);
}

void weft__reader_close(weft__reader *r)
{
    for (int i = 0; i < WEFT__OPEN_SHARDS; i++)
        if (r->fd[i] >= 0)
            close(r->fd[i]);
    if (r->dir >= 0)
        close(r->dir);
    weft__manifest_free(&r->m);
    weft__free(r->block);
}

/* Opens a file and compares its size. */
static weft_status open_file(const weft__reader *r, const weft__file *f, int *fd)
{
    int64_t size;
    WEFT_TRY(weft__in_open(r->dir, r->where, f->name, fd, &size));
    if (size == f->size)
        return WEFT_OK;
    close(*fd);
    *fd = -1;
    return weft__fail(WEFT_EFORMAT, "%s/%s has %lld bytes instead of %lld", r->where, f->name,
                      (long long)size, (long long)f->size);
}

/* The descriptor of a shard, kept open. */
static weft_status shard_fd(weft__reader *r, int shard, int *fd)
{
    int slot = shard % WEFT__OPEN_SHARDS;
    if (r->fd[slot] >= 0 && r->shard[slot] != shard) {
        close(r->fd[slot]);
        r->fd[slot] = -1;
    }
    if (r->fd[slot] < 0)
        WEFT_TRY(open_file(r, &r->m.file[shard], &r->fd[slot]));
    r->shard[slot] = shard;
    *fd = r->fd[slot];
    return WEFT_OK;
}

weft_status weft__reader_shard(weft__reader *r, int shard)
{
    int fd;
    return shard_fd(r, shard, &fd);
}

static weft_status structure_of(const weft__reader *r, const weft__file *f, int fd)
{
    XXH3_state_t *h = XXH3_createState();
    weft_status s = WEFT_OK;
    if (!h)
        return weft__fail(WEFT_ENOMEM, "no memory for a digest");
    XXH3_64bits_reset(h);
    for (int64_t at = 0; at < f->image && !s; at += WEFT__BLOCK) {
        int64_t n = f->image - at < WEFT__BLOCK ? f->image - at : WEFT__BLOCK;
        s = weft__in_read(fd, r->where, f->name, r->block, n, at);
        if (!s)
            XXH3_64bits_update(h, r->block, (size_t)n);
    }
    if (!s && XXH3_64bits_digest(h) != f->digest)
        s = weft__fail(WEFT_EFORMAT, "%s/%s: its HDF5 structure is damaged", r->where, f->name);
    XXH3_freeState(h);
    return s;
}

weft_status weft__reader_structure(weft__reader *r, const weft__file *f)
{
    int fd;
    WEFT_TRY(open_file(r, f, &fd));
    weft_status s = structure_of(r, f, fd);
    close(fd);
    return s;
}

weft_status weft__reader_block(weft__reader *r, const weft__entry *e, const weft__piece *p,
                               int64_t i)
{
    const char *file = r->m.file[p->shard].name;
    int64_t skip = i * WEFT__BLOCK, n = weft__piece_bytes(e, p) - skip;
    int fd;
    WEFT_TRY(shard_fd(r, p->shard, &fd));
    n = n < WEFT__BLOCK ? n : WEFT__BLOCK;
    WEFT_TRY(weft__in_read(fd, r->where, file, r->block, n, p->offset + skip));
    if (XXH3_64bits(r->block, (size_t)n) == p->digest[i])
        return WEFT_OK;
    int64_t size = (int64_t)weft_dtype_size(e->dtype), first = p->first + skip / size;
    return weft__fail(WEFT_EFORMAT,
                      "%s/%s: \"%s\" is damaged in block %lld of its slab (elements %lld to %lld, "
                      "bytes %lld to %lld)",
                      r->where, file, e->name, (long long)i, (long long)first,
                      (long long)(first + n / size - 1), (long long)(p->offset + skip),
                      (long long)(p->offset + skip + n - 1));
}

bool weft__looks_good(const char *path)
{
    weft__reader r;
    weft_status s = weft__reader_open(&r, path);
    for (int i = 0; i < r.m.world && !s; i++)
        s = weft__reader_shard(&r, i);
    weft__reader_close(&r);
    return !s;
}
