/* What the facade needs of loaders. */
#ifndef DATA_LOADER_H
#define DATA_LOADER_H
#include "core/context.h"

#include <weft/sys/dataset.h>
#include <weft/sys/state.h>

/* Fills *b with this rank's part of the next global batch as step tensors that carry their rows
 * (weft__set_rows). False at the end of the last epoch, or after an error has stuck. No edge. */
bool weft__loader_next(weft_loader *l, weft_batch *b);
/* The same where ranks may end at different times: a rank that has ended, and others have not, gets
 * tensors of 0 rows. True on all ranks or on none. Collective. */
bool weft__loader_join(weft_loader *l, weft_batch *b);
/* True for a stream, whose ranks end at different times. */
bool weft__loader_joins(const weft_loader *l);
/* Lets the next batch go by unread, also after an error has stuck. */
void weft__loader_pass(weft_loader *l);
/* True once all batches of the run have been handed out. */
bool weft__loader_at_end(const weft_loader *l);
/* The epoch of the batch that was handed out last. */
int64_t weft__loader_epoch(const weft_loader *l);
/* True once weft_setup_loader has been called; and the call itself (WEFT_ESTATE the second
 * time). */
bool weft__loader_is_setup(const weft_loader *l);
weft_status weft__loader_setup(weft_loader *l);
bool weft__loader_is_evaluation(const weft_loader *l);
/* seed, epoch and cursor, or where each shard of a stream stands; a loading visit repositions the
 * loader, which starts no worker before the first weft__loader_next. */
weft_status weft__loader_state(void *loader, weft_visitor *v);
/* State says from here on that the last n batches are to be handed out again; not of a stream, which
 * cannot go back and says so. */
void weft__loader_redo(weft_loader *l, int64_t batches);
/* What must be the same on all ranks, as a line of text. */
void weft__loader_text(const weft_loader *l, char *text, size_t size);
/* Bytes of the batches that it holds or has made ahead. */
int64_t weft__loader_bytes(const weft_loader *l);
int64_t weft__loader_global_batch(const weft_loader *l);
weft_fabric *weft__loader_fabric(const weft_loader *l);
#endif
