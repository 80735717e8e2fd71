/* Fabric's calls: collectives on tensors and values, rank 0 first, printing, seeding, moving; each
 * right, wrong on all ranks, and wrong on one alone. */
#include "mpi_train.h"

#include <unistd.h>
#include <weft/sys/logger.h>
#include <weft/sys/module.h>

static weft_fabric *opened(void)
{
    weft_fabric *f;
    weft_open_mpi(&f, MPI_COMM_WORLD, WEFT_OPEN(.timeout = 20, .log_every = 1));
    return f;
}

/* Values of a tensor as f64; how many. */
static int values(weft_tensor *t, double *out)
{
    int64_t n = weft_numel(t);
    if (n > 0)
        weft_copy_out(weft_cast(t, WEFT_F64), out, (size_t)n * sizeof *out);
    return (int)n;
}

static bool has_shape(weft_tensor *t, int rank, const int64_t *shape)
{
    bool same = t && weft_rank_of(t) == rank;
    for (int d = 0; same && d < rank; d++)
        same = weft_dim(t, d) == shape[d];
    return same;
}

/* This rank's (2,3): rank * 10 + 0, 1, ... 5; transposed in memory where told. */
static weft_tensor *mine(weft_fabric *f, weft_dtype t, bool transposed)
{
    double v[6];
    for (int i = 0; i < 6; i++)
        v[i] = all_rank() * 10 + (transposed ? i / 2 + i % 2 * 3 : i);
    weft_tensor *x = weft_tensor_of(
        f, v, 2, transposed ? (const int64_t[]){3, 2} : (const int64_t[]){2, 3}, WEFT_F64);
    x = transposed ? weft_transpose(x, 0, 1) : x;
    return t == WEFT_F64 ? x : weft_cast(x, t);
}

/* Whole numbers of a type that weft_cast does not make. */
static weft_tensor *whole(weft_fabric *f, weft_dtype t, int64_t v)
{
    int32_t i32 = (int32_t)v;
    uint8_t u8 = (uint8_t)v;
    const void *p = t == WEFT_I64 ? (const void *)&v : t == WEFT_I32 ? (const void *)&i32 : &u8;
    return weft_tensor_of(f, p, 0, NULL, t);
}

START_TEST(gather)
{
    static const weft_dtype type[] = {WEFT_F64, WEFT_F32, WEFT_F16, WEFT_BF16};
    weft_fabric *f = opened();
    int64_t w = all_world(), shape[3] = {w, 2, 3};
    double v[64];
    for (int i = 0; i < 8; i++) {
        weft_tensor *g = weft_all_gather(f, mine(f, type[i / 2], i % 2));
        bool ok = has_shape(g, 3, shape) && weft_dtype_of(g) == type[i / 2];
        for (int k = values(g, v) - 1; ok && k >= 0; k--)
            ok = v[k] == k / 6 * 10 + k % 6;
        ck_all(ok);
    }
    weft_tensor *g = weft_all_gather(f, whole(f, WEFT_U8, 250 + all_rank()));
    ck_all(has_shape(g, 1, shape) && values(g, v) == w && v[w - 1] == 249 + w);
    g = weft_all_gather(f, weft_full(f, 0, 2, (const int64_t[]){0, 5}, WEFT_I64));
    ck_all(has_shape(g, 3, (const int64_t[]){w, 0, 5}) && !weft_error(f));
    /* no gradient flows, and none is asked for */
    weft_module *m = weft_nn_linear(f, 3, 1);
    weft_setup_module(f, m);
    g = weft_all_gather(f, weft_param(m, "weight"));
    ck_all(has_shape(g, 3, (const int64_t[]){w, 1, 3}));
    ck_all(weft_backward(f, weft_sum(g, WEFT_ALL)) == WEFT_ESTATE && !weft_clear(f));
    ck_all(!weft_close(&f));
}
END_TEST

