/* Layer normalisation, embedding, dropout, tied and frozen parameters: N ranks equal one, and what
 * dropout drops is bit for bit the same on any number of ranks. */
#include "mpi_train.h"

#define WORDS 11
#define WIDE 6

static double together_[NUMBERS], alone[NUMBERS];

static weft_fabric *open_on(MPI_Comm comm)
{
    weft_fabric *f;
    weft_open_mpi(&f, comm,
                  WEFT_OPEN(.strategy = comm == MPI_COMM_WORLD ? "ddp" : "single", .seed = 5,
                            .precision = "64-true"));
    return f;
}

/* This rank's rows of `rows` rows that begin with the global row `base`. */
static int64_t share(weft_fabric *f, int64_t rows, int64_t *first)
{
    int64_t r = weft_global_rank(f), w = weft_world_size(f), extra = rows % w;
    *first = r * (rows / w) + (r < extra ? r : extra);
    return rows / w + (r < extra);
}

/* --- what is dropped --- */

typedef enum form { ROWS_FIRST, TRANSPOSED, RESHAPED, ATTENDED, FORMS } form;

/* Three positions that see each other alike, most of them dropped. */
static weft_tensor *attended(weft_tensor *x)
{
    weft_tensor *y = weft_unsqueeze(x, 1), *zero = weft_scale(y, 0);
    return weft_attention(zero, zero, y, WEFT_ATTENTION(.dropout = 0.8));
}

/* Ones of (rows, 3, 2) in a form, then dropout; this rank's rows go to out, 6 numbers each. */
static int64_t dropped(MPI_Comm comm, int64_t rows, int64_t base, form how, double *out)
{
    static double one[1000];
    weft_fabric *f = open_on(comm);
    int64_t first, mine = share(f, rows, &first);
    for (int i = 0; i < 1000; i++)
        one[i] = 1;
    weft_tensor *x = weft_tensor_of(f, one, 3, (int64_t[]){mine, 3, 2}, WEFT_F64);
    weft_batch b = weft_batch_of(f, x, NULL, base + first, rows);
    weft_dropout(b.x, 0.5, true); /* another call */
    if (how == ROWS_FIRST)
        x = weft_dropout(b.x, 0.5, true);
    else if (how == TRANSPOSED)
        x = weft_transpose(weft_dropout(weft_transpose(b.x, 0, 1), 0.5, true), 0, 1);
    else if (how == ATTENDED)
        x = attended(b.x);
    else
        x = weft_dropout(weft_reshape(b.x, 2, (int64_t[]){3 * mine, 2}), 0.5, true);
    int ok = weft_copy_out(x, out, (size_t)mine * 6 * sizeof(double)) == 0;
    return weft_close(&f) == 0 && ok ? first : -1;
}

START_TEST(masks_are_those_of_one_rank)
{
    for (form how = ROWS_FIRST; how < FORMS; how++)
        for (int64_t rows = 1; rows < 40; rows = 3 * rows + 2) {
            int64_t at = dropped(MPI_COMM_WORLD, rows, 1000, how, together_);
            int64_t next = all_rank() + 1 < all_world() ? 0 : rows, ones = 0, w = all_world();
            ck_all(at >= 0);
            ck_all(dropped(MPI_COMM_SELF, rows, 1000, how, alone) == 0);
            next = rows / w + (all_rank() < rows % w);
            ck_all(!memcmp(together_, alone + 6 * at, (size_t)next * 6 * sizeof(double)));
            for (int64_t i = 0; i < 6 * rows; i++)
                ones += alone[i] != 0;
            ck_all(rows < 10 || (ones > rows && ones < 5 * rows));
            /* other rows of the run have another mask */
            ck_all(dropped(MPI_COMM_SELF, rows, 2000, how, together_) == 0);
            ck_all(rows < 10 || memcmp(together_, alone, (size_t)rows * 6 * sizeof(double)));
        }
}
END_TEST

/* --- training --- */

typedef enum change { PLAIN, FROZEN_LATER, TIED } change;

