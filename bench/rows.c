/* What is timed. Planes are used as each kernel needs them: x is the first, results go to the second and the third. */
#include "rows.h"

#define LIST_OF(T, ...) ((const T[]){__VA_ARGS__})
#define LIST(...) LIST_OF(int64_t, __VA_ARGS__)
static const int64_t one[] = {1};

#define KERNEL(name, ...)                                                                          \
    static weft_status name(const bench *b, const weft_kernels *k)                                 \
    {                                                                                              \
        weft_stream *s = b->stream;                                                                \
        const int64_t rows = b->rows, c = b->c, n = rows * c;                                      \
        const weft_dev x = b->at[0], y = b->at[1], z = b->at[2], none = {0};                       \
        const double p[2] = {0};                                                                   \
        (void)rows, (void)c, (void)n, (void)x, (void)y, (void)z, (void)none, (void)p;              \
        return __VA_ARGS__;                                                                        \
    }
/* Columns, of which none follows the last. */
static weft_status indices(const bench *b, const weft_kernels *k)
{
    const int64_t n = b->rows * b->c;
    const weft_status s = k->scale(b->stream, b->stats, (double)b->c, b->moments, n, WEFT_F32);
    return s ? s : k->copy(b->stream, b->index, WEFT_I64, one, b->stats, WEFT_F32, one, 1, &n);
}

KERNEL(copy_f32, k->copy(s, y, b->dt, one, x, WEFT_F32, one, 1, &n))
KERNEL(copy_to_f32, k->copy(s, y, WEFT_F32, one, x, b->dt, one, 1, &n))
KERNEL(copy_from_u8, k->copy(s, y, b->dt, one, x, WEFT_U8, one, 1, &n))
KERNEL(copy_to_i64, k->copy(s, b->index, WEFT_I64, one, x, b->dt, one, 1, &n))
KERNEL(copy_turned, k->copy(s, y, b->dt, LIST(c, 1), x, b->dt, LIST(1, rows), 2, LIST(rows, c)))
KERNEL(fill, k->fill(s, y, n, 0.5, b->dt))
KERNEL(add, k->binary(s, WEFT_ADD, y, x, one, z, one, 1, &n, b->dt))
KERNEL(mul_row, k->binary(s, WEFT_MUL, y, x, LIST(c, 1), z, LIST(0, 1), 2, LIST(rows, c), b->dt))
KERNEL(mul_column, k->binary(s, WEFT_MUL, y, x, LIST(c, 1), z, LIST(1, 0), 2, LIST(rows, c), b->dt))
KERNEL(add_turned,
       k->binary(s, WEFT_ADD, y, x, LIST(1, rows), z, LIST(c, 1), 2, LIST(rows, c), b->dt))
KERNEL(raise, k->binary(s, WEFT_POW, y, x, one, z, one, 1, &n, b->dt))
KERNEL(where, k->where(s, y, b->labels, one, x, one, z, one, 1, &n, b->dt))
KERNEL(compare, k->compare(s, WEFT_GT, y, x, one, z, one, 1, &n, b->dt))
KERNEL(exponential, k->unary(s, WEFT_EXP, y, x, p, n, b->dt))
KERNEL(logarithm, k->unary(s, WEFT_LOG, y, x, p, n, b->dt))
KERNEL(sine, k->unary(s, WEFT_SIN, y, x, p, n, b->dt))
KERNEL(cube, k->unary(s, WEFT_POWER, y, x, LIST_OF(double, 3, 0), n, b->dt))
KERNEL(power, k->unary(s, WEFT_POWER, y, x, LIST_OF(double, 2.5, 0), n, b->dt))
KERNEL(sigmoid, k->unary(s, WEFT_SIGMOID, y, x, p, n, b->dt))
KERNEL(tanh_of, k->unary(s, WEFT_TANH, y, x, p, n, b->dt))
KERNEL(silu, k->unary(s, WEFT_SILU, y, x, p, n, b->dt))
KERNEL(silu_back, k->unary_back(s, WEFT_SILU, z, y, x, y, p, n, b->dt))
KERNEL(axpy, k->axpy(s, y, 1e-9, x, n, b->dt))
KERNEL(relu, k->relu(s, y, x, n, b->dt))
KERNEL(gelu, k->unary(s, WEFT_GELU_TANH, y, x, p, n, b->dt))
KERNEL(gelu_back, k->unary_back(s, WEFT_GELU_TANH, z, y, x, y, p, n, b->dt))
KERNEL(bias, k->bias(s, y, x, 0, rows, c, b->dt))
KERNEL(column_sums, k->sum(s, y, WEFT_F32, (int64_t[]){0, 1}, 1, x, (int64_t[]){c, 1}, 2,
                           (int64_t[]){rows, c}, b->dt))
