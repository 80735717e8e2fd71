/* Attention and the classifier beyond their rows of the table: packed heads, wide heads in 16 bits, memory,
 * threads, what dropout drops; modules. */
#include "core/rng.h"
#include "late.h"
#include "nn/module.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <weft.h>

static weft_fabric *f;

static void start(void)
{
    ck_assert_int_eq(
        weft_open(&f, NULL, NULL, WEFT_OPEN(.threads = 1, .seed = 7, .precision = "64-true")), 0);
}

static void stop(void)
{
    weft_clear(f);
    ck_assert_int_eq(weft_close(&f), 0);
}

/* Values in -1 to 1, as a leaf that wants a gradient. */
static weft_tensor *draw(weft_fabric *g, uint64_t key, int rank, const int64_t *shape, weft_dtype t)
{
    int64_t n = 1;
    for (int d = 0; d < rank; d++)
        n *= shape[d];
    double *v = calloc((size_t)n + 1, sizeof *v);
    for (int64_t i = 0; i < n; i++)
        v[i] = 2 * (double)weft__uniform_f32(5, key, 0, (uint64_t)i) - 1;
    weft_tensor *x = weft_tensor_of(g, v, rank, shape, WEFT_F64);
    free(v);
    if (t != WEFT_F64)
        x = weft_cast(x, t);
    x = weft_detach(x);
    ck_assert_msg(x != NULL, "%s", weft_message(g));
    ck_assert_int_eq(weft_require_grad(x), 0);
    return x;
}

static double *values(weft_tensor *t)
{
    weft_tensor *x = weft_dtype_of(t) == WEFT_F64 ? t : weft_cast(t, WEFT_F64);
    int64_t n = weft_numel(x);
    ck_assert_msg(n >= 0, "no tensor");
    double *v = calloc((size_t)n + 1, sizeof *v);
    ck_assert_int_eq(weft_copy_out(x, v, (size_t)n * sizeof *v), 0);
    return v;
}

/* Within tol of the largest. */
static void near(const char *what, weft_tensor *got, weft_tensor *want, double tol)
{
    ck_assert_msg(got && want, "%s: %s", what, weft_message(f));
    ck_assert_int_eq(weft_numel(got), weft_numel(want));
    double *a = values(got), *b = values(want), most = 0;
    for (int64_t i = 0; i < weft_numel(want); i++)
        most = fabs(b[i]) > most ? fabs(b[i]) : most;
    for (int64_t i = 0; i < weft_numel(want); i++)
        if (!(fabs(a[i] - b[i]) <= tol * most))
            ck_abort_msg("%s[%lld]: %.17g, not %.17g", what, (long long)i, a[i], b[i]);
    free(a);
    free(b);
}

/* Heads a..b-1 of x (B,T,H,D) as (B,b-a,T,D). */
static weft_tensor *heads_of(weft_tensor *x, int64_t a, int64_t b)
{
    return weft_permute(weft_slice(x, 2, a, b, 1), 4, (int[]){0, 2, 1, 3});
}

static weft_tensor *by_parts(weft_tensor *qkv, int64_t h, int64_t g, int64_t d, weft_tensor **x4)
{
    const int64_t b = weft_dim(qkv, 0), t = weft_dim(qkv, 1);
    weft_tensor *x = *x4 = weft_reshape(qkv, 4, (int64_t[]){b, t, h + 2 * g, d});
    weft_tensor *y = weft_attention(heads_of(x, 0, h), heads_of(x, h, h + g),
                                    heads_of(x, h + g, h + 2 * g), WEFT_ATTENTION(.causal = true));
    return weft_reshape(weft_permute(y, 4, (int[]){0, 2, 1, 3}), 3, (int64_t[]){b, t, h * d});
}

