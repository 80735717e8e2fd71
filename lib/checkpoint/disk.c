/* Files written through descriptors, and directories. */
#include "checkpoint/disk.h"

#include "core/error.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK ((int64_t)8 << 20) /* the most bytes a pwrite is asked for */

static weft_status failed(const weft__out *o, const char *what)
{
    return weft__fail_errno(WEFT_EIO, "%s/%s: cannot %s", o->where, o->name, what);
}

/* Not posix_fallocate: where the file system has none, glibc would write zeros instead. */
static int reserve(int fd, int64_t size)
{
    int e;
    if (size == 0)
        return 0;
    do
        e = fallocate(fd, 0, 0, size) ? errno : 0;
    while (e == EINTR);
    if (e == EOPNOTSUPP || e == ENOSYS)
        e = ftruncate(fd, size) ? errno : 0;
    errno = e;
    return e;
}

weft_status weft__out_create(weft__out *o, int dir, const char *where, const char *name,
                             int64_t size)
{
    *o = (weft__out){.dir = dir, .fd = -1, .where = where, .name = name};
    o->fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (o->fd < 0)
        return failed(o, "create it");
    if (reserve(o->fd, size))
        return weft__out_close(o, weft__fail_errno(WEFT_EIO, "%s/%s: no room for its %lld bytes",
                                                   where, name, (long long)size));
    return WEFT_OK;
}

weft_status weft__out_write(weft__out *o, const void *p, int64_t bytes, int64_t at)
{
    const char *from = p;
    while (bytes > 0) {
        ssize_t n = pwrite(o->fd, from, (size_t)(bytes < CHUNK ? bytes : CHUNK), at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n == 0)
            errno = ENOSPC;
        if (n <= 0)
            return failed(o, "write");
        from += n;
        at += n;
        bytes -= n;
    }
    return WEFT_OK;
}

weft_status weft__out_close(weft__out *o, weft_status s)
{
    char why[WEFT__TEXT];
    if (o->fd < 0)
        return s;
    if (s >= 0 && fsync(o->fd))
        s = failed(o, "sync it");
    snprintf(why, sizeof why, "%s", weft__why());
    /* A partial reservation keeps its blocks until the file is gone. */
    if (s < 0 && ftruncate(o->fd, 0))
        errno = 0;
    if (close(o->fd) && s >= 0) {
        s = failed(o, "close it");
        snprintf(why, sizeof why, "%s", weft__why());
    }
    o->fd = -1;
    if (s < 0) {
        unlinkat(o->dir, o->name, 0);
        weft__fail(s, "%s", why);
    }
    return s;
}

weft_status weft__write_file(int dir, const char *where, const char *name, const void *p,
                             int64_t bytes)
{
    weft__out o;
    weft_status s = weft__out_create(&o, dir, where, name, bytes);
    return s ? s : weft__out_close(&o, weft__out_write(&o, p, bytes, 0));
}

weft_status weft__sync_directory(int dir, const char *where)
{
    return fsync(dir) ? weft__fail_errno(WEFT_EIO, "%s: cannot sync the directory", where)
                      : WEFT_OK;
}

static weft_status sync_parent(const char *path)
{
    char parent[PATH_MAX];
    snprintf(parent, sizeof parent, "%s", path);
    char *slash = strrchr(parent, '/');
    if (slash)
        slash[slash == parent] = '\0';
    int fd = open(slash ? parent : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return weft__fail_errno(WEFT_EIO, "%s: cannot open the directory", slash ? parent : ".");
    weft_status s = weft__sync_directory(fd, slash ? parent : ".");
    close(fd);
    return s;
}

static bool is_directory(const char *path)
{
    struct stat st;
    int e = errno;
    bool is = stat(path, &st) == 0 && S_ISDIR(st.st_mode);
    errno = e;
    return is;
}

weft_status weft__make_directories(const char *path)
{
    char part[PATH_MAX];
    size_t n = strlen(path);
    if (n == 0 || n >= sizeof part)
        return weft__fail(WEFT_EARG, "the checkpoint directory's name has %zu bytes", n);
    for (size_t i = 1; i <= n; i++) {
        if ((path[i] != '/' && path[i] != '\0') || path[i - 1] == '/')
            continue;
        snprintf(part, sizeof part, "%.*s", (int)i, path);
        if (mkdir(part, 0777) == 0)
            WEFT_TRY(sync_parent(part));
        else if (!is_directory(part)) /* a read-only parent may say EROFS instead of EEXIST */
            return weft__fail_errno(WEFT_EIO, "%s: cannot make the directory", part);
    }
    return WEFT_OK;
}
