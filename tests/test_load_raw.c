/* Weights that go from PyTorch's file into a module, and back to the same bytes. */
#include "../tools/safetensors.h"

#include "core/error.h"
#include "late.h"
#include "weights_fixture.h"

#include <math.h>
#include <weft.h>

START_TEST(a_round_trip_keeps_every_byte)
{
    ck_assert_int_eq(shell("../tools/weft import %s %s/run >%s/out", golden, dir, dir), 0);
    ck_assert_int_eq(shell("../tools/weft export %s/run %s/y >%s/out", dir, dir, dir), 0);
    ck_assert_int_eq(shell("cmp %s %s/y", golden, dir), 0);
    write_text("table", "t.** table.** \nt.** net.** transpose # vectors, too\n ** **\n");
    ck_assert_int_ne(
        shell("../tools/weft import --names %s/table %s %s/b 2>%s/err", dir, golden, dir, dir), 0);
    ck_assert_int_eq(shell("grep -q 'only matrices' %s/err", dir), 0);
    write_text("table", "net.2.weight net.2.weight transpose\nx.** net.**\n** **\n");
    ck_assert_int_eq(shell("../tools/weft import --names %s/table --into other %s %s/c >%s/out",
                           dir, golden, dir, dir),
                     0);
    ck_assert_int_eq(shell("../tools/weft inspect %s/c | grep -q '(3, 8) .*other/net.2.w'", dir),
                     0);
    ck_assert_int_eq(shell("../tools/weft export --names %s/table --from other %s/c %s/y >%s/out",
                           dir, dir, dir, dir),
                     0);
    ck_assert_int_eq(shell("cmp %s %s/y && ! ls -A %s | grep tmp", golden, dir, dir), 0);
}
END_TEST

/* A tensor of the golden file, as f32. */
static float *tensor(const char *name)
{
    safetensors s;
    float *out = NULL;
    ck_assert_int_eq(safetensors_open(&s, golden), WEFT_OK);
    for (size_t i = 0; i < s.n; i++)
        if (strcmp(s.tensor[i].name, name) == 0) {
            ck_assert_ptr_nonnull(out = malloc((size_t)(s.tensor[i].end - s.tensor[i].begin)));
            ck_assert_int_eq(safetensors_read(&s, &s.tensor[i], out), WEFT_OK);
        }
    safetensors_close(&s);
    ck_assert_ptr_nonnull(out);
    return out;
}

static weft_module *network(weft_fabric *f)
{
    return weft_nn_sequential(f, weft_nn_linear(f, 6, 8), weft_nn_tanh(f), weft_nn_linear(f, 8, 3));
}

static void import_network(void)
{
    write_text("table", "2.weight net.2.weight transpose\n** net.**\n- **\n");
    ck_assert_int_eq(
        shell("../tools/weft import --names %s/table %s %s/run >%s/out", dir, golden, dir, dir), 0);
}

START_TEST(a_network_computes_as_in_pytorch)
{
    const int64_t shape[] = {5, 6};
    weft_fabric *f;
    float *x = tensor("input"), *y = tensor("output"), out[15];
    import_network();
    ck_assert_int_eq(weft_open(&f, NULL, NULL, WEFT_OPEN(.seed = 1)), 0);
    weft_module *m = network(f);
    ck_assert_msg(weft_load_raw(f, in("run/step-000000"), m, NULL) == 0, "%s", weft_message(f));
    weft_tensor *r = weft_forward(m, weft_tensor_of(f, x, 2, shape, WEFT_F32));
    ck_assert_int_eq(weft_copy_out(r, out, sizeof out), 0);
    for (int i = 0; i < 15; i++)
        if (!(fabsf(out[i] - y[i]) <= 1e-6f))
            ck_abort_msg("output %d is %g, not %g", i, (double)out[i], (double)y[i]);
    ck_assert_int_eq(weft_step_count(f), 0);
    ck_assert_int_eq(weft_close(&f), 0);
    free(x);
    free(y);
}
END_TEST

START_TEST(what_does_not_fit_is_named)
{
    weft_fabric *f;
    float before[8], after[8];
    import_network();
    ck_assert_int_eq(weft_open(&f, NULL, NULL, WEFT_OPEN(.seed = 1)), 0);
    weft_module *larger = weft_nn_sequential(f, weft_nn_linear(f, 6, 8), weft_nn_tanh(f),
                                             weft_nn_linear(f, 8, 3), weft_nn_linear(f, 3, 3));
    weft_module *other = weft_nn_sequential(f, weft_nn_linear(f, 5, 8));
    ck_assert_int_eq(weft_load_raw(f, in("run/step-000000"), larger, NULL), WEFT_ECONFIG);
    ck_assert_ptr_nonnull(strstr(weft_message(f), "3.weight"));
    ck_assert_int_eq(weft_clear(f), 0);
    ck_assert_int_eq(weft_copy_out(weft_param(larger, "0.bias"), before, sizeof before), 0);
    ck_assert_int_eq(
        weft_load_raw(f, in("run/step-000000"), larger, WEFT_LOAD_RAW(.not_strict = true)), 0);
    ck_assert_int_eq(weft_copy_out(weft_param(larger, "0.bias"), after, sizeof after), 0);
    ck_assert(memcmp(before, after, sizeof after) != 0);
    ck_assert_int_eq(
        weft_load_raw(f, in("run/step-000000"), other, WEFT_LOAD_RAW(.not_strict = true)),
        WEFT_ECONFIG);
    ck_assert_ptr_nonnull(strstr(weft_message(f), "8, 6"));
    ck_assert_int_eq(weft_clear(f), 0);
    ck_assert_int_eq(weft_load_raw(f, in("run/step-000000"), larger, WEFT_LOAD_RAW(.from = "no")),
                     WEFT_ECONFIG);
    ck_assert_int_eq(weft_clear(f), 0);
    ck_assert_int_eq(weft_close(&f), 0);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {a_round_trip_keeps_every_byte, a_network_computes_as_in_pytorch,
                                  what_does_not_fit_is_named};
    Suite *s = suite_create("load_raw");
    TCase *t = tcase_create("load_raw");
    suite_add_tcase(s, t);
    tcase_add_checked_fixture(t, setup, teardown);
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
        tcase_add_test(t, tests[i]);
    SRunner *r = srunner_create(s);
    srunner_set_fork_status(r, CK_NOFORK);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