static weft_module *net(weft_fabric *f, change c)
{
    weft_module *block = weft_nn_residual(
        f, weft_nn_sequential(f, weft_nn_layernorm(f, WIDE), weft_nn_linear(f, WIDE, WIDE),
                              weft_nn_relu(f), weft_nn_dropout(f, 0.25)));
    weft_module *m =
        weft_nn_sequential(f, weft_nn_embedding_padded(f, WORDS, WIDE, 0), block,
                           weft_nn_dropout(f, 0.1), weft_nn_linear_nobias(f, WIDE, WORDS));
    if (c == TIED)
        weft_tie(m, "3.weight", "0.weight");
    weft_init_param(m, "3.weight", WEFT_INITIALIZER(.kind = "xavier_normal"));
    return m;
}

static weft_tensor *numbers(weft_fabric *f, int64_t rows, int64_t first, int64_t step, int by)
{
    int64_t v[400];
    for (int64_t i = 0; i < 3 * rows; i++)
        v[i] = (5 * (3 * first + i) + by * step) % WORDS;
    return weft_tensor_of(f, v, 2, (int64_t[]){rows, 3}, WEFT_I64);
}

/* Sentences of three words; the logits (rows, 3, WORDS) go to (rows, WORDS, 3). */
static size_t train(MPI_Comm comm, int64_t batch, change c, double *out)
{
    weft_fabric *f = open_on(comm);
    weft_module *m = net(f, c);
    weft_optimizer *o = weft_adam(m, WEFT_ADAM(.lr = 1e-2, .weight_decay = 0.1));
    weft_setup(f, m, o);
    for (int64_t i = 0; i < 12; i++) {
        int64_t first, mine = share(f, batch, &first);
        weft_batch b = weft_batch_of(f, numbers(f, mine, first, i, 3),
                                     numbers(f, mine, first, i, 4), i * batch + first, batch);
        if (c == FROZEN_LATER && i % 6 == 4)
            weft_freeze(weft_child(m, 1), i == 4);
        weft_tensor *z = weft_transpose(weft_forward(m, b.x), 1, 2);
        weft_zero_grad(o);
        weft_backward(f, weft_cross_entropy_with(z, b.y, WEFT_CROSS_ENTROPY(.ignore_zero = true)));
        weft_step(o);
        weft_step_end(f);
    }
    size_t n = weft_error(f) ? 0 : numbers_of(m, out);
    return weft_close(&f) == 0 ? n : 0;
}

START_TEST(n_ranks_train_as_one)
{
    for (change c = PLAIN; c <= TIED; c++)
        for (int64_t batch = 2; batch < 20; batch += 9) {
            size_t n = train(MPI_COMM_WORLD, batch, c, together_);
            ck_all(n > 0);
            ck_all(train(MPI_COMM_SELF, batch, c, alone) == n);
            ck_all(same_bytes(together_, n * sizeof *together_));
            double d = furthest(together_, alone, n);
            if (!(d <= 1e-12))
                fprintf(stderr, "# batch %d, change %d: %g apart\n", (int)batch, c, d);
            ck_all(d <= 1e-12);
        }
}
END_TEST

/* --- one rank alone --- */

START_TEST(what_one_rank_does_wrong_all_are_told)
{
    static const weft_status want[] = {WEFT_EDATA, WEFT_EARG, WEFT_EARG};
    for (int how = 0; how < 3; how++) {
        weft_fabric *f = open_on(MPI_COMM_WORLD);
        bool wrong = all_rank() == all_world() - 1;
        weft_module *m = net(f, PLAIN);
        weft_setup(f, m, NULL);
        weft_batch b = weft_batch_of(f, numbers(f, 2, 0, 0, 3), numbers(f, 2, 0, 0, 4),
                                     2 * all_rank(), 2 * all_world());
        if (wrong && how == 0)
            b.x = weft_full(f, WORDS, 2, (int64_t[]){2, 3}, WEFT_I64);
        weft_tensor *z = weft_transpose(weft_forward(m, b.x), 1, 2);
        z = weft_dropout(z, wrong && how == 1 ? 2 : 0.5, true);
        weft_tensor *loss = weft_cross_entropy_with(
            z, b.y,
            WEFT_CROSS_ENTROPY(.ignore_zero = true,
                               .label_smoothing = wrong && how == 2 ? 2 : 0.1));
        char rank[24];
        snprintf(rank, sizeof rank, "rank %d", all_world() - 1);
        ck_all(weft_backward(f, loss) == want[how]);
        ck_all(weft_error(f) == want[how] && strstr(weft_message(f), rank));
        ck_all(!weft_clear(f));
        ck_all(weft_close(&f) == 0);
    }
}
END_TEST