static void pack(int64_t d, weft_dtype t, double tol)
{
    const int64_t shape[] = {2, 70, 8 * d};
    weft_tensor *one = draw(f, 1, 3, shape, t), *two = draw(f, 1, 3, shape, t), *x4;
    weft_tensor *y = weft_attention_packed(one, 4, 2, WEFT_ATTENTION(.causal = true));
    weft_tensor *z = by_parts(two, 4, 2, d, &x4);
    near("y", y, z, tol);
    ck_assert_int_eq(weft_backward(f, weft_sum(weft_mul(y, y), WEFT_ALL)), 0);
    ck_assert_int_eq(weft_backward(f, weft_sum(weft_mul(z, z), WEFT_ALL)), 0);
    near("gradient", weft_gradient(one), weft_gradient(two), 10 * tol);
}

START_TEST(packed_heads_give_what_separate_ones_give)
{
    pack(5, WEFT_F64, 1e-14);
    pack(64, WEFT_F32, 1e-6);
}
END_TEST

START_TEST(each_input_may_want_its_gradient_alone)
{
    const int64_t shape[] = {1, 2, 5, 3};
    weft_tensor *all[3], *y;
    for (int i = 0; i < 3; i++)
        all[i] = draw(f, (uint64_t)i, 4, shape, WEFT_F64);
    y = weft_attention(all[0], all[1], all[2], NULL);
    ck_assert_int_eq(weft_backward(f, weft_sum(weft_mul(y, y), WEFT_ALL)), 0);
    for (int i = 0; i < 3; i++) {
        weft_tensor *in[] = {weft_detach(all[0]), weft_detach(all[1]), weft_detach(all[2])};
        ck_assert_int_eq(weft_require_grad(in[i]), 0);
        y = weft_attention(in[0], in[1], in[2], NULL);
        ck_assert_int_eq(weft_backward(f, weft_sum(weft_mul(y, y), WEFT_ALL)), 0);
        near("gradient", weft_gradient(in[i]), weft_gradient(all[i]), 0);
    }
}
END_TEST

/* More columns than are cast at a time, and more rows than a tile has. */
START_TEST(wide_heads_of_16_bits_are_near_those_of_f64)
{
    const weft_dtype type[] = {WEFT_BF16, WEFT_F16};
    for (int k = 0; k < 2; k++) {
        weft_tensor *in[2][3], *y[2];
        for (int j = 0; j < 2; j++) {
            const int64_t q[] = {1, 2, 70, 150}, keys[] = {1, 1, 90, 150}, v[] = {1, 1, 90, 300};
            for (int i = 0; i < 3; i++) {
                in[j][i] = draw(f, (uint64_t)i, 4, i == 0 ? q : i == 1 ? keys : v, type[k]);
                if (j == 1) {
                    in[j][i] = weft_detach(weft_cast(in[j][i], WEFT_F64));
                    ck_assert_int_eq(weft_require_grad(in[j][i]), 0);
                }
            }
            y[j] =
                weft_attention(in[j][0], in[j][1], in[j][2], WEFT_ATTENTION(.bottom_right = true));
            weft_tensor *loss = weft_sum(weft_mul(y[j], y[j]), WEFT_ALL);
            ck_assert_int_eq(weft_backward(f, loss), 0);
        }
        ck_assert_int_eq(weft_dtype_of(y[0]), type[k]);
        near("y", y[0], y[1], 1e-2);
        for (int i = 0; i < 3; i++)
            near("gradient", weft_gradient(in[0][i]), weft_gradient(in[1][i]), 1.5e-2);
    }
}
END_TEST

/* --- memory and threads --- */

START_TEST(memory_does_not_grow_with_queries_times_keys)
{
    enum { T = 2048, D = 2 };
    const int64_t shape[] = {1, 1, T, D};
    weft_tensor *x = draw(f, 1, 4, shape, WEFT_F64);
    weft_memory_reset_peak(f);
    weft_tensor *y = weft_attention(x, x, x, WEFT_ATTENTION(.causal = true));
    ck_assert_int_eq(weft_backward(f, weft_sum(y, WEFT_ALL)), 0);
    ck_assert_int_lt(weft_memory(f).kind[WEFT_MEMORY_ARENA].peak, (int64_t)T * T * 8 / 16);
}
END_TEST

