/* Files and directories through descriptors: every call's result counts. */
#ifndef CHECKPOINT_DISK_H
#define CHECKPOINT_DISK_H
#include <stdbool.h>
#include <weft/status.h>

/* A new file being written. */
typedef struct weft__out {
    int dir, fd;
    const char *where, *name; /* of the directory and in it; borrowed */
} weft__out;

/* Creates the file, which must not exist, with `size` bytes set aside for it. A full disk shows
 * here on most file systems, but every later result is looked at all the same. */
weft_status weft__out_create(weft__out *o, int dir, const char *where, const char *name,
                             int64_t size);
weft_status weft__out_write(weft__out *o, const void *p, int64_t bytes, int64_t at);
/* Syncs and closes; or, if s is a failure, closes and removes the file. @return s, or what failed */
weft_status weft__out_close(weft__out *o, weft_status s);
/* All of it at once. */
weft_status weft__write_file(int dir, const char *where, const char *name, const void *p,
                             int64_t bytes);

/* Opens a file for reading: a plain file, no link. *size is its length. WEFT_EFORMAT if it is
 * missing or no plain file. */
weft_status weft__in_open(int dir, const char *where, const char *name, int *fd, int64_t *size);
/* Exactly `bytes` bytes; WEFT_EFORMAT if the file ends before. */
weft_status weft__in_read(int fd, const char *where, const char *name, void *p, int64_t bytes,
                          int64_t at);

weft_status weft__sync_directory(int dir, const char *where);
/* mkdir -p, and everything made is on disk. */
weft_status weft__make_directories(const char *path);
#endif
