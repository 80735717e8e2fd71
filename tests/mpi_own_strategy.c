/* Strategies of the user's own, through public headers alone: gradients that are gathered and added up
 * by each rank, parameters that go their own way and are averaged (local SGD), and tables and callbacks
 * that are wrong. */
#include "mpi_train.h"

#include <weft/sys/strategy.h>

#define STEPS 6
#define EACH 5 /* rows of a rank */

static double own[NUMBERS], other[NUMBERS];

typedef struct mine {
    weft_dev room; /* for every rank's bucket */
    size_t bytes;
    int every; /* steps from one average to the next */
    int64_t steps, closed, seen[4];
    int fails; /* in reduce, on the last rank, so many calls from now */
} mine;

static weft_status make_room(weft_strategy *s, void *self, weft_space *space)
{
    mine *m = self;
    size_t most = 0;
    for (int i = 0; i < weft_space_buckets(space); i++) {
        const weft_bucket b = weft_space_bucket(space, i);
        const size_t n = (size_t)b.count * weft_dtype_size(b.dtype);
        most = n > most ? n : most;
    }
    if (!weft_space_is_trainable(space) || m->bytes)
        return WEFT_OK;
    m->bytes = most * (size_t)weft_world_size(weft_strategy_fabric(s));
    return weft_strategy_alloc(s, m->bytes, &m->room);
}

static void give_back(weft_strategy *s, void *self)
{
    mine *m = self;
    weft_strategy_release(s, m->room, m->bytes);
    m->closed++;
}

static weft_dev behind(weft_dev p, int64_t n, weft_dtype t)
{
    p.addr += (uintptr_t)n * weft_dtype_size(t);
    return p;
}

static weft_status add_all(weft_strategy *s, void *self, const weft_bucket *b)
{
    mine *m = self;
    const weft_kernels *k = weft_strategy_device(s)->ops->kernels;
    weft_stream *stream = weft_strategy_stream(s);
    int64_t counts[64];
    int world = weft_world_size(weft_strategy_fabric(s));
    for (int r = 0; r < world; r++)
        counts[r] = b->count;
    weft_status code = weft_strategy_all_gather(s, b->name, m->room, counts, b->data, b->dtype);
    if (!code)
        code = k->fill(stream, b->data, b->count, 0, b->dtype);
    for (int r = 0; r < world && !code; r++)
        code = k->axpy(stream, b->data, 1, behind(m->room, r * b->count, b->dtype), b->count,
                       b->dtype);
    if (!code && m->fails && --m->fails == 0 && all_rank() == world - 1)
        return weft_strategy_fail(s, WEFT_EUSER, "bucket %d is not to my taste", b->index);
    return code;
}

static weft_status count(weft_strategy *s, void *self, weft_module *m, weft_when when)
{
    (void)s, (void)m;
    ((mine *)self)->seen[when]++;
    return WEFT_OK;
}

static const weft_strategy_ops gathered = {.size = sizeof gathered,
                                           .name = "gathered",
                                           .setup = make_room,
                                           .close = give_back,
                                           .reduce = add_all,
                                           .module = count};

static weft_status average(weft_strategy *s, void *self, weft_space *space)
{
    mine *m = self;
    const weft_dtype t = weft_space_dtype(space, WEFT_PLANE_PARAM);
    weft_dev p = weft_space_at(space, WEFT_PLANE_PARAM, 0);
    const int64_t n = weft_space_elements(space);
    if (++m->steps % m->every)
        return WEFT_OK;
    weft_status code = weft_strategy_all_reduce(s, "average", p, n, t, WEFT_REDUCE_SUM);
    if (code)
        return code;
    return weft_strategy_device(s)->ops->kernels->scale(
        weft_strategy_stream(s), p, 1.0 / weft_world_size(weft_strategy_fabric(s)), p, n, t);
}

static const weft_strategy_ops local_sgd = {
    .size = sizeof local_sgd, .name = "local_sgd", .stepped = average};

/* This rank's rows, or all ranks', of step i. */
static weft_tensor *loss(weft_fabric *f, weft_module *m, int i)
{
    const int64_t w = weft_world_size(f), n = EACH;
    const int64_t first = i * n * all_world() + (int64_t)all_rank() * n;
    weft_tensor *x =
        weft_tensor_of(f, data_x + first * FEATURES, 2, (const int64_t[]){n, FEATURES}, WEFT_F64);
    weft_tensor *y = weft_tensor_of(f, data_y + first, 1, &n, WEFT_I32);
    weft_batch b = weft_batch_of(f, x, y, w > 1 ? first : 0, n * w);
    return weft_cross_entropy(weft_forward(m, b.x), b.y);
}

