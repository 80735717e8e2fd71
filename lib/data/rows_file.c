/* Rows of a file, by pread on a descriptor of our own: no HDF5, so any thread may do it. Before
 * that, a small gate: what is no HDF5 file, or not all of one, never reaches libhdf5. */
#include "core/alloc.h"
#include "data/make.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MOST (8 << 20) /* bytes in one pread */

/* Reads all of n bytes, or up to the end of the file. @return bytes read, -1: errno says why. */
static int64_t read_at(int fd, void *out, int64_t n, int64_t offset)
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

static weft_status read_run(const weft__rows_file *r, int field, int64_t row, int64_t n, char *out,
                            char *why, size_t why_size)
{
    int64_t width = r->width[field], offset = r->offset[field] + row * width;
    int64_t got = read_at(r->fd, out, n * width, offset);
    if (got < 0) {
        snprintf(why, why_size, "row %lld: pread of %lld bytes at %lld: %s", (long long)row,
                 (long long)(n * width), (long long)offset, strerror(errno));
        return WEFT_EIO;
    }
    if (got < n * width) {
        snprintf(why, why_size,
                 "row %lld: the file became shorter, it ends %lld bytes before the "
                 "row's end",
                 (long long)(row + got / width), (long long)(width - got % width));
        return WEFT_EFORMAT;
    }
    return WEFT_OK;
}

static weft_status read_rows(void *self, int field, const int64_t *row, int64_t n, void *out,
                             char *why, size_t why_size)
{
    const weft__rows_file *r = self;
    int64_t width = r->width[field];
    for (int64_t i = 0, run; width > 0 && i < n; i += run) {
        for (run = 1; i + run < n && row[i + run] == row[i] + run;)
            run++;
        WEFT_TRY(read_run(r, field, row[i], run, (char *)out + i * width, why, why_size));
    }
    return WEFT_OK;
}

/* The signature stands at 0, 512, 1024, 2048, ...: what is before it is the user's. -1: nowhere. */
static int64_t find_signature(int fd, int64_t size)
{
    char at[8];
    for (int64_t o = 0; o <= size - 8; o = o ? 2 * o : 512)
        if (read_at(fd, at, 8, o) == 8 && memcmp(at, "\211HDF\r\n\032\n", 8) == 0)
            return o;
    return -1;
}

/* The length that the superblock was written with, in bytes of the file; 0 if it does not say. */
static int64_t stated_length(int fd, int64_t superblock)
{
    unsigned char b[64] = {0};
    int64_t length = 0;
    if (read_at(fd, b, sizeof b, superblock) < 48)
        return 0;
    int version = b[8], address = version < 2 ? b[13] : b[9];
    int at = version == 0 ? 40 : version == 1 ? 44 : 28;
    if (version > 3 || address != 8)
        return 0;
    for (int i = 7; i >= 0; i--)
        length = length << 8 | b[at + i];
    return length;
}

static weft_status check(const char *path, int fd, int64_t *size)
{
    struct stat st;
    if (fstat(fd, &st))
        return weft__fail_errno(WEFT_EIO, "%.300s", path);
    if (!S_ISREG(st.st_mode))
        return weft__fail(WEFT_EFORMAT, "%.300s: not a regular file", path);
    int64_t superblock = find_signature(fd, st.st_size);
    if (superblock < 0)
        return weft__fail(WEFT_EFORMAT, "%.300s: not an HDF5 file (no signature in its %lld bytes)",
                          path, (long long)st.st_size);
    int64_t length = stated_length(fd, superblock);
    if (length > st.st_size)
        return weft__fail(
            WEFT_EFORMAT,
            "%.300s: truncated, %lld bytes of %lld are missing; copy or write it again", path,
            (long long)(length - st.st_size), (long long)length);
    *size = st.st_size;
    return WEFT_OK;
}

weft_status weft__rows_file_open(weft__rows_file *r, const char *path, int64_t *size)
{
    /* Without O_NONBLOCK a pipe of that name would wait for its writer. */
    r->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (r->fd < 0)
        return weft__fail_errno(errno == ENOENT || errno == ENOTDIR ? WEFT_ENOENT : WEFT_EIO,
                                "%.300s", path);
    r->path = weft__strdup(path);
    return r->path ? check(path, r->fd, size) : WEFT_ENOMEM;
}

void weft__rows_file_free(void *rows_file)
{
    weft__rows_file *r = rows_file;
    if (r->fd >= 0)
        close(r->fd);
    weft__free(r->path);
    weft__free(r);
}

const weft_dataset_ops weft__rows_file_ops = {
    .size = sizeof weft__rows_file_ops,
    .name = "hdf5",
    .read = read_rows,
    .destroy = weft__rows_file_free,
};
