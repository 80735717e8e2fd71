/* Kernels in 16 bits against those in f32: the same numbers, rounded once, on one, two and three
 * threads; matrix products against sums in f64. */
#include "core/error.h"
#include "core/rng.h"
#include "device/cpu/half.h"
#include "device/device.h"

#include <check.h>
#include <stdlib.h>

#define THREADS 3
#define N 70000 /* pays for threads */
static weft_device *device[THREADS];
static weft_stream *stream[THREADS];
static weft_dtype low; /* that is tested */

static void start(void)
{
    for (int t = 0; t < THREADS; t++) {
        ck_assert_int_eq(weft__device_open(&device[t], "cpu", 0, t + 1), WEFT_OK);
        device[t]->vectors = t; /* of a CPU: the best, those that all have, AVX2 */
        ck_assert_int_eq(device[t]->ops->stream_new(device[t], &stream[t]), WEFT_OK);
    }
}

static void stop(void)
{
    for (int t = 0; t < THREADS; t++) {
        device[t]->ops->stream_free(stream[t]);
        weft__device_close(device[t]);
    }
}

static const int64_t all[] = {0, N};

static weft_dev dev(const void *p)
{
    return (weft_dev){(uintptr_t)p};
}

static float wide(uint16_t h)
{
    return low == WEFT_BF16 ? half_wide_bf16(h) : half_wide_f16(h);
}

static uint16_t narrow(float x)
{
    return low == WEFT_BF16 ? half_low_bf16(x) : half_low_f16(x);
}

/* Numbers in [-2, 2) that both types hold, and the same in f32. */
static void draw(uint16_t *h, float *x, int64_t n, uint64_t seed)
{
    for (int64_t i = 0; i < n; i++) {
        seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        h[i] = narrow((float)(seed >> 40) * 0x1p-22F - 2);
        x[i] = wide(h[i]);
    }
}

/* What a test works on: two inputs in both types, results of both. */
static uint16_t a[N], b[N], y[N];
static float fa[N], fb[N], fy[N];
static int64_t index_of[N];
static uint8_t cond[N];

static void inputs(int i)
{
    low = i % 2 ? WEFT_F16 : WEFT_BF16;
    draw(a, fa, N, 5);
    draw(b, fb, N, 6);
    for (int64_t k = 0; k < N; k++) {
        index_of[k] = k * 7919 % N;
        cond[k] = k % 3 == 0;
    }
}

static void rounded(const char *what, int t, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (y[i] != narrow(fy[i]) && !(isnan(wide(y[i])) && isnan(fy[i])))
            ck_abort_msg("%s on %d threads [%lld]: %g, not %g rounded", what, t + 1, (long long)i,
                         (double)wide(y[i]), (double)fy[i]);
}

typedef weft_status elementwise(const weft_kernels *k, weft_stream *s, weft_dev r, weft_dev x,
                                weft_dev z, weft_dtype dt);
static const int64_t n = N, one = 1, zero = 0;
static int which;

