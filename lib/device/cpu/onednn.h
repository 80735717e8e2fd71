/* oneDNN: the functions of it that we call, found when the program runs, so that Weft does without. */
#ifndef DEVICE_CPU_ONEDNN_H
#define DEVICE_CPU_ONEDNN_H
#include "config.h"
#include "device/cpu/cpu.h"

#if HAVE_DNNL_H
#include <dnnl.h>
#include <pthread.h>

#if DNNL_VERSION_MAJOR >= 3
#define ONEDNN_OF_VERSION(F)                                                                       \
    F(dnnl_memory_desc_create_with_strides)                                                        \
    F(dnnl_memory_desc_destroy) F(dnnl_matmul_primitive_desc_create)
#else
#define ONEDNN_OF_VERSION(F)                                                                       \
    F(dnnl_memory_desc_init_by_strides) F(dnnl_matmul_desc_init) F(dnnl_primitive_desc_create)
#endif
#define ONEDNN_FUNCTIONS(F)                                                                        \
    F(dnnl_version)                                                                                \
    F(dnnl_get_effective_cpu_isa)                                                                  \
    F(dnnl_engine_create)                                                                          \
    F(dnnl_stream_create)                                                                          \
    F(dnnl_stream_wait)                                                                            \
    F(dnnl_memory_create)                                                                          \
    F(dnnl_memory_destroy)                                                                         \
    F(dnnl_memory_set_data_handle)                                                                 \
    F(dnnl_memory_desc_get_size)                                                                   \
    F(dnnl_post_ops_create)                                                                        \
    F(dnnl_post_ops_destroy)                                                                       \
    F(dnnl_post_ops_append_sum)                                                                    \
    F(dnnl_primitive_attr_create)                                                                  \
    F(dnnl_primitive_attr_destroy)                                                                 \
    F(dnnl_primitive_attr_set_post_ops)                                                            \
    F(dnnl_primitive_attr_set_scratchpad_mode)                                                     \
    F(dnnl_primitive_desc_destroy)                                                                 \
    F(dnnl_primitive_desc_query)                                                                   \
    F(dnnl_primitive_desc_query_md)                                                                \
    F(dnnl_primitive_create)                                                                       \
    F(dnnl_primitive_destroy)                                                                      \
    F(dnnl_primitive_execute)                                                                      \
    ONEDNN_OF_VERSION(F)

#define ONEDNN_LANES 128  /* calls at one time */
#define ONEDNN_CHAINS 256 /* of the table of products */

typedef struct onednn_product onednn_product;

typedef struct weft__onednn {
    char text[160]; /* "oneDNN 2.6.3 avx512_core_amx", or why there is none */
    bool there;
#define ONEDNN_MEMBER(name) __typeof__(name) *name;
    ONEDNN_FUNCTIONS(ONEDNN_MEMBER)
#undef ONEDNN_MEMBER
    dnnl_engine_t engine;
    pthread_mutex_t lock; /* of all below */
    struct {
        bool busy;
        dnnl_stream_t stream;
        void *scratch;
        size_t bytes;
    } lane[ONEDNN_LANES];
    onednn_product *chain[ONEDNN_CHAINS];
    int products;
} weft__onednn;

/* The process's, loaded at the first call; NULL: no memory for it. */
weft__onednn *weft__onednn_get(void);
#endif

/* C = op(A) op(B) + beta C by oneDNN. False: it has no such product, and nothing is done. */
bool weft__onednn_gemm(weft_stream *s, weft_dev c, weft_dtype ct, int64_t ldc, double alpha,
                       weft_dev a, int64_t lda, int ta, weft_dev b, int64_t ldb, int tb,
                       double beta, int64_t m, int64_t n, int64_t k, weft_dtype dt);
/* "oneDNN 2.6.3 avx512_core_amx"; NULL unless it was asked for and found. */
const char *weft__onednn_name(void);
/* Loads it. @return why products of this type are not its own, or NULL. */
const char *weft__onednn_lacks(weft_device *d, weft_dtype t);
#endif
