/* Rows of a file, by pread on a descriptor of our own, or of memory. No mapping: a file that
 * shrinks under it would end the process with a signal. */
#include "data/place.h"

#include "device/cpu/cpu.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MOST (8 << 20) /* bytes in one pread */
#define BYTES 2        /* copied: an element operation */

int64_t weft__file_read(int fd, void *out, int64_t n, int64_t offset)
{
    int64_t done = 0;
    while (done < n) {
        size_t want = (size_t)(n - done < MOST ? n - done : MOST);
        ssize_t got = pread(fd, (char *)out + done, want, (off_t)(offset + done));
        if (got < 0 && errno != EINTR)
            return -1;
        if (got == 0)
            break;
        done += got > 0 ? got : 0;
    }
    return done;
}

weft_status weft__place_run(const weft__place *p, int64_t row, int64_t n, char *out, char *why,
                            size_t why_size)
{
    int64_t bytes = n * p->width, offset = p->offset + row * p->step;
    if (p->fd < 0) {
        memcpy(out, p->memory + offset, (size_t)bytes);
        return WEFT_OK;
    }
    int64_t got = weft__file_read(p->fd, out, bytes, offset);
    if (got < 0) {
        snprintf(why, why_size, "row %lld: pread of %lld bytes at %lld: %s", (long long)row,
                 (long long)bytes, (long long)offset, strerror(errno));
        return WEFT_EIO;
    }
    if (got < bytes) {
        snprintf(why, why_size,
                 "row %lld: the file became shorter, it ends %lld bytes before the "
                 "row's end",
                 (long long)(row + got / p->width), (long long)(p->width - got % p->width));
        return WEFT_EFORMAT;
    }
    return WEFT_OK;
}

typedef struct rows {
    const weft__place *of;
    const int64_t *row;
    char *out;
} rows;

static void copy(const void *args, int64_t lo, int64_t hi)
{
    const rows *r = args;
    const int64_t width = r->of->width;
    for (int64_t i = lo; i < hi; i++)
        memcpy(r->out + i * width, r->of->memory + r->of->offset + r->row[i] * r->of->step,
               (size_t)width);
}

weft_status weft__place_read(const weft__place *p, const int64_t *row, int64_t n, void *out,
                             char *why, size_t why_size)
{
    const int team = p->team ? weft__cpu_team(p->team, (double)(n * p->width) / BYTES) : 1;
    if (team > 1) {
        weft__cpu_pieces(copy, &(rows){p, row, out}, n, 1, team);
        return WEFT_OK;
    }
    for (int64_t i = 0, run; p->width > 0 && i < n; i += run) {
        for (run = 1; p->step == p->width && i + run < n && row[i + run] == row[i] + run;)
            run++;
        WEFT_TRY(weft__place_run(p, row[i], run, (char *)out + i * p->width, why, why_size));
    }
    return WEFT_OK;
}

weft_status weft__file_open(const char *path, int *fd, int64_t *size)
{
    struct stat st;
    /* Without O_NONBLOCK a pipe of that name would wait for its writer. */
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (*fd < 0)
        return weft__fail_errno(errno == ENOENT || errno == ENOTDIR ? WEFT_ENOENT : WEFT_EIO,
                                "%.300s", path);
    weft_status s = WEFT_OK;
    if (fstat(*fd, &st))
        s = weft__fail_errno(WEFT_EIO, "%.300s", path);
    else if (!S_ISREG(st.st_mode))
        s = weft__fail(WEFT_EFORMAT, "%.300s: not a regular file", path);
    if (s < 0) {
        close(*fd);
        *fd = -1;
        return s;
    }
    *size = st.st_size;
    return WEFT_OK;
}
