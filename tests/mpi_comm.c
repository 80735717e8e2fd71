/* The communicator on MPI: every collective against expected values, agreement, groups, and peers
 * that do not come. Where a test is the same for one rank without MPI, it runs there too. */
#include "mpi_all.h"

#include "comm/comm.h"
#include "comm/mpi.h"
#include "core/context.h"
#include "core/error.h"
#include "core/process.h"
#include "device/device.h"

#include <string.h>
#include <unistd.h>

#define MOST 4097 /* elements a rank */
#define RANKS 16

static weft_comm *mpi, *self;
static int world_handle;

/* One test of all communicators: the usual one, one that must cut everything, one without MPI. */
static weft_comm *variant(int i)
{
    if (i < 2)
        weft__mpi_set_piece(mpi, i == 0 ? 1 << 30 : 24);
    return i < 2 ? mpi : self;
}

static const int64_t count[] = {0, 1, 2, 3, 7, 100, MOST};
static const weft_dtype type[] = {WEFT_F32, WEFT_F64, WEFT_I32, WEFT_I64, WEFT_U8};

static void put(void *p, int64_t i, weft_dtype t, int v)
{
    switch (t) {
    case WEFT_F32:
        ((float *)p)[i] = (float)v;
        break;
    case WEFT_F64:
        ((double *)p)[i] = v;
        break;
    case WEFT_I32:
        ((int32_t *)p)[i] = v;
        break;
    case WEFT_I64:
        ((int64_t *)p)[i] = v;
        break;
    default:
        ((uint8_t *)p)[i] = (uint8_t)v;
    }
}

static int get(const void *p, int64_t i, weft_dtype t)
{
    switch (t) {
    case WEFT_F32:
        return (int)((const float *)p)[i];
    case WEFT_F64:
        return (int)((const double *)p)[i];
    case WEFT_I32:
        return ((const int32_t *)p)[i];
    case WEFT_I64:
        return (int)((const int64_t *)p)[i];
    default:
        return ((const uint8_t *)p)[i];
    }
}

/* Element i of rank r: small, so that sums fit u8, with its extremes on different ranks. */
static int value(int r, int64_t i)
{
    return (int)((i + 3 * r) % 13);
}

static int reduced(weft_reduce op, int world, int64_t i)
{
    int v = value(0, i);
    for (int r = 1; r < world; r++) {
        int w = value(r, i);
        v = op == WEFT_REDUCE_SUM ? v + w : (op == WEFT_REDUCE_MIN) == (w < v) ? w : v;
    }
    return v;
}

static double in[(RANKS * MOST) + 8], out[(RANKS * MOST) + 8];

/* Sizes x types, without the longest where all is cut to crumbs. */
#define EACH(c, n, t)                                                                              \
    for (int v_ = 0; v_ < 3; v_++)                                                                 \
        for (weft_comm *c = variant(v_), *once_ = c; once_; once_ = NULL)                          \
            for (size_t i_ = 0; i_ < sizeof count / sizeof count[0] - (v_ == 1); i_++)             \
                for (size_t j_ = 0; j_ < 5; j_++)                                                  \
                    for (int64_t n = count[i_], t = type[j_], two_ = 1; two_; two_ = 0)

START_TEST(all_reduce)
{
    int good = 1;
    EACH(c, n, t)
    for (int op = 0; op < 3; op++) {
        for (int64_t i = 0; i <= n; i++)
            put(in, i, (weft_dtype)t, i < n ? value(c->rank, i) : 99);
        good &= !weft__all_reduce(c, "values", in, n, (weft_dtype)t, (weft_reduce)op);
        for (int64_t i = 0; i < n; i++)
            good &= get(in, i, (weft_dtype)t) == reduced((weft_reduce)op, c->world, i);
        good &= get(in, n, (weft_dtype)t) == 99;
    }
    ck_all(good);
}
END_TEST

