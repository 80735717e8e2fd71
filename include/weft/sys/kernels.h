/* The kernels of a device, a typed list. Outputs come first. All run on the stream, on
 * memory of its device. Unless a kernel takes strides, its arrays are contiguous.
 * Strides are in elements and may be 0. dt is WEFT_F32 or WEFT_F64 unless said otherwise, and may be
 * WEFT_BF16 or WEFT_F16 of binary to where, extremum to sum, embedding to dropout, gemm, bias,
 * nonfinite to shrink, and rmsnorm to add_layernorm_back: arithmetic is in f32 then, rounded once at its end. ct and yt, the types of C
 * and y, are dt, or WEFT_F32 where dt has 16 bits. An entry may be NULL: the op that needs it then
 * says which device lacks it.
 *
 *   fill     y[i] = value                                       any dtype
 *   copy     y = x, strided, cast from xt to yt                 any dtypes
 *   binary   y = a op b; y contiguous with `shape`; it may be a, if a is so too. WEFT_MAXIMUM and
 *            WEFT_MINIMUM hand NaN on
 *   axpy     y += alpha x
 *   scale    y = alpha x
 *   relu     y = max(x, 0)               relu_back   gx = gy where y > 0, else 0; gx may be gy
 *   unary    y = f(x; p[0], p[1]); y may be x
 *   unary_back  gx = gy f'(x), gx may be gy; y = f(x), may be 0 of the GELUs
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
 *   gather_back  gx at index along dim += gy, in the order of the elements along dim; gx is f32
 *            where dt has 16 bits
 *   gemm_batch   C = op(A) op(B) for each matrix of `shape`; matrices are contiguous, those of C lie
 *            one behind the other, those of A and B at the strides given
 *   sum      y = alpha * sum over the dimensions whose ystride is 0; the order of additions depends
 *            on the shapes alone, never on threads
 *   softmax  rows of c                   softmax_back gx = (gy - sum(gy y)) y
 *   xent     loss[i] = log sum exp(x[i]) - x[i][label[i]], p = softmax(x); lt is u8, i32 or i64.
 *            A label outside 0..c-1 makes loss[i] NaN, and flag[0] = 1 + the first such row and
 *            flag[1] = its label (int64; flag[0] is 0 before). With o: weft_xent_terms. p may be x. flag
 *            may be 0: labels are not reported then, and the divisor is read, not written
 *   xent_back gx = g[0] * alpha * (p - onehot(label)); g is a device scalar; rows with bad labels
 *            become NaN; gx may be p
 *   correct  y[0] = rows whose first maximum is at the label    y f64
 *   loss     y[i] = the loss of x[i] with target t[i]: <weft/loss.h> has the formulas
 *   loss_back gx[i] = g[i or 0] * alpha * its derivative to x, or to t
 *   layernorm y = (x - m) r w + b of rows of c, m their mean, r = 1/sqrt(variance + eps); stats[2 i]
 *            = m, stats[2 i + 1] = r (f64); w, b may be 0
 *   layernorm_back from gy, x, stats and w: what is wanted of gx, gw and gb, the others are 0
 *   embedding y[i] = row index[i] of w, (rows,c); it is u8, i32 or i64. A bad index gives NaN and
 *            flag as of xent
 *   embedding_back gw = for each row beta gw and the sum of gy[i] with that index, in order, but not for
 *            row skip; beta is 0 or 1; gw is f32 where dt has 16 bits
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
 *   norm     y[0] (f64) += sum |x|^p over n runs of x, of run[2 i + 1] elements from element run[2 i] on; for
 *            infinite p y[0] = max(y[0], |x|), NaN if any x is
 *   root     y[0] = x[0]^(1/p), for infinite p x[0]; both f64
 *   shrink   y *= by[0], f64
 *   topk     y[0] (f64) = rows with fewer than k entries before the label's: larger ones, equal ones
 *            on its left, NaN; a NaN at the label is no hit. Labels and flag as in xent
 *   confusion y[label][first maximum] (int64, c x c) = rows; labels and flag as in xent
 *   sgd, adam, rmsprop, adagrad  one pass over runs, given as norm's: <weft/optim.h> has the formulas; g is not
 *            changed. Moments that the step does not use may be 0. adam: top is the largest v so
 *            far (amsgrad), or 0. rmsprop: mean is of the gradients (centered), or 0. dt is that of p;
 *            where it has 16 bits, the others are f32. Where unless[0] (int64) is not 0 nothing is done;
 *            unless may be 0. g counts as shrink would leave it, unless by is 0
 *   attention y[b][h][i] = sum_j P[i][j] v[b][h'][j] with P = softmax over j of s = scale q[b][h][i] .
 *            k[b][h'][j] and h' = h / (heads / kv_heads); lse (batch,heads,queries; f64 where dt is, else
 *            f32) = log sum_j exp s. A row that sees no key is 0, with lse -inf. dt may be of 16 bits
 *   attention_back gq, gk, gv from gy, q, k, v, y and lse; those that are not wanted are 0, gk and gv
 *            together. delta: room like lse, for the sums of gy y in the rows
 *   rotary   y = x (outer,positions,heads,size) with the first `turned` of each head's numbers turned in
 *            pairs: of position t, pair j by the angle (first + t) base^(-2j/turned); heads from
 *            `until` on, and the other numbers, as they are. dt may be of 16 bits
 *   rmsnorm  y = x r w of rows of c, r = 1/sqrt(mean(x^2) + eps); stats[i] = r (f64); w may be 0
 *   rmsnorm_back from gy, x, stats and w: what is wanted of gx and gw, the other is 0; gw is f32 where
 *            dt has 16 bits
 *   swiglu   y = silu(a) b               swiglu_back what is wanted of ga and gb, the other is 0
 *   add_layernorm sum = x + r, and of that as it is in memory y and stats as of layernorm
 *   add_layernorm_back from gy, gsum, sum, stats and w: what is wanted of gx = that of layernorm + gsum,
 *            gw and gb, the others are 0; gsum may be 0, or gx; gw and gb are f32 where dt has 16 bits
 *   Of n planes, one behind the other, and the windows of weft_window over each; dt may have 16 bits:
 *   im2col   y[p][i kw + j][q] = the element of plane p under place (i, j) of window q, 0 outside of it
 *   col2im   y (n planes) = for each element the sum of all of x, laid out as im2col's result, that it
 *            was taken to, in the order of places; x is f32 where dt has 16 bits
 *   maxpool  y[p][q] = the largest in window q, at[p][q] (i32) = the first place in the plane that has it;
 *            NaN is larger than all. A window with no element of the plane: -inf and -1
 *   maxpool_back gx[p][e] = the sum of gy[p][q] where at[p][q] = e, in the order of q
 *   avgpool  y[p][q] = the sum over window q, divided as `how` says; dilation is 1
 *   avgpool_back gx[p][e] = the sum of gy[p][q] / divisor over the windows that have e, in the order of q
 *   channel_moments  of x (n, c, inner): parts[0] = n inner, parts[1 + 2 j] = the mean of channel j, parts[2 + 2 j]
 *            = the sum of the squares of what differs from it; all f64, 0 where that is 0. bf16 and f16, too,
 *            here and in the next ones
 *   channel_stats  joins the parts of so many ranks, which lie one behind the other: stats[0] = their count,
 *            stats[1 + 2 j] = mean, stats[2 + 2 j] = 1/sqrt(variance + eps) (f64); of no ranks: those of mean
 *            and var. Unless mean is 0 and where the count is above 1: mean = (1-q) mean + q m, var likewise
 *            with squares / (count-1); then batches += 1. q is momentum, or 1/(batches + 1) where that is
 *            below 0. mean, var (c) and batches (1) are of type rt, f32 or f64; batches may be 0
 *   channel_norm  y = (x - m) r w[j] + b[j] of channel j; m and r are those of channel j, or with groups
 *            those of number i groups + j / (c / groups) for row i. w and b are of type wt: dt, or f32 where dt
 *            has 16 bits; they may be 0
 *   channel_sums  sums[2 j] = sum gy, sums[2 j + 1] = sum gy (x - m) r of channel j (f64)
 *   channel_norm_back  h = gy w[j], z = (x - m) r: gx = r (h - mean(h) - z mean(h z)); without groups the means
 *            are w[j] sums / stats[0], or 0 where sums is 0; with groups they are taken over each group
 *   linear   y = act(x w^T + b) of x (rows,c) and w (o,c), at once where the device can; pre = x w^T + b where act
 *            is WEFT_ACT_GELU_TANH; b and pre may be 0. dt may be of 16 bits
 *   linear_back  gw (o,c) = gy^T x, gb (o) = the sum of gy's rows, both of type gt, which is dt, or f32 where dt
 *            has 16 bits; either may be 0
 *   linear_relu_back  g (rows,o) = gy where y > 0, else 0, and gb (o) = the sum of g's rows, of type gt as of
 *            linear_back; g may be gy. Missing where relu_back and linear_back do as well
 *   linear_gelu_back  g (rows,c) = (gy w) gelu'(pre), at once where the device can: what linear with w (o,c) hands
 *            on to pre (rows,c) if its x is gelu(pre), by tanh. dt may be of 16 bits
 *   code8    q = x (rows,c) in an 8-bit format, and qt (c,rows) the same, transposed; either may be 0. Numbers are
 *            multiplied before so that the largest magnitude, scale[1], becomes the format's; scale[0] is what codes
 *            are multiplied by to be numbers again, NaN if one of x is not finite (scale: 2 f32). rows and c are
 *            multiples of 16, q and qt aligned to 16 bytes; dt is f32, bf16 or f16
 *   gemm8    C (m,n) = ascale[0] bscale[0] A B^T + bias, of type ct, of codes A (m,k) and B (n,k), not both E5M2,
 *            summed in f32; bias (n) of type ct, may be 0; m, n and k are multiples of 16
 *   conv     y (n,o,H',W') = windows of x (n,c,H,W) times w (o,c/groups,kh,kw), plus b (o), which may be 0; dt may be
 *            of 16 bits. t->some and t->room are weft__convolve_plan's (lib/device/conv.h), room is so many bytes
 *   conv_back from gy, x and w: what is wanted of gx, of type xt, which is dt, or f32 where dt has 16 bits, and gw (f64
 *            where dt is, else f32), the other is 0
 *   xent_lse loss[i] = lse[i] - x[i][label[i]], lse[i] = log sum exp(x[i]) (f64): as xent, which keeps
 *            p; dt has 16 bits, loss is f32. Of the terms ignores, ignore, divisor and each alone
 *   xent_lse_back gx[i] = g[0] * alpha / divisor * (exp(x[i] - lse[i]) - onehot(label[i])); g is f32; gx
 *            may be x
 *   cut      by[0] = min(1, limit / (norm[0] + 1e-6)), NaN where norm is; both f64
 *   scaler   of a loss scale (a weft_scaler_state): before a step, whether found[0] (int64), that gradients are not
 *            finite, forbids it; once it has stopped, it sets that itself. At the step's edge it changes by o
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

/* What a linear layer does to its sums. */
typedef enum weft_activation { WEFT_ACT_NONE, WEFT_ACT_RELU, WEFT_ACT_GELU_TANH } weft_activation;