static weft_status axpy(const weft_kernels *k, weft_stream *s, weft_dev r, weft_dev x, weft_dev z,
                        weft_dtype dt)
{
    WEFT_TRY(k->copy(s, r, dt, &one, x, dt, &one, 1, &n));
    return k->axpy(s, r, 0.3, z, N, dt);
}
static weft_status scale(const weft_kernels *k, weft_stream *s, weft_dev r, weft_dev x, weft_dev z,
                         weft_dtype dt)
{
    (void)z;
    return k->scale(s, r, 0.3, x, N, dt);
}
static weft_status relu(const weft_kernels *k, weft_stream *s, weft_dev r, weft_dev x, weft_dev z,
                        weft_dtype dt)
{
    (void)z;
    return k->relu(s, r, x, N, dt);
}
static weft_status relu_back(const weft_kernels *k, weft_stream *s, weft_dev r, weft_dev x,
                             weft_dev z, weft_dtype dt)
{
    return k->relu_back(s, r, x, z, N, dt);
}
static weft_status bias(const weft_kernels *k, weft_stream *s, weft_dev r, weft_dev x, weft_dev z,
                        weft_dtype dt)
{
    WEFT_TRY(k->copy(s, r, dt, &one, x, dt, &one, 1, &n));
    return k->bias(s, r, z, 1, N / 70, 70, dt);
}
static weft_status unary(const weft_kernels *k, weft_stream *s, weft_dev r, weft_dev x, weft_dev z,
                         weft_dtype dt)
{
    const double p[2] = {-1, 1};
    (void)z;
    return k->unary(s, (weft_unary)which, r, x, p, N, dt);
}
static weft_status unary_back(const weft_kernels *k, weft_stream *s, weft_dev r, weft_dev x,
                              weft_dev z, weft_dtype dt)
{
    const double p[2] = {-1, 1};
    return k->unary_back(s, (weft_unary)which, r, z, x, x, p, N, dt);
}
static weft_status binary(const weft_kernels *k, weft_stream *s, weft_dev r, weft_dev x, weft_dev z,
                          weft_dtype dt)
{
    return k->binary(s, (weft_binary)which, r, x, &one, z, which % 2 ? &zero : &one, 1, &n, dt);
}
static weft_status binary_back(const weft_kernels *k, weft_stream *s, weft_dev r, weft_dev x,
                               weft_dev z, weft_dtype dt)
{
    return k->binary_back(s, (weft_binary)which, which % 2, r, z, x, &one, z, &one, 1, &n, dt);
}
static weft_status where(const weft_kernels *k, weft_stream *s, weft_dev r, weft_dev x, weft_dev z,
                         weft_dtype dt)
{
    return k->where(s, r, dev(cond), &one, x, &one, z, &zero, 1, &n, dt);
}
static weft_status gather(const weft_kernels *k, weft_stream *s, weft_dev r, weft_dev x, weft_dev z,
                          weft_dtype dt)
{
    int64_t flag[2] = {0};
    (void)z;
    return k->gather(s, r, dev(flag), x, &one, dev(index_of), WEFT_I64, 1, &n, 0, N, dt);
}
static weft_status embedding(const weft_kernels *k, weft_stream *s, weft_dev r, weft_dev x,
                             weft_dev z, weft_dtype dt)
{
    int64_t flag[2] = {0};
    (void)z;
    return k->embedding(s, r, dev(flag), x, dev(cond), WEFT_U8, N / 70, 1000, 70, dt);
}
static weft_status extremum(const weft_kernels *k, weft_stream *s, weft_dev r, weft_dev x,
                            weft_dev z, weft_dtype dt)
{
    (void)z;
    return k->extremum(s, r, dev(NULL), x, 1, 100, 7, N / 700, dt);
}
static weft_status dropout(const weft_kernels *k, weft_stream *s, weft_dev r, weft_dev x,
                           weft_dev z, weft_dtype dt)
{
    const weft_dropout_terms o = {.seed = 3, .outer = 1, .rows = 100, .inner = N / 100, .p = 0.3};
    (void)z;
    return k->dropout(s, r, x, &o, dt);
}

static const struct {
    const char *name;
    elementwise *run;
    int kinds;
    int64_t results;
} kernel[] = {{"axpy", axpy, 1, N},
              {"scale", scale, 1, N},
              {"relu", relu, 1, N},
              {"relu_back", relu_back, 1, N},
              {"bias", bias, 1, N},
              {"unary", unary, WEFT_UNARIES, N},
              {"unary_back", unary_back, WEFT_UNARIES, N},
              {"binary", binary, WEFT_BINARIES, N},
              {"binary_back", binary_back, WEFT_BINARIES, N},
              {"where", where, 1, N},
              {"gather", gather, 1, N},
              {"embedding", embedding, 1, N},
              {"extremum", extremum, 1, N / 7},
              {"dropout", dropout, 1, N}};
#define KERNELS 14

START_TEST(rounded_once)
{
    inputs(_i);
    for (which = 0; which < kernel[_i / 2].kinds; which++)
        for (int t = 0; t < THREADS; t++) {
            const weft_kernels *k = device[t]->ops->kernels;
            elementwise *run = kernel[_i / 2].run;
            ck_assert_int_eq(run(k, stream[t], dev(fy), dev(fa), dev(fb), WEFT_F32), 0);
            ck_assert_int_eq(run(k, stream[t], dev(y), dev(a), dev(b), low), 0);
            rounded(kernel[_i / 2].name, t, kernel[_i / 2].results);
        }
}
END_TEST