START_TEST(reduce_scatter)
{
    int good = 1;
    EACH(c, n, t)
    for (int shape = 0; shape < 6; shape++) { /* equal, uneven, some have nothing; also in place */
        const size_t size = weft_dtype_size((weft_dtype)t);
        int64_t counts[RANKS], before = 0, total = 0;
        for (int r = 0; r < c->world; r++) {
            counts[r] = shape % 3 == 1 ? n * (r + 1) / c->world : shape % 3 && r % 2 == 0 ? 0 : n;
            before = r == c->rank ? total : before;
            total += counts[r];
        }
        char *part = (char *)in + (size_t)before * size;
        void *to = shape >= 3 ? part : (void *)out;
        put(out, counts[c->rank], (weft_dtype)t, 99);
        for (int64_t i = 0; i < total; i++)
            put(in, i, (weft_dtype)t, value(c->rank, i));
        good &= !weft__reduce_scatter(c, "shards", to, in, counts, (weft_dtype)t);
        for (int64_t i = 0; i < total; i++) {
            const bool mine = i >= before && i < before + counts[c->rank];
            if (mine)
                good &= get(to, i - before, (weft_dtype)t) == reduced(WEFT_REDUCE_SUM, c->world, i);
            if (!mine || shape < 3)
                good &= get(in, i, (weft_dtype)t) == value(c->rank, i);
        }
        good &= shape >= 3 || get(out, counts[c->rank], (weft_dtype)t) == 99;
    }
    ck_all(good);
}
END_TEST

START_TEST(all_gather)
{
    int good = 1;
    EACH(c, n, t)
    for (int shape = 0; shape < 4; shape++) { /* equal, uneven, one gives nothing, in place */
        int64_t counts[RANKS], before = 0, total = 0;
        for (int r = 0; r < c->world; r++) {
            counts[r] = shape == 1 ? n * (r + 1) / c->world : shape == 2 && r % 2 == 0 ? 0 : n;
            before = r == c->rank ? total : before;
            total += counts[r];
        }
        char *part = (char *)out + (size_t)before * weft_dtype_size((weft_dtype)t);
        void *from = shape == 3 ? part : (void *)in;
        for (int64_t i = 0; i <= total; i++)
            put(out, i, (weft_dtype)t, 99);
        for (int64_t i = 0; i < counts[c->rank]; i++)
            put(from, i, (weft_dtype)t, value(c->rank, i));
        good &= !weft__all_gather(c, "parts", out, counts, from, (weft_dtype)t);
        for (int64_t r = 0, at = 0; r < c->world; at += counts[r++])
            for (int64_t i = 0; i < counts[r]; i++)
                good &= get(out, at + i, (weft_dtype)t) == value((int)r, i);
        good &= get(out, total, (weft_dtype)t) == 99;
    }
    ck_all(good);
}
END_TEST

START_TEST(broadcast)
{
    int good = 1;
    EACH(c, n, t)
    for (int root = 0; root < c->world; root++) {
        int64_t bytes = n * (int64_t)weft_dtype_size((weft_dtype)t);
        for (int64_t i = 0; i <= n; i++)
            put(in, i, (weft_dtype)t, i < n && c->rank == root ? value(root, i) : 99);
        good &= !weft__comm_broadcast(c, "values", in, bytes, root);
        for (int64_t i = 0; i < n; i++)
            good &= get(in, i, (weft_dtype)t) == value(root, i);
        good &= get(in, n, (weft_dtype)t) == 99;
    }
    ck_all(good);
}
END_TEST

