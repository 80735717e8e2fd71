/* Files read through descriptors. */
#include "checkpoint/disk.h"

#include "core/error.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK ((int64_t)8 << 20) /* the most bytes a pread is asked for */

weft_status weft__in_open(int dir, const char *where, const char *name, int *fd, int64_t *size)
{
    struct stat st;
    /* O_NONBLOCK: opening a pipe must not wait for its other end. */
    *fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (*fd < 0 && errno == ENOENT)
        return weft__fail(WEFT_EFORMAT, "%s/%s is missing", where, name);
    if (*fd < 0)
        return weft__fail_errno(WEFT_EIO, "%s/%s: cannot open it", where, name);
    if (fstat(*fd, &st) == 0 && S_ISREG(st.st_mode)) {
        *size = st.st_size;
        return WEFT_OK;
    }
    close(*fd);
    *fd = -1;
    return weft__fail(WEFT_EFORMAT, "%s/%s is no plain file", where, name);
}

weft_status weft__in_read(int fd, const char *where, const char *name, void *p, int64_t bytes,
                          int64_t at)
{
    char *to = p;
    while (bytes > 0) {
        ssize_t n = pread(fd, to, (size_t)(bytes < CHUNK ? bytes : CHUNK), at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return weft__fail_errno(WEFT_EIO, "%s/%s: cannot read at byte %lld", where, name,
                                    (long long)at);
        if (n == 0)
            return weft__fail(WEFT_EFORMAT, "%s/%s ends at byte %lld, it is longer by its MANIFEST",
                              where, name, (long long)at);
        to += n;
        at += n;
        bytes -= n;
    }
    return WEFT_OK;
}