START_TEST(gather_rows)
{
    weft_fabric *f = opened();
    double v[64];
    int64_t w = all_world(), r = all_rank(), total = w * (w - 1) / 2 * 2;
    /* rank r has 2 r rows: rank 0 none */
    double here[32];
    for (int i = 0; i < 4 * r; i++)
        here[i] = (double)(100 * r + i);
    weft_tensor *g =
        weft_all_gather_rows(f, weft_tensor_of(f, here, 2, (const int64_t[]){2 * r, 2}, WEFT_F64));
    ck_all(has_shape(g, 2, (const int64_t[]){total, 2}) && values(g, v) == 2 * total);
    bool ok = true;
    for (int64_t p = 0, at = 0; p < w; p++)
        for (int64_t i = 0; i < 4 * p; i++)
            ok &= v[at++] == (double)(100 * p + i);
    ck_all(ok);
    for (int bad = 0; bad < w; bad++) {
        weft_tensor *t = weft_full(f, 1, 2, (const int64_t[]){r, r == bad ? 3 : 2}, 0);
        g = weft_all_gather_rows(f, t);
        ck_all(w == 1 ? g != NULL : !g && weft_error(f) == WEFT_ECONFIG && !weft_clear(f));
        ck_all(!weft_all_gather_rows(f, r == bad ? weft_full(f, 1, 0, NULL, 0) : t));
        ck_all(weft_error(f) == WEFT_ESHAPE && !weft_clear(f));
    }
    ck_all(!weft_close(&f));
}
END_TEST

START_TEST(reduce)
{
    weft_fabric *f = opened();
    double v[8], w = all_world(), first = w * (w - 1) / 2 * 10;
    for (int i = 0; i < 2; i++) {
        weft_dtype t = i ? WEFT_F64 : WEFT_F32;
        weft_tensor *x = mine(f, t, true), *y = weft_all_reduce(f, x, "sum");
        ck_all(has_shape(y, 2, (const int64_t[]){2, 3}) && weft_dtype_of(y) == t);
        ck_all(values(y, v) == 6 && v[0] == first && v[5] == first + 5 * w);
        ck_all(values(x, v) == 6 && v[5] == all_rank() * 10 + 5); /* not in place */
        y = weft_all_reduce(f, x, NULL);
        ck_all(values(y, v) == 6 && fabs(v[5] - first / w - 5) < (i ? 1e-14 : 1e-5));
        ck_all(values(weft_all_reduce(f, x, "AVG"), v + 1) == 6 && v[0] == v[1]);
        ck_all(values(weft_all_reduce(f, x, "min"), v) == 6 && v[0] == 0 && v[5] == 5);
        ck_all(values(weft_all_reduce(f, x, "max"), v) == 6 && v[0] == 10 * (w - 1));
    }
    /* integers neither wrap nor lose their fraction */
    weft_tensor *y = weft_all_reduce(f, whole(f, WEFT_U8, 200), "sum");
    ck_all(weft_dtype_of(y) == WEFT_I64 && values(y, v) == 1 && v[0] == 200 * w);
    y = weft_all_reduce(f, whole(f, WEFT_I32, INT32_MAX), "sum");
    ck_all(weft_dtype_of(y) == WEFT_I64 && values(y, v) == 1 && v[0] == w * INT32_MAX);
    y = weft_all_reduce(f, whole(f, WEFT_I64, all_rank()), "mean");
    ck_all(weft_dtype_of(y) == WEFT_F64 && weft_item(y) == (w - 1) / 2);
    y = weft_all_reduce(f, whole(f, WEFT_U8, all_rank() + 7), "max");
    ck_all(weft_dtype_of(y) == WEFT_U8 && values(y, v) == 1 && v[0] == w + 6);
    y = weft_all_reduce(f, weft_full(f, 1, 1, (const int64_t[]){0}, 0), "sum");
    ck_all(y && weft_numel(y) == 0 && !weft_error(f) && !weft_close(&f));
}
END_TEST

/* What differs is said on all ranks, in one message before anything travels. */
START_TEST(differing)
{
    for (int bad = 0; bad < all_world(); bad++) {
        weft_fabric *f = opened();
        bool here = all_rank() == bad;
        int64_t n = here ? 2 : 3;
        weft_status want = all_world() > 1 ? WEFT_ECONFIG : WEFT_OK;
        for (int kind = 0; kind < 6; kind++) {
            weft_tensor *x = weft_full(f, 1, 1, &n, 0), *y = NULL;
            if (kind == 0)
                y = weft_all_gather(f, x);
            if (kind == 1)
                y = weft_all_reduce(
                    f,
                    weft_reshape(weft_full(f, 1, 1, (const int64_t[]){6}, 0), 2,
                                 here ? (const int64_t[]){2, 3} : (const int64_t[]){3, 2}),
                    "sum");
            if (kind == 2)
                y = weft_all_gather(f, weft_full(f, 1, 0, NULL, here ? WEFT_F64 : WEFT_F32));
            if (kind == 3)
                y = weft_all_reduce(f, weft_full(f, 1, 0, NULL, 0), here ? "min" : "max");
            if (kind == 4)
                y = here ? weft_all_gather(f, x) : weft_all_reduce(f, x, "sum");
            if (kind == 5)
                y = weft_broadcast(f, x, here && all_world() > 1);
            ck_all(weft_error(f) == want && !y == (want != 0));
            ck_all(!want || strstr(weft_message(f), "differs between ranks"));
            ck_all(!weft_clear(f));
        }
        ck_all(!weft_close(&f));
    }
}
END_TEST

