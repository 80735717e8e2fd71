/* The table between Weft's names of tensors and those of a file. A line has Weft's name, the file's,
 * and perhaps the word "transpose", for matrices that lie the other way round there. In a name, * is
 * one or more bytes without a dot, ** one or more of any; both names have the same stars in the same
 * order. "-" in place of a name: the tensor is left out. The first line that fits counts. What follows
 * a # is a comment. */
#ifndef TOOLS_NAMES_H
#define TOOLS_NAMES_H
#include <weft/status.h>

#define NAMES_MAX 512 /* bytes of a name, with its end */

typedef enum names_side { NAMES_WEFT, NAMES_FILE } names_side;

typedef struct names_line {
    char *word[2]; /* by names_side; NULL for "-" */
    bool transpose;
} names_line;

typedef struct names {
    const char *path; /* NULL: there is no table, names stay as they are */
    char *text;
    names_line *line;
    size_t n;
} names;

/* path may be NULL, and is borrowed. WEFT_ENOENT, WEFT_EIO, WEFT_EFORMAT with the line. Whatever it
 * returns, names_free is to follow. */
weft_status names_load(names *t, const char *path);
void names_free(names *t);
/* A name of side `from` as the other side has it; "" if it is left out. WEFT_ENOENT if no line fits. */
weft_status names_map(const names *t, names_side from, const char *name, char out[NAMES_MAX],
                      bool *transpose);
#endif
