/* Precision transformer-engine: codes of 8 bits, layers of them and their training are torch's. On the device
 * mock, or the GPU that WEFT_ACCELERATOR names. */
#include "device/device.h"
#include "device/float8.h"
#include "golden.h"

#include <math.h>
#include <weft.h>

static weft_fabric *f;
static int warnings;

static void count(void *self, weft_level level, const char *text)
{
    (void)self;
    warnings += level == WEFT_LOG_WARNING && strstr(text, "multiples of 16");
}

static void start(const char *precision)
{
    char text[80];
    warnings = 0;
    weft_log_to(count, NULL);
    snprintf(text, sizeof text, "accelerator=mock precision=%s", precision);
    weft_open_text(&f, NULL, NULL, text);
    ck_assert_str_eq(weft_message(f), "");
}

static void stop(void)
{
    ck_assert_msg(weft_error(f) == 0, "%s", weft_message(f));
    ck_assert_int_eq(weft_close(&f), 0);
}

static weft_tensor *tensor_of(const golden *g, weft_dtype t)
{
    return weft_cast(weft_tensor_of(f, g->v, g->rank, g->shape, WEFT_F64), t);
}

static void compare(weft_tensor *x, hid_t at, const char *path, double tolerance)
{
    golden want = golden_read(at, path);
    double *v = calloc((size_t)want.n, sizeof *v), most = 0, off = 0;
    ck_assert_msg(x != NULL, "%s: %s", path, weft_message(f));
    ck_assert_int_eq(weft_copy_out(weft_cast(weft_detach(x), WEFT_F64), v, (size_t)want.n * 8), 0);
    for (int64_t i = 0; i < want.n; i++) {
        most = fmax(most, fabs(want.v[i]));
        off = fabs(v[i] - want.v[i]) <= off ? off : fabs(v[i] - want.v[i]);
    }
    ck_assert_msg(off <= tolerance * most, "%s: %g off", path, off / most);
    free(v);
    golden_free(&want);
}

START_TEST(codes)
{
    static const char *const name[] = {"e4m3", "e5m2"};
    char path[64];
    hid_t file = golden_open("float8.h5");
    snprintf(path, sizeof path, "codes/%s/x", name[_i]);
    golden x = golden_read(file, path);
    snprintf(path, sizeof path, "codes/%s/q", name[_i]);
    golden q = golden_read(file, path);
    snprintf(path, sizeof path, "codes/%s/number", name[_i]);
    golden number = golden_read(file, path);
    for (int64_t i = 0; i < x.n; i++)
        if (float8_of((float)x.v[i], _i) != (uint8_t)q.v[i])
            ck_abort_msg("%g is %d, not %d", x.v[i], float8_of((float)x.v[i], _i), (int)q.v[i]);
    for (int i = 0; i < 256; i++) {
        const double v = (double)float8_as((uint8_t)i, _i);
        if (isfinite(v) ? v != number.v[i] : number.v[i] != -1)
            ck_abort_msg("code %d is %g, not %g", i, v, number.v[i]);
    }
    ck_assert(isnan(float8_as(float8_of(NAN, _i), _i)));
    golden_free(&x), golden_free(&q), golden_free(&number);
    H5Fclose(file);
}
END_TEST

START_TEST(scales)
{
    ck_assert(float8_factor(0, WEFT_E4M3) == 1 && float8_scale(0, WEFT_E4M3) == 1);
    ck_assert(float8_factor(7, WEFT_E4M3) == 64 && float8_scale(7, WEFT_E4M3) == 1.0F / 64);
    ck_assert(float8_factor(3.5F, WEFT_E5M2) == 16384);
    ck_assert(float8_factor(1e-44F, WEFT_E5M2) == FLT_MAX); /* not infinite */
    ck_assert(isnan(float8_scale(INFINITY, WEFT_E4M3)) && isnan(float8_scale(NAN, WEFT_E5M2)));
}
END_TEST

