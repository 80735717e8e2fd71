/* Functions of single numbers on the CPU with every set of vectors: units in the last place from the C library's
 * in long double, over all binades; zeros, infinities and NaN as C says; the same bits with AVX2 and AVX-512, and
 * wherever in an array an element lies. */
#include "core/rng.h"
#include "device/device.h"

#include <check.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SETS 3
static weft_device *d;
static weft_stream *s;

static void start(void)
{
    ck_assert_int_eq(weft__device_open(&d, "cpu", 0, 2), WEFT_OK);
    ck_assert_int_eq(d->ops->stream_new(d, &s), WEFT_OK);
}

static void stop(void)
{
    d->ops->stream_free(s);
    weft__device_close(d);
}

static weft_dev dev(const void *p)
{
    return (weft_dev){(uintptr_t)p};
}

static double get(const void *p, weft_dtype t, int64_t i)
{
    return t == WEFT_F32 ? (double)((const float *)p)[i] : ((const double *)p)[i];
}

/* Rounds to the type. */
static void set(void *p, weft_dtype t, int64_t i, double v)
{
    if (t == WEFT_F32)
        ((float *)p)[i] = (float)v;
    else
        ((double *)p)[i] = v;
}

/* In [0, 1) */
static double draw(uint64_t seed, int64_t i)
{
    return (double)weft__uniform_f32(seed, 0, 0, (uint64_t)i) +
           0x1p-24 * (double)weft__uniform_f32(seed, 1, 0, (uint64_t)i);
}

/* Bits; NaN has many. */
static bool same(weft_dtype t, const void *a, const void *b, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        const double u = get(a, t, i), v = get(b, t, i);
        if (memcmp(&u, &v, sizeof u) != 0 && !(isnan(u) && isnan(v)))
            return false;
    }
    return true;
}

/* How far y is from what it should be, in units of t's last place there. */
static double ulps(weft_dtype t, double y, long double want)
{
    const int least = t == WEFT_F32 ? FLT_MIN_EXP - 1 : DBL_MIN_EXP - 1;
    const int digits = t == WEFT_F32 ? FLT_MANT_DIG : DBL_MANT_DIG;
    const long double most = t == WEFT_F32 ? FLT_MAX : DBL_MAX;
    if (isnan(want) || isnan(y))
        return isnan(want) && isnan(y) ? 0 : INFINITY;
    if (isinf(y) || want == 0)
        return (isinf(y) ? (want < 0) == (y < 0) && fabsl(want) > most * (1 - 0x1p-20L)
                         : y == 0 && !signbit(y) == !signbit(want))
                   ? 0
                   : INFINITY;
    const int e = ilogbl(want) < least ? least : ilogbl(want);
    return (double)ldexpl(fabsl((long double)y - want), digits - 1 - e);
}

/* --- one argument, and an exponent for powers --- */

static long double power(long double x, long double p)
{
    return powl(x, p);
}
static long double ln(long double x, long double p)
{
    return (void)p, logl(x);
}
static long double sine(long double x, long double p)
{
    return (void)p, sinl(x);
}
static long double cosine(long double x, long double p)
{
    return (void)p, cosl(x);
}

static const struct function {
    weft_unary f;
    long double (*exact)(long double, long double);
    double p;
    int least, most; /* exponents of arguments; 0: all */
    bool positive;
    double ulps;
} row[] = {{WEFT_POWER, power, 0, 0, 0, false, 0},    {WEFT_POWER, power, 1, 0, 0, false, 0},
           {WEFT_POWER, power, 2, 0, 0, false, 0.5},  {WEFT_POWER, power, 3, -40, 40, false, 1.5},
           {WEFT_POWER, power, -1, 0, 0, false, 0.5}, {WEFT_POWER, power, -2, -60, 60, false, 1.5},
           {WEFT_POWER, power, 0.5, 0, 0, true, 0.5}, {WEFT_POWER, power, -0.5, 0, 0, true, 1.5},
           {WEFT_POWER, power, 2.5, 0, 0, false, 1},  {WEFT_POWER, power, -0.75, 0, 0, false, 1},
           {WEFT_POWER, power, 7, 0, 0, false, 1},    {WEFT_POWER, power, 100, -10, 10, false, 1},
           {WEFT_POWER, power, 1e7, -3, 2, true, 1},  {WEFT_LOG, ln, 0, 0, 0, false, 1},
           {WEFT_LOG, ln, 0, -2, 1, true, 1},         {WEFT_SIN, sine, 0, 0, 0, false, 1.75},
           {WEFT_SIN, sine, 0, -5, 22, false, 1.75},  {WEFT_COS, cosine, 0, 0, 0, false, 1.75},
           {WEFT_COS, cosine, 0, -5, 22, false, 1.75}};
#define ROWS ((int)(sizeof row / sizeof *row))

enum { EACH = 50, ODD = 6, MOST = 2 * EACH * 2200 + ODD };
/* Numbers of all binades or some, subnormal ones too, and of either sign; and those that are odd.
 * @return how many */
