/* Clipping: as PyTorch's; the same norm on every number of ranks and threads; wrong use. */
#include "mpi_train.h"

#include "golden.h"

#define PARAMS 180

typedef struct job {
    weft_fabric *f;
    weft_module *model;
    weft_optimizer *sgd;
} job;

#define OPENED(...) opened(WEFT_OPEN(.seed = 5, .timeout = 20, __VA_ARGS__))

static job opened(const weft_open_options *o)
{
    job j;
    weft_open_mpi(&j.f, MPI_COMM_WORLD, o);
    j.model = small_net(j.f);
    j.sgd = weft_sgd(j.model, WEFT_SGD(.lr = 1));
    weft_setup(j.f, j.model, j.sgd);
    return j;
}

/* A loss whose gradient are the PARAMS numbers, whatever the number of ranks. */
static weft_tensor *loss_with(const job *j, const double *gradient)
{
    weft_tensor *loss = NULL;
    for (int64_t i = 0; i < weft_param_count(j->model); i++) {
        weft_tensor *p = weft_param(j->model, weft_param_name(j->model, i));
        int64_t shape[2] = {weft_dim(p, 0), weft_dim(p, 1)};
        weft_tensor *g = weft_tensor_of(j->f, gradient, weft_rank_of(p), shape, WEFT_F64);
        weft_tensor *term = weft_sum(weft_mul(p, weft_cast(g, weft_dtype_of(p))), WEFT_ALL);
        loss = loss ? weft_add(loss, term) : term;
        gradient += weft_numel(p);
    }
    return loss;
}

static void gradients(const job *j, double *out)
{
    for (int64_t i = 0; i < weft_param_count(j->model); i++) {
        weft_tensor *g = weft_gradient(weft_param(j->model, weft_param_name(j->model, i)));
        g = weft_cast(g, WEFT_F64);
        weft_copy_out(g, out, (size_t)weft_numel(g) * sizeof *out);
        out += weft_numel(g);
    }
}

static weft_status differentiate(const job *j, const double *gradient)
{
    weft_zero_grad(j->sgd);
    return weft_backward(j->f, loss_with(j, gradient));
}

START_TEST(golden_values)
{
    hid_t file = golden_open("calls-clip.h5");
    char name[64], path[96];
    for (int i = 0; i < golden_count(file, "."); i++) {
        double got[PARAMS], norm = 0;
        golden_name(file, ".", i, name, sizeof name);
        bool wide = strstr(name, "_f64") != NULL;
        double slack = wide ? 1e-14 : 3e-7;
        job j = OPENED(.precision = wide ? "64-true" : "32-true");
        snprintf(path, sizeof path, "%s/g", name);
        golden in = golden_read(file, path);
        snprintf(path, sizeof path, "%s/out", name);
        golden out = golden_read(file, path);
        double value = golden_attribute(file, name, "clip_val");
        ck_all(!differentiate(&j, in.v) && in.n == PARAMS);
        weft_tensor *t = weft_clip_gradients(
            j.sgd,
            WEFT_CLIP(.clip_val = value, .max_norm = golden_attribute(file, name, "max_norm"),
                      .norm_type = golden_attribute(file, name, "norm_type")));
        ck_all(!weft_error(j.f) && !t == (value > 0));
        if (t) {
            snprintf(path, sizeof path, "%s/norm", name);
            golden want = golden_read(file, path);
            norm = weft_item(t);
            ck_all(weft_dtype_of(t) == WEFT_F64 && weft_rank_of(t) == 0);
            ck_all(fabs(norm - want.v[0]) <= 10 * slack * want.v[0]);
            ck_all(same_bytes(&norm, sizeof norm));
            golden_free(&want);
        }
        gradients(&j, got);
        ck_all(furthest(got, out.v, PARAMS) <= slack);
        golden_free(&in);
        golden_free(&out);
        ck_all(!weft_close(&j.f));
    }
    H5Fclose(file);
}
END_TEST