KERNEL(softmax, k->softmax(s, y, x, rows, c, b->dt))
KERNEL(softmax_back, k->softmax_back(s, z, y, x, rows, c, b->dt))
KERNEL(layernorm, k->layernorm(s, y, b->stats, x, z, z, rows, c, 1e-5, b->dt))
KERNEL(layernorm_back,
       k->layernorm_back(s, z, b->at[3], b->at[4], y, x, b->stats, b->at[5], rows, c, b->dt))
KERNEL(add_layernorm_back, k->add_layernorm_back(s, z, b->at[3], b->at[4], y, b->at[5], x, b->stats,
                                                 b->at[5], rows, c, b->dt))
KERNEL(add_layernorm,
       k->add_layernorm(s, y, b->at[3], b->stats, x, z, b->at[5], b->at[5], rows, c, 1e-5, b->dt))
KERNEL(xent, k->xent(s, b->out, y, none, x, b->labels, WEFT_I64, rows, c, NULL, b->dt))
KERNEL(xent_back, k->xent_back(s, z, b->at[5], 1, y, b->labels, WEFT_I64, rows, c, NULL, b->dt))
KERNEL(xent_lse,
       k->xent_lse(s, b->out, b->stats, none, x, b->labels, WEFT_I64, rows, c, NULL, b->dt))
KERNEL(xent_lse_back,
       k->xent_lse_back(s, z, b->spare, 1, x, b->stats, b->labels, WEFT_I64, rows, c, NULL, b->dt))
KERNEL(dropout,
       k->dropout(s, y, x,
                  &(weft_dropout_terms){.seed = 1, .outer = 1, .rows = rows, .inner = c, .p = 0.1},
                  b->dt))
KERNEL(uniform, k->uniform(s, y, 1, 0, 0, 0, n, -1, 1, b->dt))
KERNEL(normal, k->normal(s, y, 1, 0, n, &(weft_normal_terms){0, 0.02, 0, 1}, b->dt))
KERNEL(sums, k->sum(s, y, WEFT_F32, LIST(1, 0), 1, x, LIST(c, 1), 2, LIST(rows, c), b->dt))
KERNEL(tens, k->sum(s, y, WEFT_F32, LIST(1, 0), 1, x, LIST(10, 1), 2, LIST(n / 10, 10), b->dt))
KERNEL(largest, k->extremum(s, y, none, x, 1, rows, c, 1, b->dt))
KERNEL(first_largest, k->extremum(s, none, b->index, x, 1, rows, c, 1, b->dt))
KERNEL(column_largest, k->extremum(s, y, none, x, 1, 1, rows, c, b->dt))
KERNEL(gather,
       k->gather(s, y, b->out, x, LIST(c, 1), b->index, WEFT_I64, 2, LIST(rows, c), 1, c, b->dt))
KERNEL(gather_back,
       k->gather_back(s, y, LIST(c, 1), x, b->index, WEFT_I64, 2, LIST(rows, c), 1, c, b->dt))
KERNEL(embedding, k->embedding(s, y, b->out, x, b->index, WEFT_I64, rows, c, c, b->dt))
KERNEL(embedding_back, k->embedding_back(s, z, y, b->index, WEFT_I64, rows, c, c, -1, 0, b->dt))
KERNEL(softmax_tens, k->softmax(s, y, x, n / 10, 10, b->dt))
KERNEL(layernorm_16, k->layernorm(s, y, b->stats, x, z, z, n / 16, 16, 1e-5, b->dt))
KERNEL(rmsnorm, k->rmsnorm(s, y, b->stats, x, z, rows, c, 1e-5, b->dt))
KERNEL(swiglu, k->swiglu(s, y, x, z, n, b->dt))
KERNEL(mse, k->loss(s, y, x, z, n, &(weft_loss_terms){.kind = WEFT_LOSS_MSE}, b->dt))
KERNEL(bce, k->loss(s, y, x, z, n, &(weft_loss_terms){.kind = WEFT_LOSS_BCE}, b->dt))
#define PLANES_OF(size) (n / ((size) * (size)))
static const weft_window twos = {{32, 32}, {16, 16}, {2, 2}, {2, 2}, {0, 0}, {1, 1}};
static const weft_window threes = {{32, 32}, {16, 16}, {3, 3}, {2, 2}, {1, 1}, {1, 1}};
static const weft_window all = {.in = {32, 32}, .out = {1, 1}};
KERNEL(maxpool, k->maxpool(s, y, b->index, x, PLANES_OF(32), &threes, b->dt))
KERNEL(maxpool_back, k->maxpool_back(s, z, y, b->index, PLANES_OF(32), &threes, b->dt))
KERNEL(avgpool, k->avgpool(s, y, x, WEFT_AVERAGE_PADDED, PLANES_OF(32), &twos, b->dt))
KERNEL(avgpool_back, k->avgpool_back(s, z, y, WEFT_AVERAGE_PADDED, PLANES_OF(32), &twos, b->dt))
KERNEL(mean_of_plane, k->avgpool(s, y, x, WEFT_AVERAGE_ADAPTIVE, PLANES_OF(32), &all, b->dt))
KERNEL(mean_of_plane_back,
       k->avgpool_back(s, z, y, WEFT_AVERAGE_ADAPTIVE, PLANES_OF(32), &all, b->dt))
