/* How parameters start, by name; <weft/nn.h> has the formulas. Each comes down to a weft_init. */
#include "core/env.h"
#include "core/hash.h"
#include "nn/module.h"

#include <math.h>

typedef enum kind {
    CONSTANT,
    ZEROS,
    ONES,
    UNIFORM,
    NORMAL,
    TRUNC_NORMAL,
    KAIMING_UNIFORM,
    KAIMING_NORMAL,
    XAVIER_UNIFORM,
    XAVIER_NORMAL,
    KINDS
} kind;

static const char *const word[KINDS] = {
    "constant",     "zeros",           "ones",           "uniform",        "normal",
    "trunc_normal", "kaiming_uniform", "kaiming_normal", "xavier_uniform", "xavier_normal"};

static weft_status gain_of(const weft_initializer_options *o, double *gain)
{
    static const char *const name[] = {"leaky_relu", "relu", "tanh", "linear", "sigmoid", "selu"};
    const double value[] = {sqrt(2 / (1 + o->a * o->a)), sqrt(2), 5.0 / 3, 1, 1, 0.75};
    int i =
        weft__parse_choice("nonlinearity", o->nonlinearity ? o->nonlinearity : name[0], name, 6);
    if (i < 0)
        return WEFT_EARG;
    *gain = value[i];
    return WEFT_OK;
}

/* The deviation that kaiming and xavier ask for. */
static weft_status spread(const weft__segment *s, const weft_initializer_options *o, kind k,
                          double *std)
{
    static const char *const mode[] = {"fan_in", "fan_out"};
    double field = 1, gain = o->gain != 0 ? o->gain : 1;
    if (s->rank < 2 || !s->count)
        return weft__fail(WEFT_ESHAPE,
                          "weft_init_param: %s of %s, which has %d dimensions and "
                          "%lld elements; it needs two and some",
                          word[k], s->name, s->rank, (long long)s->count);
    for (int d = 2; d < s->rank; d++)
        field *= (double)s->shape[d];
    double in = (double)s->shape[1] * field, out = (double)s->shape[0] * field;
    if (k == XAVIER_UNIFORM || k == XAVIER_NORMAL) {
        *std = gain * sqrt(2 / (in + out));
        return WEFT_OK;
    }
    int m = weft__parse_choice("mode", o->mode ? o->mode : mode[0], mode, 2);
    if (m < 0)
        return WEFT_EARG;
    WEFT_TRY(gain_of(o, &gain));
    *std = gain / sqrt(m ? out : in);
    return WEFT_OK;
}

static weft_status numbers_are_fit(const weft_initializer_options *o)
{
    if (isfinite(o->value) && isfinite(o->lo) && isfinite(o->hi) && isfinite(o->mean) &&
        isfinite(o->std) && isfinite(o->gain) && isfinite(o->a) && o->lo <= o->hi && o->std >= 0)
        return WEFT_OK;
    return weft__fail(WEFT_EARG,
                      "weft_init_param: value %g, lo %g, hi %g, mean %g, std %g, gain %g, a %g; "
                      "they are finite, lo is not above hi and std not below 0",
                      o->value, o->lo, o->hi, o->mean, o->std, o->gain, o->a);
}

static weft_status resolve(const weft__segment *s, const weft_initializer_options *o,
                           weft_init *out)
{
    double std = o->std > 0 ? o->std : 1, lo = o->lo, hi = o->hi;
    int k = weft__parse_choice("weft_init_param: kind", o->kind ? o->kind : "", word, KINDS);
    if (k < 0)
        return WEFT_EARG;
    WEFT_TRY(numbers_are_fit(o));
    if (k >= KAIMING_UNIFORM)
        WEFT_TRY(spread(s, o, (kind)k, &std));
    if (lo == 0 && hi == 0) {
        lo = k == TRUNC_NORMAL ? -2 : 0;
        hi = k == TRUNC_NORMAL ? 2 : 1;
    }
    if (k == KAIMING_UNIFORM || k == XAVIER_UNIFORM) {
        hi = sqrt(3) * std;
        lo = -hi;
    }
    if (k <= ONES)
        *out = WEFT_CONSTANT(k == CONSTANT ? o->value : k == ONES);
    else if (k == UNIFORM || k == KAIMING_UNIFORM || k == XAVIER_UNIFORM)
        *out = WEFT_UNIFORM(lo, hi);
    else if (k == TRUNC_NORMAL)
        *out = WEFT_TRUNC_NORMAL(o->mean, std, lo, hi);
    else
        *out = WEFT_NORMAL(k == NORMAL ? o->mean : 0, std);
    return WEFT_OK;
}

static weft_status start(weft_module *m, const char *name, const weft_initializer_options *o)
{
    weft__param *p = weft__param_at(weft__module_root(m), name);
    weft_init init;
    if (!p)
        return weft__fail(WEFT_ENOENT, "weft_init_param: there is no parameter \"%.80s\"", name);
    weft__segment *s = &weft__param_itself(p)->segment;
    WEFT_TRY(resolve(s, o, &init));
    s->init = init;
    if (!s->flat)
        return WEFT_OK;
    weft__segment_changed(s, weft__hash(WEFT__HASH, &init, sizeof init));
    return weft__segment_init(s);
}

weft_status weft_init_param(weft_module *m, const char *name, const weft_initializer_options *o)
{
    if (!m)
        return WEFT_EARG;
    weft_status s = name && o ? start(m, name, o)
                              : weft__fail(WEFT_EARG, "weft_init_param: the %s NULL",
                                           name ? "options are" : "name is");
    return s ? weft__stick(m->object.fabric, s) : WEFT_OK;
}
