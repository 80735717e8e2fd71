/* Comma-separated values (RFC 4180, lines end in \n): step, epoch, wall_s, then the names in the
 * order in which they first appeared. The file is the truth: what it holds is read back from it
 * after a resume, so that nothing needs to be in a checkpoint.
 *
 * A row is one write at the end of the file. Everything else that changes the file - a new column,
 * rows beyond the resumed step, half a row that a kill left behind - writes a new one beside it and
 * renames, so that at any moment there is a file with whole rows under the name. */
#include "core/alloc.h"
#include "core/log.h"
#include "core/quiet.h"
#include "logger/logger.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FIXED "step,epoch,wall_s"
#define NAME 256 /* bytes of a column's name; the rest is cut off */
#define CELL 32  /* bytes that a number and its comma fit in */

struct csv {
    char *path, *other;    /* other: room for path and a suffix */
    int fd;                /* -1: the file has to be written anew before the next row */
    bool begun, continues; /* the file has been looked at; its rows stay */
    int64_t keep;          /* the last step whose rows stay */
    char (*name)[NAME];
    int64_t columns, on_disk; /* names known, and those that the file has columns for */
    int64_t *from;            /* for each column: 1 + index in the record, 0 if not in it */
    char *row;
    size_t name_room, from_room, row_room;
    off_t bytes; /* of whole rows in the file */
};

/* Neither a newline nor a formula for a spreadsheet comes in by a name. */
static void clean(const char *name, char out[NAME])
{
    size_t n = 0;
    if (*name && strchr("=+-@", *name))
        out[n++] = '\'';
    for (; *name && n < NAME - 1; name++)
        out[n++] = (unsigned char)*name < ' ' || *name == 127 ? '?' : *name;
    out[n] = '\0';
}

/* Its column, looked for from `hint` on, because names come in the same order every time. */
static int64_t find(const struct csv *c, const char *name, int64_t hint)
{
    for (int64_t k = 0; k < c->columns; k++) {
        int64_t i = (hint + k) % c->columns;
        if (strcmp(c->name[i], name) == 0)
            return i;
    }
    return -1;
}

static weft_status add(struct csv *c, const char *name)
{
    size_t want = (size_t)c->columns + 1;
    WEFT_TRY(weft__grow(&c->name, &c->name_room, want, NAME));
    WEFT_TRY(weft__grow(&c->from, &c->from_room, want, sizeof c->from[0]));
    snprintf(c->name[c->columns], NAME, "%s", name);
    c->from[c->columns++] = 0;
    return WEFT_OK;
}

static void shut(struct csv *c)
{
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
}

/* Which value goes to which column. */
static weft_status place(struct csv *c, const weft_record *r)
{
    int64_t hint = 0;
    if (c->columns)
        memset(c->from, 0, (size_t)c->columns * sizeof c->from[0]);
    for (int64_t i = 0; i < r->n; i++) {
        char name[NAME];
        clean(r->name[i], name);
        int64_t at = find(c, name, hint);
        if (at < 0) {
            WEFT_TRY(add(c, name));
            at = c->columns - 1;
            shut(c);
        }
        c->from[at] = i + 1;
        hint = at + 1;
    }
    return WEFT_OK;
}

static weft_status make_parents(struct csv *c)
{
    struct stat st;
    strcpy(c->other, c->path);
    for (char *p = strchr(c->other + 1, '/'); p; p = strchr(p + 1, '/')) {
        *p = '\0';
        if (mkdir(c->other, 0777) && errno != EEXIST) {
            int e = errno; /* some file systems say EROFS or EACCES of what is there */
            if (stat(c->other, &st) || !S_ISDIR(st.st_mode)) {
                errno = e;
                return weft__fail_errno(WEFT_EIO, "csv logger: cannot make the directory %s",
                                        c->other);
            }
        }
        *p = '/';
    }
    return WEFT_OK;
}

/* Results of an earlier run are never overwritten: they move to NAME.1, .2, ... */
static weft_status move_aside(struct csv *c)
{
    struct stat st;
    int n = 1;
    do
        sprintf(c->other, "%s.%d", c->path, n);
    while (lstat(c->other, &st) == 0 && n++ < 1000000);
    if (n > 1000000 || errno != ENOENT || rename(c->path, c->other))
        return weft__fail_errno(WEFT_EIO, "csv logger: cannot move %s to %s", c->path, c->other);
    weft__say(WEFT_LOG_INFO, "csv logger: %s was there and is now %s", c->path, c->other);
    return WEFT_OK;
}

