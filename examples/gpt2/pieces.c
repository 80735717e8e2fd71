/* GPT-2 cuts text into words, numbers, marks and spaces before it merges bytes; see tokenizer.h. */
#include "letters.h"
#include "tokenizer.h"

#include <string.h>

enum { LETTER, NUMBER, SPACE, MARK };

/* The character at `at`, and its bytes; what is no UTF-8 is one byte, U+FFFD. */
static uint32_t character(const unsigned char *s, size_t n, size_t at, size_t *bytes)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned char c = s[at];
    const size_t more = c < 0x80 ? 0 : c >= 0xc2 && c < 0xe0 ? 1 : c >= 0xe0 && c < 0xf0 ? 2 : 3;
    uint32_t u = more == 0 ? c : more == 1 ? c & 0x1f : more == 2 ? c & 0x0f : c & 0x07;
    *bytes = 1;
    if (more == 0)
        return c;
    if (c < 0xc2 || c > 0xf4 || n - at <= more)
        return 0xfffd;
    for (size_t i = 1; i <= more; i++) {
        if ((s[at + i] & 0xc0) != 0x80)
            return 0xfffd;
        u = u << 6 | (s[at + i] & 0x3f);
    }
    if (u < least[more + 1] || u > 0x10ffff || (u >= 0xd800 && u < 0xe000))
        return 0xfffd;
    *bytes = more + 1;
    return u;
}

static int is_in(const uint32_t (*range)[2], size_t n, uint32_t u)
{
    size_t lo = 0, hi = n;
    while (lo < hi) {
        const size_t middle = (lo + hi) / 2;
        if (range[middle][1] < u)
            lo = middle + 1;
        else
            hi = middle;
    }
    return lo < n && range[lo][0] <= u;
}

/* Unicode's White_Space. */
static int is_space(uint32_t u)
{
    return (u >= 9 && u <= 13) || u == ' ' || u == 0x85 || u == 0xa0 || u == 0x1680 ||
           (u >= 0x2000 && u <= 0x200a) || u == 0x2028 || u == 0x2029 || u == 0x202f ||
           u == 0x205f || u == 0x3000;
}

static int kind(const char *text, size_t n, size_t at, size_t *bytes)
{
    const uint32_t u = character((const unsigned char *)text, n, at, bytes);
    if (is_space(u))
        return SPACE;
    if (is_in(letters, sizeof letters / sizeof *letters, u))
        return LETTER;
    return is_in(numbers, sizeof numbers / sizeof *numbers, u) ? NUMBER : MARK;
}

/* The end of the run of one kind from `at` on, and where its last character begins. */
static size_t run(const char *text, size_t n, size_t at, int of, size_t *last)
{
    size_t bytes;
    while (at < n && kind(text, n, at, &bytes) == of) {
        *last = at;
        at += bytes;
    }
    return at;
}

size_t tokenizer_piece(const char *text, size_t n, size_t at)
{
    static const char *const ending[] = {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"};
    size_t bytes, last = at;
    for (size_t i = 0; i < sizeof ending / sizeof *ending; i++) {
        const size_t length = strlen(ending[i]);
        if (n - at >= length && memcmp(text + at, ending[i], length) == 0)
            return at + length;
    }
    const size_t word = at + (text[at] == ' ' && at + 1 < n); /* a space may lead a word */
    const int first = kind(text, n, word, &bytes);
    if (first != SPACE)
        return run(text, n, word, first, &last);
    const size_t end = run(text, n, at, SPACE, &last);
    return end < n && last > at ? last
                                : end; /* the last of several spaces belongs to what follows */
}
