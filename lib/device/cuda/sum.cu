/* y = alpha * sum of x over the dimensions in which y does not move.
 *
 * Sums are formed in f64. The order of additions is a function of the shapes: the reduced elements are
 * cut into blocks, a block's are added up by its threads in turn and then pairwise, and the blocks in a
 * second pass. */
#include "device/cuda/rows.cuh"

#define BLOCKS 1024 /* that keep a GPU busy */
#define ACROSS 32   /* outputs that are summed side by side */
#define DOWN 8      /* by so many threads each */

struct sum_of {
    void *y;
    weft_dtype yt;
    const void *x;
    double alpha;
    weft__walk kept;    /* the outputs: in y and in x */
    weft__walk reduced; /* what is added to each: in x */
    int64_t blocks;
    double *part; /* [blocks][kept.numel]; 0: one block */
};

__device__ static inline void put(const sum_of &a, int64_t at, double sum)
{
    sum *= a.alpha;
    if (a.yt == WEFT_F32)
        ((float *)a.y)[at] = (float)sum;
    else if (a.yt == WEFT_F64)
        ((double *)a.y)[at] = sum;
    else if (a.yt == WEFT_BF16)
        ((cuda_bf16 *)a.y)[at] = cuda_narrow<cuda_bf16>(sum);
    else
        ((cuda_f16 *)a.y)[at] = cuda_narrow<cuda_f16>(sum);
}

/* Output k from its sum. */
__device__ static inline void give(const sum_of &a, int64_t k, double sum)
{
    int64_t at[2];
    cuda_seek(a.kept, k, at);
    put(a, at[0], sum);
}

/* The sum of output k's block. */
__device__ static inline void keep(const sum_of &a, int64_t k, int64_t block, double sum)
{
    if (a.part)
        a.part[block * a.kept.numel + k] = sum;
    else
        give(a, k, sum);
}

/* Adds what `step` threads have in turn, this one from lo on. */
template <class T>
__device__ static inline double add(const sum_of &a, int64_t k, int64_t lo, int64_t hi, int step)
{
    const weft__walk &w = a.reduced;
    int64_t to[2], from[1];
    double sum = 0;
    cuda_seek(a.kept, k, to);
    const T *x = (const T *)a.x + to[1];
    if (w.rank == 1) {
        const int64_t stride = w.stride[0][0];
#pragma unroll 4
        for (int64_t r = lo; r < hi; r += step)
            sum += (double)cuda_wide(x[r * stride]);
        return sum;
    }
    for (int64_t r = lo; r < hi; r += step) {
        cuda_seek(w, r, from);
        sum += (double)cuda_wide(x[from[0]]);
    }
    return sum;
}

/* Units: outputs times blocks of reduced elements, G threads each. */
template <class T, int G> __global__ static void along(sum_of a)
{
    const int64_t unit = cuda_row<G>(), k = unit / a.blocks, block = unit % a.blocks;
    const int64_t n = a.reduced.numel;
    if (k >= a.kept.numel)
        return;
    double sum = add<T>(a, k, n * block / a.blocks + cuda_lane<G>(), n * (block + 1) / a.blocks, G);
    sum = cuda_join<G>(sum, cuda_plus());
    if (cuda_lane<G>() == 0)
        keep(a, k, block, sum);
}

template <class T> __global__ static void side_by_side(sum_of a)
{
    __shared__ double sums[DOWN][ACROSS];
    const int64_t k = (int64_t)blockIdx.x * ACROSS + threadIdx.x, block = blockIdx.y;
    const int64_t n = a.reduced.numel;
    double sum = 0;
    if (k < a.kept.numel)
        sum = add<T>(a, k, n * block / a.blocks + threadIdx.y, n * (block + 1) / a.blocks, DOWN);
    sums[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y || k >= a.kept.numel)
        return;
    for (int d = 1; d < DOWN; d++)
        sum += sums[d][threadIdx.x];
    keep(a, k, block, sum);
}

