/* Labels and indices are looked at in blocks, as many as their number says, whose findings are brought
 * together in one: the first bad one goes into flag, unless an earlier call left one there. */
#ifndef DEVICE_CUDA_LABELS_CUH
#define DEVICE_CUDA_LABELS_CUH
#include "device/cuda/rows.cuh"

#define CUDA_LABEL_THREADS 1024
#define CUDA_LABEL_BLOCKS 32 /* at most, one for each lane of a warp */
#define CUDA_LABELS_EACH 2048

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

/* What a block found, or all of them: the first bad row, the sum of the counted labels' weights, and that
 * of all classes. */
struct cuda_surveyed {
    int64_t bad;
    double sum, classes;
};

template <int G> __device__ static inline cuda_surveyed cuda_join(cuda_surveyed v)
{
    return cuda_surveyed{cuda_join<G>(v.bad, cuda_less()), cuda_join<G>(v.sum, cuda_plus()),
                         cuda_join<G>(v.classes, cuda_plus())};
}

__device__ static inline void cuda_conclude(const cuda_labels &l, int64_t *flag, double *divisor,
                                            double *all, const cuda_surveyed &v)
{
    if (threadIdx.x)
        return;
    cuda_report(flag, l, v.bad);
    if (divisor)
        *divisor = v.sum;
    if (all)
        *all = v.classes;
}

/* part: 0 where there is one block. */
template <class T>
__global__ static void cuda_survey(cuda_labels l, int64_t *flag, const T *weight, double *divisor,
                                   double *all, cuda_surveyed *part)
{
    cuda_surveyed v = {l.rows, 0, 0};
    for (int64_t r = cuda_first(); r < l.rows; r += cuda_step()) {
        const int64_t label = cuda_label(l.label, l.lt, r);
        if (l.ignores && label == l.ignore)
            continue;
        if (label < 0 || label >= l.c)
            v.bad = r < v.bad ? r : v.bad;
        else
            v.sum += weight ? (double)weight[label] : 1;
    }
    for (int64_t j = cuda_first(); j < l.c && all; j += cuda_step())
        v.classes += weight ? (double)weight[j] : 1;
    v = cuda_join<CUDA_LABEL_THREADS>(v);
    if (!part)
        cuda_conclude(l, flag, divisor, all, v);
    else if (threadIdx.x == 0)
        part[blockIdx.x] = v;
}

/* One warp. */
template <int G>
__global__ static void cuda_survey_all(cuda_labels l, int64_t *flag, double *divisor, double *all,
                                       const cuda_surveyed *part, int blocks)
{
    const int i = threadIdx.x;
    const cuda_surveyed v = i < blocks ? part[i] : cuda_surveyed{l.rows, 0, 0};
    cuda_conclude(l, flag, divisor, all, cuda_join<G>(v));
}

/* divisor and all: where these sums go, or 0. */
template <class T>
static inline weft_status cuda_look(weft_stream *s, const cuda_labels &l, weft_dev flag,
                                    const T *weight, double *divisor, double *all)
{
    const int64_t n = all && l.c > l.rows ? l.c : l.rows;
    const int64_t want = (n + CUDA_LABELS_EACH - 1) / CUDA_LABELS_EACH;
    const int blocks = (int)(want < 1 ? 1 : want < CUDA_LABEL_BLOCKS ? want : CUDA_LABEL_BLOCKS);
    int64_t *first = (int64_t *)cuda_ptr(flag);
    void *room = NULL;
    if (blocks > 1)
        WEFT_TRY(weft__cuda_scratch(s, CUDA_LABEL_BLOCKS * sizeof(cuda_surveyed), &room));
    cuda_surveyed *part = (cuda_surveyed *)room;
    cuda_survey<T>
        <<<blocks, CUDA_LABEL_THREADS, 0, cuda_on(s)>>>(l, first, weight, divisor, all, part);
    if (part) {
        cuda_survey_all<CUDA_WARP>
            <<<1, CUDA_WARP, 0, cuda_on(s)>>>(l, first, divisor, all, part, blocks);
        weft__cuda_unscratch(s, room);
    }
    return WEFT_OK;
}
#endif
