/* What h5ls, h5dump and h5py see of a checkpoint. What cannot be had here is named, and the program
 * then counts as skipped, unless what is here fails. */
#include "checkpoint_fixture.h"

#include "checkpoint/shard.h"

#include <stdarg.h>
#include <sys/wait.h>

static const char *missing, *python;

static int shell(const char *format, ...) WEFT_PRINTF(1, 2);
static int shell(const char *format, ...)
{
    char command[1000], whole[2000];
    va_list args;
    va_start(args, format);
    vsnprintf(command, sizeof command, format, args);
    va_end(args);
    snprintf(whole, sizeof whole, "cd %s && %s", dir, command);
    int rc = system(whole);
    return WIFEXITED(rc) ? WEXITSTATUS(rc) : -1;
}

START_TEST(tools_see_whole_tensors)
{
    struct program *a = program(1);
    if (missing)
        return;
    ck_assert_int_eq(save(a, 1), WEFT_OK);
    strcat(dir, "/step-000001");
    ck_assert_int_eq(shell("h5ls -r checkpoint.h5 | grep -q '/model/big *Dataset {2500003}'"), 0);
    ck_assert_int_eq(shell("h5ls -r checkpoint.h5 | grep -q '/model/w *Dataset {5, 7, 3}'"), 0);
    ck_assert_int_eq(shell("h5ls -d checkpoint.h5/model/big | grep -q ' 1, 8, 15, 22, 29'"), 0);
    ck_assert_int_eq(shell("h5ls -d checkpoint.h5/model/i64 | grep -q -- -9223372036854775808"), 0);
    ck_assert_int_eq(shell("mkdir x; mv shard-* x; h5dump -d /model/rank0 checkpoint.h5 | "
                           "grep -qi ': nan'; r=$?; mv x/* .; exit $r"),
                     0);
    dir[strlen(dir) - strlen("/step-000001")] = '\0';
    drop(a);
}
END_TEST

START_TEST(python_sees_whole_tensors)
{
    struct program *a = program(1);
    if (!python)
        return;
    ck_assert_int_eq(save(a, 1), WEFT_OK);
    ck_assert_int_eq(shell("%s -c 'import h5py; d = h5py.File(\"step-000001/checkpoint.h5\")"
                           "[\"model/big\"]; assert d.shape == (2500003,) and "
                           "d[2500002] == 17500016'",
                           python),
                     0);
    drop(a);
}
END_TEST

START_TEST(an_index_of_very_wide_tensors)
{
    static weft__file file[2];
    weft__manifest m = {.world = 2, .file = file};
    const int64_t shape[] = {3, 5000000000}, first[] = {0, 7000000001, 15000000000};
    weft__piece piece[2] = {{.shard = 0}, {.shard = 1}};
    weft__entry e = {.name = "wide",
                     .dtype = WEFT_BF16,
                     .rank = 2,
                     .numel = first[2],
                     .piece = piece,
                     .npieces = 2};
    memcpy(e.shape, shape, sizeof shape);
    for (int i = 0; i < 2; i++) {
        piece[i].first = first[i];
        piece[i].count = first[i + 1] - first[i];
        snprintf(file[i].name, sizeof file[i].name, "none-%d.h5", i);
    }
    m.entry = &e;
    m.n = 1;
    dir[strlen(dir) - 6] = '\0';
    int fd = open(dir, O_RDONLY | O_DIRECTORY);
    ck_assert_msg(weft__index_write(fd, dir, &m) == WEFT_OK, "%s", weft__why());
    close(fd);
    if (!missing)
        ck_assert_int_eq(shell("h5ls checkpoint.h5 | grep -q '{3, 5000000000}'"), 0);
    strcat(dir, "/run/a");
}
END_TEST

int main(void)
{
    static const char *const known[] = {"python3", "/usr/bin/python3"};
    const TTest *const tests[] = {tools_see_whole_tensors, python_sees_whole_tensors,
                                  an_index_of_very_wide_tensors};
    strcpy(dir, "/");
    if (shell("command -v h5ls h5dump >/dev/null"))
        missing = "h5ls or h5dump";
    for (int i = 0; i < COUNT(known) && !python; i++)
        python = shell("%s -c 'import h5py' 2>/dev/null", known[i]) ? NULL : known[i];
    int failed = run("checkpoint tools", tests, COUNT(tests));
    if (missing || !python)
        printf("# skipped for want of %s%s%s\n", missing ? missing : "",
               missing && !python ? ", and of " : "", python ? "" : "python3 with h5py");
    return failed ? failed : missing || !python ? 77 : 0;
}
