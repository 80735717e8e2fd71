/* Several runs of an array in one launch: they are cut in chunks, one a block. A launch's arguments have 4 KiB. */
#ifndef DEVICE_CUDA_RUNS_CUH
#define DEVICE_CUDA_RUNS_CUH
#include "device/cuda/each.cuh"

#define CUDA_RUNS 160

struct cuda_runs {
    int64_t first[CUDA_RUNS], count[CUDA_RUNS], chunk;
    int32_t block[CUDA_RUNS], n; /* block: the first of the run's chunks */
    int32_t packs;               /* all begin at multiples of 8 */
};

/* Takes over n runs, or the first CUDA_RUNS of them. @return their chunks. */
static inline unsigned cuda_take(struct cuda_runs *r, const int64_t *run, int64_t n, int64_t chunk)
{
    int64_t blocks = 0;
    r->n = (int32_t)(n < CUDA_RUNS ? n : CUDA_RUNS);
    r->chunk = chunk;
    r->packs = 1;
    for (int32_t i = 0; i < r->n; i++) {
        r->first[i] = run[2 * i];
        r->count[i] = run[2 * i + 1];
        r->block[i] = (int32_t)blocks;
        r->packs &= r->first[i] % 8 == 0;
        blocks += (r->count[i] + chunk - 1) / chunk;
    }
    return (unsigned)blocks;
}

static inline int64_t cuda_total(const int64_t *run, int64_t n)
{
    int64_t all = 0;
    for (int64_t i = 0; i < n; i++)
        all += run[2 * i + 1];
    return all;
}

/* The elements [from, to) of the block's chunk, which is of the last run that begins there or before. */
__device__ static inline void cuda_stretch(const struct cuda_runs &r, int64_t *from, int64_t *to)
{
    const int32_t b = (int32_t)blockIdx.x;
    int low = 0, high = r.n - 1;
    while (low < high) {
        const int at = (low + high + 1) / 2;
        if (r.block[at] <= b)
            low = at;
        else
            high = at - 1;
    }
    const int64_t at = (int64_t)(b - r.block[low]) * r.chunk, left = r.count[low] - at;
    *from = r.first[low] + at;
    *to = *from + (left < r.chunk ? left : r.chunk);
}
#endif