/* Formats of 8 bits: sign, exponent, fraction. */
typedef enum weft_float8 {
    WEFT_E4M3, /* up to 448 */
    WEFT_E5M2  /* up to 57344 */
} weft_float8;

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
    int unused;   /* as in others below: structs have no bytes that nobody sets */
} weft_sgd_step;

typedef struct weft_adam_step {
    double lr, beta1, beta2, eps, weight_decay;
    double correct1, correct2; /* 1 - beta1^t, 1 - beta2^t */
    int decoupled, maximize;   /* decoupled: AdamW's weight decay */
    /* chance: p[i] of 16 bits becomes one of the two numbers around what it should be, the one further from 0
     * where more than h 65536ths of the way there are gone: h is one of the eight halves, the lower of a word
     * first, of block (number + i) / 8 in step t of the stream */
    int chance, unused;
    uint64_t seed, stream, t;
    int64_t number; /* of p[0], a multiple of 8 */
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
    int unused;
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
    int unused;
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
    int maximize, unused;
} weft_rmsprop_step;

typedef struct weft_adagrad_step {
    double lr, eps, weight_decay; /* lr: decayed */
    int maximize, unused;
} weft_adagrad_step;

/* Windows over planes of in[0] rows and in[1] columns, out[0] x out[1] of them, each of kernel[0] x
 * kernel[1] places. Place (i, j) of window (r, c) lies in row r stride[0] - padding[0] + i dilation[0],
 * and in the column of the same formula; if there is none such, outside of the plane. */