START_TEST(ties_that_differ_are_found_at_setup)
{
    weft_fabric *f = open_on(MPI_COMM_WORLD);
    weft_module *m = net(f, all_rank() ? PLAIN : TIED);
    ck_all((weft_setup(f, m, NULL) == WEFT_ECONFIG) == (all_world() > 1));
    weft_clear(f);
    ck_all(weft_close(&f) == 0);
}
END_TEST

/* What is done to parameters after setup, on rank `bad` or on all: found by the next backward. */
typedef enum deed { NOTHING, FREEZE, THAW, WRITE, START_AGAIN, DEEDS } deed;

static void act(weft_module *m, deed what)
{
    double v[WIDE];
    weft_tensor *bias = weft_param(m, "1.body.1.bias");
    if (what == FREEZE || what == THAW)
        weft_freeze(weft_child(m, 1), what == FREEZE);
    weft_copy_out(bias, v, sizeof v);
    v[0] += 1;
    if (what == WRITE)
        weft_copy_in(bias, v, sizeof v);
    if (what == START_AGAIN)
        weft_init_param(m, "3.weight", WEFT_INITIALIZER(.kind = "ones"));
}

static weft_status one_step(weft_fabric *f, weft_module *m, weft_optimizer *o)
{
    int64_t first, mine = share(f, 7, &first);
    weft_batch b =
        weft_batch_of(f, numbers(f, mine, first, 0, 3), numbers(f, mine, first, 0, 4), first, 7);
    weft_tensor *z = weft_transpose(weft_forward(m, b.x), 1, 2);
    weft_zero_grad(o);
    weft_status s = weft_backward(f, weft_cross_entropy(z, b.y));
    weft_step(o);
    weft_step_end(f);
    return s;
}

START_TEST(what_one_rank_does_to_parameters)
{
    for (deed what = NOTHING; what < DEEDS; what++)
        for (int bad = -1; bad < all_world(); bad += bad < 1 ? 1 : all_world()) {
            const bool apart = bad >= 0 && all_world() > 1 && what != NOTHING;
            weft_fabric *f = open_on(MPI_COMM_WORLD);
            weft_module *m = net(f, TIED);
            weft_optimizer *o = weft_adam(m, WEFT_ADAM(.lr = 1e-2));
            weft_setup(f, m, o);
            if (what == THAW)
                weft_freeze(weft_child(m, 1), true);
            ck_all(!one_step(f, m, o));
            if (bad < 0 || all_rank() == bad)
                act(m, what);
            ck_all(one_step(f, m, o) == (apart ? WEFT_ECONFIG : WEFT_OK));
            ck_all(weft_error(f) == (apart ? WEFT_ECONFIG : WEFT_OK));
            ck_all(!apart || strstr(weft_message(f), "since the last weft_backward differs"));
            ck_all(!weft_clear(f));
            size_t n = numbers_of(m, together_);
            ck_all(n && same_bytes(together_, n * sizeof *together_)); /* as on rank 0 */
            ck_all(!one_step(f, m, o) && !one_step(f, m, o));
            n = numbers_of(m, together_);
            ck_all(n && same_bytes(together_, n * sizeof *together_));
            ck_all(weft_close(&f) == 0);
        }
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("modules");
    TCase *t = tcase_create("N is one");
    weft_log_level(WEFT_LOG_SILENT);
    tcase_set_timeout(t, 120);
    suite_add_tcase(s, t);
    tcase_add_test(t, masks_are_those_of_one_rank);
    tcase_add_test(t, n_ranks_train_as_one);
    tcase_add_test(t, what_one_rank_does_wrong_all_are_told);
    tcase_add_test(t, ties_that_differ_are_found_at_setup);
    tcase_add_test(t, what_one_rank_does_to_parameters);
    return s;
}

int main(int argc, char **argv)
{
    return all_main(&argc, &argv, suite);
}