START_TEST(wrong_tensors)
{
    static const int64_t ones[8] = {1, 1, 1, 1, 1, 1, 1, 1};
    weft_fabric *g;
    weft_open_mpi(&g, MPI_COMM_SELF, NULL);
    for (int bad = -1; bad < all_world(); bad++) {
        static const weft_status want[] = {WEFT_EARG,  WEFT_EHANDLE, WEFT_EHANDLE, WEFT_EDTYPE,
                                           WEFT_EARG,  WEFT_ESTATE,  WEFT_ESHAPE,  WEFT_EARG,
                                           WEFT_EDATA, WEFT_EARG,    WEFT_EARG,    WEFT_EARG};
        weft_fabric *f = opened();
        weft_module *m = weft_nn_linear(f, 1, 1);
        for (int kind = 0; kind < 12; kind++) {
            bool here = bad < 0 || all_rank() == bad;
            weft_tensor *x = weft_full(f, 1, 2, ones, 0), *y = NULL;
            char text[8] = "12345678";
            memcpy(text, all_rank() || kind != 11 ? "short" : "longer!", 6);
            if (here && kind == 1) {
                x = weft_full(f, 1, 2, ones, 0);
                weft_release(x);
            }
            x = !here ? x : kind == 0 ? NULL : kind == 2 ? weft_full(g, 1, 2, ones, 0) : x;
            if (kind == 8 && here)
                weft_fail(f, WEFT_EDATA, "before");
            if (kind < 3 || kind == 8)
                y = weft_all_gather(f, kind == 8 && here ? NULL : x);
            if (kind == 3)
                y = weft_all_reduce(f, here ? weft_cast(x, WEFT_F16) : x, "sum");
            if (kind == 4)
                y = weft_all_reduce(f, x, here ? "product" : "sum");
            if (kind == 5)
                y = weft_all_gather(f, here ? weft_module_own(m, "weight") : x);
            if (kind == 6)
                y = weft_all_gather(f, weft_full(f, 1, here ? 8 : 2, ones, 0));
            if (kind == 7)
                y = weft_broadcast(f, x, here ? all_world() : 0);
            if (kind == 9)
                ck_all(weft_broadcast_bytes(f, here ? NULL : text, 8, 0) == WEFT_EARG);
            if (kind == 10)
                ck_all(weft_broadcast_text(f, text, 8, here ? -1 : 0) == WEFT_EARG);
            if (kind == 11)
                ck_all(weft_broadcast_text(f, text, here ? 3 : 8, 0) == WEFT_EARG);
            if (weft_error(f) != want[kind])
                fprintf(stderr, "# kind %d: %s\n", kind, weft_message(f));
            ck_all(!y && weft_error(f) == want[kind] && *weft_message(f));
            ck_all(!weft_clear(f));
        }
        ck_all(!weft_close(&f));
    }
    ck_all(!weft_close(&g));
}
END_TEST

START_TEST(from_one)
{
    weft_fabric *f = opened();
    for (int src = 0; src < all_world(); src++) {
        double v[6];
        weft_tensor *x = all_rank() == src ? mine(f, WEFT_F32, true) : NULL;
        weft_tensor *y = weft_broadcast(f, x, src);
        ck_all(has_shape(y, 2, (const int64_t[]){2, 3}) && weft_dtype_of(y) == WEFT_F32);
        ck_all(values(y, v) == 6 && v[0] == 10 * src && v[5] == 10 * src + 5 && y != x);
        struct {
            int a;
            double b;
        } thing = {all_rank(), 0.5 * all_rank()};
        ck_all(!weft_broadcast_bytes(f, &thing, sizeof thing, src));
        ck_all(thing.a == src && thing.b == 0.5 * src);
        ck_all(!weft_broadcast_bytes(f, NULL, 0, src));
        char text[40] = "";
        snprintf(text, sizeof text, "rank %d%s", all_rank(), all_rank() % 2 ? " and more" : "");
        size_t capacity = sizeof text - (size_t)all_rank();
        ck_all(!weft_broadcast_text(f, text, capacity, src));
        ck_all(text[5] == '0' + src && strlen(text) == (src % 2 ? 15u : 6u));
    }
    ck_all(!weft_error(f) && !weft_close(&f));
}
END_TEST