/* After a real step's backward: the norm of a rank that holds the whole batch. */
START_TEST(like_one_rank)
{
    double norm[2];
    for (int alone = 0; alone < 2; alone++) {
        job j;
        weft_open_mpi(&j.f, alone ? MPI_COMM_SELF : MPI_COMM_WORLD,
                      WEFT_OPEN(.precision = "64-true", .seed = 5));
        j.model = small_net(j.f);
        j.sgd = weft_sgd(j.model, NULL);
        weft_setup(j.f, j.model, j.sgd);
        weft_loader *l = weft_loader_arrays(j.f, ROWS, data_x, 1, &features, WEFT_F64, data_y,
                                            WEFT_I32, WEFT_LOADER(.global_batch = 60));
        weft_batch b;
        weft_setup_loader(j.f, l);
        weft_next(l, &b);
        weft_backward(j.f, weft_cross_entropy(weft_forward(j.model, b.x), b.y));
        int64_t before = weft_traffic_count(j.f).collectives;
        norm[alone] = weft_item(weft_clip_gradients(j.sgd, WEFT_CLIP(.max_norm = 0.01)));
        ck_all(weft_traffic_count(j.f).collectives == before);
        double after = weft_item(weft_clip_gradients(j.sgd, WEFT_CLIP(.max_norm = INFINITY)));
        ck_all(after < 0.01 && after > 0.0099 && !weft_step(j.sgd) && !weft_close(&j.f));
    }
    ck_all(fabs(norm[0] - norm[1]) < 1e-14 && norm[0] > 0.01);
}
END_TEST

/* Of two optimizers on one model each clips its own part. */
START_TEST(each_its_own)
{
    job j;
    double norm[2];
    weft_open_mpi(&j.f, MPI_COMM_WORLD, WEFT_OPEN(.precision = "64-true", .seed = 5));
    weft_module *part[] = {weft_nn_linear(j.f, 4, 3), weft_nn_linear(j.f, 3, 2)};
    j.model = weft_nn_sequential_n(j.f, 2, part);
    weft_optimizer *o[] = {weft_sgd(part[0], NULL), weft_sgd(part[1], NULL)};
    weft_setup(j.f, j.model, o[0]);
    weft_setup_optimizer(j.f, o[1]);
    weft_tensor *x = weft_full(j.f, 1, 2, (const int64_t[]){5, 4}, WEFT_F64);
    ck_all(!weft_backward(j.f, weft_sum(weft_forward(j.model, x), WEFT_ALL)));
    for (int i = 0; i < 2; i++)
        norm[i] = weft_item(weft_clip_gradients(o[i], WEFT_CLIP(.max_norm = INFINITY)));
    ck_all(norm[0] > 0.1 && norm[1] > 0.1);
    weft_clip_gradients(o[0], WEFT_CLIP(.max_norm = 0.01));
    for (int i = 0; i < 2; i++) {
        double after = weft_item(weft_clip_gradients(o[i], WEFT_CLIP(.max_norm = INFINITY)));
        ck_all(i ? after == norm[1] : after < 0.01);
    }
    ck_all(!weft_step(o[0]) && !weft_step(o[1]) && !weft_close(&j.f));
}
END_TEST

/* Large enough that threads share the work; the same bits for any number of them. */
START_TEST(any_threads)
{
    double norm[3][3];
    for (int i = 0; i < 3; i++) {
        weft_fabric *f;
        weft_open_mpi(&f, MPI_COMM_SELF, WEFT_OPEN(.threads = i + 1, .seed = 5));
        weft_module *m = weft_nn_linear(f, 700, 701);
        weft_optimizer *o = weft_sgd(m, NULL);
        weft_setup_module(f, m);
        weft_setup_optimizer(f, o);
        weft_tensor *w = weft_param(m, "weight");
        weft_backward(f, weft_sum(weft_mul(w, w), WEFT_ALL));
        for (int k = 0; k < 3; k++)
            norm[i][k] = weft_item(weft_clip_gradients(
                o, WEFT_CLIP(.max_norm = 1, .norm_type = (double[]){2, 1, INFINITY}[k])));
        ck_all(!weft_error(f) && norm[i][0] > 1 && !weft_close(&f));
    }
    ck_all(!memcmp(norm[0], norm[1], sizeof norm[0]) && !memcmp(norm[0], norm[2], sizeof norm[0]));
}
END_TEST

/* Whether the program looks at gradients after a clip, or the step is the next to read them: norms, parameters
 * and sums of clipped gradients have the same bits. */
