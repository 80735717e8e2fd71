/* What a loader is made of. */
#ifndef DATA_OBJECT_H
#define DATA_OBJECT_H
#include "core/context.h"
#include "data/loader.h"
#include "data/map.h"
#include "data/stream.h"

struct weft_loader {
    weft__object object;
    weft__plan plan;
    weft__source source;
    weft__ring ring;
    weft__sampler sampler;
    weft__map map;       /* makes the batches of a data set, */
    weft__stream stream; /* of a stream */
    bool setup, made;
    int64_t redo; /* the last batches, which no step has used */
};

/* *b from a batch that was made: step tensors that carry their rows. False after an error stuck. */
bool weft__loader_hand_out(weft_loader *l, const weft__slot *s, const weft__part_of *part,
                           weft_batch *b);
/* The next batch of a stream for this rank alone. */
bool weft__stream_next(weft_loader *l, weft_batch *b);
/* Back to the first batch of a stream. */
void weft__stream_rewind(weft_loader *l);
#endif
