/* Descriptors of cuDNN's: tensors, and the operations between them, in the order in which they are added. */
#include "device/cuda/cudnn.h"

#include <string.h>

#define FIRST_INNER 100 /* numbers of tensors that are not in memory, from here on */

cudnnBackendDescriptor_t weft__dnn_new(weft__dnn_graph *g, cudnnBackendDescriptorType_t type)
{
    cudnnBackendDescriptor_t d = NULL;
    if (!g->code && g->made == WEFT__DNN_MOST)
        g->code = CUDNN_STATUS_INTERNAL_ERROR;
    if (!g->code)
        g->code = g->lib->cudnnBackendCreateDescriptor(type, &d);
    if (g->code && !g->failed)
        g->failed = "a new descriptor";
    return g->code ? NULL : (g->descriptor[g->made++] = d);
}

void weft__dnn_set(weft__dnn_graph *g, cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t name,
                   cudnnBackendAttributeType_t type, int64_t n, const void *values)
{
    if (!g->code && (g->code = g->lib->cudnnBackendSetAttribute(d, name, type, n, values)))
        g->failed = "an attribute";
}

void weft__dnn_done(weft__dnn_graph *g, cudnnBackendDescriptor_t d, const char *what)
{
    if (!g->code && (g->code = g->lib->cudnnBackendFinalize(d)))
        g->failed = what;
}

static void refer(weft__dnn_graph *g, cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t name,
                  cudnnBackendDescriptor_t to)
{
    weft__dnn_set(g, d, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &to);
}

static weft__dnn_tensor tensor(weft__dnn_graph *g, int64_t number, cudnnDataType_t t,
                               const int64_t *shape, const int64_t *stride, bool hosts)
{
    const int64_t align = 16;
    const bool inner = number >= FIRST_INNER;
    weft__dnn_tensor x = {.is = weft__dnn_new(g, CUDNN_BACKEND_TENSOR_DESCRIPTOR)};
    memcpy(x.shape, shape, sizeof x.shape);
    memcpy(x.stride, stride, sizeof x.stride);
    weft__dnn_set(g, x.is, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &number);
    weft__dnn_set(g, x.is, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &t);
    weft__dnn_set(g, x.is, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, shape);
    weft__dnn_set(g, x.is, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, stride);
    weft__dnn_set(g, x.is, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &align);
    weft__dnn_set(g, x.is, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &inner);
    weft__dnn_set(g, x.is, CUDNN_ATTR_TENSOR_IS_BY_VALUE, CUDNN_TYPE_BOOLEAN, 1, &hosts);
    weft__dnn_done(g, x.is, "a tensor");
    return x;
}

weft__dnn_tensor weft__dnn_stored(weft__dnn_graph *g, int number, cudnnDataType_t t,
                                  const int64_t *shape, const int64_t *stride)
{
    return tensor(g, number, t, shape, stride, false);
}

weft__dnn_tensor weft__dnn_scalar(weft__dnn_graph *g, int number, cudnnDataType_t t)
{
    const int64_t one[4] = {1, 1, 1, 1};
    return tensor(g, number, t, one, one, true);
}

weft__dnn_tensor weft__dnn_inner_strided(weft__dnn_graph *g, cudnnDataType_t t,
                                         const int64_t *shape, const int64_t *stride)
{
    return tensor(g, FIRST_INNER + g->inner++, t, shape, stride, false);
}

weft__dnn_tensor weft__dnn_inner(weft__dnn_graph *g, cudnnDataType_t t, const int64_t *shape)
{
    const int64_t stride[4] = {shape[1] * shape[2] * shape[3], shape[2] * shape[3], shape[3], 1};
    return weft__dnn_inner_strided(g, t, shape, stride);
}

void weft__dnn_turn(int64_t *shape_or_stride)
{
    const int64_t last = shape_or_stride[3];
    shape_or_stride[3] = shape_or_stride[2];
    shape_or_stride[2] = last;
}

static void operation(weft__dnn_graph *g, cudnnBackendDescriptor_t d, const char *what)
{
    weft__dnn_done(g, d, what);
    if (!g->code && g->operations == WEFT__DNN_OPERATIONS) {
        g->code = CUDNN_STATUS_INTERNAL_ERROR;
        g->failed = "too many operations";
    }
    if (!g->code)
        g->operation[g->operations++] = d;
}