START_TEST(seen_or_not)
{
    static float p[2][700 * 90];
    double norm[2][4];
    memset(p, 0, sizeof p);
    for (int seen = 0; seen < 2; seen++) {
        weft_fabric *f;
        weft_open_mpi(&f, MPI_COMM_WORLD, WEFT_OPEN(.seed = 5, .precision = "bf16-mixed"));
        weft_module *m = weft_nn_linear(f, 700, 89);
        weft_optimizer *o = weft_adamw(m, WEFT_ADAM(.lr = 1e-4));
        weft_setup(f, m, o);
        weft_tensor *w = weft_param(m, "weight");
        for (int i = 0; i < 4; i++) {
            if (i % 2 == 0) /* else what was clipped is added to */
                weft_zero_grad(o);
            weft_backward(f, weft_sum(weft_mul(w, w), WEFT_ALL));
            norm[seen][i] = weft_item(weft_clip_gradients(o, WEFT_CLIP(.max_norm = 1)));
            ck_all(!seen || weft_item(weft_max(weft_gradient(w), WEFT_ALL)) < 1);
            ck_all(!weft_step(o) && !weft_step_end(f));
        }
        ck_all(!weft_copy_out(w, p[seen], (size_t)weft_numel(w) * sizeof(float)));
        ck_all(norm[seen][0] > 1 && norm[seen][1] > norm[seen][0] && !weft_close(&f));
    }
    ck_all(!memcmp(norm[0], norm[1], sizeof norm[0]) && !memcmp(p[0], p[1], sizeof p[0]));
}
END_TEST

START_TEST(wrong_options)
{
    static const weft_clip_options wrong[] = {{.clip_val = 0},
                                              {.clip_val = 1, .max_norm = 1},
                                              {.clip_val = -1},
                                              {.max_norm = -1},
                                              {.max_norm = NAN},
                                              {.clip_val = NAN},
                                              {.max_norm = 1, .norm_type = -2},
                                              {.max_norm = 1, .norm_type = NAN}};
    static const double ones[PARAMS] = {[0] = 1, [7] = 2};
    job j = OPENED(.precision = "64-true");
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        for (int bad = -1; bad < all_world(); bad++) { /* -1: on all ranks */
            const weft_clip_options *o =
                bad < 0 || all_rank() == bad ? &wrong[i] : WEFT_CLIP(.max_norm = 1);
            ck_all(!differentiate(&j, ones));
            weft_tensor *t = weft_clip_gradients(j.sgd, o);
            ck_all(!t == (o == &wrong[i]) && weft_error(j.f) == (t ? WEFT_OK : WEFT_EARG));
            weft_step(j.sgd);
            weft_backward(j.f, loss_with(&j, ones));
            ck_all(weft_error(j.f) == WEFT_EARG &&
                   strstr(weft_message(j.f), "weft_clip_gradients"));
            double now[PARAMS];
            ck_all(!weft_clear(j.f) && numbers_of(j.model, now) == PARAMS);
            ck_all(same_bytes(now, sizeof now)); /* also where one rank alone did not clip */
        }
    ck_all(!differentiate(&j, ones) && !weft_clip_gradients(j.sgd, NULL));
    ck_all(weft_error(j.f) == WEFT_EARG && !weft_clear(j.f) && !weft_close(&j.f));
    ck_all(!weft_clip_gradients(NULL, WEFT_CLIP(.max_norm = 1)));
}
END_TEST

START_TEST(wrong_time)
{
    static const double ones[PARAMS] = {[0] = 1, [7] = 2};
    const weft_clip_options *o = WEFT_CLIP(.max_norm = 1);
    job j = OPENED(.precision = "64-true");
    weft_optimizer *fresh = weft_sgd(small_net(j.f), NULL);
    ck_all(!weft_clip_gradients(fresh, o) && strstr(weft_message(j.f), "not set up"));
    ck_all(weft_error(j.f) == WEFT_ESTATE && !weft_clear(j.f));
    ck_all(!weft_clip_gradients(j.sgd, o) && strstr(weft_message(j.f), "without weft_backward"));
    ck_all(weft_error(j.f) == WEFT_ESTATE && !weft_clear(j.f));
    ck_all(!weft_no_backward_sync_begin(j.model, true) && !differentiate(&j, ones));
    ck_all(!weft_clip_gradients(j.sgd, o) && strstr(weft_message(j.f), "not summed"));
    ck_all(weft_error(j.f) == WEFT_ESTATE && !weft_clear(j.f));
    ck_all(!weft_no_backward_sync_end(j.model) && !differentiate(&j, ones));
    ck_all(weft_clip_gradients(j.sgd, o) && weft_clip_gradients(j.sgd, o) && !weft_step(j.sgd));
    ck_all(!weft_step_end(j.f) && !weft_accumulate(j.f, 2) && !differentiate(&j, ones));
    ck_all(!weft_clip_gradients(j.sgd, o) && !weft_error(j.f)); /* where the step waits too */
    ck_all(weft_step(j.sgd) == WEFT_POSTPONED && !weft_step_end(j.f));
    ck_all(!weft_backward(j.f, loss_with(&j, ones)));
    double norm = weft_item(weft_clip_gradients(j.sgd, o)); /* the mean of both: 1, 2 */
    ck_all(fabs(norm - sqrt(5)) < 1e-15 && !weft_step(j.sgd) && !weft_close(&j.f));
}
END_TEST