static int64_t numbers(weft_dtype t, int least, int most, bool positive, void *x)
{
    const double odd[ODD] = {0, INFINITY, NAN, -0.0, -INFINITY, -NAN};
    int64_t n = 0;
    const int lo = least ? least : t == WEFT_F32 ? -149 : -1074;
    const int hi = most ? most : t == WEFT_F32 ? 127 : 1023;
    const int each = EACH * (2200 / (hi - lo + 1));
    for (int e = lo; e <= hi; e++)
        for (int i = 0; i < each; i++, n++) {
            const double v = ldexp(i ? 1 + draw(7, n) : 1, e);
            set(x, t, n, positive || i % 2 ? v : -v);
        }
    for (int i = 0; i < ODD; i++)
        set(x, t, n++, positive && i >= 3 ? 1 : odd[i]);
    return n;
}

/* y = f(x) with a set of vectors. */
static void apply(const struct function *f, int vectors, weft_dtype t, void *y, const void *x,
                  int64_t n)
{
    d->vectors = vectors;
    ck_assert(!d->ops->kernels->unary(s, f->f, dev(y), dev(x), (double[]){f->p, 0}, n, t));
}

START_TEST(values_are_near_the_exact_ones)
{
    const struct function *f = &row[_i];
    for (weft_dtype t = WEFT_F32; t <= WEFT_F64; t++) {
        const size_t size = weft_dtype_size(t);
        void *x = calloc(MOST, 8), *y[SETS];
        const int64_t n = numbers(t, f->least, f->most, f->positive, x);
        for (int v = 0; v < SETS; v++) {
            double worst = 0, at = 0;
            y[v] = calloc(MOST, 8);
            apply(f, v + 1, t, y[v], x, n);
            for (int64_t i = 0; i < n; i++) {
                const double off = ulps(t, get(y[v], t, i), f->exact(get(x, t, i), f->p));
                at = off > worst ? get(x, t, i) : at;
                worst = off > worst ? off : worst;
            }
            ck_assert_msg(worst <= f->ulps,
                          "function %d, exponent %g, %s, vectors %d: %g ulps at %a", (int)f->f,
                          f->p, weft_dtype_name(t), v + 1, worst, at);
        }
        ck_assert(same(t, y[1], y[2], n));
        for (int64_t i = 0; i < n;
             i += 1 + i / 50) { /* alone; where it also lies on its argument */
            apply(f, 3, t, y[0], (char *)x + (size_t)i * size, 1);
            ck_assert(same(t, y[0], (char *)y[2] + (size_t)i * size, 1));
        }
        apply(f, 3, t, x, x, n);
        ck_assert(same(t, x, y[2], n));
        free(x), free(y[0]), free(y[1]), free(y[2]);
    }
}
END_TEST

/* Gradients of powers are products of a factor and the power below. */
START_TEST(gradients_of_powers_are_powers)
{
    static const double p[] = {0, 1, 2, 3, 4, -1, 0.5, 1.5, 2.5};
    enum { N = 3000 };
    for (weft_dtype t = WEFT_F32; t <= WEFT_F64; t++) {
        void *x = calloc(N, 8), *g = calloc(N, 8), *y = calloc(N, 8);
        for (int64_t i = 0; i < N; i++)
            set(x, t, i, 0.1 + draw(3, i)), set(g, t, i, draw(4, i) - 0.5);
        set(x, t, 1, 0), set(g, t, 2, INFINITY);
        for (size_t k = 0; k < sizeof p / sizeof *p; k++) {
            ck_assert(!d->ops->kernels->unary_back(s, WEFT_POWER, dev(y), dev(g), dev(x), dev(NULL),
                                                   (double[]){p[k], 0}, N, t));
            for (int64_t i = 0; i < N; i++) {
                const long double slope = p[k] == 0 ? 0 : p[k] * powl(get(x, t, i), p[k] - 1);
                const double got = get(y, t, i);
                if (p[k] == 0)
                    ck_assert(got == 0);
                else
                    ck_assert_msg(ulps(t, got, get(g, t, i) * slope) <= 3, "%g: [%d] %g", p[k],
                                  (int)i, got);
            }
        }
        free(x), free(g), free(y);
    }
}
END_TEST

/* --- powers of two arguments --- */