/* One cell of a header at p. @return what follows it. */
static const char *read_cell(const char *p, char out[NAME])
{
    size_t n = 0;
    bool quoted = *p == '"';
    for (p += quoted; *p && (quoted || *p != ','); p++) {
        if (quoted && *p == '"' && *++p != '"')
            break;
        if (n < NAME - 1)
            out[n++] = *p;
    }
    out[n] = '\0';
    return p;
}

/* Takes the columns from the file's first line, if it is one of ours. */
static weft_status read_header(struct csv *c, bool *ours)
{
    char *line = NULL, cell[NAME];
    size_t room = 0, fixed = strlen(FIXED);
    weft_status s = WEFT_OK;
    FILE *in = fopen(c->path, "re");
    if (!in)
        return weft__fail_errno(WEFT_EIO, "csv logger: cannot read %s", c->path);
    ssize_t n = getline(&line, &room, in);
    fclose(in);
    *ours = n > (ssize_t)fixed && line[n - 1] == '\n' && memcmp(line, FIXED, fixed) == 0;
    if (*ours) {
        const char *p = line + fixed;
        line[n - 1] = '\0';
        while (!s && *p == ',') {
            p = read_cell(p + 1, cell);
            s = add(c, cell);
        }
        *ours = *p == '\0';
    }
    free(line);
    return s;
}

/* Looks at what is there before the first row. */
static weft_status begin(struct csv *c)
{
    struct stat st;
    bool ours = false;
    c->columns = c->on_disk = 0;
    WEFT_TRY(make_parents(c));
    if (stat(c->path, &st)) {
        if (errno != ENOENT)
            return weft__fail_errno(WEFT_EIO, "csv logger: cannot look at %s", c->path);
    } else if (!S_ISREG(st.st_mode)) {
        return weft__fail(WEFT_EARG, "csv logger: %s is not a regular file", c->path);
    } else {
        if (c->continues)
            WEFT_TRY(read_header(c, &ours));
        if (!ours) {
            c->columns = 0;
            WEFT_TRY(move_aside(c));
        }
    }
    c->on_disk = c->columns;
    c->begun = true;
    return WEFT_OK;
}

static void write_header(const struct csv *c, FILE *out)
{
    fputs(FIXED, out);
    for (int64_t i = 0; i < c->columns; i++) {
        const char *p = c->name[i];
        bool quote = strpbrk(p, ",\"") != NULL;
        fputs(quote ? ",\"" : ",", out);
        for (; *p; p++) {
            if (*p == '"')
                putc('"', out);
            putc(*p, out);
        }
        if (quote)
            putc('"', out);
    }
    putc('\n', out);
}

/* True for a whole row of a step up to `keep`. */
static bool stays(const char *line, ssize_t n, int64_t keep)
{
    char *end;
    long long step = strtoll(line, &end, 10);
    return line[n - 1] == '\n' && end != line && *end == ',' && step <= keep;
}

/* The rows that stay, with empty cells for the new columns. */
static void copy_rows(const struct csv *c, FILE *in, FILE *out)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t n = getline(&line, &room, in); /* the header */
    while (n > 0 && (n = getline(&line, &room, in)) > 0) {
        if (!stays(line, n, c->keep))
            continue;
        fwrite(line, 1, (size_t)n - 1, out);
        for (int64_t i = c->on_disk; i < c->columns; i++)
            putc(',', out);
        putc('\n', out);
    }
    free(line);
}

/* Fills the new file and puts it in the old one's place. */
static weft_status replace(struct csv *c, FILE *out)
{
    FILE *in = fopen(c->path, "re");
    if (!in && errno != ENOENT)
        return weft__fail_errno(WEFT_EIO, "csv logger: cannot read %s", c->path);
    write_header(c, out);
    if (in) {
        copy_rows(c, in, out);
        bool whole = feof(in);
        fclose(in);
        if (!whole)
            return weft__fail(WEFT_EIO, "csv logger: cannot read %s to its end", c->path);
    }
    if (ferror(out) || fflush(out) || fsync(fileno(out)) || (c->bytes = ftello(out)) < 0)
        return weft__fail_errno(WEFT_EIO, "csv logger: cannot write %s", c->other);
    if (rename(c->other, c->path))
        return weft__fail_errno(WEFT_EIO, "csv logger: cannot rename %s", c->other);
    c->keep = INT64_MAX;
    c->on_disk = c->columns;
    c->fd = fcntl(fileno(out), F_DUPFD_CLOEXEC, 3);
    return c->fd < 0 ? weft__fail_errno(WEFT_EIO, "csv logger: cannot open %s", c->path) : WEFT_OK;
}

