/* The checkpoints that a path of the command line means. */
#ifndef TOOLS_CHECKPOINTS_H
#define TOOLS_CHECKPOINTS_H
#include "checkpoint/reader.h"

typedef struct checkpoints {
    char (*path)[PATH_MAX];
    int64_t *step; /* by their names, newest first; -1: path is a checkpoint itself */
    size_t n;
} checkpoints;

/* path is a checkpoint, or a directory of step-N. WEFT_ENOENT if it holds none. */
weft_status checkpoints_find(checkpoints *c, const char *path);
void checkpoints_free(checkpoints *c);
/* Opens a reader on one, and compares its step with its name. Close it in any case. */
weft_status checkpoints_open(weft__reader *r, const checkpoints *c, size_t i);
/* Bytes of all files. */
int64_t checkpoints_bytes(const weft__manifest *m);
#endif
