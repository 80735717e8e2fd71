/* Labels and indices are looked at in one block: the first bad one goes into flag, unless an earlier
 * call left one there. */
#ifndef DEVICE_CUDA_LABELS_CUH
#define DEVICE_CUDA_LABELS_CUH
#include "device/cuda/rows.cuh"

#define CUDA_LABEL_THREADS 1024

struct cuda_labels {
    const void *label;
    weft_dtype lt;
    int64_t rows, c;
    bool ignores;
    int64_t ignore;
};

__device__ static inline void cuda_report(int64_t *flag, const cuda_labels &l, int64_t bad)
{
    if (!flag || flag[0] != 0 || bad >= l.rows)
        return;
    flag[0] = bad + 1;
    flag[1] = cuda_label(l.label, l.lt, bad);
}

/* Also the sum of the counted labels' weights, and that of all classes, where they are wanted. */
template <class T>
__global__ static void cuda_survey(cuda_labels l, int64_t *flag, const T *weight, double *divisor,
                                   double *all)
{
    int64_t bad = l.rows;
    double sum = 0, classes = 0;
    for (int64_t r = threadIdx.x; r < l.rows; r += CUDA_LABEL_THREADS) {
        const int64_t label = cuda_label(l.label, l.lt, r);
        if (l.ignores && label == l.ignore)
            continue;
        if (label < 0 || label >= l.c)
            bad = r < bad ? r : bad;
        else
            sum += weight ? (double)weight[label] : 1;
    }
    for (int64_t j = threadIdx.x; j < l.c && all; j += CUDA_LABEL_THREADS)
        classes += weight ? (double)weight[j] : 1;
    bad = cuda_join<CUDA_LABEL_THREADS>(bad, cuda_less());
    sum = cuda_join<CUDA_LABEL_THREADS>(sum, cuda_plus());
    classes = cuda_join<CUDA_LABEL_THREADS>(classes, cuda_plus());
    if (threadIdx.x)
        return;
    cuda_report(flag, l, bad);
    if (divisor)
        *divisor = sum;
    if (all)
        *all = classes;
}
#endif
