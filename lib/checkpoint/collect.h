/* From the program's state to a manifest, and from the ranks' parts to rank 0's whole. */
#ifndef CHECKPOINT_COLLECT_H
#define CHECKPOINT_COLLECT_H
#include "checkpoint/checkpoint.h"
#include "checkpoint/manifest.h"

/* Lists the state's items and cuts what this rank writes. Not collective. */
weft_status weft__collect(const weft__checkpoint *c, weft__manifest *m);
/* Verifies that all ranks collected the same items. Collective. */
weft_status weft__collect_agree(const weft__checkpoint *c, const weft__manifest *m);
/* Gathers all ranks' files, pieces and own values into rank 0's manifest. Collective. */
weft_status weft__gather(const weft__checkpoint *c, weft__manifest *m);

/* weft__agree, with rank and host added to the message of more than one rank. */
weft_status weft__verdict(const weft__checkpoint *c, const char *name, weft_status mine);
#endif
