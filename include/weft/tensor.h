/* Tensors: n-dimensional arrays on the fabric's device. Shapes are int64_t, dimension 0 first;
 * strides are in elements. Nothing here is collective. */
#ifndef WEFT_TENSOR_H
#define WEFT_TENSOR_H
#include <weft/base.h>
#include <weft/status.h>
WEFT_BEGIN

/* Lifetimes. A tensor made by an op, or by these functions inside a loop, lives until the next
 * step's edge (weft_next of the loop's loader, or weft_step_end). weft_retain keeps it until
 * weft_release. Parameters live with their module. */

/* A new tensor with the values of data (row-major host memory, copied). dtype 0 is the fabric's
 * and data is then of that type. data NULL gives zeros. @return NULL after an error has stuck. */
WEFT_API weft_tensor *weft_tensor_of(weft_fabric *f, const void *data, int rank,
                                     const int64_t *shape, weft_dtype dtype);
/* Pins memory of the program's, so that a GPU reads it by itself: weft_tensor_of then returns before what lies in it was
 * copied, and it must not change before the second edge from there. It stays the program's, at its place, until
 * weft_unpin_memory, which waits for what still reads it, or weft_close. Changes nothing on devices that compute in the
 * host's memory. @return 0; WEFT_EARG: NULL, 0 bytes, or some are pinned; WEFT_ENOMEM: the system locks no more pages */
WEFT_API weft_status weft_pin_memory(weft_fabric *f, void *memory, size_t bytes);
/* memory: what was pinned (WEFT_EARG else). */
WEFT_API weft_status weft_unpin_memory(weft_fabric *f, void *memory);
/* Zero-copy: a tensor over the caller's memory, row-major, which must stay valid and unmoved while
 * the tensor lives. Only devices that compute in host memory can do it (WEFT_ENOTSUP else). */
WEFT_API weft_tensor *weft_wrap(weft_fabric *f, void *ptr, int rank, const int64_t *shape,
                                weft_dtype dtype);
/* A new tensor whose elements all have one value. */
WEFT_API weft_tensor *weft_full(weft_fabric *f, double value, int rank, const int64_t *shape,
                                weft_dtype dtype);

/* A copy of the tensor that lives until weft_release, without its history. */
WEFT_API weft_tensor *weft_retain(weft_tensor *t);
/* Gives a tensor back early. NULL is allowed. */
WEFT_API void weft_release(weft_tensor *t);
/* The values without their history: no gradient flows through it. Shares memory. */
WEFT_API weft_tensor *weft_detach(weft_tensor *t);
/* Asks that weft_backward keep the gradient of this tensor, to be had from weft_gradient. */
WEFT_API weft_status weft_require_grad(weft_tensor *t);

/* Facts. Of an invalid tensor: 0, -1, NULL or false, and the error sticks. */
WEFT_API int weft_rank_of(weft_tensor *t);
WEFT_API int64_t weft_dim(weft_tensor *t, int d); /* d < 0 counts from the last */
WEFT_API int64_t weft_numel(weft_tensor *t);
WEFT_API weft_dtype weft_dtype_of(weft_tensor *t);
WEFT_API bool weft_is_valid(weft_tensor *t);

/* Copies all elements to row-major host memory of the tensor's dtype; waits for the device.
 * bytes must be exactly numel x element size (WEFT_EARG). */
WEFT_API weft_status weft_copy_out(weft_tensor *t, void *host, size_t bytes);
/* Overwrites all elements from row-major host memory of the tensor's dtype. */
WEFT_API weft_status weft_copy_in(weft_tensor *t, const void *host, size_t bytes);
/* The host address of the first element, for devices that compute in host memory; NULL, silently, on
 * others. Of weft_wrap's tensor, and of those that share its memory, it lies in the program's own. Waits
 * for the device; to be read before the next op or edge, and on tensors that are not row-major by their
 * strides, which only weft_copy_out knows. */
WEFT_API void *weft_data_pointer(weft_tensor *t);
/* The value of a tensor with one element; waits for the device. NaN if there is none. */
WEFT_API double weft_item(weft_tensor *t);

WEFT_END
#endif