KERNEL(norm, k->norm(s, b->out, x, (int64_t[]){0, n}, 1, 2, b->dt))
KERNEL(nonfinite, k->nonfinite(s, b->out, x, n, b->dt))
KERNEL(adamw, k->adam(s, y, b->at[2], b->at[3], none, x, none, none, (int64_t[]){0, n}, 1,
                      &(weft_adam_step){.lr = 1e-3,
                                        .beta1 = 0.9,
                                        .beta2 = 0.999,
                                        .eps = 1e-8,
                                        .weight_decay = 0.01,
                                        .correct1 = 0.1,
                                        .correct2 = 1e-3,
                                        .decoupled = 1},
                      b->dt))

/* Packed heads, as of a layer that gives all three. */
static weft_attention_terms terms(const bench *b)
{
    const int64_t width = HEADS * HEAD, line = 3 * width;
    weft_attention_terms t = {.batch = b->batch,
                              .heads = HEADS,
                              .kv_heads = HEADS,
                              .queries = b->length,
                              .keys = b->length,
                              .size = HEAD,
                              .vsize = HEAD,
                              .scale = 0.125,
                              .causal = 1};
    for (int i = 0; i < 3; i++) {
        t.y[i] = i == 0 ? b->length * width : i == 1 ? HEAD : width;
        t.q[i] = t.k[i] = t.v[i] = i == 1 ? HEAD : t.y[i] * (line / width);
        t.gq[i] = t.gk[i] = t.gv[i] = t.q[i];
    }
    return t;
}

/* Number i of the three in a plane. */
static weft_dev third(const bench *b, weft_dev p, int i)
{
    return (weft_dev){p.addr + (uintptr_t)(i * HEADS * HEAD) * weft_dtype_size(b->dt)};
}

static weft_status attend(const bench *b, const weft_kernels *k, double p)
{
    weft_attention_terms t = terms(b);
    const weft_dev x = b->at[0];
    t.p = p;
    return k->attention(b->stream, b->at[1], b->stats, x, third(b, x, 1), third(b, x, 2), &t,
                        b->dt);
}

static weft_status attend_back(const bench *b, const weft_kernels *k, double p)
{
    weft_attention_terms t = terms(b);
    const weft_dev x = b->at[0], g = b->at[2];
    t.p = p;
    return k->attention_back(b->stream, g, third(b, g, 1), third(b, g, 2), b->at[4], b->at[3], x,
                             third(b, x, 1), third(b, x, 2), b->at[1], b->stats, &t, b->dt);
}

#define ATTENTION(name, p)                                                                         \
    static weft_status name(const bench *b, const weft_kernels *k)                                 \
    {                                                                                              \
        return attend(b, k, p);                                                                    \
    }                                                                                              \
    static weft_status name##_back(const bench *b, const weft_kernels *k)                          \
    {                                                                                              \
        return attend_back(b, k, p);                                                               \
    }
ATTENTION(attention, 0)
ATTENTION(attention_dropout, 0.1)

