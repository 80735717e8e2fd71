/* cuDNN's fused attention. cuDNN is looked for when attention first runs, and never linked. A graph of
 * operations is described (cudnn_graph.c), for attention (cudnn_forward.c) or its gradient
 * (cudnn_back.c), and becomes a plan (cudnn_plan.c); cudnn.c keeps one for each shape. None of that but
 * cudnn.c needs a GPU. */
#ifndef DEVICE_CUDA_CUDNN_H
#define DEVICE_CUDA_CUDNN_H
#include <cudnn.h>
#include <weft/sys/kernels.h>

#define WEFT__CUDNN_FUNCTIONS(F)                                                                   \
    F(cudnnCreate)                                                                                 \
    F(cudnnDestroy)                                                                                \
    F(cudnnSetStream)                                                                              \
    F(cudnnGetVersion)                                                                             \
    F(cudnnGetErrorString)                                                                         \
    F(cudnnBackendCreateDescriptor)                                                                \
    F(cudnnBackendDestroyDescriptor)                                                               \
    F(cudnnBackendSetAttribute)                                                                    \
    F(cudnnBackendGetAttribute)                                                                    \
    F(cudnnBackendFinalize)                                                                        \
    F(cudnnBackendExecute)

typedef struct weft__cudnn {
    bool there;
    char text[160]; /* "cuDNN 9.19.0", or why it is not there */
#define MEMBER(name) __typeof__(name) *name;
    WEFT__CUDNN_FUNCTIONS(MEMBER)
#undef MEMBER
} weft__cudnn;

/* By the soname of the version that the header was of. What is there stays until the process ends. */
void weft__cudnn_load(weft__cudnn *l);

/* What a plan is for. Compared as bytes: no padding, unused members 0. */
typedef struct weft__attention_shape {
    int64_t batch, heads, kv_heads, queries, keys, size, vsize;
    int64_t q[3], k[3], v[3], y[3], gq[3], gk[3], gv[3]; /* strides as of weft_attention_terms */
    int32_t dt, causal, shifted,
        back; /* shifted: the last query sees all keys, not the first one the first */
} weft__attention_shape;

_Static_assert(sizeof(weft__attention_shape) == 28 * sizeof(int64_t) + 4 * sizeof(int32_t),
               "no padding");

/* Tensors in memory, by the numbers that graphs name them with; and the numbers that the host gives. */
enum {
    WEFT__DNN_Q = 1,
    WEFT__DNN_K,
    WEFT__DNN_V,
    WEFT__DNN_Y,
    WEFT__DNN_LSE,
    WEFT__DNN_GY,
    WEFT__DNN_GQ,
    WEFT__DNN_GK,
    WEFT__DNN_GV,
    WEFT__DNN_DELTA,
    WEFT__DNN_SCALE, /* f32 */
    WEFT__DNN_ONE,   /* f32: 1 */
    WEFT__DNN_NEVER, /* f32: what a key that is not seen scores */
    WEFT__DNN_KEYS,  /* int32, as QUERIES */
    WEFT__DNN_QUERIES,
    WEFT__DNN_TENSORS
};

#define WEFT__DNN_MOST 128
#define WEFT__DNN_OPERATIONS 32

/* A graph on its way. After a first failure calls do nothing. */
typedef struct weft__dnn_graph {
    const weft__cudnn *lib;
    cudnnStatus_t code;
    const char *failed; /* the first to */
    int made, operations;
    int64_t inner; /* tensors that are nowhere in memory */
    cudnnBackendDescriptor_t descriptor[WEFT__DNN_MOST], operation[WEFT__DNN_OPERATIONS];
} weft__dnn_graph;

typedef struct weft__dnn_tensor {
    cudnnBackendDescriptor_t is;
    int64_t shape[4], stride[4];
} weft__dnn_tensor;

/* cudnn_graph.c */
cudnnBackendDescriptor_t weft__dnn_new(weft__dnn_graph *g, cudnnBackendDescriptorType_t type);
void weft__dnn_set(weft__dnn_graph *g, cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t name,
                   cudnnBackendAttributeType_t type, int64_t n, const void *values);
