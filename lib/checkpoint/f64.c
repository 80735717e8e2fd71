/* Doubles as text, independent of the locale and exact to the bit, NaN payloads included. */
#include "checkpoint/manifest.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MANTISSA 52
#define SPECIAL 0x7ff

void weft__f64_write(char text[WEFT__F64_TEXT], uint64_t bits)
{
    const char *sign = bits >> 63 ? "-" : "";
    int exponent = (int)(bits >> MANTISSA & SPECIAL);
    uint64_t mantissa = bits & (((uint64_t)1 << MANTISSA) - 1);
    if (exponent == SPECIAL && mantissa)
        snprintf(text, WEFT__F64_TEXT, "nan:%016" PRIx64, bits);
    else if (exponent == SPECIAL)
        snprintf(text, WEFT__F64_TEXT, "%sinf", sign);
    else if (bits << 1 == 0)
        snprintf(text, WEFT__F64_TEXT, "%s0x0.%013dp+0", sign, 0);
    else
        snprintf(text, WEFT__F64_TEXT, "%s0x%d.%013" PRIx64 "p%+d", sign, exponent > 0, mantissa,
                 (exponent ? exponent : 1) - 1023);
}

/* The bits that a text claims; what is no double's text claims some other double's. */
static uint64_t claimed(const char *text)
{
    uint64_t sign = text[0] == '-';
    text += sign;
    if (strncmp(text, "nan:", 4) == 0)
        return strtoull(text + 4, NULL, 16);
    if (strcmp(text, "inf") == 0)
        return sign << 63 | (uint64_t)SPECIAL << MANTISSA;
    if (strlen(text) < 18)
        return 0;
    uint64_t lead = text[2] == '1', mantissa = strtoull(text + 4, NULL, 16);
    uint64_t exponent = lead ? (uint64_t)(strtol(text + 18, NULL, 10) + 1023) & SPECIAL : 0;
    return sign << 63 | exponent << MANTISSA | (mantissa & (((uint64_t)1 << MANTISSA) - 1));
}

bool weft__f64_read(const char *text, uint64_t *bits)
{
    char again[WEFT__F64_TEXT];
    *bits = claimed(text);
    weft__f64_write(again, *bits);
    return strcmp(again, text) == 0;
}
