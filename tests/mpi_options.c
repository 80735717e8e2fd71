/* Options on several ranks: wrong on one rank alone or on all, said by rank 0 alone, checked against what
 * runs, and printed as what runs. */
#include "mpi_all.h"
#include "near_machine.h"

#include "comm/nccl.h"
#include "core/context.h"
#include "environ/environ.h"

#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <weft.h>
#include <weft/sys/device.h>

static char said[8000];

static void collect(void *user, weft_level level, const char *text)
{
    (void)user, (void)level;
    size_t n = strlen(said);
    snprintf(said + n, sizeof said - n, "%s\n", text);
}

static void listen(void)
{
    said[0] = '\0';
    weft_log_level(WEFT_LOG_WARNING);
    weft_log_to(collect, NULL);
}

/* On rank `odd` one text, on the others another; -1: all have the first. */
static weft_status open_as(int odd, const char *text, const char *rest, char message[600])
{
    weft_fabric *f;
    listen();
    weft_status s = weft_open_text(&f, NULL, NULL, odd < 0 || odd == all_rank() ? text : rest);
    snprintf(message, 600, "%s", weft_message(f));
    int closed = weft_close(&f);
    ck_all(closed == (s < 0 ? -s : 0));
    return s;
}

static const struct {
    const char *text;
    weft_status all, one; /* with the text on all ranks; with it on one and none on the others */
    const char *says;
} row[] = {
    {"strategy=dpp", WEFT_EARG, WEFT_EARG, "dpp"},
    {"devices=0,1", WEFT_EARG, WEFT_EARG, "a list of ids"},
    {"devices=0", WEFT_EARG, WEFT_EARG, "whole number"},
    {"devices=99", WEFT_ECONFIG, WEFT_ECONFIG, "devices=99 was asked for"},
    {"num_nodes=2", WEFT_ECONFIG, WEFT_ECONFIG, "num_nodes=2 was asked for"},
    {"accelerator=tpu", WEFT_ENOTSUP, WEFT_ENOTSUP, "tpu"},
    {"precision=16", WEFT_OK, WEFT_ECONFIG, "differ"},
    {"precision=64", WEFT_OK, WEFT_ECONFIG, "differ"},
    {"seed=1", WEFT_OK, WEFT_ECONFIG, "differ"},
    {"keep=off", WEFT_OK, WEFT_ECONFIG, "differ"},
    {"keep=-5", WEFT_EARG, WEFT_EARG, "keep"},
    {"seed=x", WEFT_EARG, WEFT_EARG, "seed"},
    {"nonfinite=skip", WEFT_OK, WEFT_ECONFIG, "differ"},
    {"log_every=3", WEFT_OK, WEFT_ECONFIG, "differ"},
    {"log_every=0", WEFT_EARG, WEFT_EARG, "log_every"},
    {"bucket_mb=3", WEFT_OK, WEFT_ECONFIG, "differ"},
    {"bucket_mb=-1", WEFT_EARG, WEFT_EARG, "bucket_mb"},
    {"heartbeat=7", WEFT_OK, WEFT_ECONFIG, "differ"},
    {"heartbeat=0.5", WEFT_EARG, WEFT_EARG, "heartbeat"},
    {"share_devices=true", WEFT_OK, WEFT_ECONFIG, "differ"},
    {"matmul_precision=high", WEFT_OK, WEFT_ECONFIG, "differ"},
    {"share_devices=maybe", WEFT_EARG, WEFT_EARG, "share_devices"},
    {"timeout=60", WEFT_OK, WEFT_OK, ""}, /* each rank's own */
    {"graph=on", WEFT_OK, WEFT_OK, ""},
    {"timeout=-1", WEFT_EARG, WEFT_EARG, "timeout"},
    {"threads=1", WEFT_OK, WEFT_OK, ""},
    {"threads=-1", WEFT_EARG, WEFT_EARG, "threads"},
    {"print_config", WEFT_CONFIG_PRINTED, WEFT_ECONFIG, "differ"},
    {"print_config=maybe", WEFT_EARG, WEFT_EARG, "maybe"},
    {"init_scale=8", WEFT_EARG, WEFT_EARG, "16-mixed alone has, and the precision is 32-true"},
    {"precision=64 min_scale=8", WEFT_EARG, WEFT_EARG, "min_scale is of the loss scale"},
    {"init_scale=off", WEFT_EARG, WEFT_EARG, "16-mixed alone"},
    {"precision=16 init_scale=-2", WEFT_EARG, WEFT_EARG, "init_scale"},
    {"precision=16 growth_factor=1", WEFT_EARG, WEFT_EARG,
     "growth_factor is 1; it is a number above 1"},
    {"precision=16 growth_factor=0.5", WEFT_EARG, WEFT_EARG, "growth_factor"},
    {"precision=16 backoff_factor=1", WEFT_EARG, WEFT_EARG, "backoff_factor is 1; it is below 1"},
    {"precision=16 growth_interval=1.5", WEFT_EARG, WEFT_EARG, "growth_interval"},
    {"precision=16 init_scale=0.5", WEFT_EARG, WEFT_EARG, "below min_scale, 1"},
    {"precision=16 init_scale=8", WEFT_OK, WEFT_ECONFIG, "differ"},
    {"precision=16 init_scale=off", WEFT_OK, WEFT_ECONFIG, "differ"},
    {"nonfinite=x", WEFT_EARG, WEFT_EARG, "nonfinite"},
    {"process_group_backend=mpi", WEFT_OK, WEFT_ECONFIG, "process_group_backend differs"},
    {"process_group_backend=shm", WEFT_OK, WEFT_ECONFIG, "process_group_backend differs"},
    {"process_group_backend=auto", WEFT_OK, WEFT_OK, ""},
    {"process_group_backend=nccl", WEFT_ENOTSUP, /* also by the one rank that says so */
     WEFT__HAS_NCCL ? WEFT_ECONFIG : WEFT_ENOTSUP, "nccl"},
    {"process_group_backend=x", WEFT_EARG, WEFT_EARG, "x"},
    {"option", WEFT_EARG, WEFT_EARG, "name=value"},
};