/* Sums come out in f32 as of f32 inputs, or rounded once. */
START_TEST(sums)
{
    const int64_t shape[2] = {700, 100}, xs[2] = {100, 1}, ys[3] = {0, 1, 0};
    float sum[100], want[100], gw[N], fgw[N];
    const int64_t runs[] = {0, 64, 64, N - 64};
    double norm = 0, fnorm = 0;
    inputs(_i);
    const weft_kernels *k = device[1]->ops->kernels;
    k->sum(stream[1], dev(want), WEFT_F32, ys, 0.5, dev(fa), xs, 2, shape, WEFT_F32);
    k->sum(stream[1], dev(sum), WEFT_F32, ys, 0.5, dev(a), xs, 2, shape, low);
    ck_assert(memcmp(sum, want, sizeof sum) == 0);
    k->sum(stream[1], dev(y), low, ys, 0.5, dev(a), xs, 2, shape, low);
    memcpy(fy, want, sizeof want);
    rounded("sum", 1, 100);
    for (int64_t c = 9; c < 18; c += 4) { /* rows of them */
        const int64_t rows[2] = {100, c};
        k->sum(stream[1], dev(want), WEFT_F32, ys + 1, 0.5, dev(fa), (int64_t[]){c, 1}, 2, rows,
               WEFT_F32);
        k->sum(stream[1], dev(sum), WEFT_F32, ys + 1, 0.5, dev(a), (int64_t[]){c, 1}, 2, rows, low);
        ck_assert(memcmp(sum, want, sizeof sum) == 0);
    }
    k->norm(stream[1], dev(&norm), dev(a), runs, 2, 2, low);
    k->norm(stream[1], dev(&fnorm), dev(fa), runs, 1, 2, WEFT_F32);
    k->norm(stream[1], dev(&fnorm), dev(fa + 64), (int64_t[]){0, N - 64}, 1, 2, WEFT_F32);
    ck_assert(norm == fnorm && norm > 0);
    k->embedding_back(stream[1], dev(gw), dev(a), dev(cond), WEFT_U8, 700, 700, 100, -1, 0, low);
    k->embedding_back(stream[1], dev(fgw), dev(fa), dev(cond), WEFT_U8, 700, 700, 100, -1, 0,
                      WEFT_F32);
    ck_assert(memcmp(gw, fgw, sizeof gw) == 0);
    for (size_t i = 0; i < sizeof gw / sizeof *gw; i++)
        fgw[i] = gw[i] = 0.25F;
    k->embedding_back(stream[1], dev(gw), dev(a), dev(cond), WEFT_U8, 700, 700, 100, 1, 1, low);
    k->embedding_back(stream[1], dev(fgw), dev(fa), dev(cond), WEFT_U8, 700, 700, 100, 1, 1,
                      WEFT_F32);
    ck_assert(memcmp(gw, fgw, sizeof gw) == 0 && gw[0] != 0.25F && gw[100] == 0.25F);
    memset(gw, 0, sizeof gw);
    memset(fgw, 0, sizeof fgw);
    k->gather_back(stream[1], dev(gw), &one, dev(a), dev(index_of), WEFT_I64, 1, &n, 0, N, low);
    k->gather_back(stream[1], dev(fgw), &one, dev(fa), dev(index_of), WEFT_I64, 1, &n, 0, N,
                   WEFT_F32);
    ck_assert(memcmp(gw, fgw, sizeof gw) == 0);
}
END_TEST

START_TEST(bad_numbers_are_found)
{
    int64_t flag = 0;
    inputs(_i);
    const weft_kernels *k = device[2]->ops->kernels;
    k->nonfinite(stream[2], dev(&flag), dev(a), N, low);
    ck_assert_int_eq(flag, 0);
    a[N - 1] = low == WEFT_BF16 ? 0x7F80 : 0x7C00;
    k->nonfinite(stream[2], dev(&flag), dev(a), N, low);
    ck_assert_int_eq(flag, 1);
}
END_TEST

/* Parameters in 16 bits: the step of f32 ones, rounded; moments and gradients are f32. */
START_TEST(optimizers)
{
    static float m[2][N], v[2][N], p[N];
    const weft_adam_step step = {.lr = 0.01,
                                 .beta1 = 0.9,
                                 .beta2 = 0.99,
                                 .eps = 1e-8,
                                 .weight_decay = 0.1,
                                 .correct1 = 0.1,
                                 .correct2 = 0.01,
                                 .decoupled = 1};
    const weft_sgd_step sgd = {.lr = 0.01, .momentum = 0.9, .first = 1};
    inputs(_i);
    memset(m, 0, sizeof m);
    memset(v, 0, sizeof v);
    const weft_kernels *k = device[1]->ops->kernels;
    memcpy(fy, fa, sizeof fy);
    memcpy(y, a, sizeof y);
    memcpy(p, fb, sizeof p);
    k->adam(stream[1], dev(fy), dev(m[0]), dev(v[0]), dev(NULL), dev(p), dev(NULL), dev(NULL), all,
            1, &step, WEFT_F32);
    k->adam(stream[1], dev(y), dev(m[1]), dev(v[1]), dev(NULL), dev(p), dev(NULL), dev(NULL), all,
            1, &step, low);
    rounded("adam", 1, N);
    ck_assert(memcmp(m[0], m[1], sizeof m[0]) == 0 && memcmp(v[0], v[1], sizeof v[0]) == 0);
    memcpy(fy, fa, sizeof fy);
    memcpy(y, a, sizeof y);
    k->sgd(stream[1], dev(fy), dev(v[0]), dev(p), dev(NULL), dev(NULL), all, 1, &sgd, WEFT_F32);
    k->sgd(stream[1], dev(y), dev(v[1]), dev(p), dev(NULL), dev(NULL), all, 1, &sgd, low);
    rounded("sgd", 1, N);
}
END_TEST

