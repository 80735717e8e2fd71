/* Checkpoints on several ranks: saved on P, loaded on Q, and one rank that fails. */
#include "mpi_all.h"

#include "checkpoint/checkpoint.h"
#include "comm/comm.h"
#include "comm/mpi.h"
#include "core/error.h"

#include <hdf5.h>
#include <limits.h>
#include <math.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <weft/log.h>

#define N 1009       /* elements of what is sharded */
#define WIDE 2200003 /* f32: three blocks */

static weft_comm *world;
static char dir[64], warned[2000];

struct program {
    float rep[13 * 7], tiny[3], wide[WIDE];
    double shard[N];
    int32_t two[N], root[5];
    int64_t own, step;
    int rank, world; /* of the communicator that holds it */
    int fail;        /* 1: the state fails; 2: another name */
    bool with_own;
};

static struct program mine;

/* Uneven cuts, the second rank's empty. */
static int64_t cut(int r, int parts)
{
    if (r <= 0 || r >= parts)
        return r <= 0 ? 0 : N;
    return r <= 2 ? 10 : 10 + (int64_t)(N - 10) * (r - 2) / (parts - 2) / 2;
}

static weft_status put(weft_visitor *v, weft_state_item item, int64_t n, int64_t columns,
                       const weft_slab *slabs, int count)
{
    item.kind = WEFT_STATE_TENSOR;
    item.rank = columns ? 2 : 1;
    item.shape[0] = columns ? n / columns : n;
    item.shape[1] = columns;
    item.slabs = slabs;
    item.nslabs = count;
    return v->item(v, &item);
}

static weft_status sharded(struct program *p, weft_visitor *v)
{
    int64_t a = cut(p->rank, p->world), b = cut(p->rank + 1, p->world), h = N / 2;
    int64_t c = h * p->rank / p->world, d = h * (p->rank + 1) / p->world;
    int64_t e = h + (N - h) * p->rank / p->world, f = h + (N - h) * (p->rank + 1) / p->world;
    const weft_slab one = {.first = a, .count = b - a, .host = p->shard + a};
    const weft_slab two[] = {{.first = c, .count = d - c, .host = p->two + c},
                             {.first = e, .count = f - e, .host = p->two + e}};
    const weft_state_item x = {.name = "shard", .placement = WEFT_SHARDED, .dtype = WEFT_F64};
    const weft_state_item y = {.name = "two", .placement = WEFT_SHARDED, .dtype = WEFT_I32};
    WEFT_TRY(put(v, x, N, 0, &one, 1));
    return put(v, y, N, 0, two, 2);
}

static weft_status state(void *self, weft_visitor *v)
{
    struct program *p = self;
    const weft_slab rep = {.count = 91, .host = p->rep}, tiny = {.count = 3, .host = p->tiny};
    const weft_slab root = {.count = 5, .host = p->root}, wide = {.count = WIDE, .host = p->wide};
    weft_state_item item = {.name = p->fail == 2 ? "per" : "rep", .dtype = WEFT_F32};
    weft_state_item own = {.name = "own",
                           .kind = WEFT_STATE_I64,
                           .placement = WEFT_PER_RANK,
                           .values = &p->own,
                           .count = 1};
    if (p->fail == 1)
        return weft__fail(WEFT_EUSER, "no state today");
    WEFT_TRY(put(v, item, 91, 7, &rep, 1));
    item.name = "tiny";
    WEFT_TRY(put(v, item, 3, 0, &tiny, 1));
    item.name = "wide";
    WEFT_TRY(put(v, item, WIDE, 0, &wide, 1));
    item = (weft_state_item){.name = "root", .placement = WEFT_ROOT, .dtype = WEFT_I32};
    WEFT_TRY(put(v, item, 5, 0, &root, 1));
    WEFT_TRY(sharded(p, v));
    if (p->with_own)
        WEFT_TRY(v->item(v, &own));
    return weft_state_i64(v, "step", &p->step);
}

/* What a rank holds is right, what it does not hold is NaN or -1. */
static void fill(struct program *p, const weft_comm *c, int seed)
{
    bool blank = seed < 0;
    p->rank = c->rank;
    p->world = c->world;
    p->step = seed;
    p->own = blank ? -1 : seed + c->rank;
    for (int i = 0; i < 91; i++)
        p->rep[i] = blank ? NAN : (float)(i + seed);
    for (int i = 0; i < 3; i++)
        p->tiny[i] = blank ? NAN : (float)(i * seed);
    for (int i = 0; i < WIDE; i++)
        p->wide[i] = blank ? NAN : (float)(i % 977 + seed);
    for (int i = 0; i < 5; i++)
        p->root[i] = blank || c->rank ? -1 : i * seed;
    for (int i = 0; i < N; i++) {
        bool here = i >= cut(c->rank, c->world) && i < cut(c->rank + 1, c->world);
        p->shard[i] = blank || !here ? NAN : i + 0.25 * seed;
        p->two[i] = blank ? -1 : i * seed;
    }
}