static weft_status rewrite(struct csv *c)
{
    sprintf(c->other, "%s.tmp", c->path);
    int fd = open(c->other, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0666);
    FILE *out = fd < 0 ? NULL : fdopen(fd, "w");
    if (!out) {
        weft__fail_errno(WEFT_EIO, "csv logger: cannot create %s", c->other);
        if (fd >= 0)
            close(fd);
        return WEFT_EIO;
    }
    weft_status s = replace(c, out);
    fclose(out);
    if (s)
        unlink(c->other);
    return s;
}

/* %.9g, with a point in any locale and one spelling of NaN. */
static size_t number(char *out, double v)
{
    char *end = out;
    if (isnan(v))
        return (size_t)sprintf(out, "nan");
    sprintf(out, "%.9g", v);
    for (const char *p = out; *p; p++) {
        if (strchr("0123456789+-einf", *p))
            *end++ = *p;
        else if (end == out || end[-1] != '.') /* some decimal points have two bytes */
            *end++ = '.';
    }
    return (size_t)(end - out);
}

/* Half a row must not stay: cut it off, or else have the file written anew. */
static weft_status append(struct csv *c, const char *text, size_t n)
{
    for (size_t done = 0; done < n;) {
        ssize_t w = write(c->fd, text + done, n - done);
        if (w >= 0) {
            done += (size_t)w;
        } else if (errno != EINTR) {
            weft__fail_errno(WEFT_EIO, "csv logger: cannot write %s", c->path);
            if (ftruncate(c->fd, c->bytes))
                shut(c);
            return WEFT_EIO;
        }
    }
    c->bytes += (off_t)n;
    return WEFT_OK;
}

static weft_status write_row(struct csv *c, const weft_record *r)
{
    if (!c->begun)
        WEFT_TRY(begin(c));
    WEFT_TRY(place(c, r));
    WEFT_TRY(weft__grow(&c->row, &c->row_room, ((size_t)c->columns + 3) * CELL, 1));
    if (c->fd < 0)
        WEFT_TRY(rewrite(c));
    size_t n = (size_t)sprintf(c->row, "%lld,%lld,", (long long)r->step, (long long)r->epoch);
    n += number(c->row + n, r->wall_s);
    for (int64_t i = 0; i < c->columns; i++) {
        c->row[n++] = ',';
        if (c->from[i])
            n += number(c->row + n, r->value[c->from[i] - 1]);
    }
    c->row[n++] = '\n';
    return append(c, c->row, n);
}

static weft_status record(void *self, const weft_record *r)
{
    weft__quiet quiet;
    weft__quiet_begin(&quiet);
    weft_status s = write_row(self, r);
    weft__quiet_end(&quiet);
    return s;
}

/* Touches nothing yet: only a new row makes the old ones beyond the step wrong. */
static weft_status resume(void *self, int64_t step)
{
    struct csv *c = self;
    shut(c);
    c->begun = false;
    c->continues = true;
    c->keep = step;
    return WEFT_OK;
}

static void finish(void *self)
{
    struct csv *c = self;
    if (c->fd >= 0 && fsync(c->fd))
        weft__say(WEFT_LOG_WARNING, "csv logger: %s may lose its last rows: %s", c->path,
                  strerror(errno));
    shut(c);
}

static void destroy(void *self)
{
    struct csv *c = self;
    shut(c);
    weft__free(c->path);
    weft__free(c->other);
    weft__free(c->name);
    weft__free(c->from);
    weft__free(c->row);
}

static const weft_logger_ops csv = {.size = sizeof(weft_logger_ops),
                                    .name = "csv",
                                    .record = record,
                                    .resume = resume,
                                    .finish = finish,
                                    .destroy = destroy};

weft_logger *weft_logger_csv(weft_fabric *f, const char *path)
{
    struct csv c = {.fd = -1, .keep = INT64_MAX};
    weft_logger *l = NULL;
    if (!f)
        return NULL;
    if (!path || !*path) {
        weft__note(f, weft__fail(WEFT_EARG, "weft_logger_csv: it needs the path of a file"));
        return NULL;
    }
    if (!(c.path = weft__strdup(path)) || !(c.other = weft__new(strlen(path) + CELL, 1)))
        weft__note(f, WEFT_ENOMEM);
    else
        l = weft_logger_new(f, &csv, &c, sizeof c);
    if (!l)
        destroy(&c);
    return l;
}
