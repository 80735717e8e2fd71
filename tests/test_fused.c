/* Attention in 16 bits over whole tiles of queries and keys, where a library may compute it: near what f64
 * gives, in the same bits each time. */
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

int main(void)
{
    Suite *s = suite_create("fused");
    TCase *c = tcase_create("attention");
    tcase_add_checked_fixture(c, start, stop);
    tcase_add_loop_test(c, whole_tiles_are_near_those_of_f64, 0, sizeof all / sizeof *all);
    tcase_add_test(c, packed_heads_give_what_separate_ones_give);
    tcase_add_test(c, each_time_has_the_same_bits);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    const int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
