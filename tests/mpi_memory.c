/* What a rank holds under each strategy, beside the formula, in bytes a parameter on P ranks:
 *   ddp    4 (params) + 4 (grads) + 8 (Adam's moments)
 *   zero1  4 + 4 + 8/P
 *   zero2  4 + 4/P + 8/P, and two buckets that are being summed
 * and 2 more of bf16-mixed: the compute copy. */
#include "mpi_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <weft.h>
#include <weft/mpi.h>

#define WIDTH 512
#define LAYERS 8
#define BUCKET (1 << 20) /* bytes */

static const struct {
    const char *strategy;
    double whole, cut; /* bytes a parameter */
    int buckets;
} row[] = {{"ddp", 16, 0, 0}, {"zero1", 8, 8, 0}, {"zero2", 4, 12, 2}};

static const struct {
    const char *precision;
    double more;
} precision[] = {{"32-true", 0}, {"bf16-mixed", 2}};

static void train(weft_fabric *f, weft_module *m, weft_optimizer *o)
{
    for (int i = 0; i < 3; i++) {
        weft_tensor *x = weft_full(f, 0.5 + i, 2, (int64_t[]){2, WIDTH}, WEFT_F32);
        weft_batch b = weft_batch_of(f, x, x, 2 * weft_global_rank(f), 2 * weft_world_size(f));
        weft_tensor *loss = weft_mean(weft_forward(m, b.x), WEFT_ALL);
        weft_zero_grad(o);
        weft_backward(f, loss);
        weft_step(o);
        ck_all(weft_step_end(f) == 0);
    }
}

START_TEST(is_the_formulas)
{
    const int r = _i / 2, p = _i % 2;
    weft_fabric *f = NULL;
    weft_open_mpi(&f, MPI_COMM_WORLD,
                  WEFT_OPEN(.strategy = row[r].strategy, .precision = precision[p].precision,
                            .bucket_mb = 1, .threads = 1, .timeout = 20));
    weft_module *layer[LAYERS];
    for (int i = 0; i < LAYERS; i++)
        layer[i] = weft_nn_linear(f, WIDTH, WIDTH);
    weft_module *m = weft_nn_sequential(f, layer[0], layer[1], layer[2], layer[3], layer[4],
                                        layer[5], layer[6], layer[7]);
    weft_optimizer *o = weft_adam(m, NULL);
    ck_all(weft_setup(f, m, o) == 0);
    train(f, m, o);
    const weft_memory_report held = weft_memory(f);
    const double n = LAYERS * (WIDTH * WIDTH + WIDTH), ranks = weft_world_size(f);
    const double whole = n * (row[r].whole + precision[p].more + row[r].cut / ranks);
    const double most = whole + row[r].buckets * (BUCKET + 4.0 * WIDTH * (WIDTH + 1));
    const double bytes =
        (double)(held.kind[WEFT_MEMORY_PARAMS].peak + held.kind[WEFT_MEMORY_GRADS].peak +
                 held.kind[WEFT_MEMORY_MOMENTS].peak + held.kind[WEFT_MEMORY_COMPUTE].peak);
    if (!(bytes >= 0.99 * whole && bytes <= 1.05 * most))
        fprintf(stderr, "# %s %s: %.0f bytes, the formula says %.0f to %.0f\n", row[r].strategy,
                precision[p].precision, bytes, whole, most);
    ck_all(bytes >= 0.99 * whole && bytes <= 1.05 * most);
    ck_all(weft_close(&f) == 0);
}
END_TEST

/* On devices with room for the one and not for the other. */
START_TEST(zero2_fits_where_ddp_does_not)
{
    static const char *const strategy[] = {"ddp", "zero2"};
    setenv("WEFT_MOCK_MEMORY", "30M", 1);
    for (int i = 0; i < 2 && all_world() > 1; i++) {
        weft_fabric *f = NULL;
        weft_open_mpi(&f, MPI_COMM_WORLD,
                      WEFT_OPEN(.accelerator = "mock", .strategy = strategy[i], .bucket_mb = 1,
                                .threads = 1, .timeout = 20, .process_group_backend = "mpi"));
        weft_module *layer[LAYERS];
        for (int k = 0; k < LAYERS; k++)
            layer[k] = weft_nn_linear(f, WIDTH, WIDTH);
        weft_module *m = weft_nn_sequential(f, layer[0], layer[1], layer[2], layer[3], layer[4],
                                            layer[5], layer[6], layer[7]);
        weft_optimizer *o = weft_adam(m, NULL);
        weft_status s = weft_setup(f, m, o);
        ck_all(s == (i ? WEFT_OK : WEFT_ENOMEM) && weft_error(f) == s);
        if (i)
            train(f, m, o);
        else
            ck_all(strstr(weft_message(f), "no memory for 8.0 MiB of moments on device mock") !=
                   NULL);
        ck_all(weft_close(&f) == -s);
    }
    unsetenv("WEFT_MOCK_MEMORY");
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("memory");
    TCase *t = tcase_create("memory");
    weft_log_level(WEFT_LOG_SILENT);
    tcase_set_timeout(t, 60);
    suite_add_tcase(s, t);
    tcase_add_loop_test(t, is_the_formulas, 0, 6);
    tcase_add_test(t, zero2_fits_where_ddp_does_not);
    return s;
}

int main(int argc, char **argv)
{
    return all_main(&argc, &argv, suite);
}