void weft__dnn_matmul(weft__dnn_graph *g, const weft__dnn_tensor *a, const weft__dnn_tensor *b,
                      const weft__dnn_tensor *c)
{
    const cudnnDataType_t t = CUDNN_DATA_FLOAT;
    cudnnBackendDescriptor_t how = weft__dnn_new(g, CUDNN_BACKEND_MATMUL_DESCRIPTOR);
    weft__dnn_set(g, how, CUDNN_ATTR_MATMUL_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &t);
    weft__dnn_done(g, how, "a product's type");
    cudnnBackendDescriptor_t d = weft__dnn_new(g, CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR);
    refer(g, d, CUDNN_ATTR_OPERATION_MATMUL_ADESC, a->is);
    refer(g, d, CUDNN_ATTR_OPERATION_MATMUL_BDESC, b->is);
    refer(g, d, CUDNN_ATTR_OPERATION_MATMUL_CDESC, c->is);
    refer(g, d, CUDNN_ATTR_OPERATION_MATMUL_DESC, how);
    operation(g, d, "a product");
}

/* axis -1: the mode has none. */
static void pointwise(weft__dnn_graph *g, cudnnPointwiseMode_t mode, cudnnDataType_t t,
                      int64_t axis, const weft__dnn_tensor *x, const weft__dnn_tensor *b,
                      const weft__dnn_tensor *is, const weft__dnn_tensor *y)
{
    cudnnBackendDescriptor_t how = weft__dnn_new(g, CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
    weft__dnn_set(g, how, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode);
    weft__dnn_set(g, how, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1, &t);
    if (axis >= 0)
        weft__dnn_set(g, how, CUDNN_ATTR_POINTWISE_AXIS, CUDNN_TYPE_INT64, 1, &axis);
    weft__dnn_done(g, how, "how something is computed");
    cudnnBackendDescriptor_t d = weft__dnn_new(g, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
    refer(g, d, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, how);
    refer(g, d, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x->is);
    if (b)
        refer(g, d, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, b->is);
    if (is)
        refer(g, d, CUDNN_ATTR_OPERATION_POINTWISE_TDESC, is->is);
    refer(g, d, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y->is);
    operation(g, d, "what is computed of each number");
}

void weft__dnn_each(weft__dnn_graph *g, cudnnPointwiseMode_t mode, cudnnDataType_t t,
                    const weft__dnn_tensor *x, const weft__dnn_tensor *b, const weft__dnn_tensor *y)
{
    pointwise(g, mode, t, -1, x, b, NULL, y);
}

void weft__dnn_index(weft__dnn_graph *g, int64_t axis, const weft__dnn_tensor *x,
                     const weft__dnn_tensor *y)
{
    pointwise(g, CUDNN_POINTWISE_GEN_INDEX, CUDNN_DATA_FLOAT, axis, x, NULL, NULL, y);
}

void weft__dnn_select(weft__dnn_graph *g, const weft__dnn_tensor *x, const weft__dnn_tensor *b,
                      const weft__dnn_tensor *is, const weft__dnn_tensor *y)
{
    pointwise(g, CUDNN_POINTWISE_BINARY_SELECT, CUDNN_DATA_FLOAT, -1, x, b, is, y);
}

void weft__dnn_reduce(weft__dnn_graph *g, cudnnReduceTensorOp_t op, const weft__dnn_tensor *x,
                      const weft__dnn_tensor *y)
{
    const cudnnDataType_t t = CUDNN_DATA_FLOAT;
    cudnnBackendDescriptor_t how = weft__dnn_new(g, CUDNN_BACKEND_REDUCTION_DESCRIPTOR);
    weft__dnn_set(g, how, CUDNN_ATTR_REDUCTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &t);
    weft__dnn_set(g, how, CUDNN_ATTR_REDUCTION_OPERATOR, CUDNN_TYPE_REDUCTION_OPERATOR_TYPE, 1,
                  &op);
    weft__dnn_done(g, how, "how something is reduced");
    cudnnBackendDescriptor_t d = weft__dnn_new(g, CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR);
    refer(g, d, CUDNN_ATTR_OPERATION_REDUCTION_XDESC, x->is);
    refer(g, d, CUDNN_ATTR_OPERATION_REDUCTION_YDESC, y->is);
    refer(g, d, CUDNN_ATTR_OPERATION_REDUCTION_DESC, how);
    operation(g, d, "a reduction");
}

void weft__dnn_reshape(weft__dnn_graph *g, const weft__dnn_tensor *x, const weft__dnn_tensor *y)
{
    cudnnBackendDescriptor_t d = weft__dnn_new(g, CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR);
    refer(g, d, CUDNN_ATTR_OPERATION_RESHAPE_XDESC, x->is);
    refer(g, d, CUDNN_ATTR_OPERATION_RESHAPE_YDESC, y->is);
    operation(g, d, "a reshape");
}

void weft__dnn_free(weft__dnn_graph *g)
{
    while (g->made)
        g->lib->cudnnBackendDestroyDescriptor(g->descriptor[--g->made]);
}