/* The result and the gradients of heads of d numbers. */
static double *on_threads(int threads, weft_dtype t, int64_t d, size_t *n)
{
    const int64_t q[] = {2, 4, 150, d}, k[] = {2, 2, 170, d};
    double *out = calloc((size_t)(d * 2 * (4 * 150 + 2 * 170)) * 2, sizeof *out);
    weft_fabric *g;
    *n = 0;
    ck_assert_int_eq(weft_open(&g, NULL, NULL, WEFT_OPEN(.threads = threads, .seed = 3)), 0);
    weft_tensor *in[] = {draw(g, 0, 4, q, t), draw(g, 1, 4, k, t), draw(g, 2, 4, k, t)};
    weft_tensor *y = weft_attention(weft_rotary(in[0], NULL), in[1], in[2],
                                    WEFT_ATTENTION(.causal = true, .dropout = 0.125));
    ck_assert_int_eq(weft_backward(g, weft_sum(weft_mul(y, y), WEFT_ALL)), 0);
    for (int i = -1; i < 3; i++) {
        weft_tensor *part = i < 0 ? y : weft_gradient(in[i]);
        double *v = values(part);
        memcpy(out + *n, v, (size_t)weft_numel(part) * sizeof *v);
        *n += (size_t)weft_numel(part);
        free(v);
    }
    ck_assert_int_eq(weft_close(&g), 0);
    return out;
}

START_TEST(threads_change_no_bit)
{
    const weft_dtype type[] = {WEFT_F32, WEFT_F64, WEFT_BF16, WEFT_F16, WEFT_F32};
    for (int i = 0; i < 5; i++) {
        size_t n, m;
        const int64_t d = i < 4 ? 24 : 64;
        double *one = on_threads(1, type[i], d, &n), *two = on_threads(2, type[i], d, &m);
        ck_assert_uint_eq(n, m);
        ck_assert_mem_eq(one, two, n * sizeof *one);
        free(one);
        free(two);
    }
}
END_TEST

/* Sizes of heads that a device may have kernels for. */
START_TEST(heads_of_f32_are_near_those_of_f64)
{
    const int64_t size[] = {64, 128, 72};
    for (int i = 0; i < 3; i++) {
        size_t n, m;
        double *one = on_threads(1, WEFT_F32, size[i], &n);
        double *two = on_threads(1, WEFT_F64, size[i], &m);
        ck_assert_uint_eq(n, m);
        for (size_t e = 0; e < n; e++)
            ck_assert_double_eq_tol(one[e], two[e], 1e-5);
        free(one);
        free(two);
    }
}
END_TEST

/* --- dropout --- */

START_TEST(a_share_of_the_weights_is_dropped)
{
    enum { T = 200, S = 100 };
    const int64_t q[] = {1, 1, T, 1}, k[] = {1, 1, S, 1};
    weft_tensor *zero = weft_full(f, 0, 4, q, WEFT_F64), *keys = weft_full(f, 0, 4, k, WEFT_F64);
    weft_tensor *one = weft_full(f, 1, 4, k, WEFT_F64);
    const weft_attention_options o = {.dropout = 0.25};
    weft_tensor *y = weft_attention(zero, keys, one, &o), *z = weft_attention(zero, keys, one, &o);
    double *a = values(y), *b = values(z), mean = 0;
    int others = 0;
    for (int i = 0; i < T; i++) {
        const double kept = a[i] * S * 0.75; /* a whole number of them */
        if (fabs(kept - rint(kept)) > 1e-9)
            ck_abort_msg("row %d: %g keys were kept", i, kept);
        mean += a[i] / T;
        others += a[i] != b[i];
    }
    ck_assert_double_eq_tol(mean, 1, 5 * sqrt(0.25 / 0.75 / (T * S)));
    ck_assert_int_gt(others, T / 2); /* another call drops others */
    free(a);
    free(b);
    y = weft_attention(zero, keys, one, WEFT_ATTENTION(.dropout = 1));
    ck_assert_double_eq(weft_item(weft_sum(y, WEFT_ALL)), 0);
}
END_TEST

/* --- rotary positions --- */

