/* Byte-level BPE (Sennrich et al. 2016; of bytes: Radford et al. 2019): each piece of the text begins as
 * single bytes, and the pair that stands first in the list of merges is joined wherever it occurs, until no
 * pair of the list is left. The two files write bytes as printable characters. */
#include "tokenizer.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct merge {
    int64_t left, right; /* left -1: a free place */
    int64_t rank, joined;
} merge;

struct tokenizer {
    int64_t size;
    char **text; /* (size) bytes of each token, */
    size_t *length;
    int32_t byte[256]; /* the token of each byte */
    merge *merges;     /* by a hash of left and right; NULL: bytes alone */
    size_t room;       /* a power of two */
};

static void *fail(tokenizer *t, char *why, size_t size, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(why, size, format, args);
    va_end(args);
    tokenizer_free(t);
    return NULL;
}

void tokenizer_free(tokenizer *t)
{
    for (int64_t i = 0; t && t->text && i < t->size; i++)
        free(t->text[i]);
    if (t) {
        free(t->text);
        free(t->length);
        free(t->merges);
    }
    free(t);
}

static tokenizer *empty(int64_t size)
{
    tokenizer *t = calloc(1, sizeof *t);
    if (!t)
        return NULL;
    t->size = size;
    t->text = calloc((size_t)size, sizeof *t->text);
    t->length = calloc((size_t)size, sizeof *t->length);
    if (t->text && t->length)
        return t;
    tokenizer_free(t);
    return NULL;
}

tokenizer *tokenizer_bytes(void)
{
    tokenizer *t = empty(256);
    for (int i = 0; t && i < 256; i++) {
        t->byte[i] = i;
        t->length[i] = 1;
        if (!(t->text[i] = calloc(1, 2))) {
            tokenizer_free(t);
            return NULL;
        }
        t->text[i][0] = (char)i;
    }
    return t;
}

/* --- the two files --- */

