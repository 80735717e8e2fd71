/* What a library may compute at once, attention in 16 bits over whole tiles of queries and keys, and two
 * layers: near what f64 gives, in the same bits each time. */
#include "core/rng.h"

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

typedef struct sizes {
    int64_t batch, heads, kv_heads, queries, keys, size;
    weft_attention_options o;
    weft_dtype type;
} sizes;

/* Values in -1 to 1 that `t` has, as a leaf of type `as` that wants a gradient. */
static weft_tensor *draw(uint64_t key, int rank, const int64_t *shape, weft_dtype t, weft_dtype as)
{
    int64_t n = 1;
    for (int d = 0; d < rank; d++)
        n *= shape[d];
    float *v = calloc((size_t)n, sizeof *v);
    for (int64_t i = 0; i < n; i++)
        v[i] = 2 * weft__uniform_f32(5, key, 0, (uint64_t)i) - 1;
    weft_tensor *x = weft_cast(weft_tensor_of(f, v, rank, shape, WEFT_F32), t);
    free(v);
    x = weft_detach(as == t ? x : weft_cast(x, as));
    ck_assert_msg(x != NULL, "%s", weft_message(f));
    ck_assert_int_eq(weft_require_grad(x), 0);
    return x;
}

static float *values(weft_tensor *t)
{
    weft_tensor *x = weft_cast(t, WEFT_F32);
    const size_t n = (size_t)weft_numel(x);
    float *v = calloc(n, sizeof *v);
    ck_assert_int_eq(weft_copy_out(x, v, n * sizeof *v), 0);
    return v;
}

/* Within tol of the largest. */
static void near(const char *what, weft_tensor *got, weft_tensor *want, double tol)
{
    ck_assert_msg(got && want, "%s: %s", what, weft_message(f));
    const int64_t n = weft_numel(want);
    ck_assert_int_eq(weft_numel(got), n);
    float *a = values(got), *b = values(want);
    double most = 0;
    for (int64_t i = 0; i < n; i++)
        most = fabs(b[i]) > most ? fabs(b[i]) : most;
    for (int64_t i = 0; i < n; i++)
        if (!(fabs((double)a[i] - b[i]) <= tol * most))
            ck_abort_msg("%s[%lld]: %.9g, not %.9g", what, (long long)i, a[i], b[i]);
    free(a);
    free(b);
}

/* y, and q, k and v with gradients. */
static weft_tensor *attend(const sizes *s, weft_dtype as, weft_tensor **in)
{
    const int64_t q[] = {s->batch, s->heads, s->queries, s->size};
    const int64_t k[] = {s->batch, s->kv_heads, s->keys, s->size};
    for (int i = 0; i < 3; i++)
        in[i] = draw((uint64_t)i, 4, i ? k : q, s->type, as);
    weft_tensor *y = weft_attention(in[0], in[1], in[2], &s->o);
    ck_assert_int_eq(weft_backward(f, weft_sum(weft_mul(y, y), WEFT_ALL)), 0);
    return y;
}

static const sizes all[] = {
    {2, 2, 2, 128, 64, 64, .o = {.causal = false}, .type = WEFT_BF16},
    {2, 2, 2, 128, 128, 64, .o = {.causal = true}, .type = WEFT_BF16},
    {1, 4, 2, 64, 64, 64, .o = {.causal = true}, .type = WEFT_F16},
    {2, 4, 1, 64, 192, 32, .o = {.bottom_right = true}, .type = WEFT_BF16},
    {1, 1, 1, 64, 64, 128, .o = {.scale = 0.25}, .type = WEFT_F16},
    {1, 2, 2, 77, 301, 40, .o = {.causal = true}, .type = WEFT_BF16},
    {2, 2, 1, 310, 45, 104, .o = {.bottom_right = true}, .type = WEFT_BF16},
};

START_TEST(whole_tiles_are_near_those_of_f64)
{
    const sizes s = all[_i];
    weft_tensor *low[3], *high[3];
    weft_tensor *y = attend(&s, s.type, low), *z = attend(&s, WEFT_F64, high);
    ck_assert_int_eq(weft_dtype_of(y), s.type);
    near("y", y, z, 1e-2);
    for (int i = 0; i < 3; i++)
        near("gradient", weft_gradient(low[i]), weft_gradient(high[i]), 2e-2);
}
END_TEST

START_TEST(packed_heads_give_what_separate_ones_give)
{
    enum { B = 2, T = 64, H = 4, G = 2, D = 64 };
    const int64_t shape[] = {B, T, (H + 2 * G) * D};
    weft_tensor *low = draw(1, 3, shape, WEFT_BF16, WEFT_BF16);
    weft_tensor *high = draw(1, 3, shape, WEFT_BF16, WEFT_F64);
    weft_tensor *y = weft_attention_packed(low, H, G, WEFT_ATTENTION(.causal = true));
    weft_tensor *z = weft_attention_packed(high, H, G, WEFT_ATTENTION(.causal = true));
    ck_assert_int_eq(weft_backward(f, weft_sum(weft_mul(y, y), WEFT_ALL)), 0);
    ck_assert_int_eq(weft_backward(f, weft_sum(weft_mul(z, z), WEFT_ALL)), 0);
    near("y", y, z, 1e-2);
    near("gradient", weft_gradient(low), weft_gradient(high), 2e-2);
}
END_TEST