START_TEST(an_offset_is_a_later_part)
{
    const int64_t shape[] = {2, 9, 6};
    weft_tensor *x = draw(f, 1, 3, shape, WEFT_F64);
    near("rows", weft_rotary(weft_slice(x, 1, 4, 9, 1), WEFT_ROTARY(.offset = 4)),
         weft_slice(weft_rotary(x, NULL), 1, 4, 9, 1), 0);
}
END_TEST

/* --- the classifier with its loss --- */

/* Its loss, and that of the two ops; gradients of x, weight and bias must agree too. */
static void classify(weft_fabric *g, weft_dtype t, const weft_linear_cross_entropy_options *o,
                     double tol)
{
    enum { R = 50, I = 6, O = 30 };
    const int64_t x[] = {R / 10, 10, I}, w[] = {O, I}, b[] = {O};
    int64_t y[R];
    weft_tensor *in[2][3], *loss[2];
    for (int i = 0; i < R; i++)
        y[i] = i * i % O;
    weft_tensor *labels = weft_tensor_of(g, y, 2, x, WEFT_I64);
    for (int k = 0; k < 2; k++) {
        in[k][0] = draw(g, 0, 3, x, t);
        in[k][1] = draw(g, 1, 2, w, t);
        in[k][2] = draw(g, 2, 1, b, t);
    }
    loss[0] = weft_linear_cross_entropy(in[0][0], in[0][1], in[0][2], labels, o);
    weft_tensor *z = weft_linear(in[1][0], in[1][1], in[1][2]);
    loss[1] = weft_cross_entropy_with(
        weft_reshape(z, 2, (int64_t[]){R, O}), weft_reshape(labels, 1, (int64_t[]){R}),
        WEFT_CROSS_ENTROPY(.reduction = o->reduction, .ignore_index = o->ignore_index,
                           .label_smoothing = o->label_smoothing));
    near("loss", loss[0], loss[1], tol);
    for (int k = 0; k < 2; k++) {
        weft_tensor *sum = weft_sum(weft_mul(loss[k], loss[k]), WEFT_ALL);
        ck_assert_msg(weft_backward(g, sum) == 0, "%s", weft_message(g));
    }
    for (int i = 0; i < 3; i++)
        near("gradient", weft_gradient(in[0][i]), weft_gradient(in[1][i]), 2 * tol);
}

START_TEST(chunks_give_what_linear_and_cross_entropy_give)
{
    static const weft_linear_cross_entropy_options o[] = {
        {.chunk = 7},
        {.chunk = 1, .reduction = "none", .ignore_index = 4},
        {.chunk = 25, .ignore_index = -100, .label_smoothing = 0.1},
        {.reduction = "sum"}};
    for (size_t i = 0; i < sizeof o / sizeof o[0]; i++) {
        classify(f, WEFT_F64, &o[i], 1e-13);
        classify(f, WEFT_F32, &o[i], 1e-5);
        classify(f, WEFT_BF16, &o[i], 2e-2);
        classify(f, WEFT_F16, &o[i], 2e-3);
    }
}
END_TEST

START_TEST(logits_are_never_stored_whole)
{
    enum { R = 2048, I = 2, O = 1000 };
    weft_tensor *x = draw(f, 1, 2, (int64_t[]){R, I}, WEFT_F64);
    weft_tensor *w = draw(f, 2, 2, (int64_t[]){O, I}, WEFT_F64);
    weft_tensor *y = weft_full(f, 3, 1, (int64_t[]){R}, WEFT_I64);
    weft_memory_reset_peak(f);
    weft_tensor *loss =
        weft_linear_cross_entropy(x, w, NULL, y, WEFT_LINEAR_CROSS_ENTROPY(.chunk = 64));
    ck_assert_int_eq(weft_backward(f, loss), 0);
    ck_assert_int_lt(weft_memory(f).kind[WEFT_MEMORY_ARENA].peak, (int64_t)R * O * 8 / 4);
}
END_TEST