/* y from the partial sums, G threads for each output. */
template <int G> __global__ static void finish(sum_of a)
{
    const int64_t k = cuda_row<G>();
    double sum = 0;
    if (k >= a.kept.numel)
        return;
    for (int64_t b = cuda_lane<G>(); b < a.blocks; b += G)
        sum += a.part[b * a.kept.numel + k];
    if (G == CUDA_WARP)
        sum = cuda_join<CUDA_WARP>(sum, cuda_plus());
    if (cuda_lane<G>() == 0)
        give(a, k, sum);
}

/* Parts the dimensions into those that y keeps and those that it sums. */
static void part(sum_of *a, const int64_t *ystride, const int64_t *xstride, int rank,
                 const int64_t *shape)
{
    int64_t shapes[2][WEFT_MAX_RANK], xs[2][WEFT_MAX_RANK], ys[WEFT_MAX_RANK];
    int n[2] = {0, 0};
    for (int d = 0; d < rank; d++) {
        const int sums = ystride[d] == 0;
        shapes[sums][n[sums]] = shape[d];
        xs[sums][n[sums]] = xstride[d];
        if (!sums)
            ys[n[0]] = ystride[d];
        n[sums]++;
    }
    const int64_t *const kept[] = {ys, xs[0]}, *const reduced[] = {xs[1]};
    weft__walk_of(&a->kept, 2, n[0], shapes[0], kept);
    weft__walk_of(&a->reduced, 1, n[1], shapes[1], reduced);
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Whether neighbouring outputs lie closer than neighbouring summands; and the blocks. */
static bool plan(sum_of *a)
{
    const weft__walk *k = &a->kept, *r = &a->reduced;
    const int64_t inner = r->numel > 1 ? r->stride[0][r->rank - 1] : INT64_MAX;
    const bool side = k->numel > 1 && k->stride[1][k->rank - 1] < inner;
    const int64_t units = side ? (k->numel + ACROSS - 1) / ACROSS : k->numel;
    a->blocks = least(r->numel / (side ? 64 : 4096), BLOCKS / units);
    a->blocks = a->blocks > 1 ? a->blocks : 1;
    return side && units <= INT32_MAX;
}

template <class T> static void run(weft_stream *s, const sum_of &a, bool side)
{
    const int64_t units = a.kept.numel * a.blocks, tiles = (a.kept.numel + ACROSS - 1) / ACROSS;
    if (side)
        side_by_side<T>
            <<<dim3((unsigned)tiles, (unsigned)a.blocks), dim3(ACROSS, DOWN), 0, cuda_on(s)>>>(a);
    else if (a.reduced.numel <= 1024)
        CUDA_RUN((along<T, CUDA_WARP>), cuda_row_blocks(units, CUDA_WARP), a);
    else
        CUDA_RUN((along<T, CUDA_THREADS>), cuda_row_blocks(units, CUDA_THREADS), a);
    if (a.part && a.kept.numel < 1024)
        CUDA_RUN(finish<CUDA_WARP>, cuda_row_blocks(a.kept.numel, CUDA_WARP), a);
    else if (a.part)
        CUDA_RUN(finish<1>, cuda_row_blocks(a.kept.numel, 1), a);
}

weft_status weft__cuda_sum(weft_stream *s, weft_dev y, weft_dtype yt, const int64_t *ystride,
                           double alpha, weft_dev x, const int64_t *xstride, int rank,
                           const int64_t *shape, weft_dtype dt)
{
    sum_of a = {};
    void *scratch = NULL;
    a.y = cuda_ptr(y);
    a.yt = yt;
    a.x = cuda_ptr(x);
    a.alpha = alpha;
    if (!cuda_gives(yt, dt))
        return weft__no_kernel(s->device, "sum", dt);
    part(&a, ystride, xstride, rank, shape);
    if (a.kept.numel == 0)
        return WEFT_OK;
    const bool side = plan(&a);
    if (a.blocks > 1)
        WEFT_TRY(
            weft__cuda_scratch(s, (size_t)(a.blocks * a.kept.numel) * sizeof(double), &scratch));
    a.part = (double *)scratch;
    CUDA_FLOATS(dt, "sum", run<T>(s, a, side))
    if (scratch)
        weft__cuda_unscratch(s, scratch);
    return weft__cuda_launched(s, "sum");
}
