/* The steps of loading; see load.c for their order. */
#ifndef CHECKPOINT_LOAD_H
#define CHECKPOINT_LOAD_H
#include "checkpoint/reader.h"

/* Visits the program's items and compares them with the MANIFEST. mark[b] becomes 1 for every
 * block that this rank will read. WEFT_ECONFIG lists what does not fit. Not collective. */
weft_status weft__fit(const weft__checkpoint *c, weft__reader *r, unsigned char *mark);
/* Verifies the marked blocks and this rank's share of all others, of sizes and of structure. Not
 * collective. */
weft_status weft__verify(const weft__checkpoint *c, weft__reader *r, const unsigned char *mark);
/* Visits the program's items and overwrites them. Not collective. */
weft_status weft__apply(const weft__checkpoint *c, weft__reader *r);
/* Overwrites an item that is no tensor and that fits e. */
void weft__fill(const weft__checkpoint *c, const weft__entry *e, const weft_state_item *item);

/* Verifies path, which is to hold step `expect` (-1: any), with all ranks; if apply, also that it
 * fits the program, and loads it. bad: the failure is the checkpoint's. Collective. */
weft_status weft__attempt(weft__checkpoint *c, const char *path, int64_t expect, bool apply,
                          int64_t *step, bool *bad);
/* Whether a tensor of one type loads into another: floating point does, rounded once. */
bool weft__converts(weft_dtype from, weft_dtype to);
/* n elements of `from`, anywhere in memory, as `to`; y has room for as many f64. */
void weft__convert(void *y, weft_dtype to, const void *x, weft_dtype from, int64_t n);
#endif
