/* Windows over planes as the columns of a matrix, and the sum of such columns back into planes. */
#ifdef T

/* A row of the matrix: place t of its plane in all windows. */
CPU_WIDE static void N(im2col)(const void *args, int64_t lo, int64_t hi)
{
    const struct windows *a = args;
    const weft_window *o = &a->o;
    const int64_t places = o->kernel[0] * o->kernel[1], wide = o->out[1];
    for (int64_t t = lo; t < hi; t++) {
        const int64_t i = t % places / o->kernel[1], j = t % o->kernel[1];
        const T *x = (const T *)a->x + t / places * o->in[0] * o->in[1];
        T *y = (T *)a->y + t * o->out[0] * wide;
        const int64_t off = j * o->dilation[1] - o->padding[1], step = o->stride[1];
        int64_t first, last;
        inside(off, step, o->in[1], wide, &first, &last);
        for (int64_t r = 0; r < o->out[0]; r++, y += wide) {
            const int64_t row = r * o->stride[0] - o->padding[0] + i * o->dilation[0];
            const bool none = row < 0 || row >= o->in[0];
            const int64_t from = none ? wide : first, to = none ? wide : last;
            const T *at = none ? x : x + row * o->in[1];
            for (int64_t q = 0; q < from; q++)
                y[q] = 0;
            if (step == 1)
                for (int64_t q = from; q < to; q++)
                    y[q] = at[q + off];
            else
                for (int64_t q = from; q < to; q++)
                    y[q] = at[q * step + off];
            for (int64_t q = to; q < wide; q++)
                y[q] = 0;
        }
    }
}

/* Adds what lies in columns `first` to `first` + n of row r of a plane. */
static void N(gather_row)(C *sum, const C *x, const weft_window *o, int64_t r, int64_t column,
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
            int64_t first, last;
            inside(off, step, n, o->out[1], &first, &last);
            if (step == 1)
                for (int64_t q = first; q < last; q++)
                    sum[q + off] += from[q];
            else
                for (int64_t q = first; q < last; q++)
                    sum[q * step + off] += from[q];
        }
    }
}

/* Rows of all planes. */
CPU_WIDE static void N(col2im)(const void *args, int64_t lo, int64_t hi)
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

#define TILE 256

struct windows {
    void *y;
    const void *x;
    weft_window o;
};

/* The windows 0..n-1 whose place q step + off is in 0..extent-1: *first to before *last. */
static inline void inside(int64_t off, int64_t step, int64_t extent, int64_t n, int64_t *first,
                          int64_t *last)
{
    const int64_t end = off < extent ? (extent - 1 - off) / step + 1 : 0;
    *last = end < n ? end : n;
    *first = off < 0 ? (step - 1 - off) / step : 0;
    *first = *first < *last ? *first : *last;
}

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
