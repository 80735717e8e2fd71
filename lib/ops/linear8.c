/* A linear layer whose three products are of 8-bit codes, each tensor scaled by its own largest magnitude:
 * E4M3 for x and W, E5M2 for gradients, the recipe Float8CurrentScaling of NVIDIA's Transformer Engine in its
 * hybrid format. Codes are not kept between the passes: what is coded again is the same. */
#include "ops/linear.h"

#include "core/error.h"
#include "core/log.h"

#define BY 16 /* what all of a layer's sizes are multiples of */
#define SCALE (2 * sizeof(float))

typedef struct coded {
    weft_dev q, qt, scale;
} coded;

bool weft__linear8_takes(const weft_op_call *c, weft__linear_sizes n)
{
    weft__tape *t = c->fabric->tape;
    if (!t->float8 || weft_dtype_size(c->in[0].dtype) != 2 || !n.r || !n.o || !n.i)
        return false;
    if (n.r % BY == 0 && n.o % BY == 0 && n.i % BY == 0)
        return true;
    if (!t->float8_lacks && c->fabric->rank == 0)
        weft__say(
            WEFT_LOG_WARNING,
            "a linear layer of %lld rows, %lld inputs and %lld outputs computes in %s: 8 bits "
            "take multiples of %d; others like it are not named",
            (long long)n.r, (long long)n.i, (long long)n.o, weft_dtype_name(c->in[0].dtype), BY);
    t->float8_lacks = true;
    return false;
}

/* What is wanted of the codes of x (rows,c) and of its transpose. */
static weft_status code(const weft_op_call *c, coded *out, const weft_view *x, weft_float8 format,
                        int64_t rows, int64_t columns, bool straight, bool turned)
{
    const size_t bytes = (size_t)(rows * columns);
    *out = (coded){.q = {0}};
    if (straight)
        WEFT_TRY(weft__scratch(c->fabric, bytes, &out->q));
    if (turned)
        WEFT_TRY(weft__scratch(c->fabric, bytes, &out->qt));
    WEFT_TRY(weft__scratch(c->fabric, SCALE, &out->scale));
    return c->k->code8(c->stream, out->q, out->qt, out->scale, x->data, format, rows, columns,
                       x->dtype);
}

static weft_status forward(const weft_op_call *c, weft_dev z, weft__linear_sizes n)
{
    const weft_dev bias = {c->nin == 3 ? c->in[2].data.addr : 0};
    coded x, w;
    WEFT_TRY(code(c, &x, &c->in[0], WEFT_E4M3, n.r, n.i, true, false));
    WEFT_TRY(code(c, &w, &c->in[1], WEFT_E4M3, n.o, n.i, true, false));
    return c->k->gemm8(c->stream, z, c->out.dtype, x.q, x.scale, WEFT_E4M3, w.q, w.scale, WEFT_E4M3,
                       bias, n.r, n.o, n.i);
}

static weft_status backward(const weft_op_call *c, const weft_view *gz, weft__linear_sizes n)
{
    const weft_dev none = {0};
    coded z, x, w;
    WEFT_TRY(code(c, &z, gz, WEFT_E5M2, n.r, n.o, c->want[0], c->want[1]));
    if (c->want[0]) {
        WEFT_TRY(code(c, &w, &c->in[1], WEFT_E4M3, n.o, n.i, false, true));
        WEFT_TRY(c->k->gemm8(c->stream, c->gin[0].data, c->gin[0].dtype, z.q, z.scale, WEFT_E5M2,
                             w.qt, w.scale, WEFT_E4M3, none, n.r, n.i, n.o));
    }
    if (!c->want[1])
        return WEFT_OK;
    WEFT_TRY(code(c, &x, &c->in[0], WEFT_E4M3, n.r, n.i, false, true));
    return c->k->gemm8(c->stream, c->gin[1].data, c->gin[1].dtype, z.qt, z.scale, WEFT_E5M2, x.qt,
                       x.scale, WEFT_E4M3, none, n.o, n.i, n.r);
}

/* What is enqueued on the stream still finds the codes: those who get their memory come later. */
weft_status weft__linear8(const weft_op_call *c, weft_dev z, weft__linear_sizes n)
{
    const weft__mark before = weft__engine_mark(c->fabric);
    const weft_status s = forward(c, z, n);
    weft__engine_rewind(c->fabric, before);
    return s;
}

weft_status weft__linear8_back(const weft_op_call *c, const weft_view *gz, weft__linear_sizes n)
{
    const weft__mark before = weft__engine_mark(c->fabric);
    const weft_status s = c->want[0] || c->want[1] ? backward(c, gz, n) : WEFT_OK;
    weft__engine_rewind(c->fabric, before);
    return s;
}
