/* The kernels of a device, a typed list: K(name, arguments). Outputs come first. All run on the
 * stream, on memory of its device. Unless a kernel takes strides, its arrays are contiguous.
 * Strides are in elements and may be 0. dt is WEFT_F32 or WEFT_F64 unless said otherwise. An entry
 * may be NULL: the op that needs it then says which device lacks it.
 *
 *   fill     y[i] = value                                       any dtype
 *   copy     y = x, strided, cast from xt to yt                 any dtypes
 *   binary   y = a op b; y contiguous with `shape`; it may be a, if a is so too. WEFT_MAXIMUM and
 *            WEFT_MINIMUM hand NaN on
 *   axpy     y += alpha x
 *   scale    y = alpha x
 *   relu     y = max(x, 0)               relu_back   gx = gy where y > 0, else 0
 *   unary    y = f(x; p[0], p[1]); y may be x
 *   unary_back  gx = gy f'(x); y = f(x)
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
 *            flag[1] = its label (int64; flag[0] is 0 before). With o: weft_xent_terms
 *   xent_back gx = g[0] * alpha * (p - onehot(label)); g is a device scalar; rows with bad labels
 *            become NaN
 *   correct  y[0] = rows whose first maximum is at the label    y f64
 *   loss     y[i] = the loss of x[i] with target t[i]: <weft/loss.h> has the formulas
 *   loss_back gx[i] = g[i or 0] * alpha * its derivative to x, or to t
 *   layernorm y = (x - m) r w + b of rows of c, m their mean, r = 1/sqrt(variance + eps); stats[2 i]
 *            = m, stats[2 i + 1] = r (f64); w, b may be 0
 *   layernorm_back from gy, x, stats and w: what is wanted of gx, gw and gb, the others are 0
 *   embedding y[i] = row index[i] of w, (rows,c); it is u8, i32 or i64. A bad index gives NaN and
 *            flag as of xent
 *   embedding_back gw = for each row the sum of gy[i] with that index, in order, but 0 for row skip
 *   dropout  y = x / (1-p), or 0 where the 32-bit word of the element is below 2^32 p
 *   normal   y[i] = mean + std z(u(i)), z the inverse of the normal distribution's function, u(i) in
 *            f64 as of uniform, scaled into [lo, hi]
 *   gemm     C = alpha op(A) op(B) + beta C, row-major, C m x n, op(A) m x k, op(B) k x n; ta, tb:
 *            transposed in memory; lda, ldb, ldc row lengths in memory
 *   bias     y[r][c] += b[c]; then relu if act is 1; b may be 0
 *   uniform  y[i] = lo + (hi-lo) u(first + i), u from Philox with key (seed, stream) and counter
 *            (element / words, step): the same on every device
 *   nonfinite flag[0] (int64) += 1 if any x is not finite
 *   dot      y[0] (f64) += sum x z
 *   norm     y[0] (f64) += sum |x|^p; for infinite p y[0] = max(y[0], |x|), NaN if any x is
 *   root     y[0] = x[0]^(1/p), for infinite p x[0]; both f64
 *   shrink   y *= min(1, limit / (norm[0] + 1e-6)); norm f64; the factor is NaN where norm is
 *   topk     y[0] (f64) = rows with fewer than k entries before the label's: larger ones, equal ones
 *            on its left, NaN; a NaN at the label is no hit. Labels and flag as in xent
 *   confusion y[label][first maximum] (int64, c x c) = rows; labels and flag as in xent
 *   sgd, adam, rmsprop, adagrad  one pass over n elements: <weft/optim.h> has the formulas; g is not
 *            changed. Moments that the step does not use may be 0. adam: top is the largest v so
 *            far (amsgrad), or 0. rmsprop: mean is of the gradients (centered), or 0
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
    double dampening;
    int maximize; /* g is taken as -g */
} weft_sgd_step;