START_TEST(nonfinite)
{
    static const char *const policy[] = {"ignore", "skip", "error"};
    for (int p = 0; p < 3; p++)
        for (int off = 0; off < 2; off++) {
            double bad[PARAMS] = {[3] = all_rank() == all_world() - 1 ? INFINITY : 1};
            double before[PARAMS], after[PARAMS];
            job j = OPENED(.precision = "64-true", .nonfinite = policy[p]);
            numbers_of(j.model, before);
            differentiate(&j, bad);
            weft_tensor *t = weft_clip_gradients(
                j.sgd, WEFT_CLIP(.max_norm = 1, .error_if_nonfinite = off ? WEFT_OFF : 0));
            weft_status s = weft_step(j.sgd);
            numbers_of(j.model, after);
            bool same = !memcmp(before, after, sizeof before);
            if (p == 0 && off)
                ck_all(t && isinf(weft_item(t)) && s == WEFT_OK && !same);
            else if (p == 1)
                ck_all(t && isinf(weft_item(t)) && s == WEFT_SKIPPED && same);
            else
                ck_all(!t && s == WEFT_ENONFINITE && weft_error(j.f) == s && same);
            weft_clear(j.f);
            ck_all(!weft_close(&j.f));
        }
}
END_TEST

/* What ranks do differently between two backwards is found in the second one, and healed. */
START_TEST(part_ways)
{
    static const double ones[PARAMS] = {[0] = 1, [7] = 2};
    for (int kind = 0; kind < 5; kind++)
        for (int bad = 0; bad<all_world(); bad += all_world()> 2 ? all_world() - 1 : 1) {
            const bool here = all_rank() == bad, several = all_world() > 1;
            double now[PARAMS];
            job j = OPENED(.precision = kind % 2 ? "32-true" : "64-true");
            ck_all(!differentiate(&j, ones));
            if (kind == 0)
                weft_clip_gradients(j.sgd, WEFT_CLIP(.max_norm = here ? 2 : 1));
            if (kind == 1 && here)
                weft_clip_gradients(j.sgd, WEFT_CLIP(.clip_val = 1));
            if (kind == 2)
                weft_clip_gradients(j.sgd, WEFT_CLIP(.max_norm = 1, .norm_type = here ? 1 : 2));
            if (kind == 3)
                weft_set_lr(j.sgd, here ? 0.5 : 0.25);
            ck_all(!weft_step(j.sgd));
            if (kind == 4 && here)
                weft_step(j.sgd);
            ck_all(differentiate(&j, ones) == (several ? WEFT_ECONFIG : WEFT_OK));
            ck_all(!several || strstr(weft_message(j.f), "since the last weft_backward"));
            ck_all(weft_step(j.sgd) == (several ? WEFT_ECONFIG : WEFT_OK) && !weft_clear(j.f));
            ck_all(numbers_of(j.model, now) == PARAMS && same_bytes(now, sizeof now));
            if (kind == 3)
                weft_set_lr(j.sgd, 0.25); /* the program's own matter */
            ck_all(!differentiate(&j, ones) && !weft_step(j.sgd));
            ck_all(!weft_close(&j.f));
        }
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("clip");
    TCase *t = tcase_create("gradients");
    tcase_add_test(t, golden_values);
    tcase_add_test(t, like_one_rank);
    tcase_add_test(t, each_its_own);
    tcase_add_test(t, any_threads);
    tcase_add_test(t, seen_or_not);
    tcase_add_test(t, wrong_options);
    tcase_add_test(t, wrong_time);
    tcase_add_test(t, nonfinite);
    tcase_add_test(t, part_ways);
    suite_add_tcase(s, t);
    return s;
}

int main(int argc, char **argv)
{
    weft_log_level(WEFT_LOG_SILENT);
    make_data();
    return all_main(&argc, &argv, suite);
}
