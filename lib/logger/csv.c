/* Comma-separated values (RFC 4180, lines end in \n): step, epoch, wall_s, then the names in the
 * order in which they first appeared. The file is the truth: what it holds is read back from it
 * after a resume, so that nothing needs to be in a checkpoint. A new column, and rows beyond the
 * resumed step, have it written anew. */
#include "core/alloc.h"
#include "core/quiet.h"
#include "logger/logger.h"
#include "logger/rows.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FIXED "step,epoch,wall_s"
#define NAME 256 /* bytes of a column's name; the rest is cut off */

struct csv {
    weft__rows_file file;
    char (*name)[NAME];
    int64_t columns, on_disk; /* names known, and those that the file has columns for */
    int64_t *from;            /* for each column: 1 + index in the record, 0 if not in it */
    char *row;
    size_t name_room, from_room, row_room;
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
            weft__rows_shut(&c->file);
        }
        c->from[at] = i + 1;
        hint = at + 1;
    }
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
static weft_status read_header(void *self, FILE *in, bool *ours)
{
    struct csv *c = self;
    char *line = NULL, cell[NAME];
    size_t room = 0, fixed = strlen(FIXED);
    weft_status s = WEFT_OK;
    ssize_t n = getline(&line, &room, in);
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
    if (!*ours)
        c->columns = 0;
    free(line);
    return s;
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
static void copy(const void *self, FILE *in, FILE *out)
{
    const struct csv *c = self;
    char *line = NULL;
    size_t room = 0;
    write_header(c, out);
    ssize_t n = in ? getline(&line, &room, in) : 0; /* the header */
    while (n > 0 && (n = getline(&line, &room, in)) > 0) {
        if (!stays(line, n, c->file.keep))
            continue;
        fwrite(line, 1, (size_t)n - 1, out);
        for (int64_t i = c->on_disk; i < c->columns; i++)
            putc(',', out);
        putc('\n', out);
    }
    free(line);
}

/* One spelling of NaN. */
static size_t number(char *out, double v)
{
    return isnan(v) ? (size_t)sprintf(out, "nan") : weft__rows_number(out, v, 9);
}

static weft_status begin(struct csv *c)
{
    c->columns = c->on_disk = 0;
    WEFT_TRY(weft__rows_begin(&c->file, read_header, c));
    c->on_disk = c->columns;
    return WEFT_OK;
}

static weft_status open_file(struct csv *c)
{
    WEFT_TRY(weft__rows_rewrite(&c->file, copy, c));
    c->on_disk = c->columns;
    return WEFT_OK;
}

static weft_status write_row(struct csv *c, const weft_record *r)
{
    if (!c->file.begun)
        WEFT_TRY(begin(c));
    WEFT_TRY(place(c, r));
    WEFT_TRY(weft__grow(&c->row, &c->row_room, ((size_t)c->columns + 3) * WEFT__NUMBER, 1));
    if (c->file.fd < 0)
        WEFT_TRY(open_file(c));
    size_t n = (size_t)sprintf(c->row, "%lld,%lld,", (long long)r->step, (long long)r->epoch);
    n += number(c->row + n, r->wall_s);
    for (int64_t i = 0; i < c->columns; i++) {
        c->row[n++] = ',';
        if (c->from[i])
            n += number(c->row + n, r->value[c->from[i] - 1]);
    }
    c->row[n++] = '\n';
    return weft__rows_append(&c->file, c->row, n);
}

static weft_status record(void *self, const weft_record *r)
{
    weft__quiet quiet;
    weft__quiet_begin(&quiet);
    weft_status s = write_row(self, r);
    weft__quiet_end(&quiet);
    return s;
}

static weft_status resume(void *self, int64_t step)
{
    weft__rows_resume(&((struct csv *)self)->file, step);
    return WEFT_OK;
}

static void finish(void *self)
{
    weft__rows_finish(&((struct csv *)self)->file);
}

static void destroy(void *self)
{
    struct csv *c = self;
    weft__rows_free(&c->file);
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
    struct csv c = {0};
    return weft__rows_logger(f, path, &csv, &c, sizeof c, &c.file);
}
