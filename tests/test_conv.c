/* Convolutions beyond their rows of conform_conv.h: modules, images worked on in parts,
 * memory, threads, gradients of 16-bit weights. */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <weft.h>

static weft_fabric *f;

static void open_with(const char *precision, int threads)
{
    ck_assert_int_eq(
        weft_open(&f, NULL, NULL, WEFT_OPEN(.threads = threads, .precision = precision)), 0);
}

static void start(void)
{
    open_with("64-true", 1);
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

/* Numbers in [-1, 1) that have nothing to do with each other. */
static weft_tensor *noise(const int64_t shape[4], uint32_t seed)
{
    const int64_t n = shape[0] * shape[1] * shape[2] * shape[3];
    double *v = calloc((size_t)n + 1, sizeof *v);
    for (int64_t i = 0; i < n; i++) {
        seed = seed * 1664525 + 1013904223;
        v[i] = (double)(seed >> 8) * 0x1p-23 - 1;
    }
    weft_tensor *x = weft_tensor_of(f, v, 4, shape, WEFT_F64);
    free(v);
    return x;
}

START_TEST(modules_have_pytorchs_parameters)
{
    weft_module *m =
        weft_nn_sequential(f, weft_nn_conv2d(f, 4, 6, 3, WEFT_CONV(.groups = 2, .padding = 1)),
                           weft_nn_max_pool2d(f, WEFT_POOL(.kernel = 2)),
                           weft_nn_conv2d(f, 6, 5, 1, WEFT_CONV(.kernel_w = 2, .no_bias = true)),
                           weft_nn_avg_pool2d(f, WEFT_POOL(.kernel = 2, .stride = 1)),
                           weft_nn_adaptive_avg_pool2d(f, 2, 1), weft_nn_global_avg_pool(f));
    weft_tensor *y = weft_forward(m, noise((int64_t[]){3, 4, 8, 8}, 1));
    ck_assert(weft_rank_of(y) == 2 && weft_dim(y, 0) == 3 && weft_dim(y, 1) == 5);
    ck_assert_int_eq(weft_param_count(m), 3);
    weft_tensor *w = weft_param(m, "0.weight"), *v = weft_param(m, "2.weight");
    ck_assert(weft_dim(w, 0) == 6 && weft_dim(w, 1) == 2 && weft_dim(w, 2) == 3);
    ck_assert(weft_dim(v, 0) == 5 && weft_dim(v, 1) == 6 && weft_dim(v, 3) == 2);
    const double bound = 1 / sqrt(18), most = weft_item(weft_max(weft_abs(w), WEFT_ALL));
    ck_assert(most <= bound && most > 0.9 * bound);
    ck_assert(weft_item(weft_max(weft_abs(v), WEFT_ALL)) > 0.9 / sqrt(12));
    ck_assert(weft_item(weft_max(weft_abs(weft_param(m, "0.bias")), WEFT_ALL)) <= bound);
}
END_TEST

/* Enough images for several parts: each image is as if it were alone, and their gradients are summed. */
#define IMAGES 11
START_TEST(parts_are_those_of_the_whole)
{
    const int64_t many[4] = {IMAGES, 8, 48, 48}, size[4] = {4, 8, 5, 5};
    weft_tensor *x = noise(many, 1), *w = noise(size, 2), *b = weft_full(f, 0.5, 1, size, WEFT_F64);
    weft_require_grad(x);
    weft_require_grad(w);
    weft_require_grad(b);
    weft_tensor *y = weft_conv2d(x, w, b, WEFT_CONV(.padding = 2));
    ck_assert_int_eq(weft_backward(f, weft_mean(weft_mul(y, y), WEFT_ALL)), 0);
    double *whole = values(y), *gw = values(weft_gradient(w)), *gx = values(weft_gradient(x));
    const int64_t out = weft_numel(y) / IMAGES, in = weft_numel(x) / IMAGES;
    if (strcmp(weft_accelerator_name(f), "cpu") == 0) /* others have larger parts */
        ck_assert_int_lt(weft_memory(f).kind[WEFT_MEMORY_ARENA].peak, (int64_t)48 << 20);
    double *sum = calloc((size_t)weft_numel(w), sizeof *sum);
    for (int64_t i = 0; i < IMAGES; i++) {
        weft_tensor *one = weft_slice(x, 0, i, i + 1, 1), *v = weft_detach(w);
        weft_require_grad(v);
        weft_tensor *z = weft_conv2d(one, v, b, WEFT_CONV(.padding = 2));
        double *alone = values(z);
        ck_assert_mem_eq(alone, whole + i * out, (size_t)out * sizeof *alone);
        ck_assert_int_eq(
            weft_backward(f, weft_scale(weft_mean(weft_mul(z, z), WEFT_ALL), 1.0 / IMAGES)), 0);
        double *g = values(weft_gradient(v));
        for (int64_t k = 0; k < weft_numel(w); k++)
            sum[k] += g[k];
        free(g);
        free(alone);
    }
    for (int64_t k = 0; k < weft_numel(w); k++)
        if (!(fabs(sum[k] - gw[k]) <= 1e-12))
            ck_abort_msg("gradient %lld is %.17g, not %.17g", (long long)k, gw[k], sum[k]);
    ck_assert(gx[0] != 0 && gx[IMAGES * in - 1] != 0);
    free(whole);
    free(gw);
    free(gx);
    free(sum);
}
END_TEST

/* The bits of results and gradients on one and on two threads. */
static void bits(int threads, const char *precision, int64_t groups, float *out, size_t n)
{
    open_with(precision, threads);
    const int64_t many[4] = {6, 34, 12, 12}, size[4] = {68, 34 / groups, 3, 3};
    weft_tensor *x = weft_cast(noise(many, 1), WEFT_F32), *w = weft_cast(noise(size, 2), WEFT_F32);
    weft_require_grad(x);
    weft_require_grad(w);
    weft_autocast_begin(f);
    weft_tensor *y = weft_conv2d(x, w, NULL, WEFT_CONV(.padding = 1, .groups = groups));
    y = weft_max_pool2d(y, WEFT_POOL(.kernel = 3, .stride = 2));
    y = weft_avg_pool2d(y, WEFT_POOL(.kernel = 3, .stride = 2, .padding = 1));
    weft_autocast_end(f);
    y = weft_cast(y, WEFT_F32);
    ck_assert_int_eq(weft_backward(f, weft_mean(weft_mul(y, y), WEFT_ALL)), 0);
    weft_tensor *const all[] = {y, weft_gradient(x), weft_gradient(w)};
    for (int i = 0; i < 3; i++) {
        const size_t count = (size_t)weft_numel(all[i]);
        ck_assert_uint_le(count, n);
        ck_assert_int_eq(weft_copy_out(all[i], out, count * sizeof *out), 0);
        out += count;
        n -= count;
    }
    stop();
}

#define BITS 60000
START_TEST(bits_do_not_depend_on_threads)
{
    static float one[BITS], two[BITS];
    const char *const precision[] = {"32-true", "bf16-mixed"};
    const int64_t groups[] = {1, 2, 34};
    for (int i = 0; i < 6; i++) {
        bits(1, precision[i % 2], groups[i / 2], one, BITS);
        bits(2, precision[i % 2], groups[i / 2], two, BITS);
        ck_assert_mem_eq(one, two, sizeof one);
    }
}
END_TEST

typedef struct sizes {
    int64_t x[4], w[4];
    weft_conv_options o;
} sizes;

/* Numbers that bf16 has. */
static weft_tensor *rough(const int64_t shape[4], uint32_t seed, weft_dtype t)
{
    weft_tensor *x = weft_cast(weft_cast(noise(shape, seed), WEFT_BF16), t);
    weft_require_grad(x);
    return x;
}

/* Adds a product to result and gradients; in: x, w, the bias and what flows back. */
static void add(double *const in[4], double *const out[3], int64_t y, int64_t x, int64_t w)
{
    out[0][y] += in[0][x] * in[1][w];
    out[1][x] += in[3][y] * in[1][w];
    out[2][w] += in[3][y] * in[0][x];
}

static int64_t or_else(int64_t v, int64_t otherwise)
{
    return v == WEFT_OFF ? 0 : v ? v : otherwise;
}

/* Result and gradients by plain loops. */
static void plainly(const sizes *s, double *const in[4], double *const out[3], int64_t high,
                    int64_t wide)
{
    const int64_t *x = s->x, *w = s->w, stride = or_else(s->o.stride, 1);
    const int64_t dilation = or_else(s->o.dilation, 1), group = w[0] / or_else(s->o.groups, 1);
    const int64_t step[2] = {stride, or_else(s->o.stride_w, stride)};
    const int64_t apart[2] = {dilation, or_else(s->o.dilation_w, dilation)};
    const int64_t before[2] = {s->o.padding, or_else(s->o.padding_w, s->o.padding)};
    const int64_t all = x[0] * w[0] * high * wide;
    for (int64_t y = 0; y < all; y++) {
        const int64_t o = y / wide / high % w[0], n = y / wide / high / w[0];
        out[0][y] += in[2][o];
        for (int64_t e = 0; e < w[1] * w[2] * w[3]; e++) {
            const int64_t c = o / group * w[1] + e / w[3] / w[2];
            const int64_t r = y / wide % high * step[0] + e / w[3] % w[2] * apart[0] - before[0];
            const int64_t q = y % wide * step[1] + e % w[3] * apart[1] - before[1];
            if (r >= 0 && r < x[2] && q >= 0 && q < x[3])
                add(in, out, y, ((n * x[1] + c) * x[2] + r) * x[3] + q, o * w[1] * w[2] * w[3] + e);
        }
    }
}

/* Result and gradients of one convolution in a type, and what they ought to be. */
static void convolve(const sizes *s, weft_dtype t, double *out[3], double *want[3], int64_t n[3])
{
    const int64_t o = s->w[0];
    weft_tensor *x = rough(s->x, 1, t), *w = rough(s->w, 2, t);
    weft_tensor *b = weft_reshape(rough((int64_t[]){1, 1, 1, o}, 3, t), 1, &o);
    weft_tensor *y = weft_conv2d(x, w, b, &s->o);
    const int64_t shape[4] = {weft_dim(y, 0), o, weft_dim(y, 2), weft_dim(y, 3)};
    ck_assert_msg(!weft_error(f), "%s", weft_message(f));
    weft_tensor *v = rough(shape, 4, t);
    ck_assert_int_eq(weft_backward(f, weft_sum(weft_mul(y, v), WEFT_ALL)), 0);
    weft_tensor *const all[] = {y, weft_gradient(x), weft_gradient(w)};
    double *in[4] = {values(x), values(w), values(b), values(v)};
    for (int i = 0; i < 3; i++) {
        n[i] = weft_numel(all[i]);
        out[i] = values(all[i]);
        want[i] = calloc((size_t)n[i] + 1, sizeof *want[i]);
    }
    plainly(s, in, want, shape[2], shape[3]);
    for (int i = 0; i < 4; i++)
        free(in[i]);
}

/* Channels below, at and above whole vectors; strides with and without places for all; few channels to a group, in
 * planes below and above vectors, with more padding than plane; weights that images share; what is no own
 * kernel's. */
START_TEST(all_types_agree_with_plain_loops)
{
    static const sizes all[] = {
        {{3, 1, 28, 28}, {33, 1, 3, 3}, {.padding = 1}},
        {{9, 32, 14, 14}, {32, 32, 3, 3}, {.padding = 1}},
        {{2, 40, 9, 7}, {70, 40, 3, 3}, {.stride = 2, .padding = 1}},
        {{17, 3, 11, 20}, {16, 3, 5, 3}, {.stride = 3, .stride_w = 2, .padding = 2}},
        {{2, 17, 8, 8}, {5, 17, 1, 1}, {.stride = 2}},
        {{2, 5, 12, 9}, {7, 5, 3, 2}, {.dilation = 2, .padding = 4, .padding_w = 1}},
        {{1, 20, 6, 5}, {18, 20, 2, 4}, {.dilation = 3, .padding = 3, .stride = 2, .padding_w = 7}},
        {{2, 8, 6, 6}, {12, 2, 3, 3}, {.groups = 4, .padding = 1}},
        {{2, 6, 19, 70}, {6, 1, 3, 3}, {.groups = 6, .padding = 1}},
        {{3, 5, 7, 7}, {10, 1, 7, 5}, {.groups = 5, .padding = 3, .padding_w = 2}},
        {{2, 4, 15, 13}, {4, 1, 3, 3}, {.groups = 4, .padding = 1, .stride = 2}},
        {{2, 3, 2, 3}, {3, 1, 3, 2}, {.groups = 3, .padding = 4, .padding_w = 5}},
        {{2, 4, 21, 17}, {8, 1, 2, 3}, {.groups = 4, .dilation = 3, .stride = 3, .padding = 2}},
        {{2, 3, 9, 10}, {3, 1, 1, 1}, {.groups = 3, .stride = 3, .stride_w = 2, .padding = 1}},
        {{2, 40, 6, 9}, {36, 20, 3, 3}, {.groups = 2, .padding = 1}},
        {{2, 2, 9, 33}, {18, 1, 9, 9}, {.groups = 2, .padding = 4}},
        {{3, 64, 2, 2}, {72, 64, 8, 8}, {.padding = 4}},
    };
    static const struct {
        weft_dtype t;
        double off[3];
    } type[] = {{WEFT_F64, {1e-14, 1e-14, 1e-14}},
                {WEFT_F32, {1e-6, 1e-6, 1e-6}},
                {WEFT_BF16, {4e-3, 4e-3, 1e-2}},
                {WEFT_F16, {5e-4, 5e-4, 1e-3}}};
    for (size_t e = 0; e < sizeof all / sizeof *all; e++)
        for (size_t k = 0; k < sizeof type / sizeof *type; k++) {
            double *want[3], *got[3];
            int64_t n[3];
            convolve(&all[e], type[k].t, got, want, n);
            for (int i = 0; i < 3; i++) {
                double most = 0, off = 0;
                for (int64_t j = 0; j < n[i]; j++) {
                    most = fmax(most, fabs(want[i][j]));
                    off = fmax(off, isnan(got[i][j]) ? INFINITY : fabs(got[i][j] - want[i][j]));
                }
                if (!(off <= type[k].off[i] * most))
                    ck_abort_msg("case %zu, %s, %d: %g of %g", e, weft_dtype_name(type[k].t), i,
                                 off, most);
                free(want[i]);
                free(got[i]);
            }
            weft_step_end(f);
        }
}
END_TEST

/* A weight in 16 bits has its gradient in f32, and one whose numbers need it. */
START_TEST(gradients_of_16_bit_weights_are_f32)
{
    open_with("bf16-true", 1);
    weft_module *m = weft_nn_conv2d(f, 1, 1, 1, NULL);
    weft_optimizer *o = weft_sgd(m, WEFT_SGD(.lr = 0.5));
    ck_assert_int_eq(weft_setup(f, m, o), 0);
    weft_tensor *x = weft_full(f, 1, 4, (int64_t[]){3, 1, 7, 49}, WEFT_BF16);
    ck_assert_int_eq(weft_dtype_of(weft_param(m, "weight")), WEFT_BF16);
    ck_assert_int_eq(weft_backward(f, weft_sum(weft_forward(m, x), WEFT_ALL)), 0);
    weft_tensor *g = weft_gradient(weft_param(m, "weight"));
    ck_assert_int_eq(weft_dtype_of(g), WEFT_F32);
    ck_assert_double_eq(weft_item(weft_sum(g, WEFT_ALL)), 3 * 7 * 49);
    ck_assert_double_eq(weft_item(weft_sum(weft_gradient(weft_param(m, "bias")), 0)), 3 * 7 * 49);
    stop();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("conv");
    TCase *t = tcase_create("f64"), *u = tcase_create("own");
    weft_log_level(WEFT_LOG_SILENT);
    tcase_set_timeout(t, 120);
    tcase_set_timeout(u, 120);
    tcase_add_checked_fixture(t, start, stop);
    suite_add_tcase(s, t);
    suite_add_tcase(s, u);
    tcase_add_test(t, modules_have_pytorchs_parameters);
    tcase_add_test(t, parts_are_those_of_the_whole);
    tcase_add_test(t, all_types_agree_with_plain_loops);
    tcase_add_test(u, bits_do_not_depend_on_threads);
    tcase_add_test(u, gradients_of_16_bit_weights_are_f32);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
