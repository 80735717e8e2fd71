/* The communicators: every collective against expected values, agreement, groups, and peers that do
 * not come. Where a test is the same for one rank without MPI, it runs there too. */
#include "mpi_all.h"

#include "comm/comm.h"
#include "comm/mpi.h"
#include "comm/request.h"
#include "comm/shm.h"
#include "core/alloc.h"
#include "core/context.h"
#include "core/error.h"
#include "core/process.h"
#include "device/device.h"

#include <math.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define MOST 4097 /* elements a rank */
#define RANKS 16

static weft_comm *mpi, *shm, *self, *rings[3];
static weft_device *cpu;
static int world_handle;

/* Those of several ranks. */
static weft_comm *communicator(int i)
{
    return i ? shm : mpi;
}

/* What the tests work on: memory of their own, or a window's. */
#define WORDS ((RANKS * MOST) + 8)
static double own[2][WORDS], *in = own[0], *out = own[1], *window[2];

/* One test of all communicators and memories: MPI as usual, MPI that must cut everything, no MPI,
 * shared memory, and a window of it, where buffers are at different places on the ranks; and rings,
 * which block, or go on with their caller or by a thread, in parts of one, some and many segments. */
#define VARIANTS 8
#define RINGS 5
#define CUTS(v) ((v) == 1 || (v) == 7)
static weft_comm *variant(int i)
{
    weft__mpi_set_piece(mpi, i == 1 ? 24 : 1 << 30);
    for (int k = 0; k < 2; k++)
        *(k ? &out : &in) = i == 4 ? window[k] + shm->rank : own[k];
    if (i < RINGS)
        return i < 2 ? mpi : i == 2 ? self : shm;
    weft__mpi_set_piece(rings[i - RINGS], i == 5 ? 1 << 30 : i == 6 ? 1000 : 24);
    return rings[i - RINGS];
}

/* shm, and its window, anew after one that was lost. */
static int open_shm(void)
{
    bool is_world;
    weft_dev p[2];
    weft__process.mpi_ours = 1; /* what was lost has been made up by the test */
    int good = !weft__comm_mpi(&shm, world_handle, 60, &is_world) && !weft__comm_shm(&shm);
    for (int k = 0; k < 2 && good; k++) {
        good =
            !weft__comm_alloc(shm, cpu, (WORDS + RANKS) * sizeof(double), WEFT_MEMORY_GRADS, &p[k]);
        window[k] = weft__comm_reach(shm, cpu, p[k]);
    }
    return good;
}

/* The calls, made at once or started and waited for. */
static int all_reduced(weft_comm *c, void *p, int64_t n, weft_dtype t, weft_reduce op)
{
    weft_request r;
    if (!weft__comm_overlaps(c))
        return !weft__all_reduce(c, "values", p, n, t, op);
    return !weft__start_all_reduce(c, &r, "values", p, n, t, op) && !weft__await(c, &r);
}

static int scattered(weft_comm *c, void *to, const void *from, const int64_t *n, weft_dtype t)
{
    weft_request r;
    if (!weft__comm_overlaps(c))
        return !weft__reduce_scatter(c, "shards", to, from, n, t);
    return !weft__start_reduce_scatter(c, &r, "shards", to, from, n, t) && !weft__await(c, &r);
}

