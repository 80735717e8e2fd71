/* What JSON allows in a string or a number, and no more (RFC 8259). */
#include "scan.h"

#include "core/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool scan_wrong(scan *c, const char *format, ...)
{
    char what[200];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    if (!c->failed)
        c->failed = weft__fail(WEFT_EFORMAT, "%s: byte %lld of the header: %s", c->where,
                               (long long)(c->at - c->text), what);
    return false;
}

void scan_space(scan *c)
{
    while (c->at < c->end && memchr(" \t\r\n", *c->at, 4))
        c->at++;
}

bool scan_accept(scan *c, char b)
{
    scan_space(c);
    if (c->at == c->end || *c->at != b)
        return false;
    c->at++;
    return true;
}

bool scan_expect(scan *c, char b)
{
    return scan_accept(c, b) || scan_wrong(c, "'%c' is missing", b);
}

static int hex_digit(char b)
{
    return b >= '0' && b <= '9'   ? b - '0'
           : b >= 'a' && b <= 'f' ? b - 'a' + 10
           : b >= 'A' && b <= 'F' ? b - 'A' + 10
                                  : -1;
}

static bool four_digits(scan *c, unsigned *out)
{
    *out = 0;
    for (int i = 0; i < 4; i++, c->at++) {
        const int d = c->at < c->end ? hex_digit(*c->at) : -1;
        if (d < 0)
            return scan_wrong(c, "\\u needs four hexadecimal digits");
        *out = *out << 4 | (unsigned)d;
    }
    return true;
}

/* A \u escape, whose six or twelve bytes are longer than its UTF-8. */
static bool code_point(scan *c, char **to)
{
    unsigned u, low;
    if (!four_digits(c, &u))
        return false;
    if (u >= 0xd800 && u < 0xdc00) {
        if (c->end - c->at < 2 || c->at[0] != '\\' || c->at[1] != 'u')
            return scan_wrong(c, "half a surrogate pair");
        c->at += 2;
        if (!four_digits(c, &low))
            return false;
        if (low < 0xdc00 || low > 0xdfff)
            return scan_wrong(c, "half a surrogate pair");
        u = 0x10000 + ((u - 0xd800) << 10) + (low - 0xdc00);
    } else if (u == 0 || (u >= 0xdc00 && u < 0xe000))
        return scan_wrong(c, "\\u%04x is no character of a name", u);
    const int more = u < 0x80 ? 0 : u < 0x800 ? 1 : u < 0x10000 ? 2 : 3;
    static const unsigned char lead[] = {0, 0xc0, 0xe0, 0xf0};
    *(*to)++ = (char)(lead[more] | u >> 6 * more);
    for (int i = more - 1; i >= 0; i--)
        *(*to)++ = (char)(0x80 | (u >> 6 * i & 0x3f));
    return true;
}

static bool escape(scan *c, char **to)
{
    static const char from[] = "\"\\/bfnrt", means[] = "\"\\/\b\f\n\r\t";
    const char b = c->at < c->end ? *c->at++ : 0;
    const char *known = b ? strchr(from, b) : NULL;
    if (b == 'u')
        return code_point(c, to);
    if (!known)
        return scan_wrong(c, "an escape that JSON has not");
    *(*to)++ = means[known - from];
    return true;
}

bool scan_string(scan *c, const char **out)
{
    if (!scan_expect(c, '"'))
        return false;
    char *to = c->at;
    *out = c->at;
    while (c->at < c->end && *c->at != '"') {
        if ((unsigned char)*c->at < ' ')
            return scan_wrong(c, "a control byte in a string");
        if (*c->at == '\\') {
            c->at++;
            if (!escape(c, &to))
                return false;
        } else
            *to++ = *c->at++;
    }
    if (c->at == c->end)
        return scan_wrong(c, "a string does not end");
    c->at++;
    *to = '\0';
    return true;
}

bool scan_number(scan *c, int64_t *out)
{
    scan_space(c);
    const char *first = c->at;
    *out = 0;
    for (; c->at < c->end && *c->at >= '0' && *c->at <= '9'; c->at++) {
        const int d = *c->at - '0';
        if (*out > (INT64_MAX - d) / 10)
            return scan_wrong(c, "a number above 2^63");
        *out = *out * 10 + d;
    }
    if (c->at == first || (*first == '0' && c->at > first + 1))
        return scan_wrong(c, "a whole number from 0 up is missing");
    return true;
}