static bool right(const struct program *p, int seed)
{
    bool ok = p->step == seed;
    for (int i = 0; i < 91; i++)
        ok = ok && p->rep[i] == (float)(i + seed);
    for (int i = 0; i < 3; i++)
        ok = ok && p->tiny[i] == (float)(i * seed);
    for (int i = 0; i < WIDE; i++)
        ok = ok && p->wide[i] == (float)(i % 977 + seed);
    for (int i = 0; i < 5; i++)
        ok = ok && p->root[i] == i * seed;
    for (int64_t i = cut(p->rank, p->world); i < cut(p->rank + 1, p->world); i++)
        ok = ok && p->shard[i] == (double)i + 0.25 * seed;
    for (int i = N / 2 * p->rank / p->world; i < N / 2 * (p->rank + 1) / p->world; i++)
        ok = ok && p->two[i] == i * seed;
    return ok;
}

static weft__checkpoint handle(weft_comm *c)
{
    return (weft__checkpoint){.comm = c, .state = state, .self = &mine, .host = "here", .keep = 2};
}

static weft_status save(weft_comm *c, const char *where, int64_t step)
{
    weft__checkpoint k = handle(c);
    weft_status s = weft__checkpoint_save(&k, where, step);
    weft__checkpoint_free(&k);
    return s;
}

static weft_status resume(weft_comm *c, int64_t *step)
{
    weft__checkpoint k = handle(c);
    return weft__checkpoint_resume(&k, dir, step);
}

/* The first n ranks of the world; NULL on the others. */
static weft_comm *first(int n)
{
    weft_comm *c = NULL;
    ck_all(weft__split(world, "test", world->rank < n ? 0 : -1, 0, &c) == WEFT_OK);
    return c;
}

static void hear(void *user, weft_level level, const char *text)
{
    (void)user;
    if (level <= WEFT_LOG_WARNING)
        snprintf(warned + strlen(warned), sizeof warned - strlen(warned), "%s\n", text);
}

static void setup(void)
{
    snprintf(dir, sizeof dir, "/tmp/weft-checkpoint-XXXXXX");
    bool made = world->rank || mkdtemp(dir);
    ck_all(made);
    MPI_Bcast(dir, sizeof dir, MPI_CHAR, 0, MPI_COMM_WORLD);
    memset(&mine, 0, sizeof mine);
    warned[0] = '\0';
    weft_log_to(hear, NULL);
}

static void teardown(void)
{
    char command[100];
    all_barrier();
    snprintf(command, sizeof command, "rm -r '%s'", dir);
    bool gone = world->rank || system(command) == 0;
    ck_all(gone);
}

START_TEST(saved_on_p_loads_on_q)
{
    for (int p = 1; p <= world->world; p++) {
        weft_comm *c = first(p);
        weft_status s = WEFT_OK;
        if (c) {
            fill(&mine, c, p);
            s = save(c, dir, p);
        }
        ck_all(s == WEFT_OK);
        weft__comm_free(c);
        for (int q = 1; q <= world->world; q++) {
            int64_t step = p;
            bool good = true;
            if ((c = first(q))) {
                fill(&mine, c, -1);
                s = resume(c, &step);
                good = right(&mine, p);
            }
            ck_all(s == WEFT_OK && step == p && good);
            weft__comm_free(c);
        }
    }
}
END_TEST

START_TEST(what_is_each_ranks_own)
{
    int64_t step = -5;
    mine.with_own = true;
    fill(&mine, world, 3);
    ck_all(save(world, dir, 3) == WEFT_OK);
    fill(&mine, world, -1);
    ck_all(resume(world, &step) == WEFT_OK && mine.own == 3 + world->rank);
    weft_comm *c = first(world->world - 1);
    weft_status s = WEFT_ECONFIG;
    if (c && c->world < world->world) {
        fill(&mine, c, -1);
        s = resume(c, &step);
        if (!strstr(weft__why(), "\"own\" is each rank's own, saved on"))
            s = WEFT_OK;
    }
    ck_all(s == WEFT_ECONFIG && step == 3);
    weft__comm_free(c);
}
END_TEST