typedef struct weft_window {
    int64_t in[2], out[2], kernel[2], stride[2], padding[2], dilation[2];
} weft_window;

/* A convolution of n images. */
typedef struct weft_conv_terms {
    int64_t n, c, o, groups;
    int64_t some, room; /* images at a time, bytes to work in */
    weft_window window;
} weft_conv_terms;

/* What a sum over a window is divided by. */
typedef enum weft_average {
    WEFT_AVERAGE_PADDED, /* its places */
    WEFT_AVERAGE_INSIDE, /* those in the plane */
    /* Those in the plane of windows of other extents: of `in` rows number r of `out` windows has those
     * from floor(r in / out) to before ceil((r + 1) in / out); the rest of weft_window is not read. */
    WEFT_AVERAGE_ADAPTIVE
} weft_average;

/* Strides are those of batch, head and position; head sizes lie one number behind the other. */
typedef struct weft_attention_terms {
    int64_t batch, heads, kv_heads, queries, keys, size, vsize; /* size: of q and k */
    int64_t q[3], k[3], v[3], y[3];                             /* y: of gy too */
    int64_t gq[3], gk[3], gv[3];                                /* of attention_back */
    double scale;
    int causal; /* query i sees the keys 0..i + offset, else all */
    int unused;
    int64_t offset;
    /* A P[i][j] becomes 0 with probability p, the others are divided by 1 - p: as of dropout, with the
     * number (((base + b) heads + h) queries + i) keys + j. */
    double p;
    uint64_t seed, stream, step;
    int64_t base;
} weft_attention_terms;

