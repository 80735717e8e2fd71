/* Strict parsing of text from people, files and the environment. */
#include "core/env.h"

#include "core/error.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define WORD 64 /* longer words have no near ones */

weft_status weft__parse_int(const char *what, const char *text, int64_t lo, int64_t hi,
                            int64_t *out)
{
    char *end;
    long long v;
    errno = 0;
    v = strtoll(text, &end, 10);
    if (end == text || *end || errno || isspace((unsigned char)text[0]) || v < lo || v > hi)
        return weft__fail(WEFT_EARG, "%s is \"%.80s\"; it takes a whole number from %lld to %lld",
                          what, text, (long long)lo, (long long)hi);
    *out = v;
    return WEFT_OK;
}

weft_status weft__parse_f64(const char *what, const char *text, double lo, double hi, double *out)
{
    char *end;
    double v;
    v = strtod(text, &end);
    if (strpbrk(text, "xX") || isspace((unsigned char)text[0])) /* hexadecimal; white space */
        end = (char *)text;
    if (end == text || *end || !isfinite(v) || v < lo || v > hi)
        return weft__fail(WEFT_EARG, "%s is \"%.80s\"; it takes a number from %g to %g", what, text,
                          lo, hi);
    *out = v;
    return WEFT_OK;
}

weft_status weft__parse_bool(const char *what, const char *text, bool *out)
{
    static const char *const word[] = {"false", "0", "no", "off", "true", "1", "yes", "on"};
    int i = weft__parse_choice(what, text, word, 8);
    if (i < 0)
        return WEFT_EARG;
    *out = i >= 4;
    return WEFT_OK;
}

static int min3(int a, int b, int c)
{
    int m = a < b ? a : b;
    return m < c ? m : c;
}

/* Levenshtein's. */
int weft__distance(const char *a, const char *b)
{
    int n = (int)strlen(b), row[WORD + 1];
    if (n > WORD || strlen(a) > WORD)
        return WORD;
    for (int j = 0; j <= n; j++)
        row[j] = j;
    for (int i = 1; a[i - 1]; i++) {
        int diagonal = row[0];
        row[0] = i;
        for (int j = 1; j <= n; j++) {
            int same = strncasecmp(&a[i - 1], &b[j - 1], 1) == 0;
            int d = min3(row[j] + 1, row[j - 1] + 1, diagonal + !same);
            diagonal = row[j];
            row[j] = d;
        }
    }
    return row[n];
}

const char *weft__nearest(const char *text, const char *const *word, int n)
{
    const char *best = NULL;
    int least = WORD;
    for (int i = 0; i < n; i++) {
        int d = weft__distance(text, word[i]);
        if (d < least) {
            least = d;
            best = word[i];
        }
    }
    return best && least <= 1 + (int)strlen(best) / 2 ? best : NULL;
}

int weft__parse_choice(const char *what, const char *text, const char *const *word, int n)
{
    char all[300] = "";
    size_t used = 0;
    for (int i = 0; i < n; i++)
        if (strcasecmp(text, word[i]) == 0)
            return i;
    for (int i = 0; i < n && used < sizeof all; i++)
        used += (size_t)snprintf(all + used, sizeof all - used, "%s%s", i ? ", " : "", word[i]);
    const char *near = weft__nearest(text, word, n);
    weft__fail(WEFT_EARG, "%s \"%.60s\" is not known%s%s%s; there are: %s", what, text,
               near ? ", did you mean \"" : "", near ? near : "", near ? "\"?" : "", all);
    return -1;
}

const char *weft__env_text(const char *name)
{
    const char *v = getenv(name);
    return v && *v ? v : NULL;
}

int weft__env_int(const char *name, int64_t lo, int64_t hi, int64_t *out)
{
    const char *v = weft__env_text(name);
    if (!v)
        return 0;
    return weft__parse_int(name, v, lo, hi, out) ? -1 : 1;
}

int weft__env_choice(const char *name, const char *const *word, int n)
{
    const char *v = weft__env_text(name);
    if (!v)
        return -1;
    int i = weft__parse_choice(name, v, word, n);
    return i < 0 ? -2 : i;
}
