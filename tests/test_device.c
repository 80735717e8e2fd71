/* Devices by name, and every kernel of the cpu against a plain serial reference, in both types, on
 * one, two and three threads with the same bits. */
#include "core/alloc.h"
#include "core/error.h"
#include "core/rng.h"
#include "device/cpu/half.h"
#include "device/cpu/quantile.h"
#include "device/cpu/words.h"
#include "device/device.h"
#include "device_fixture.h"

#include <check.h>
#include <float.h>
#include <hdf5.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define THREADS 3
/* For loops of many thousand: Check notes down every assertion that holds, and takes time to the
 * square of their number. */
#define must(c)                                                                                    \
    do {                                                                                           \
        if (!(c))                                                                                  \
            ck_abort_msg("%s", #c);                                                                \
    } while (0)
static weft_device *device[THREADS];
static weft_stream *stream[THREADS];

static void start(void)
{
    for (int t = 0; t < THREADS; t++) {
        ck_assert_int_eq(weft__device_open(&device[t], device_name(), 0, t + 1), WEFT_OK);
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

/* An array of one type, and its elements as double. */
typedef struct array {
    weft_dtype t;
    int64_t n;
    void *p;
} array;

static double get(array a, int64_t i)
{
    switch (a.t) {
    case WEFT_F32:
        return ((float *)a.p)[i];
    case WEFT_F64:
        return ((double *)a.p)[i];
    case WEFT_I32:
        return ((int32_t *)a.p)[i];
    case WEFT_I64:
        return (double)((int64_t *)a.p)[i];
    default:
        return ((uint8_t *)a.p)[i];
    }
}

static void set(array a, int64_t i, double v)
{
    switch (a.t) {
    case WEFT_F32:
        ((float *)a.p)[i] = (float)v;
        break;
    case WEFT_F64:
        ((double *)a.p)[i] = v;
        break;
    case WEFT_I32:
        ((int32_t *)a.p)[i] = (int32_t)v;
        break;
    case WEFT_I64:
        ((int64_t *)a.p)[i] = (int64_t)v;
        break;
    default:
        ((uint8_t *)a.p)[i] = (uint8_t)v;
        break;
    }
}

static array none(weft_dtype t, int64_t n)
{
    array a = {t, n, weft__new((size_t)n, weft_dtype_size(t))};
    ck_assert_ptr_nonnull(device_know(a.p, (size_t)n * weft_dtype_size(t)));
    return a;
}

/* Values in [-2, 2) that f32 can hold. */
static array some(weft_dtype t, int64_t n, uint64_t seed)
{
    array a = none(t, n);
    for (int64_t i = 0; i < n; i++)
        set(a, i, 4 * (double)weft__uniform_f32(seed, 0, 0, (uint64_t)i) - 2);
    return a;
}

static array labels(weft_dtype t, int64_t n, int64_t c)
{
    array a = none(t, n);
    for (int64_t i = 0; i < n; i++)
        set(a, i, (double)(i * 7 % (c ? c : 1)));
    return a;
}

static array same(array a)
{
    array b = none(a.t, a.n);
    memcpy(b.p, a.p, (size_t)a.n * weft_dtype_size(a.t));
    return b;
}

static weft_dev dev(array a)
{
    return (weft_dev){(uintptr_t)a.p};
}

static double eps(weft_dtype t)
{
    return t == WEFT_F32 ? 0x1p-23 : 0x1p-52;
}

static void near(array a, int64_t i, double want, double ulps)
{
    const double got = get(a, i);
    if (isnan(want) ? isnan(got) : fabs(got - want) <= ulps * eps(a.t) * (1 + fabs(want)))
        return;
    ck_abort_msg("element %lld of %lld %s: %.17g, not %.17g", (long long)i, (long long)a.n,
                 weft_dtype_name(a.t), got, want);
}

/* The results of the three devices are the same bits; all but the first are freed. */
static void agree(array r[THREADS])
{
    for (int t = 1; t < THREADS; t++) {
        ck_assert_msg(!memcmp(r[0].p, r[t].p, (size_t)r[0].n * weft_dtype_size(r[0].t)),
                      "%d threads give other bits than one", t + 1);
        weft__free(r[t].p);
    }
}

#define CALL(t, kernel, ...)                                                                       \
    ck_assert_int_eq(device_kernels.kernel(stream[t], __VA_ARGS__), WEFT_OK)
#define ON_ALL for (int t = 0; t < THREADS; t++)
static const weft_dtype real[] = {WEFT_F32, WEFT_F64};
static const int64_t size[] = {0, 1, 7, 64, 65, 1001, 200003};
#define TYPES 2
#define SIZES 7
#define CASE_T real[_i / SIZES]
#define CASE_N size[_i % SIZES]
#define CASES (TYPES * SIZES)

START_TEST(elementwise)
{
    const weft_dtype dt = CASE_T;
    const int64_t n = CASE_N;
    array x = some(dt, n, 1), y = some(dt, n, 2), z = some(dt, n, 3);
    array axpy[THREADS], scale[THREADS], relu[THREADS], back[THREADS], over[THREADS];
    if (n > 2) {
        set(x, 0, NAN);
        set(x, 1, -0.0);
    }
    ON_ALL
    {
        CALL(t, axpy, dev(axpy[t] = same(y)), 0.5, dev(x), n, dt);
        CALL(t, scale, dev(scale[t] = same(y)), -1.5, dev(x), n, dt);
        CALL(t, relu, dev(relu[t] = same(y)), dev(x), n, dt);
        CALL(t, relu_back, dev(back[t] = same(y)), dev(x), dev(z), n, dt);
        over[t] = same(z);
        CALL(t, relu_back, dev(over[t]), dev(x), dev(over[t]), n, dt);
    }
    agree(axpy), agree(scale), agree(relu), agree(back), agree(over);
    for (int64_t i = 0; i < n; i++) {
        near(axpy[0], i, get(y, i) + 0.5 * get(x, i), 1);
        near(scale[0], i, -1.5 * get(x, i), 1);
        near(relu[0], i, get(x, i) <= 0 ? 0 : get(x, i), 0);
        near(back[0], i, get(x, i) > 0 ? get(z, i) : 0, 0);
        near(over[0], i, get(back[0], i), 0);
    }
    weft__free(x.p), weft__free(y.p), weft__free(z.p);
    weft__free(axpy[0].p), weft__free(scale[0].p), weft__free(relu[0].p), weft__free(back[0].p);
    weft__free(over[0].p);
}
END_TEST

START_TEST(bias_and_relu)
{
    const weft_dtype dt = real[_i];
    const int64_t shape[][2] = {{0, 5}, {3, 0}, {1, 1}, {7, 13}, {501, 259}};
    for (int k = 0; k < 5 * 3; k++) {
        const int64_t rows = shape[k / 3][0], c = shape[k / 3][1];
        const int act = k % 3 != 0, with = k % 3 != 1;
        array y = some(dt, rows * c, 4), b = some(dt, c, 5), r[THREADS];
        ON_ALL CALL(t, bias, dev(r[t] = same(y)), with ? dev(b) : (weft_dev){0}, act, rows, c, dt);
        agree(r);
        for (int64_t i = 0; i < rows * c; i++) {
            double v = get(y, i) + (with ? get(b, i % c) : 0);
            near(r[0], i, act && v < 0 ? 0 : v, 1);
        }
        weft__free(y.p), weft__free(b.p), weft__free(r[0].p);
    }
}
END_TEST

START_TEST(nonfinite)
{
    const weft_dtype dt = CASE_T;
    const int64_t n = CASE_N;
    const double bad[] = {NAN, INFINITY, -INFINITY};
    array x = some(dt, n, 6);
    int64_t flag = 5;
    ON_ALL CALL(t, nonfinite, (weft_dev){(uintptr_t)&flag}, dev(x), n, dt);
    ck_assert_int_eq(flag, 5);
    for (int k = 0; k < 3 && n; k++) {
        set(x, k ? n - 1 : n / 2, bad[k]);
        ON_ALL CALL(t, nonfinite, (weft_dev){(uintptr_t)&flag}, dev(x), n, dt);
        ck_assert_int_eq(flag, 5 + 3 * (k + 1));
        set(x, k ? n - 1 : n / 2, 1);
    }
    weft__free(x.p);
}
END_TEST

START_TEST(fill_all_types)
{
    const weft_dtype type[] = {WEFT_F32, WEFT_F64, WEFT_I32, WEFT_I64, WEFT_U8};
    for (int k = 0; k < 5; k++)
        for (int j = 0; j < SIZES; j++) {
            array r[THREADS];
            ON_ALL CALL(t, fill, dev(r[t] = none(type[k], size[j])), size[j], 7.0, type[k]);
            agree(r);
            for (int64_t i = 0; i < size[j]; i++)
                must(get(r[0], i) == 7);
            weft__free(r[0].p);
        }
    uint16_t h[3];
    CALL(0, fill, (weft_dev){(uintptr_t)h}, 3, 1.5, WEFT_F16);
    ck_assert(h[0] == 0x3E00 && h[2] == 0x3E00);
    CALL(0, fill, (weft_dev){(uintptr_t)h}, 3, 1.5, WEFT_BF16);
    ck_assert(h[0] == 0x3FC0 && h[2] == 0x3FC0);
    ck_assert_int_eq(device_kernels.fill(stream[0], (weft_dev){0}, 0, 0, (weft_dtype)99),
                     WEFT_ENOTSUP);
}
END_TEST

/* Strided views of a (6, 5, 4) block, and large ones. */
static const struct view {
    int rank;
    int64_t shape[3], a[3], b[3];
} view[] = {
    {0, {0}, {0}, {0}},
    {1, {0}, {1}, {1}},
    {1, {5}, {-1 + 3}, {0}},
    {2, {3, 4}, {4, 1}, {1, 3}},
    {3, {2, 3, 4}, {12, 4, 1}, {0, 4, 1}},
    {3, {4, 1, 5}, {1, 77, 4}, {5, 0, 1}},
    {3, {3, 0, 2}, {1, 1, 1}, {1, 1, 1}},
    {2, {301, 403}, {403, 1}, {0, 1}},
    {2, {301, 403}, {1, 301}, {1, 0}},
    {3, {11, 70, 130}, {70 * 130, 130, 1}, {70 * 130, 1, 70}},
    {3, {7, 33, 70}, {33 * 70, 70, 1}, {1, 7, 7 * 33}},
    {3, {67, 35, 19}, {1, 67, 67 * 35}, {35 * 19, 19, 1}},
    {2, {2777, 3}, {3, 1}, {0, 1}},
    {3, {901, 3, 3}, {9, 3, 1}, {9, 1, 3}},
    {3, {901, 5, 7}, {35, 7, 1}, {0, 7, 0}},
    {2, {1001, 3}, {4, 1}, {1, 1001}},
};
#define VIEWS ((int)(sizeof view / sizeof view[0]))
#define ROOM 130000

static int64_t count(const struct view *v)
{
    int64_t n = 1;
    for (int d = 0; d < v->rank; d++)
        n *= v->shape[d];
    return n;
}

/* Offset of element i (row-major) under a stride. */
static int64_t offset(const struct view *v, const int64_t *stride, int64_t i)
{
    int64_t at = 0;
    for (int d = v->rank - 1; d >= 0; d--) {
        at += i % v->shape[d] * stride[d];
        i /= v->shape[d];
    }
    return at;
}

START_TEST(binary_strided)
{
    const struct view *v = &view[_i / 4];
    const weft_dtype dt = real[_i / 2 % 2];
    const weft_binary op = _i % 2 ? WEFT_MUL : WEFT_ADD;
    const int64_t n = count(v);
    array a = some(dt, ROOM, 7), b = some(dt, ROOM, 8), r[THREADS];
    ON_ALL CALL(t, binary, op, dev(r[t] = none(dt, n)), dev(a), v->a, dev(b), v->b, v->rank,
                v->shape, dt);
    agree(r);
    for (int64_t i = 0; i < n; i++) {
        double x = get(a, offset(v, v->a, i)), y = get(b, offset(v, v->b, i));
        near(r[0], i, op == WEFT_ADD ? x + y : x * y, 1);
    }
    weft__free(a.p), weft__free(b.p), weft__free(r[0].p);
}
END_TEST

START_TEST(copy_strided)
{
    const struct view *v = &view[_i / 5];
    const weft_dtype type[] = {WEFT_F32, WEFT_F64, WEFT_I32, WEFT_I64, WEFT_U8};
    const weft_dtype xt = type[_i % 5];
    for (int k = 0; k < 5; k++) {
        const weft_dtype yt = type[k];
        array x = none(xt, ROOM), r[THREADS];
        for (int64_t i = 0; i < ROOM; i++)
            set(x, i, (double)(i % 251));
        ON_ALL CALL(t, copy, dev(r[t] = none(yt, ROOM)), yt, v->a, dev(x), xt, v->b, v->rank,
                    v->shape);
        agree(r);
        for (int64_t i = 0; i < count(v); i++)
            must(get(r[0], offset(v, v->a, i)) == get(x, offset(v, v->b, i)));
        weft__free(x.p), weft__free(r[0].p);
    }
}
END_TEST

/* From type to type: n elements, or one. */
static void cast(void *y, weft_dtype yt, const void *x, weft_dtype xt, int64_t n)
{
    const int64_t stride = 1;
    CALL(0, copy, (weft_dev){(uintptr_t)y}, yt, &stride, (weft_dev){(uintptr_t)x}, xt, &stride, 1,
         &n);
}

static void cast1(void *y, weft_dtype yt, const void *x, weft_dtype xt)
{
    cast(y, yt, x, xt, 1);
}

static uint16_t to_half(double x, weft_dtype t)
{
    uint16_t h;
    cast1(&h, t, &x, WEFT_F64);
    return h;
}

START_TEST(half_values)
{
    ck_assert_uint_eq(to_half(1, WEFT_F16), 0x3C00);
    ck_assert_uint_eq(to_half(-2, WEFT_F16), 0xC000);
    ck_assert_uint_eq(to_half(65504, WEFT_F16), 0x7BFF);
    ck_assert_uint_eq(to_half(65519.999, WEFT_F16), 0x7BFF);
    ck_assert_uint_eq(to_half(65520, WEFT_F16), 0x7C00);
    ck_assert_uint_eq(to_half(-INFINITY, WEFT_F16), 0xFC00);
    ck_assert_uint_eq(to_half(1e300, WEFT_F16), 0x7C00);
    ck_assert_uint_eq(to_half(0x1p-24, WEFT_F16), 1);
    ck_assert_uint_eq(to_half(0x1p-25, WEFT_F16), 0);          /* tie to even */
    ck_assert_uint_eq(to_half(0x1.000001p-25, WEFT_F16), 1);   /* above the tie */
    ck_assert_uint_eq(to_half(0x1.ffcp-15, WEFT_F16), 0x0400); /* carries into the normals */
    ck_assert_uint_eq(to_half(1 + 0x1p-11, WEFT_F16), 0x3C00);
    ck_assert_uint_eq(to_half(1 + 0x3p-11, WEFT_F16), 0x3C02);
    ck_assert_uint_eq(to_half(1 + 0x1p-11 + 0x1p-40, WEFT_F16), 0x3C01); /* one rounding, not two */
    ck_assert_uint_eq(to_half(-0.0, WEFT_F16), 0x8000);
    ck_assert_uint_eq(to_half(1, WEFT_BF16), 0x3F80);
    ck_assert_uint_eq(to_half(1 + 0x1p-8, WEFT_BF16), 0x3F80);
    ck_assert_uint_eq(to_half(1 + 0x3p-8, WEFT_BF16), 0x3F82);
    ck_assert_uint_eq(to_half(0x1p-133, WEFT_BF16), 1);
    ck_assert_uint_eq(to_half(0x1p-134, WEFT_BF16), 0);
    ck_assert_uint_eq(to_half(0x1p127, WEFT_BF16), 0x7F00);
    ck_assert_uint_eq(to_half(0x1.ffp127, WEFT_BF16), 0x7F80);
    ck_assert_uint_eq(to_half(0x1p128, WEFT_BF16), 0x7F80);
    ck_assert_uint_eq(to_half(5e-324, WEFT_BF16), 0);
}
END_TEST

/* Every value of both formats comes back, NaN as NaN. */
START_TEST(half_round_trip)
{
    enum { N = 65536 };
    const weft_dtype t = _i ? WEFT_BF16 : WEFT_F16;
    const int finite = _i ? 0x7F80 : 0x7C00;
    uint16_t *h = device_calloc(N, sizeof *h), *r = device_calloc(N, sizeof *r);
    double *x = device_calloc(N, sizeof *x), *y = device_calloc(N, sizeof *y);
    for (int i = 0; i < N; i++)
        h[i] = (uint16_t)i;
    cast(x, WEFT_F64, h, t, N);
    cast(r, t, x, WEFT_F64, N);
    cast(y, WEFT_F64, r, t, N);
    for (int i = 0; i < N; i++)
        must(isnan(x[i]) ? isnan(y[i]) : r[i] == i);
    for (int side = -1; side <= 1; side++) { /* ties between neighbours, and what lies beside */
        for (int i = 0; i < finite - 1; i++) {
            const double middle = x[i] + (x[i + 1] - x[i]) / 2;
            y[i] = side ? nextafter(middle, side * 1e300) : middle;
        }
        cast(r, t, y, WEFT_F64, finite - 1);
        for (int i = 0; i < finite - 1; i++)
            must(r[i] == i + (side ? side > 0 : i % 2));
    }
    free(h), free(r), free(x), free(y);
}
END_TEST

START_TEST(casts_at_the_edges)
{
    const double x[] = {NAN, 1e30, -1e30, -2.9, 0x1p63};
    const int64_t large = INT64_C(0x7FFFFFFFFFFFFFFF),
                  tie = (INT64_C(1) << 62) + (INT64_C(1) << 38) + 1;
    int32_t i;
    int64_t l;
    uint8_t u;
    float f;
    cast1(&i, WEFT_I32, &x[0], WEFT_F64);
    ck_assert_int_eq(i, 0);
    cast1(&i, WEFT_I32, &x[1], WEFT_F64);
    ck_assert_int_eq(i, INT32_MAX);
    cast1(&i, WEFT_I32, &x[2], WEFT_F64);
    ck_assert_int_eq(i, INT32_MIN);
    cast1(&i, WEFT_I32, &x[3], WEFT_F64);
    ck_assert_int_eq(i, -2);
    cast1(&u, WEFT_U8, &x[3], WEFT_F64);
    ck_assert_int_eq(u, 0);
    cast1(&l, WEFT_I64, &x[4], WEFT_F64);
    ck_assert(l == INT64_MAX);
    cast1(&l, WEFT_I64, &x[2], WEFT_F64);
    ck_assert(l == INT64_MIN);
    cast1(&l, WEFT_I64, &large, WEFT_I64);
    ck_assert(l == large);
    cast1(&i, WEFT_I32, &large, WEFT_I64);
    ck_assert_int_eq(i, -1);
    cast1(&f, WEFT_F32, &tie, WEFT_I64);
    ck_assert(f == (float)tie);
}
END_TEST

/* By way of a format between them would be two roundings. */
START_TEST(integers_are_rounded_once)
{
    enum { SHIFTS = 40, ODD = 1024, N = SHIFTS * ODD * 3 };
    int64_t *x = device_calloc(N, sizeof *x);
    uint16_t *y = device_calloc(N, sizeof *y);
    float *f = device_calloc(N, sizeof *f);
    for (int i = 0; i < N; i++)
        x[i] =
            (((INT64_C(2049) + 2 * (i / 3 % ODD)) << (i / 3 / ODD)) + i % 3 - 1) * (i % 2 * 2 - 1);
    for (int k = 0; k < 2; k++) {
        cast(y, k ? WEFT_BF16 : WEFT_F16, x, WEFT_I64, N);
        for (int i = 0; i < N; i++)
            must(y[i] == (k ? half_to_bf16((double)x[i]) : half_to_f16((double)x[i])));
    }
    cast(f, WEFT_F32, x, WEFT_I64, N);
    for (int i = 0; i < N; i++)
        must(f[i] == (float)x[i]);
    x[0] = (INT64_C(257) << 54) + 1; /* does not fit f64 either */
    cast1(y, WEFT_BF16, x, WEFT_I64);
    ck_assert_uint_eq(y[0], 0x5E81);
    free(x), free(y), free(f);
}
END_TEST

START_TEST(sum_strided)
{
    /* view.a is x; what is summed is chosen by mask */
    const struct view *v = &view[_i / 2];
    const weft_dtype dt = real[_i % 2];
    for (int mask = 0; mask < 1 << v->rank; mask++) {
        int64_t ys[3], n = 1;
        for (int d = v->rank - 1; d >= 0; d--) {
            ys[d] = mask >> d & 1 ? 0 : n;
            n *= mask >> d & 1 ? 1 : v->shape[d];
        }
        array x = some(dt, ROOM, 9), r[THREADS];
        double *want = weft__new((size_t)n, sizeof *want);
        ON_ALL CALL(t, sum, dev(r[t] = none(dt, n)), dt, ys, 0.5, dev(x), v->a, v->rank, v->shape,
                    dt);
        agree(r);
        for (int64_t i = 0; i < count(v); i++)
            want[offset(v, ys, i)] += 0.5 * get(x, offset(v, v->a, i));
        for (int64_t i = 0; i < n; i++)
            near(r[0], i, want[i], dt == WEFT_F64 ? 3000 : 1);
        weft__free(x.p), weft__free(want), weft__free(r[0].p);
    }
}
END_TEST

static const int64_t row_shape[][2] = {{0, 3}, {1, 1}, {5, 10}, {3, 1003}, {2001, 17}, {63, 999}};
#define ROWS 6

START_TEST(softmax_rows)
{
    const weft_dtype dt = real[_i / ROWS];
    const int64_t rows = row_shape[_i % ROWS][0], c = row_shape[_i % ROWS][1], n = rows * c;
    array x = some(dt, n, 10), g = some(dt, n, 11), y[THREADS], gx[THREADS];
    for (int64_t i = 0; i < n; i++)
        set(x, i, get(x, i) * 50 + (i / c % 2 ? 1e4 : 0)); /* exp would overflow */
    ON_ALL
    {
        CALL(t, softmax, dev(y[t] = none(dt, n)), dev(x), rows, c, dt);
        CALL(t, softmax_back, dev(gx[t] = none(dt, n)), dev(y[t]), dev(g), rows, c, dt);
    }
    agree(gx), agree(y);
    for (int64_t r = 0; r < rows; r++) {
        double max = -INFINITY, sum = 0, dot = 0;
        for (int64_t i = r * c; i < (r + 1) * c; i++)
            max = fmax(max, get(x, i));
        for (int64_t i = r * c; i < (r + 1) * c; i++)
            sum += exp(get(x, i) - max);
        for (int64_t i = r * c; i < (r + 1) * c; i++)
            dot += get(y[0], i) * get(g, i);
        for (int64_t i = r * c; i < (r + 1) * c; i++) {
            near(y[0], i, exp(get(x, i) - max) / sum, 4);
            near(gx[0], i, (get(g, i) - dot) * get(y[0], i), 4);
        }
    }
    weft__free(x.p), weft__free(g.p), weft__free(y[0].p), weft__free(gx[0].p);
}
END_TEST

START_TEST(softmax_specials)
{
    float x[2][3] = {{1, NAN, 2}, {1, -INFINITY, 1}}, y[2][3];
    CALL(0, softmax, (weft_dev){(uintptr_t)y}, (weft_dev){(uintptr_t)x}, 2, 3, WEFT_F32);
    ck_assert(isnan(y[0][0]) && isnan(y[0][1]) && isnan(y[0][2]));
    ck_assert(y[1][0] == 0.5f && y[1][1] == 0 && y[1][2] == 0.5f);
}
END_TEST

START_TEST(cross_entropy)
{
    const weft_dtype dt = real[_i / ROWS], label_type[] = {WEFT_U8, WEFT_I32, WEFT_I64};
    const int64_t rows = row_shape[_i % ROWS][0], c = row_shape[_i % ROWS][1], n = rows * c;
    for (int k = 0; k < 3; k++) {
        const weft_dtype lt = label_type[k];
        array x = some(dt, n, 12), l = labels(lt, rows, c < 256 ? c : 256), g = some(dt, 1, 13);
        array loss[THREADS], p[THREADS], gx[THREADS], hits[THREADS];
        int64_t flag[2] = {0, 0}, want = 0;
        ON_ALL
        {
            CALL(t, xent, dev(loss[t] = none(dt, rows)), dev(p[t] = none(dt, n)),
                 (weft_dev){(uintptr_t)flag}, dev(x), dev(l), lt, rows, c, NULL, dt);
            CALL(t, xent_back, dev(gx[t] = none(dt, n)), dev(g), 0.25, dev(p[t]), dev(l), lt, rows,
                 c, NULL, dt);
            CALL(t, correct, dev(hits[t] = none(WEFT_F64, 1)), dev(x), dev(l), lt, rows, c, dt);
        }
        agree(loss), agree(p), agree(gx), agree(hits);
        ck_assert_int_eq(flag[0], 0);
        for (int64_t r = 0; r < rows; r++) {
            double sum = 0;
            int64_t best = 0, label = (int64_t)get(l, r);
            for (int64_t j = 0; j < c; j++) {
                sum += exp(get(x, r * c + j));
                best = get(x, r * c + j) > get(x, r * c + best) ? j : best;
            }
            want += best == label;
            near(loss[0], r, log(sum) - get(x, r * c + label), 4);
            for (int64_t j = 0; j < c; j++) {
                double q = exp(get(x, r * c + j)) / sum;
                near(p[0], r * c + j, q, 4);
                near(gx[0], r * c + j, 0.25 * get(g, 0) * (q - (j == label)), 4);
            }
        }
        ck_assert(get(hits[0], 0) == (double)want);
        weft__free(x.p), weft__free(l.p), weft__free(g.p), weft__free(loss[0].p);
        weft__free(p[0].p), weft__free(gx[0].p), weft__free(hits[0].p);
    }
}
END_TEST

START_TEST(bad_labels)
{
    const weft_dtype dt = real[_i];
    enum { R = 9000, C = 10 };
    array x = some(dt, R * C, 14), l = labels(WEFT_I64, R, C), g = some(dt, 1, 15);
    array loss[THREADS], p[THREADS], gx[THREADS];
    set(l, 4321, C), set(l, 8000, -3);
    ON_ALL
    {
        int64_t flag[2] = {0, 0};
        CALL(t, xent, dev(loss[t] = none(dt, R)), dev(p[t] = none(dt, R * C)),
             (weft_dev){(uintptr_t)flag}, dev(x), dev(l), WEFT_I64, R, C, NULL, dt);
        ck_assert_int_eq(flag[0], 4322);
        ck_assert_int_eq(flag[1], C);
        CALL(t, xent, dev(loss[t]), dev(p[t]), (weft_dev){(uintptr_t)flag},
             (weft_dev){dev(x).addr + 8000 * C * weft_dtype_size(dt)},
             (weft_dev){dev(l).addr + 8000 * 8}, WEFT_I64, 1, C, NULL, dt);
        ck_assert_int_eq(flag[0], 4322); /* the first one stays */
        CALL(t, xent, dev(loss[t]), dev(p[t]), (weft_dev){(uintptr_t)flag}, dev(x), dev(l),
             WEFT_I64, R, C, NULL, dt);
        CALL(t, xent_back, dev(gx[t] = none(dt, R * C)), dev(g), 1, dev(p[t]), dev(l), WEFT_I64, R,
             C, NULL, dt);
    }
    for (int64_t r = 0; r < R; r++) {
        const int bad = r == 4321 || r == 8000;
        must((isnan(get(loss[1], r)) != 0) == bad);
        for (int64_t j = 0; j < C; j++) {
            must(isfinite(get(p[1], r * C + j)));
            must((isnan(get(gx[1], r * C + j)) != 0) == bad);
        }
    }
    ON_ALL weft__free(loss[t].p), weft__free(p[t].p), weft__free(gx[t].p);
    weft__free(x.p), weft__free(l.p), weft__free(g.p);
}
END_TEST

START_TEST(argmax_is_the_first)
{
    const float x[] = {1, 3, 3, 0};
    const uint8_t first = 1, second = 2;
    double y = -1;
    CALL(0, correct, (weft_dev){(uintptr_t)&y}, (weft_dev){(uintptr_t)x},
         (weft_dev){(uintptr_t)&first}, WEFT_U8, 1, 4, WEFT_F32);
    ck_assert(y == 1);
    CALL(0, correct, (weft_dev){(uintptr_t)&y}, (weft_dev){(uintptr_t)x},
         (weft_dev){(uintptr_t)&second}, WEFT_U8, 1, 4, WEFT_F32);
    ck_assert(y == 0);
}
END_TEST

static const int64_t gemm_shape[][3] = {
    {0, 3, 2},      {3, 0, 2},     {4, 5, 0},     {1, 1, 1},     {2, 3, 5},
    {1, 259, 130},  {129, 1, 301}, {101, 34, 17}, {64, 10, 784}, {30, 290, 1600},
    {515, 34, 301}, {29, 65, 400}, {2, 140, 17},  {21, 33, 803}, {7, 50, 90}};
#define GEMMS ((int)(sizeof gemm_shape / sizeof gemm_shape[0]))

/* BLIS's threads wait for each other without giving up their cores: a team larger than the machine
 * would wait for time slices, so t threads are used only where there are so many cores. */
static int gemm_on(int t)
{
    return t < sysconf(_SC_NPROCESSORS_ONLN) ? t : 0;
}

START_TEST(gemm_all_forms)
{
    const int64_t m = gemm_shape[_i / 2][0], n = gemm_shape[_i / 2][1], k = gemm_shape[_i / 2][2];
    const weft_dtype dt = real[_i % 2];
    for (int form = 0; form < 12; form++) {
        const int ta = form & 1, tb = form >> 1 & 1;
        const double alpha = form < 4 ? 1 : 0.5, beta = form < 4 ? 0 : form < 8 ? 1 : -2;
        const int64_t lda = (ta ? m : k) + 3, ldb = (tb ? k : n) + 2, ldc = n + 1;
        array a = some(dt, (ta ? k : m) * lda, 16), b = some(dt, (tb ? n : k) * ldb, 17),
              r[THREADS];
        array c = some(dt, m * ldc, 18);
        for (int64_t i = 0; beta == 0 && i < m; i++)
            for (int64_t j = 0; j < n; j++)
                set(c, i * ldc + j, NAN);
        ON_ALL CALL(gemm_on(t), gemm, dev(r[t] = same(c)), c.t, ldc, alpha, dev(a), lda, ta, dev(b),
                    ldb, tb, beta, m, n, k, dt);
        agree(r);
        for (int64_t i = 0; i < m; i++) {
            for (int64_t j = 0; j < n; j++) {
                double dot = 0;
                for (int64_t e = 0; e < k; e++)
                    dot += get(a, ta ? e * lda + i : i * lda + e) *
                           get(b, tb ? j * ldb + e : e * ldb + j);
                near(r[0], i * ldc + j, alpha * dot + (beta ? beta * get(c, i * ldc + j) : 0),
                     8 + (double)k);
            }
            near(r[0], i * ldc + n, get(c, i * ldc + n), 0); /* what lies between the rows */
        }
        weft__free(a.p), weft__free(b.p), weft__free(c.p), weft__free(r[0].p);
    }
}
END_TEST

/* TF32 keeps 10 bits of what is multiplied, where a device has it; without leave nothing is rounded, also
 * behind such products of the same shape. */
START_TEST(gemm_may_round_to_tf32)
{
    const int64_t n = 256;
    const array a = some(WEFT_F32, n * n, 21), b = some(WEFT_F32, n * n, 22);
    for (int i = 0; i < 3; i++) {
        const bool leave = i == 1;
        array c = none(WEFT_F32, n * n);
        device[0]->tf32 = leave;
        CALL(0, gemm, dev(c), WEFT_F32, n, 1, dev(a), n, 0, dev(b), n, 1, 0, n, n, n, WEFT_F32);
        device[0]->tf32 = false;
        double worst = 0;
        for (int64_t e = 0; e < n * n; e++) {
            double dot = 0, most = 0;
            for (int64_t k = 0; k < n; k++) {
                const double p = get(a, e / n * n + k) * get(b, e % n * n + k);
                dot += p;
                most += fabs(p);
            }
            worst = fmax(worst, fabs(get(c, e) - dot) / most);
        }
        printf("# tf32 %s: off by 2^%.1f of the sum of sizes\n", leave ? "allowed" : "refused",
               log2(worst));
        ck_assert_msg(worst < (leave ? 0x1p-10 : 0x1p-19), "off by %g", worst);
        weft__free(c.p);
    }
    weft__free(a.p), weft__free(b.p);
}
END_TEST

static void *multiply(void *arg)
{
    enum { N = 200 };
    array a = some(WEFT_F32, N * N, 19), *c = arg;
    CALL(gemm_on(1), gemm, dev(*c), WEFT_F32, N, 1, dev(a), N, 0, dev(a), N, 1, 0, N, N, N,
         WEFT_F32);
    weft__free(a.p);
    return NULL;
}

START_TEST(gemm_from_other_threads)
{
    pthread_t id[2];
    array c[5];
    for (int i = 0; i < 5; i++)
        c[i] = none(WEFT_F32, 200 * 200);
    multiply(&c[0]);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&id[i], NULL, multiply, &c[1 + i]), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(id[i], NULL);
#pragma omp parallel for num_threads(2)
    for (int i = 3; i < 5; i++)
        multiply(&c[i]);
    for (int i = 1; i < 5; i++) {
        ck_assert(!memcmp(c[0].p, c[i].p, 200 * 200 * 4));
        weft__free(c[i].p);
    }
    weft__free(c[0].p);
}
END_TEST

START_TEST(philox_known_answers)
{
    static const uint32_t in[3][6] = {
        {0},
        {~0u, ~0u, ~0u, ~0u, ~0u, ~0u},
        {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0}};
    static const uint32_t want[3][4] = {{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
                                        {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd},
                                        {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}};
    for (int i = 0; i < 3; i++) {
        uint32_t out[4];
        weft__philox(in[i], in[i] + 4, out);
        ck_assert(!memcmp(out, want[i], sizeof out));
    }
}
END_TEST

START_TEST(uniform_numbers)
{
    const weft_dtype dt = CASE_T;
    const int64_t n = CASE_N;
    for (int64_t first = 0; first < 6; first += 5) {
        array r[THREADS];
        double sum = 0;
        ON_ALL CALL(t, uniform, dev(r[t] = none(dt, n)), 42, 7, 3, first, n, -1, 3, dt);
        agree(r);
        for (int64_t i = 0; i < n; i++) {
            uint64_t e = (uint64_t)(first + i);
            double u = dt == WEFT_F32 ? (double)weft__uniform_f32(42, 7, 3, e)
                                      : weft__uniform_f64(42, 7, 3, e);
            near(r[0], i, -1 + 4 * u, 0);
            sum += get(r[0], i);
        }
        ck_assert(n < 1000 || fabs(sum / (double)n - 1) < 5 * 4 / sqrt(12.0 * (double)n));
        weft__free(r[0].p);
    }
}
END_TEST

/* Whatever the threads and the set of vectors. The tails' logarithms are another library's on a GPU. */
START_TEST(normal_numbers)
{
    const weft_dtype dt = CASE_T;
    const int64_t n = CASE_N;
    const weft_normal_terms o[] = {{1, 3, 0, 1}, {0, 0.5, 0.25, 0.75}};
    for (int k = 0; k < 2; k++) {
        array r[THREADS];
        ON_ALL
        {
            device[t]->vectors = t + 1;
            CALL(t, normal, dev(r[t] = none(dt, n)), 42, 7, n, &o[k], dt);
            device[t]->vectors = 0;
        }
        agree(r);
        for (int64_t i = 0; i < n; i++) {
            const double u = weft__uniform_f64(42, 7, 0, (uint64_t)i);
            const double q = o[k].lo + (o[k].hi - o[k].lo) * u;
            near(r[0], i, (double)(o[k].mean + o[k].std * cpu_quantile(q)),
                 dt == WEFT_F32 || device_is("cuda") ? 4 : 0);
        }
        weft__free(r[0].p);
    }
}
END_TEST

START_TEST(dropped_numbers)
{
    const weft_dtype dt = CASE_T;
    const int64_t inner = 1 + CASE_N / 6;
    const double p[] = {0.25, 1e-12, 1 - 1e-12};
    array x = some(dt, 6 * inner, 5);
    for (int k = 0; k < 3; k++) {
        const weft_dropout_terms o = {.seed = 42,
                                      .stream = 7,
                                      .step = (uint64_t)3 << 40,
                                      .base = 5,
                                      .outer = 2,
                                      .rows = 3,
                                      .inner = inner,
                                      .p = p[k]};
        array r[THREADS];
        ON_ALL
        {
            device[t]->vectors = t + 1;
            CALL(t, dropout, dev(r[t] = none(dt, x.n)), dev(x), &o, dt);
            device[t]->vectors = 0;
        }
        agree(r);
        for (int64_t i = 0; i < x.n;
             i++) { /* rows are side by side, the draw is by rows of all ranks */
            const int64_t outer = i / inner / 3, row = 5 + i / inner % 3;
            const uint64_t e = (uint64_t)((row * 2 + outer) * inner + i % inner);
            uint32_t w[4];
            weft__draw(42, 7, o.step, e / 4, w);
            const bool drops = w[e % 4] < (uint64_t)(p[k] * 0x1p32 + 0.5);
            near(r[0], i, drops ? 0 : get(x, i) / (1 - p[k]), 1);
        }
        weft__free(r[0].p);
    }
    weft__free(x.p);
}
END_TEST

/* Every set's words are those of blocks one by one, and what lies behind their room stays. */
START_TEST(words_in_bulk)
{
    enum { N = 300 };
    static const uint64_t first[] = {0, 1, 2, 3, 4 * 0xFFFFFFF8u + 3, ~(uint64_t)0 - 1000};
    const weft__words_set *set = &weft__words_sets[_i];
    uint32_t key[2], room[WORDS_ROOM(N) + 1], want[4];
    if (!set->usable())
        return;
    weft__draw_key(42, 7, key);
    for (int k = 0; k < 6; k++)
        for (int64_t n = 16; n <= WORDS_ROOM(N) / 4; n += 16) {
            room[4 * n] = 123;
            set->blocks(room, key, (uint64_t)3 << 40 | 9, first[k], n);
            for (int64_t i = 0; i < n; i++) {
                weft__draw(42, 7, (uint64_t)3 << 40 | 9, first[k] + (uint64_t)i, want);
                must(!memcmp(room + 4 * i, want, sizeof want));
            }
            must(room[4 * n] == 123);
        }
    for (int k = 0; k < 6; k++)
        for (int64_t n = 0; n <= N; n++) {
            room[WORDS_ROOM(n)] = 123;
            const uint32_t *w = weft__cpu_words(room, 42, 7, 9, first[k], n);
            for (int64_t i = 0; i < n; i++) {
                const uint64_t e = first[k] + (uint64_t)i;
                weft__draw(42, 7, 9, e / 4, want);
                must(w[i] == want[e % 4]);
            }
            must(room[WORDS_ROOM(n)] == 123);
        }
}
END_TEST

static double attribute(hid_t g, const char *name)
{
    double v = 0;
    hid_t a = H5Aopen(g, name, H5P_DEFAULT);
    ck_assert_int_ge(a, 0);
    H5Aread(a, H5T_NATIVE_DOUBLE, &v);
    H5Aclose(a);
    return v;
}

static void values(hid_t g, const char *name, array a)
{
    hid_t d = H5Dopen2(g, name, H5P_DEFAULT);
    ck_assert_int_ge(d, 0);
    ck_assert_int_ge(H5Dread(d, a.t == WEFT_F32 ? H5T_NATIVE_FLOAT : H5T_NATIVE_DOUBLE, H5S_ALL,
                             H5S_ALL, H5P_DEFAULT, a.p),
                     0);
    H5Dclose(d);
}

static void optimizer_step(hid_t g, array p, array m, array v, weft_dev grad, int t, weft_dtype dt)
{
    if (attribute(g, "kind") == 0) {
        const weft_sgd_step o = {.lr = attribute(g, "lr"),
                                 .momentum = attribute(g, "momentum"),
                                 .weight_decay = attribute(g, "weight_decay"),
                                 .nesterov = (int)attribute(g, "nesterov"),
                                 .first = t == 1};
        CALL(0, sgd, dev(p), dev(v), grad, (weft_dev){0}, (weft_dev){0}, ((int64_t[]){0, p.n}), 1,
             &o, dt);
    } else {
        const double b1 = attribute(g, "beta1"), b2 = attribute(g, "beta2");
        const weft_adam_step o = {.lr = attribute(g, "lr"),
                                  .beta1 = b1,
                                  .beta2 = b2,
                                  .eps = attribute(g, "eps"),
                                  .weight_decay = attribute(g, "weight_decay"),
                                  .correct1 = 1 - pow(b1, t),
                                  .correct2 = 1 - pow(b2, t)};
        CALL(0, adam, dev(p), dev(m), dev(v), (weft_dev){0}, grad, (weft_dev){0}, (weft_dev){0},
             ((int64_t[]){0, p.n}), 1, &o, dt);
    }
}

/* The parameters after each of 100 steps are PyTorch's: 1e-14 in f64, a few roundings in f32. */
START_TEST(optimizers_as_pytorch)
{
    static const char *const name[] = {"sgd",  "sgd_momentum", "sgd_momentum_wd", "sgd_nesterov",
                                       "adam", "adam_wd",      "adam_betas"};
    enum { N = 37, STEPS = 100 };
    const weft_dtype dt = real[_i % 2];
    const char *dir = getenv("srcdir");
    char path[1024], group[64];
    snprintf(path, sizeof path, "%s/golden/optim.h5", dir ? dir : ".");
    snprintf(group, sizeof group, "%s_%s", name[_i / 2], weft_dtype_name(dt));
    hid_t f = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT), g = H5Gopen2(f, group, H5P_DEFAULT);
    ck_assert_int_ge(g, 0);
    array p = none(dt, N), m = none(dt, N), v = none(dt, N), grads = none(dt, STEPS * N);
    array want = none(dt, STEPS * N);
    double worst = 0;
    values(g, "p0", p), values(g, "grads", grads), values(g, "p", want);
    for (int t = 1; t <= STEPS; t++) {
        const int64_t at = (t - 1) * N;
        optimizer_step(g, p, m, v, (weft_dev){dev(grads).addr + (size_t)at * weft_dtype_size(dt)},
                       t, dt);
        for (int64_t i = 0; i < N; i++)
            worst =
                fmax(worst, fabs(get(p, i) - get(want, at + i)) / (fabs(get(want, at + i)) + 1e-3));
    }
    ck_assert_msg(worst <= (dt == WEFT_F64 ? 1e-14 : 1e-6), "%s: %g", group, worst);
    weft__free(p.p), weft__free(m.p), weft__free(v.p), weft__free(grads.p), weft__free(want.p);
    H5Gclose(g), H5Fclose(f);
}
END_TEST

START_TEST(optimizers_on_threads)
{
    const weft_dtype dt = CASE_T;
    const int64_t n = CASE_N;
    const weft_sgd_step sgd = {.lr = 0.1,
                               .momentum = 0.9,
                               .weight_decay = 0.01,
                               .nesterov = 1,
                               .first = 1,
                               .dampening = 0.5};
    const weft_adam_step adam = {.lr = 1e-3,
                                 .beta1 = 0.9,
                                 .beta2 = 0.999,
                                 .eps = 1e-8,
                                 .weight_decay = 0.01,
                                 .correct1 = 0.1,
                                 .correct2 = 0.001,
                                 .decoupled = _i % 2};
    const weft_rmsprop_step rms = {
        .lr = 0.1, .alpha = 0.9, .eps = 1e-8, .weight_decay = 0.01, .momentum = 0.5};
    const weft_adagrad_step ada = {.lr = 0.1, .eps = 1e-8, .weight_decay = 0.01};
    weft_sgd_step next = sgd, plain = sgd;
    weft_adam_step bare = adam;
    weft_rmsprop_step still = rms;
    array g = some(dt, n, 20), p[THREADS], m[THREADS], v[THREADS], top[THREADS];
    const weft_dev no = {0};
    next.first = 0;
    plain.momentum = still.momentum = 0;
    bare.beta1 = bare.beta2 = bare.weight_decay = 0;
    bare.correct1 = bare.correct2 = 1;
    ON_ALL
    {
        p[t] = some(dt, n, 21), m[t] = none(dt, n), v[t] = none(dt, n), top[t] = none(dt, n);
        CALL(t, sgd, dev(p[t]), dev(m[t]), dev(g), (weft_dev){0}, (weft_dev){0},
             ((int64_t[]){0, n}), 1, &sgd, dt);
        CALL(t, sgd, dev(p[t]), dev(m[t]), dev(g), (weft_dev){0}, (weft_dev){0},
             ((int64_t[]){0, n}), 1, &next, dt);
        CALL(t, sgd, dev(p[t]), no, dev(g), (weft_dev){0}, (weft_dev){0}, ((int64_t[]){0, n}), 1,
             &plain, dt);
        CALL(t, rmsprop, dev(p[t]), dev(v[t]), dev(m[t]), dev(top[t]), dev(g), (weft_dev){0},
             (weft_dev){0}, ((int64_t[]){0, n}), 1, &rms, dt);
        CALL(t, rmsprop, dev(p[t]), dev(v[t]), no, dev(top[t]), dev(g), (weft_dev){0},
             (weft_dev){0}, ((int64_t[]){0, n}), 1, &still, dt);
        CALL(t, rmsprop, dev(p[t]), dev(v[t]), dev(m[t]), no, dev(g), (weft_dev){0}, (weft_dev){0},
             ((int64_t[]){0, n}), 1, &rms, dt);
        CALL(t, rmsprop, dev(p[t]), dev(v[t]), no, no, dev(g), (weft_dev){0}, (weft_dev){0},
             ((int64_t[]){0, n}), 1, &still, dt);
        CALL(t, adagrad, dev(p[t]), dev(v[t]), dev(g), (weft_dev){0}, (weft_dev){0},
             ((int64_t[]){0, n}), 1, &ada, dt);
        CALL(t, adam, dev(p[t]), dev(m[t]), dev(v[t]), dev(top[t]), dev(g), (weft_dev){0},
             (weft_dev){0}, ((int64_t[]){0, n}), 1, &adam, dt);
        CALL(t, adam, dev(p[t]), dev(m[t]), dev(v[t]), no, dev(g), (weft_dev){0}, (weft_dev){0},
             ((int64_t[]){0, n}), 1, &bare, dt);
    }
    agree(p), agree(m), agree(v), agree(top);
    for (int64_t i = 0; i < n; i++)
        near(m[0], i, get(g, i), 0); /* beta1 = 0 keeps the gradient itself */
    weft__free(g.p), weft__free(p[0].p), weft__free(m[0].p), weft__free(v[0].p);
    weft__free(top[0].p);
}
END_TEST

static void reduce(int t, double *y, double power, array x, array z)
{
    if (power == 2)
        CALL(t, dot, ((weft_dev){(uintptr_t)y}), dev(x), dev(z), x.n, x.t);
    else
        CALL(t, norm, ((weft_dev){(uintptr_t)y}), dev(x), ((int64_t[]){0, x.n}), 1, power, x.t);
}

/* Against sums in long double; the same bits on any number of threads; what is not finite stays. */
START_TEST(dot_products_and_norms)
{
    const weft_dtype dt = CASE_T;
    const int64_t n = CASE_N;
    static const double power[] = {2, 1, INFINITY, 3, 2.5}; /* 2: the dot product */
    array x = some(dt, n, 22), z = some(dt, n, 23);
    for (int k = 0; k < 5; k++) {
        double got[THREADS] = {0}, odd = 0;
        long double want = 0, size = 0;
        ON_ALL reduce(t, &got[t], power[k], x, z);
        for (int64_t i = 0; i < n; i++) {
            long double v = k == 0 ? (long double)get(x, i) * get(z, i) : fabsl(get(x, i));
            v = k > 2 ? powl(v, power[k]) : v;
            size += fabsl(v);
            want = k == 2 ? fmaxl(want, v) : want + v;
        }
        for (int t = 1; t < THREADS; t++)
            ck_assert(memcmp(&got[t], &got[0], sizeof *got) == 0);
        const long double tol = k == 4 && dt != WEFT_F64 ? 1e-10L : 1e-13L;
        ck_assert_msg(fabsl(got[0] - want) <= tol * size, "%g, not %Lg", got[0], want);
        if (n < 3)
            continue;
        double was = get(x, 2);
        set(x, 2, NAN);
        reduce(0, &odd, power[k], x, z);
        ck_assert(isnan(odd));
        set(x, 2, was);
    }
    weft__free(x.p), weft__free(z.p);
}
END_TEST

#if defined(__x86_64__) || defined(__aarch64__)
/* Moments without a gradient end as zero, not as subnormal numbers; the caller's arithmetic keeps
 * those. */
START_TEST(moments_run_dry)
{
    const weft_dtype dt = real[_i];
    const double least = dt == WEFT_F32 ? FLT_MIN : DBL_MIN;
    const weft_sgd_step sgd = {.lr = 0.1, .momentum = 0.5};
    const weft_adam_step adam = {
        .lr = 1e-3, .beta1 = 0.5, .beta2 = 0.5, .eps = 1e-8, .correct1 = 1, .correct2 = 1};
    const weft_rmsprop_step rmsprop = {.lr = 1e-3, .alpha = 0.5, .eps = 1e-8};
    array p = some(dt, 3, 22), m = none(dt, 3), v = none(dt, 3), g = none(dt, 3), was = same(p);
    volatile double tiny = DBL_MIN;
    for (int64_t i = 0; i < 3; i++)
        set(m, i, least), set(v, i, least);
    CALL(0, sgd, dev(p), dev(v), dev(g), (weft_dev){0}, (weft_dev){0}, ((int64_t[]){0, 3}), 1, &sgd,
         dt);
    for (int64_t i = 0; i < 3; i++)
        ck_assert(get(v, i) == 0), set(v, i, least);
    CALL(0, adam, dev(p), dev(m), dev(v), (weft_dev){0}, dev(g), (weft_dev){0}, (weft_dev){0},
         ((int64_t[]){0, 3}), 1, &adam, dt);
    for (int64_t i = 0; i < 3; i++) {
        ck_assert(get(m, i) == 0 && get(v, i) == 0);
        near(p, i, get(was, i), 0);
        set(v, i, least);
    }
    CALL(0, rmsprop, dev(p), dev(v), (weft_dev){0}, (weft_dev){0}, dev(g), (weft_dev){0},
         (weft_dev){0}, ((int64_t[]){0, 3}), 1, &rmsprop, dt);
    for (int64_t i = 0; i < 3; i++)
        ck_assert(get(v, i) == 0);
    ck_assert(tiny / 2 > 0);
    weft__free(p.p), weft__free(m.p), weft__free(v.p), weft__free(g.p), weft__free(was.p);
}
END_TEST
#endif

START_TEST(memory_and_streams)
{
    const weft_device_ops *o = device[0]->ops;
    const double x[3] = {1, 2, 3};
    double y[3];
    weft_dev a, b, empty;
    ck_assert_int_eq(o->alloc(device[0], sizeof x, &a), WEFT_OK);
    ck_assert_int_eq(o->alloc(device[0], sizeof x, &b), WEFT_OK);
    ck_assert_int_eq(o->alloc(device[0], 0, &empty), WEFT_OK);
    ck_assert(a.addr % 64 == 0 && empty.addr != 0);
    ck_assert_int_eq(o->upload(stream[0], a, x, sizeof x), WEFT_OK);
    ck_assert_int_eq(o->move(stream[0], b, a, sizeof x), WEFT_OK);
    ck_assert_int_eq(o->zero(stream[0], a, 8), WEFT_OK);
    ck_assert_int_eq(o->sync(stream[0]), WEFT_OK);
    ck_assert_int_eq(o->download(stream[0], y, b, sizeof y), WEFT_OK);
    ck_assert(!memcmp(x, y, sizeof x));
    const double *zeroed = weft__device_host(device[0], a);
    ck_assert(!zeroed ||
              (*zeroed == 0 && weft__device_host(device[0], weft__at(a, 8)) == zeroed + 1));
    ck_assert_int_eq(o->download(stream[0], y, a, sizeof y), WEFT_OK);
    ck_assert(y[0] == 0 && y[1] == 2);
    o->free(device[0], a, sizeof x), o->free(device[0], b, sizeof x), o->free(device[0], empty, 0);
    ck_assert_int_eq(o->alloc(device[0], SIZE_MAX, &a), WEFT_ENOMEM);
}
END_TEST

/* What others own: kernels see it, and it lasts. */
START_TEST(imported_memory)
{
    double x[3] = {1, 2, 3}, y[3];
    weft_dev p, q;
    ck_assert_int_eq(weft__device_import(device[0], x, sizeof x, &p), WEFT_OK);
    ck_assert_int_eq(weft__device_import(device[0], x, sizeof x, &q), WEFT_OK);
    weft__device_unimport(device[0], q, sizeof x);
    ck_assert_int_eq(device[0]->ops->zero(stream[0], weft__at(p, 8), 8), WEFT_OK);
    ck_assert_int_eq(device[0]->ops->download(stream[0], y, p, sizeof y), WEFT_OK);
    weft__device_unimport(device[0], p, sizeof x);
    ck_assert(y[0] == 1 && y[1] == 0 && y[2] == 3 && x[1] == 0);
}
END_TEST

/* What "gpu" and "cuda" come to: a build without, a machine without, or a GPU that "auto" takes, too. */
START_TEST(names)
{
    static const char *const gpu[] = {"gpu", "cuda", "CUDA"}, *const absent[] = {"mps", "tpu"};
    weft_device *d = NULL;
    const char *name = "cpu";
    for (int i = 0; i < 3; i++) {
        const weft_status s = weft__device_open(&d, gpu[i], 0, 1);
        if (!s)
            name = d->ops->name;
        else
            ck_assert_ptr_nonnull(
                strstr(weft__why(), s == WEFT_EDEVICE ? "use accelerator=cpu" : "this build"));
        ck_assert(!s || s == WEFT_EDEVICE || s == WEFT_ENOTSUP);
        weft__device_close(d);
        d = NULL;
    }
    ck_assert_int_eq(weft__device_open(&d, "auto", 0, 1), WEFT_OK);
    ck_assert_str_eq(d->ops->name, name);
    weft__device_close(d);
    weft__device_close(NULL);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(weft__device_open(&d, absent[i], 0, 1), WEFT_ENOTSUP);
        ck_assert_ptr_nonnull(strstr(weft__why(), "this build"));
    }
    ck_assert_int_eq(weft__device_open(&d, "cpuu", 0, 1), WEFT_EARG);
    ck_assert_ptr_nonnull(strstr(weft__why(), "did you mean \"cpu\"?"));
    ck_assert_int_eq(weft__device_open(&d, "cpu", 0, 0), WEFT_EARG);
}
END_TEST

START_TEST(incomplete_tables)
{
    weft_device *d = NULL;
    weft_device_ops o = weft__cpu;
    o.move = NULL;
    ck_assert_int_eq(weft__device_open_ops(&d, &o, 0, 1), WEFT_EARG);
    ck_assert_ptr_nonnull(strstr(weft__why(), "required entry move"));
    o = weft__cpu;
    o.kernels = NULL;
    ck_assert_int_eq(weft__device_open_ops(&d, &o, 0, 1), WEFT_EARG);
    ck_assert_ptr_nonnull(strstr(weft__why(), "kernels"));
    o = weft__cpu;
    o.size = 8;
    ck_assert_int_eq(weft__device_open_ops(&d, &o, 0, 1), WEFT_EARG);
    o = weft__cpu;
    o.host = NULL, o.kernel_set = NULL; /* optional */
    ck_assert_int_eq(weft__device_open_ops(&d, &o, 0, 1), WEFT_OK);
    weft__device_close(d);
    o.import = NULL;
    ck_assert_int_eq(weft__device_open_ops(&d, &o, 0, 1), WEFT_EARG);
    ck_assert_ptr_nonnull(strstr(weft__why(), "one of import and unimport"));
    o.unimport = NULL;
    ck_assert_int_eq(weft__device_open_ops(&d, &o, 0, 1), WEFT_OK);
    ck_assert_ptr_null(weft__device_host(d, (weft_dev){8}));
    weft_dev p = {0};
    ck_assert_int_eq(weft__device_import(d, &o, 8, &p), WEFT_ENOTSUP);
    ck_assert(!p.addr);
    weft__device_unimport(d, p, 8);
    weft__device_close(d);
}
END_TEST

START_TEST(missing_kernels_are_named)
{
    int64_t flag = 0;
    ck_assert_int_eq(device_kernels.nonfinite(stream[0], (weft_dev){(uintptr_t)&flag},
                                              (weft_dev){0}, 0, WEFT_I32),
                     WEFT_ENOTSUP);
    ck_assert_ptr_nonnull(strstr(weft__why(), "has no kernel nonfinite for i32"));
    ck_assert_int_eq(device_kernels.gemm(stream[0], (weft_dev){0}, WEFT_F32, 1, 1, (weft_dev){0}, 1,
                                         0, (weft_dev){0}, 1, 0, 0, 1, 1, 1, WEFT_I32),
                     WEFT_ENOTSUP);
    for (size_t i = 0; i < sizeof(weft_kernels) / sizeof(void *); i++)
        ck_assert_ptr_nonnull(((void *const *)device[0]->ops->kernels)[i]);
}
END_TEST

/* This program's own output as a child under an environment: the kernel set, and the variable. */
static int child(const char *environment, char *text, int n)
{
    char self[1024], command[1400];
    ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);
    ck_assert_int_gt(len, 0);
    self[len] = '\0';
    snprintf(command, sizeof command, "env %s '%s' kernels 2>&1", environment, self);
    FILE *p = popen(command, "r");
    ck_assert_ptr_nonnull(p);
    if (!fgets(text, n, p))
        text[0] = '\0';
    return pclose(p);
}

