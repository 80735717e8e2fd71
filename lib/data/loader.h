/* What the facade needs of loaders. */
#ifndef DATA_LOADER_H
#define DATA_LOADER_H
#include "core/context.h"

#include <weft/sys/dataset.h>
#include <weft/sys/state.h>

/* Fills *b with this rank's part of the next global batch as step tensors that carry their rows
 * (weft__set_rows). False at the end of the last epoch, or after an error has stuck. No edge. */
bool weft__loader_next(weft_loader *l, weft_batch *b);
/* Lets the next batch go by unread, also after an error has stuck. */
void weft__loader_pass(weft_loader *l);
/* True once weft_setup_loader has been called; and the call itself (WEFT_ESTATE the second time). */
bool weft__loader_is_setup(const weft_loader *l);
weft_status weft__loader_setup(weft_loader *l);
bool weft__loader_is_evaluation(const weft_loader *l);
/* seed, epoch and cursor; a loading visit repositions the loader, which starts no worker before the
 * first weft__loader_next. */
weft_status weft__loader_state(void *loader, weft_visitor *v);
/* State says from here on that the last n batches are to be handed out again. */
void weft__loader_redo(weft_loader *l, int64_t batches);
int64_t weft__loader_global_batch(const weft_loader *l);
weft_fabric *weft__loader_fabric(const weft_loader *l);
#endif
