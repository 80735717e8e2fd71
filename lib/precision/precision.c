/* The table of precisions. Parameters are of type `dtype`; `low` is what ops of the policy low compute
 * in: inside weft_forward and autocast scopes, or everywhere if the parameters have it too. With float8
 * linear layers multiply in 8 bits: Fabric's plugin for NVIDIA's Transformer Engine, whose weights have
 * 16 bits, in which all else is computed. */
#include "precision/precision.h"

#include "core/env.h"
#include "core/log.h"
#include "device/device.h"

#include <string.h>
#include <strings.h>

static const struct {
    const char *word, *name;
    weft_dtype dtype, low;
    bool float8;
} table[] = {
    {"32-true", "32-true", WEFT_F32, WEFT_DEFAULT, false},
    {"32", "32-true", WEFT_F32, WEFT_DEFAULT, false},
    {"64-true", "64-true", WEFT_F64, WEFT_DEFAULT, false},
    {"64", "64-true", WEFT_F64, WEFT_DEFAULT, false},
    {"16-mixed", "16-mixed", WEFT_F32, WEFT_F16, false},
    {"16", "16-mixed", WEFT_F32, WEFT_F16, false},
    {"bf16-mixed", "bf16-mixed", WEFT_F32, WEFT_BF16, false},
    {"bf16", "bf16-mixed", WEFT_F32, WEFT_BF16, false},
    {"16-true", "16-true", WEFT_F16, WEFT_F16, false},
    {"bf16-true", "bf16-true", WEFT_BF16, WEFT_BF16, false},
    {"transformer-engine", "transformer-engine", WEFT_BF16, WEFT_BF16, true},
    {"transformer-engine-float16", "transformer-engine-float16", WEFT_F16, WEFT_F16, true},
};

#define ROWS ((int)(sizeof table / sizeof table[0]))

static weft_status look_up(const char *precision, int *row)
{
    const char *word[ROWS];
    for (int i = 0; i < ROWS; i++)
        word[i] = table[i].word;
    *row = weft__parse_choice("precision", precision ? precision : "32-true", word, ROWS);
    if (*row < 0)
        return WEFT_EARG;
    return WEFT_OK;
}

static weft_status check_float8(weft_device *d, const char *name, const char *else_use)
{
    const char *why = d->ops->no_float8 ? d->ops->no_float8(d) : NULL;
    if (d->ops->no_float8 && !why)
        return WEFT_OK;
    return weft__fail(
        WEFT_ENOTSUP,
        "precision %s computes in 8 bits, which takes a GPU of compute capability 8.9 "
        "or later, as NVIDIA's Transformer Engine does, and device %s has no such "
        "products%s%s; use %s",
        name, d->ops->name, why ? ": " : "", why ? why : "", else_use);
}

const char *weft__precision_name(const char *word)
{
    for (int i = 0; i < ROWS; i++)
        if (strcasecmp(word, table[i].word) == 0)
            return table[i].name;
    return word;
}

bool weft__precision_scales(const char *word)
{
    return word && strcmp(weft__precision_name(word), "16-mixed") == 0;
}

weft_status weft__precision_check(const char *precision)
{
    int row;
    return look_up(precision, &row);
}

weft_status weft__precision_set(weft_fabric *f, const char *precision, const char **name)
{
    int row;
    WEFT_TRY(look_up(precision, &row));
    if (table[row].float8)
        WEFT_TRY(check_float8(f->device, table[row].name,
                              table[row].low == WEFT_F16 ? "16-true" : "bf16-true or bf16-mixed"));
    f->dtype = table[row].dtype;
    f->tape->low = table[row].low;
    f->tape->float8 = table[row].float8;
    *name = table[row].name;
    return WEFT_OK;
}

void weft__precision_prepare(weft_fabric *f)
{
    const weft_dtype t = f->tape->low != WEFT_DEFAULT ? f->tape->low : f->dtype;
    const weft_device_ops *ops = f->device->ops;
    const char *lacks = weft_dtype_size(t) == 2 && ops->lacks ? ops->lacks(f->device, t) : NULL;
    if (lacks && f->rank == 0)
        weft__say(WEFT_LOG_WARNING, "products in %s are computed in f32, which is slower: %s",
                  weft_dtype_name(t), lacks);
}