void weft__dnn_done(weft__dnn_graph *g, cudnnBackendDescriptor_t d, const char *what);
/* Of rank 4. In memory under a number from above, 16-byte aligned; */
weft__dnn_tensor weft__dnn_stored(weft__dnn_graph *g, int number, cudnnDataType_t t,
                                  const int64_t *shape, const int64_t *stride);
/* of the host's, one number; */
weft__dnn_tensor weft__dnn_scalar(weft__dnn_graph *g, int number, cudnnDataType_t t);
/* nowhere, packed: as `shape`. */
weft__dnn_tensor weft__dnn_inner(weft__dnn_graph *g, cudnnDataType_t t, const int64_t *shape);
weft__dnn_tensor weft__dnn_inner_strided(weft__dnn_graph *g, cudnnDataType_t t,
                                         const int64_t *shape, const int64_t *stride);
/* The last two dimensions the other way round, in the same place. */
void weft__dnn_turn(int64_t *shape_or_stride);
void weft__dnn_matmul(weft__dnn_graph *g, const weft__dnn_tensor *a, const weft__dnn_tensor *b,
                      const weft__dnn_tensor *c);
/* y = x mode b, computed in t; b NULL: of one operand. */
void weft__dnn_each(weft__dnn_graph *g, cudnnPointwiseMode_t mode, cudnnDataType_t t,
                    const weft__dnn_tensor *x, const weft__dnn_tensor *b,
                    const weft__dnn_tensor *y);
/* Where the tensor's numbers are in dimension `axis`. */
void weft__dnn_index(weft__dnn_graph *g, int64_t axis, const weft__dnn_tensor *x,
                     const weft__dnn_tensor *y);
/* y = where is true x, else b. */
void weft__dnn_select(weft__dnn_graph *g, const weft__dnn_tensor *x, const weft__dnn_tensor *b,
                      const weft__dnn_tensor *is, const weft__dnn_tensor *y);
/* Over the dimensions in which y has one. */
void weft__dnn_reduce(weft__dnn_graph *g, cudnnReduceTensorOp_t op, const weft__dnn_tensor *x,
                      const weft__dnn_tensor *y);
void weft__dnn_reshape(weft__dnn_graph *g, const weft__dnn_tensor *x, const weft__dnn_tensor *y);
void weft__dnn_free(weft__dnn_graph *g);

/* cudnn_forward.c: what both directions share; rows: packed (batch,heads,queries,1). */
cudnnDataType_t weft__dnn_type(const weft__attention_shape *s);
void weft__dnn_place(const int64_t *from, int64_t *stride); /* strides of rank 4 */
/* scale q k^T, before anything is masked */
weft__dnn_tensor weft__dnn_scores(weft__dnn_graph *g, const weft__attention_shape *s,
                                  const weft__dnn_tensor *q, const weft__dnn_tensor *kt,
                                  const weft__dnn_tensor *scale);
weft__dnn_tensor weft__dnn_mask(weft__dnn_graph *g, const weft__attention_shape *s,
                                weft__dnn_tensor x);
void weft__dnn_forward(weft__dnn_graph *g, const weft__attention_shape *s);
/* cudnn_back.c */
void weft__dnn_back(weft__dnn_graph *g, const weft__attention_shape *s);

typedef struct weft__dnn_plan {
    weft__dnn_graph graph; /* all descriptors, the plan's too */
    cudnnBackendDescriptor_t plan;
    int64_t workspace;
} weft__dnn_plan;

/* cudnn_plan.c */
/* The first of cuDNN's ways to do it that gives the same bits in each run. For the GPU of a handle, or,
 * with a handle of NULL, for one that `properties` tells of. graph.code tells whether there is one. */
void weft__dnn_plan_make(weft__dnn_plan *p, const weft__cudnn *l, const weft__attention_shape *s,
                         cudnnHandle_t handle, cudnnBackendDescriptor_t properties);
/* `at`: an address for each number of the graph, NULL for those that it does not have. */
cudnnStatus_t weft__dnn_plan_run(const weft__dnn_plan *p, cudnnHandle_t handle, void *const *at,
                                 void *workspace);
void weft__dnn_plan_free(weft__dnn_plan *p);
#endif
