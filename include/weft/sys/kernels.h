/* The kernels of a device, a typed list: K(name, arguments). Outputs come first. All run on the
 * stream, on memory of its device. Unless a kernel takes strides, its arrays are contiguous.
 * Strides are in elements and may be 0. dt is WEFT_F32 or WEFT_F64 unless said otherwise. An entry
 * may be NULL: the op that needs it then says which device lacks it.
 *
 *   fill     y[i] = value                                       any dtype
 *   copy     y = x, strided, cast from xt to yt                 any dtypes
 *   binary   y = a op b; y contiguous with `shape`. WEFT_MAXIMUM and WEFT_MINIMUM hand NaN on
 *   axpy     y += alpha x
 *   scale    y = alpha x
 *   relu     y = max(x, 0)               relu_back   gx = gy where y > 0, else 0
 *   unary    y = f(x; p[0], p[1])         unary_back  gx = gy f'(x); y = f(x)
 *   binary_back  gx = gy times the derivative of a op b by a (input 0) or b (input 1), in `shape`;
 *            gx and gy contiguous. Equal elements share the gradient of a maximum or minimum
 *   compare  y = a op b, 1 or 0, y u8, contiguous with `shape`; dt may be WEFT_I64 too
 *   where    y = a where c is not 0, b elsewhere; c u8, y contiguous with `shape`;
 *            dt may be WEFT_I64 too
 *   log_softmax  rows of c               log_softmax_back gx = gy - exp(y) sum(gy)
 *   extremum y = the largest (or smallest) along the middle of x (outer, n, inner), n > 0, and at (i64)
 *            = the first place of it; NaN counts as both; y or at may be 0; dt may be WEFT_I64 too
 *   gather   y = x at index along dim, y and index contiguous with `shape`, x of extent n along dim;
 *            it is u8, i32 or i64. An index outside 0..n-1 makes y NaN, and flag[0] = 1 + the first
 *            such element and flag[1] = its index (int64; flag[0] is 0 before)
 *   gather_back  gx at index along dim += gy, in the order of the elements along dim
 *   gemm_batch   C = op(A) op(B) for each matrix of `shape`; matrices are contiguous, those of C lie
 *            one behind the other, those of A and B at the strides given
 *   sum      y = alpha * sum over the dimensions whose ystride is 0; the order of additions depends
 *            on the shapes alone, never on threads
 *   softmax  rows of c                   softmax_back gx = (gy - sum(gy y)) y
 *   xent     loss[i] = log sum exp(x[i]) - x[i][label[i]], p = softmax(x); lt is u8, i32 or i64.
 *            A label outside 0..c-1 makes loss[i] NaN, and flag[0] = 1 + the first such row and
 *            flag[1] = its label (int64; flag[0] is 0 before)
 *   xent_back gx = g[0] * alpha * (p - onehot(label)); g is a device scalar; rows with bad labels
 *            become NaN
 *   correct  y[0] = rows whose first maximum is at the label    y f64
 *   gemm     C = alpha op(A) op(B) + beta C, row-major, C m x n, op(A) m x k, op(B) k x n; ta, tb:
 *            transposed in memory; lda, ldb, ldc row lengths in memory
 *   bias     y[r][c] += b[c]; then relu if act is 1; b may be 0
 *   uniform  y[i] = lo + (hi-lo) u(first + i), u from Philox with key (seed, stream) and counter
 *            (element / words, step): the same on every device
 *   nonfinite flag[0] (int64) += 1 if any x is not finite
 *   sgd, adam  one pass over n elements: <weft/optim.h> has the formulas; g is not changed
 */
#ifndef WEFT_SYS_KERNELS_H
#define WEFT_SYS_KERNELS_H
#include <weft/sys/state.h>
WEFT_BEGIN

typedef struct weft_stream weft_stream;

