/* A directory of the test's own, the golden safetensors file, and the tool. */
#ifndef TESTS_WEIGHTS_FIXTURE_H
#define TESTS_WEIGHTS_FIXTURE_H
#include <check.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <weft/base.h>

static char dir[64], golden[1024];

static inline void setup(void)
{
    const char *at = getenv("srcdir");
    strcpy(dir, "/dev/shm/weft-weights-XXXXXX"); /* no disk to wait for */
    if (!mkdtemp(dir)) {
        strcpy(dir, "weights-XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(dir));
    }
    snprintf(golden, sizeof golden, "%s/golden/mlp.safetensors", at ? at : ".");
}

static inline int shell(const char *format, ...) WEFT_PRINTF(1, 2);

static inline int shell(const char *format, ...)
{
    char command[4096];
    va_list args;
    va_start(args, format);
    vsnprintf(command, sizeof command, format, args);
    va_end(args);
    const int rc = system(command);
    return WIFEXITED(rc) ? WEXITSTATUS(rc) : 128 + WTERMSIG(rc);
}

static inline void teardown(void)
{
    ck_assert_int_eq(shell("rm -rf %s", dir), 0);
}

static inline const char *in(const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static inline void write_bytes(const char *name, const void *p, size_t n)
{
    FILE *out = fopen(in(name), "w");
    ck_assert(out && fwrite(p, 1, n, out) == n && !fclose(out));
}

static inline void write_text(const char *name, const char *text)
{
    write_bytes(name, text, strlen(text));
}
#endif