START_TEST(decisions)
{
    weft_fabric *f = opened();
    for (int one = 0; one < all_world(); one++) {
        bool here = all_rank() == one, single = all_world() == 1;
        ck_all(weft_reduce_boolean_decision(f, true, true));
        ck_all(weft_reduce_boolean_decision(f, !here, true) == false);
        ck_all(weft_reduce_boolean_decision(f, here, false) == true);
        ck_all(weft_reduce_boolean_decision(f, here, true) == single);
        ck_all(!weft_reduce_boolean_decision(f, false, false) && !weft_error(f));
        bool ok = weft_reduce_boolean_decision(f, true, here);
        ck_all(ok == single && weft_error(f) == (single ? WEFT_OK : WEFT_ECONFIG));
        ck_all(!weft_clear(f) && !weft_barrier_named(f, "same") && !weft_barrier_named(f, NULL));
        weft_status s = weft_barrier_named(f, here ? "one place" : "another");
        ck_all(s == (single ? WEFT_OK : WEFT_ECONFIG) && !weft_clear(f));
        if (here)
            weft_fail(f, WEFT_EUSER, "not well");
        ck_all(weft_barrier_named(f, "same") == WEFT_EUSER && !weft_clear(f));
    }
    ck_all(!weft_close(&f));
}
END_TEST

/* The body on rank 0 is over before it begins elsewhere. */
START_TEST(rank_zero_first)
{
    weft_fabric *f = opened();
    char path[32];
    for (int local = 0; local < 2; local++) {
        int seen = -1;
        snprintf(path, sizeof path, "first-%05d", local);
        weft_status s = weft_rank_zero_first_begin(f, local);
        if (all_rank() == 0) {
            usleep(20000);
            FILE *file = fopen(path, "w");
            fclose(file);
        } else {
            seen = access(path, R_OK);
        }
        ck_all(!weft_rank_zero_first_end(f) && !s);
        ck_all(all_rank() == 0 || seen == 0);
        if (all_rank() == 0)
            unlink(path);
        weft_barrier(f);
    }
    ck_all(!weft_close(&f));
}
END_TEST

/* A body that fails: on rank 0 the others do not run theirs; elsewhere all know at the end. */
START_TEST(first_fails)
{
    for (int bad = 0; bad < all_world(); bad++) {
        weft_fabric *f = opened();
        int ran = 0;
        weft_status s = weft_rank_zero_first_begin(f, false);
        if (!s) {
            ran = 1;
            if (all_rank() == bad)
                weft_fail(f, WEFT_EIO, "no download on %d", bad);
        }
        ck_all(weft_rank_zero_first_end(f) == WEFT_EIO && weft_error(f) == WEFT_EIO);
        ck_all(strstr(weft_message(f), "no download on ") && ran == (bad || all_rank() == 0));
        ck_all(!weft_clear(f));
        if (all_rank() == bad)
            weft_fail(f, WEFT_EUSER, "before");
        s = weft_rank_zero_first_begin(f, false);
        ck_all(weft_rank_zero_first_end(f) == WEFT_EUSER && !weft_clear(f));
        ck_all(s == WEFT_EUSER || (bad && all_rank() == 0)); /* rank 0 knew nothing of it */
        /* unbalanced, on one rank alone */
        if (all_rank() == bad)
            ck_assert(weft_rank_zero_first_end(f) == WEFT_ESTATE);
        ck_all(weft_step_end(f) == WEFT_ESTATE && !weft_clear(f));
        s = weft_rank_zero_first_begin(f, false);
        if (all_rank() == bad)
            ck_assert(weft_rank_zero_first_begin(f, false) == WEFT_ESTATE);
        ck_all(weft_rank_zero_first_end(f) == WEFT_ESTATE && !weft_clear(f));
        ck_all(!weft_rank_zero_first_begin(f, false) && !weft_rank_zero_first_end(f));
        ck_all(!weft_close(&f));
    }
}
END_TEST