static void layer(hid_t file, const char *name)
{
    static const char *const part[] = {"in0", "in1", "in2", "gout"};
    const bool brain = strstr(name, "bf16") != NULL;
    const weft_dtype t = brain ? WEFT_BF16 : WEFT_F16;
    const double tolerance = brain ? 4e-3 : 1e-3; /* results have 8 or 11 bits */
    weft_tensor *x[4];
    char path[96];
    start(brain ? "transformer-engine" : "transformer-engine-float16");
    for (int i = 0; i < 4; i++) {
        snprintf(path, sizeof path, "linear/%s/%s", name, part[i]);
        golden g = golden_read(file, path);
        x[i] = tensor_of(&g, i < 3 ? t : WEFT_F32);
        if (i < 3)
            ck_assert_int_eq(weft_require_grad(x[i]), 0);
        golden_free(&g);
    }
    weft_tensor *y = weft_linear(x[0], x[1], x[2]);
    weft_tensor *loss = weft_sum(weft_mul(y, x[3]), WEFT_ALL);
    ck_assert_int_eq(weft_dtype_of(y), t);
    snprintf(path, sizeof path, "linear/%s/out", name);
    compare(y, file, path, tolerance);
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "linear/%s/gin%d", name, i);
        compare(weft_grad(loss, x[i]), file, path, tolerance);
    }
    ck_assert_int_eq(warnings, 0);
    stop();
}

START_TEST(layers)
{
    char name[64];
    hid_t file = golden_open("float8.h5");
    for (int i = 0; i < golden_count(file, "linear"); i++)
        layer(file, golden_name(file, "linear", i, name, sizeof name));
    H5Fclose(file);
}
END_TEST

static weft_tensor *ones(int64_t r, int64_t c, double corner)
{
    double v[64 * 64];
    for (int64_t i = 0; i < r * c; i++)
        v[i] = i ? 1 : corner;
    return weft_cast(weft_tensor_of(f, v, 2, (int64_t[]){r, c}, WEFT_F64), WEFT_BF16);
}

/* Beside a number 1.5 times as large, 1 is coded as 288/298.7 of itself. */
START_TEST(other_sizes_are_said_once)
{
    double v[16 * 16];
    start("transformer-engine");
    weft_tensor *w = ones(16, 16, 1), *y = weft_linear(ones(16, 16, 1.5), w, NULL);
    ck_assert_int_eq(weft_copy_out(weft_cast(y, WEFT_F64), v, sizeof v), 0);
    ck_assert(fabs(v[17] - 16 * 288 * 1.5 / 448) < 0.04 && warnings == 0);
    y = weft_linear(ones(5, 16, 1.5), w, NULL);
    ck_assert_int_eq(weft_copy_out(weft_cast(y, WEFT_F64), v, 5 * 16 * sizeof *v), 0);
    ck_assert(v[17] == 16 && warnings == 1);
    weft_linear(ones(16, 8, 1), ones(16, 8, 1), NULL);
    ck_assert_int_eq(warnings, 1);
    stop();
}
END_TEST

START_TEST(two_layers_at_once_are_coded_each)
{
    float got[2][16 * 32];
    start("transformer-engine");
    for (int i = 0; i < 2; i++) {
        weft_tensor *x = ones(16, 32, 1.5), *w = ones(64, 32, -2), *v = ones(32, 64, 3), *y;
        ck_assert_int_eq(weft_require_grad(x), 0);
        y = i ? weft_mlp_gelu_tanh(x, w, NULL, v, NULL)
              : weft_linear(weft_linear_gelu_tanh(x, w, NULL), v, NULL);
        weft_tensor *g = weft_cast(weft_grad(weft_sum(weft_mul(y, y), WEFT_ALL), x), WEFT_F32);
        ck_assert_int_eq(weft_copy_out(g, got[i], sizeof got[i]), 0);
    }
    ck_assert_mem_eq(got[0], got[1], sizeof got[0]);
    stop();
}
END_TEST

/* Saturation does not hide it: nothing of the result is a number. */
START_TEST(what_is_not_finite_shows)
{
    double v[16 * 16];
    start("transformer-engine");
    weft_tensor *y = weft_linear(ones(16, 16, _i ? NAN : INFINITY), ones(16, 16, 1), NULL);
    ck_assert_int_eq(weft_copy_out(weft_cast(y, WEFT_F64), v, sizeof v), 0);
    for (int i = 0; i < 256; i++)
        if (!isnan(v[i]))
            ck_abort_msg("[%d] is %g", i, v[i]);
    stop();
}
END_TEST