START_TEST(on_all_ranks)
{
    char message[600];
    weft_status s = open_as(-1, row[_i].text, "", message);
    ck_all(s == row[_i].all);
    ck_all(s >= 0 || strstr(message, row[_i].says));
}
END_TEST

START_TEST(on_one_rank)
{
    char message[600];
    for (int odd = 0; odd < all_world() && all_world() > 1; odd++) {
        weft_status s = open_as(odd, row[_i].text, "", message);
        ck_all(s == row[_i].one);
        ck_all(strstr(message, row[_i].says) || !strcmp(row[_i].says, "differ"));
    }
}
END_TEST

START_TEST(strategies)
{
    char message[600];
    weft_fabric *f;
    bool many = all_world() > 1;
    ck_all(open_as(-1, "strategy=single", "", message) == (many ? WEFT_ECONFIG : WEFT_OK));
    ck_all(!many || strstr(message, "separate models"));
    listen();
    ck_all(!weft_open_text(&f, NULL, NULL, "strategy=ddp_spawn"));
    ck_all(!strcmp(weft_strategy_name(f), "ddp"));
    ck_all((all_rank() == 0) == (strstr(said, "ddp_spawn is ddp here") != NULL));
    ck_all(!weft_close(&f));
    ck_all(!weft_open_text(&f, NULL, NULL, "strategy=auto"));
    ck_all(!strcmp(weft_strategy_name(f), many ? "ddp" : "single") && !weft_close(&f));
}
END_TEST

