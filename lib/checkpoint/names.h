/* The names of everything on disk: step-000123, step-000123.tmp-<id>, shard-<id>-00000.h5. */
#ifndef CHECKPOINT_NAMES_H
#define CHECKPOINT_NAMES_H
#include <stdbool.h>
#include <weft/status.h>

#define WEFT__NAME 96 /* room for any of our names */
#define WEFT__ID 17   /* 16 hex digits, drawn anew for each save */
#define WEFT__INDEX "checkpoint.h5"
#define WEFT__MANIFEST "MANIFEST"
#define WEFT__LATEST "latest"

/* A random id: a shard that is missing must never be taken for a namesake of another save. */
weft_status weft__save_id(char id[WEFT__ID]);
/* True for 16 lower-case hex digits and nothing else. */
bool weft__is_id(const char *id);

void weft__step_name(char name[WEFT__NAME], int64_t step);
/* The step of a name that weft__step_name made, else -1. */
int64_t weft__step_of(const char *name);
void weft__shard_name(char name[WEFT__NAME], const char *id, int rank);
/* base.kind-id, for what is not committed ("tmp") or was moved aside ("bad"). */
void weft__aside_name(char name[WEFT__NAME], const char *base, const char *kind, const char *id);
/* True for the names of unfinished saves, removals and `latest` links. */
bool weft__is_temporary(const char *name);
/* True for a name that a checkpoint directory of ours may hold. */
bool weft__is_content(const char *name);
#endif
