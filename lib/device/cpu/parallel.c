/* The one place where kernels fork: OpenMP, with the device's number of threads. */
#include "device/cpu/cpu.h"

#include <omp.h>

#define GRAIN (CPU_SERIAL / 2)
#define CUT 64 /* elements: pieces end on the same vectors as the whole */

int weft__cpu_team(const weft_device *d, double work)
{
    if (d->threads == 1 || work < CPU_SERIAL || omp_in_parallel())
        return 1;
    return work / GRAIN < d->threads ? (int)(work / GRAIN) : d->threads;
}

void weft__cpu_pieces(weft__cpu_body *body, const void *args, int64_t n, int64_t cut, int team)
{
    const int64_t pieces = (n + cut - 1) / cut;
    if (pieces < 1)
        return;
    team = team < pieces ? team : (int)pieces;
    if (team == 1) { /* not a region of one: that would allocate */
        body(args, 0, n);
        return;
    }
#pragma omp parallel num_threads(team)
    {
        int64_t id = omp_get_thread_num(), of = omp_get_num_threads();
        int64_t lo = pieces * id / of * cut, hi = pieces * (id + 1) / of * cut;
        hi = hi < n ? hi : n;
        if (lo < hi)
            body(args, lo, hi);
    }
}

void weft__cpu_elements(const weft_device *d, weft__cpu_body *body, const void *args, int64_t n,
                        int64_t cost)
{
    weft__cpu_pieces(body, args, n, CUT, weft__cpu_team(d, (double)n * (double)cost));
}

void weft__cpu_rows(const weft_device *d, weft__cpu_body *body, const void *args, int64_t n,
                    int64_t cost)
{
    weft__cpu_pieces(body, args, n, 1, weft__cpu_team(d, (double)n * (double)cost));
}

int weft__cpu_set(const weft_device *d)
{
    int best = 0;
#if CPU_SETS > 1
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        best = 1;
    if (best && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        best = 2;
#endif
    return d->vectors > 0 && d->vectors <= best ? d->vectors - 1 : best;
}

weft__cpu_body *weft__cpu_pick(const weft_device *d, const weft__cpu_kernel *k, weft_dtype dt)
{
    const int set = weft__cpu_set(d);
    switch (dt) {
    case WEFT_F32:
        return k->f32[set];
    case WEFT_F64:
        return k->f64[set];
    case WEFT_BF16:
        return k->bf16[set];
    case WEFT_F16:
        return k->f16[set];
    default:
        return dt == WEFT_I64 ? k->i64[set] : NULL;
    }
}

weft_status weft__cpu_each(weft_stream *s, const weft__cpu_kernel *k, weft_dtype dt,
                           const void *args, int64_t n, int64_t cost)
{
    weft__cpu_body *body = weft__cpu_pick(s->device, k, dt);
    if (!body)
        return weft__no_kernel(s->device, k->name, dt);
    weft__cpu_elements(s->device, body, args, n, cost);
    return WEFT_OK;
}

weft_status weft__cpu_each_row(weft_stream *s, const weft__cpu_kernel *k, weft_dtype dt,
                               const void *args, int64_t n, int64_t cost)
{
    weft__cpu_body *body = weft__cpu_pick(s->device, k, dt);
    if (!body)
        return weft__no_kernel(s->device, k->name, dt);
    weft__cpu_rows(s->device, body, args, n, cost);
    return WEFT_OK;
}
