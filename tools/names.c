/* Reading the table, and names with stars. */
#include "names.h"

#include "core/alloc.h"
#include "core/error.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define STARS 8                     /* the most in a name */
#define TABLE_MAX ((size_t)1 << 20) /* the longest table, bytes */

typedef struct part {
    const char *at;
    size_t n;
} part;

/* 0, 1 or 2 stars at p. */
static int stars(const char *p)
{
    return p[0] != '*' ? 0 : p[1] != '*' ? 1 : 2;
}

/* Whether name fits the pattern, and what each star then is. A star takes as little as it can. */
static bool fits(const char *pattern, const char *name, part *star)
{
    const int wide = stars(pattern);
    if (!*pattern || !wide) {
        for (; *pattern && !stars(pattern) && *pattern == *name; pattern++, name++)
            ;
        return stars(pattern) ? fits(pattern, name, star) : *pattern == *name;
    }
    for (size_t n = 1; name[n - 1] && (wide == 2 || name[n - 1] != '.'); n++)
        if (fits(pattern + wide, name + n, star + 1)) {
            *star = (part){name, n};
            return true;
        }
    return false;
}

static int count_stars(const char *p, int kinds[STARS])
{
    int n = 0;
    while (*p) {
        const int s = stars(p);
        if (s && n < STARS)
            kinds[n] = s;
        n += s > 0;
        p += s ? s : 1;
    }
    return n;
}

static bool fill(const char *pattern, const part *star, char out[NAMES_MAX])
{
    size_t n = 0;
    while (*pattern) {
        const int s = stars(pattern);
        const part p = s ? *star++ : (part){pattern, 1};
        if (n + p.n >= NAMES_MAX)
            return false;
        memcpy(out + n, p.at, p.n);
        n += p.n;
        pattern += s ? s : 1;
    }
    out[n] = '\0';
    return true;
}

static weft_status take_line(names *t, char *text, int number)
{
    char *rest = NULL, *word[4] = {NULL};
    int kinds[2][STARS] = {{0}}, n = 0, counts[2] = {0};
    text[strcspn(text, "#")] = '\0';
    for (char *p = strtok_r(text, " \t\r", &rest); p && n < 4; p = strtok_r(NULL, " \t\r", &rest))
        word[n++] = p;
    if (n == 0)
        return WEFT_OK;
    names_line line = {{word[0], word[1]}, n == 3};
    if (n == 1 || n == 4 || (n == 3 && strcmp(word[2], "transpose") != 0))
        return weft__fail(WEFT_EFORMAT, "%s:%d: a line has two names, and may end in \"transpose\"",
                          t->path, number);
    for (int k = 0; k < 2; k++)
        if (strcmp(word[k], "-") == 0)
            line.word[k] = NULL;
        else
            counts[k] = count_stars(word[k], kinds[k]);
    if (counts[0] > STARS || counts[1] > STARS || (!line.word[0] && !line.word[1]) ||
        (line.word[0] && line.word[1] && memcmp(kinds[0], kinds[1], sizeof kinds[0]) != 0))
        return weft__fail(WEFT_EFORMAT,
                          "%s:%d: both names need the same stars in the same order, at most %d",
                          t->path, number, STARS);
    t->line[t->n++] = line;
    return WEFT_OK;
}

static weft_status read_text(names *t)
{
    FILE *in = fopen(t->path, "re");
    if (!in)
        return weft__fail_errno(errno == ENOENT ? WEFT_ENOENT : WEFT_EIO, "%s: cannot open it",
                                t->path);
    size_t n = 0;
    if ((t->text = weft__new(TABLE_MAX + 1, 1)))
        n = fread(t->text, 1, TABLE_MAX + 1, in);
    const bool failed = ferror(in);
    fclose(in);
    if (!t->text)
        return WEFT_ENOMEM;
    if (failed)
        return weft__fail_errno(WEFT_EIO, "%s: cannot read it", t->path);
    if (n > TABLE_MAX || memchr(t->text, '\0', n))
        return weft__fail(WEFT_EFORMAT, "%s is no table of names", t->path);
    return WEFT_OK;
}

weft_status names_load(names *t, const char *path)
{
    size_t lines = 1;
    *t = (names){.path = path};
    if (!path)
        return WEFT_OK;
    WEFT_TRY(read_text(t));
    for (const char *p = t->text; (p = strchr(p, '\n')); p++)
        lines++;
    if (!(t->line = weft__new(lines, sizeof *t->line)))
        return WEFT_ENOMEM;
    char *next = t->text;
    for (int number = 1; next; number++) {
        char *line = strsep(&next, "\n");
        WEFT_TRY(take_line(t, line, number));
    }
    return WEFT_OK;
}

void names_free(names *t)
{
    weft__free(t->text);
    weft__free(t->line);
}

static weft_status too_long(const char *name)
{
    return weft__fail(WEFT_EARG, "\"%.80s...\": a name of %d bytes or more", name, NAMES_MAX);
}

weft_status names_map(const names *t, names_side from, const char *name, char out[NAMES_MAX],
                      bool *transpose)
{
    part star[STARS + 1];
    *transpose = false;
    out[0] = '\0';
    if (strlen(name) >= NAMES_MAX)
        return too_long(name);
    if (!t->path) {
        strcpy(out, name);
        return WEFT_OK;
    }
    for (size_t i = 0; i < t->n; i++) {
        const names_line *l = &t->line[i];
        if (!l->word[from] || !fits(l->word[from], name, star))
            continue;
        *transpose = l->transpose;
        return !l->word[!from] || fill(l->word[!from], star, out) ? WEFT_OK : too_long(name);
    }
    return weft__fail(WEFT_ENOENT, "%s has no line for \"%s\"; \"** **\" keeps all other names",
                      t->path, name);
}
