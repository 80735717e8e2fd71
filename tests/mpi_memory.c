/* What a rank holds under each strategy, beside the formula, in bytes a parameter on P ranks:
 *   ddp    4 (params) + 4 (grads) + 8 (Adam's moments)
 *   zero1  4 + 4 + 8/P
 *   zero2  4 + 4/P + 8/P, and two buckets that are being summed
 * and 2 more of bf16-mixed: the compute copy. On a device with room for zero2's bytes and not for ddp's,
 * zero2 trains, and ddp fails on all ranks with words. */
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

/* --- a device that has room for zero2 and not for ddp --- */

#define NARROW 256
#define DEEP 24
#define ARENA (1 << 20) /* bytes of its first block */
#define NUMBERS ((double)DEEP * NARROW * (NARROW + 1))

/* What a device must hold beside the arena: MPI's buffers are the device's; those of shared memory, where
 * gradients are summed, lie on the host. */
static const struct {
    const char *backend;
    double ddp, buckets; /* bytes a parameter, and how many of zero2's at a time */
} room[] = {{"mpi", 16, 2}, {"shm", 12, 0}};

enum { PLENTY, FOR_ZERO2, NO_ARENA };

/* Bytes of the mock: half way from what zero2 needs to what ddp needs, or all that ddp needs but for most of the
 * arena, so that it fails in the first step. */
static void make_room(int r, int how)
{
    char text[32];
    const double ddp = NUMBERS * room[r].ddp;
    const double buckets = room[r].buckets * (BUCKET + 4.0 * NARROW * (NARROW + 1));
    const double zero2 = NUMBERS * (4 + 12.0 / all_world()) + buckets;
    snprintf(text, sizeof text, "%.0f",
             how == PLENTY      ? 1e9
             : how == FOR_ZERO2 ? (zero2 + ddp) / 2 + ARENA
                                : ddp + ARENA / 64);
    setenv("WEFT_MOCK_MEMORY", text, 1);
}

/* Six steps of a net of so many layers, while all goes well. @return the loss went down. */
static int trains(weft_fabric *f, int layers)
{
    weft_module *layer[DEEP];
    double first = 0, last = 0;
    for (int i = 0; i < layers; i++)
        layer[i] = weft_nn_residual(f, weft_nn_linear(f, NARROW, NARROW));
    weft_module *m = weft_nn_sequential_n(f, layers, layer);
    weft_optimizer *o = weft_adam(m, WEFT_ADAM(.lr = 1e-3));
    if (weft_setup(f, m, o))
        return 0;
    for (int i = 0; i < 6; i++) {
        weft_tensor *x = weft_full(f, 0.1, 2, (int64_t[]){2, NARROW}, WEFT_F32);
        weft_batch b = weft_batch_of(f, x, x, 2 * all_rank(), 2 * all_world());
        weft_tensor *loss = weft_mse_loss(weft_forward(m, b.x), weft_scale(b.y, 2), NULL);
        last = weft_item(loss);
        first = i ? first : last;
        weft_zero_grad(o);
        weft_backward(f, loss);
        weft_step(o);
        if (weft_step_end(f))
            return 0;
    }
    return last < first;
}

static weft_fabric *on_mock(const char *strategy, int r)
{
    weft_fabric *f = NULL;
    weft_open_mpi(&f, MPI_COMM_WORLD,
                  WEFT_OPEN(.strategy = strategy, .accelerator = "mock", .bucket_mb = 1,
                            .process_group_backend = room[r].backend, .threads = 1, .timeout = 20));
    return f;
}

START_TEST(is_enough_for_zero2)
{
    make_room(_i, FOR_ZERO2);
    weft_fabric *f = on_mock("zero2", _i);
    const int ok = trains(f, DEEP);
    if (!ok)
        fprintf(stderr, "# zero2, %s: %s\n", room[_i].backend, weft_message(f));
    ck_all(ok);
    ck_all(weft_close(&f) == 0);
}
END_TEST

/* At setup and in a step, on all ranks and on the last one alone. */
START_TEST(is_too_little_for_ddp)
{
    const int r = _i / 4;
    const bool here = _i % 2 == 0 || all_rank() == all_world() - 1, later = _i / 2 % 2;
    make_room(r, !here ? PLENTY : later ? NO_ARENA : FOR_ZERO2);
    weft_fabric *f = on_mock("ddp", r);
    const int trained = trains(f, DEEP);
    const char *why = weft_message(f);
    const int ok = !trained && weft_error(f) == WEFT_ENOMEM &&
                   strstr(why, later ? "KiB of arena" : "no memory for 6.0 MiB of moments") &&
                   strstr(why, "on device mock") && strstr(why, "which holds ") &&
                   strstr(why, "params 6.0 MiB") && strstr(why, "WEFT_MOCK_MEMORY");
    if (!ok)
        fprintf(stderr, "# ddp, %s, %d: %d, %s: %s\n", room[r].backend, _i, trained,
                weft_status_name(weft_error(f)), why);
    ck_all(ok);
    ck_all(weft_close(&f) == -WEFT_ENOMEM);
    f = on_mock("ddp", r);
    ck_all(trains(f, DEEP / 3));
    ck_all(weft_close(&f) == 0);
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
    if (all_world() > 1) { /* else zero2 needs what ddp needs */
        tcase_add_loop_test(t, is_enough_for_zero2, 0, 2);
        tcase_add_loop_test(t, is_too_little_for_ddp, 0, 8);
    }
    return s;
}

int main(int argc, char **argv)
{
    return all_main(&argc, &argv, suite);
}