typedef struct weft_rotary_terms {
    int64_t outer, positions, heads, size;
    int64_t first, until, turned;
    double base;
    int interleaved; /* pair j: numbers 2j and 2j + 1; else j and j + turned/2 */
    int back;        /* by the negative angle: the gradient */
} weft_rotary_terms;

/* A loss scale on the device, whose host learns late what became of a step. */
typedef struct weft_scaler_state {
    double scale, inverse; /* values of f32 */
    int64_t good;          /* steps since it changed */
    int64_t before;        /* the step before was skipped */
    int64_t stopped;       /* an overflow at the least scale: no step any more */
    /* What forbids this step; or this one, if the one before was skipped; or if it was not. */
    int64_t off[3];
} weft_scaler_state;

/* torch.cuda.amp.GradScaler's, and the least scale. */
typedef struct weft_scaler_rule {
    double growth, backoff, least;
    int64_t interval;
} weft_scaler_rule;

/* The arguments of each kernel after the stream: D(name) is an address on the device, V(type, name) a
 * value, A(type, name, count) the host's array of so many, NULL where the kernel can do without, which
 * the caller may change once the kernel has been asked for. A device that queues kernels makes its
 * records of these lines: what a struct of an A holds of weft_dev, it must know by the struct's type. */
/* clang-format off */
#define WEFT_ARGS_fill(D, V, A) D(y) V(int64_t, n) V(double, value) V(weft_dtype, t)
#define WEFT_ARGS_copy(D, V, A) \
    D(y) V(weft_dtype, yt) A(int64_t, ystride, rank) D(x) V(weft_dtype, xt) \
    A(int64_t, xstride, rank) V(int, rank) A(int64_t, shape, rank)
#define WEFT_ARGS_binary(D, V, A) \
    V(weft_binary, op) D(y) D(a) A(int64_t, astride, rank) D(b) A(int64_t, bstride, rank) \
    V(int, rank) A(int64_t, shape, rank) V(weft_dtype, dt)
#define WEFT_ARGS_axpy(D, V, A) D(y) V(double, alpha) D(x) V(int64_t, n) V(weft_dtype, dt)
#define WEFT_ARGS_scale(D, V, A) D(y) V(double, alpha) D(x) V(int64_t, n) V(weft_dtype, dt)
#define WEFT_ARGS_relu(D, V, A) D(y) D(x) V(int64_t, n) V(weft_dtype, dt)
#define WEFT_ARGS_relu_back(D, V, A) D(gx) D(y) D(gy) V(int64_t, n) V(weft_dtype, dt)
#define WEFT_ARGS_unary(D, V, A) \
    V(weft_unary, f) D(y) D(x) A(double, p, 2) V(int64_t, n) V(weft_dtype, dt)
#define WEFT_ARGS_unary_back(D, V, A) \
    V(weft_unary, f) D(gx) D(gy) D(x) D(y) A(double, p, 2) V(int64_t, n) V(weft_dtype, dt)
#define WEFT_ARGS_binary_back(D, V, A) \
    V(weft_binary, op) V(int, input) D(gx) D(gy) D(a) A(int64_t, astride, rank) D(b) \
    A(int64_t, bstride, rank) V(int, rank) A(int64_t, shape, rank) V(weft_dtype, dt)