START_TEST(a_bad_label_of_a_later_chunk_is_named)
{
    int64_t y[9] = {0, 1, -5, 2, 0, 1, 0, 3, 9};
    weft_tensor *x = draw(f, 1, 2, (int64_t[]){9, 2}, WEFT_F64);
    weft_tensor *w = draw(f, 2, 2, (int64_t[]){3, 2}, WEFT_F64);
    weft_tensor *labels = weft_tensor_of(f, y, 1, (int64_t[]){9}, WEFT_I64);
    ck_assert_ptr_null(looked_at(
        f, weft_linear_cross_entropy(x, w, NULL, labels,
                                     WEFT_LINEAR_CROSS_ENTROPY(.chunk = 2, .ignore_index = -5))));
    ck_assert_int_eq(weft_error(f), WEFT_EDATA);
    ck_assert_msg(strstr(weft_message(f), "label 3 at row 7") != NULL, "%s", weft_message(f));
}
END_TEST

START_TEST(labels_have_any_type)
{
    const weft_dtype type[] = {WEFT_U8, WEFT_I32, WEFT_I64};
    const uint8_t u[] = {2, 0, 1};
    const int32_t i[] = {2, 0, 1};
    const int64_t l[] = {2, 0, 1}, three[] = {3};
    const void *data[] = {u, i, l};
    for (int64_t ignored = 0; ignored < 2; ignored++)
        for (int k = 0; k < 3; k++) {
            weft_tensor *x = draw(f, 1, 2, (int64_t[]){3, 2}, WEFT_F64);
            weft_tensor *w = draw(f, 2, 2, (int64_t[]){3, 2}, WEFT_F64);
            weft_tensor *y = weft_tensor_of(f, data[k], 1, three, type[k]);
            near("loss",
                 weft_linear_cross_entropy(x, w, NULL, y,
                                           WEFT_LINEAR_CROSS_ENTROPY(.ignore_index = ignored)),
                 weft_cross_entropy_with(weft_linear(x, w, NULL),
                                         weft_tensor_of(f, l, 1, three, WEFT_I64),
                                         WEFT_CROSS_ENTROPY(.ignore_index = ignored)),
                 1e-14);
        }
}
END_TEST

/* In bf16 the gradient of a weight that serves twice is f32, and the sum of its uses. */
START_TEST(an_embedding_may_be_the_classifier)
{
    const int64_t y[5] = {1, 0, 3, 3, 2};
    double g[2][12];
    for (int k = 0; k < 2; k++) {
        weft_fabric *h;
        ck_assert_int_eq(weft_open(&h, NULL, NULL,
                                   WEFT_OPEN(.threads = 1, .seed = 7,
                                             .precision = k ? "bf16-mixed" : "64-true")),
                         0);
        weft_module *m = weft_nn_embedding(h, 4, 3);
        ck_assert_int_eq(weft_setup_module(h, m), 0);
        weft_autocast_begin(h);
        weft_tensor *at = weft_tensor_of(h, y, 1, (int64_t[]){5}, WEFT_I64);
        weft_tensor *loss =
            weft_linear_cross_entropy(weft_forward(m, at), weft_param(m, "weight"), NULL, at, NULL);
        weft_autocast_end(h);
        ck_assert_int_eq(weft_dtype_of(loss), k ? WEFT_F32 : WEFT_F64);
        ck_assert_int_eq(weft_backward(h, loss), 0);
        ck_assert_int_eq(weft_dtype_of(weft_gradient(weft_param(m, "weight"))),
                         k ? WEFT_F32 : WEFT_F64);
        double *v = values(weft_gradient(weft_param(m, "weight")));
        memcpy(g[k], v, sizeof g[k]);
        free(v);
        ck_assert_int_eq(weft_close(&h), 0);
    }
    for (int i = 0; i < 12; i++)
        ck_assert_double_eq_tol(g[0][i], g[1][i], 2e-2);
}
END_TEST

/* --- modules --- */