static weft_tensor *rows(const golden *g, int64_t first, int64_t n, weft_dtype t)
{
    const int64_t width = g->rank == 2 ? g->shape[1] : 1;
    golden part = *g;
    part.v = g->v + first * width;
    part.shape[0] = n;
    if (t == WEFT_BF16)
        return tensor_of(&part, t);
    int64_t label[64];
    for (int64_t i = 0; i < n; i++)
        label[i] = (int64_t)part.v[i];
    return weft_tensor_of(f, label, 1, &n, WEFT_I64);
}

START_TEST(training_is_torchs)
{
    static const char *const name[] = {"0.weight", "0.bias", "2.weight", "2.bias"};
    hid_t file = golden_open("float8.h5");
    golden x = golden_read(file, "train/x"), y = golden_read(file, "train/y"),
           want = golden_read(file, "train/loss");
    const int64_t batch = (int64_t)golden_attribute(file, "train", "batch");
    start("transformer-engine");
    weft_module *m = weft_nn_sequential(f, weft_nn_linear(f, 32, 48), weft_nn_gelu_tanh(f),
                                        weft_nn_linear(f, 48, 16));
    weft_optimizer *o = weft_sgd(m, WEFT_SGD(.lr = golden_attribute(file, "train", "lr")));
    ck_assert_int_eq(weft_setup(f, m, o), 0);
    for (int i = 0; i < 4; i++) {
        char path[24];
        snprintf(path, sizeof path, "train/p%d", i);
        golden p = golden_read(file, path);
        uint16_t low[48 * 32];
        ck_assert_int_eq(weft_copy_out(tensor_of(&p, WEFT_BF16), low, (size_t)p.n * 2), 0);
        ck_assert_int_eq(weft_copy_in(weft_param(m, name[i]), low, (size_t)p.n * 2), 0);
        golden_free(&p);
    }
    for (int64_t t = 0; t < want.n; t++) {
        double got;
        const int64_t first = t % (x.shape[0] / batch) * batch;
        weft_tensor *loss = weft_cross_entropy(weft_forward(m, rows(&x, first, batch, WEFT_BF16)),
                                               rows(&y, first, batch, WEFT_I64));
        weft_zero_grad(o);
        weft_backward(f, loss);
        ck_assert_int_eq(weft_copy_out(weft_cast(weft_detach(loss), WEFT_F64), &got, 8), 0);
        weft_step(o);
        ck_assert_int_eq(weft_step_end(f), 0);
        if (!(fabs(got - want.v[t]) <= 0.02 * want.v[0]))
            ck_abort_msg("step %d: %g, not %g", (int)t, got, want.v[t]);
    }
    ck_assert_int_eq(warnings, 0);
    golden_free(&x), golden_free(&y), golden_free(&want);
    stop();
    H5Fclose(file);
}
END_TEST

/* A GPU without 8 bits. */
static bool device_lacks_it(void)
{
    weft_device *d = NULL;
    const char *name = getenv("WEFT_ACCELERATOR");
    if (!name || strcmp(name, "cuda") != 0 || weft__device_open(&d, name, 0, 1))
        return false;
    const bool lacks = d->ops->no_float8(d) != NULL;
    weft__device_close(d);
    return lacks;
}

int main(void)
{
    Suite *s = suite_create("float8");
    TCase *t = tcase_create("all");
    tcase_add_loop_test(t, codes, 0, 2);
    tcase_add_test(t, scales);
    tcase_add_test(t, layers);
    tcase_add_test(t, other_sizes_are_said_once);
    tcase_add_test(t, two_layers_at_once_are_coded_each);
    tcase_add_loop_test(t, what_is_not_finite_shows, 0, 2);
    tcase_add_test(t, training_is_torchs);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    if (device_lacks_it()) {
        srunner_free(r);
        return 77;
    }
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
