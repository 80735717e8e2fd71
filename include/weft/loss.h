/* Losses, as those of torch.nn.functional. They are operations: the rules of <weft/ops.h> hold.
 *
 * reduction: NULL or "mean"; "sum"; or "none", which gives the loss of each element or label. A
 * mean is over all elements, and over the labels that count. Ranks weigh their means by the true
 * denominators: by rows, and with ignored labels or class weights by the sum of the weights of the
 * labels that count. So N ranks compute what one rank would on the same global batch, however
 * unevenly those labels are spread; a rank with none of them adds zeros. The first weft_backward
 * that needs such a sum over ranks reduces its gradients twice; from then on each one pays an
 * all-reduce of 8 bytes. Two means with different denominators cannot be added up (WEFT_EARG): call
 * weft_backward for each, gradients add up. */
#ifndef WEFT_LOSS_H
#define WEFT_LOSS_H
#include <weft/base.h>
#include <weft/tensor.h>
WEFT_BEGIN

/* The mean over the batch of -log softmax(logits)[label]: logits (B,C), labels (B) of type u8, i32
 * or i64 -> rank 0. A label outside 0..C-1 is WEFT_EDATA and names rank and sample. */
WEFT_API weft_tensor *weft_cross_entropy(weft_tensor *logits, weft_tensor *labels);
/* The same, summed instead of averaged. */
WEFT_API weft_tensor *weft_cross_entropy_sum(weft_tensor *logits, weft_tensor *labels);

typedef struct weft_cross_entropy_options {
    const char *reduction WEFT_INIT;  /* "mean" (default), "sum", "none" */
    int64_t ignore_index WEFT_INIT;   /* a label that does not count, -100 say; 0: all count */
    bool ignore_zero WEFT_INIT;       /* label 0 is the one that does not count */
    double label_smoothing WEFT_INIT; /* e in [0, 1]; default 0 */
    weft_tensor *weight WEFT_INIT;    /* (C) of the classes, f32 or f64, no gradient; default 1 */
    WEFT_PTR(weft_cross_entropy_options)
} weft_cross_entropy_options;
#define WEFT_CROSS_ENTROPY(...) WEFT__ARGS(weft_cross_entropy_options, __VA_ARGS__)

/* Cross entropy with options: logits (B,C) or (B,C,d1,...), labels (B) or (B,d1,...). Of a label y,
 *   (1 - e) w[y] (-log p[y]) + e/C sum_j w[j] (-log p[j]),  p = softmax(logits)
 * and the mean is their sum over the sum of w[y]. Labels that do not count give 0. */
WEFT_API weft_tensor *weft_cross_entropy_with(weft_tensor *logits, weft_tensor *labels,
                                              const weft_cross_entropy_options *o);
/* The same on log-probabilities, as weft_log_softmax gives them: -w[y] x[y]. No label_smoothing
 * (WEFT_EARG). */
WEFT_API weft_tensor *weft_nll_loss(weft_tensor *log_probs, weft_tensor *labels,
                                    const weft_cross_entropy_options *o);

typedef struct weft_linear_cross_entropy_options {
    const char *reduction WEFT_INIT; /* "mean" (default), "sum", "none" */
    int64_t ignore_index WEFT_INIT;  /* as of weft_cross_entropy_with */
    bool ignore_zero WEFT_INIT;
    double label_smoothing WEFT_INIT;
    int64_t chunk WEFT_INIT; /* rows at a time; default: no more logits than x has numbers, but at
                                least 512 rows */
    WEFT_PTR(weft_linear_cross_entropy_options)
} weft_linear_cross_entropy_options;
#define WEFT_LINEAR_CROSS_ENTROPY(...) WEFT__ARGS(weft_linear_cross_entropy_options, __VA_ARGS__)

/* A classifier and its loss: weft_cross_entropy_with(weft_linear(x, weight, bias), labels), x (...,I),
 * weight (O,I), bias (O) or NULL, labels (...). Logits are made of so many rows at a time, and again for
 * the gradient: they are never stored whole, which saves memory where there are many classes and costs
 * a third more products. Logits and loss are f32 where x has 16 bits. weight may be that of an
 * embedding, whose rows are the classes. */
WEFT_API weft_tensor *weft_linear_cross_entropy(weft_tensor *x, weft_tensor *weight,
                                                weft_tensor *bias, weft_tensor *labels,
                                                const weft_linear_cross_entropy_options *o);

/* Of losses between two tensors of one shape. What a loss does not name it refuses (WEFT_EARG). */
typedef struct weft_loss_options {
    const char *reduction WEFT_INIT;   /* "mean" (default), "sum", "none"; "batchmean" of kl_div */
    double delta WEFT_INIT;            /* of huber; above 0, default 1 */
    double beta WEFT_INIT;             /* of smooth_l1; above 0, default 1 */
    weft_tensor *pos_weight WEFT_INIT; /* of bce_with_logits; no gradient; default 1 */
    bool log_target WEFT_INIT;         /* of kl_div: the target is a logarithm too */
    WEFT_PTR(weft_loss_options)
} weft_loss_options;
#define WEFT_LOSS(...) WEFT__ARGS(weft_loss_options, __VA_ARGS__)

/* x and y of one shape; y is the target, and gets a gradient too where it asks for one. With
 * d = x - y the loss of an element is
 *   mse   d^2
 *   l1    |d|, its gradient at 0 is 0
 *   huber d^2/2 where |d| <= delta, else delta (|d| - delta/2)
 *   smooth_l1  d^2/(2 beta) where |d| < beta, else |d| - beta/2 */
WEFT_API weft_tensor *weft_mse_loss(weft_tensor *x, weft_tensor *y, const weft_loss_options *o);
WEFT_API weft_tensor *weft_l1_loss(weft_tensor *x, weft_tensor *y, const weft_loss_options *o);
WEFT_API weft_tensor *weft_huber_loss(weft_tensor *x, weft_tensor *y, const weft_loss_options *o);
WEFT_API weft_tensor *weft_smooth_l1_loss(weft_tensor *x, weft_tensor *y,
                                          const weft_loss_options *o);
/* -w y log s(x) - (1 - y) log(1 - s(x)), s the logistic function, computed without overflow; y in
 * [0, 1], w the pos_weight: one number, or one for each position of the last dimension. */
WEFT_API weft_tensor *weft_bce_with_logits(weft_tensor *x, weft_tensor *y,
                                           const weft_loss_options *o);
/* y (log y - x), and 0 where y is 0: x log-probabilities, y probabilities; with log_target
 * exp(y) (y - x). "batchmean" is the sum over the extent of dimension 0, the divergence of
 * distributions in rows; "mean" also divides by what a row holds, as in PyTorch. */
WEFT_API weft_tensor *weft_kl_div(weft_tensor *x, weft_tensor *y, const weft_loss_options *o);

WEFT_END
#endif
