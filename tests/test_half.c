/* The 16-bit formats: all their values in every set of instructions against what the formats say. */
#include "device/cpu/half.h"

#include <check.h>
#include <stdlib.h>

#define CODES 65536
#define must(c)                                                                                    \
    do {                                                                                           \
        if (!(c))                                                                                  \
            ck_abort_msg("%s: %s at %u", set->name, #c, (unsigned)i);                              \
    } while (0)

static const weft__half_set *set;
static int mantissa, bias; /* of the format that is tested */

static void choose(int i)
{
    mantissa = i % 2 ? 7 : 10;
    bias = i % 2 ? 127 : 15;
    set = &weft__half_sets[i / 2];
}

static void widen(float *y, const uint16_t *x, int64_t n)
{
    (mantissa == 7 ? set->wide_bf16 : set->wide_f16)(y, x, n);
}

static void narrow(uint16_t *y, const float *x, int64_t n)
{
    (mantissa == 7 ? set->low_bf16 : set->low_f16)(y, x, n);
}

/* The value of a code by the definition of the formats. */
static double value_of(unsigned code)
{
    const int e = (int)(code >> mantissa) & (2 * bias + 1), m = (int)code & ((1 << mantissa) - 1);
    double x = e ? ldexp(1 + ldexp(m, -mantissa), e - bias) : ldexp(m, 1 - bias - mantissa);
    if (e == 2 * bias + 1)
        x = m ? NAN : INFINITY;
    return code & 0x8000 ? -x : x;
}

static unsigned infinity(void)
{
    return (2u * (unsigned)bias + 1) << mantissa;
}

/* Every code as f32 and back: the same bits, but NaN becomes quiet and keeps sign and upper bits. */
START_TEST(all_codes)
{
    uint16_t *code = malloc(CODES * sizeof *code), *back = malloc(CODES * sizeof *back);
    float *x = malloc(CODES * sizeof *x);
    choose(_i);
    for (unsigned i = 0; i < CODES && set->usable(); i++)
        code[i] = (uint16_t)i;
    if (set->usable()) {
        widen(x, code, CODES);
        narrow(back, x, CODES);
    }
    for (unsigned i = 0; i < CODES && set->usable(); i++) {
        const double y = value_of(i);
        const bool nan = (i & 0x7FFF) > infinity();
        must(nan ? isnan(x[i]) : (double)x[i] == y && !signbit(x[i]) == !signbit(y));
        must(nan ? back[i] == (i | 1u << (mantissa - 1)) : back[i] == i);
    }
    free(code);
    free(back);
    free(x);
}
END_TEST

/* What lies between neighbours goes to the nearer one, from the middle to the even one. Both signs. */
START_TEST(between_all_codes)
{
    float x[6];
    uint16_t y[6];
    choose(_i);
    for (unsigned i = 0; i < infinity() && set->usable(); i++) {
        const double below = value_of(i), top = ldexp(1, bias + 1);
        const double above = i + 1 == infinity() ? top : value_of(i + 1);
        const float mid = (float)(below / 2 + above / 2);
        const unsigned even = i + (i & 1);
        x[0] = mid;
        x[1] = nextafterf(mid, 0);
        x[2] = nextafterf(mid, INFINITY);
        for (int k = 0; k < 3; k++)
            x[3 + k] = -x[k];
        narrow(y, x, 6);
        must(y[0] == even && y[3] == (even | 0x8000));
        must(y[1] == i && y[4] == (i | 0x8000));
        must(y[2] == i + 1 && y[5] == ((i + 1) | 0x8000));
    }
}
END_TEST

/* All sets, one element and many, and the cast from f64 agree on any bits. */
START_TEST(any_bits)
{
    enum { N = 1 << 16 };
    float *x = malloc(N * sizeof *x);
    uint16_t *y = malloc((N + 1) * sizeof *y);
    uint64_t state = 7;
    choose(_i);
    for (int round = 0; round < 8 && set->usable(); round++) {
        const int first = round % 3, n = N - round; /* not aligned, not whole vectors */
        for (int i = 0; i < N; i++) {
            state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            x[i] = half_float((uint32_t)(state >> 32));
        }
        y[n] = 0xABCD;
        narrow(y + first, x + first, n - first);
        for (int i = first; i < n; i++) {
            const bool brain = mantissa == 7;
            must(y[i] == (brain ? half_low_bf16(x[i]) : half_low_f16(x[i])));
            must(isnan(x[i]) || y[i] == (brain ? half_to_bf16(x[i]) : half_to_f16(x[i])));
        }
        ck_assert_uint_eq(y[n], 0xABCD);
    }
    free(x);
    free(y);
}
END_TEST

START_TEST(one_set_is_usable)
{
    ck_assert(weft__half_best()->usable());
    ck_assert(weft__half_sets[HALF_SETS - 1].usable());
}
END_TEST

int main(void)
{
    Suite *s = suite_create("half");
    TCase *c = tcase_create("all");
    tcase_set_timeout(c, 60);
    tcase_add_loop_test(c, all_codes, 0, 2 * HALF_SETS);
    tcase_add_loop_test(c, between_all_codes, 0, 2 * HALF_SETS);
    tcase_add_loop_test(c, any_bits, 0, 2 * HALF_SETS);
    tcase_add_test(c, one_set_is_usable);
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_set_fork_status(r, CK_NOFORK);
    srunner_run_all(r, CK_NORMAL);
    const int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