/* Optimizer number o on gradients g times a factor, if there is one. */
static weft_status pass(int o, float *g, double *factor)
{
    static float m[3][N];
    static const int64_t halves[] = {0, 640, 640, N - 640};
    const weft_dev none = {0}, to = dev(y), by = dev(factor),
                   at[3] = {dev(m[0]), dev(m[1]), dev(m[2])};
    weft_stream *s = stream[1];
    const weft_kernels *k = device[1]->ops->kernels;
    memset(m, 0, sizeof m);
    memcpy(y, a, sizeof y);
    switch (o) {
    case 0:
        return k->sgd(s, to, at[0], dev(g), by, none, halves, 2, &(weft_sgd_step){.lr = 1}, low);
    case 1:
        return k->adam(
            s, to, at[0], at[1], at[2], dev(g), by, none, halves, 2,
            &(weft_adam_step){
                .lr = 1, .beta1 = 0.9, .beta2 = 0.9, .eps = 1, .correct1 = 1, .correct2 = 1},
            low);
    case 2:
        return k->rmsprop(s, to, at[0], at[1], at[2], dev(g), by, none, halves, 2,
                          &(weft_rmsprop_step){.lr = 1, .alpha = 0.9, .eps = 1}, low);
    default:
        return k->adagrad(s, to, at[0], dev(g), by, none, halves, 2,
                          &(weft_adagrad_step){.lr = 1, .eps = 1}, low);
    }
}

START_TEST(optimizers_cut)
{
    static uint16_t cut[N], as_is[N];
    double norm[] = {3, 0.5, NAN}, by;
    const weft_kernels *k = device[1]->ops->kernels;
    inputs(_i);
    for (int o = 0; o < 4; o++) {
        ck_assert_int_eq(pass(o, fb, NULL), 0);
        memcpy(as_is, y, sizeof y);
        for (int i = 0; i < 3; i++) {
            k->cut(stream[1], dev(&by), dev(&norm[i]), 1);
            ck_assert_int_eq(pass(o, fb, &by), 0);
            memcpy(cut, y, sizeof y);
            memcpy(fy, fb, sizeof fy);
            k->shrink(stream[1], dev(fy), dev(&by), N, WEFT_F32);
            ck_assert_int_eq(pass(o, fy, NULL), 0);
            ck_assert(memcmp(cut, y, sizeof y) == 0);
            ck_assert((memcmp(cut, as_is, sizeof y) == 0) == (i == 1));
        }
    }
}
END_TEST

/* One of the two numbers around the f32 one, as the words say. */
static bool as_drawn(const weft_adam_step *o, int64_t i)
{
    uint32_t word[4];
    const uint64_t number = (uint64_t)(o->number + i);
    const uint16_t near = narrow(fy[i]);
    const double x = fabs((double)fy[i]), at = fabs((double)wide(near));
    const uint16_t below = at > x ? near - 1 : near;
    const double from = fabs((double)wide(below)), to = fabs((double)wide(below + 1));
    weft__draw(o->seed, o->stream, o->t, number / 8, word);
    const uint32_t half = word[number % 8 / 2] >> (number & 1 ? 16 : 0) & 0xFFFF;
    return y[i] == ((x - from) / (to - from) * 65536 > half ? below + 1 : below);
}

