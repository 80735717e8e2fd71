/* The kernels of the elementwise and choosing ops: how far they are from the C library's functions
 * in long double, what they do at the ends, and the same bits on one, two and three threads and with any
 * set of instructions for vectors that has FMA; without it numbers that rounding explains. */
#include "core/error.h"
#include "core/rng.h"
#include "device/cpu/half.h"
#include "device/device.h"
#include "device_fixture.h"

#include <check.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define THREADS 3
static weft_device *device[THREADS];
static weft_stream *stream[THREADS];

static void start(void)
{
    for (int t = 0; t < THREADS; t++) {
        ck_assert_int_eq(weft__device_open(&device[t], device_name(), 0, t + 1), WEFT_OK);
        device[t]->vectors = t == 1 ? 2 : 0; /* of a CPU: the best, AVX2, the best */
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

static const weft_kernels *k(int t)
{
    (void)t;
    return &device_kernels;
}

static weft_dev dev(const void *p)
{
    return (weft_dev){(uintptr_t)p};
}

static double get(const void *p, weft_dtype t, int64_t i)
{
    return t == WEFT_F32 ? (double)((const float *)p)[i] : ((const double *)p)[i];
}

static void set(void *p, weft_dtype t, int64_t i, double v)
{
    if (t == WEFT_F32)
        ((float *)p)[i] = (float)v;
    else
        ((double *)p)[i] = v;
}

static void *some(weft_dtype t, int64_t n, double lo, double hi, uint64_t seed)
{
    void *p = device_calloc((size_t)n + 1, 8);
    for (int64_t i = 0; i < n; i++)
        set(p, t, i, lo + (hi - lo) * (double)weft__uniform_f32(seed, 0, 0, (uint64_t)i));
    return p;
}

/* --- accuracy --- */

static long double sigmoid(long double x)
{
    return 1 / (1 + expl(-x));
}
static long double silu(long double x)
{
    return x * sigmoid(x);
}
static long double gelu(long double x)
{
    return x * (1 + erfl(x * sqrtl(0.5L))) / 2;
}
static long double gelu_tanh(long double x)
{
    return x * (1 + tanhl(sqrtl(2 / acosl(-1)) * (x + 0.044715L * x * x * x))) / 2;
}

/* Units in the last place allowed in f32 and f64; of 1 for the gelus, whose tails are differences of
 * near numbers, as PyTorch's are. */
static const struct {
    weft_unary f;
    long double (*exact)(long double);
    double lo, hi, ulps[2];
    bool of_one;
} row[] = {{WEFT_EXP, expl, -87, 88, {1.5, 1.5}, false},
           {WEFT_EXP, expl, -1, 1, {1.5, 1.5}, false},
           {WEFT_TANH, tanhl, -10, 10, {2, 2}, false},
           {WEFT_TANH, tanhl, -0.7, 0.7, {2, 2}, false},
           {WEFT_TANH, tanhl, -1e-4, 1e-4, {1, 1}, false},
           {WEFT_SIGMOID, sigmoid, -80, 20, {3, 3}, false},
           {WEFT_SILU, silu, -80, 20, {3.5, 3.5}, false},
           {WEFT_GELU, gelu, -6, 6, {3, 3}, true},
           {WEFT_GELU, gelu, -0.1, 10, {2, 2}, false},
           {WEFT_GELU_TANH, gelu_tanh, -6, 6, {4, 4}, true},
           {WEFT_LOG, logl, 1e-3, 10, {1, 1}, false},
           {WEFT_SQRT, sqrtl, 0, 10, {0.5, 0.5}, false}};
#define ROWS ((int)(sizeof row / sizeof row[0]))

START_TEST(functions_are_near_the_exact_ones)
{
    enum { N = 200000 };
    const double none[2] = {0};
    for (int s = 0; s < 2; s++) {
        const weft_dtype t = s ? WEFT_F64 : WEFT_F32;
        const double eps = s ? DBL_EPSILON : (double)FLT_EPSILON;
        void *x = some(t, N, row[_i].lo, row[_i].hi, 5), *y = device_calloc(N, 8);
        double worst = 0, at = 0;
        ck_assert_int_eq(k(0)->unary(stream[0], row[_i].f, dev(y), dev(x), none, N, t), 0);
        for (int64_t i = 0; i < N; i++) {
            const long double want = row[_i].exact((long double)get(x, t, i));
            const double size = row[_i].of_one ? fmax(1, fabs((double)want)) : fabs((double)want);
            const double unit = ldexp(eps, size > 0 ? ilogb(size) : 0);
            const double off = fabs((double)((long double)get(y, t, i) - want)) / unit;
            if (off > worst) {
                worst = off;
                at = get(x, t, i);
            }
        }
        ck_assert_msg(worst <= row[_i].ulps[s], "row %d, %s: %.3g ulps off at %.9g", _i,
                      weft_dtype_name(t), worst, at);
        free(x);
        free(y);
    }
}
END_TEST

static double value(weft_unary f, double x, weft_dtype t)
{
    double in, out;
    const double none[2] = {0};
    set(&in, t, 0, x);
    k(0)->unary(stream[0], f, dev(&out), dev(&in), none, 1, t);
    return get(&out, t, 0);
}

START_TEST(the_ends_are_those_of_the_functions)
{
    for (weft_dtype t = WEFT_F32; t <= WEFT_F64; t++) {
        const double most = t == WEFT_F32 ? 88.7 : 709.7, least = t == WEFT_F32 ? -103 : -745;
        ck_assert(value(WEFT_EXP, 0, t) == 1 && value(WEFT_EXP, -INFINITY, t) == 0);
        ck_assert(isinf(value(WEFT_EXP, INFINITY, t)) && isnan(value(WEFT_EXP, NAN, t)));
        ck_assert(isfinite(value(WEFT_EXP, most, t)) && isinf(value(WEFT_EXP, most + 0.1, t)));
        ck_assert(value(WEFT_EXP, least, t) > 0 && value(WEFT_EXP, least - 1.5, t) == 0);
        ck_assert(isinf(value(WEFT_EXP, 1e30, t)) && value(WEFT_EXP, -1e30, t) == 0);
        ck_assert(value(WEFT_TANH, INFINITY, t) == 1 && value(WEFT_TANH, -INFINITY, t) == -1);
        ck_assert(value(WEFT_TANH, 0, t) == 0 && isnan(value(WEFT_TANH, NAN, t)));
        ck_assert(value(WEFT_TANH, 1e-30, t) > 0);
        ck_assert(value(WEFT_SIGMOID, -INFINITY, t) == 0 && value(WEFT_SIGMOID, INFINITY, t) == 1);
        ck_assert(isnan(value(WEFT_GELU, NAN, t)) && value(WEFT_GELU, 50, t) == 50);
        ck_assert(value(WEFT_GELU, -50, t) == 0 && value(WEFT_GELU_TANH, -50, t) == 0);
    }
}
END_TEST

START_TEST(a_result_may_lie_on_its_argument)
{
    enum { N = 200003 };
    const double bound[] = {-0.5, 0.25};
    for (weft_dtype t = WEFT_F32; t <= WEFT_F64; t++) {
        void *x = some(t, N, -2, 2, 9), *y = device_calloc(N, 8);
        set(x, t, 5, NAN), set(x, t, 6, INFINITY), set(x, t, 7, -INFINITY);
        ck_assert_int_eq(k(0)->unary(stream[0], WEFT_CLAMP, dev(y), dev(x), bound, N, t), 0);
        ck_assert_int_eq(k(2)->unary(stream[2], WEFT_CLAMP, dev(x), dev(x), bound, N, t), 0);
        ck_assert_int_eq(memcmp(x, y, N * weft_dtype_size(t)), 0);
        ck_assert(isnan(get(x, t, 5)) && get(x, t, 6) == 0.25 && get(x, t, 7) == -0.5);
        ck_assert_int_eq(k(0)->unary_back(stream[0], WEFT_GELU_TANH, dev(y), dev(x), dev(x),
                                          (weft_dev){0}, bound, N, t),
                         0);
        ck_assert_int_eq(k(2)->unary_back(stream[2], WEFT_GELU_TANH, dev(x), dev(x), dev(x),
                                          (weft_dev){0}, bound, N, t),
                         0);
        ck_assert_int_eq(memcmp(x, y, N * weft_dtype_size(t)), 0);
        free(x);
        free(y);
    }
}
END_TEST

/* --- the same bits on any number of threads and with any vectors --- */

#define BIG 200003
#define ACROSS 331 /* BIG is 604 x 331 + 79 */

typedef weft_status job(int t, weft_dtype dt, const void *x, const void *y, const void *z,
                        void *out);

static weft_status unaries(int t, weft_dtype dt, const void *x, const void *y, const void *z,
                           void *out)
{
    const double p[2] = {-0.5, 0.5};
    (void)y;
    for (int f = 0; f < WEFT_UNARIES; f++) {
        char *to = (char *)out + (size_t)f * 2 * BIG * 8;
        if (f != WEFT_SQRT && f != WEFT_POWER) /* NaN has many bits */
            k(t)->unary(stream[t], (weft_unary)f, dev(to), dev(x), p, BIG, dt);
        k(t)->unary_back(stream[t], (weft_unary)f, dev(to + BIG * 8), dev(z), dev(x), dev(to), p,
                         BIG, dt);
    }
    return WEFT_OK;
}

static weft_status binaries(int t, weft_dtype dt, const void *x, const void *y, const void *z,
                            void *out)
{
    const int64_t shape[2] = {604, ACROSS}, full[2] = {ACROSS, 1}, line[2] = {0, 1};
    for (int f = 0; f < WEFT_BINARIES; f++) {
        char *to = (char *)out + (size_t)f * 3 * BIG * 8;
        if (f == WEFT_POW)
            continue;
        k(t)->binary(stream[t], (weft_binary)f, dev(to), dev(x), full, dev(y), line, 2, shape, dt);
        for (int i = 0; i < 2; i++)
            k(t)->binary_back(stream[t], (weft_binary)f, i, dev(to + (1 + i) * BIG * 8), dev(z),
                              dev(x), full, dev(y), line, 2, shape, dt);
    }
    return WEFT_OK;
}

static weft_status rows(int t, weft_dtype dt, const void *x, const void *y, const void *z,
                        void *out)
{
    char *to = out;
    (void)y;
    WEFT_TRY(k(t)->log_softmax(stream[t], dev(to), dev(x), 604, ACROSS, dt));
    WEFT_TRY(
        k(t)->log_softmax_back(stream[t], dev(to + BIG * 8), dev(to), dev(z), 604, ACROSS, dt));
    WEFT_TRY(k(t)->extremum(stream[t], dev(to + 2 * BIG * 8), dev(to + 3 * BIG * 8), dev(x), 1, 2,
                            302, ACROSS, dt));
    return k(t)->extremum(stream[t], dev(to + 4 * BIG * 8), dev(to + 5 * BIG * 8), dev(x), 0, 604,
                          ACROSS, 1, dt);
}

static weft_status choices(int t, weft_dtype dt, const void *x, const void *y, const void *z,
                           void *out)
{
    const int64_t shape[2] = {604, ACROSS}, full[2] = {ACROSS, 1}, line[2] = {0, 1};
    char *to = out;
    WEFT_TRY(k(t)->compare(stream[t], WEFT_GT, dev(to), dev(x), full, dev(y), line, 2, shape, dt));
    return k(t)->where(stream[t], dev(to + BIG * 8), dev(to), full, dev(z), full, dev(y), line, 2,
                       shape, dt);
}

/* Places that meet, along either dimension. */
static weft_status gathers(int t, weft_dtype dt, const void *x, const void *y, const void *z,
                           void *out)
{
    const int64_t shape[2] = {604, ACROSS}, full[2] = {ACROSS, 1};
    char *to = out;
    int64_t *index = device_calloc(BIG, 8), flag[2] = {0};
    weft_status s = WEFT_OK;
    (void)y;
    for (int dim = 0; dim < 2 && !s; dim++) {
        for (int64_t i = 0; i < 604 * ACROSS; i++)
            index[i] = i * i % 97;
        s = k(t)->gather(stream[t], dev(to + dim * BIG * 8), dev(flag), dev(x), full, dev(index),
                         WEFT_I64, 2, shape, dim, shape[dim], dt);
        if (!s)
            s = k(t)->gather_back(stream[t], dev(to + (2 + dim) * BIG * 8), full, dev(z),
                                  dev(index), WEFT_I64, 2, shape, dim, shape[dim], dt);
    }
    free(index);
    return s;
}

/* 60 small products, and 2 that are large enough for a team where BLIS has one. */
static weft_status products(int t, weft_dtype dt, const void *x, const void *y, const void *z,
                            void *out)
{
    const int64_t shape[2] = {15, 4}, a[2] = {4 * 30 * 20, 30 * 20}, b[2] = {0, 20 * 40};
    const int64_t two = 2, apart = 300 * 100, same = 0;
    char *to = out;
    (void)z;
    WEFT_TRY(k(t)->gemm_batch(stream[t], dev(to), dt, dev(x), a, 0, dev(y), b, 0, 2, shape, 30, 40,
                              20, dt));
    WEFT_TRY(k(t)->gemm_batch(stream[t], dev(to + BIG * 8), dt, dev(x), a, 1, dev(y), b, 1, 2,
                              shape, 30, 40, 20, dt));
    return k(t)->gemm_batch(stream[t], dev(to + 2 * BIG * 8), dt, dev(x), &apart, 0, dev(y), &same,
                            0, 1, &two, 300, 90, 100, dt);
}

/* Their sums over rows, too. */
static weft_status transformers(int t, weft_dtype dt, const void *x, const void *y, const void *z,
                                void *out)
{
    char *to = out, *stats = to + 9 * BIG * 8;
    weft_dev at[9], w = dev(y);
    for (int i = 0; i < 9; i++)
        at[i] = dev(to + i * BIG * 8);
    WEFT_TRY(k(t)->rmsnorm(stream[t], at[0], dev(stats), dev(x), w, 604, ACROSS, 1e-5, dt));
    WEFT_TRY(k(t)->rmsnorm_back(stream[t], at[1], at[2], dev(z), dev(x), dev(stats), w, 604, ACROSS,
                                dt));
    WEFT_TRY(k(t)->add_layernorm(stream[t], at[3], at[4], dev(stats), dev(x), dev(z), w, w, 604,
                                 ACROSS, 1e-5, dt));
    WEFT_TRY(k(t)->add_layernorm_back(stream[t], at[5], dev(to + 2 * BIG * 8 + 8192),
                                      dev(to + 2 * BIG * 8 + 16384), dev(z), dev(y), at[4],
                                      dev(stats), w, 604, ACROSS, dt));
    WEFT_TRY(k(t)->swiglu(stream[t], at[6], dev(x), dev(y), BIG, dt));
    return k(t)->swiglu_back(stream[t], at[7], at[8], dev(z), dev(x), dev(y), BIG, dt);
}

static const struct {
    job *run;
    int outputs;
} jobs[] = {{unaries, 2 * WEFT_UNARIES},
            {binaries, 3 * WEFT_BINARIES},
            {rows, 6},
            {choices, 2},
            {gathers, 4},
            {products, 3},
            {transformers, 10}};

START_TEST(threads_do_not_change_a_bit)
{
    for (weft_dtype dt = WEFT_F32; dt <= WEFT_F64; dt++) {
        void *x = some(dt, BIG, -2, 2, 1), *y = some(dt, BIG, -2, 2, 2),
             *z = some(dt, BIG, -1, 1, 3);
        size_t bytes = (size_t)jobs[_i].outputs * BIG * 8;
        void *out[THREADS];
        for (int t = 0; t < THREADS; t++) {
            out[t] = device_calloc(bytes, 1);
            ck_assert_int_eq(jobs[_i].run(t, dt, x, y, z, out[t]), 0);
            ck_assert_msg(memcmp(out[t], out[0], bytes) == 0, "job %d: %d threads", _i, t + 1);
        }
        for (int t = 0; t < THREADS; t++)
            free(out[t]);
        free(x);
        free(y);
        free(z);
    }
}
END_TEST

/* Elements of one result that differ by more than rounding does. */
static int64_t apart(weft_dtype dt, const void *x, const void *y)
{
    const double eps = dt == WEFT_F32 ? (double)FLT_EPSILON : DBL_EPSILON;
    int64_t n = 0;
    for (int64_t i = 0; i < BIG; i++) {
        const double a = get(x, dt, i), b = get(y, dt, i);
        n += !(fabs(a - b) <= 16 * eps * fmax(1, fabs(b))) && !(isnan(a) && isnan(b));
    }
    return n;
}

START_TEST(without_fma_results_are_near)
{
    const size_t bytes = (size_t)jobs[_i].outputs * BIG * 8;
    for (weft_dtype dt = WEFT_F32; dt <= WEFT_F64; dt++) {
        void *x = some(dt, BIG, -2, 2, 1), *y = some(dt, BIG, -2, 2, 2),
             *z = some(dt, BIG, -1, 1, 3), *out[2];
        for (int t = 0; t < 2; t++) {
            device[0]->vectors = t;
            out[t] = device_calloc(bytes, 1);
            ck_assert_int_eq(jobs[_i].run(0, dt, x, y, z, out[t]), 0);
        }
        for (size_t at = 0; at < bytes; at += BIG * 8)
            if (memcmp((char *)out[0] + at, (char *)out[1] + at, BIG * 8) != 0)
                ck_assert_int_eq(apart(dt, (char *)out[0] + at, (char *)out[1] + at), 0);
        free(out[0]), free(out[1]), free(x), free(y), free(z);
    }
}
END_TEST

/* Every step of Adam divides by a number of its own, without a division where there is FMA; also what is infinite. */
START_TEST(adam_rounds_as_a_division_does)
{
    const int64_t all[] = {0, BIG};
    for (weft_dtype dt = WEFT_F32; dt <= WEFT_F64; dt++) {
        void *g = some(dt, BIG, -2, 2, 1), *p[2], *m[2], *v[2];
        for (int64_t i = 0; i < BIG; i += 100)
            set(g, dt, i, dt == WEFT_F32 ? 1e30 : 1e300); /* whose square is infinite */
        for (int t = 0; t < 2; t++) {
            device[0]->vectors = t;
            p[t] = device_calloc(BIG, 8), m[t] = device_calloc(BIG, 8),
            v[t] = device_calloc(BIG, 8);
            for (int e = 1; e < 60; e++) {
                const weft_adam_step step = {.lr = 0.01,
                                             .beta1 = 0.9,
                                             .beta2 = 0.999,
                                             .eps = 1e-8,
                                             .correct1 = 1 - pow(0.9, e),
                                             .correct2 = 1 - pow(0.999, e)};
                ck_assert_int_eq(k(0)->adam(stream[0], dev(p[t]), dev(m[t]), dev(v[t]), dev(NULL),
                                            dev(g), dev(NULL), dev(NULL), all, 1, &step, dt),
                                 WEFT_OK);
            }
        }
        ck_assert(memcmp(p[0], p[1], BIG * weft_dtype_size(dt)) == 0);
        ck_assert_double_eq(get(p[0], dt, 0), 0);
        for (int t = 0; t < 2; t++)
            free(p[t]), free(m[t]), free(v[t]);
        free(g);
    }
}
END_TEST

/* --- what a plain loop says --- */

/* The sum of n products of elements `xs` and `ys` apart. */
static double dot(weft_dtype dt, const void *x, int64_t at, int64_t xs, const void *y, int64_t to,
                  int64_t ys, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += get(x, dt, at + i * xs) * get(y, dt, to + i * ys);
    return sum;
}

START_TEST(batches_are_their_products)
{
    const int64_t shape[2] = {3, 2}, a[2] = {0, 5 * 4}, b[2] = {4 * 6, 0};
    const int64_t m = 5, n = 6, inner = 4;
    for (int form = 0; form < 8; form++) {
        const weft_dtype dt = form & 1 ? WEFT_F64 : WEFT_F32;
        const int ta = form >> 1 & 1, tb = form >> 2 & 1;
        void *x = some(dt, 100, -1, 1, 1), *y = some(dt, 100, -1, 1, 2),
             *c = device_calloc(6 * 30, 8);
        ck_assert_int_eq(k(0)->gemm_batch(stream[0], dev(c), dt, dev(x), a, ta, dev(y), b, tb, 2,
                                          shape, m, n, inner, dt),
                         0);
        for (int64_t i = 0; i < 6 * m * n; i++) {
            const int64_t batch = i / (m * n), r = i / n % m, q = i % n;
            const int64_t ax = batch % 2 * a[1], bx = batch / 2 * b[0];
            const double want = dot(dt, x, ax + (ta ? r : r * inner), ta ? m : 1, y,
                                    bx + (tb ? q * inner : q), tb ? 1 : n, inner);
            ck_assert_double_eq_tol(get(c, dt, i), want, dt == WEFT_F32 ? 1e-6 : 1e-15);
        }
        free(x);
        free(y);
        free(c);
    }
}
END_TEST

START_TEST(extrema_are_the_first_and_nan_wins)
{
    const double x[2][6] = {{1, 3, 3, -2, -2, 0}, {1, NAN, 9, -9, NAN, 0}};
    const int64_t numbers[5] = {INT64_MIN, 7, INT64_MAX, INT64_MAX, INT64_MIN};
    double y[2];
    int64_t at[2];
    k(0)->extremum(stream[0], dev(y), dev(at), dev(x), 1, 2, 6, 1, WEFT_F64);
    ck_assert(y[0] == 3 && at[0] == 1 && isnan(y[1]) && at[1] == 1);
    k(0)->extremum(stream[0], dev(y), dev(at), dev(x), 0, 2, 6, 1, WEFT_F64);
    ck_assert(y[0] == -2 && at[0] == 3 && isnan(y[1]) && at[1] == 1);
    k(0)->extremum(stream[0], dev(NULL), dev(at), dev(numbers), 1, 1, 5, 1, WEFT_I64);
    k(0)->extremum(stream[0], dev(NULL), dev(at + 1), dev(numbers), 0, 1, 5, 1, WEFT_I64);
    ck_assert(at[0] == 2 && at[1] == 0);
}
END_TEST

/* Numbers of which many are equal, zeros of both signs and NaN, of rows and columns that go different ways. */
START_TEST(extrema_are_the_loops)
{
    static const int64_t along[] = {1, 2, 10, 15, 16, 17, 64, 512, 577, 1500};
    static const int64_t outside[][2] = {{1, 1}, {15, 1}, {16, 1}, {37, 1}, {2, 3}, {1, 1100}};
    const weft_dtype dt = _i % 2 ? WEFT_F64 : WEFT_F32;
    const int64_t n = along[_i / 2];
    for (int i = 0; i < 6; i++) {
        const int64_t inner = outside[i][1], outputs = outside[i][0] * inner;
        void *const x = some(dt, outputs * n, -40, 40, 1), *const y = device_calloc(outputs, 8);
        int64_t *const at = device_calloc(outputs, 8), bad = 0;
        for (int64_t j = 0; j < outputs * n; j++) {
            const double v = get(x, dt, j);
            set(x, dt, j, j * 7919 % 1009 == 0 ? (double)NAN : n > 300 ? -fabs(rint(v)) : rint(v));
        }
        for (int run = 0; run < 2 * THREADS; run++) {
            const int t = run / 2, largest = run % 2;
            ck_assert(!k(t)->extremum(stream[t], dev(y), dev(at), dev(x), largest, outside[i][0], n,
                                      inner, dt));
            for (int64_t o = 0; o < outputs; o++) {
                const int64_t from = o / inner * n * inner + o % inner;
                int64_t best = 0;
                for (int64_t j = 1; j < n; j++) {
                    const double v = get(x, dt, from + j * inner),
                                 old = get(x, dt, from + best * inner);
                    if (!isnan(old) && (isnan(v) || (largest ? v > old : v < old)))
                        best = j;
                }
                const double v = get(x, dt, from + best * inner), got = get(y, dt, o);
                bad += at[o] != best || memcmp(&v, &got, sizeof v) != 0;
            }
            if (bad)
                ck_abort_msg("%d along (%d, %d), threads %d: %d wrong", (int)n, (int)outside[i][0],
                             (int)inner, t + 1, (int)bad);
        }
        free(x), free(y), free(at);
    }
}
END_TEST

/* The first bad one in the order of the elements, whichever thread met one. */
START_TEST(the_first_bad_index_is_reported)
{
    const int64_t shape[2] = {604, ACROSS}, full[2] = {ACROSS, 1};
    int32_t *index = device_calloc(BIG, sizeof *index);
    double *x = some(WEFT_F64, BIG, 0, 1, 1), *y = device_calloc(BIG, 8);
    index[150000] = 604;
    index[77000] = -3;
    for (int t = 0; t < THREADS; t++) {
        int64_t flag[2] = {0};
        ck_assert_int_eq(k(t)->gather(stream[t], dev(y), dev(flag), dev(x), full, dev(index),
                                      WEFT_I32, 2, shape, 0, 604, WEFT_F64),
                         0);
        ck_assert_int_eq(flag[0], 77001);
        ck_assert_int_eq(flag[1], -3);
        ck_assert(isnan(y[150000]) && isnan(y[77000]) && !isnan(y[0]));
    }
    free(index);
    free(x);
    free(y);
}
END_TEST

/* Along each dimension, by indices of each type, lines short and long; the last one is of a bad index. */
START_TEST(gathers_are_the_loops)
{
    static const int64_t size[][3] = {{3, 40, 1},   {40, 1, 1},  {2, 5, 300},
                                      {1, 700, 10}, {9, 17, 15}, {4, 16, 600}};
    static const weft_dtype types[] = {WEFT_U8, WEFT_I32, WEFT_I64};
    const int64_t *const shape = size[_i % 6], n = 90, inner = shape[2], along = shape[1];
    const int64_t full[3] = {n * inner, inner, 1}, count = shape[0] * along * inner,
                  whole = shape[0] * n * inner;
    const weft_dtype it = types[_i / 6], dt = WEFT_F32;
    float *const x = some(dt, whole, -1, 1, 1), *const gy = some(dt, count, -1, 1, 2),
                 *const y = device_calloc(count, 4), *const gx = device_calloc(whole, 4),
                 *const want = calloc((size_t)whole, 4);
    void *const index = device_calloc(count, 8);
    int64_t bad = 0;
    for (int64_t i = 0; i < count; i++) {
        const int64_t at = i + 1 == count ? 200 : i * 7919 % n;
        if (it == WEFT_I64)
            ((int64_t *)index)[i] = at;
        else if (it == WEFT_I32)
            ((int32_t *)index)[i] = (int32_t)at;
        else
            ((uint8_t *)index)[i] = (uint8_t)at;
    }
    for (int t = 0; t < THREADS; t++) {
        int64_t flag[2] = {0};
        memset(gx, 0, (size_t)whole * 4);
        memset(want, 0, (size_t)whole * 4);
        ck_assert(!k(t)->gather(stream[t], dev(y), dev(flag), dev(x), full, dev(index), it, 3,
                                shape, 1, n, dt));
        ck_assert(!k(t)->gather_back(stream[t], dev(gx), full, dev(gy), dev(index), it, 3, shape, 1,
                                     n, dt));
        for (int64_t i = 0; i + 1 < count; i++) {
            const int64_t from = (i / (along * inner) * n + i * 7919 % n) * inner + i % inner;
            bad += y[i] != x[from];
            want[from] += gy[i];
        }
        for (int64_t i = 0; i < whole; i++)
            bad += !(fabsf(gx[i] - want[i]) <= 1e-5F);
        ck_assert(isnan(y[count - 1]) && flag[0] == count && flag[1] == 200);
        ck_assert_int_eq(bad, 0);
    }
    free(x), free(gy), free(y), free(gx), free(want), free(index);
}
END_TEST

/* What linear gives, and a product, a bias and relu after each other: on a CPU the same bits. */
static void check_linear(int t, int64_t rows, int64_t c, int64_t o, bool biased, int act)
{
    const bool same = strcmp(device_name(), "cpu") == 0;
    float *const x = some(WEFT_F32, rows * c, -1, 1, 1), *const w = some(WEFT_F32, o * c, -1, 1, 2),
                 *const b = some(WEFT_F32, o, -1, 1, 3), *const y = device_calloc(rows * o, 4),
                 *const z = device_calloc(rows * o, 4), *const pre = device_calloc(rows * o, 4);
    const float *const got = act == WEFT_ACT_GELU_TANH ? pre : z;
    const weft_dev by = {biased ? (uintptr_t)b : 0};
    int64_t bad = 0;
    ck_assert(!k(t)->gemm(stream[t], dev(y), WEFT_F32, o, 1, dev(x), c, 0, dev(w), c, 1, 0, rows, o,
                          c, WEFT_F32));
    if (biased || act == WEFT_ACT_RELU)
        ck_assert(!k(t)->bias(stream[t], dev(y), by, act == WEFT_ACT_RELU, rows, o, WEFT_F32));
    ck_assert(
        !k(t)->linear(stream[t], dev(z), dev(pre), dev(x), dev(w), by, act, rows, c, o, WEFT_F32));
    for (int64_t i = 0; i < rows * o; i++)
        bad += same ? memcmp(&got[i], &y[i], 4) != 0 : fabsf(got[i] - y[i]) > 1e-3F;
    if (bad)
        ck_abort_msg("(%d, %d, %d), activation %d: %d numbers differ", (int)rows, (int)c, (int)o,
                     act, (int)bad);
    free(x), free(w), free(b), free(y), free(z), free(pre);
}

START_TEST(linear_is_its_steps)
{
    static const int64_t size[][3] = {{1, 7, 5},      {3, 33, 40},    {40, 50, 10},  {70, 1700, 33},
                                      {20, 900, 300}, {300, 850, 71}, {257, 31, 256}};
    for (size_t i = 0; i < sizeof size / sizeof *size; i++)
        for (int form = 0; form < 6; form++)
            check_linear((int)i % THREADS, size[i][0], size[i][1], size[i][2], form & 1,
                         (const int[]){WEFT_ACT_NONE, WEFT_ACT_RELU, WEFT_ACT_GELU_TANH}[form / 2]);
}
END_TEST

/* Puts v, rounded, into an array. @return what it is then. */
static double keep(weft_dtype t, void *p, int64_t i, double v)
{
    if (t == WEFT_BF16)
        return half_wide_bf16(((uint16_t *)p)[i] = half_to_bf16(v));
    if (t == WEFT_F16)
        return half_wide_f16(((uint16_t *)p)[i] = half_to_f16(v));
    set(p, t, i, v);
    return get(p, t, i);
}

/* The same numbers in f64, and of type t where *raw points. */
static double *rounded(weft_dtype t, int64_t n, double lo, double hi, uint64_t seed, void **raw)
{
    double *v = some(WEFT_F64, n, lo, hi, seed);
    *raw = device_calloc((size_t)n + 1, 8);
    for (int64_t i = 0; i < n; i++)
        v[i] = keep(t, *raw, i, v[i]);
    return v;
}

static double is(weft_dtype t, const void *p, int64_t i)
{
    return t == WEFT_BF16  ? half_wide_bf16(((const uint16_t *)p)[i])
           : t == WEFT_F16 ? half_wide_f16(((const uint16_t *)p)[i])
                           : get(p, t, i);
}

static double gelu_slope(double x)
{
    const double s = sqrt(2 / acos(-1)), t = tanh(s * (x + 0.044715 * x * x * x));
    return (1 + t) / 2 + x * (1 - t * t) / 2 * s * (1 + 3 * 0.044715 * x * x);
}

/* What it gives in f64, at some places, and far out where the slope is 1 or 0; of 16 bits it is rounded once
 * or, in steps, twice. Relative to the sum of magnitudes. */
static void check_gelu_back(int t, int64_t rows, int64_t c, int64_t o, weft_dtype dt)
{
    const double tol[] = {
        [WEFT_F32] = 1e-5, [WEFT_F64] = 1e-13, [WEFT_BF16] = 0x1p-7, [WEFT_F16] = 0x1p-9};
    void *gy, *w, *pre, *g = device_calloc((size_t)(rows * c) + 1, 8);
    double *const vy = rounded(dt, rows * o, -1, 1, 1, &gy),
                  *const vw = rounded(dt, o * c, -1, 1, 2, &w),
                  *const vp = rounded(dt, rows * c, -4, 4, 3, &pre);
    vp[0] = keep(dt, pre, 0, 1e4), vp[1] = keep(dt, pre, 1, -1e4);
    ck_assert(
        !k(t)->linear_gelu_back(stream[t], dev(g), dev(gy), dev(w), dev(pre), rows, c, o, dt));
    for (int64_t i = 0; i < rows * c; i += 1 + rows * c / 4000) {
        double sum = 0, size = 0, got = is(dt, g, i);
        for (int64_t e = 0; e < o; e++) {
            sum += vy[i / c * o + e] * vw[e * c + i % c];
            size += fabs(vy[i / c * o + e] * vw[e * c + i % c]);
        }
        if (!(fabs(got - sum * gelu_slope(vp[i])) <= tol[dt] * size))
            ck_abort_msg("(%d, %d, %d) of %s, [%d]: %g, not %g", (int)rows, (int)c, (int)o,
                         weft_dtype_name(dt), (int)i, got, sum * gelu_slope(vp[i]));
    }
    free(gy), free(w), free(pre), free(g), free(vy), free(vw), free(vp);
}

/* Large enough, too, for a library to choose among its ways. */
START_TEST(a_product_may_end_with_gelus_gradient)
{
    static const weft_dtype type[] = {WEFT_F32, WEFT_F64, WEFT_BF16, WEFT_F16};
    static const int64_t size[][3] = {{1, 7, 5},         {3, 40, 33},    {40, 16, 50},
                                      {70, 24, 900},     {128, 256, 64}, {257, 264, 128},
                                      {1024, 1024, 512}, {9, 8, 0}};
    for (size_t i = 0; i < sizeof size / sizeof *size; i++)
        check_gelu_back((int)i % THREADS, size[i][0], size[i][1], size[i][2], type[_i]);
}
END_TEST

/* Relu's gradient and its columns' sums, by a loop in f64; and the bits of the two in steps, on all threads, and in
 * place. */
static void check_relu_back(int64_t rows, int64_t o, weft_dtype dt, weft_dtype gt)
{
    const double tol[] = {
        [WEFT_F32] = 0x1p-23, [WEFT_F64] = 1e-13, [WEFT_BF16] = 0x1p-8, [WEFT_F16] = 0x1p-11};
    const size_t n = (size_t)(rows * o), bytes = n * weft_dtype_size(dt);
    const int64_t to[2] = {0, 1}, from[2] = {o, 1}, shape[2] = {rows, o};
    void *y, *gy, *want = device_calloc(n + 1, 8), *sums = device_calloc((size_t)o + 1, 8),
                  *g = device_calloc(n + 1, 8), *gb = device_calloc((size_t)o + 1, 8);
    double *const vy = rounded(dt, rows * o, -1, 1, 1, &y), *const vg = rounded(dt, rows * o, -1, 1,
                                                                                2, &gy);
    vy[0] = keep(dt, y, 0, NAN);
    ck_assert(!k(0)->relu_back(stream[0], dev(want), dev(y), dev(gy), rows * o, dt));
    ck_assert(!k(0)->sum(stream[0], dev(sums), gt, to, 1, dev(want), from, 2, shape, dt));
    for (int i = 0; i < 2 * THREADS; i++) {
        memcpy(g, gy, bytes);
        memset(gb, 0xFF, (size_t)o * 8);
        ck_assert(!k(i / 2)->linear_relu_back(stream[i / 2], dev(g), dev(gb), gt, dev(y),
                                              dev(i % 2 ? g : gy), rows, o, dt));
        ck_assert_msg(!memcmp(g, want, bytes) && !memcmp(gb, sums, (size_t)o * weft_dtype_size(gt)),
                      "(%d, %d) of %s on %d threads, in place %d: not the steps' bits", (int)rows,
                      (int)o, weft_dtype_name(dt), i / 2 + 1, i % 2);
    }
    for (int64_t j = 0, bad = 0; j < o; j++) {
        double sum = 0, size = 0;
        for (int64_t i = j; i < rows * o; i += o) {
            bad += is(dt, g, i) != (vy[i] > 0 ? vg[i] : 0);
            sum += vy[i] > 0 ? vg[i] : 0;
            size += fabs(vg[i]);
        }
        if (bad || !(fabs(is(gt, gb, j) - sum) <= tol[gt] * size))
            ck_abort_msg("(%d, %d) of %s, column %d: %d wrong, sum %g, not %g", (int)rows, (int)o,
                         weft_dtype_name(dt), (int)j, (int)bad, is(gt, gb, j), sum);
    }
    free(y), free(gy), free(want), free(sums), free(g), free(gb), free(vy), free(vg);
}

START_TEST(relus_gradient_and_its_sums_are_the_loop)
{
    static const weft_dtype type[][2] = {{WEFT_F32, WEFT_F32},   {WEFT_F64, WEFT_F64},
                                         {WEFT_BF16, WEFT_BF16}, {WEFT_BF16, WEFT_F32},
                                         {WEFT_F16, WEFT_F16},   {WEFT_F16, WEFT_F32}};
    static const int64_t size[][2] = {{0, 5},    {3, 0},      {1, 1},     {1, 7},
                                      {7, 13},   {1001, 1},   {70001, 1}, {301, 257},
                                      {64, 256}, {1024, 256}, {259, 77},  {33, 4103}};
    if (!device[0]->ops->kernels->linear_relu_back)
        return;
    for (size_t i = 0; i < sizeof size / sizeof *size; i++)
        check_relu_back(size[i][0], size[i][1], type[_i][0], type[_i][1]);
}
END_TEST

/* One row of a norm's gradient in f64: gx + more, and what it adds to gw and gb. */
static void norm_row(weft_dtype dt, bool centred, int64_t c, const void *x, const void *gy,
                     int64_t at, const void *w, const void *more, double *gx, double *gw,
                     double *gb)
{
    long double m = 0, square = 0, mh = 0, mz = 0;
    for (int64_t j = 0; j < c && centred; j++)
        m += (long double)get(x, dt, at + j) / (long double)c;
    for (int64_t j = 0; j < c; j++)
        square += (get(x, dt, at + j) - m) * (get(x, dt, at + j) - m);
    const long double rstd = 1 / sqrtl(square / (long double)c + 1e-5L);
    for (int64_t j = 0; j < c; j++) {
        const long double g = get(gy, dt, at + j), z = (get(x, dt, at + j) - m) * rstd;
        mh += centred ? g * get(w, dt, j) / (long double)c : 0;
        mz += g * get(w, dt, j) * z / (long double)c;
        gw[j] += (double)(g * z);
        gb[j] += (double)g;
    }
    for (int64_t j = 0; j < c; j++) {
        const long double h = (long double)get(gy, dt, at + j) * get(w, dt, j);
        const long double z = (get(x, dt, at + j) - m) * rstd;
        gx[at + j] = (double)(rstd * (h - mh - z * mz) + (centred ? get(more, dt, at + j) : 0));
    }
}

/* So many terms are in each. */
static void near(weft_dtype dt, const char *what, const void *got, const double *want, int64_t n,
                 int64_t terms)
{
    const double eps = dt == WEFT_F32 ? (double)FLT_EPSILON : DBL_EPSILON;
    for (int64_t i = 0; i < n; i++)
        if (!(fabs(get(got, dt, i) - want[i]) <=
              (double)(32 + terms) * eps * fmax(1, fabs(want[i]))))
            ck_abort_msg("%s[%d] of %d: %.17g, not %.17g", what, (int)i, (int)n, get(got, dt, i),
                         want[i]);
}

/* Rows that a GPU reads once and longer ones, aligned for packs or not, in as many parts as it takes. */
static void check_norm(weft_dtype dt, bool centred, int64_t rows, int64_t c, int64_t off)
{
    const size_t size = weft_dtype_size(dt);
    void *const x = some(dt, rows * c, -2, 2, 1), *const gy = some(dt, rows * c, -1, 1, 2),
                *const w = some(dt, c, 0, 2, 3), *const more = some(dt, rows * c, -1, 1, 4),
                *const to = device_calloc((size_t)(rows * c + off), size),
                *const gw = device_calloc((size_t)c, size),
                *const gb = device_calloc((size_t)c, size);
    char *const gx = (char *)to + (size_t)off * size;
    double *const stats = device_calloc((size_t)(2 * rows), 8),
                  *const want = calloc((size_t)(rows * c), 8),
                  *const sums = calloc((size_t)(2 * c), 8);
    for (int64_t r = 0; r < rows; r++)
        norm_row(dt, centred, c, x, gy, r * c, w, more, want, sums, sums + c);
    if (centred) {
        ck_assert(!k(0)->layernorm(stream[0], dev(gx), dev(stats), dev(x), dev(w), dev(w), rows, c,
                                   1e-5, dt));
        ck_assert(!k(0)->add_layernorm_back(stream[0], dev(gx), dev(gw), dev(gb), dev(gy),
                                            dev(more), dev(x), dev(stats), dev(w), rows, c, dt));
        near(dt, "gb", gb, sums + c, c, rows);
    } else {
        ck_assert(
            !k(0)->rmsnorm(stream[0], dev(gx), dev(stats), dev(x), dev(w), rows, c, 1e-5, dt));
        ck_assert(!k(0)->rmsnorm_back(stream[0], dev(gx), dev(gw), dev(gy), dev(x), dev(stats),
                                      dev(w), rows, c, dt));
    }
    near(dt, "gx", gx, want, rows * c, 1);
    near(dt, "gw", gw, sums, c, rows);
    free(x), free(gy), free(w), free(more), free(to), free(gw), free(gb), free(stats), free(want),
        free(sums);
}

/* Rows that are summed side by side, and what is left of them. */
START_TEST(sums_of_rows_are_the_loops)
{
    static const int64_t width[] = {1, 2, 10, 15, 16, 17, 100}, many[] = {1, 7, 8, 9, 3001};
    const weft_dtype dt = _i ? WEFT_F64 : WEFT_F32;
    for (int i = 0; i < 35; i++) {
        const int64_t c = width[i % 7], rows = many[i / 7], to[2] = {1, 0}, from[2] = {c, 1},
                      shape[2] = {rows, c};
        void *const x = some(dt, rows * c, -2, 2, 1), *const first = device_calloc(rows, 8);
        double *const want = calloc((size_t)rows, sizeof *want);
        for (int64_t j = 0; j < rows * c; j++)
            want[j / c] += 0.5 * get(x, dt, j);
        for (int t = 0; t < THREADS; t++) {
            void *const y = device_calloc(rows, 8);
            ck_assert(!k(t)->sum(stream[t], dev(y), dt, to, 0.5, dev(x), from, 2, shape, dt));
            near(dt, "sum", y, want, rows, c);
            if (t == 0)
                memcpy(first, y, (size_t)rows * weft_dtype_size(dt));
            ck_assert(memcmp(first, y, (size_t)rows * weft_dtype_size(dt)) == 0);
            free(y);
        }
        free(x), free(first), free(want);
    }
}
END_TEST

START_TEST(gradients_of_norms_are_the_loops)
{
    static const int64_t size[][2] = {{1, 5},    {37, 768}, {7, 1023}, {3, 1025}, {2500, 64},
                                      {5, 5000}, {9, 4096}, {2, 4097}, {70, 33}};
    for (size_t i = 0; i < sizeof size / sizeof *size; i++)
        for (int form = 0; form < 8; form++)
            check_norm(form & 1 ? WEFT_F64 : WEFT_F32, form & 2, size[i][0], size[i][1], form >> 2);
}
END_TEST

/* Rows of logits: as they come, with -inf, of -inf alone, with NaN, as far apart as f16 reaches. */
enum { PLAIN, HOLES, NOTHING, NO_NUMBER, APART, LOGITS };
static float logit(int row, int64_t j, int64_t c)
{
    const float x = sinf((float)(j + row)) * (row == APART ? 65504 : 9);
    return row == NOTHING || (row == HOLES && j % 3 == 1) ? -INFINITY
           : row == NO_NUMBER && j == c / 2               ? NAN
                                                          : x;
}

static void check_lse(bool bf16, int64_t c)
{
    uint16_t *const x = device_calloc((size_t)(LOGITS * c), sizeof *x);
    int64_t label[LOGITS] = {0};
    double lse[LOGITS];
    float loss[LOGITS];
    for (int64_t i = 0; i < LOGITS * c; i++)
        x[i] = bf16 ? half_low_bf16(logit((int)(i / c), i % c, c))
                    : half_low_f16(logit((int)(i / c), i % c, c));
    ck_assert(!k(0)->xent_lse(stream[0], dev(loss), dev(lse), dev(NULL), dev(x), dev(label),
                              WEFT_I64, LOGITS, c, NULL, bf16 ? WEFT_BF16 : WEFT_F16));
    for (int r = 0; r < LOGITS; r++) {
        double top = -INFINITY, sum = 0;
        for (int pass = 0; pass < 2; pass++)
            for (int64_t j = 0; j < c; j++) {
                const double v =
                    (double)(bf16 ? half_wide_bf16(x[r * c + j]) : half_wide_f16(x[r * c + j]));
                top = pass || !(v > top) ? top : v;
                sum += pass ? exp(v - top) : 0;
            }
        if (r == NOTHING || r == NO_NUMBER)
            ck_assert_double_nan(lse[r]);
        else
            ck_assert_double_eq_tol(lse[r], top + log(sum), 5e-7 * fmax(1, fabs(top)));
    }
    free(x);
}

START_TEST(sums_of_powers_are_the_loops)
{
    static const int64_t c[] = {1, 7, 40, 1001, 8208, 50304};
    for (size_t i = 0; i < sizeof c / sizeof *c; i++)
        check_lse(false, c[i]), check_lse(true, c[i]);
}
END_TEST

/* Cross entropy of the same kinds of rows: labels are classes, one of which may be ignored, or none at all. */
enum { XENT_ROWS = 37, XENT_CLASSES = 50, XENT = XENT_ROWS * XENT_CLASSES };
typedef struct xent_case {
    weft_dtype dt;
    int64_t c, label[XENT_ROWS];
    void *x, *w;
    weft_xent_terms terms;
    double loss[XENT_ROWS], p[XENT], gx[XENT]; /* what a plain loop says */
} xent_case;

/* Rows whose first maximum, NaN passed over unless it comes first, is at the label. */
static double plain_hits(const xent_case *o, int64_t rows)
{
    double hits = 0;
    for (int64_t r = 0; r < rows; r++) {
        int64_t best = 0;
        for (int64_t j = 1; j < o->c; j++)
            if (get(o->x, o->dt, r * o->c + j) > get(o->x, o->dt, r * o->c + best))
                best = j;
        hits += best == o->label[r];
    }
    return hits;
}

/* Row r, not divided yet. @return the weight of its label */
static double plain_xent(xent_case *o, int64_t r)
{
    const int64_t c = o->c, label = o->label[r];
    const bool good = label >= 0 && label < c,
               counts = !o->terms.ignores || label != o->terms.ignore;
    const double smoothing = o->terms.smoothing, e = smoothing / (double)c;
    const double w = good ? get(o->w, o->dt, label) : 1, u = (1 - smoothing) * w;
    double *const p = o->p + r * c, *const gx = o->gx + r * c, top = -INFINITY, sum = 0, all = 0,
                  mean = 0;
    for (int64_t j = 0; j < c; j++)
        top = fmax(top, p[j] = get(o->x, o->dt, r * c + j));
    for (int64_t j = 0; j < c; j++) {
        sum += exp(p[j] - top);
        all += get(o->w, o->dt, j);
        mean += get(o->w, o->dt, j) * p[j];
    }
    const double at = good ? p[label] : (double)NAN, smooth = e * (all * (log(sum) + top) - mean);
    const double hit = u == 0 ? 0 : u * (log(sum) + (top - at));
    o->loss[r] = counts ? hit + (e > 0 ? smooth : 0) : 0;
    for (int64_t j = 0; j < c; j++) {
        p[j] = exp(p[j] - top) / sum;
        gx[j] = (u + e * all) * p[j] - e * get(o->w, o->dt, j) - (j == label ? u : 0);
        gx[j] = !counts ? 0 : good ? gx[j] : (double)NAN;
    }
    return good && counts ? w : 0;
}

static void near_or_equal(weft_dtype dt, const char *what, const void *got, const double *want,
                          double of, int64_t n)
{
    const double eps = 8 * (dt == WEFT_F32 ? (double)FLT_EPSILON : DBL_EPSILON);
    for (int64_t i = 0; i < n; i++) {
        const double v = get(got, dt, i), w = want[i] / of;
        if (!(v == w || (isnan(v) && isnan(w)) || fabs(v - w) <= eps * fmax(1, fabs(w))))
            ck_abort_msg("%s[%d] of %d: %.17g, not %.17g", what, (int)i, (int)n, v, w);
    }
}

/* Rows from lo on by device t, loss, p and gx one behind the other. p lies on x. */
static void run_xent(xent_case *o, int t, const void *g, int64_t *flag, char *out, int64_t lo,
                     int64_t rows)
{
    const size_t size = weft_dtype_size(o->dt), at = (size_t)(lo * o->c) * size,
                 n = (size_t)(rows * o->c) * size;
    char *const loss = out + (size_t)lo * size, *const p = out + XENT * 8 + at,
                *const gx = p + XENT * 8;
    int64_t *const label = device_calloc(XENT_ROWS, sizeof *label);
    memcpy(label, o->label + lo, (size_t)rows * sizeof *label);
    memcpy(p, (char *)o->x + at, n);
    ck_assert(!k(t)->xent(stream[t], dev(loss), dev(p), dev(flag), dev(p), dev(label), WEFT_I64,
                          rows, o->c, &o->terms, o->dt));
    ck_assert(!k(t)->xent_back(stream[t], dev(gx), dev(g), 1, dev(p), dev(label), WEFT_I64, rows,
                               o->c, &o->terms, o->dt));
    free(label);
}

/* On devices 0, 1 and 2, and in two parts. */
static void check_xent(xent_case *o, int64_t rows)
{
    char *out[THREADS + 1];
    int64_t *const flag = device_calloc(2, sizeof *flag);
    void *const g = some(o->dt, 1, 1, 1, 1);
    double sum = 0;
    for (int64_t r = 0; r < rows; r++)
        sum += plain_xent(o, r);
    for (int t = 0; t <= THREADS; t++) {
        out[t] = device_calloc(3 * XENT, 8);
        run_xent(o, t % THREADS, g, t < THREADS ? flag : NULL, out[t], 0,
                 t < THREADS ? rows : rows / 3);
        if (t == THREADS)
            run_xent(o, 0, g, NULL, out[t], rows / 3, rows - rows / 3);
        near_or_equal(o->dt, "loss", out[t], o->loss, o->terms.ignores ? sum : 1, rows);
        near_or_equal(o->dt, "p", out[t] + XENT * 8, o->p, 1, rows * o->c);
        near_or_equal(o->dt, "gx", out[t] + XENT * 16, o->gx, o->terms.ignores ? sum : 1,
                      rows * o->c);
        for (int64_t i = 0; i < 3 * XENT && !device_is("cuda"); i++) {
            const double v = get(out[t], o->dt, i), w = get(out[0], o->dt, i);
            if (!(v == w || (isnan(v) && isnan(w))))
                ck_abort_msg("device %d: %.17g, not %.17g", t, v, w);
        }
    }
    double *const hits = device_calloc(1, sizeof *hits);
    int64_t *const label = device_calloc(XENT_ROWS, sizeof *label);
    memcpy(label, o->label, sizeof o->label);
    ck_assert(
        !k(0)->correct(stream[0], dev(hits), dev(o->x), dev(label), WEFT_I64, rows, o->c, o->dt));
    ck_assert(*hits == plain_hits(o, rows));
    for (int t = 0; t <= THREADS; t++)
        free(out[t]);
    free(flag), free(g), free(hits), free(label);
}

START_TEST(cross_entropy_is_the_loop)
{
    static const int64_t classes[] = {1, 2, 10, 16, 17, 48, 49},
                         rows[] = {1, 15, 16, 17, XENT_ROWS};
    static xent_case o;
    double *const divisor = device_calloc(1, 8);
    o.dt = _i & 1 ? WEFT_F64 : WEFT_F32;
    o.terms =
        (weft_xent_terms){.smoothing = _i & 2 ? 0.25 : 0, .ignores = (_i & 4) != 0, .ignore = 1};
    for (size_t i = 0; i < 7 * 5; i++) {
        o.c = classes[i / 5];
        o.x = device_calloc(XENT, 8);
        o.w = some(o.dt, o.c, _i & 8 ? 0.5 : 1, _i & 8 ? 2 : 1, 3);
        o.terms.weight = dev(_i & 8 ? o.w : NULL);
        o.terms.divisor = dev(o.terms.ignores ? divisor : NULL);
        if (_i & 8 && o.c > 2)
            set(o.w, o.dt, 2, 0);
        for (int64_t r = 0; r < XENT_ROWS; r++)
            o.label[r] = r % 7 == 6 ? (r % 2 ? -1 : o.c) : r % o.c;
        for (int64_t j = 0; j < XENT_ROWS * o.c; j++)
            set(o.x, o.dt, j, (double)logit((int)(j / o.c) % LOGITS, j % o.c + j / o.c, o.c));
        check_xent(&o, rows[i % 5]);
        free(o.x), free(o.w);
    }
    free(divisor);
}
END_TEST

/* Of every number of 16 bits, up to 2^30: what f32 gives of it, rounded, or what is as near. */
static void check_low(weft_unary f, bool bf16)
{
    enum { ALL = 1 << 16 };
    const weft_dtype dt = bf16 ? WEFT_BF16 : WEFT_F16;
    const double p[2] = {0}, part = bf16 ? 0x1p-8 : 0x1p-11, least = bf16 ? 1e-30 : 0x1p-24;
    uint16_t *const x = device_calloc(3 * ALL, sizeof *x), *const y = x + ALL, *const g = y + ALL;
    float *const wide = device_calloc(3 * ALL, sizeof *wide), *const one = wide + ALL,
                 *const to = one + ALL;
    for (int i = 0; i < ALL; i++) {
        const float v = bf16 ? half_wide_bf16((uint16_t)i) : half_wide_f16((uint16_t)i);
        x[i] = fabsf(v) <= 0x1p30F ? (uint16_t)i : 0;
        wide[i] = fabsf(v) <= 0x1p30F ? v : 0;
        g[i] = bf16 ? half_low_bf16(1) : half_low_f16(1);
        one[i] = 1;
    }
    for (int back = 0; back < (f == WEFT_SIGMOID ? 1 : 2); back++) {
        if (back) {
            ck_assert(!k(0)->unary_back(stream[0], f, dev(y), dev(g), dev(x), dev(x), p, ALL, dt));
            ck_assert(!k(0)->unary_back(stream[0], f, dev(to), dev(one), dev(wide), dev(wide), p,
                                        ALL, WEFT_F32));
        } else {
            ck_assert(!k(0)->unary(stream[0], f, dev(y), dev(x), p, ALL, dt));
            ck_assert(!k(0)->unary(stream[0], f, dev(to), dev(wide), p, ALL, WEFT_F32));
        }
        for (int i = 0; i < ALL; i++) {
            const double got = (double)(bf16 ? half_wide_bf16(y[i]) : half_wide_f16(y[i])),
                         want = (double)to[i];
            if (!(fabs(got - want) <= 1.01 * part * fabs(want) + (back ? 1e-6 : least)))
                ck_abort_msg("function %d, %s, of %g: %.9g, not %.9g", f,
                             back ? "gradient" : "value", (double)wide[i], got, want);
        }
    }
    free(x), free(wide);
}

START_TEST(functions_of_16_bits_are_those_of_32)
{
    static const weft_unary f[] = {WEFT_SIGMOID, WEFT_SILU, WEFT_GELU_TANH};
    for (size_t i = 0; i < sizeof f / sizeof *f; i++)
        check_low(f[i], false), check_low(f[i], true);
}
END_TEST

/* As many as a GPU's block takes at once, more, fewer, and where packs do not fit: no number behind the end. */
START_TEST(casts_reach_the_end)
{
    enum { MOST = 9001 };
    static const int64_t size[] = {1, 1023, 4096, MOST};
    const int64_t one = 1;
    uint16_t *const low = device_calloc(MOST + 2, sizeof *low);
    float *const x = some(WEFT_F32, MOST, -2, 2, 1), *const y = device_calloc(MOST + 2, sizeof *y);
    for (int i = 0; i < 16; i++) {
        const int64_t n = size[i / 4], off = i & 1;
        const weft_dtype dt = i & 2 ? WEFT_F16 : WEFT_BF16;
        memset(low, 0xFF, (MOST + 2) * sizeof *low);
        y[off + n] = 7;
        ck_assert(!k(0)->copy(stream[0], dev(low + off), dt, &one, dev(x), WEFT_F32, &one, 1, &n));
        ck_assert(
            !k(0)->copy(stream[0], dev(y + off), WEFT_F32, &one, dev(low + off), dt, &one, 1, &n));
        ck_assert(low[off + n] == 0xFFFF && y[off + n] == 7);
        for (int64_t j = 0; j < n; j++) {
            const uint16_t want = dt == WEFT_F16 ? half_low_f16(x[j]) : half_low_bf16(x[j]);
            const float back = dt == WEFT_F16 ? half_wide_f16(want) : half_wide_bf16(want);
            ck_assert(low[off + j] == want && y[off + j] == back);
        }
    }
    free(low), free(x), free(y);
}
END_TEST

START_TEST(types_without_a_kernel_are_named)
{
    const int64_t one = 1;
    const double p[2] = {0};
    int64_t x = 0, y = 0;
    ck_assert_int_eq(k(0)->unary(stream[0], WEFT_EXP, dev(&y), dev(&x), p, 1, WEFT_I64),
                     WEFT_ENOTSUP);
    ck_assert_int_eq(
        k(0)->compare(stream[0], WEFT_GT, dev(&y), dev(&x), &one, dev(&x), &one, 1, &one, WEFT_U8),
        WEFT_ENOTSUP);
    ck_assert_int_eq(k(0)->extremum(stream[0], dev(&y), dev(&y), dev(&x), 1, 1, 1, 1, WEFT_U8),
                     WEFT_ENOTSUP);
    ck_assert_int_eq(k(0)->gemm_batch(stream[0], dev(&y), WEFT_I32, dev(&x), &one, 0, dev(&x), &one,
                                      0, 1, &one, 1, 1, 1, WEFT_I32),
                     WEFT_ENOTSUP);
    ck_assert_int_eq(k(0)->gather(stream[0], dev(&y), dev(&y), dev(&x), &one, dev(&x), WEFT_F64, 1,
                                  &one, 0, 1, WEFT_F64),
                     WEFT_ENOTSUP);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("kernels of ops");
    TCase *t = tcase_create("kernels");
    tcase_set_timeout(t, 120);
    tcase_add_checked_fixture(t, start, stop);
    suite_add_tcase(s, t);
    tcase_add_loop_test(t, functions_are_near_the_exact_ones, 0, ROWS);
    tcase_add_test(t, the_ends_are_those_of_the_functions);
    tcase_add_test(t, a_result_may_lie_on_its_argument);
    tcase_add_loop_test(t, threads_do_not_change_a_bit, 0, (int)(sizeof jobs / sizeof jobs[0]));
    tcase_add_loop_test(t, without_fma_results_are_near, 0, (int)(sizeof jobs / sizeof jobs[0]));
    tcase_add_test(t, adam_rounds_as_a_division_does);
    tcase_add_test(t, batches_are_their_products);
    tcase_add_test(t, linear_is_its_steps);
    tcase_add_loop_test(t, a_product_may_end_with_gelus_gradient, 0, 4);
    tcase_add_loop_test(t, relus_gradient_and_its_sums_are_the_loop, 0, 6);
    tcase_add_loop_test(t, sums_of_rows_are_the_loops, 0, 2);
    tcase_add_test(t, gradients_of_norms_are_the_loops);
    tcase_add_test(t, sums_of_powers_are_the_loops);
    tcase_add_loop_test(t, cross_entropy_is_the_loop, 0, 16);
    tcase_add_test(t, functions_of_16_bits_are_those_of_32);
    tcase_add_test(t, casts_reach_the_end);
    tcase_add_test(t, extrema_are_the_first_and_nan_wins);
    tcase_add_loop_test(t, extrema_are_the_loops, 0, 20);
    tcase_add_test(t, the_first_bad_index_is_reported);
    tcase_add_loop_test(t, gathers_are_the_loops, 0, 18);
    tcase_add_test(t, types_without_a_kernel_are_named);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
