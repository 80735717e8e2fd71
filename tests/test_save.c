/* When a save happens: at once, at the end of an accumulation window, at the end of the run. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <weft.h>

typedef struct job {
    weft_fabric *f;
    weft_module *model;
    weft_optimizer *sgd;
    char dir[64];
} job;

static job begin(void)
{
    job j = {.dir = "save-XXXXXX"};
    ck_assert_ptr_nonnull(mkdtemp(j.dir));
    ck_assert_int_eq(weft_open(&j.f, NULL, NULL, WEFT_OPEN(.seed = 3)), 0);
    j.model = weft_nn_linear(j.f, 3, 2);
    j.sgd = weft_sgd(j.model, WEFT_SGD(.lr = 0.1));
    ck_assert_int_eq(weft_setup(j.f, j.model, j.sgd), 0);
    return j;
}

static void end(job *j)
{
    char command[96];
    ck_assert_int_eq(weft_close(&j->f), 0);
    snprintf(command, sizeof command, "rm -rf %s", j->dir);
    ck_assert_int_eq(system(command), 0);
}

static void backward(const job *j)
{
    const int64_t shape[] = {2, 3};
    const float x[6] = {1, 2, 3, 4, 5, 6};
    weft_tensor *y = weft_forward(j->model, weft_tensor_of(j->f, x, 2, shape, WEFT_F32));
    ck_assert_int_eq(weft_backward(j->f, weft_mean(weft_mul(y, y), WEFT_ALL)), 0);
}

static bool committed(const job *j, int step)
{
    char path[96];
    struct stat st;
    snprintf(path, sizeof path, "%s/step-%06d/MANIFEST", j->dir, step);
    return stat(path, &st) == 0;
}

START_TEST(at_once_after_a_step)
{
    job j = begin();
    weft_zero_grad(j.sgd);
    backward(&j);
    ck_assert_int_eq(weft_step(j.sgd), 0);
    ck_assert_int_eq(weft_save(j.f, j.dir), WEFT_OK);
    ck_assert(committed(&j, 1));
    end(&j);
}
END_TEST

START_TEST(at_the_end_of_an_accumulation_window)
{
    job j = begin();
    weft_zero_grad(j.sgd);
    backward(&j);
    ck_assert_int_eq(weft_save(j.f, j.dir), WEFT_POSTPONED);
    ck_assert(!committed(&j, 0));
    backward(&j);
    ck_assert_int_eq(weft_step(j.sgd), 0);
    ck_assert_int_eq(weft_step_end(j.f), 0);
    ck_assert(!committed(&j, 0));
    ck_assert(committed(&j, 1));
    ck_assert_int_eq(weft_error(j.f), 0);
    end(&j);
}
END_TEST

START_TEST(at_the_end_of_a_run_that_resumes)
{
    job j = begin();
    ck_assert_int_eq(weft_resume(j.f, j.dir), 0);
    weft_zero_grad(j.sgd);
    backward(&j);
    ck_assert_int_eq(weft_step(j.sgd), 0);
    ck_assert_int_eq(weft_close(&j.f), 0);
    ck_assert(committed(&j, 1));
    end(&j);
}
END_TEST

/* A save in another directory does not stand for it. */
START_TEST(at_the_end_also_after_a_save_elsewhere)
{
    job j = begin(), other = begin();
    ck_assert_int_eq(weft_resume(j.f, j.dir), 0);
    weft_zero_grad(j.sgd);
    backward(&j);
    ck_assert_int_eq(weft_step(j.sgd), 0);
    ck_assert_int_eq(weft_save(j.f, other.dir), 0);
    ck_assert_int_eq(weft_close(&j.f), 0);
    ck_assert(committed(&j, 1) && committed(&other, 1));
    end(&j);
    end(&other);
}
END_TEST

START_TEST(at_the_end_where_no_edge_comes)
{
    job j = begin();
    weft_zero_grad(j.sgd);
    backward(&j);
    ck_assert_int_eq(weft_save(j.f, j.dir), WEFT_POSTPONED);
    ck_assert_int_eq(weft_step(j.sgd), 0);
    ck_assert_int_eq(weft_close(&j.f), 0);
    ck_assert(committed(&j, 1));
    end(&j);
}
END_TEST

START_TEST(every_counts_anew_after_a_load)
{
    char path[96];
    job j = begin();
    ck_assert_int_eq(weft_save(j.f, j.dir), 0);
    snprintf(path, sizeof path, "%s/step-000000", j.dir);
    for (int i = 0; i < 2; i++) {
        weft_zero_grad(j.sgd);
        backward(&j);
        ck_assert_int_eq(weft_step(j.sgd), 0);
        ck_assert(weft_every(j.f, 1) && !weft_every(j.f, 1));
        ck_assert_int_eq(weft_load(j.f, path), 0);
    }
    end(&j);
}
END_TEST

START_TEST(not_after_an_error)
{
    job j = begin();
    weft_fail(j.f, WEFT_EUSER, "planted");
    ck_assert_int_eq(weft_save(j.f, j.dir), WEFT_EUSER);
    ck_assert(!committed(&j, 0));
    weft_clear(j.f);
    end(&j);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("save");
    TCase *t = tcase_create("when");
    tcase_add_test(t, at_once_after_a_step);
    tcase_add_test(t, at_the_end_of_an_accumulation_window);
    tcase_add_test(t, at_the_end_of_a_run_that_resumes);
    tcase_add_test(t, at_the_end_also_after_a_save_elsewhere);
    tcase_add_test(t, at_the_end_where_no_edge_comes);
    tcase_add_test(t, every_counts_anew_after_a_load);
    tcase_add_test(t, not_after_an_error);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_set_fork_status(r, CK_NOFORK);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