START_TEST(the_module_is_what_it_is_made_of)
{
    const int64_t shape[] = {2, 5, 12};
    weft_module *m = weft_nn_attention(
        f, 12, 3, WEFT_NN_ATTENTION(.causal = true, .kv_heads = 1, .rotary = true, .dropout = 0.5));
    ck_assert_msg(m != NULL, "%s", weft_message(f));
    static const char *const name[] = {"c_attn.weight", "c_attn.bias", "c_proj.weight",
                                       "c_proj.bias"};
    for (int i = 0; i < 4; i++)
        ck_assert_str_eq(weft_param_name(m, i), name[i]);
    ck_assert_int_eq(weft_dim(weft_param(m, "c_attn.weight"), 0), 20);
    weft_setup_module(f, m);
    weft_train(m, false);
    weft_tensor *x = draw(f, 1, 3, shape, WEFT_F64), *y = weft_forward(m, x);
    weft_tensor *h = weft_linear(x, weft_param(m, name[0]), weft_param(m, name[1]));
    h = weft_reshape(h, 4, (int64_t[]){2, 5, 5, 4});
    const weft_rotary_options o = {.positions_first = true};
    weft_tensor *turned = weft_rotary(weft_slice(h, 2, 0, 4, 1), &o);
    weft_tensor *z = weft_attention(heads_of(turned, 0, 3), heads_of(turned, 3, 4),
                                    heads_of(h, 4, 5), WEFT_ATTENTION(.causal = true));
    z = weft_reshape(weft_permute(z, 4, (int[]){0, 2, 1, 3}), 3, shape);
    z = weft_linear(z, weft_param(m, name[2]), weft_param(m, name[3]));
    near("module", y, z, 1e-13);
    weft_train(m, true);
    double *a = values(y), *b = values(weft_forward(m, x));
    ck_assert(memcmp(a, b, 2 * 5 * 12 * sizeof *a) != 0); /* dropout is on */
    free(a);
    free(b);
}
END_TEST

START_TEST(positions_are_added)
{
    weft_module *m = weft_nn_positions(f, 4, 2);
    ck_assert_str_eq(weft_param_name(m, 0), "weight");
    weft_setup_module(f, m);
    weft_tensor *x = weft_full(f, 0.5, 3, (int64_t[]){2, 3, 2}, WEFT_F64);
    double *y = values(weft_forward(m, x)), *w = values(weft_param(m, "weight"));
    for (int i = 0; i < 12; i++)
        if (y[i] != 0.5 + w[i % 6])
            ck_abort_msg("%d: %g", i, y[i]);
    free(y);
    free(w);
    ck_assert_ptr_null(weft_forward(m, weft_full(f, 0, 2, (int64_t[]){5, 2}, WEFT_F64)));
    ck_assert_int_eq(weft_error(f), WEFT_ESHAPE);
    ck_assert_ptr_nonnull(strstr(weft_message(f), "T up to 4"));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("attention");
    TCase *t = tcase_create("attention");
    weft_log_level(WEFT_LOG_SILENT);
    tcase_set_timeout(t, 120);
    tcase_add_checked_fixture(t, start, stop);
    suite_add_tcase(s, t);
    tcase_add_test(t, packed_heads_give_what_separate_ones_give);
    tcase_add_test(t, each_input_may_want_its_gradient_alone);
    tcase_add_test(t, wide_heads_of_16_bits_are_near_those_of_f64);
    tcase_add_test(t, memory_does_not_grow_with_queries_times_keys);
    tcase_add_test(t, threads_change_no_bit);
    tcase_add_test(t, heads_of_f32_are_near_those_of_f64);
    tcase_add_test(t, a_share_of_the_weights_is_dropped);
    tcase_add_test(t, an_offset_is_a_later_part);
    tcase_add_test(t, chunks_give_what_linear_and_cross_entropy_give);
    tcase_add_test(t, logits_are_never_stored_whole);
    tcase_add_test(t, a_bad_label_of_a_later_chunk_is_named);
    tcase_add_test(t, labels_have_any_type);
    tcase_add_test(t, an_embedding_may_be_the_classifier);
    tcase_add_test(t, the_module_is_what_it_is_made_of);
    tcase_add_test(t, positions_are_added);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