typedef struct weft_adam_step {
    double lr, beta1, beta2, eps, weight_decay;
    double correct1, correct2; /* 1 - beta1^t, 1 - beta2^t */
    int decoupled, maximize;   /* decoupled: AdamW's weight decay */
} weft_adam_step;

/* What cross entropy does beyond that, e the smoothing, w the weights, u[i] = w[label[i]]:
 *   loss[i] = ((1-e) u[i] (-log p[label]) + e/c sum_j w[j] (-log p[j])) / divisor
 * All zero: nothing of it. */
typedef struct weft_xent_terms {
    int log_probs;    /* x is log p already: p is not written, and no part of the gradient */
    int ignores;      /* a row with the label `ignore` counts for nothing: u = 0, loss 0 */
    int64_t ignore;   /* it need not be a class */
    double smoothing; /* not with log_probs */
    weft_dev weight;  /* (c) of type dt; none: all 1 */
    weft_dev divisor; /* f64: the sum of u, which xent writes and xent_back reads; none: 1 */
    int each;         /* of xent_back: g has a value for each row */
} weft_xent_terms;

typedef enum weft_loss_kind {
    WEFT_LOSS_MSE,
    WEFT_LOSS_HUBER, /* l1 is smooth_l1 with the parameter 0 */
    WEFT_LOSS_SMOOTH_L1,
    WEFT_LOSS_BCE,
    WEFT_LOSS_KL,
    WEFT_LOSS_KL_LOG
} weft_loss_kind;

typedef struct weft_loss_terms {
    weft_loss_kind kind;
    double parameter; /* delta, beta */
    weft_dev weight;  /* of bce: (c) of type dt, element i takes number i % c; none: 1 */
    int64_t c;
    int each;      /* of loss_back: g has a value for each element */
    int to_target; /* of loss_back: the derivative is that to t */
} weft_loss_terms;

/* Elements (outer, rows, inner). Element (o, r, i) has the number ((base + r) outer + o) inner + i of
 * the stream: four to a block of the key (seed, stream) and the counter (block, step). */
typedef struct weft_dropout_terms {
    uint64_t seed, stream, step;
    int64_t base, outer, rows, inner;
    double p;
} weft_dropout_terms;

typedef struct weft_normal_terms {
    double mean, std;
    double lo, hi; /* probabilities: 0 and 1 are the whole distribution */
} weft_normal_terms;

typedef struct weft_rmsprop_step {
    double lr, alpha, eps, weight_decay, momentum;
    int maximize;
} weft_rmsprop_step;

