/* Makes batches of a data set whose rows have numbers. */
#ifndef DATA_MAP_H
#define DATA_MAP_H
#include "data/ring.h"

typedef struct weft__map {
    const weft__plan *plan;
    weft__source *source;
    const weft__sampler *sampler;
    int64_t *order, order_epoch; /* of the epoch, -1: of none */
    weft_status order_code;
    char order_why[WEFT__TEXT / 2];
    char *staging; /* of rows before their cast, one part a worker */
    size_t staging_bytes;
} weft__map;

extern const weft__maker_ops weft__map_ops;
void weft__map_free(weft__map *m);
#endif