#define WEFT_ARGS_compare(D, V, A) \
    V(weft_compare, op) D(y) D(a) A(int64_t, astride, rank) D(b) A(int64_t, bstride, rank) \
    V(int, rank) A(int64_t, shape, rank) V(weft_dtype, dt)
#define WEFT_ARGS_where(D, V, A) \
    D(y) D(c) A(int64_t, cstride, rank) D(a) A(int64_t, astride, rank) D(b) \
    A(int64_t, bstride, rank) V(int, rank) A(int64_t, shape, rank) V(weft_dtype, dt)
#define WEFT_ARGS_log_softmax(D, V, A) D(y) D(x) V(int64_t, rows) V(int64_t, c) V(weft_dtype, dt)
#define WEFT_ARGS_log_softmax_back(D, V, A) \
    D(gx) D(y) D(gy) V(int64_t, rows) V(int64_t, c) V(weft_dtype, dt)
#define WEFT_ARGS_extremum(D, V, A) \
    D(y) D(at) D(x) V(int, largest) V(int64_t, outer) V(int64_t, n) V(int64_t, inner) \
    V(weft_dtype, dt)
#define WEFT_ARGS_gather(D, V, A) \
    D(y) D(flag) D(x) A(int64_t, xstride, rank) D(index) V(weft_dtype, it) V(int, rank) \
    A(int64_t, shape, rank) V(int, dim) V(int64_t, n) V(weft_dtype, dt)
#define WEFT_ARGS_gather_back(D, V, A) \
    D(gx) A(int64_t, gxstride, rank) D(gy) D(index) V(weft_dtype, it) V(int, rank) \
    A(int64_t, shape, rank) V(int, dim) V(int64_t, n) V(weft_dtype, dt)
#define WEFT_ARGS_gemm_batch(D, V, A) \
    D(c) V(weft_dtype, ct) D(a) A(int64_t, astride, rank) V(int, ta) D(b) \
    A(int64_t, bstride, rank) V(int, tb) V(int, rank) A(int64_t, shape, rank) V(int64_t, m) \
    V(int64_t, n) V(int64_t, k) V(weft_dtype, dt)
#define WEFT_ARGS_sum(D, V, A) \
    D(y) V(weft_dtype, yt) A(int64_t, ystride, rank) V(double, alpha) D(x) \
    A(int64_t, xstride, rank) V(int, rank) A(int64_t, shape, rank) V(weft_dtype, dt)
#define WEFT_ARGS_softmax(D, V, A) D(y) D(x) V(int64_t, rows) V(int64_t, c) V(weft_dtype, dt)
#define WEFT_ARGS_softmax_back(D, V, A) \
    D(gx) D(y) D(gy) V(int64_t, rows) V(int64_t, c) V(weft_dtype, dt)
#define WEFT_ARGS_xent(D, V, A) \
    D(loss) D(p) D(flag) D(x) D(label) V(weft_dtype, lt) V(int64_t, rows) V(int64_t, c) \
    A(weft_xent_terms, o, 1) V(weft_dtype, dt)
#define WEFT_ARGS_xent_back(D, V, A) \
    D(gx) D(g) V(double, alpha) D(p) D(label) V(weft_dtype, lt) V(int64_t, rows) V(int64_t, c) \
    A(weft_xent_terms, o, 1) V(weft_dtype, dt)
#define WEFT_ARGS_correct(D, V, A) \
    D(y) D(x) D(label) V(weft_dtype, lt) V(int64_t, rows) V(int64_t, c) V(weft_dtype, dt)
#define WEFT_ARGS_loss(D, V, A) \
    D(y) D(x) D(t) V(int64_t, n) A(weft_loss_terms, o, 1) V(weft_dtype, dt)
#define WEFT_ARGS_loss_back(D, V, A) \
    D(gx) D(g) V(double, alpha) D(x) D(t) V(int64_t, n) A(weft_loss_terms, o, 1) V(weft_dtype, dt)
#define WEFT_ARGS_layernorm(D, V, A) \
    D(y) D(stats) D(x) D(w) D(b) V(int64_t, rows) V(int64_t, c) V(double, eps) V(weft_dtype, dt)
#define WEFT_ARGS_layernorm_back(D, V, A) \
    D(gx) D(gw) D(gb) D(gy) D(x) D(stats) D(w) V(int64_t, rows) V(int64_t, c) V(weft_dtype, dt)
