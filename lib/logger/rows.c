/* Files of rows. */
#include "logger/rows.h"

#include "core/alloc.h"
#include "core/log.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SUFFIX 32 /* bytes */

weft_logger *weft__rows_logger(weft_fabric *f, const char *path, const weft_logger_ops *ops,
                               void *self, size_t bytes, weft__rows_file *r)
{
    weft_logger *l = NULL;
    if (!f)
        return NULL;
    *r = (weft__rows_file){.who = ops->name, .fd = -1, .keep = INT64_MAX};
    if (!path || !*path) {
        weft__note(f, weft__fail(WEFT_EARG, "weft_logger_%s: it needs the path of a file", r->who));
        return NULL;
    }
    r->path = weft__strdup(path);
    r->other = r->path ? weft__new(strlen(path) + SUFFIX, 1) : NULL;
    if (r->other)
        l = weft_logger_new(f, ops, self, bytes);
    else
        weft__note(f, WEFT_ENOMEM);
    if (!l)
        ops->destroy(self);
    return l;
}

void weft__rows_shut(weft__rows_file *r)
{
    if (r->fd >= 0)
        close(r->fd);
    r->fd = -1;
}

static weft_status make_parents(weft__rows_file *r)
{
    struct stat st;
    strcpy(r->other, r->path);
    for (char *p = strchr(r->other + 1, '/'); p; p = strchr(p + 1, '/')) {
        *p = '\0';
        if (mkdir(r->other, 0777) && errno != EEXIST) {
            int e = errno; /* some file systems say EROFS or EACCES of what is there */
            if (stat(r->other, &st) || !S_ISDIR(st.st_mode)) {
                errno = e;
                return weft__fail_errno(WEFT_EIO, "%s logger: cannot make the directory %s", r->who,
                                        r->other);
            }
        }
        *p = '/';
    }
    return WEFT_OK;
}

/* Results of an earlier run are never overwritten: they move to NAME.1, .2, ... */
static weft_status move_aside(weft__rows_file *r)
{
    struct stat st;
    int n = 1;
    do
        sprintf(r->other, "%s.%d", r->path, n);
    while (lstat(r->other, &st) == 0 && n++ < 1000000);
    if (n > 1000000 || errno != ENOENT || rename(r->path, r->other))
        return weft__fail_errno(WEFT_EIO, "%s logger: cannot move %s to %s", r->who, r->path,
                                r->other);
    weft__say(WEFT_LOG_INFO, "%s logger: %s was there and is now %s", r->who, r->path, r->other);
    return WEFT_OK;
}

static weft_status unreadable(const weft__rows_file *r)
{
    return weft__fail_errno(WEFT_EIO, "%s logger: cannot read %s", r->who, r->path);
}

static weft_status goes_on(const weft__rows_file *r,
                           weft_status (*ours)(void *self, FILE *in, bool *yes), void *self,
                           bool *yes)
{
    FILE *in = fopen(r->path, "re");
    if (!in)
        return unreadable(r);
    weft_status s = ours(self, in, yes);
    fclose(in);
    return s;
}

weft_status weft__rows_begin(weft__rows_file *r,
                             weft_status (*ours)(void *self, FILE *in, bool *yes), void *self)
{
    struct stat st;
    bool yes = false;
    WEFT_TRY(make_parents(r));
    if (stat(r->path, &st)) {
        if (errno != ENOENT)
            return weft__fail_errno(WEFT_EIO, "%s logger: cannot look at %s", r->who, r->path);
    } else if (!S_ISREG(st.st_mode)) {
        return weft__fail(WEFT_EARG, "%s logger: %s is not a regular file", r->who, r->path);
    } else {
        if (r->continues)
            WEFT_TRY(goes_on(r, ours, self, &yes));
        if (!yes)
            WEFT_TRY(move_aside(r));
    }
    r->begun = true;
    return WEFT_OK;
}

/* Fills the new file and puts it in the old one's place. */
static weft_status replace(weft__rows_file *r, void (*copy)(const void *self, FILE *in, FILE *out),
                           const void *self, FILE *out)
{
    FILE *in = fopen(r->path, "re");
    if (!in && errno != ENOENT)
        return unreadable(r);
    copy(self, in, out);
    if (in) {
        bool whole = feof(in);
        fclose(in);
        if (!whole)
            return weft__fail(WEFT_EIO, "%s logger: cannot read %s to its end", r->who, r->path);
    }
    if (ferror(out) || fflush(out) || fsync(fileno(out)) || (r->bytes = ftello(out)) < 0)
        return weft__fail_errno(WEFT_EIO, "%s logger: cannot write %s", r->who, r->other);
    if (rename(r->other, r->path))
        return weft__fail_errno(WEFT_EIO, "%s logger: cannot rename %s", r->who, r->other);
    r->keep = INT64_MAX;
    r->fd = fcntl(fileno(out), F_DUPFD_CLOEXEC, 3);
    return r->fd < 0 ? weft__fail_errno(WEFT_EIO, "%s logger: cannot open %s", r->who, r->path)
                     : WEFT_OK;
}

weft_status weft__rows_rewrite(weft__rows_file *r,
                               void (*copy)(const void *self, FILE *in, FILE *out),
                               const void *self)
{
    sprintf(r->other, "%s.tmp", r->path);
    int fd = open(r->other, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0666);
    FILE *out = fd < 0 ? NULL : fdopen(fd, "w");
    if (!out) {
        weft__fail_errno(WEFT_EIO, "%s logger: cannot create %s", r->who, r->other);
        if (fd >= 0)
            close(fd);
        return WEFT_EIO;
    }
    weft_status s = replace(r, copy, self, out);
    fclose(out);
    if (s)
        unlink(r->other);
    return s;
}

/* Half a row must not stay: cut it off, or else have the file written anew. */
weft_status weft__rows_append(weft__rows_file *r, const char *text, size_t n)
{
    for (size_t done = 0; done < n;) {
        ssize_t w = write(r->fd, text + done, n - done);
        if (w >= 0) {
            done += (size_t)w;
        } else if (errno != EINTR) {
            weft__fail_errno(WEFT_EIO, "%s logger: cannot write %s", r->who, r->path);
            if (ftruncate(r->fd, r->bytes))
                weft__rows_shut(r);
            return WEFT_EIO;
        }
    }
    r->bytes += (off_t)n;
    return WEFT_OK;
}

size_t weft__rows_number(char *out, double v, int digits)
{
    char *end = out;
    sprintf(out, "%.*g", digits, v);
    for (const char *p = out; *p; p++) {
        if (strchr("0123456789+-einf", *p))
            *end++ = *p;
        else if (end == out || end[-1] != '.') /* some decimal points have two bytes */
            *end++ = '.';
    }
    return (size_t)(end - out);
}

void weft__rows_resume(weft__rows_file *r, int64_t step)
{
    weft__rows_shut(r);
    r->begun = false;
    r->continues = true;
    r->keep = step;
}

void weft__rows_finish(weft__rows_file *r)
{
    if (r->fd >= 0 && fsync(r->fd))
        weft__say(WEFT_LOG_WARNING, "%s logger: %s may lose its last rows: %s", r->who, r->path,
                  strerror(errno));
    weft__rows_shut(r);
}

void weft__rows_free(weft__rows_file *r)
{
    weft__rows_shut(r);
    weft__free(r->path);
    weft__free(r->other);
}
