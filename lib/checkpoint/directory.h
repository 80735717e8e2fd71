/* The directory that holds the checkpoints of a run. Nothing in it is touched that is not ours. */
#ifndef CHECKPOINT_DIRECTORY_H
#define CHECKPOINT_DIRECTORY_H
#include "checkpoint/names.h"

/* The steps of all step-N directories under path, newest first, to be freed with weft__free. None
 * if path does not exist. */
weft_status weft__scan(const char *path, int64_t **steps, size_t *n);
/* Removes a directory of ours and what we put into it. @return false if something is left. */
bool weft__remove(int parent, const char *name);
/* After a commit: points `latest` to step, removes what crashed runs left, and all but the newest
 * `keep` checkpoints up to step (WEFT_OFF: none). Its failures are warnings. */
void weft__tidy(int parent, const char *path, int64_t step, const char *id, int keep);
#endif
