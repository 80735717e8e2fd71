/* Precision by name: which type parameters have, and what the tape's cast policy computes in. */
#ifndef PRECISION_PRECISION_H
#define PRECISION_PRECISION_H
#include "autograd/tape.h"

/* Sets f->dtype and the cast policy by a name of Fabric's: "32-true" (also "32"), "64-true" ("64"),
 * NULL is "32-true". *name is the full name, borrowed for ever. WEFT_ENOTSUP for 8 bits on a device
 * without, WEFT_EARG with the nearest for a name that there is not. */
weft_status weft__precision_set(weft_fabric *f, const char *precision, const char **name);
/* The full name of a word, "32-true" for "32"; an unknown word itself. */
const char *weft__precision_name(const char *word);
/* Readies the device for it, and says what that lacks. */
void weft__precision_prepare(weft_fabric *f);
/* Whether the word, which may be NULL, is of a precision with a loss scale. */
bool weft__precision_scales(const char *word);
/* WEFT_EARG as above, before there is a fabric. */
weft_status weft__precision_check(const char *precision);
#endif
