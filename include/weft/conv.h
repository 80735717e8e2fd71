/* Convolutions and pooling of images (N,C,H,W), as torch.nn.functional's: ops, for which the rules of
 * <weft/ops.h> hold, and modules around them. Rows and columns have the same options unless those that
 * end in _w, of columns, say otherwise. The batch's rows are the images; results do not depend on the
 * number of threads. */
#ifndef WEFT_CONV_H
#define WEFT_CONV_H
#include <weft/base.h>
#include <weft/tensor.h>
WEFT_BEGIN

typedef struct weft_conv_options {
    int64_t stride WEFT_INIT;    /* default 1 */
    int64_t padding WEFT_INIT;   /* rows and columns of zeros on each side; default 0 */
    int64_t dilation WEFT_INIT;  /* between the places of a window; default 1 */
    int64_t groups WEFT_INIT;    /* into which channels are cut; default 1 */
    int64_t stride_w WEFT_INIT;  /* of columns; default: as of rows */
    int64_t padding_w WEFT_INIT; /* the same; WEFT_OFF: 0 */
    int64_t dilation_w WEFT_INIT;
    int64_t kernel_w WEFT_INIT; /* of weft_nn_conv2d */
    bool no_bias WEFT_INIT;     /* of weft_nn_conv2d */
    WEFT_PTR(weft_conv_options)
} weft_conv_options;
#define WEFT_CONV(...) WEFT__ARGS(weft_conv_options, __VA_ARGS__)

/* y[n][o][r][c] = b[o] + the sum over channel i of o's group and place (p, q) of the window of
 *   w[o][i][p][q] x[n][i][r stride - padding + p dilation][the same of c and q]
 * where x is 0 outside: x (N,C,H,W), weight (O,C/groups,kh,kw), bias (O) or NULL -> (N,O,H',W') with
 *   H' = floor((H + 2 padding - dilation (kh - 1) - 1) / stride) + 1
 * and the same of W'. groups divides C and O; groups = C: each channel alone (depthwise). f64, groups,
 * images that no cache holds, and what has no AVX-512 by products with columns of windows, some images at a
 * time, else image by image, bf16 by AMX. WEFT_EARG: an option has no such value. */
WEFT_API weft_tensor *weft_conv2d(weft_tensor *x, weft_tensor *weight, weft_tensor *bias,
                                  const weft_conv_options *o);
/* The same of x (N,C,L) and weight (O,C/groups,k) -> (N,O,L'); options are those of rows. */
WEFT_API weft_tensor *weft_conv1d(weft_tensor *x, weft_tensor *weight, weft_tensor *bias,
                                  const weft_conv_options *o);

typedef struct weft_pool_options {
    int64_t kernel WEFT_INIT;    /* extent of a window; required */
    int64_t stride WEFT_INIT;    /* default: the kernel's extent */
    int64_t padding WEFT_INIT;   /* on each side, at most half the kernel; default 0 */
    int64_t dilation WEFT_INIT;  /* of weft_max_pool2d; default 1 */
    int64_t kernel_w WEFT_INIT;  /* of columns; default: as of rows */
    int64_t stride_w WEFT_INIT;  /* default: as of rows, or the kernel's extent */
    int64_t padding_w WEFT_INIT; /* default: as of rows; WEFT_OFF: 0 */
    int64_t dilation_w WEFT_INIT;
    bool exclude_padding WEFT_INIT; /* of weft_avg_pool2d: PyTorch's count_include_pad=False */
    WEFT_PTR(weft_pool_options)
} weft_pool_options;
#define WEFT_POOL(...) WEFT__ARGS(weft_pool_options, __VA_ARGS__)

/* The largest element of each window: (N,C,H,W) -> (N,C,H',W') by the formula of weft_conv2d; padding is
 * never the largest, NaN is. The gradient goes to the first element that has the value. */
WEFT_API weft_tensor *weft_max_pool2d(weft_tensor *x, const weft_pool_options *o);
/* The mean of each window. Padding counts as zeros, unless options exclude it. */
WEFT_API weft_tensor *weft_avg_pool2d(weft_tensor *x, const weft_pool_options *o);
/* Means over windows that cut images into height x width parts, of nearly equal extents: part r has the
 * rows from floor(r H / height) to before ceil((r + 1) H / height). -> (N,C,height,width). */
WEFT_API weft_tensor *weft_adaptive_avg_pool2d(weft_tensor *x, int64_t height, int64_t width);
/* The mean of each channel: (N,C,H,W) -> (N,C), or whatever follows (N,C). */
WEFT_API weft_tensor *weft_global_avg_pool(weft_tensor *x);

/* weft_conv2d of `in` channels to `out`, by windows of kernel x kernel (or kernel_w). Parameters weight
 * (out,in/groups,kernel,kernel_w) and bias (out), both uniform in +-1/sqrt(in/groups kernel kernel_w),
 * PyTorch's initialisation. */
WEFT_API weft_module *weft_nn_conv2d(weft_fabric *f, int64_t in, int64_t out, int64_t kernel,
                                     const weft_conv_options *o);
WEFT_API weft_module *weft_nn_max_pool2d(weft_fabric *f, const weft_pool_options *o);
WEFT_API weft_module *weft_nn_avg_pool2d(weft_fabric *f, const weft_pool_options *o);
WEFT_API weft_module *weft_nn_adaptive_avg_pool2d(weft_fabric *f, int64_t height, int64_t width);
WEFT_API weft_module *weft_nn_global_avg_pool(weft_fabric *f);

WEFT_END
#endif