START_TEST(print)
{
    weft_fabric *f = opened();
    char path[32], got[64] = "";
    snprintf(path, sizeof path, "print-%d", all_rank());
    fflush(stdout);
    int kept = dup(STDOUT_FILENO);
    FILE *file = freopen(path, "w+", stdout);
    weft_print(f, "%d is %s", 7, "seven");
    fflush(stdout);
    rewind(stdout);
    size_t n = file ? fread(got, 1, sizeof got - 1, stdout) : 0;
    dup2(kept, STDOUT_FILENO);
    close(kept);
    unlink(path);
    ck_all(!strcmp(got, all_rank() ? "" : "7 is seven\n") && n == strlen(got));
    ck_all(!weft_close(&f));
}
END_TEST

START_TEST(seeding)
{
    double a[1000], b[1000], c[1000];
    size_t n = 0;
    for (int i = 0; i < 3; i++) {
        weft_fabric *f;
        weft_open_mpi(&f, MPI_COMM_WORLD, WEFT_OPEN(.seed = i == 1 ? 77 : 1, .timeout = 20));
        if (i == 2)
            ck_all(!weft_seed_everything(f, 77));
        ck_all(weft_seed(f) == (i ? 77 : 1));
        weft_module *m = small_net(f);
        weft_setup_module(f, m);
        n = numbers_of(m, i == 0 ? a : i == 1 ? b : c);
        ck_all(!weft_close(&f));
    }
    ck_all(!memcmp(b, c, n * sizeof *b) && memcmp(a, b, n * sizeof *a));
    for (int bad = 0; bad < all_world(); bad++) {
        weft_fabric *f = opened();
        weft_status s = weft_seed_everything(f, all_rank() == bad ? 5 : 6);
        ck_all(s == (all_world() > 1 ? WEFT_ECONFIG : WEFT_OK));
        ck_all(weft_seed(f) == (all_world() > 1 ? 0 : 5) && !weft_clear(f) && !weft_close(&f));
    }
}
END_TEST

START_TEST(moving)
{
    weft_fabric *f = opened(), *g;
    double v[6];
    weft_open_mpi(&g, MPI_COMM_SELF, NULL);
    weft_tensor *x = mine(f, WEFT_F32, true), *y = weft_to_device(g, x);
    ck_all(weft_to_device(f, x) == x && y && y != x && weft_to_device(g, y) == y);
    ck_all(has_shape(y, 2, (const int64_t[]){2, 3}) && weft_dtype_of(y) == WEFT_F32);
    ck_all(values(weft_add(y, y), v) == 6 && v[5] == 2 * (all_rank() * 10 + 5));
    ck_all(!weft_to_device(f, NULL) && !weft_error(f));
    weft_batch b = weft_batch_of(f, x, NULL, 4, 2 * all_world());
    const char *const name[] = {"x", "y", "z"};
    b.field[2] = weft_add(x, x);
    b.fields = 3;
    b.name = name;
    weft_batch same = weft_batch_to_device(f, b), other = weft_batch_to_device(g, b);
    weft_tensor *z = weft_batch_field(&other, "z");
    ck_all(z && z != b.field[2] && values(z, v) == 6 && v[5] == 2 * (all_rank() * 10 + 5));
    ck_all(other.field[0] == other.x && weft_batch_field(&same, "z") == b.field[2]);
    ck_all(same.x == x && same.rows == 2 && !same.y && other.x && other.x != x);
    ck_all(other.rows == 2 && other.base == 4 && other.global_rows == 2 * all_world());
    weft_step_end(f);
    ck_all(!weft_to_device(g, x) && weft_error(f) == WEFT_EHANDLE && !weft_clear(f));
    ck_all(!weft_close(&g) && !weft_close(&f));
}
END_TEST