START_TEST(each_time_has_the_same_bits)
{
    const sizes s = {2, 4, 2, 128, 128, 64, .o = {.causal = true}, .type = WEFT_BF16};
    weft_tensor *one[3], *two[3];
    near("y", attend(&s, WEFT_BF16, one), attend(&s, WEFT_BF16, two), 0);
    for (int i = 0; i < 3; i++)
        near("gradient", weft_gradient(one[i]), weft_gradient(two[i]), 0);
}
END_TEST

/* --- two layers and the GELU between them --- */

enum { X, W, B, V, D, LAYERS };

typedef struct layers {
    int64_t rows, in, hidden, out;
    int with;   /* bits: which inputs there are, */
    int wanted; /* and which of them want a gradient */
} layers;

static const layers some[] = {
    {64, 32, 128, 48, 31, 31}, {33, 16, 64, 16, 31, 30}, {64, 24, 72, 24, 27, 27},
    {64, 24, 72, 24, 15, 15},  {40, 17, 13, 9, 11, 11},  {64, 32, 128, 32, 31, 24},
    {64, 32, 128, 32, 31, 4},  {64, 32, 128, 32, 31, 1}, {512, 256, 1024, 256, 31, 31}};
static const weft_dtype of[] = {WEFT_BF16, WEFT_F16, WEFT_F32, WEFT_F64};

/* Numbers that 16 bits have, as leaves of type `as`; y, whose gradient went to them. */
static weft_tensor *pass(const layers *l, weft_dtype t, weft_dtype as, bool apart, weft_tensor **in)
{
    const int64_t shape[LAYERS][2] = {
        {l->rows, l->in}, {l->hidden, l->in}, {l->hidden, 0}, {l->out, l->hidden}, {l->out, 0}};
    for (int i = 0; i < LAYERS; i++) {
        const int rank = i == B || i == D ? 1 : 2;
        const double by = rank == 1 ? 1 : i == X ? 4 : 2 / sqrt((double)shape[i][1]);
        in[i] = NULL;
        if (!(l->with >> i & 1))
            continue;
        weft_tensor *x =
            weft_cast(weft_scale(draw((uint64_t)i, rank, shape[i], WEFT_F32, WEFT_F32), by), t);
        in[i] = weft_detach(weft_cast(x, as));
        if (l->wanted >> i & 1)
            ck_assert_int_eq(weft_require_grad(in[i]), 0);
    }
    weft_tensor *y = apart ? weft_linear(weft_linear_gelu_tanh(in[X], in[W], in[B]), in[V], in[D])
                           : weft_mlp_gelu_tanh(in[X], in[W], in[B], in[V], in[D]);
    ck_assert_msg(y != NULL, "%s", weft_message(f));
    ck_assert_int_eq(weft_backward(f, weft_sum(weft_mul(y, y), WEFT_ALL)), 0);
    return y;
}

static void compare_layers(const layers *l, weft_tensor *y, weft_tensor **a, weft_tensor *z,
                           weft_tensor **b, double tol)
{
    near("y", y, z, tol);
    for (int i = 0; i < LAYERS; i++)
        if (l->with & l->wanted & 1 << i)
            near((const char *const[]){"dx", "dw", "db", "dv", "dd"}[i], weft_gradient(a[i]),
                 weft_gradient(b[i]), 2 * tol);
}

/* The same kernels where they are not fused: then also to the bit. */
START_TEST(two_layers_give_what_each_gives)
{
    const layers *l = &some[_i / 4];
    const weft_dtype t = of[_i % 4];
    const char *on = getenv("WEFT_ACCELERATOR");
    const double tol = !on || strcmp(on, "cuda") != 0 ? 0 : weft_dtype_size(t) == 2 ? 1e-2 : 1e-5;
    weft_tensor *one[LAYERS], *two[LAYERS];
    weft_tensor *y = pass(l, t, t, false, one), *z = pass(l, t, t, true, two);
    ck_assert_int_eq(weft_dtype_of(y), t);
    compare_layers(l, y, one, z, two, tol);
}
END_TEST

START_TEST(two_layers_are_near_those_of_f64)
{
    const layers *l = &some[_i / 2];
    weft_tensor *low[LAYERS], *high[LAYERS];
    weft_tensor *y = pass(l, of[_i % 2], of[_i % 2], false, low);
    weft_tensor *z = pass(l, of[_i % 2], WEFT_F64, false, high);
    compare_layers(l, y, low, z, high, 1e-2);
}
END_TEST

START_TEST(two_layers_have_the_same_bits_each_time)
{
    weft_tensor *one[LAYERS], *two[LAYERS];
    const layers *l = &some[_i / 2];
    weft_tensor *y = pass(l, of[_i % 2], of[_i % 2], false, one),
                *z = pass(l, of[_i % 2], of[_i % 2], false, two);
    compare_layers(l, y, one, z, two, 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("fused");
    TCase *c = tcase_create("attention");
    tcase_add_checked_fixture(c, start, stop);
    tcase_add_loop_test(c, whole_tiles_are_near_those_of_f64, 0, sizeof all / sizeof *all);
    tcase_add_test(c, packed_heads_give_what_separate_ones_give);
    tcase_add_test(c, each_time_has_the_same_bits);
    suite_add_tcase(s, c);
    c = tcase_create("layers");
    tcase_add_checked_fixture(c, start, stop);
    tcase_set_timeout(c, 60);
    tcase_add_loop_test(c, two_layers_give_what_each_gives, 0, 4 * sizeof some / sizeof *some);
    tcase_add_loop_test(c, two_layers_are_near_those_of_f64, 0, 2 * sizeof some / sizeof *some);
    tcase_add_loop_test(c, two_layers_have_the_same_bits_each_time, 0,
                        2 * sizeof some / sizeof *some);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    const int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