START_TEST(rank_0_speaks)
{
    weft_fabric *f;
    char *argv[] = {"program", "--seeds", "3", "--print-config", NULL}, **v = argv;
    char devices[40];
    int argc = 4;
    snprintf(devices, sizeof devices, "devices=%d (default)", all_world());
    listen();
    setenv("WEFT_STRATGY", "ddp", 1);
    ck_all(weft_open(&f, &argc, &v, WEFT_OPEN(.log_every = 5)) == WEFT_CONFIG_PRINTED);
    unsetenv("WEFT_STRATGY");
    ck_all(argc == 3 && weft_close(&f) == 0);
    bool loud = all_rank() == 0;
    ck_all(loud == (strstr(said, "--seeds is left to the program") != NULL));
    ck_all(loud == (strstr(said, "WEFT_STRATGY is not known") != NULL));
    ck_all(loud == (strstr(said, devices) != NULL));
    ck_all(loud == (strstr(said, "num_nodes=1 (default)") != NULL));
    ck_all(loud == (strstr(said, "log_every=5 (code)") != NULL));
    const char *backend = "process_group_backend=shm (default)";
    if (all_world() == 1)
        backend = "process_group_backend=auto (default)";
    ck_all(loud == (strstr(said, backend) != NULL));
    ck_all(loud || !*said);
}
END_TEST

/* What runs is what was asked for, and auto is the ranks' own memory, as they are on one machine;
 * where they cannot share any, MPI. */