static weft_fabric *opened(MPI_Comm comm, const char *name, const weft_strategy_ops *ops, mine *m)
{
    weft_fabric *f;
    weft_open_mpi(&f, comm,
                  WEFT_OPEN(.strategy = name, .strategy_ops = ops, .strategy_self = m, .seed = 3,
                            .precision = "64-true", .timeout = 20));
    return f;
}

static int step(weft_fabric *f, weft_module *m, weft_optimizer *o, int i)
{
    weft_zero_grad(o);
    weft_status s = weft_backward(f, loss(f, m, i));
    weft_clip_gradients(o, WEFT_CLIP(.clip_val = 10));
    s = s ? s : weft_step(o);
    weft_status edge = weft_step_end(f);
    return s ? s : edge;
}

static size_t train(weft_fabric *f, weft_module **m, weft_optimizer **o, double *out)
{
    *m = small_net(f);
    *o = weft_sgd(*m, WEFT_SGD(.lr = 0.1));
    weft_setup(f, *m, *o);
    for (int i = 0; i < STEPS; i++)
        ck_all(!step(f, *m, *o, i));
    return numbers_of(*m, out);
}

START_TEST(gathered_is_ddp)
{
    mine m = {0};
    weft_module *net;
    weft_optimizer *o;
    weft_fabric *f = opened(MPI_COMM_WORLD, NULL, &gathered, &m);
    size_t n = train(f, &net, &o, own);
    ck_all(n > 0 && strcmp(weft_strategy_name(f), "gathered") == 0);
    for (int w = 0; w < 4; w++) /* the net and its three layers, of which two compute as one */
        ck_all(m.seen[w] == m.seen[0] && m.seen[w] >= 3 * STEPS);
    ck_all(weft_traffic_count(f).gradient_reduces == STEPS);
    ck_all(weft_close(&f) == 0 && m.closed == 1);
    f = opened(MPI_COMM_WORLD, all_world() > 1 ? "ddp" : "single", NULL, NULL);
    ck_all(train(f, &net, &o, other) == n);
    ck_all(weft_close(&f) == 0);
    ck_all(same_bytes(own, n * sizeof *own) && furthest(own, other, n) <= 1e-12);
}
END_TEST