/* Saving failed alike everywhere, and the checkpoint of step 1 is what it was. */
static void failed_alike(weft_status s, weft_status code, const char *why)
{
    char text[WEFT__TEXT];
    int64_t step;
    snprintf(text, sizeof text, "%s", weft__why());
    MPI_Bcast(text, sizeof text, MPI_CHAR, 0, MPI_COMM_WORLD);
    ck_all(s == code && strcmp(text, weft__why()) == 0);
    ck_assert_msg(all(strstr(text, why) != NULL), "%s", text);
    mine.fail = 0;
    fill(&mine, world, -1);
    ck_all(resume(world, &step) == WEFT_OK && step == 1 && right(&mine, 1));
    fill(&mine, world, 2);
}

START_TEST(one_rank_that_fails)
{
    int last = world->world - 1;
    char name[32] = "(rank";
    fill(&mine, world, 1);
    ck_all(save(world, dir, 1) == WEFT_OK);
    fill(&mine, world, 2);
    mine.fail = world->rank == last;
    failed_alike(save(world, dir, 2), WEFT_EUSER, "no state today");
    if (last) {
        mine.fail = world->rank == last ? 2 : 0;
        failed_alike(save(world, dir, 2), WEFT_ECONFIG, "names, types and shapes");
        snprintf(name, sizeof name, "(rank %d on here)", last);
    }
    for (rlim_t size = 0; size < 1000000; size = 2 * size + 60000) {
        struct rlimit l = {size, RLIM_INFINITY};
        if (world->rank == last)
            setrlimit(RLIMIT_FSIZE, &l);
        weft_status s = save(world, dir, 2);
        l.rlim_cur = RLIM_INFINITY;
        setrlimit(RLIMIT_FSIZE, &l);
        failed_alike(s, WEFT_EIO, last ? name : "File too large");
    }
    ck_all(save(world, dir, 2) == WEFT_OK);
}
END_TEST

START_TEST(ranks_on_other_file_systems)
{
    char there[100];
    weft_status s;
    if (world->world == 1)
        return;
    fill(&mine, world, 1);
    ck_all(save(world, dir, 1) == WEFT_OK);
    fill(&mine, world, 2);
    snprintf(there, sizeof there, "%s/%s", dir, world->rank == 1 ? "else" : "");
    ck_all(mkdir(there, 0700) == 0 || world->rank != 1);
    ck_all(chdir(there) == 0);
    s = save(world, "run", 2);
    bool kept = chdir("/") == 0;
    ck_all(kept);
    failed_alike(s, WEFT_ECONFIG, "rank 1 on here does not see it");
    ck_all(mkdir(strcat(there, "/run"), 0700) == 0 || world->rank != 1);
    there[strlen(there) - 4] = '\0';
    ck_all(chdir(there) == 0);
    s = save(world, "run", 2);
    ck_all(chdir("/") == 0);
    failed_alike(s, WEFT_ECONFIG, "rank 1 on here does not see it");
}
END_TEST

START_TEST(damage_that_one_rank_finds)
{
    char command[200];
    int64_t step;
    fill(&mine, world, 1);
    ck_all(save(world, dir, 1) == WEFT_OK);
    fill(&mine, world, 2);
    ck_all(save(world, dir, 2) == WEFT_OK);
    snprintf(command, sizeof command,
             "f=$(ls %s/step-000002/shard-*-00000.h5); printf x | dd of=$f bs=1 seek=$(($(stat -c "
             "%%s $f) - 3)) conv=notrunc status=none",
             dir);
    bool done = world->rank || system(command) == 0;
    ck_all(done);
    fill(&mine, world, -1);
    ck_all(resume(world, &step) == WEFT_OK && step == 1 && right(&mine, 1));
    bool said = world->rank ? !warned[0] : strstr(warned, "is damaged in block") != NULL;
    ck_assert_msg(all(said), "%s", warned);
}
END_TEST

/* Reads a tensor of checkpoint.h5 as doubles. */
static bool show(int64_t step, const char *name, double *out)
{
    char path[120];
    snprintf(path, sizeof path, "%s/step-%06lld/checkpoint.h5", dir, (long long)step);
    hid_t f = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT), d = H5Dopen2(f, name, H5P_DEFAULT);
    bool ok = H5Dread(d, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, out) >= 0;
    return H5Dclose(d) >= 0 && H5Fclose(f) >= 0 && ok;
}

static double shown[WIDE];

