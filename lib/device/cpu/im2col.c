/* Windows over planes as the columns of a matrix, and the sum of such columns back into planes. */
#ifdef T

/* Row r of place (i, j): windows `in` are in the plane's row, the others are 0. */
CPU_INLINE void N(lay_row)(T *y, const T *x, int64_t wide, int64_t step, int64_t off, range in)
{
    for (int64_t q = 0; q < in.first; q++)
        y[q] = 0;
    if (step == 1)
#pragma omp simd
        for (int64_t q = in.first; q < in.end; q++)
            y[q] = x[q + off];
    else
        for (int64_t q = in.first; q < in.end; q++)
            y[q] = x[q * step + off];
    for (int64_t q = in.end; q < wide; q++)
        y[q] = 0;
}

/* All rows at once, of windows as wide as the plane with steps of 1: y is x moved by `by` elements, but for what
 * comes from other rows so. */
CPU_INLINE void N(lay_moved)(T *y, const T *x, int64_t wide, int64_t by, range rows, range in)
{
    const int64_t first = rows.first * wide + in.first, end = (rows.end - 1) * wide + in.end;
    memcpy(y + first, x + first + by, (size_t)(end - first) * sizeof *y);
    for (int64_t q = 0; q < wide; q++)
        for (int64_t r = rows.first; (q < in.first || q >= in.end) && r < rows.end; r++)
            y[r * wide + q] = 0;
}

/* Rows of the matrix: place t of its plane in all windows. */
static void N(im2col)(const void *args, int64_t lo, int64_t hi)
{
    const struct windows *a = args;
    const weft_window *o = &a->o;
    const int64_t places = o->kernel[0] * o->kernel[1], wide = o->out[1], all = o->out[0] * wide;
    for (int64_t t = lo; t < hi; t++) {
        const int64_t i = t % places / o->kernel[1], j = t % o->kernel[1];
        const int64_t down = i * o->dilation[0] - o->padding[0];
        const int64_t off = j * o->dilation[1] - o->padding[1];
        const range rows = cpu_inside(down, o->stride[0], o->in[0], o->out[0]);
        const range in = cpu_inside(off, o->stride[1], o->in[1], wide);
        const T *x = (const T *)a->x + t / places * o->in[0] * o->in[1];
        T *y = (T *)a->y + t * all;
        for (int64_t q = 0; q < rows.first * wide; q++)
            y[q] = 0;
        if (wide == o->in[1] && o->stride[0] == 1 && o->stride[1] == 1 && in.first < in.end &&
            rows.first < rows.end)
            CPU_CALL(lay_moved, y, x, wide, down * wide + off, rows, in);
        else
            for (int64_t r = rows.first; r < rows.end; r++)
                CPU_CALL(lay_row, y + r * wide, x + (r * o->stride[0] + down) * o->in[1], wide,
                         o->stride[1], off, in);
        for (int64_t q = rows.end * wide; q < all; q++)
            y[q] = 0;
    }
}

/* Adds what lies in columns `first` to `first` + n of row r of a plane. */
CPU_INLINE void N(gather_row)(C *sum, const C *x, const weft_window *o, int64_t r, int64_t column,
                              int64_t n)
{
    for (int64_t i = 0; i < o->kernel[0]; i++) {
        const int64_t down = r + o->padding[0] - i * o->dilation[0], step = o->stride[1];
        if (down < 0 || down % o->stride[0] || down / o->stride[0] >= o->out[0])
            continue;
        for (int64_t j = 0; j < o->kernel[1]; j++) {
            const C *from =
                x + ((i * o->kernel[1] + j) * o->out[0] + down / o->stride[0]) * o->out[1];
            const int64_t off = j * o->dilation[1] - o->padding[1] - column;
            const range in = cpu_inside(off, step, n, o->out[1]);
            if (step == 1)
#pragma omp simd
                for (int64_t q = in.first; q < in.end; q++)
                    sum[q + off] += from[q];
            else
                for (int64_t q = in.first; q < in.end; q++)
                    sum[q * step + off] += from[q];
        }
    }
}

/* Rows of all planes. */
static void N(col2im)(const void *args, int64_t lo, int64_t hi)
{
    const struct windows *a = args;
    const weft_window *o = &a->o;
    const int64_t size = o->kernel[0] * o->kernel[1] * o->out[0] * o->out[1];
    for (int64_t t = lo; t < hi; t++) {
        const C *x = (const C *)a->x + t / o->in[0] * size;
        T *y = (T *)a->y + t * o->in[1];
        for (int64_t c = 0; c < o->in[1]; c += TILE) {
            const int64_t n = o->in[1] - c < TILE ? o->in[1] - c : TILE;
            C sum[TILE] = {0};
            CPU_CALL(gather_row, sum, x, o, t % o->in[0], c, n);
            for (int64_t q = 0; q < n; q++)
                y[c + q] = STORE(sum[q]);
        }
    }
}

#else

#include "device/cpu/cpu.h"
#include "device/cpu/range.h"

#include <string.h>

#define TILE 256

struct windows {
    void *y;
    const void *x;
    weft_window o;
};

#define CPU_LOW
#define CPU_FAMILY "device/cpu/im2col.c"
#include "device/cpu/typed.h"

weft_status weft__cpu_im2col(weft_stream *s, weft_dev y, weft_dev x, int64_t n,
                             const weft_window *o, weft_dtype dt)
{
    const struct windows a = {.y = cpu_ptr(y), .x = cpu_ptr(x), .o = *o};
    return weft__cpu_each_row(s, CPU_FLOATS(im2col), dt, &a, n * o->kernel[0] * o->kernel[1],
                              o->out[0] * o->out[1]);
}

weft_status weft__cpu_col2im(weft_stream *s, weft_dev y, weft_dev x, int64_t n,
                             const weft_window *o, weft_dtype dt)
{
    const struct windows a = {.y = cpu_ptr(y), .x = cpu_ptr(x), .o = *o};
    return weft__cpu_each_row(s, CPU_FLOATS(col2im), dt, &a, n * o->in[0],
                              o->in[1] * o->kernel[0] * o->kernel[1]);
}
#endif