#define WEFT_ARGS_embedding(D, V, A) \
    D(y) D(flag) D(w) D(index) V(weft_dtype, it) V(int64_t, n) V(int64_t, rows) V(int64_t, c) \
    V(weft_dtype, dt)
#define WEFT_ARGS_embedding_back(D, V, A) \
    D(gw) D(gy) D(index) V(weft_dtype, it) V(int64_t, n) V(int64_t, rows) V(int64_t, c) \
    V(int64_t, skip) V(int, beta) V(weft_dtype, dt)
#define WEFT_ARGS_dropout(D, V, A) D(y) D(x) A(weft_dropout_terms, o, 1) V(weft_dtype, dt)
#define WEFT_ARGS_normal(D, V, A) \
    D(y) V(uint64_t, seed) V(uint64_t, stream) V(int64_t, n) A(weft_normal_terms, o, 1) \
    V(weft_dtype, dt)
#define WEFT_ARGS_gemm(D, V, A) \
    D(c) V(weft_dtype, ct) V(int64_t, ldc) V(double, alpha) D(a) V(int64_t, lda) V(int, ta) D(b) \
    V(int64_t, ldb) V(int, tb) V(double, beta) V(int64_t, m) V(int64_t, n) V(int64_t, k) V(weft_dtype, dt)
#define WEFT_ARGS_bias(D, V, A) \
    D(y) D(b) V(int, act) V(int64_t, rows) V(int64_t, c) V(weft_dtype, dt)
#define WEFT_ARGS_uniform(D, V, A) \
    D(y) V(uint64_t, seed) V(uint64_t, stream) V(uint64_t, step) V(int64_t, first) V(int64_t, n) \
    V(double, lo) V(double, hi) V(weft_dtype, dt)
#define WEFT_ARGS_nonfinite(D, V, A) D(flag) D(x) V(int64_t, n) V(weft_dtype, dt)
#define WEFT_ARGS_dot(D, V, A) D(y) D(x) D(z) V(int64_t, n) V(weft_dtype, dt)
#define WEFT_ARGS_norm(D, V, A) \
    D(y) D(x) A(int64_t, run, 2 * (n)) V(int64_t, n) V(double, p) V(weft_dtype, dt)
#define WEFT_ARGS_root(D, V, A) D(y) D(x) V(double, p)
#define WEFT_ARGS_shrink(D, V, A) D(y) D(by) V(int64_t, n) V(weft_dtype, dt)
#define WEFT_ARGS_topk(D, V, A) \
    D(y) D(flag) D(x) D(label) V(weft_dtype, lt) V(int64_t, rows) V(int64_t, c) V(int64_t, k) \
    V(weft_dtype, dt)
#define WEFT_ARGS_confusion(D, V, A) \
    D(y) D(flag) D(x) D(label) V(weft_dtype, lt) V(int64_t, rows) V(int64_t, c) V(weft_dtype, dt)
#define WEFT_ARGS_sgd(D, V, A) \
    D(p) D(v) D(g) D(by) D(unless) A(int64_t, run, 2 * (runs)) V(int64_t, runs) \
    A(weft_sgd_step, o, 1) V(weft_dtype, dt)
#define WEFT_ARGS_adam(D, V, A) \
    D(p) D(m) D(v) D(top) D(g) D(by) D(unless) A(int64_t, run, 2 * (runs)) V(int64_t, runs) \
    A(weft_adam_step, o, 1) V(weft_dtype, dt)
#define WEFT_ARGS_rmsprop(D, V, A) \
    D(p) D(v) D(b) D(mean) D(g) D(by) D(unless) A(int64_t, run, 2 * (runs)) V(int64_t, runs) \
    A(weft_rmsprop_step, o, 1) V(weft_dtype, dt)
#define WEFT_ARGS_adagrad(D, V, A) \
    D(p) D(v) D(g) D(by) D(unless) A(int64_t, run, 2 * (runs)) V(int64_t, runs) \
    A(weft_adagrad_step, o, 1) V(weft_dtype, dt)
#define WEFT_ARGS_im2col(D, V, A) D(y) D(x) V(int64_t, n) A(weft_window, o, 1) V(weft_dtype, dt)
#define WEFT_ARGS_col2im(D, V, A) D(y) D(x) V(int64_t, n) A(weft_window, o, 1) V(weft_dtype, dt)
#define WEFT_ARGS_maxpool(D, V, A) \
    D(y) D(at) D(x) V(int64_t, n) A(weft_window, o, 1) V(weft_dtype, dt)