typedef enum weft_binary {
    WEFT_ADD,
    WEFT_MUL,
    WEFT_SUB,
    WEFT_DIV,
    WEFT_POW,
    WEFT_MAXIMUM,
    WEFT_MINIMUM,
    WEFT_BINARIES
} weft_binary;

/* p[0] and p[1] are bounds (WEFT_CLAMP) or p[0] the exponent (WEFT_POWER). */
typedef enum weft_unary {
    WEFT_NEG,
    WEFT_ABS,
    WEFT_EXP,
    WEFT_LOG,
    WEFT_SQRT,
    WEFT_SIN,
    WEFT_COS,
    WEFT_POWER,
    WEFT_CLAMP,
    WEFT_SIGMOID,
    WEFT_TANH,
    WEFT_SILU,
    WEFT_GELU,      /* by the error function */
    WEFT_GELU_TANH, /* its approximation */
    WEFT_UNARIES
} weft_unary;

typedef enum weft_compare {
    WEFT_EQ,
    WEFT_NE,
    WEFT_LT,
    WEFT_LE,
    WEFT_GT,
    WEFT_GE,
    WEFT_COMPARES
} weft_compare;

typedef struct weft_sgd_step {
    double lr, momentum, weight_decay;
    int nesterov, first; /* first: the moment is set, not mixed */
} weft_sgd_step;

typedef struct weft_adam_step {
    double lr, beta1, beta2, eps, weight_decay;
    double correct1, correct2; /* 1 - beta1^t, 1 - beta2^t */
} weft_adam_step;

