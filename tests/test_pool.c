/* Pooling beyond its rows of conform_conv.h: equal and bad numbers, and by its definition. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <weft.h>

static weft_fabric *f;

static void start(void)
{
    ck_assert_int_eq(weft_open(&f, NULL, NULL, WEFT_OPEN(.threads = 1, .precision = "64-true")), 0);
}

static void stop(void)
{
    weft_clear(f);
    ck_assert_int_eq(weft_close(&f), 0);
}

static double *values(weft_tensor *t)
{
    const int64_t n = weft_numel(t);
    double *v = calloc((size_t)n + 1, sizeof *v);
    ck_assert_msg(n >= 0, "%s", weft_message(f));
    ck_assert_int_eq(weft_copy_out(weft_cast(t, WEFT_F64), v, (size_t)n * sizeof *v), 0);
    return v;
}

/* Numbers in [-1, 1) that have nothing to do with each other, and that bf16 has. */
static weft_tensor *noise(const int64_t shape[4], uint32_t seed, weft_dtype t)
{
    const int64_t n = shape[0] * shape[1] * shape[2] * shape[3];
    double *v = calloc((size_t)n + 1, sizeof *v);
    for (int64_t i = 0; i < n; i++) {
        seed = seed * 1664525 + 1013904223;
        v[i] = (double)(seed >> 24) * 0x1p-7 - 1;
    }
    weft_tensor *x = weft_cast(weft_tensor_of(f, v, 4, shape, WEFT_F64), t);
    free(v);
    weft_require_grad(x);
    return x;
}

START_TEST(the_first_of_equal_ones_is_taken_and_nan_wins)
{
    const double x[8] = {1, 7, 7, 2, NAN, 3, -INFINITY, NAN};
    weft_tensor *t = weft_tensor_of(f, x, 4, (int64_t[]){2, 1, 2, 2}, WEFT_F64);
    weft_require_grad(t);
    weft_tensor *y = weft_max_pool2d(t, WEFT_POOL(.kernel = 2));
    ck_assert_int_eq(weft_backward(f, weft_sum(y, WEFT_ALL)), 0);
    double *v = values(y), *g = values(weft_gradient(t));
    ck_assert(v[0] == 7 && isnan(v[1]));
    for (int i = 0; i < 8; i++)
        ck_assert_double_eq(g[i], i == 1 || i == 4);
    free(v);
    free(g);
}
END_TEST

/* What padding adds is no candidate, also where all else is smaller than 0. */
START_TEST(padding_is_never_the_largest)
{
    weft_tensor *x = weft_full(f, -3, 4, (int64_t[]){1, 1, 3, 3}, WEFT_F64);
    weft_tensor *y = weft_max_pool2d(x, WEFT_POOL(.kernel = 2, .padding = 1));
    ck_assert_double_eq(weft_item(weft_min(y, WEFT_ALL)), -3);
    ck_assert_double_eq(weft_item(weft_max(y, WEFT_ALL)), -3);
    x = weft_full(f, -INFINITY, 4, (int64_t[]){1, 1, 2, 2}, WEFT_F64);
    weft_require_grad(x);
    y = weft_max_pool2d(x, WEFT_POOL(.kernel = 2));
    ck_assert_int_eq(weft_backward(f, weft_sum(y, WEFT_ALL)), 0);
    ck_assert_double_eq(weft_item(weft_sum(weft_gradient(x), WEFT_ALL)), 1);
}
END_TEST

/* Pooling of two planes; `inside`: padding does not count; no kernel: adaptive averages, of step[] parts. */
typedef struct pooling {
    int64_t in[2], kernel[2], step[2], padding[2], dilation, inside;
} pooling;

static weft_tensor *pooled(const pooling *p, bool max, weft_tensor *x)
{
    if (!p->kernel[0])
        return weft_adaptive_avg_pool2d(x, p->step[0], p->step[1]);
    const weft_pool_options *o =
        WEFT_POOL(.kernel = p->kernel[0], .kernel_w = p->kernel[1], .stride = p->step[0],
                  .stride_w = p->step[1], .padding = p->padding[0], .padding_w = p->padding[1],
                  .dilation = p->dilation, .exclude_padding = p->inside);
    return max ? weft_max_pool2d(x, o) : weft_avg_pool2d(x, o);
}

/* The places of window q of rows of `wide`. */
static int64_t places_of(const pooling *p, int64_t q, int64_t wide, int64_t *place)
{
    const int64_t at[2] = {q / wide, q % wide}, apart = p->dilation ? p->dilation : 1;
    int64_t first[2], end[2], n = 0;
    for (int d = 0; d < 2; d++) {
        first[d] = at[d] * p->step[d] - p->padding[d];
        end[d] = first[d] + (p->kernel[d] - 1) * apart + 1;
        if (!p->kernel[0]) {
            first[d] = at[d] * p->in[d] / p->step[d];
            end[d] = ((at[d] + 1) * p->in[d] + p->step[d] - 1) / p->step[d];
        }
    }
    for (int64_t r = first[0]; r < end[0]; r += apart)
        for (int64_t c = first[1]; c < end[1]; c += apart)
            if (r >= 0 && r < p->in[0] && c >= 0 && c < p->in[1])
                place[n++] = r * p->in[1] + c;
    return n;
}

