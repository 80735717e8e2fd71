/* What bench/kernels times: kernels that are not matrix products, on planes of numbers like activations. */
#ifndef BENCH_ROWS_H
#define BENCH_ROWS_H
#include "device/device.h"

#define PLANES 6
enum { HEADS = 12, HEAD = 64 }; /* of attention */

typedef struct bench {
    weft_device *device;
    weft_stream *stream;
    int64_t rows, c, batch, length;
    weft_dtype dt;
    weft_dev at[PLANES], spare, moments; /* numbers in [-1, 1) and [0, 1) beside the planes, f32 */
    weft_dev labels, index, stats, out;  /* zeros; columns; room */
} bench;

typedef weft_status work(const bench *b, const weft_kernels *k);

typedef struct row {
    const char *name;
    work *call;
    int numbers, bytes; /* read and written of an element: of the type, and beside them */
    bool wide;          /* as a classifier's, too */
    enum { BOTH, FULL, LOW } types; /* f32 alone, 16 bits alone: there is no other */
    double passes;                  /* of attention */
    enum {
        SIGNED,
        POSITIVE,
        EXACT,
        MOMENTS
    } inputs;     /* of planes: EXACT: the first is f32, MOMENTS: all but the second */
    work *before; /* leaves what it reads, or NULL */
} row;

extern const row bench_rows[];
extern const int bench_row_count;
#endif
