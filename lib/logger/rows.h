/* A file of rows, one a line, that outlives the process at any moment. A row is one write at the end
 * of the file. Everything else that changes the file writes a new one beside it and renames, so
 * that there always is a file with whole rows under the name. */
#ifndef LOGGER_ROWS_H
#define LOGGER_ROWS_H
#include "logger/logger.h"

#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

typedef struct weft__rows_file {
    const char *who;       /* "csv" */
    char *path, *other;    /* other: room for path and a suffix */
    int fd;                /* -1: the file has to be written anew before the next row */
    bool begun, continues; /* the file has been looked at; its rows stay */
    int64_t keep;          /* the last step whose rows stay */
    off_t bytes;           /* of whole rows in the file */
} weft__rows_file;

/* A logger whose self, of so many bytes, has the file r in it. Touches nothing on disk. NULL after a
 * failure, which was noted. */
weft_logger *weft__rows_logger(weft_fabric *f, const char *path, const weft_logger_ops *ops,
                               void *self, size_t bytes, weft__rows_file *r);
/* Looks at what is there before the first row: makes the directories above it; after a resume asks
 * `ours` about the file, which reads it from its beginning; moves aside what does not go on. */
weft_status weft__rows_begin(weft__rows_file *r,
                             weft_status (*ours)(void *self, FILE *in, bool *yes), void *self);
/* Writes the file anew and opens it for rows. `copy` writes what goes in front of them, and those of
 * `in` (NULL: there is no file yet), which it reads to its end, up to step r->keep. */
weft_status weft__rows_rewrite(weft__rows_file *r,
                               void (*copy)(const void *self, FILE *in, FILE *out),
                               const void *self);
/* Adds a row of n bytes, or nothing. The file is open. */
weft_status weft__rows_append(weft__rows_file *r, const char *text, size_t n);
/* The next row needs the file written anew. */
void weft__rows_shut(weft__rows_file *r);
/* Rows up to that step stay. Touches nothing yet: only a new row makes those beyond it wrong. */
void weft__rows_resume(weft__rows_file *r, int64_t step);
/* No more rows come. */
void weft__rows_finish(weft__rows_file *r);
void weft__rows_free(weft__rows_file *r);

#define WEFT__NUMBER 32 /* bytes that a number and what follows it fit in */
/* A finite number or an infinite one in so many digits, with a point in any locale. @return bytes. */
size_t weft__rows_number(char *out, double v, int digits);
#endif