/* With an average after every step it is ddp; after every third, each rank alone in between. */
START_TEST(local_sgd_is_itself)
{
    for (int every = 1; every <= 3; every += 2) {
        mine m = {.every = every};
        weft_module *net;
        weft_optimizer *o;
        weft_fabric *f = opened(MPI_COMM_WORLD, NULL, &local_sgd, &m);
        size_t n = train(f, &net, &o, own);
        ck_all(n > 0 && m.steps == STEPS && weft_close(&f) == 0);
        ck_all(same_bytes(own, n * sizeof *own));
        f = opened(MPI_COMM_SELF, "single", NULL, NULL);
        net = small_net(f);
        o = weft_sgd(net, WEFT_SGD(.lr = 0.1));
        weft_setup(f, net, o);
        for (int i = 0; i < STEPS; i++) {
            ck_all(!step(f, net, o, i));
            if ((i + 1) % every)
                continue;
            size_t at = 0;
            numbers_of(net, other);
            MPI_Allreduce(MPI_IN_PLACE, other, (int)n, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
            for (size_t k = 0; k < n; k++)
                other[k] /= all_world();
            for (int64_t p = 0; p < weft_param_count(net); p++) {
                weft_tensor *t = weft_param(net, weft_param_name(net, p));
                weft_copy_in(t, other + at, (size_t)weft_numel(t) * sizeof *other);
                at += (size_t)weft_numel(t);
            }
        }
        ck_all(weft_close(&f) == 0 && furthest(own, other, n) <= 1e-12);
    }
}
END_TEST

/* What is bad on one rank alone is skipped by all, where gradients are each rank's own. */
START_TEST(ranks_skip_together)
{
    mine m = {.every = 1};
    weft_fabric *f;
    weft_open_mpi(&f, MPI_COMM_WORLD,
                  WEFT_OPEN(.strategy_ops = &local_sgd, .strategy_self = &m, .nonfinite = "skip",
                            .precision = "64-true", .timeout = 20));
    weft_module *net = small_net(f);
    weft_optimizer *o = weft_sgd(net, WEFT_SGD(.lr = 0.1));
    weft_setup(f, net, o);
    for (int i = 0; i < 3; i++) {
        weft_zero_grad(o);
        weft_tensor *l = loss(f, net, i);
        weft_backward(f, i == 1 && all_rank() == 0 ? weft_scale(l, INFINITY) : l);
        weft_clip_gradients(o, WEFT_CLIP(.max_norm = 1));
        ck_all(weft_step(o) == (i == 1 ? WEFT_SKIPPED : WEFT_OK));
        weft_step_end(f);
    }
    ck_all(m.steps == 2 && weft_close(&f) == 0);
}
END_TEST

START_TEST(a_callback_fails)
{
    mine m = {0};
    weft_fabric *f = opened(MPI_COMM_WORLD, NULL, &gathered, &m);
    weft_module *net;
    weft_optimizer *o;
    train(f, &net, &o, own);
    m.fails = 1;
    ck_all(step(f, net, o, 0) < 0);
    ck_all(strstr(weft_message(f), "strategy gathered: bucket 0 is not to my taste") != NULL);
    weft_clear(f);
    ck_all(!step(f, net, o, 1));
    size_t n = numbers_of(net, own);
    ck_all(same_bytes(own, n * sizeof *own));
    ck_all(weft_close(&f) == 0);
}
END_TEST

static weft_status cuts(weft_strategy *s, void *self, weft_space *space)
{
    (void)s, (void)self;
    return weft_space_cut(space);
}

static weft_status shards(weft_strategy *s, void *self, weft_space *space)
{
    (void)s, (void)self;
    return weft_space_shard(space, WEFT_PLANE_GRAD);
}

static weft_status shards_params(weft_strategy *s, void *self, weft_space *space)
{
    (void)s, (void)self;
    return weft_space_shard(space, WEFT_PLANE_PARAM);
}

/* name: a part of the message. */
static void refused(const weft_strategy_ops *ops, const char *name, const char *strategy,
                    weft_status code, bool everywhere)
{
    const bool mine_too = everywhere || all_rank() == all_world() - 1;
    weft_fabric *f = opened(MPI_COMM_WORLD, mine_too ? strategy : NULL, mine_too ? ops : &gathered,
                            &(mine){.every = 1});
    if (!weft_error(f))
        weft_setup(f, small_net(f), NULL);
    if (weft_error(f) != code || !strstr(weft_message(f), name))
        fprintf(stderr, "# %s: %d %s\n", name, (int)weft_error(f), weft_message(f));
    ck_all(weft_error(f) == code && strstr(weft_message(f), name));
    weft_close(&f);
}

START_TEST(wrong_tables)
{
    const size_t size = sizeof(weft_strategy_ops);
    refused(&(weft_strategy_ops){.size = size, .reduce = add_all}, "lacks name", NULL, WEFT_EARG,
            true);
    refused(&(weft_strategy_ops){.size = 8, .name = "x"}, "size", NULL, WEFT_EARG, true);
    refused(&(weft_strategy_ops){.size = size, .name = "late", .wait = add_all},
            "strategy late is incomplete: it lacks reduce", NULL, WEFT_EARG, true);
    refused(&(weft_strategy_ops){.size = size, .name = "half", .setup = cuts, .reduce = add_all},
            "strategy half is incomplete: it cuts its spaces and lacks stepped", NULL, WEFT_EARG,
            true);
    refused(&(weft_strategy_ops){.size = size, .name = "half", .setup = cuts, .stepped = average},
            "lacks reduce", NULL, WEFT_EARG, true);
    refused(&(weft_strategy_ops){.size = size, .name = "x", .setup = shards, .reduce = add_all},
            "weft_space_cut before", NULL, WEFT_ESTATE, true);
    refused(
        &(weft_strategy_ops){.size = size, .name = "x", .setup = shards_params, .reduce = add_all},
        "other planes", NULL, WEFT_ENOTSUP, true);
    if (all_world() > 1)
        refused(&(weft_strategy_ops){.size = size, .name = "nothing"}, "separate models", NULL,
                WEFT_ECONFIG, true);
}
END_TEST

START_TEST(contradictions)
{
    refused(&gathered, "gathered", "ddp", WEFT_EARG, true);
    refused(&gathered, "gathered", "ddp", WEFT_EARG, false);
    setenv("WEFT_STRATEGY", "zero1", 1);
    refused(&gathered, "zero1", NULL, WEFT_EARG, true);
    unsetenv("WEFT_STRATEGY");
    if (all_world() > 1) {
        refused(&local_sgd, "local_sgd", NULL, WEFT_ECONFIG, false);
        refused(NULL, "ddp", "ddp", WEFT_ECONFIG, false);
    }
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("own strategy");
    TCase *t = tcase_create("public door");
    make_data();
    tcase_add_test(t, gathered_is_ddp);
    tcase_add_test(t, local_sgd_is_itself);
    tcase_add_test(t, ranks_skip_together);
    tcase_add_test(t, a_callback_fails);
    tcase_add_test(t, wrong_tables);
    tcase_add_test(t, contradictions);
    suite_add_tcase(s, t);
    return s;
}

int main(int argc, char **argv)
{
    weft_log_level(WEFT_LOG_SILENT);
    return all_main(&argc, &argv, suite);
}