static bool shows(int seed)
{
    bool ok = show(1, "rep", shown);
    for (int i = 0; i < 91; i++)
        ok = ok && shown[i] == i + seed;
    ok = ok && show(1, "shard", shown);
    for (int i = 0; i < N; i++)
        ok = ok && shown[i] == i + 0.25 * seed;
    ok = ok && show(1, "two", shown);
    for (int i = 0; i < N; i++)
        ok = ok && shown[i] == i * seed;
    ok = ok && show(1, "wide", shown);
    for (int i = 0; i < WIDE; i++)
        ok = ok && shown[i] == i % 977 + seed;
    return ok;
}

START_TEST(the_index_shows_whole_tensors)
{
    char command[160];
    bool ok = true;
    fill(&mine, world, 1);
    ck_all(save(world, dir, 1) == WEFT_OK);
    if (world->rank == 0) {
        ok = shows(1);
        snprintf(command, sizeof command,
                 "cd %s && mv step-000001 x && mv x/ step-000001 && "
                 "rm step-000001/shard-*-00000.h5",
                 dir);
        ok = ok && system(command) == 0 && show(1, "rep", shown) && isnan(shown[0]);
        ok = ok && (world->world == 1 || shown[90] == 91);
        ok = ok && show(1, "two", shown) && shown[0] == INT32_MIN;
    }
    ck_all(ok);
}
END_TEST

/* Calls that the preloaded shim has counted since WEFT_FAULT_DIR was set. */
static int counted(const char *log)
{
    char line[600];
    int n = 0;
    FILE *f = fopen(log, "r");
    while (f && fgets(line, sizeof line, f))
        n = atoi(line);
    if (f)
        fclose(f);
    unlink(log); /* also seen by the shim, which begins to count anew */
    return n;
}

static weft_status save_with_fault(int rank, int k, int *calls)
{
    char log[100], number[16];
    snprintf(log, sizeof log, "%s.log", dir);
    snprintf(number, sizeof number, "%d", k);
    if (world->rank == rank) {
        setenv("WEFT_FAULT_LOG", log, 1);
        setenv("WEFT_FAULT_CALL", number, 1);
        setenv("WEFT_FAULT_DIR", dir, 1);
    }
    weft_status s = save(world, dir, 2);
    unsetenv("WEFT_FAULT_DIR");
    if (world->rank == rank)
        *calls = counted(log);
    MPI_Bcast(calls, 1, MPI_INT, rank, MPI_COMM_WORLD);
    return s;
}

START_TEST(every_failing_call_of_a_rank)
{
    int calls, saved = 0, last = world->world - 1;
    fill(&mine, world, 1);
    ck_all(save(world, dir, 1) == WEFT_OK);
    for (int rank = 0; rank <= last; rank += last ? last : 1)
        for (int k = 1, more = 1; more; k++) {
            fill(&mine, world, 2);
            weft_status s = save_with_fault(rank, k, &calls);
            more = calls >= k;
            if (s == WEFT_EIO && !strstr(weft__why(), "is complete")) {
                failed_alike(s, WEFT_EIO, "step-000002");
                continue;
            }
            saved++;
            ck_all(s == WEFT_OK || s == WEFT_EIO);
            all_barrier();
            char command[100];
            snprintf(command, sizeof command, "rm -r %s/step-000002", dir);
            bool gone = world->rank || system(command) == 0;
            ck_all(gone);
        }
    ck_all(saved > 1);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("checkpoint on ranks");
    TCase *t = tcase_create("ranks");
    suite_add_tcase(s, t);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, saved_on_p_loads_on_q);
    tcase_add_test(t, what_is_each_ranks_own);
    tcase_add_test(t, one_rank_that_fails);
    tcase_add_test(t, ranks_on_other_file_systems);
    tcase_add_test(t, damage_that_one_rank_finds);
    tcase_add_test(t, the_index_shows_whole_tensors);
    if (getenv("LD_PRELOAD"))
        tcase_add_test(t, every_failing_call_of_a_rank);
    return s;
}

int main(int argc, char **argv)
{
    bool is_world;
    int handle, failed;
#ifndef __SANITIZE_ADDRESS__ /* whose runtime must come first */
    if (argc && getenv("WEFT_FAULTSHIM") && !getenv("LD_PRELOAD")) {
        setenv("LD_PRELOAD", getenv("WEFT_FAULTSHIM"), 1);
        execv("/proc/self/exe", argv);
    }
#endif
    (void)argc, (void)argv;
    if (weft__mpi_enter(&handle) || weft__comm_mpi(&world, handle, 60, &is_world)) {
        fprintf(stderr, "cannot begin: %s\n", weft__why());
        return EXIT_FAILURE;
    }
    failed = all_run(suite());
    weft__comm_free(world);
    weft__mpi_leave(false);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