/* Nobody leaves before the last has come. */
START_TEST(barrier)
{
    double left, last, t = 0;
    MPI_Barrier(MPI_COMM_WORLD);
    usleep(20000u * (unsigned)mpi->rank);
    last = t = weft__now(); /* one clock: the ranks are on one machine */
    ck_all(!weft__barrier(mpi, "here"));
    left = weft__now();
    MPI_Allreduce(&t, &last, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
    ck_all(left >= last);
    ck_all(!weft__barrier(self, "alone"));
}
END_TEST

/* Even ranks send first; with blocking calls a ring of odd size needs buffering, so 0 begins. */
START_TEST(ring)
{
    int next = (mpi->rank + 1) % mpi->world, before = (mpi->rank + mpi->world - 1) % mpi->world;
    static const int64_t bytes[] = {0, 1, 24, 25, 1000, 200000};
    int good = 1;
    for (int v = 0; v < 2; v++)
        for (int i = 0; i < 6 && mpi->world > 1; i++) {
            weft_comm *c = variant(v);
            memset(in, c->rank + 1, (size_t)bytes[i]);
            memset(out, 99, (size_t)bytes[i] + 1);
            if (c->rank == 0)
                good &= !weft__send(c, "ring", in, bytes[i], next, 5);
            good &= !weft__recv(c, "ring", out, bytes[i], before, 5);
            if (c->rank != 0)
                good &= !weft__send(c, "ring", in, bytes[i], next, 5);
            for (int64_t k = 0; k < bytes[i]; k++)
                good &= ((char *)out)[k] == before + 1;
            good &= ((char *)out)[bytes[i]] == 99;
        }
    variant(0);
    ck_all(good);
}
END_TEST

START_TEST(short_message)
{
    weft_status rc = WEFT_EMPI;
    if (mpi->world > 1 && mpi->rank == 0)
        ck_assert(!weft__send(mpi, "short", in, 3, 1, 0));
    if (mpi->world > 1 && mpi->rank == 1) {
        rc = weft__recv(mpi, "short", out, 8, 0, 0);
        ck_assert_ptr_nonnull(strstr(weft__why(), "recv from rank 0 \"short\""));
    }
    ck_all(rc == WEFT_EMPI && !mpi->lost);
}
END_TEST

START_TEST(bad_arguments)
{
    float x = 0;
    for (int v = 0; v < 3; v += 2) {
        weft_comm *c = variant(v);
        uint64_t before = c->sequence;
        ck_all(weft__all_reduce(c, "x", &x, 1, WEFT_BF16, WEFT_REDUCE_SUM) == WEFT_EDTYPE);
        ck_all(strstr(weft__why(), "bf16") != NULL);
        ck_all(weft__all_reduce(c, "x", &x, -1, WEFT_F32, WEFT_REDUCE_SUM) == WEFT_EARG);
        ck_all(weft__all_reduce(c, "x", &x, 1, WEFT_F32, (weft_reduce)7) == WEFT_EARG);
        ck_all(weft__comm_broadcast(c, "x", &x, 4, c->world) == WEFT_EARG);
        ck_all(weft__send(c, "x", &x, 4, -1, 0) == WEFT_EARG);
        ck_all(weft__recv(c, "x", &x, 4, 0, -1) == WEFT_EARG);
        ck_all(!c->lost && c->sequence == before + 4);
    }
    ck_all(weft__send(self, "x", &x, 4, 0, 0) == WEFT_EARG);
}
END_TEST

/* Numbers count collectives alone and are alike on all ranks; failures carry all that is known. */
START_TEST(numbers_and_names)
{
    char expected[200];
    uint64_t before = mpi->sequence, all;
    float x = 1;
    ck_all(!weft__all_reduce(mpi, "one", &x, 1, WEFT_F32, WEFT_REDUCE_SUM));
    ck_all(mpi->sequence == before + 1 && strcmp(mpi->last, "one") == 0);
    ck_all(!weft__barrier(mpi, "two"));
    ck_all(mpi->sequence == before + 2);
    MPI_Allreduce(&mpi->sequence, &all, 1, MPI_UINT64_T, MPI_MAX, MPI_COMM_WORLD);
    ck_all(all == mpi->sequence);
    ck_all(weft__comm_broadcast(mpi, "gradients bucket 0", &x, -4, 0) == WEFT_EARG);
    snprintf(
        expected, sizeof expected,
        "broadcast \"gradients bucket 0\" (collective %d) failed on rank %d of %d: a count of -4",
        (int)before + 3, mpi->rank, mpi->world);
    ck_all(strcmp(weft__why(), expected) == 0);
}
END_TEST

/* Every set of failing ranks: all learn of the lowest one's code and text. */
START_TEST(agreement)
{
    char mine[64], expected[64];
    for (int set = 0; set < 1 << mpi->world; set++) {
        int lowest = __builtin_ffs(set) - 1, failing = set >> mpi->rank & 1;
        weft_status code = (weft_status)(-1 - mpi->rank), rc;
        snprintf(mine, sizeof mine, "rank %d of set %d", mpi->rank, set);
        rc = weft__agree(mpi, "verdict", failing ? code : WEFT_OK, failing ? mine : "");
        ck_all(rc == (set ? -1 - lowest : 0));
        snprintf(expected, sizeof expected, "rank %d of set %d", lowest, set);
        ck_all(!set || strcmp(weft__why(), expected) == 0);
    }
}
END_TEST

START_TEST(agreement_with_last_message)
{
    int last = mpi->world - 1;
    weft__fail(WEFT_EDATA, "message of rank %d", mpi->rank);
    ck_all(weft__agree(mpi, "v", mpi->rank == last ? WEFT_EDATA : WEFT_SKIPPED, "") == WEFT_EDATA);
    ck_all(strstr(weft__why(), "message of rank ") && atoi(weft__why() + 16) == last);
    ck_all(weft__agree(mpi, "v", WEFT_SKIPPED, NULL) == WEFT_OK);
    weft__fail(WEFT_EIO, "of myself");
    ck_all(weft__agree(self, "v", WEFT_EIO, NULL) == WEFT_EIO);
    ck_all(strcmp(weft__why(), "of myself") == 0);
    ck_all(weft__agree(self, "v", WEFT_OK, NULL) == WEFT_OK);
}
END_TEST

START_TEST(equal_texts)
{
    static char text[5000], expected[200];
    for (int length = 0; length < 5000; length += 1 + 511 * (length > 0)) {
        memset(text, 'x', (size_t)length);
        text[length] = '\0';
        ck_all(!weft__agree_text(mpi, "options", "lr", text));
        ck_all(!weft__agree_text(self, "options", "lr", text));
        if (mpi->world == 1 || length == 0)
            continue;
        if (mpi->rank == mpi->world - 1)
            text[length - 1] = 'y'; /* the last byte of the last rank */
        ck_all(weft__agree_text(mpi, "options", "lr", text) == WEFT_ECONFIG);
        snprintf(expected, sizeof expected, "rank %d has \"%s", mpi->world - 1,
                 length == 1 ? "y" : "x");
        ck_all(strstr(weft__why(), "lr differs") && strstr(weft__why(), expected));
    }
    memset(text, 0, sizeof text);
    snprintf(text, sizeof text, "%s", mpi->rank >= 1 ? "longer" : "long");
    ck_all(weft__agree_text(mpi, "o", "lr", text) == (mpi->world > 1 ? WEFT_ECONFIG : WEFT_OK));
    ck_all(!weft__agree_text(mpi, "o", "lr", NULL));
}
END_TEST

START_TEST(groups)
{
    weft_comm *part = (weft_comm *)1;
    int colour = mpi->rank % 2, members = (mpi->world + 1 - colour) / 2;
    float x = (float)mpi->rank;
    ck_all(!weft__split(mpi, "halves", colour, -mpi->rank, &part) && part);
    ck_all(part->world == members && part->rank == members - 1 - mpi->rank / 2);
    ck_all(part->timeout == mpi->timeout && part->sequence == 0);
    ck_all(!weft__all_reduce(part, "sum", &x, 1, WEFT_F32, WEFT_REDUCE_SUM));
    ck_all(x == (float)(members * (members - 1) + members * colour));
    weft__comm_free(part);
    ck_all(!weft__split(mpi, "not the first", mpi->rank == 0 ? -1 : 0, 0, &part));
    ck_all(!part == (mpi->rank == 0) && (!part || part->world == mpi->world - 1));
    weft__comm_free(part);
    ck_all(!weft__split(self, "self", 3, 0, &part) && part->world == 1);
    weft__comm_free(part);
    ck_all(!weft__split(self, "none", -1, 0, &part) && !part);
}
END_TEST

/* A cartesian communicator of the program's leaves no trace in ours. */
START_TEST(topology_is_stripped)
{
    int dims[1] = {mpi->world}, wrap[1] = {1}, kind = 0;
    bool is_world = false;
    MPI_Comm cart;
    weft_comm *c;
    MPI_Cart_create(MPI_COMM_WORLD, 1, dims, wrap, 0, &cart);
    ck_all(!weft__comm_mpi(&c, (int)MPI_Comm_c2f(cart), 10, &is_world) && is_world);
    MPI_Topo_test(cart, &kind);
    ck_all(kind == MPI_CART);
    MPI_Topo_test(MPI_Comm_f2c(weft__mpi_handle(c)), &kind);
    ck_all(kind == MPI_UNDEFINED);
    MPI_Comm_free(&cart);
    ck_all(c->sequence == 0 && !weft__barrier(c, "still works"));
    weft__comm_free(c);
}
END_TEST

START_TEST(part_of_the_world)
{
    MPI_Comm reversed, part;
    bool is_world = true;
    weft_comm *c;
    MPI_Comm_split(MPI_COMM_WORLD, 0, -mpi->rank, &reversed);
    ck_all(!weft__comm_mpi(&c, (int)MPI_Comm_c2f(reversed), 10, &is_world));
    ck_all(is_world == (mpi->world == 1) && c->rank == mpi->world - 1 - mpi->rank);
    weft__comm_free(c);
    MPI_Comm_split(MPI_COMM_WORLD, mpi->rank == 0, 0, &part);
    ck_all(!weft__comm_mpi(&c, (int)MPI_Comm_c2f(part), 10, &is_world));
    ck_all(is_world == (mpi->world == 1) && c->world == (mpi->rank ? mpi->world - 1 : 1));
    weft__comm_free(c);
    MPI_Comm_free(&reversed);
    MPI_Comm_free(&part);
    ck_all(weft__comm_mpi(&c, (int)MPI_Comm_c2f(MPI_COMM_NULL), 10, &is_world) == WEFT_EARG);
}
END_TEST

START_TEST(nodes)
{
    int local_rank, local_size, node_rank, nodes;
    unsigned char bits[16] = {0};
    bits[mpi->rank] = (unsigned char)(1 + mpi->rank);
    ck_all(!weft__mpi_topology(mpi, &local_rank, &local_size, &node_rank, &nodes));
    ck_all(local_rank == mpi->rank && local_size == mpi->world && node_rank == 0 && nodes == 1);
    ck_all(!weft__mpi_node_or(mpi, bits, sizeof bits));
    for (int r = 0; r < mpi->world; r++)
        ck_all(bits[r] == 1 + r);
    ck_all(strstr(weft__mpi_version(), "MPI") && !strchr(weft__mpi_version(), '\n'));
}
END_TEST

static void release(weft_comm *c, weft_device *d, weft_dev p, size_t bytes)
{
    (void)c, (void)d, (void)p, (void)bytes;
}

START_TEST(incomplete_table)
{
    weft_comm_ops ops = *mpi->ops, old = *mpi->ops;
    ck_all(!weft__comm_check(&ops) && !weft__comm_check(self->ops));
    ops.all_gather = NULL;
    ck_all(weft__comm_check(&ops) == WEFT_EARG && strstr(weft__why(), "all_gather"));
    ops = *mpi->ops;
    ops.size = offsetof(weft_comm_ops, split);
    ck_all(weft__comm_check(&ops) == WEFT_EARG && strstr(weft__why(), "split"));
    old.size = offsetof(weft_comm_ops, alloc);
    ck_all(!weft__comm_check(&old));
    ops = *mpi->ops;
    ops.release = release;
    ck_all(weft__comm_check(&ops) == WEFT_EARG);
}
END_TEST

START_TEST(memory)
{
    weft_device *d;
    weft_dev p, q;
    ck_all(!weft__device_open(&d, "cpu", 0, 1));
    ck_all(!weft__comm_alloc(mpi, d, 1000, WEFT_MEMORY_GRADS, &p) &&
           !weft__comm_alloc(self, d, 0, WEFT_MEMORY_GRADS, &q));
    ck_all(p.addr && q.addr && p.addr % 64 == 0 && q.addr % 64 == 0);
    ck_all(weft__comm_reach(mpi, d, weft__at(p, 8)) == (char *)p.addr + 8);
    weft__comm_release(mpi, d, p, 1000, WEFT_MEMORY_GRADS);
    weft__comm_release(self, d, q, 0, WEFT_MEMORY_GRADS);
    weft_device_ops remote = *d->ops;
    remote.host = NULL;
    weft_device far = {.ops = &remote};
    ck_all(!weft__comm_reach(self, &far, (weft_dev){64}));
    ck_all(strstr(weft__why(), "self does not reach the memory of device cpu") != NULL);
    weft__device_close(d);
}
END_TEST

START_TEST(entered_twice)
{
    int handle = -1, over = 1;
    ck_all(!weft__mpi_enter(&handle) && handle == world_handle);
    ck_all(weft__process.mpi_ours == 1 && weft__process.mpi_users == 2);
    weft__mpi_leave(false);
    MPI_Finalized(&over);
    ck_all(!over && weft__process.mpi_users == 1);
}
END_TEST

/* The last rank comes 3 s late. The others give up after half a second, name what they waited for,
 * and make no call any more; the test's own MPI lets the late one catch up. */
START_TEST(late_peer)
{
    static float x[300];
    int late = mpi->rank == mpi->world - 1;
    char expected[100];
    double begun;
    weft_status rc;
    mpi->timeout = 0.5;
    snprintf(expected, sizeof expected, "all_reduce \"gradients bucket 3\" (collective %d)",
             (int)mpi->sequence + 1);
    MPI_Barrier(MPI_COMM_WORLD);
    if (late && mpi->world > 1)
        usleep(3000000);
    begun = weft__now();
    mpi->timeout = late ? 10 : 0.5;
    rc = weft__all_reduce(mpi, "gradients bucket 3", x, 300, WEFT_F32, WEFT_REDUCE_SUM);
    if (!late) {
        fprintf(stderr, "# %.2f s: %s\n", weft__now() - begun, weft__why());
        ck_assert_int_eq(rc, WEFT_ETIMEOUT);
        ck_assert(weft__now() - begun < 2 && weft__now() - begun >= 0.5);
        ck_assert_ptr_nonnull(strstr(weft__why(), expected));
        ck_assert(mpi->lost && !weft__process.mpi_ours);
        ck_assert_int_eq(weft__barrier(mpi, "after"), WEFT_EPEER);
        ck_assert_ptr_nonnull(strstr(weft__why(), "\"after\""));
        ck_assert_int_eq(weft__agree(mpi, "after", WEFT_OK, ""), WEFT_EPEER);
        ck_assert_int_eq(weft__send(mpi, "after", x, 4, 0, 0), WEFT_EPEER);
    }
    ck_all(late || rc == WEFT_ETIMEOUT);
    weft__comm_free(mpi);
}
END_TEST

/* No MPI from here on. */
START_TEST(left)
{
    int over = 0, handle;
    bool is_world;
    weft_comm *c;
    weft__process.mpi_ours = 1; /* the lost peer was a late one: MPI can be finalised after all */
    MPI_Barrier(MPI_COMM_WORLD);
    weft__mpi_leave(false);
    MPI_Finalized(&over);
    ck_assert(over && weft__process.mpi_users == 0);
    ck_assert_int_eq(weft__mpi_enter(&handle), WEFT_ESTATE);
    ck_assert_ptr_nonnull(strstr(weft__why(), "finalised"));
    ck_assert_int_eq(weft__comm_mpi(&c, world_handle, 1, &is_world), WEFT_ESTATE);
    ck_assert(weft__process.mpi_users == 0);
    weft__comm_free(self);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("comm on MPI");
    TCase *t = tcase_create("ranks");
    tcase_add_test(t, all_reduce);
    tcase_add_test(t, reduce_scatter);
    tcase_add_test(t, all_gather);
    tcase_add_test(t, broadcast);
    tcase_add_test(t, barrier);
    tcase_add_test(t, ring);
    tcase_add_test(t, short_message);
    tcase_add_test(t, bad_arguments);
    tcase_add_test(t, numbers_and_names);
    tcase_add_test(t, agreement);
    tcase_add_test(t, agreement_with_last_message);
    tcase_add_test(t, equal_texts);
    tcase_add_test(t, groups);
    tcase_add_test(t, topology_is_stripped);
    tcase_add_test(t, part_of_the_world);
    tcase_add_test(t, nodes);
    tcase_add_test(t, incomplete_table);
    tcase_add_test(t, memory);
    tcase_add_test(t, entered_twice);
    tcase_add_test(t, late_peer);
    tcase_add_test(t, left);
    suite_add_tcase(s, t);
    return s;
}

int main(void)
{
    bool is_world = false;
    int failed;
    if (weft__mpi_enter(&world_handle) || weft__comm_mpi(&mpi, world_handle, 60, &is_world) ||
        weft__comm_self(&self) || !is_world) {
        fprintf(stderr, "cannot begin: %s\n", weft__why());
        return EXIT_FAILURE;
    }
    failed = all_run(suite());
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