START_TEST(kernel_set_is_chosen)
{
    char text[200];
    ck_assert_int_eq(child("-u BLIS_ARCH_TYPE", text, sizeof text), 0);
    ck_assert_msg(!strncmp(text, "BLIS ", 5) && strstr(text, "(unset)"), "%s", text);
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        ck_assert_msg(!strstr(text, "generic"), "%s", text);
    /* Intel's with this feature have two AVX-512 units, also where a hypervisor hides the brand. */
    if (__builtin_cpu_is("intel") && __builtin_cpu_supports("avx512bf16"))
        ck_assert_msg(!strstr(text, "haswell"), "%s", text);
#endif
}
END_TEST

START_TEST(kernel_set_of_the_user_is_kept)
{
    char text[200];
    ck_assert_int_eq(child("BLIS_ARCH_TYPE=generic", text, sizeof text), 0);
    ck_assert_msg(strstr(text, " generic") && strstr(text, "(generic)"), "%s", text);
    ck_assert_int_eq(child("BLIS_ARCH_TYPE=none-such", text, sizeof text) >> 8, 2);
    ck_assert_ptr_nonnull(strstr(text, "BLIS_ARCH_TYPE is \"none-such\""));
    ck_assert_int_eq(child("BLIS_ARCH_TYPE=1000", text, sizeof text) >> 8, 2);
}
END_TEST