START_TEST(autocast)
{
    weft_fabric *f = opened();
    weft_autocast_begin(f);
    weft_autocast_begin(f);
    weft_tensor *x = weft_matmul(mine(f, WEFT_F32, false), mine(f, WEFT_F32, true));
    ck_all(!x && weft_error(f) == WEFT_ESHAPE && !weft_clear(f)); /* (2,3) x (2,3) */
    x = weft_relu(mine(f, WEFT_F32, false));
    ck_all(weft_dtype_of(x) == WEFT_F32);
    weft_autocast_end(f);
    weft_autocast_end(f);
    ck_all(!weft_error(f));
    if (all_rank() == all_world() - 1)
        weft_autocast_end(f);
    ck_all(weft_step_end(f) == WEFT_ESTATE && !weft_clear(f) && !weft_close(&f));
}
END_TEST

static double logged[3];

static weft_status remember(void *self, const weft_record *r)
{
    (void)self;
    for (int64_t i = 0; i < r->n; i++)
        if (r->name[i][0] >= 'a' && r->name[i][0] <= 'c')
            logged[r->name[i][0] - 'a'] = r->value[i];
    return WEFT_OK;
}

START_TEST(log_dict)
{
    static const weft_logger_ops memory = {
        .size = sizeof memory, .name = "memory", .record = remember};
    weft_fabric *f = opened();
    memset(logged, 0, sizeof logged);
    weft_logger_new(f, &memory, NULL, 0);
    weft_tensor *a = weft_full(f, all_rank(), 0, NULL, 0), *b = weft_full(f, 5, 0, NULL, 0);
    ck_all(!weft_log_dict(f, {"a", a}, {"b", b}));
    ck_all(!weft_log_dict(f, {"c", b}) && !weft_step_end(f));
    ck_all(all_rank() || (logged[0] == (all_world() - 1) / 2.0 && logged[1] == 5));
    ck_all(all_rank() || logged[2] == 5);
    /* one that cannot be logged leaves out no other */
    b = weft_full(f, 6, 0, NULL, 0);
    ck_all(weft_log_dict(f, {"a", mine(f, WEFT_F32, false)}, {"b", b}) == WEFT_ESHAPE);
    ck_all(!weft_step_end(f) && !weft_error(f) && (all_rank() || logged[1] == 6));
    ck_all(!weft_log_dict_n(f, 0, NULL) && !weft_close(&f));
}
END_TEST

/* What is refused before the fabric is open, and after it failed to. */
START_TEST(not_open)
{
    weft_fabric *f;
    int rank = 0;
    char text[4] = "a";
    ck_all(weft_open_mpi(&f, MPI_COMM_WORLD, WEFT_OPEN(.precision = "3")) == WEFT_EARG);
    ck_all(!weft_all_gather(f, NULL) && !weft_all_gather_rows(f, NULL));
    ck_all(!weft_all_reduce(f, NULL, NULL) && !weft_broadcast(f, NULL, 0));
    ck_all(weft_broadcast_bytes(f, &rank, sizeof rank, 0) == WEFT_EARG);
    ck_all(weft_broadcast_text(f, text, sizeof text, 0) == WEFT_EARG);
    ck_all(!weft_reduce_boolean_decision(f, true, true) && weft_barrier_named(f, "x") == WEFT_EARG);
    ck_all(weft_rank_zero_first_begin(f, false) == WEFT_EARG);
    ck_all(weft_rank_zero_first_end(f) == WEFT_EARG && weft_seed_everything(f, 1) == WEFT_EARG);
    ck_all(weft_accumulate(f, 2) == WEFT_EARG && !weft_is_accumulating(f));
    ck_all(isnan(weft_metric_value(f, NULL)) && !weft_metric_mean(f));
    ck_all(!weft_to_device(f, NULL) && weft_close(&f) == -WEFT_EARG);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("calls");
    TCase *t = tcase_create("calls");
    tcase_add_test(t, gather);
    tcase_add_test(t, gather_rows);
    tcase_add_test(t, reduce);
    tcase_add_test(t, differing);
    tcase_add_test(t, wrong_tensors);
    tcase_add_test(t, from_one);
    tcase_add_test(t, decisions);
    tcase_add_test(t, rank_zero_first);
    tcase_add_test(t, first_fails);
    tcase_add_test(t, print);
    tcase_add_test(t, seeding);
    tcase_add_test(t, moving);
    tcase_add_test(t, autocast);
    tcase_add_test(t, log_dict);
    tcase_add_test(t, not_open);
    suite_add_tcase(s, t);
    return s;
}

int main(int argc, char **argv)
{
    weft_log_level(WEFT_LOG_SILENT);
    make_data();
    return all_main(&argc, &argv, suite);
}
