/* From text to files of tokens, numbers of 16 bits one after the other. */
#include "gpt2.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define PARTS 100
#define HELD_OUT 10 /* every so many-th part */

typedef struct text {
    char *byte;
    size_t n;
} text;

static int add_file(const char *path, text *all)
{
    struct stat about;
    FILE *in = fopen(path, "rb");
    if (!in || fstat(fileno(in), &about) || !S_ISREG(about.st_mode)) {
        if (in)
            fclose(in);
        return -1;
    }
    char *more = realloc(all->byte, all->n + (size_t)about.st_size + 1);
    if (more) {
        all->byte = more;
        all->n += fread(more + all->n, 1, (size_t)about.st_size, in);
    }
    fclose(in);
    return more ? 0 : -1;
}

/* A folder's files by name; links are left out. */
static int add_folder(const char *path, text *all)
{
    struct dirent **file;
    const int n = scandir(path, &file, NULL, alphasort);
    int bad = n < 0;
    for (int i = 0; i < n; i++) {
        char name[4096];
        struct stat about;
        snprintf(name, sizeof name, "%s/%s", path, file[i]->d_name);
        if (!lstat(name, &about) && S_ISREG(about.st_mode))
            bad |= add_file(name, all);
        free(file[i]);
    }
    if (n >= 0)
        free(file);
    return bad ? -1 : 0;
}

/* Beside the file first, so that nobody sees half of it. */
static int write_tokens(const char *path, const uint16_t *token, size_t n)
{
    char beside[4100];
    snprintf(beside, sizeof beside, "%s.new", path);
    FILE *out = fopen(beside, "wb");
    if (!out)
        return -1;
    const int whole = fwrite(token, sizeof *token, n, out) == n;
    return fclose(out) == 0 && whole && !rename(beside, path) ? 0 : -1;
}

/* The tokens of one share of the parts. @return how many */
static size_t take(const tokenizer *t, const text *all, bool held_out, int32_t *wide, uint16_t *out)
{
    size_t done = 0;
    for (size_t part = 0; part < PARTS; part++) {
        const size_t from = all->n * part / PARTS, to = all->n * (part + 1) / PARTS;
        if ((part % HELD_OUT == HELD_OUT / 2) != held_out)
            continue;
        const int64_t n = tokenizer_encode(t, all->byte + from, to - from, wide);
        for (int64_t i = 0; i < n; i++)
            out[done++] = (uint16_t)wide[i];
    }
    return done;
}

static weft_status write_both(weft_fabric *f, const tokenizer *t, const text *all,
                              const char *folder)
{
    int32_t *wide = malloc((all->n / PARTS + 2) * sizeof *wide);
    uint16_t *token = malloc((all->n + 1) * sizeof *token);
    weft_status s = wide && token ? WEFT_OK : weft_fail(f, WEFT_ENOMEM, "no memory for the tokens");
    for (int held_out = 0; !s && held_out < 2; held_out++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s.bin", folder, held_out ? "val" : "train");
        if (write_tokens(path, token, take(t, all, held_out, wide, token)))
            s = weft_fail(f, WEFT_EIO, "%s: %s", path, strerror(errno));
    }
    free(wide);
    free(token);
    return s;
}

weft_status text_write(weft_fabric *f, const tokenizer *t, const char *path, const char *folder)
{
    struct stat about;
    text all = {0};
    weft_status s = WEFT_OK;
    if (tokenizer_size(t) > UINT16_MAX + 1)
        return weft_fail(f, WEFT_ENOTSUP, "more than 65536 tokens do not fit in 16 bits");
    if (stat(path, &about) || (S_ISDIR(about.st_mode) ? add_folder : add_file)(path, &all))
        s = weft_fail(f, WEFT_ENOENT, "%s: this text cannot be read; --text FILE or FOLDER", path);
    else if (mkdir(folder, 0777) && errno != EEXIST)
        s = weft_fail(f, WEFT_EIO, "%s: %s", folder, strerror(errno));
    if (!s)
        s = write_both(f, t, &all, folder);
    free(all.byte);
    return s;
}

double text_entropy(weft_fabric *f, const char *path)
{
    static int64_t count[UINT16_MAX + 1];
    double total = 0, entropy = 0;
    uint16_t token[4096];
    FILE *in = fopen(path, "rb");
    if (!in) {
        weft_fail(f, WEFT_ENOENT, "%s: %s", path, strerror(errno));
        return NAN;
    }
    memset(count, 0, sizeof count);
    for (size_t n; (n = fread(token, sizeof *token, 4096, in)) > 0; total += (double)n)
        for (size_t i = 0; i < n; i++)
            count[token[i]]++;
    fclose(in);
    for (int i = 0; i <= UINT16_MAX; i++)
        if (count[i])
            entropy -= (double)count[i] / total * log((double)count[i] / total);
    return entropy;
}