static int report_kernels(void)
{
    weft_device *d;
    if (weft__device_open(&d, "cpu", 0, 1)) {
        puts(weft__why());
        return 2;
    }
    const char *now = getenv("BLIS_ARCH_TYPE");
    printf("%s (%s)\n", d->ops->kernel_set(d), now ? now : "unset");
    weft__device_close(d);
    return 0;
}

static Suite *suite(void)
{
    Suite *s = suite_create("device");
    TCase *c = tcase_create("device");
    tcase_add_unchecked_fixture(c, start, stop);
    tcase_set_timeout(c, 100);
    tcase_add_test(c, names);
    tcase_add_test(c, incomplete_tables);
    tcase_add_test(c, missing_kernels_are_named);
    tcase_add_test(c, kernel_set_is_chosen);
    tcase_add_test(c, kernel_set_of_the_user_is_kept);
    tcase_add_test(c, memory_and_streams);
    tcase_add_test(c, imported_memory);
    tcase_add_test(c, philox_known_answers);
    tcase_add_loop_test(c, uniform_numbers, 0, CASES);
    tcase_add_loop_test(c, normal_numbers, 0, CASES);
    tcase_add_loop_test(c, dropped_numbers, 0, CASES);
    tcase_add_loop_test(c, words_in_bulk, 0, WORDS_SETS);
    tcase_add_loop_test(c, elementwise, 0, CASES);
    tcase_add_loop_test(c, nonfinite, 0, CASES);
    tcase_add_loop_test(c, optimizers_on_threads, 0, CASES);
#if defined(__x86_64__) || defined(__aarch64__)
    tcase_add_loop_test(c, moments_run_dry, 0, 2);
#endif
    tcase_add_loop_test(c, optimizers_as_pytorch, 0, 14);
    tcase_add_loop_test(c, dot_products_and_norms, 0, CASES);
    tcase_add_loop_test(c, bias_and_relu, 0, TYPES);
    tcase_add_test(c, fill_all_types);
    tcase_add_loop_test(c, binary_strided, 0, VIEWS * 4);
    tcase_add_loop_test(c, copy_strided, 0, VIEWS * 5);
    tcase_add_test(c, half_values);
    tcase_add_loop_test(c, half_round_trip, 0, 2);
    tcase_add_test(c, casts_at_the_edges);
    tcase_add_test(c, integers_are_rounded_once);
    tcase_add_loop_test(c, sum_strided, 0, VIEWS * 2);
    tcase_add_loop_test(c, softmax_rows, 0, TYPES * ROWS);
    tcase_add_test(c, softmax_specials);
    tcase_add_loop_test(c, cross_entropy, 0, TYPES * ROWS);
    tcase_add_loop_test(c, bad_labels, 0, TYPES);
    tcase_add_test(c, argmax_is_the_first);
    tcase_add_loop_test(c, gemm_all_forms, 0, GEMMS * TYPES);
    tcase_add_test(c, gemm_may_round_to_tf32);
    tcase_add_test(c, gemm_from_other_threads);
    suite_add_tcase(s, c);
    return s;
}

int main(int argc, char **argv)
{
    if (argc > 1 && !strcmp(argv[1], "kernels"))
        return report_kernels();
    SRunner *r = srunner_create(suite());
    srunner_set_fork_status(r, CK_NOFORK);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