/* Of n windows: the values, and the gradient of the plane for that of the values. */
static void by_definition(const pooling *p, bool max, int64_t n, int64_t wide, const double *x,
                          const double *gy, double *y, double *gx)
{
    static int64_t place[4096];
    for (int64_t q = 0; q < n; q++) {
        const int64_t m = places_of(p, q, wide, place), all = p->kernel[0] * p->kernel[1];
        const double count = (double)(all && !p->inside ? all : m);
        int64_t best = 0;
        double sum = 0;
        for (int64_t t = 0; t < m; t++) {
            sum += x[place[t]];
            best = x[place[t]] > x[place[best]] ? t : best;
        }
        y[q] = !max ? sum / count : m ? x[place[best]] : -INFINITY;
        for (int64_t t = 0; t < m; t++)
            gx[place[t]] += !max ? gy[q] / count : t == best ? gy[q] : 0;
    }
}

static void check_pooling(const pooling *p, bool max, weft_dtype t, double off)
{
    const int64_t size[4] = {2, 1, p->in[0], p->in[1]}, in = size[2] * size[3];
    weft_tensor *x = noise(size, 1, t), *y = pooled(p, max, x);
    const int64_t out[4] = {2, 1, weft_dim(y, 2), weft_dim(y, 3)}, n = out[2] * out[3];
    weft_tensor *gy = noise(out, 2, t);
    ck_assert_int_eq(weft_backward(f, weft_sum(weft_mul(y, gy), WEFT_ALL)), 0);
    double *v = values(x), *g = values(gy), *got[2] = {values(y), values(weft_gradient(x))};
    double *want[2] = {calloc((size_t)(2 * n), sizeof *v), calloc((size_t)(2 * in), sizeof *v)};
    for (int k = 0; k < 2; k++)
        by_definition(p, max, n, out[3], v + k * in, g + k * n, want[0] + k * n, want[1] + k * in);
    for (int i = 0; i < 2; i++) {
        for (int64_t k = 0; k < 2 * (i ? in : n); k++)
            if (got[i][k] != want[i][k] &&
                !(fabs(got[i][k] - want[i][k]) <= off * fmax(1, fabs(want[i][k]))))
                ck_abort_msg("%s, %lld x %lld, %d: element %lld is %g, not %g", weft_dtype_name(t),
                             (long long)size[2], (long long)size[3], i, (long long)k, got[i][k],
                             want[i][k]);
        free(got[i]);
        free(want[i]);
    }
    free(v);
    free(g);
    weft_step_end(f);
}

/* Planes that are worked on whole, by bands and by parts of a row; windows with room and without. */
START_TEST(pooling_is_as_defined)
{
    static const pooling all[] = {
        {{32, 32}, {2, 2}, {2, 2}, {0, 0}, 0, 0},  {{32, 32}, {3, 3}, {2, 2}, {1, 1}, 0, 1},
        {{7, 9}, {3, 3}, {1, 1}, {1, 1}, 0, 1},    {{90, 61}, {3, 2}, {2, 3}, {1, 1}, 0, 0},
        {{5, 4700}, {2, 5}, {1, 2}, {1, 2}, 0, 1}, {{70, 130}, {50, 33}, {3, 1}, {25, 16}, 0, 0},
        {{6, 50}, {4, 3}, {5, 18}, {0, 1}, 0, 1},  {{40, 47}, {3, 4}, {2, 1}, {1, 2}, 2, 0},
        {{30, 300}, {2, 9}, {1, 3}, {0, 4}, 7, 0}, {{2, 2}, {2, 2}, {1, 1}, {1, 1}, 3, 0},
        {{6, 5}, {6, 5}, {6, 5}, {0, 0}, 0, 0},    {{9, 11}, {0}, {1, 1}, {0}, 0, 0},
        {{12, 15}, {0}, {4, 3}, {0}, 0, 0},        {{13, 17}, {0}, {5, 20}, {0}, 0, 0}};
    static const weft_dtype type[] = {WEFT_F64, WEFT_F32, WEFT_BF16, WEFT_F16};
    static const double off[] = {1e-14, 2e-6, 2e-2, 2e-3};
    for (size_t e = 0; e < sizeof all / sizeof *all; e++)
        for (int k = 0; k < 8; k++)
            if (k % 2 ? all[e].kernel[0] > 0 : all[e].dilation == 0)
                check_pooling(&all[e], k % 2, type[k / 2], off[k / 2]);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("pool");
    TCase *t = tcase_create("f64");
    weft_log_level(WEFT_LOG_SILENT);
    tcase_set_timeout(t, 120);
    tcase_add_checked_fixture(t, start, stop);
    suite_add_tcase(s, t);
    tcase_add_test(t, the_first_of_equal_ones_is_taken_and_nan_wins);
    tcase_add_test(t, padding_is_never_the_largest);
    tcase_add_test(t, pooling_is_as_defined);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
