/* Rows of one field, at one place: in a file, read with pread, or in memory. Any thread may. */
#ifndef DATA_PLACE_H
#define DATA_PLACE_H
#include "device/device.h"

typedef struct weft__place {
    int fd;                  /* borrowed; -1: in */
    const char *memory;      /* borrowed */
    int64_t offset;          /* bytes to row 0 */
    int64_t step;            /* bytes from one row to the next */
    int64_t width;           /* bytes of a row */
    const weft_device *team; /* whose threads copy memory, or NULL */
} weft__place;

/* Copies the rows row[0..n) to out. On failure fills why. */
weft_status weft__place_read(const weft__place *p, const int64_t *row, int64_t n, void *out,
                             char *why, size_t why_size);
/* The same for rows row ... row + n - 1, which lie one behind the other (step is width). */
weft_status weft__place_run(const weft__place *p, int64_t row, int64_t n, char *out, char *why,
                            size_t why_size);

/* Opens a regular file for reading. WEFT_ENOENT, WEFT_EIO, WEFT_EFORMAT; *fd is -1 then. */
weft_status weft__file_open(const char *path, int *fd, int64_t *size);
/* Reads all of n bytes, or up to the end of the file. @return bytes read, -1: errno says why. */
int64_t weft__file_read(int fd, void *out, int64_t n, int64_t offset);
#endif
