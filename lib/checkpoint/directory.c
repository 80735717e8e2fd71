/* Scan, removal, rotation, and the hint `latest`. */
#include "checkpoint/directory.h"

#include "checkpoint/reader.h"
#include "core/alloc.h"
#include "core/error.h"
#include "core/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static DIR *list(int parent, const char *name)
{
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (fd >= 0 && !d)
        close(fd);
    return d;
}

static bool is_directory(int parent, const char *name)
{
    struct stat st;
    return fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

static int newest_first(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;
    return (*x < *y) - (*x > *y);
}

static weft_status collect_steps(DIR *d, int64_t **steps, size_t *n)
{
    size_t room = 0;
    for (struct dirent *e; (e = readdir(d));) {
        int64_t step = weft__step_of(e->d_name);
        if (step < 0 || !is_directory(dirfd(d), e->d_name))
            continue;
        WEFT_TRY(weft__grow(steps, &room, *n + 1, sizeof **steps));
        (*steps)[(*n)++] = step;
    }
    if (*n)
        qsort(*steps, *n, sizeof **steps, newest_first);
    return WEFT_OK;
}

weft_status weft__scan(const char *path, int64_t **steps, size_t *n)
{
    DIR *d = opendir(path);
    *steps = NULL;
    *n = 0;
    if (!d && errno == ENOENT)
        return WEFT_OK;
    if (!d)
        return weft__fail_errno(WEFT_EIO, "%s: cannot list the checkpoints", path);
    weft_status s = collect_steps(d, steps, n);
    closedir(d);
    if (s) {
        weft__free(*steps);
        *steps = NULL;
    }
    return s;
}

static bool is_dot(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

bool weft__remove(int parent, const char *name)
{
    DIR *d = list(parent, name);
    if (!d)
        return false;
    for (struct dirent *e; (e = readdir(d));)
        if (weft__is_content(e->d_name))
            unlinkat(dirfd(d), e->d_name, 0);
    closedir(d);
    return unlinkat(parent, name, AT_REMOVEDIR) == 0;
}

/* True if there is nothing in it but what we put there. */
static bool all_ours(int parent, const char *name)
{
    DIR *d = list(parent, name);
    bool ours = d != NULL;
    for (struct dirent *e; d && (e = readdir(d));)
        ours = ours && (is_dot(e->d_name) || weft__is_content(e->d_name));
    if (d)
        closedir(d);
    return ours;
}

static void point_latest(int parent, const char *path, const char *name, const char *id)
{
    char aside[WEFT__NAME];
    weft__aside_name(aside, WEFT__LATEST, "tmp", id);
    if (symlinkat(name, parent, aside) == 0 && renameat(parent, aside, parent, WEFT__LATEST) == 0)
        return;
    weft__say(WEFT_LOG_WARNING, "%s/" WEFT__LATEST " was not moved to %s: %s", path, name,
              strerror(errno));
    unlinkat(parent, aside, 0);
}

static void remove_stale(int parent, const char *path)
{
    DIR *d = list(parent, ".");
    for (struct dirent *e; d && (e = readdir(d));) {
        bool gone = true;
        if (!weft__is_temporary(e->d_name))
            continue;
        if (is_directory(parent, e->d_name))
            gone = all_ours(parent, e->d_name) && weft__remove(parent, e->d_name);
        else
            gone = unlinkat(parent, e->d_name, 0) == 0;
        if (!gone)
            weft__say(WEFT_LOG_WARNING, "%s/%s, left by a run that crashed, cannot be removed",
                      path, e->d_name);
    }
    if (d)
        closedir(d);
}

/* One rename takes it out of the list of checkpoints, so that no half of one is ever seen. */
static void retire(int parent, const char *path, int64_t step, const char *id)
{
    char name[WEFT__NAME], aside[WEFT__NAME];
    weft__step_name(name, step);
    weft__aside_name(aside, name, "tmp", id);
    if (!all_ours(parent, name) || renameat(parent, name, parent, aside) ||
        !weft__remove(parent, aside))
        weft__say(WEFT_LOG_WARNING, "%s/%s is old but cannot be removed", path, name);
}

static void rotate(int parent, const char *path, int64_t step, const char *id, int keep)
{
    char whole[PATH_MAX];
    int64_t *steps;
    size_t n;
    int kept = 1;
    if (weft__scan(path, &steps, &n))
        return;
    for (size_t i = 0; i < n; i++) {
        if (steps[i] >= step)
            continue;
        snprintf(whole, sizeof whole, "%s/step-%06lld", path, (long long)steps[i]);
        /* A damaged one does not count, and stays while there are too few good ones. */
        if (kept >= keep)
            retire(parent, path, steps[i], id);
        else
            kept += weft__looks_good(whole);
    }
    weft__free(steps);
}

void weft__tidy(int parent, const char *path, int64_t step, const char *id, int keep)
{
    char name[WEFT__NAME];
    weft__step_name(name, step);
    point_latest(parent, path, name, id);
    remove_stale(parent, path);
    if (keep != WEFT_OFF)
        rotate(parent, path, step, id, keep);
}
