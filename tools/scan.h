/* JSON read where it stands: strict, from bytes that anybody may have written. */
#ifndef TOOLS_SCAN_H
#define TOOLS_SCAN_H
#include <weft/status.h>

typedef struct scan {
    const char *where; /* in messages: the file */
    char *text, *at, *end;
    weft_status failed; /* the first fault */
} scan;

/* Each returns false after a fault, which has left its message: WEFT_EFORMAT, and at which byte. */
bool scan_wrong(scan *c, const char *format, ...) WEFT_PRINTF(2, 3);
void scan_space(scan *c);
/* The next byte that is no space is `b`, and is read; accept: if it is not, that is no fault. */
bool scan_accept(scan *c, char b);
bool scan_expect(scan *c, char b);
/* A string, which is unescaped where it stands and ended with '\0'. */
bool scan_string(scan *c, const char **out);
/* A whole number from 0 up to 2^63 - 1. */
bool scan_number(scan *c, int64_t *out);
#endif
