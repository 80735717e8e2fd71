/* cuBLASLt, which is looked for when a device opens. */
#ifndef DEVICE_CUDA_CUBLASLT_H
#define DEVICE_CUDA_CUBLASLT_H
#include "device/cuda/cuda.h"

#include <cublasLt.h>

#define WEFT__CUBLASLT_FUNCTIONS(F)                                                                \
    F(cublasLtCreate)                                                                              \
    F(cublasLtDestroy)                                                                             \
    F(cublasLtGetVersion)                                                                          \
    F(cublasLtGetStatusName)                                                                       \
    F(cublasLtMatmul)                                                                              \
    F(cublasLtMatmulDescCreate)                                                                    \
    F(cublasLtMatmulDescDestroy)                                                                   \
    F(cublasLtMatmulDescSetAttribute)                                                              \
    F(cublasLtMatrixLayoutCreate)                                                                  \
    F(cublasLtMatrixLayoutDestroy)                                                                 \
    F(cublasLtMatrixLayoutSetAttribute)                                                            \
    F(cublasLtMatmulPreferenceCreate)                                                              \
    F(cublasLtMatmulPreferenceDestroy)                                                             \
    F(cublasLtMatmulPreferenceSetAttribute)                                                        \
    F(cublasLtMatmulAlgoGetHeuristic)

typedef struct weft__cublaslt {
    bool there;
    char text[160]; /* "cuBLASLt 13.1.0", or why it is not there */
#define MEMBER(name) __typeof__(name) *name;
    WEFT__CUBLASLT_FUNCTIONS(MEMBER)
#undef MEMBER
} weft__cublaslt;

/* By the soname of the version that the header was of. What is there stays until the process ends. */
void weft__cublaslt_load(weft__cublaslt *l);
#endif
