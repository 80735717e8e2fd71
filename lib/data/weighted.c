/* Rows drawn with probability w[i] / sum(w), with replacement, by the alias method: A. J. Walker,
 * "An efficient method for generating discrete random variables with general distributions", ACM
 * TOMS 3(3), 1977, with the table of M. D. Vose, IEEE Trans. Software Eng. 17(9), 1991. Column c of
 * n stands for itself with probability keep[c], else for alias[c]; a draw takes a column and a
 * coin. */
#include "core/alloc.h"
#include "core/error.h"
#include "core/rng.h"
#include "data/sampler.h"

#include <math.h>
#include <xxhash.h>

typedef struct weighted {
    double *keep;
    int64_t *alias;
} weighted;

static void destroy(void *self)
{
    weighted *w = self;
    weft__free(w->keep);
    weft__free(w->alias);
    weft__free(w);
}

static weft_status sum_of(const double *weight, int64_t n, double *sum, int64_t *heaviest)
{
    *sum = 0;
    *heaviest = 0;
    for (int64_t i = 0; i < n; i++) {
        if (!isfinite(weight[i]) || weight[i] < 0)
            return weft__fail(WEFT_EARG,
                              "loader: weights[%lld] is %g; weights are finite and at "
                              "least 0",
                              (long long)i, weight[i]);
        *sum += weight[i];
        *heaviest = weight[i] > weight[*heaviest] ? i : *heaviest;
    }
    if (!(*sum > 0) || !isfinite(*sum))
        return weft__fail(WEFT_EARG,
                          "loader: the weights sum to %g; some must be above 0, and the "
                          "sum finite",
                          *sum);
    return WEFT_OK;
}

/* stack holds the columns below their share from the left, those above it from the right. */
static void fill(weighted *w, const double *weight, int64_t n, double sum, int64_t heaviest,
                 int64_t *stack)
{
    int64_t low = 0, high = n;
    for (int64_t i = 0; i < n; i++) {
        w->keep[i] = weight[i] / sum * (double)n;
        w->alias[i] = heaviest;
        if (w->keep[i] < 1)
            stack[low++] = i;
        else
            stack[--high] = i;
    }
    while (low > 0 && high < n) {
        int64_t poor = stack[--low], rich = stack[high];
        w->alias[poor] = rich;
        w->keep[rich] -= 1 - w->keep[poor];
        if (w->keep[rich] < 1) {
            high++;
            stack[low++] = rich;
        }
    }
    /* What is left differs from 1 by rounding alone; a row of weight 0 is never drawn, all the
     * same. */
    while (low > 0) {
        int64_t i = stack[--low];
        w->keep[i] = weight[i] > 0;
    }
}

static weft_status order(void *self, uint64_t seed, int64_t epoch, int64_t rows, int64_t *out,
                         int64_t n, char *why, size_t why_size)
{
    const weighted *w = self;
    (void)why, (void)why_size;
    uint64_t column = weft__stream_of("weighted"), coin = weft__stream_of("weighted coin");
    for (int64_t i = 0; i < n; i++) {
        int64_t c = (int64_t)weft__uniform_below(seed, column, (uint64_t)epoch, (uint64_t)i,
                                                 (uint64_t)rows);
        double u = weft__uniform_f64(seed, coin, (uint64_t)epoch, (uint64_t)i);
        out[i] = u < w->keep[c] ? c : w->alias[c];
    }
    return WEFT_OK;
}

weft_status weft__sampler_weighted(weft__sampler *s, int64_t rows, const double *weights)
{
    static const weft_sampler_ops ops = {.size = sizeof ops, .name = "weighted", .order = order};
    double sum;
    int64_t heaviest;
    WEFT_TRY(sum_of(weights, rows, &sum, &heaviest));
    weighted *w = weft__new(1, sizeof *w);
    if (!w)
        return WEFT_ENOMEM;
    *s = (weft__sampler){.ops = &ops,
                         .self = w,
                         .free = destroy,
                         .digest = XXH3_64bits(weights, (size_t)rows * sizeof *weights)};
    w->keep = weft__new((size_t)rows, sizeof *w->keep);
    w->alias = w->keep ? weft__new((size_t)rows, sizeof *w->alias) : NULL;
    int64_t *stack = w->alias ? weft__new((size_t)rows, sizeof *stack) : NULL;
    if (!stack)
        return WEFT_ENOMEM;
    fill(w, weights, rows, sum, heaviest, stack);
    weft__free(stack);
    return WEFT_OK;
}