/* Ordinary pairs whose powers fill the range, and all pairs of odd numbers. */
START_TEST(powers_are_those_of_c)
{
    static const double odd[] = {0,
                                 0.5,
                                 1,
                                 1.5,
                                 2,
                                 3,
                                 4,
                                 1e30,
                                 0x1p23,
                                 NAN,
                                 INFINITY,
                                 1e-30,
                                 0x1.000002p23,
                                 0x1.fffffep23,
                                 0x1.0000000000001p52,
                                 0x1.8p53};
    enum { ODDS = 2 * (int)(sizeof odd / sizeof *odd), N = 100000, ALL = N + ODDS * ODDS };
    const weft_dtype t = _i ? WEFT_F64 : WEFT_F32;
    const int64_t n = ALL, one = 1;
    void *u = calloc(ALL, 8), *v = calloc(ALL, 8), *y[SETS];
    for (int64_t i = 0; i < N; i++) {
        set(u, t, i, exp2((draw(1, i) - 0.5) * (i % 2 ? 2 : 60)));
        set(v, t, i, (draw(2, i) - 0.5) * (t == WEFT_F32 ? 300 : 2200) / log2(get(u, t, i)));
    }
    for (int i = 0; i < ODDS * ODDS; i++) {
        set(u, t, N + i, i % 2 ? -odd[i / 2 % (ODDS / 2)] : odd[i / 2 % (ODDS / 2)]);
        set(v, t, N + i, i / ODDS % 2 ? -odd[i / ODDS / 2] : odd[i / ODDS / 2]);
    }
    for (int k = 0; k < SETS; k++) {
        y[k] = calloc(ALL, 8);
        d->vectors = k + 1;
        ck_assert(
            !d->ops->kernels->binary(s, WEFT_POW, dev(y[k]), dev(u), &one, dev(v), &one, 1, &n, t));
        for (int64_t i = 0; i < n; i++) {
            const double a = get(u, t, i), b = get(v, t, i);
            ck_assert_msg(ulps(t, get(y[k], t, i), powl(a, b)) <= 1, "%s, vectors %d: %a^%a is %a",
                          weft_dtype_name(t), k + 1, a, b, get(y[k], t, i));
        }
    }
    ck_assert(same(t, y[1], y[2], ALL));
    free(u), free(v), free(y[0]), free(y[1]), free(y[2]);
}
END_TEST

/* --- losses --- */

/* log(1 + exp(x)) and 1 / (1 + exp(-x)) */
static long double softplus(long double x)
{
    return log1pl(expl(-fabsl(x))) + (x > 0 ? x : 0);
}
static long double logistic(long double x)
{
    return 1 / (1 + expl(-x));
}

/* The loss or its slope by x, and in *size the sum of what it is the sum of. */
static long double loss(weft_loss_kind kind, bool slope, long double x, long double t,
                        long double w, long double *size)
{
    const long double log_t = t > 0 ? logl(t) : 0;
    long double a, b;
    if (kind == WEFT_LOSS_BCE)
        a = (1 - t) * (slope ? logistic(x) : softplus(x)),
        b = w * t * (slope ? -logistic(-x) : softplus(-x));
    else if (kind == WEFT_LOSS_KL)
        a = slope ? -t : t * log_t, b = slope ? 0 : -t * x;
    else
        a = slope ? -expl(t) : expl(t) * t, b = slope ? 0 : -expl(t) * x;
    *size = fabsl(a) + fabsl(b);
    return a + b;
}

/* By the largest of their terms; weights that end anywhere in a run. Steps of 10^-3 from -60 to 60, targets that
 * are 0 and 1, too. */
START_TEST(losses_are_near_the_exact_ones)
{
    enum { N = 120001, W = 7 };
    const weft_dtype t = _i % 2 ? WEFT_F64 : WEFT_F32;
    const weft_loss_kind kind = (weft_loss_kind)(WEFT_LOSS_BCE + _i / 2);
    const double eps = t == WEFT_F32 ? (double)FLT_EPSILON : DBL_EPSILON;
    void *x = calloc(N, 8), *target = calloc(N, 8), *y = calloc(N, 8), *w = calloc(W, 8),
         *one = calloc(1, 8);
    const weft_loss_terms o = {.kind = kind, .weight = dev(w), .c = W};
    for (int64_t i = 0; i < N; i++)
        set(x, t, i, (double)(i - N / 2) / 1000), set(target, t, i, i % 3 ? i % 3 - 1 : draw(5, i));
    for (int64_t i = 0; i < W; i++)
        set(w, t, i, 0.5 + draw(6, i));
    set(one, t, 0, 1);
    for (int form = 0; form < 2 * SETS; form++) {
        d->vectors = 1 + form / 2;
        if (form % 2)
            ck_assert(
                !d->ops->kernels->loss_back(s, dev(y), dev(one), 1, dev(x), dev(target), N, &o, t));
        else
            ck_assert(!d->ops->kernels->loss(s, dev(y), dev(x), dev(target), N, &o, t));
        for (int64_t i = 0; i < N; i++) {
            long double size, want = loss(kind, form % 2, get(x, t, i), get(target, t, i),
                                          get(w, t, i % W), &size);
            if (!(fabsl(get(y, t, i) - want) <= 5 * eps * size))
                ck_abort_msg("loss %d of %s, form %d, at %g: %g, not %Lg", (int)kind,
                             weft_dtype_name(t), form, get(x, t, i), get(y, t, i), want);
        }
    }
    free(x), free(target), free(y), free(w), free(one);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("functions of single numbers");
    TCase *t = tcase_create("functions");
    tcase_set_timeout(t, 120);
    tcase_add_checked_fixture(t, start, stop);
    suite_add_tcase(suite, t);
    tcase_add_loop_test(t, values_are_near_the_exact_ones, 0, ROWS);
    tcase_add_test(t, gradients_of_powers_are_powers);
    tcase_add_loop_test(t, powers_are_those_of_c, 0, 2);
    tcase_add_loop_test(t, losses_are_near_the_exact_ones, 0, 6);
    SRunner *r = srunner_create(suite);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
