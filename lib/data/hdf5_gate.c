/* The gate before libhdf5: what is no HDF5 file, or not all of one, never reaches it. */
#include "data/hdf5.h"

#include <string.h>
#include <unistd.h>

/* The signature stands at 0, 512, 1024, 2048, ...: what is before it is the user's. -1: nowhere. */
static int64_t find_signature(int fd, int64_t size)
{
    char at[8];
    for (int64_t o = 0; o <= size - 8; o = o ? 2 * o : 512)
        if (weft__file_read(fd, at, 8, o) == 8 && memcmp(at, "\211HDF\r\n\032\n", 8) == 0)
            return o;
    return -1;
}

/* The length that the superblock was written with, in bytes of the file; 0 if it does not say. */
static int64_t stated_length(int fd, int64_t superblock)
{
    unsigned char b[64] = {0};
    int64_t length = 0;
    if (weft__file_read(fd, b, sizeof b, superblock) < 48)
        return 0;
    int version = b[8], address = version < 2 ? b[13] : b[9];
    int at = version == 0 ? 40 : version == 1 ? 44 : 28;
    if (version > 3 || address != 8)
        return 0;
    for (int i = 7; i >= 0; i--)
        length = length << 8 | b[at + i];
    return length;
}

static weft_status check(const char *path, int fd, int64_t size)
{
    int64_t superblock = find_signature(fd, size);
    if (superblock < 0)
        return weft__fail(WEFT_EFORMAT, "%.300s: not an HDF5 file (no signature in its %lld bytes)",
                          path, (long long)size);
    int64_t length = stated_length(fd, superblock);
    if (length > size)
        return weft__fail(
            WEFT_EFORMAT,
            "%.300s: truncated, %lld bytes of %lld are missing; copy or write it again", path,
            (long long)(length - size), (long long)length);
    return WEFT_OK;
}

weft_status weft__hdf5_gate(const char *path, int *fd, int64_t *size)
{
    WEFT_TRY(weft__file_open(path, fd, size));
    return check(path, *fd, *size);
}
