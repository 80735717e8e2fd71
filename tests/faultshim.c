/* Preloaded into a test: logs every call that changes a file system, and fails the k-th, for paths
 * under one directory. The environment is read at every call, so that a test can switch it on and
 * off around what it tests:
 *   WEFT_FAULT_DIR     the directory, absolute; not set: everything passes
 *   WEFT_FAULT_LOG     file that gets a line a call, "3 pwrite step-000001/MANIFEST"
 *   WEFT_FAULT_CALL    k, from 1; 0 or not set: none fails
 *   WEFT_FAULT_ERRNO   what it fails with, a number; default ENOSPC
 *   WEFT_FAULT_STICKY  set: all later ones fail too
 *   WEFT_FAULT_KILL    set: the k-th does not fail, but the process is killed before it
 * Calls are counted from where WEFT_FAULT_DIR was last set. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int calls;

static long number(const char *name)
{
    const char *v = getenv(name);
    return v ? atol(v) : 0;
}

/* The absolute path of `path` at a directory's descriptor; of the descriptor itself if NULL. */
static void locate(int fd, const char *path, char out[PATH_MAX])
{
    char link[64], base[PATH_MAX] = "";
    if (path && path[0] == '/') {
        snprintf(out, PATH_MAX, "%s", path);
        return;
    }
    if (fd == AT_FDCWD) {
        if (!getcwd(base, sizeof base))
            base[0] = '\0';
    } else {
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t n = readlink(link, base, sizeof base - 1);
        base[n > 0 ? n : 0] = '\0';
    }
    if (path)
        snprintf(out, PATH_MAX, "%.2000s/%.2000s", base, path);
    else
        snprintf(out, PATH_MAX, "%s", base);
}

static void record(const char *call, const char *path, const char *to)
{
    const char *log = getenv("WEFT_FAULT_LOG");
    char line[2 * PATH_MAX];
    int fd =
        log ? (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND, 0600) : -1;
    if (fd < 0)
        return;
    int n = snprintf(line, sizeof line, "%d %s %s%s%s\n", calls, call, path, to ? " " : "",
                     to ? to : "");
    if (syscall(SYS_write, fd, line, n) != n)
        abort();
    syscall(SYS_close, fd);
}

/* 1: the call is to fail, errno is set. */
static int fault(const char *call, int fd, const char *path, const char *to)
{
    const char *dir = getenv("WEFT_FAULT_DIR");
    char whole[PATH_MAX];
    size_t n = dir ? strlen(dir) : 0;
    int keep = errno;
    if (!dir) {
        calls = 0;
        return 0;
    }
    locate(fd, path, whole);
    if (strncmp(whole, dir, n) != 0 || (whole[n] && whole[n] != '/'))
        return 0;
    calls++;
    record(call, whole[n] ? whole + n + 1 : ".", to);
    long k = number("WEFT_FAULT_CALL");
    errno = keep;
    if (k == 0 || calls < k || (calls > k && !getenv("WEFT_FAULT_STICKY")))
        return 0;
    if (getenv("WEFT_FAULT_KILL"))
        kill(getpid(), SIGKILL);
    errno = number("WEFT_FAULT_ERRNO") ? (int)number("WEFT_FAULT_ERRNO") : ENOSPC;
    return 1;
}

static int writes(int flags)
{
    return (flags & O_ACCMODE) != O_RDONLY;
}

#define MODE(mode, flags)                                                                          \
    if ((flags)&O_CREAT) {                                                                         \
        va_list args;                                                                              \
        va_start(args, flags);                                                                     \
        mode = va_arg(args, mode_t);                                                               \
        va_end(args);                                                                              \
    }

#define OPEN(name)                                                                                 \
    int name(const char *path, int flags, ...)                                                     \
    {                                                                                              \
        mode_t mode = 0;                                                                           \
        MODE(mode, flags)                                                                          \
        if (writes(flags) && fault("open", AT_FDCWD, path, NULL))                                  \
            return -1;                                                                             \
        return REAL(name)(path, flags, mode);                                                      \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                                                               \
    int name(int dir, const char *path, int flags, ...)                                            \
    {                                                                                              \
        mode_t mode = 0;                                                                           \
        MODE(mode, flags)                                                                          \
        if (writes(flags) && fault("open", dir, path, NULL))                                       \
            return -1;                                                                             \
        return REAL(name)(dir, path, flags, mode);                                                 \
    }
OPENAT(openat)
OPENAT(openat64)

#define ON_FD(type, name, shown, params, ...)                                                      \
    type name params                                                                               \
    {                                                                                              \
        return fault(shown, fd, NULL, NULL) ? -1 : REAL(name)(__VA_ARGS__);                        \
    }
ON_FD(ssize_t, pwrite, "pwrite", (int fd, const void *p, size_t n, off_t at), fd, p, n, at)
ON_FD(ssize_t, pwrite64, "pwrite", (int fd, const void *p, size_t n, off64_t at), fd, p, n, at)
ON_FD(ssize_t, write, "write", (int fd, const void *p, size_t n), fd, p, n)
ON_FD(int, ftruncate, "ftruncate", (int fd, off_t n), fd, n)
ON_FD(int, ftruncate64, "ftruncate", (int fd, off64_t n), fd, n)
ON_FD(int, fallocate, "fallocate", (int fd, int mode, off_t at, off_t n), fd, mode, at, n)
ON_FD(int, fallocate64, "fallocate", (int fd, int mode, off64_t at, off64_t n), fd, mode, at, n)
ON_FD(int, fsync, "fsync", (int fd), fd)
ON_FD(int, fdatasync, "fsync", (int fd), fd)

#define ON_PATH(name, shown, params, dir, path, to, ...)                                           \
    int name params                                                                                \
    {                                                                                              \
        return fault(shown, dir, path, to) ? -1 : REAL(name)(__VA_ARGS__);                         \
    }
ON_PATH(rename, "rename", (const char *a, const char *b), AT_FDCWD, a, b, a, b)
ON_PATH(renameat, "rename", (int d, const char *a, int e, const char *b), d, a, b, d, a, e, b)
ON_PATH(mkdir, "mkdir", (const char *a, mode_t m), AT_FDCWD, a, NULL, a, m)
ON_PATH(mkdirat, "mkdir", (int d, const char *a, mode_t m), d, a, NULL, d, a, m)
ON_PATH(unlink, "unlink", (const char *a), AT_FDCWD, a, NULL, a)
ON_PATH(unlinkat, "unlink", (int d, const char *a, int f), d, a, NULL, d, a, f)
ON_PATH(symlinkat, "symlink", (const char *a, int d, const char *b), d, b, a, a, d, b)

/* Only of files: directories are closed after reading too. The descriptor is closed in any case. */
int close(int fd)
{
    struct stat st;
    int failed = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && writes(fcntl(fd, F_GETFL)) &&
                 fault("close", fd, NULL, NULL);
    int e = errno, r = REAL(close)(fd);
    if (failed)
        errno = e;
    return failed ? -1 : r;
}