#define WEFT_ARGS_maxpool_back(D, V, A) \
    D(gx) D(gy) D(at) V(int64_t, n) A(weft_window, o, 1) V(weft_dtype, dt)
#define WEFT_ARGS_avgpool(D, V, A) \
    D(y) D(x) V(weft_average, how) V(int64_t, n) A(weft_window, o, 1) V(weft_dtype, dt)
#define WEFT_ARGS_avgpool_back(D, V, A) \
    D(gx) D(gy) V(weft_average, how) V(int64_t, n) A(weft_window, o, 1) V(weft_dtype, dt)
#define WEFT_ARGS_rmsnorm(D, V, A) \
    D(y) D(stats) D(x) D(w) V(int64_t, rows) V(int64_t, c) V(double, eps) V(weft_dtype, dt)
#define WEFT_ARGS_rmsnorm_back(D, V, A) \
    D(gx) D(gw) D(gy) D(x) D(stats) D(w) V(int64_t, rows) V(int64_t, c) V(weft_dtype, dt)
#define WEFT_ARGS_swiglu(D, V, A) D(y) D(a) D(b) V(int64_t, n) V(weft_dtype, dt)
#define WEFT_ARGS_swiglu_back(D, V, A) \
    D(ga) D(gb) D(gy) D(a) D(b) V(int64_t, n) V(weft_dtype, dt)
#define WEFT_ARGS_add_layernorm(D, V, A) \
    D(y) D(sum) D(stats) D(x) D(r) D(w) D(b) V(int64_t, rows) V(int64_t, c) V(double, eps) \
    V(weft_dtype, dt)
#define WEFT_ARGS_add_layernorm_back(D, V, A) \
    D(gx) D(gw) D(gb) D(gy) D(gsum) D(sum) D(stats) D(w) V(int64_t, rows) V(int64_t, c) \
    V(weft_dtype, dt)
#define WEFT_ARGS_channel_moments(D, V, A) \
    D(parts) D(x) V(int64_t, n) V(int64_t, c) V(int64_t, inner) V(weft_dtype, dt)
#define WEFT_ARGS_channel_stats(D, V, A) \
    D(stats) D(mean) D(var) D(batches) V(weft_dtype, rt) D(parts) V(int64_t, ranks) V(int64_t, c) \
    V(double, momentum) V(double, eps)
#define WEFT_ARGS_channel_norm(D, V, A) \
    D(y) D(x) D(stats) D(w) D(b) V(weft_dtype, wt) V(int64_t, n) V(int64_t, c) V(int64_t, inner) \
    V(int64_t, groups) V(weft_dtype, dt)
#define WEFT_ARGS_channel_sums(D, V, A) \
    D(sums) D(gy) D(x) D(stats) V(int64_t, n) V(int64_t, c) V(int64_t, inner) V(int64_t, groups) \
    V(weft_dtype, dt)
#define WEFT_ARGS_channel_norm_back(D, V, A) \
    D(gx) D(gy) D(x) D(stats) D(sums) D(w) V(weft_dtype, wt) V(int64_t, n) V(int64_t, c) \
    V(int64_t, inner) V(int64_t, groups) V(weft_dtype, dt)
#define WEFT_ARGS_attention(D, V, A) \
    D(y) D(lse) D(q) D(k) D(v) A(weft_attention_terms, o, 1) V(weft_dtype, dt)
#define WEFT_ARGS_attention_back(D, V, A) \
    D(gq) D(gk) D(gv) D(delta) D(gy) D(q) D(k) D(v) D(y) D(lse) A(weft_attention_terms, o, 1) \
    V(weft_dtype, dt)
#define WEFT_ARGS_rotary(D, V, A) D(y) D(x) A(weft_rotary_terms, o, 1) V(weft_dtype, dt)
#define WEFT_ARGS_linear(D, V, A) \
    D(y) D(pre) D(x) D(w) D(b) V(int, act) V(int64_t, rows) V(int64_t, c) V(int64_t, o) V(weft_dtype, dt)
#define WEFT_ARGS_linear_back(D, V, A) \
    D(gw) D(gb) V(weft_dtype, gt) D(gy) D(x) V(int64_t, rows) V(int64_t, c) V(int64_t, o) \
    V(weft_dtype, dt)
#define WEFT_ARGS_linear_relu_back(D, V, A) \
    D(g) D(gb) V(weft_dtype, gt) D(y) D(gy) V(int64_t, rows) V(int64_t, o) V(weft_dtype, dt)
