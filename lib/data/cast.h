/* Elements from a data set's type to the loader's. */
#ifndef DATA_CAST_H
#define DATA_CAST_H
#include <weft/sys/dataset.h>

typedef struct weft__cast {
    weft_dtype from, to;
    double scale, shift;
    bool plain; /* from is to: bytes are copied, no cast is needed */
} weft__cast;

/* The cast of a field: floats, and all that is scaled, go to `real` (f32 or f64); other integers
 * stay. scale 0: none. WEFT_EDTYPE if the field's type is none a loader takes. */
weft_status weft__cast_make(weft__cast *c, weft_dtype from, weft_dtype real, double scale,
                            double shift);
/* n elements; in and out do not overlap. */
void weft__cast_run(const weft__cast *c, void *out, const void *in, int64_t n);
#endif
