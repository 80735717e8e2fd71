/* The kernels of a device, a typed list: K(name, arguments). Outputs come first. All run on the
 * stream, on memory of its device. Unless a kernel takes strides, its arrays are contiguous.
 * Strides are in elements and may be 0. dt is WEFT_F32 or WEFT_F64 unless said otherwise. An entry
 * may be NULL: the op that needs it then says which device lacks it.
 *
 *   fill     y[i] = value                                       any dtype
 *   copy     y = x, strided, cast from xt to yt                 any dtypes
 *   binary   y = a op b; y contiguous with `shape`
 *   axpy     y += alpha x
 *   scale    y = alpha x
 *   relu     y = max(x, 0)               relu_back   gx = gy where y > 0, else 0
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
 *   norm     y[0] (f64) += sum |x|^p; for infinite p y[0] = max(y[0], |x|), NaN if any x is
 *   root     y[0] = x[0]^(1/p), for infinite p x[0]; both f64
 *   shrink   y *= min(1, limit / (norm[0] + 1e-6)); norm f64; the factor is NaN where norm is
 *   clamp    y = min(max(y, lo), hi); NaN stays NaN
 *   extreme  y[0] (f64) = the least (most 0) or largest (most 1) of y[0] and all x; NaN wins
 *   topk     y[0] (f64) = rows with fewer than k entries before the label's: larger ones, equal ones
 *            on its left, NaN; a NaN at the label is no hit. Labels and flag as in xent
 *   confusion y[label][first maximum] (int64, c x c) = rows; labels and flag as in xent
 *   sgd, adam  one pass over n elements: <weft/optim.h> has the formulas; g is not changed
 */
#ifndef WEFT_SYS_KERNELS_H
#define WEFT_SYS_KERNELS_H
#include <weft/sys/state.h>
WEFT_BEGIN

typedef struct weft_stream weft_stream;

typedef enum weft_binary { WEFT_ADD, WEFT_MUL } weft_binary;

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
    K(norm, (weft_stream * s, weft_dev y, weft_dev x, int64_t n, double p, weft_dtype dt))         \
    K(root, (weft_stream * s, weft_dev y, weft_dev x, double p))                                   \
    K(shrink,                                                                                      \
      (weft_stream * s, weft_dev y, double limit, weft_dev norm, int64_t n, weft_dtype dt))        \
    K(clamp, (weft_stream * s, weft_dev y, double lo, double hi, int64_t n, weft_dtype dt))        \
    K(extreme, (weft_stream * s, weft_dev y, int most, weft_dev x, int64_t n, weft_dtype dt))      \
    K(topk, (weft_stream * s, weft_dev y, weft_dev flag, weft_dev x, weft_dev label,               \
             weft_dtype lt, int64_t rows, int64_t c, int64_t k, weft_dtype dt))                    \
    K(confusion, (weft_stream * s, weft_dev y, weft_dev flag, weft_dev x, weft_dev label,          \
                  weft_dtype lt, int64_t rows, int64_t c, weft_dtype dt))                          \
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