START_TEST(backends)
{
    static const char *const text[] = {"process_group_backend=mpi", "process_group_backend=shm",
                                       ""};
    weft_fabric *f;
    bool many = all_world() > 1;
    for (int i = 0; i < 3; i++) {
        ck_all(!weft_open_text(&f, NULL, NULL, text[i]));
        ck_all(!strcmp(weft_process_group_backend(f), i && many ? "shm" : "mpi"));
        ck_all(!weft_close(&f));
    }
    if (!many)
        return;
    struct rlimit before, none;
    getrlimit(RLIMIT_FSIZE, &before);
    none = (struct rlimit){0, before.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    for (int i = 1; i < 3; i++) {
        listen();
        setrlimit(RLIMIT_FSIZE, &none);
        weft_status s = weft_open_text(
            &f, NULL, NULL, i == 1 ? "process_group_backend=shm heartbeat=off" : "heartbeat=off");
        setrlimit(RLIMIT_FSIZE, &before);
        ck_all(s == (i == 1 ? WEFT_ENOMEM : WEFT_OK));
        ck_all(i == 2 || strstr(weft_message(f), "process_group_backend shm: no room for"));
        ck_all(i == 1 || !strcmp(weft_process_group_backend(f), "mpi"));
        ck_all((i == 2 && all_rank() == 0) == (strstr(said, "go by MPI") != NULL));
        weft_close(&f);
    }
    signal(SIGXFSZ, SIG_DFL);
}
END_TEST

/* What Lightning's launcher says of the ranks is checked like everything else. */
START_TEST(lightning)
{
    char message[600], devices[16];
    snprintf(devices, sizeof devices, "%d", all_world());
    setenv("LT_CLI_USED", "1", 1);
    setenv("LT_DEVICES", devices, 1);
    ck_all(open_as(-1, "", "", message) == WEFT_OK);
    ck_all(open_as(-1, "devices=77", "", message) == WEFT_EARG);
    ck_all(strstr(message, "LT_DEVICES") != NULL);
    setenv("LT_DEVICES", "77", 1);
    ck_all(open_as(-1, "", "", message) == WEFT_ECONFIG);
    if (all_rank() == 0)
        unsetenv("LT_DEVICES"); /* it does not reach every rank */
    ck_all(open_as(-1, "", "", message) == (all_world() > 1 ? WEFT_ECONFIG : WEFT_OK));
    unsetenv("LT_DEVICES");
    unsetenv("LT_CLI_USED");
}
END_TEST

static void see(int devices, int first)
{
    char text[16];
    snprintf(text, sizeof text, "%d", devices);
    setenv("WEFT_MOCK_DEVICES", text, 1);
    snprintf(text, sizeof text, "%d", first);
    setenv("WEFT_MOCK_FIRST", text, 1);
}

/* Each rank sees a device of its own, all see the same one, and some see one that others see, too. */
START_TEST(visible_devices)
{
    const char *mock = "accelerator=mock";
    const bool many = all_world() > 1;
    char message[600];
    see(1, all_rank());
    ck_all(open_as(-1, mock, "", message) == WEFT_OK);
    see(1, 0);
    ck_all(open_as(-1, mock, "", message) == (many ? WEFT_ECONFIG : WEFT_OK));
    ck_all(!many || strstr(message, "share_devices=true"));
    see(all_rank() + 1, 0);
    ck_all(open_as(-1, mock, "", message) == (many ? WEFT_ECONFIG : WEFT_OK));
    ck_all(!many || strstr(message, "have the same mock device"));
    ck_all(open_as(-1, "accelerator=mock share_devices=true", "", message) == WEFT_OK);
    unsetenv("WEFT_MOCK_DEVICES");
    unsetenv("WEFT_MOCK_FIRST");
}
END_TEST

/* The number of the device that this rank gets. */
static int device_of(const char *text)
{
    weft_fabric *f;
    listen();
    const weft_status s = weft_open_text(&f, NULL, NULL, text);
    const int index = s ? -1 : f->device->index;
    weft_close(&f);
    return index;
}

/* Two ranks that are bound take the devices beside their cores, but for a list, which is as it is. */
START_TEST(near_devices)
{
    static const char path[] = "near_machine.xml";
    unsigned char mask[WEFT__MASK];
    cpu_set_t before, mine;
    CPU_ZERO(&mine);
    CPU_SET((size_t)all_rank(), &mine);
    if (all_world() != 2 || sysconf(_SC_NPROCESSORS_ONLN) < 2 ||
        !all(!sched_getaffinity(0, sizeof before, &before) &&
             !sched_setaffinity(0, sizeof mine, &mine)))
        return;
    weft__environ_mask(mask);
    weft__environ_cores(mask); /* of the real machine */
    ck_all(all_rank() || near_machine(path));
    setenv("HWLOC_XMLFILE", path, 1);
    see(2, 0);
    ck_all(device_of("accelerator=mock") == 1 - all_rank());
    unsetenv("HWLOC_XMLFILE");
    ck_all(all_rank() || !remove(path));
    see(4, 0);
    ck_all(device_of("accelerator=mock") == 1 - all_rank());
    ck_all(device_of("accelerator=mock devices=2") == 1 - all_rank());
    ck_all(device_of("accelerator=mock devices=0,1") == all_rank());
    CPU_SET(0, &mine);
    CPU_SET(1, &mine);
    ck_all(!sched_setaffinity(0, sizeof mine, &mine));
    ck_all(device_of("accelerator=mock") == all_rank());
    sched_setaffinity(0, sizeof before, &before);
    unsetenv("WEFT_MOCK_DEVICES");
    unsetenv("WEFT_MOCK_FIRST");
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("options");
    TCase *t = tcase_create("on ranks");
    tcase_add_test(t, near_devices); /* first: hwloc looks once */
    tcase_add_loop_test(t, on_all_ranks, 0, (int)(sizeof row / sizeof row[0]));
    tcase_add_loop_test(t, on_one_rank, 0, (int)(sizeof row / sizeof row[0]));
    tcase_add_test(t, strategies);
    tcase_add_test(t, rank_0_speaks);
    tcase_add_test(t, backends);
    tcase_add_test(t, lightning);
    tcase_add_test(t, visible_devices);
    tcase_set_timeout(t, 100);
    suite_add_tcase(s, t);
    return s;
}

int main(int argc, char **argv)
{
    return all_main(&argc, &argv, suite);
}