#define WEFT_KERNEL_LIST(K)                                                                        \
    K(fill, (weft_stream * s, weft_dev y, int64_t n, double value, weft_dtype t))                  \
    K(copy, (weft_stream * s, weft_dev y, weft_dtype yt, const int64_t *ystride, weft_dev x,       \
             weft_dtype xt, const int64_t *xstride, int rank, const int64_t *shape))               \
    K(binary, (weft_stream * s, weft_binary op, weft_dev y, weft_dev a, const int64_t *astride,    \
               weft_dev b, const int64_t *bstride, int rank, const int64_t *shape, weft_dtype dt)) \
    K(axpy, (weft_stream * s, weft_dev y, double alpha, weft_dev x, int64_t n, weft_dtype dt))     \
    K(scale, (weft_stream * s, weft_dev y, double alpha, weft_dev x, int64_t n, weft_dtype dt))    \
    K(relu, (weft_stream * s, weft_dev y, weft_dev x, int64_t n, weft_dtype dt))                   \
    K(relu_back,                                                                                   \
      (weft_stream * s, weft_dev gx, weft_dev y, weft_dev gy, int64_t n, weft_dtype dt))           \
    K(unary, (weft_stream * s, weft_unary f, weft_dev y, weft_dev x, const double *p, int64_t n,   \
              weft_dtype dt))                                                                      \
    K(unary_back, (weft_stream * s, weft_unary f, weft_dev gx, weft_dev gy, weft_dev x,            \
                   weft_dev y, const double *p, int64_t n, weft_dtype dt))                         \
    K(binary_back, (weft_stream * s, weft_binary op, int input, weft_dev gx, weft_dev gy,          \
                    weft_dev a, const int64_t *astride, weft_dev b, const int64_t *bstride,        \
                    int rank, const int64_t *shape, weft_dtype dt))                                \
    K(compare,                                                                                     \
      (weft_stream * s, weft_compare op, weft_dev y, weft_dev a, const int64_t *astride,           \
       weft_dev b, const int64_t *bstride, int rank, const int64_t *shape, weft_dtype dt))         \
    K(where, (weft_stream * s, weft_dev y, weft_dev c, const int64_t *cstride, weft_dev a,         \
              const int64_t *astride, weft_dev b, const int64_t *bstride, int rank,                \
              const int64_t *shape, weft_dtype dt))                                                \
    K(log_softmax,                                                                                 \
      (weft_stream * s, weft_dev y, weft_dev x, int64_t rows, int64_t c, weft_dtype dt))           \
    K(log_softmax_back, (weft_stream * s, weft_dev gx, weft_dev y, weft_dev gy, int64_t rows,      \
                         int64_t c, weft_dtype dt))                                                \
    K(extremum, (weft_stream * s, weft_dev y, weft_dev at, weft_dev x, int largest, int64_t outer, \
                 int64_t n, int64_t inner, weft_dtype dt))                                         \
    K(gather, (weft_stream * s, weft_dev y, weft_dev flag, weft_dev x, const int64_t *xstride,     \
               weft_dev index, weft_dtype it, int rank, const int64_t *shape, int dim, int64_t n,  \
               weft_dtype dt))                                                                     \
    K(gather_back,                                                                                 \
      (weft_stream * s, weft_dev gx, const int64_t *gxstride, weft_dev gy, weft_dev index,         \
       weft_dtype it, int rank, const int64_t *shape, int dim, int64_t n, weft_dtype dt))          \
    K(gemm_batch, (weft_stream * s, weft_dev c, weft_dev a, const int64_t *astride, int ta,        \
                   weft_dev b, const int64_t *bstride, int tb, int rank, const int64_t *shape,     \
                   int64_t m, int64_t n, int64_t k, weft_dtype dt))                                \
    K(sum, (weft_stream * s, weft_dev y, const int64_t *ystride, double alpha, weft_dev x,         \
            const int64_t *xstride, int rank, const int64_t *shape, weft_dtype dt))                \
    K(softmax, (weft_stream * s, weft_dev y, weft_dev x, int64_t rows, int64_t c, weft_dtype dt))  \
    K(softmax_back, (weft_stream * s, weft_dev gx, weft_dev y, weft_dev gy, int64_t rows,          \
                     int64_t c, weft_dtype dt))                                                    \
    K(xent, (weft_stream * s, weft_dev loss, weft_dev p, weft_dev flag, weft_dev x,                \
             weft_dev label, weft_dtype lt, int64_t rows, int64_t c, weft_dtype dt))               \
    K(xent_back, (weft_stream * s, weft_dev gx, weft_dev g, double alpha, weft_dev p,              \
                  weft_dev label, weft_dtype lt, int64_t rows, int64_t c, weft_dtype dt))          \
    K(correct, (weft_stream * s, weft_dev y, weft_dev x, weft_dev label, weft_dtype lt,            \
                int64_t rows, int64_t c, weft_dtype dt))                                           \
    K(gemm, (weft_stream * s, weft_dev c, int64_t ldc, double alpha, weft_dev a, int64_t lda,      \
             int ta, weft_dev b, int64_t ldb, int tb, double beta, int64_t m, int64_t n,           \
             int64_t k, weft_dtype dt))                                                            \
    K(bias,                                                                                        \
      (weft_stream * s, weft_dev y, weft_dev b, int act, int64_t rows, int64_t c, weft_dtype dt))  \
    K(uniform, (weft_stream * s, weft_dev y, uint64_t seed, uint64_t stream, uint64_t step,        \
                int64_t first, int64_t n, double lo, double hi, weft_dtype dt))                    \
    K(nonfinite, (weft_stream * s, weft_dev flag, weft_dev x, int64_t n, weft_dtype dt))           \
    K(sgd, (weft_stream * s, weft_dev p, weft_dev v, weft_dev g, int64_t n,                        \
            const weft_sgd_step *o, weft_dtype dt))                                                \
    K(adam, (weft_stream * s, weft_dev p, weft_dev m, weft_dev v, weft_dev g, int64_t n,           \
             const weft_adam_step *o, weft_dtype dt))

/* Each returns WEFT_OK once enqueued, or what stopped it. */
typedef struct weft_kernels {
#define WEFT__MEMBER(name, args) weft_status(*name) args;
    WEFT_KERNEL_LIST(WEFT__MEMBER)
#undef WEFT__MEMBER
} weft_kernels;

WEFT_END
#endif