static int gathered(weft_comm *c, void *to, const int64_t *counts, const void *from, weft_dtype t)
{
    weft_request r;
    if (!weft__comm_overlaps(c))
        return !weft__all_gather(c, "parts", to, counts, from, t);
    return !weft__start_all_gather(c, &r, "parts", to, counts, from, t) && !weft__await(c, &r);
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

/* Sizes x types, without the longest where all is cut to crumbs. */
#define EACH(c, n, t)                                                                              \
    for (int v_ = 0; v_ < VARIANTS; v_++)                                                          \
        for (weft_comm *c = variant(v_), *once_ = c; once_; once_ = NULL)                          \
            for (size_t i_ = 0; i_ < sizeof count / sizeof count[0] - CUTS(v_); i_++)              \
                for (size_t j_ = 0; j_ < 5; j_++)                                                  \
                    for (int64_t n = count[i_], t = type[j_], two_ = 1; two_; two_ = 0)

START_TEST(all_reduce)
{
    int good = 1;
    EACH(c, n, t)
    for (int op = 0; op < 3; op++) {
        for (int64_t i = 0; i <= n; i++)
            put(in, i, (weft_dtype)t, i < n ? value(c->rank, i) : 99);
        good &= all_reduced(c, in, n, (weft_dtype)t, (weft_reduce)op);
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
        good &= scattered(c, to, in, counts, (weft_dtype)t);
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
        good &= gathered(c, out, counts, from, (weft_dtype)t);
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
    weft_comm *c = communicator(_i);
    double left, last, t = 0;
    all_barrier();
    usleep(20000u * (unsigned)c->rank);
    last = t = weft__now(); /* one clock: the ranks are on one machine */
    ck_all(!weft__barrier(c, "here"));
    left = weft__now();
    MPI_Allreduce(&t, &last, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
    ck_all(left >= last);
    ck_all(!weft__barrier(self, "alone"));
}
END_TEST

/* Even ranks send first; with blocking calls a ring of odd size needs buffering, so 0 begins. */
START_TEST(ring)
{
    weft_comm *c = variant(_i);
    int next = (c->rank + 1) % c->world, before = (c->rank + c->world - 1) % c->world;
    static const int64_t bytes[] = {0, 1, 24, 25, 1000, 200000};
    int good = 1;
    for (int i = 0; i < 6 && c->world > 1; i++) {
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
    ck_all(good);
}
END_TEST

START_TEST(short_message)
{
    weft_comm *c = communicator(_i);
    weft_status rc = WEFT_EMPI;
    if (c->world > 1 && c->rank == 0)
        ck_assert(!weft__send(c, "short", in, 3, 1, 0));
    if (c->world > 1 && c->rank == 1) {
        rc = weft__recv(c, "short", out, 8, 0, 0);
        ck_assert_ptr_nonnull(strstr(weft__why(), "recv from rank 0 \"short\""));
    }
    ck_all(rc == WEFT_EMPI && !c->lost);
}
END_TEST

START_TEST(bad_arguments)
{
    float x = 0;
    for (int v = 0; v < VARIANTS; v += v ? 1 : 2) {
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
    variant(0);
    ck_all(weft__send(self, "x", &x, 4, 0, 0) == WEFT_EARG);
}
END_TEST

/* Numbers count collectives alone and are alike on all ranks; failures carry all that is known. */
START_TEST(numbers_and_names)
{
    weft_comm *c = communicator(_i);
    char expected[200];
    uint64_t before = c->sequence, all;
    float x = 1;
    ck_all(!weft__all_reduce(c, "one", &x, 1, WEFT_F32, WEFT_REDUCE_SUM));
    ck_all(c->sequence == before + 1 && strcmp(c->last, "one") == 0);
    ck_all(!weft__barrier(c, "two"));
    ck_all(c->sequence == before + 2);
    MPI_Allreduce(&c->sequence, &all, 1, MPI_UINT64_T, MPI_MAX, MPI_COMM_WORLD);
    ck_all(all == c->sequence);
    ck_all(weft__comm_broadcast(c, "gradients bucket 0", &x, -4, 0) == WEFT_EARG);
    snprintf(
        expected, sizeof expected,
        "broadcast \"gradients bucket 0\" (collective %d) failed on rank %d of %d: a count of -4",
        (int)before + 3, c->rank, c->world);
    ck_all(strcmp(weft__why(), expected) == 0);
}
END_TEST

/* Every set of failing ranks: all learn of the lowest one's code and text. */
START_TEST(agreement)
{
    weft_comm *c = communicator(_i);
    char mine[64], expected[64];
    for (int set = 0; set < 1 << c->world; set++) {
        int lowest = __builtin_ffs(set) - 1, failing = set >> c->rank & 1;
        weft_status code = (weft_status)(-1 - c->rank), rc;
        snprintf(mine, sizeof mine, "rank %d of set %d", c->rank, set);
        rc = weft__agree(c, "verdict", failing ? code : WEFT_OK, failing ? mine : "");
        ck_all(rc == (set ? -1 - lowest : 0));
        snprintf(expected, sizeof expected, "rank %d of set %d", lowest, set);
        ck_all(!set || strcmp(weft__why(), expected) == 0);
    }
}
END_TEST

START_TEST(agreement_with_last_message)
{
    weft_comm *c = communicator(_i);
    int last = c->world - 1;
    weft__fail(WEFT_EDATA, "message of rank %d", c->rank);
    ck_all(weft__agree(c, "v", c->rank == last ? WEFT_EDATA : WEFT_SKIPPED, "") == WEFT_EDATA);
    ck_all(strstr(weft__why(), "message of rank ") && atoi(weft__why() + 16) == last);
    ck_all(weft__agree(c, "v", WEFT_SKIPPED, NULL) == WEFT_OK);
    weft__fail(WEFT_EIO, "of myself");
    ck_all(weft__agree(self, "v", WEFT_EIO, NULL) == WEFT_EIO);
    ck_all(strcmp(weft__why(), "of myself") == 0);
    ck_all(weft__agree(self, "v", WEFT_OK, NULL) == WEFT_OK);
}
END_TEST

START_TEST(equal_texts)
{
    weft_comm *c = communicator(_i);
    static char text[5000], expected[200];
    for (int length = 0; length < 5000; length += 1 + 511 * (length > 0)) {
        memset(text, 'x', (size_t)length);
        text[length] = '\0';
        ck_all(!weft__agree_text(c, "options", "lr", text));
        ck_all(!weft__agree_text(self, "options", "lr", text));
        if (c->world == 1 || length == 0)
            continue;
        if (c->rank == c->world - 1)
            text[length - 1] = 'y'; /* the last byte of the last rank */
        ck_all(weft__agree_text(c, "options", "lr", text) == WEFT_ECONFIG);
        snprintf(expected, sizeof expected, "rank %d has \"%s", c->world - 1,
                 length == 1 ? "y" : "x");
        ck_all(strstr(weft__why(), "lr differs") && strstr(weft__why(), expected));
    }
    memset(text, 0, sizeof text);
    snprintf(text, sizeof text, "%s", c->rank >= 1 ? "longer" : "long");
    ck_all(weft__agree_text(c, "o", "lr", text) == (c->world > 1 ? WEFT_ECONFIG : WEFT_OK));
    ck_all(!weft__agree_text(c, "o", "lr", NULL));
}
END_TEST

START_TEST(groups)
{
    weft_comm *c = communicator(_i);
    weft_comm *part = (weft_comm *)1;
    int colour = c->rank % 2, members = (c->world + 1 - colour) / 2;
    float x = (float)c->rank;
    ck_all(!weft__split(c, "halves", colour, -c->rank, &part) && part);
    ck_all(part->world == members && part->rank == members - 1 - c->rank / 2);
    ck_all(part->timeout == c->timeout && part->sequence == 0);
    ck_all(!weft__all_reduce(part, "sum", &x, 1, WEFT_F32, WEFT_REDUCE_SUM));
    ck_all(x == (float)(members * (members - 1) + members * colour));
    weft__comm_free(part);
    ck_all(!weft__split(c, "not the first", c->rank == 0 ? -1 : 0, 0, &part));
    ck_all(!part == (c->rank == 0) && (!part || part->world == c->world - 1));
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
    weft_comm *c = communicator(_i);
    int local_rank, local_size, node_rank, nodes;
    unsigned char bits[16] = {0};
    bits[c->rank] = (unsigned char)(1 + c->rank);
    ck_all(!weft__mpi_topology(c, &local_rank, &local_size, &node_rank, &nodes));
    ck_all(local_rank == c->rank && local_size == c->world && node_rank == 0 && nodes == 1);
    ck_all(!weft__mpi_node_or(c, bits, sizeof bits));
    for (int r = 0; r < c->world; r++)
        ck_all(bits[r] == 1 + r);
    ck_all(strstr(weft__mpi_version(), "MPI") && !strchr(weft__mpi_version(), '\n'));
}
END_TEST

/* ---- calls that go on beside their caller ---- */

/* Many at once, of all sizes, with other calls between them, waited for backwards. */
START_TEST(requests_and_calls)
{
    static weft_request r[64];
    static int32_t x[64][512];
    int good = 1;
    for (int v = RINGS + 1; v < VARIANTS; v++)
        for (int round = 0; round < 3; round++) {
            weft_comm *c = variant(v);
            for (int i = 0; i < 64; i++) {
                int32_t any = c->rank == i % c->world;
                for (int k = 0; k < 512; k++)
                    x[i][k] = value(c->rank, i + k);
                good &= !weft__start_all_reduce(c, &r[i], "many", x[i], 8 * i - (i > 62), WEFT_I32,
                                                WEFT_REDUCE_SUM);
                good &= !weft__all_reduce(c, "one", &any, 1, WEFT_I32, WEFT_REDUCE_MAX) && any;
            }
            for (int i = 63; i >= 0; i--)
                good &= !weft__await(c, &r[i]) && !weft__await(c, &r[i]);
            for (int i = 0; i < 64; i++)
                for (int k = 0; k < 512; k++)
                    good &=
                        x[i][k] == (k < 8 * i - (i > 62) ? reduced(WEFT_REDUCE_SUM, c->world, i + k)
                                                         : value(c->rank, i + k));
            good &= !c->flying;
        }
    ck_all(good);
}
END_TEST

/* The sum that lib/comm/ring.h promises, in f32, whose bits tell an order from another. */
static float in_order(int world, int64_t n, int64_t i, float (*g)(int rank, int64_t i))
{
    int part = (int)(i / ((n + world - 1) / world));
    float sum = g((part + 1) % world, i);
    for (int k = 2; k <= world; k++)
        sum += g((part + k) % world, i);
    return sum;
}

static float rough(int rank, int64_t i)
{
    return (float)(i % 7 + 1) / (float)(3 + 10 * rank) * (rank % 2 ? 1e3F : 1e-3F);
}

START_TEST(order_of_additions)
{
    static float x[20011];
    weft_request r;
    int good = 1, n = 20011, otherwise = 0;
    for (int v = RINGS; v < VARIANTS; v++)
        for (int piece = 64; piece <= 1 << 20; piece *= 128) {
            weft_comm *c = variant(v);
            weft__mpi_set_piece(c, piece);
            for (int i = 0; i < n; i++)
                x[i] = rough(c->rank, i);
            good &= !weft__start_all_reduce(c, &r, "x", x, n, WEFT_F32, WEFT_REDUCE_SUM);
            good &= !weft__await(c, &r);
            for (int i = 0; i < n && c->world > 1; i++) {
                good &= x[i] == in_order(c->world, n, i, rough);
                otherwise += x[i] != in_order(c->world, n * c->world, i, rough);
            }
        }
    ck_all(good);
    ck_all(otherwise > 0 || mpi->world < 3);
}
END_TEST

/* A thread brings a call to its end; without one the caller's coming by does. */
START_TEST(goes_on_meanwhile)
{
    static float x[100000];
    weft_request r;
    for (int v = RINGS + 1; v < VARIANTS && mpi->world > 1; v++) {
        weft_comm *c = variant(v);
        bool done = false;
        weft__mpi_set_piece(c, 1 << 30);
        memset(x, 0, sizeof x);
        ck_all(!weft__start_all_reduce(c, &r, "x", x, 100000, WEFT_F32, WEFT_REDUCE_SUM));
        for (int i = 0; i < 200 && !r.state; i++) {
            usleep(10000);
            if (v == RINGS + 1)
                weft__advance(c);
        }
        ck_all(r.state != 0);
        ck_all(!c->ops->test(c, &r, &done) && done && c->flying == &r);
        ck_all(!weft__await(c, &r) && !c->flying);
    }
}
END_TEST

/* The last rank comes late for a request: the others' waits end, all of them, and the thread too. */
START_TEST(late_request)
{
    static float x[3][40000];
    weft_request r[3];
    int late = mpi->rank == mpi->world - 1 && mpi->world > 1;
    char expected[100];
    all_barrier();
    for (int v = RINGS + 1; v < VARIANTS; v++) {
        weft_comm *c = variant(v);
        c->timeout = late || c->world == 1 ? 20 : 0.5;
        snprintf(expected, sizeof expected, "all_reduce \"late 0\" (collective %d) failed",
                 (int)c->sequence + 1);
        if (late)
            usleep(700000);
        double begun = weft__now();
        for (int i = 0; i < 3 && !late; i++)
            ck_assert(!weft__start_all_reduce(c, &r[i], i ? "late" : "late 0", x[i], 40000,
                                              WEFT_F32, WEFT_REDUCE_SUM));
        for (int i = 0; i < 3 && !late && c->world > 1; i++) {
            ck_assert_int_eq(weft__await(c, &r[i]), WEFT_ETIMEOUT);
            ck_assert(i || strstr(weft__why(), expected));
        }
        if (!late && c->world > 1) {
            ck_assert(weft__now() - begun < 20 && weft__now() - begun >= 0.5);
            ck_assert_int_eq(weft__start_all_reduce(c, r, "after", x, 9, WEFT_F32, WEFT_REDUCE_SUM),
                             WEFT_EPEER);
            ck_assert(c->lost && !c->flying);
        }
        c->lost = c->world > 1;
        weft__comm_free(c);
        all_barrier();
    }
    weft__comm_free(rings[0]);
    weft__process.mpi_ours = 1;
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
    weft_device *d = cpu;
    weft_dev p, q;
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
}
END_TEST

/* Sums have the bits of a serial loop over the ranks, by every way that the buffers take: in slots,
 * in chunks, of which the last may be of any length, and in a window. */
static const int64_t long_count[] = {1,    3,     511,   512,   513,    4095,  4096,
                                     4097, 32767, 32768, 32769, 100003, 65536, 131072 + 5};
#define LONGEST (131072 + 5)

static double odd(int r, int64_t i)
{
    uint32_t h = (uint32_t)i * 2654435761u ^ (uint32_t)(r * 40503 + 977);
    h = (h ^ h >> 15) * 2246822519u;
    return ((double)(int32_t)(h ^ h >> 13)) * (h % 7 ? 1e-7 : 1e-3);
}

/* What rank's buffer must hold; out of n elements from `first`. */
static int is_serial(const weft_comm *c, const void *p, int64_t first, int64_t n, weft_dtype t)
{
    int good = 1;
    for (int64_t i = first; i < first + n; i++) {
        float f = (float)odd(0, i);
        double d = odd(0, i);
        for (int r = 1; r < c->world; r++) {
            f += (float)odd(r, i);
            d += odd(r, i);
        }
        good &= t == WEFT_F32 ? ((const float *)p)[i - first] == f
                              : ((const double *)p)[i - first] == d;
    }
    return good;
}

static void put_odd(void *p, int64_t n, int r, weft_dtype t)
{
    for (int64_t i = 0; i < n; i++)
        if (t == WEFT_F32)
            ((float *)p)[i] = (float)odd(r, i);
        else
            ((double *)p)[i] = odd(r, i);
}

START_TEST(serial_sums)
{
    weft_dev w;
    int good = 1;
    double *other = weft__new(LONGEST * RANKS + 8, sizeof *other), *part = other;
    ck_all(other && !weft__comm_alloc(shm, cpu, (LONGEST * RANKS + 8) * sizeof *other,
                                      WEFT_MEMORY_GRADS, &w));
    for (int k = 0; k < 28; k++)
        for (int where = 0; where < 3; where++) { /* all elsewhere, all in the window, some */
            weft_dtype t = k % 2 ? WEFT_F64 : WEFT_F32;
            int64_t n = long_count[k / 2];
            bool inside = where == 1 || (where == 2 && shm->rank == 0);
            char *p = (char *)(inside ? weft__comm_reach(shm, cpu, w) : other) + 8 * (k % 3);
            put_odd(p, n, shm->rank, t);
            good &= !weft__all_reduce(shm, "long", p, n, t, WEFT_REDUCE_SUM);
            good &= is_serial(shm, p, 0, n, t);
            int64_t counts[RANKS], total = 0, first = 0;
            for (int r = 0; r < shm->world; r++) {
                first = r == shm->rank ? total : first;
                total += counts[r] = r % 2 ? n / 3 : n;
            }
            put_odd(p, total, shm->rank, t);
            part = (double *)(void *)(p + (size_t)first * weft_dtype_size(t));
            good &= !weft__reduce_scatter(shm, "long", part, p, counts, t);
            good &= is_serial(shm, part, first, counts[shm->rank], t);
        }
    ck_all(good);
    weft__comm_release(shm, cpu, w, (LONGEST * RANKS + 8) * sizeof *other, WEFT_MEMORY_GRADS);
    weft__free(other);
}
END_TEST

/* A NaN of any rank is what a minimum and a maximum are. */
START_TEST(not_a_number)
{
    static const double nan_of[] = {NAN, 1, 2, -1};
    for (int at = 0; at < shm->world; at++)
        for (int op = WEFT_REDUCE_MIN; op <= WEFT_REDUCE_MAX; op++) {
            double d[2] = {nan_of[(shm->rank + shm->world - at) % shm->world % 4], shm->rank};
            float f = (float)d[0];
            ck_all(!weft__all_reduce(shm, "nan", d, 2, WEFT_F64, (weft_reduce)op));
            ck_all(!weft__all_reduce(shm, "nan", &f, 1, WEFT_F32, (weft_reduce)op));
            ck_all(isnan(d[0]) && isnan(f));
            ck_all(d[1] == (op == WEFT_REDUCE_MIN ? 0 : shm->world - 1));
        }
}
END_TEST

/* What each rank has for all, longer than a chunk, in and out of the window. */
START_TEST(long_moves)
{
    enum { MANY = 70001 };
    weft_dev w;
    int good = 1;
    int64_t counts[RANKS], total = 0;
    for (int r = 0; r < shm->world; r++)
        total += counts[r] = r == 1 ? 5 : MANY + r;
    double *other = weft__new((size_t)total, sizeof *other);
    ck_all(other &&
           !weft__comm_alloc(shm, cpu, (size_t)total * sizeof *other, WEFT_MEMORY_GRADS, &w));
    for (int inside = 0; inside < 2; inside++) {
        double *p = inside ? weft__comm_reach(shm, cpu, w) : other, *at = p;
        for (int root = 0; root < shm->world; root++) {
            for (int64_t i = 0; i < total; i++)
                p[i] = shm->rank == root ? odd(root, i) : 0;
            good &= !weft__comm_broadcast(shm, "long", p, total * (int64_t)sizeof *p, root);
            for (int64_t i = 0; i < total; i++)
                good &= p[i] == odd(root, i);
        }
        for (int r = 0; r < shm->rank; r++)
            at += counts[r];
        for (int64_t i = 0; i < counts[shm->rank]; i++)
            at[i] = odd(shm->rank, i);
        good &= !weft__all_gather(shm, "long", p, counts, at, WEFT_F64);
        for (int r = 0; r < shm->world; p += counts[r++])
            for (int64_t i = 0; i < counts[r]; i++)
                good &= p[i] == odd(r, i);
    }
    ck_all(good);
    weft__comm_release(shm, cpu, w, (size_t)total * sizeof *other, WEFT_MEMORY_GRADS);
    weft__free(other);
}
END_TEST

/* The last rank calls something else than the others: all are told what, at once. */
static weft_status call(int which, const int64_t *counts)
{
    weft_comm *part;
    float *x = (float *)in;
    switch (which) {
    case 0:
        return weft__all_reduce(shm, "call", x, 300, WEFT_F32, WEFT_REDUCE_SUM);
    case 1:
        return weft__all_reduce(shm, "call", x, 301, WEFT_F32, WEFT_REDUCE_SUM);
    case 2:
        return weft__all_reduce(shm, "call", x, 300, WEFT_F32, WEFT_REDUCE_MAX);
    case 3:
        return weft__all_reduce(shm, "call", x, 300, WEFT_I32, WEFT_REDUCE_SUM);
    case 4:
        return weft__reduce_scatter(shm, "call", x + 8, x, counts, WEFT_F32);
    case 5:
        return weft__all_gather(shm, "call", x, counts, x, WEFT_F32);
    case 6:
        return weft__comm_broadcast(shm, "call", x, 1200, 0);
    case 7:
        return weft__comm_broadcast(shm, "call", x, 1200, 1);
    case 8:
        return weft__barrier(shm, "call");
    default:
        return weft__split(shm, "call", 0, 0, &part);
    }
}

START_TEST(mismatched_calls)
{
    static const struct {
        int others, last;
        const char *text;
    } row[] = {{0, 1, "of 301 f32"},
               {0, 2, "all_reduce (maximum)"},
               {0, 3, "of 300 i32"},
               {0, 4, "reduce_scatter of 8 f32"},
               {0, 8, "barrier"},
               {0, 9, "split"},
               {6, 7, "1200 bytes from rank 1"},
               {9, 5, "all_gather of"},
               {5, 5, "in other parts"},
               {4, 4, "in other parts"},
               {8, 6, "broadcast of 1200 bytes from rank 0"}};
    int last = shm->world - 1;
    for (int i = 0; i < 11 && last; i++) {
        int64_t counts[RANKS] = {3, 5};
        if (shm->rank == last)
            counts[0] = 5, counts[1] = 3;
        weft_status s = call(shm->rank == last ? row[i].last : row[i].others, counts);
        ck_all(s == WEFT_EPEER && shm->lost && strstr(weft__why(), row[i].text) &&
               strstr(weft__why(), "must make the same collective calls in the same order"));
        char odd[40];
        snprintf(odd, sizeof odd, "rank %d went another way", last);
        ck_all(last == 1 || strstr(weft__why(), odd)); /* of two, each blames the other */
        ck_all(weft__barrier(shm, "after") == WEFT_EPEER);
        weft__comm_free(shm);
        ck_all(open_shm());
    }
}
END_TEST

/* All ranks are told what one of them has met. */
static void limited(int what, rlim_t value, int rank, weft_status expected, const char *said)
{
    struct rlimit before, now;
    weft_dev p = {0};
    getrlimit(what, &before);
    now = (struct rlimit){value, before.rlim_max};
    ck_all(1);
    if (shm->rank == rank)
        setrlimit(what, &now);
    weft_status s = weft__comm_alloc(shm, cpu, 8000, WEFT_MEMORY_GRADS, &p),
                other = weft__comm_shm(&mpi);
    setrlimit(what, &before);
    ck_all(s == expected && other == expected && strstr(weft__why(), said));
    ck_all(strcmp(mpi->ops->name, "mpi") == 0 && !p.addr && !shm->lost);
    ck_all(!weft__barrier(shm, "goes on") && !weft__barrier(mpi, "too"));
}

/* Memory that there is not: for all ranks, on one, and for what finds its place in it. */
START_TEST(no_room)
{
    weft_dev p = {0};
    ck_all(weft__comm_alloc(shm, cpu, (size_t)1 << 50, WEFT_MEMORY_GRADS, &p) == WEFT_ENOMEM &&
           !p.addr);
    ck_all(strstr(weft__why(), "no room for") != NULL);
    ck_all(weft__comm_alloc(shm, cpu, SIZE_MAX - 5, WEFT_MEMORY_GRADS, &p) == WEFT_ENOMEM &&
           !p.addr);
    ck_all(weft__comm_alloc(shm, cpu, 8000 + (shm->rank == 1) * 8000, WEFT_MEMORY_GRADS, &p) ==
           (shm->world > 1 ? WEFT_ECONFIG : WEFT_OK));
    if (shm->world == 1)
        weft__comm_release(shm, cpu, p, 8000, WEFT_MEMORY_GRADS);
    signal(SIGXFSZ, SIG_IGN);
    limited(RLIMIT_FSIZE, 0, 0, WEFT_ENOMEM, "no room for");
    signal(SIGXFSZ, SIG_DFL);
    if (shm->world > 1)
        limited(RLIMIT_NOFILE, 3, shm->world - 1, WEFT_ENOTSUP, "of rank 0 cannot be opened");
    weft_status s = WEFT_ENOMEM;
    for (int k = 1; s && k < 20; k++) {
        weft__fail_alloc(shm->rank == 0 ? k : 0);
        s = weft__comm_shm(&mpi);
        weft__fail_alloc(0);
        ck_all(s == WEFT_OK || (s == WEFT_ENOMEM && strcmp(mpi->ops->name, "mpi") == 0));
    }
    ck_all(!s && strcmp(mpi->ops->name, "shm") == 0 && !weft__barrier(mpi, "shm"));
    weft_comm *under = weft__comm_under(mpi);
    ck_all(strcmp(under->ops->name, "mpi") == 0 &&
           weft__mpi_handle(mpi) == weft__mpi_handle(under));
    weft__comm_free(mpi);
    bool is_world;
    ck_all(!weft__comm_mpi(&mpi, world_handle, 60, &is_world));
}
END_TEST

/* Nothing is left open, mapped, or by name. */
static int mappings(void)
{
    char line[400];
    int n = 0;
    FILE *f = fopen("/proc/self/maps", "r");
    while (f && fgets(line, sizeof line, f))
        n += strstr(line, "memfd:weft") != NULL;
    if (f)
        fclose(f);
    return n;
}

static weft_status import_nothing(weft_device *d, void *host, size_t bytes, weft_dev *out)
{
    (void)d, (void)host, (void)bytes, (void)out;
    return weft__fail(WEFT_ENOMEM, "no window");
}

START_TEST(windows)
{
    weft_dev p[3];
    int before = mappings();
    for (int i = 0; i < 3; i++)
        ck_all(!weft__comm_alloc(shm, cpu, 1000, WEFT_MEMORY_GRADS, &p[i]) && p[i].addr % 64 == 0);
    ck_all(mappings() == before + 3);
    float *x = weft__comm_reach(shm, cpu, p[1]);
    for (int i = 0; i < 250; i++)
        x[i] = 1;
    weft__comm_release(shm, cpu, p[0], 1000,
                       WEFT_MEMORY_GRADS); /* each rank by itself, in any order */
    ck_all(!weft__all_reduce(shm, "x", x, 250, WEFT_F32, WEFT_REDUCE_SUM));
    ck_all(x[0] == (float)shm->world && x[249] == (float)shm->world);
    weft__comm_release(shm, cpu, p[shm->rank % 2 ? 1 : 2], 1000, WEFT_MEMORY_GRADS);
    weft__comm_release(shm, cpu, p[shm->rank % 2 ? 2 : 1], 1000, WEFT_MEMORY_GRADS);
    ck_all(mappings() == before);
    /* a device that cannot import has its own memory reduced */
    weft_device_ops o = *cpu->ops;
    o.import = NULL, o.unimport = NULL;
    weft_device plain = *cpu;
    plain.ops = &o;
    ck_all(!weft__comm_alloc(shm, &plain, 1000, WEFT_MEMORY_GRADS, &p[0]) && mappings() == before);
    ck_all(weft__comm_reach(shm, &plain, p[0]) == (void *)p[0].addr);
    weft__comm_release(shm, &plain, p[0], 1000, WEFT_MEMORY_GRADS);
    /* and one that cannot on one rank alone fails on all */
    if (shm->rank == shm->world - 1)
        o.import = import_nothing;
    else
        o.import = cpu->ops->import;
    o.unimport = cpu->ops->unimport;
    ck_all(weft__comm_alloc(shm, &plain, 1000, WEFT_MEMORY_GRADS, &p[0]) == WEFT_ENOMEM);
    ck_all(strstr(weft__why(), "no window") && mappings() == before && !shm->lost);
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
    weft_comm *c = communicator(_i);
    static float x[300];
    int late = c->rank == c->world - 1;
    char expected[100];
    double begun;
    weft_status rc;
    weft__process.mpi_ours = 1;
    c->timeout = 0.5;
    snprintf(expected, sizeof expected, "all_reduce \"gradients bucket 3\" (collective %d)",
             (int)c->sequence + 1);
    all_barrier();
    if (late && c->world > 1)
        usleep(3000000);
    begun = weft__now();
    c->timeout = late ? 10 : 0.5;
    rc = weft__all_reduce(c, "gradients bucket 3", x, 300, WEFT_F32, WEFT_REDUCE_SUM);
    if (!late) {
        fprintf(stderr, "# %.2f s: %s\n", weft__now() - begun, weft__why());
        ck_assert_int_eq(rc, WEFT_ETIMEOUT);
        ck_assert(weft__now() - begun < 2 && weft__now() - begun >= 0.5);
        ck_assert_ptr_nonnull(strstr(weft__why(), expected));
        snprintf(expected, sizeof expected, "rank %d did not come within 0.5 s", c->world - 1);
        ck_assert_ptr_nonnull(strstr(weft__why(), c == shm ? expected : "a peer did not come"));
        ck_assert(c->lost && !weft__process.mpi_ours);
        ck_assert_int_eq(weft__barrier(c, "after"), WEFT_EPEER);
        ck_assert_ptr_nonnull(strstr(weft__why(), "\"after\""));
        ck_assert_int_eq(weft__agree(c, "after", WEFT_OK, ""), WEFT_EPEER);
        ck_assert_int_eq(weft__send(c, "after", x, 4, 0, 0), WEFT_EPEER);
    }
    ck_all(late || rc == WEFT_ETIMEOUT);
    weft__comm_free(c);
}
END_TEST

/* No MPI from here on. */
START_TEST(left)
{
    int over = 0, handle;
    bool is_world;
    weft_comm *c;
    weft__process.mpi_ours = 1; /* the lost peer was a late one: MPI can be finalised after all */
    all_barrier();
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
    tcase_add_loop_test(t, barrier, 0, 2);
    tcase_add_loop_test(t, ring, 0, VARIANTS);
    tcase_add_loop_test(t, short_message, 0, 2);
    tcase_add_test(t, bad_arguments);
    tcase_add_loop_test(t, numbers_and_names, 0, 2);
    tcase_add_loop_test(t, agreement, 0, 2);
    tcase_add_loop_test(t, agreement_with_last_message, 0, 2);
    tcase_add_loop_test(t, equal_texts, 0, 2);
    tcase_add_loop_test(t, groups, 0, 2);
    tcase_add_test(t, topology_is_stripped);
    tcase_add_test(t, part_of_the_world);
    tcase_add_loop_test(t, nodes, 0, 2);
    tcase_add_test(t, incomplete_table);
    tcase_add_test(t, memory);
    tcase_add_test(t, serial_sums);
    tcase_add_test(t, not_a_number);
    tcase_add_test(t, long_moves);
    tcase_add_test(t, mismatched_calls);
    tcase_add_test(t, no_room);
    tcase_add_test(t, windows);
    tcase_add_test(t, requests_and_calls);
    tcase_add_test(t, order_of_additions);
    tcase_add_test(t, goes_on_meanwhile);
    tcase_add_test(t, late_request);
    tcase_add_test(t, entered_twice);
    tcase_add_loop_test(t, late_peer, 0, 2);
    tcase_add_test(t, left);
    suite_add_tcase(s, t);
    return s;
}

static weft_status make_rings(void)
{
    bool is_world;
    weft_status s = WEFT_OK;
    for (int i = 0; i < 3 && !s; i++) {
        s = weft__comm_mpi(&rings[i], world_handle, 60, &is_world);
        s = s ? s : weft__mpi_overlap(rings[i], 0, (weft__beside)i);
    }
    return s;
}

int main(void)
{
    bool is_world = false;
    int failed;
    if (weft__mpi_enter(&world_handle) || weft__comm_mpi(&mpi, world_handle, 60, &is_world) ||
        weft__comm_self(&self) || !is_world || weft__device_open(&cpu, "cpu", 0, 1) ||
        !open_shm() || make_rings()) {
        fprintf(stderr, "cannot begin: %s\n", weft__why());
        return EXIT_FAILURE;
    }
    failed = all_run(suite());
    weft__device_close(cpu);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