START_TEST(rounded_at_random)
{
    static float m[N], v[N];
    const weft_adam_step step = {.lr = 1,
                                 .beta1 = 0.9,
                                 .beta2 = 0.99,
                                 .eps = 1e-8,
                                 .correct1 = 10, /* steps of many sizes */
                                 .correct2 = 0.01,
                                 .chance = 1,
                                 .seed = 3,
                                 .stream = 4,
                                 .t = 7,
                                 .number = 40};
    inputs(_i);
    for (int64_t i = 0; i < N;
         i++) /* some of the steps end below the smallest normal number of f16 */
        fb[i] *= i % 3 ? 1 : 0x1p-20F;
    for (int t = -1; t < THREADS; t++) {
        const weft_kernels *k = device[t < 0 ? 0 : t]->ops->kernels;
        memset(m, 0, sizeof m);
        memset(v, 0, sizeof v);
        memcpy(fy, t < 0 ? fa : fy, sizeof fy);
        memcpy(y, a, sizeof y);
        for (int64_t i = 0; i < N / 2; i++) {
            fy[i] = t < 0 ? 0 : fy[i];
            y[i] = 0;
        }
        ck_assert_int_eq(k->adam(stream[t < 0 ? 0 : t], t < 0 ? dev(fy) : dev(y), dev(m), dev(v),
                                 dev(NULL), dev(fb), dev(NULL), dev(NULL), all, 1, &step,
                                 t < 0 ? WEFT_F32 : low),
                         0);
        for (int64_t i = 0; i < N && t >= 0; i++)
            if (!as_drawn(&step, i))
                ck_abort_msg("on %d threads [%lld]: %g of %g", t + 1, (long long)i,
                             (double)wide(y[i]), (double)fy[i]);
    }
}
END_TEST

/* C = alpha op(A) op(B) + beta C in f64, from the same 16 bits. Sums of k products of up to 4 in f32,
 * in any order: k 2^-24 of their size, and a rounding to C's type. */
static void product(int t, int64_t m, int64_t cols, int64_t k, int form, weft_dtype ct)
{
    static uint16_t c[N];
    static float fc[N];
    const int ta = form & 1, tb = form >> 1 & 1;
    const double beta = form & 4 ? 0.5 : 0, ulp = ct == WEFT_F32     ? 0
                                                  : low == WEFT_BF16 ? 0x1p-8
                                                                     : 0x1p-11;
    draw(c, fc, m * cols, 9);
    ck_assert_int_eq(device[t]->ops->kernels->gemm(stream[t], ct == WEFT_F32 ? dev(fc) : dev(c), ct,
                                                   cols, 0.5, dev(a), ta ? m : k, ta, dev(b),
                                                   tb ? k : cols, tb, beta, m, cols, k, low),
                     0);
    draw(y, fy, m * cols, 9);
    for (int64_t i = 0; i < m * cols; i++) {
        const int64_t r = i / cols, j = i % cols;
        double sum = 0, size = 0;
        for (int64_t e = 0; e < k; e++) {
            const double u = (double)fa[ta ? e * m + r : r * k + e];
            const double z = (double)fb[tb ? j * k + e : e * cols + j];
            sum += u * z;
            size += fabs(u * z);
        }
        const double want = 0.5 * sum + beta * (double)fy[i];
        const double got = ct == WEFT_F32 ? (double)fc[i] : (double)wide(c[i]);
        if (!(fabs(got - want) <= ulp * fabs(want) + (double)(k + 4) * 0x1p-24 * (size + 1)))
            ck_abort_msg("%lld x %lld x %lld, form %d [%lld]: %g, not %g", (long long)m,
                         (long long)cols, (long long)k, form, (long long)i, got, want);
    }
}

START_TEST(products)
{
    static const int64_t size[][3] = {{1, 7, 300},     {7, 1, 300},    {5, 6, 7},
                                      {130, 140, 170}, {33, 200, 161}, {3, 4, 0}};
    inputs(_i);
    for (int s = 0; s < 6; s++)
        for (int form = 0; form < 8; form++)
            product(form % THREADS, size[s][0], size[s][1], size[s][2], form,
                    form % 3 ? WEFT_F32 : low);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("low_kernels");
    TCase *c = tcase_create("all");
    tcase_set_timeout(c, 60);
    tcase_add_unchecked_fixture(c, start, stop);
    tcase_add_loop_test(c, rounded_once, 0, 2 * KERNELS);
    tcase_add_loop_test(c, sums, 0, 2);
    tcase_add_loop_test(c, bad_numbers_are_found, 0, 2);
    tcase_add_loop_test(c, optimizers, 0, 2);
    tcase_add_loop_test(c, optimizers_cut, 0, 2);
    tcase_add_loop_test(c, rounded_at_random, 0, 2);
    tcase_add_loop_test(c, products, 0, 2);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_set_fork_status(r, CK_NOFORK);
    srunner_run_all(r, CK_NORMAL);
    const int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