const row bench_rows[] = {
    {"copy_from_f32", copy_f32, .numbers = 1, .bytes = 4, .inputs = EXACT},
    {"copy_to_f32", copy_to_f32, .numbers = 1, .bytes = 4},
    {"copy_from_u8", copy_from_u8, .numbers = 1, .bytes = 1},
    {"copy_to_i64", copy_to_i64, .numbers = 1, .bytes = 8},
    {"copy_turned", copy_turned, .numbers = 2},
    {"fill", fill, .numbers = 1},
    {"add", add, .numbers = 3},
    {"mul_row", mul_row, .numbers = 2},
    {"mul_column", mul_column, .numbers = 2},
    {"add_turned", add_turned, .numbers = 3},
    {"pow", raise, .numbers = 3, .inputs = POSITIVE},
    {"where", where, .numbers = 3, .bytes = 1},
    {"compare", compare, .numbers = 2, .bytes = 1},
    {"axpy", axpy, .numbers = 3},
    {"relu", relu, .numbers = 2},
    {"exp", exponential, .numbers = 2},
    {"log", logarithm, .numbers = 2, .inputs = POSITIVE},
    {"sin", sine, .numbers = 2},
    {"cube", cube, .numbers = 2},
    {"power", power, .numbers = 2, .inputs = POSITIVE},
    {"sigmoid", sigmoid, .numbers = 2},
    {"tanh", tanh_of, .numbers = 2},
    {"silu", silu, .numbers = 2},
    {"silu_back", silu_back, .numbers = 3},
    {"gelu", gelu, .numbers = 2},
    {"gelu_back", gelu_back, .numbers = 3},
    {"bias", bias, .numbers = 2},
    {"column_sums", column_sums, .numbers = 1},
    {"row_sums", sums, .numbers = 1},
    {"sums_of_tens", tens, .numbers = 1},
    {"largest", largest, .numbers = 1},
    {"first_largest", first_largest, .numbers = 1},
    {"column_largest", column_largest, .numbers = 1},
    {"gather", gather, .numbers = 2, .bytes = 8, .before = indices},
    {"gather_back", gather_back, .numbers = 3, .bytes = 8, .before = indices},
    {"embedding", embedding, .numbers = 2, .before = indices},
    {"embedding_back", embedding_back, .numbers = 2, .types = FULL, .before = indices},
    {"softmax", softmax, .numbers = 2, .wide = true, .types = FULL},
    {"softmax_back", softmax_back, .numbers = 3, .wide = true, .types = FULL},
    {"softmax_of_tens", softmax_tens, .numbers = 2, .types = FULL},
    {"layernorm", layernorm, .numbers = 2},
    {"layernorm_back", layernorm_back, .numbers = 3, .before = layernorm},
    {"layernorm_of_16", layernorm_16, .numbers = 2},
    {"rmsnorm", rmsnorm, .numbers = 2},
    {"swiglu", swiglu, .numbers = 3},
    {"add_layernorm_back", add_layernorm_back, .numbers = 4, .before = layernorm},
    {"add_layernorm", add_layernorm, .numbers = 4},
    {"xent", xent, .numbers = 2, .wide = true, .types = FULL},
    {"xent_back", xent_back, .numbers = 2, .wide = true, .types = FULL},
    {"mse", mse, .numbers = 3, .types = FULL},
    {"bce", bce, .numbers = 3, .types = FULL, .inputs = POSITIVE},
    {"xent_lse", xent_lse, .numbers = 1, .wide = true, .types = LOW},
    {"xent_lse_back", xent_lse_back, .numbers = 2, .wide = true, .types = LOW, .before = xent_lse},
    {"dropout", dropout, .numbers = 2},
    {"maxpool", maxpool, .numbers = 1, .bytes = 1},
    {"maxpool_back", maxpool_back, .numbers = 1, .bytes = 1, .types = FULL, .before = maxpool},
    {"avgpool", avgpool, .numbers = 1},
    {"avgpool_back", avgpool_back, .numbers = 1},
    {"plane_means", mean_of_plane, .numbers = 1},
    {"plane_means_back", mean_of_plane_back, .numbers = 1},
    {"uniform", uniform, .numbers = 1, .types = FULL},
    {"normal", normal, .numbers = 1, .types = FULL},
    {"norm", norm, .numbers = 1, .wide = true},
    {"nonfinite", nonfinite, .numbers = 1, .wide = true},
    {"adamw", adamw, .numbers = 2, .bytes = 20, .wide = true, .inputs = MOMENTS},
    {"attention", attention, .numbers = 0, .passes = 1},
    {"attention_back", attention_back, .numbers = 0, .passes = 2.5, .before = attention},
    {"attention_dropout", attention_dropout, .numbers = 0, .passes = 1},
    {"attention_dropout_back", attention_dropout_back, .numbers = 0, .passes = 2.5,
     .before = attention},
};
const int bench_row_count = sizeof bench_rows / sizeof bench_rows[0];
