/* A GPT-2 as Hugging Face's transformers saves it: its weights give transformers' logits here, and go back to the same bytes. */
#include "../examples/gpt2/model.h"
#include "../tools/safetensors.h"

#include "late.h"
#include "weights_fixture.h"

#include <math.h>
#include <weft.h>

#define TOKENS 24
#define LOGITS (TOKENS * 40)

static int64_t tokens[TOKENS];
static float expected[LOGITS], logits[LOGITS];

static const char *beside(const char *name)
{
    static char path[1024];
    const char *at = getenv("srcdir");
    snprintf(path, sizeof path, "%s/%s", at ? at : ".", name);
    return path;
}

static void read_golden(void)
{
    safetensors s;
    ck_assert_int_eq(safetensors_open(&s, beside("golden/gpt2_hf_logits.safetensors")), WEFT_OK);
    ck_assert_int_eq(s.n, 2);
    for (size_t i = 0; i < s.n; i++) {
        const bool ids = strcmp(s.tensor[i].name, "tokens") == 0;
        ck_assert_int_eq(s.tensor[i].end - s.tensor[i].begin,
                         ids ? (int64_t)sizeof tokens : (int64_t)sizeof expected);
        ck_assert_int_eq(safetensors_read(&s, &s.tensor[i], ids ? (void *)tokens : expected),
                         WEFT_OK);
    }
    safetensors_close(&s);
}

START_TEST(as_in_transformers)
{
    const int64_t shape[] = {2, 12};
    const gpt2_options o = {.layers = 2, .heads = 3, .width = 12, .vocabulary = 40, .context = 16};
    char file[1024], table[1024];
    weft_fabric *f;
    double most = 0, apart = 0;
    strcpy(file, beside("golden/gpt2_hf.safetensors"));
    strcpy(table, beside("../doc/gpt2.names"));
    read_golden();
    ck_assert_int_eq(
        shell("../tools/weft import --names %s %s %s/in >%s/out", table, file, dir, dir), 0);
    ck_assert_int_eq(weft_open(&f, NULL, NULL, WEFT_OPEN(.seed = 1)), 0);
    weft_module *m = gpt2_new(f, &o);
    ck_assert_msg(weft_load_raw(f, in("in/step-000000"), m, NULL) == 0, "%s", weft_message(f));
    weft_tensor *y = weft_forward(m, weft_tensor_of(f, tokens, 2, shape, WEFT_I64));
    ck_assert_msg(weft_copy_out(y, logits, sizeof logits) == 0, "%s", weft_message(f));
    for (int i = 0; i < LOGITS; i++) {
        most = fmax(most, fabs((double)expected[i]));
        apart = fmax(apart, fabs((double)logits[i] - (double)expected[i]));
    }
    ck_assert_msg(apart <= 1e-5 * most, "%g apart, the largest is %g", apart, most);
    ck_assert_int_eq(weft_setup_module(f, m), 0);
    ck_assert_int_eq(weft_save(f, in("run")), 0);
    ck_assert_int_eq(weft_close(&f), 0);
    ck_assert_int_eq(
        shell("../tools/weft export --names %s %s/run %s/y >%s/out", table, dir, dir, dir), 0);
    ck_assert_int_eq(shell("cmp %s %s/y", file, dir), 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("gpt2_weights");
    TCase *t = tcase_create("gpt2_weights");
    suite_add_tcase(s, t);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, as_in_transformers);
    SRunner *r = srunner_create(s);
    srunner_set_fork_status(r, CK_NOFORK);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