typedef struct weft_adagrad_step {
    double lr, eps, weight_decay; /* lr: decayed */
    int maximize;
} weft_adagrad_step;

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
    K(xent,                                                                                        \
      (weft_stream * s, weft_dev loss, weft_dev p, weft_dev flag, weft_dev x, weft_dev label,      \
       weft_dtype lt, int64_t rows, int64_t c, const weft_xent_terms *o, weft_dtype dt))           \
    K(xent_back,                                                                                   \
      (weft_stream * s, weft_dev gx, weft_dev g, double alpha, weft_dev p, weft_dev label,         \
       weft_dtype lt, int64_t rows, int64_t c, const weft_xent_terms *o, weft_dtype dt))           \
    K(correct, (weft_stream * s, weft_dev y, weft_dev x, weft_dev label, weft_dtype lt,            \
                int64_t rows, int64_t c, weft_dtype dt))                                           \
    K(loss, (weft_stream * s, weft_dev y, weft_dev x, weft_dev t, int64_t n,                       \
             const weft_loss_terms *o, weft_dtype dt))                                             \
    K(loss_back, (weft_stream * s, weft_dev gx, weft_dev g, double alpha, weft_dev x, weft_dev t,  \
                  int64_t n, const weft_loss_terms *o, weft_dtype dt))                             \
    K(layernorm, (weft_stream * s, weft_dev y, weft_dev stats, weft_dev x, weft_dev w, weft_dev b, \
                  int64_t rows, int64_t c, double eps, weft_dtype dt))                             \
    K(layernorm_back,                                                                              \
      (weft_stream * s, weft_dev gx, weft_dev gw, weft_dev gb, weft_dev gy, weft_dev x,            \
       weft_dev stats, weft_dev w, int64_t rows, int64_t c, weft_dtype dt))                        \
    K(embedding, (weft_stream * s, weft_dev y, weft_dev flag, weft_dev w, weft_dev index,          \
                  weft_dtype it, int64_t n, int64_t rows, int64_t c, weft_dtype dt))               \
    K(embedding_back, (weft_stream * s, weft_dev gw, weft_dev gy, weft_dev index, weft_dtype it,   \
                       int64_t n, int64_t rows, int64_t c, int64_t skip, weft_dtype dt))           \
    K(dropout,                                                                                     \
      (weft_stream * s, weft_dev y, weft_dev x, const weft_dropout_terms *o, weft_dtype dt))       \
    K(normal, (weft_stream * s, weft_dev y, uint64_t seed, uint64_t stream, int64_t n,             \
               const weft_normal_terms *o, weft_dtype dt))                                         \
    K(gemm, (weft_stream * s, weft_dev c, int64_t ldc, double alpha, weft_dev a, int64_t lda,      \
             int ta, weft_dev b, int64_t ldb, int tb, double beta, int64_t m, int64_t n,           \
             int64_t k, weft_dtype dt))                                                            \
    K(bias,                                                                                        \
      (weft_stream * s, weft_dev y, weft_dev b, int act, int64_t rows, int64_t c, weft_dtype dt))  \
    K(uniform, (weft_stream * s, weft_dev y, uint64_t seed, uint64_t stream, uint64_t step,        \
                int64_t first, int64_t n, double lo, double hi, weft_dtype dt))                    \
    K(nonfinite, (weft_stream * s, weft_dev flag, weft_dev x, int64_t n, weft_dtype dt))           \
    K(dot, (weft_stream * s, weft_dev y, weft_dev x, weft_dev z, int64_t n, weft_dtype dt))        \
    K(norm, (weft_stream * s, weft_dev y, weft_dev x, int64_t n, double p, weft_dtype dt))         \
    K(root, (weft_stream * s, weft_dev y, weft_dev x, double p))                                   \
    K(shrink,                                                                                      \
      (weft_stream * s, weft_dev y, double limit, weft_dev norm, int64_t n, weft_dtype dt))        \
    K(topk, (weft_stream * s, weft_dev y, weft_dev flag, weft_dev x, weft_dev label,               \
             weft_dtype lt, int64_t rows, int64_t c, int64_t k, weft_dtype dt))                    \
    K(confusion, (weft_stream * s, weft_dev y, weft_dev flag, weft_dev x, weft_dev label,          \
                  weft_dtype lt, int64_t rows, int64_t c, weft_dtype dt))                          \
    K(sgd, (weft_stream * s, weft_dev p, weft_dev v, weft_dev g, int64_t n,                        \
            const weft_sgd_step *o, weft_dtype dt))                                                \
    K(adam, (weft_stream * s, weft_dev p, weft_dev m, weft_dev v, weft_dev top, weft_dev g,        \
             int64_t n, const weft_adam_step *o, weft_dtype dt))                                   \
    K(rmsprop, (weft_stream * s, weft_dev p, weft_dev v, weft_dev b, weft_dev mean, weft_dev g,    \
                int64_t n, const weft_rmsprop_step *o, weft_dtype dt))                             \
    K(adagrad, (weft_stream * s, weft_dev p, weft_dev v, weft_dev g, int64_t n,                    \
                const weft_adagrad_step *o, weft_dtype dt))

/* Each returns WEFT_OK once enqueued, or what stopped it. */
typedef struct weft_kernels {
#define WEFT__MEMBER(name, args) weft_status(*name) args;
    WEFT_KERNEL_LIST(WEFT__MEMBER)
#undef WEFT__MEMBER
} weft_kernels;

WEFT_END
#endif