static int printable(int byte)
{
    return (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
}

/* The byte that a character stands for: printable ones for themselves, the others, in order, are U+0100
 * and on. -1: none. */
static int byte_of(unsigned u)
{
    if (u < 256)
        return printable((int)u) ? (int)u : -1;
    for (int b = 0, next = 256; b < 256; b++)
        if (!printable(b) && (unsigned)next++ == u)
            return b;
    return -1;
}

/* The bytes that characters (UTF-8 of at most two bytes each) stand for, in place of them. @return how many;
 * -1: one that stands for none. */
static int64_t bytes_of(char *s, size_t n)
{
    int64_t to = 0;
    for (size_t i = 0; i < n; i++) {
        unsigned u = (unsigned char)s[i];
        if (u >= 0x80 && ((u & 0xe0) != 0xc0 || i + 1 == n))
            return -1;
        if (u >= 0x80)
            u = (u & 0x1f) << 6 | ((unsigned char)s[++i] & 0x3f);
        const int b = byte_of(u);
        if (b < 0)
            return -1;
        s[to++] = (char)b;
    }
    return to;
}

static const char *add_token(tokenizer *t, const char *name, size_t n, const json_t *number)
{
    const int64_t i = json_is_integer(number) ? (int64_t)json_integer_value(number) : -1;
    if (i < 0 || i >= t->size || t->text[i])
        return "its numbers are not 0, 1, 2, ... once each";
    if (!(t->text[i] = malloc(n + 1)))
        return "no memory";
    memcpy(t->text[i], name, n);
    const int64_t bytes = bytes_of(t->text[i], n);
    if (bytes < 0) { /* a special token, which no text becomes */
        memcpy(t->text[i], name, n);
        t->length[i] = n;
        return NULL;
    }
    t->length[i] = (size_t)bytes;
    if (bytes == 1)
        t->byte[(unsigned char)t->text[i][0]] = (int32_t)i;
    return NULL;
}

static const char *read_vocabulary(tokenizer *t, json_t *json)
{
    const char *name, *bad = NULL;
    json_t *number;
    for (int i = 0; i < 256; i++)
        t->byte[i] = -1;
    json_object_foreach(json, name, number)
    {
        if (!bad)
            bad = add_token(t, name, strlen(name), number);
    }
    for (int i = 0; i < 256 && !bad; i++)
        if (t->byte[i] < 0)
            bad = "a byte has no token";
    return bad;
}

static merge *place(const tokenizer *t, int64_t left, int64_t right)
{
    uint64_t h = (uint64_t)left * 0x9e3779b97f4a7c15u + (uint64_t)right;
    h = (h ^ h >> 32) * 0xd6e8feb86659fd93u;
    for (size_t i = (h ^ h >> 32) & (t->room - 1);; i = (i + 1) & (t->room - 1))
        if (t->merges[i].left < 0 || (t->merges[i].left == left && t->merges[i].right == right))
            return &t->merges[i];
}

/* The number of a word of the files; -1: the vocabulary has none. */
static int64_t find(const json_t *json, const char *name)
{
    const json_t *number = json_object_get(json, name);
    return json_is_integer(number) ? (int64_t)json_integer_value(number) : -1;
}

static const char *add_merge(tokenizer *t, const json_t *json, char *line, int64_t rank)
{
    char *space = strchr(line, ' ');
    if (!space || space == line || !space[1] || strchr(space + 1, ' '))
        return "is not two words";
    char *joined = malloc(strlen(line));
    if (!joined)
        return "no memory";
    *space = '\0';
    sprintf(joined, "%s%s", line, space + 1);
    const merge m = {find(json, line), find(json, space + 1), rank, find(json, joined)};
    free(joined);
    if (m.left < 0 || m.right < 0 || m.joined < 0)
        return "has a word that is not in the vocabulary";
    merge *at = place(t, m.left, m.right);
    if (at->left < 0) /* of one twice the first counts */
        *at = m;
    return NULL;
}

static const char *read_merges(tokenizer *t, const json_t *json, FILE *in, int64_t *number)
{
    char *line = NULL;
    const char *bad = NULL;
    size_t size = 0;
    int64_t rank = 0;
    for (t->room = 1024; t->room < 4 * (size_t)t->size; t->room *= 2)
        continue;
    if (!(t->merges = malloc(t->room * sizeof *t->merges)))
        return "no memory";
    for (size_t i = 0; i < t->room; i++)
        t->merges[i].left = -1;
    for (*number = 1; !bad && getline(&line, &size, in) > 0; ++*number) {
        line[strcspn(line, "\r\n")] = '\0';
        if (!*line || (*number == 1 && !strncmp(line, "#version", 8)))
            continue;
        bad = rank < 2 * t->size ? add_merge(t, json, line, rank++) : "is one too many";
    }
    free(line);
    return bad;
}

tokenizer *tokenizer_bpe(const char *vocab, const char *merges, char *why, size_t size)
{
    json_error_t error;
    json_t *json = json_load_file(vocab, JSON_REJECT_DUPLICATES, &error);
    FILE *in = json ? fopen(merges, "r") : NULL;
    int64_t line = 0;
    if (!json)
        return fail(NULL, why, size, "%.300s: %s", vocab, error.text);
    tokenizer *t = json_object_size(json) ? empty((int64_t)json_object_size(json)) : NULL;
    const char *bad = !json_is_object(json) ? "it is no object"
                      : t                   ? NULL
                                            : "no tokens, or no memory";
    if (!bad)
        bad = read_vocabulary(t, json);
    if (bad) {
        t = fail(t, why, size, "%.300s: %s", vocab, bad);
    } else if (!in) {
        t = fail(t, why, size, "%.300s: it cannot be opened", merges);
    } else if ((bad = read_merges(t, json, in, &line))) {
        t = fail(t, why, size, "%.300s: line %lld %s", merges, (long long)line - 1, bad);
    }
    if (in)
        fclose(in);
    json_decref(json);
    return t;
}

/* --- there and back --- */

int64_t tokenizer_size(const tokenizer *t)
{
    return t->size;
}

/* Joins the best pair of x[0..n) wherever it occurs, from the left. @return how many are left; n: none. */
static size_t join(const tokenizer *t, int32_t *x, size_t n)
{
    const merge *best = NULL;
    size_t to = 0;
    for (size_t i = 0; i + 1 < n; i++) {
        const merge *m = place(t, x[i], x[i + 1]);
        if (m->left >= 0 && (!best || m->rank < best->rank))
            best = m;
    }
    for (size_t i = 0; best && i < n; i++, to++) {
        const int both = i + 1 < n && x[i] == best->left && x[i + 1] == best->right;
        x[to] = both ? (int32_t)best->joined : x[i];
        i += (size_t)both;
    }
    return best ? to : n;
}

int64_t tokenizer_encode(const tokenizer *t, const char *text, size_t n, int32_t *out)
{
    int64_t done = 0;
    for (size_t at = 0; at < n;) {
        const size_t end = t->merges ? tokenizer_piece(text, n, at) : n;
        size_t left = end - at, before = 0;
        for (size_t i = 0; i < left; i++)
            out[done + (int64_t)i] = t->byte[(unsigned char)text[at + i]];
        while (t->merges && left != before) {
            before = left;
            left = join(t, out + done, left);
        }
        done += (int64_t)left;
        at = end;
    }
    return done;
}

const char *tokenizer_decode(const tokenizer *t, int64_t token, size_t *n)
{
    const int known = token >= 0 && token < t->size;
    *n = known ? t->length[token] : 0;
    return known ? t->text[token] : NULL;
}