#define WEFT_ARGS_linear_gelu_back(D, V, A) \
    D(g) D(gy) D(w) D(pre) V(int64_t, rows) V(int64_t, c) V(int64_t, o) V(weft_dtype, dt)
#define WEFT_ARGS_code8(D, V, A) \
    D(q) D(qt) D(scale) D(x) V(int, format) V(int64_t, rows) V(int64_t, c) V(weft_dtype, dt)
#define WEFT_ARGS_gemm8(D, V, A) \
    D(c) V(weft_dtype, ct) D(a) D(ascale) V(int, aformat) D(b) D(bscale) V(int, bformat) D(bias) \
    V(int64_t, m) V(int64_t, n) V(int64_t, k)
#define WEFT_ARGS_conv(D, V, A) \
    D(y) D(x) D(w) D(b) D(room) A(weft_conv_terms, t, 1) V(weft_dtype, dt)
#define WEFT_ARGS_conv_back(D, V, A) \
    D(gx) V(weft_dtype, xt) D(gw) D(gy) D(x) D(w) D(room) A(weft_conv_terms, t, 1) V(weft_dtype, dt)
#define WEFT_ARGS_xent_lse(D, V, A) \
    D(loss) D(lse) D(flag) D(x) D(label) V(weft_dtype, lt) V(int64_t, rows) V(int64_t, c) \
    A(weft_xent_terms, o, 1) V(weft_dtype, dt)
#define WEFT_ARGS_xent_lse_back(D, V, A) \
    D(gx) D(g) V(double, alpha) D(x) D(lse) D(label) V(weft_dtype, lt) V(int64_t, rows) \
    V(int64_t, c) A(weft_xent_terms, o, 1) V(weft_dtype, dt)
#define WEFT_ARGS_cut(D, V, A) D(by) D(norm) V(double, limit)
#define WEFT_ARGS_scaler(D, V, A) D(state) D(found) V(int, edge) A(weft_scaler_rule, o, 1)

/* Those that all devices here have, and all. */
#define WEFT_KERNEL_COMMON(K) \
    K(fill) K(copy) K(binary) K(axpy) K(scale) K(relu) K(relu_back) K(unary) K(unary_back) \
    K(binary_back) K(compare) K(where) K(log_softmax) K(log_softmax_back) K(extremum) K(gather) \
    K(gather_back) K(gemm_batch) K(sum) K(softmax) K(softmax_back) K(xent) K(xent_back) K(correct) \
    K(loss) K(loss_back) K(layernorm) K(layernorm_back) K(embedding) K(embedding_back) K(dropout) \
    K(normal) K(gemm) K(bias) K(uniform) K(nonfinite) K(dot) K(norm) K(root) K(shrink) K(topk) \
    K(confusion) K(sgd) K(adam) K(rmsprop) K(adagrad) K(im2col) K(col2im) K(maxpool) \
    K(maxpool_back) K(avgpool) K(avgpool_back) \
    K(rmsnorm) K(rmsnorm_back) K(swiglu) K(swiglu_back) K(add_layernorm) K(add_layernorm_back) \
    K(channel_moments) K(channel_stats) K(channel_norm) K(channel_sums) K(channel_norm_back) \
    K(attention) K(attention_back) K(rotary) \
    K(linear) K(linear_back) K(linear_gelu_back) K(code8) K(gemm8) K(conv) K(conv_back) K(xent_lse) \
    K(xent_lse_back) K(cut) K(scaler)
#define WEFT_KERNEL_LIST(K) WEFT_KERNEL_COMMON(K) K(linear_relu_back)
/* clang-format on */

/* "weft_stream *s, weft_dev y, ..." */
#define WEFT__DEVICE_ARG(name) , weft_dev name
#define WEFT__VALUE_ARG(type, name) , type name
#define WEFT__ARRAY_ARG(type, name, count) , const type *name
#define WEFT_KERNEL_ARGS(kernel)                                                                   \
    weft_stream *s WEFT_ARGS_##kernel(WEFT__DEVICE_ARG, WEFT__VALUE_ARG, WEFT__ARRAY_ARG)

/* Each returns WEFT_OK once enqueued, or what stopped it. */
typedef struct weft_kernels {
#define WEFT__MEMBER(name) weft_status (*name)(WEFT_KERNEL_ARGS(name));
    WEFT_KERNEL_LIST(WEFT__MEMBER)
#undef WEFT__MEMBER
} weft_kernels;

WEFT_END
#endif
