/* The conformance table of ops: a new op gets one row here, and test_ops.c then checks its values
 * and gradients against the golden file, its gradient against differences, strided, empty and
 * single inputs, and what it says to wrong ones. */
#ifndef TESTS_CONFORM_OPS_H
#define TESTS_CONFORM_OPS_H
#include <math.h>
#include <weft.h>
#include <weft/sys/op.h>

#define CONFORM_WEIGHTS 8
#define CONFORM_INPUTS 5

/* What an op takes beside its tensors: attributes of the golden groups and of the cases below. */
typedef struct conform_attributes {
    int dim;
    bool keepdim, has_bias, relu, sum;
    double alpha, beta;
    int rank;
    int64_t shape[WEFT_MAX_RANK];
    /* of conform_losses.h */
    int reduction, dims, weights;
    int64_t ignore, padding;
    bool ignore_zero, log_target, bias_only;
    double smoothing, delta, weight[CONFORM_WEIGHTS];
} conform_attributes;

typedef struct conform_shape {
    int rank;
    int64_t extent[4];
} conform_shape;

typedef struct conform_case {
    conform_shape in[CONFORM_INPUTS];
    conform_attributes a;
} conform_case;

typedef struct conform_row {
    const char *name;                           /* in messages of the tests */
    const char *says;                           /* in messages of the library */
    const char *golden;                         /* group of the golden file, NULL: none */
    const char *file;                           /* the golden file; NULL: ops.h5 */
    bool (*takes)(const conform_attributes *a); /* which of its cases; NULL: all */
    weft_tensor *(*apply)(weft_tensor *const *in, const conform_attributes *a);
    int inputs; /* at most CONFORM_INPUTS; those from `least` on may be left out */
    int least;
    bool labels;           /* the last input is labels 0..C-1, C the last extent of the first */
    bool positive;         /* numbers above 0 are its domain */
    bool any_dtype;        /* u8 is as good as f64 */
    bool gradient;         /* it has one */
    bool f32_result;       /* at least, whatever it computes in */
    bool follows;          /* the result has the first input's type whatever the others' */
    weft_cast_policy cast; /* NONE: it keeps 16 bits, with other types the wider */
    double tol[2];         /* f32, f64: of the largest magnitude in the reference */
    conform_case good[6];  /* tried with random values, until one without inputs */
    conform_case bad;      /* WEFT_ESHAPE */
} conform_row;

/* Roundings of a sum grow with its terms: the longest here has 128, and 128 x 2^-24 is 8e-6,
 * 128 x 2^-53 is 1.4e-14. */
#define CONFORM_TOL                                                                                \
    {                                                                                              \
        1e-5, 1e-13                                                                                \
    }
#define S0                                                                                         \
    {                                                                                              \
        0,                                                                                         \
        {                                                                                          \
            0                                                                                      \
        }                                                                                          \
    }
#define S1(a)                                                                                      \
    {                                                                                              \
        1,                                                                                         \
        {                                                                                          \
            a                                                                                      \
        }                                                                                          \
    }
#define S2(a, b)                                                                                   \
    {                                                                                              \
        2,                                                                                         \
        {                                                                                          \
            a, b                                                                                   \
        }                                                                                          \
    }
#define S3(a, b, c)                                                                                \
    {                                                                                              \
        3,                                                                                         \
        {                                                                                          \
            a, b, c                                                                                \
        }                                                                                          \
    }

#define S4(a, b, c, d)                                                                             \
    {                                                                                              \
        4,                                                                                         \
        {                                                                                          \
            a, b, c, d                                                                             \
        }                                                                                          \
    }

static bool conform_plain(const conform_attributes *a)
{
    return !a->relu;
}
static bool conform_relu(const conform_attributes *a)
{
    return a->relu;
}
static bool conform_mean(const conform_attributes *a)
{
    return !a->sum;
}
static bool conform_sum(const conform_attributes *a)
{
    return a->sum;
}

static weft_tensor *conform_add(weft_tensor *const *in, const conform_attributes *a)
{
    (void)a;
    return weft_add(in[0], in[1]);
}
static weft_tensor *conform_mul(weft_tensor *const *in, const conform_attributes *a)
{
    (void)a;
    return weft_mul(in[0], in[1]);
}
static weft_tensor *conform_scale(weft_tensor *const *in, const conform_attributes *a)
{
    return weft_scale(in[0], a->alpha);
}
static weft_tensor *conform_matmul(weft_tensor *const *in, const conform_attributes *a)
{
    (void)a;
    return weft_matmul(in[0], in[1]);
}
static weft_tensor *conform_linear(weft_tensor *const *in, const conform_attributes *a)
{
    (void)a;
    return weft_linear(in[0], in[1], in[2]);
}
static weft_tensor *conform_linear_relu(weft_tensor *const *in, const conform_attributes *a)
{
    (void)a;
    return weft_linear_relu(in[0], in[1], in[2]);
}
static weft_tensor *conform_linear_gelu_tanh(weft_tensor *const *in, const conform_attributes *a)
{
    (void)a;
    return weft_linear_gelu_tanh(in[0], in[1], in[2]);
}
static weft_tensor *conform_mlp_gelu_tanh(weft_tensor *const *in, const conform_attributes *a)
{
    (void)a;
    return weft_mlp_gelu_tanh(in[0], in[1], in[3], in[2], in[4]);
}
static weft_tensor *conform_relu_op(weft_tensor *const *in, const conform_attributes *a)
{
    (void)a;
    return weft_relu(in[0]);
}
#define CONFORM_UNARY(op)                                                                          \
    static weft_tensor *conform_##op(weft_tensor *const *in, const conform_attributes *a)          \
    {                                                                                              \
        (void)a;                                                                                   \
        return weft_##op(in[0]);                                                                   \
    }
#define CONFORM_BINARY(op)                                                                         \
    static weft_tensor *conform_##op(weft_tensor *const *in, const conform_attributes *a)          \
    {                                                                                              \
        (void)a;                                                                                   \
        return weft_##op(in[0], in[1]);                                                            \
    }
CONFORM_UNARY(neg)
CONFORM_UNARY(abs)
CONFORM_UNARY(exp)
CONFORM_UNARY(ln)
CONFORM_UNARY(sqrt)
CONFORM_UNARY(sin)
CONFORM_UNARY(cos)
CONFORM_UNARY(sigmoid)
CONFORM_UNARY(tanh)
CONFORM_UNARY(silu)
CONFORM_UNARY(gelu)
CONFORM_UNARY(gelu_tanh)
CONFORM_UNARY(log_softmax)
CONFORM_BINARY(sub)
CONFORM_BINARY(div)
CONFORM_BINARY(pow)
CONFORM_BINARY(maximum)
CONFORM_BINARY(minimum)
static weft_tensor *conform_pow_scalar(weft_tensor *const *in, const conform_attributes *a)
{
    return weft_pow_scalar(in[0], a->alpha);
}
static weft_tensor *conform_clamp(weft_tensor *const *in, const conform_attributes *a)
{
    return weft_clamp(in[0], a->alpha, a->beta);
}
/* The condition comes as labels: a class above 0 is true. */
static weft_tensor *conform_where(weft_tensor *const *in, const conform_attributes *a)
{
    (void)a;
    for (int i = 0; i < 3; i++)
        if (!weft_is_valid(in[i]))
            return weft_where(in[2], in[0], in[1]);
    weft_tensor *zero = weft_lt(in[2], in[2]);
    return weft_where(weft_gt(in[2], zero), in[0], in[1]);
}
static weft_tensor *conform_max(weft_tensor *const *in, const conform_attributes *a)
{
    return weft_max(in[0], a->dim);
}
static weft_tensor *conform_min(weft_tensor *const *in, const conform_attributes *a)
{
    return weft_min(in[0], a->dim);
}
static weft_tensor *conform_gather(weft_tensor *const *in, const conform_attributes *a)
{
    return weft_gather(in[0], a->dim, in[1]);
}
static weft_tensor *conform_slice(weft_tensor *const *in, const conform_attributes *a)
{
    return weft_slice(in[0], a->dim, a->shape[0], a->shape[1], a->shape[2]);
}
static weft_tensor *conform_concat(weft_tensor *const *in, const conform_attributes *a)
{
    return weft_concat_n(in[2] ? 3 : 2, in, a->dim);
}
static weft_tensor *conform_permute(weft_tensor *const *in, const conform_attributes *a)
{
    int order[WEFT_MAX_RANK];
    for (int d = 0; d < a->rank; d++)
        order[d] = (int)a->shape[d];
    return weft_permute(in[0], a->rank, order);
}
static weft_tensor *conform_squeeze(weft_tensor *const *in, const conform_attributes *a)
{
    return weft_squeeze(in[0], a->dim);
}
static weft_tensor *conform_unsqueeze(weft_tensor *const *in, const conform_attributes *a)
{
    return weft_unsqueeze(in[0], a->dim);
}
static weft_tensor *conform_reshape(weft_tensor *const *in, const conform_attributes *a)
{
    return weft_reshape(in[0], a->rank, a->shape);
}
static weft_tensor *conform_transpose(weft_tensor *const *in, const conform_attributes *a)
{
    return weft_transpose(in[0], a->dim, a->rank);
}

/* Weft drops the dimension; where the case keeps it, the result gets it back. */
static weft_tensor *conform_kept(weft_tensor *x, weft_tensor *y, const conform_attributes *a)
{
    int64_t shape[WEFT_MAX_RANK];
    int rank = weft_rank_of(x);
    if (!a->keepdim || !y)
        return y;
    for (int d = 0; d < rank; d++)
        shape[d] = d == (a->dim < 0 ? a->dim + rank : a->dim) ? 1 : weft_dim(x, d);
    return weft_reshape(y, rank, shape);
}
static weft_tensor *conform_sum_op(weft_tensor *const *in, const conform_attributes *a)
{
    return conform_kept(in[0], weft_sum(in[0], a->dim), a);
}
static weft_tensor *conform_mean_op(weft_tensor *const *in, const conform_attributes *a)
{
    return conform_kept(in[0], weft_mean(in[0], a->dim), a);
}
static weft_tensor *conform_softmax(weft_tensor *const *in, const conform_attributes *a)
{
    (void)a;
    return weft_softmax(in[0]);
}
static weft_tensor *conform_cross_entropy(weft_tensor *const *in, const conform_attributes *a)
{
    (void)a;
    return weft_cross_entropy(in[0], in[1]);
}
static weft_tensor *conform_cross_entropy_sum(weft_tensor *const *in, const conform_attributes *a)
{
    (void)a;
    return weft_cross_entropy_sum(in[0], in[1]);
}
/* There and back, so that the result keeps the type of the table's other rows. */
static weft_tensor *conform_cast(weft_tensor *const *in, const conform_attributes *a)
{
    (void)a;
    bool single = weft_is_valid(in[0]) && weft_dtype_of(in[0]) == WEFT_F32;
    weft_tensor *y = weft_cast(in[0], WEFT_F64);
    return single ? weft_cast(y, WEFT_F32) : y;
}
static weft_tensor *conform_count_correct(weft_tensor *const *in, const conform_attributes *a)
{
    (void)a;
    return weft_count_correct(in[0], in[1]);
}

static const conform_row conform_ops[] = {
    {.name = "add",
     .says = "add",
     .golden = "add",
     .apply = conform_add,
     .inputs = 2,
     .least = 2,
     .gradient = true,
     .tol = CONFORM_TOL,
     .good = {{{S2(5, 3), S2(5, 3)}, {0}},
              {{S3(2, 1, 4), S2(3, 1)}, {0}},
              {{S1(1), S2(3, 4)}, {0}},
              {{S2(0, 4), S1(4)}, {0}},
              {{S2(1, 1), S1(1)}, {0}}},
     .bad = {{S2(3, 4), S2(3, 3)}, {0}}},
    {.name = "mul",
     .says = "mul",
     .golden = "mul",
     .apply = conform_mul,
     .inputs = 2,
     .least = 2,
     .gradient = true,
     .tol = CONFORM_TOL,
     .good = {{{S2(5, 3), S2(5, 3)}, {0}},
              {{S3(2, 1, 4), S2(3, 1)}, {0}},
              {{S1(1), S2(3, 4)}, {0}},
              {{S2(0, 4), S1(4)}, {0}},
              {{S2(1, 1), S1(1)}, {0}}},
     .bad = {{S2(3, 4), S2(2, 4)}, {0}}},
    {.name = "scale",
     .says = "scale",
     .golden = "scale",
     .apply = conform_scale,
     .inputs = 1,
     .least = 1,
     .gradient = true,
     .tol = CONFORM_TOL,
     .good = {{{S2(5, 3)}, {.alpha = -1.75}},
              {{S3(2, 3, 4)}, {.alpha = 0}},
              {{S2(0, 4)}, {.alpha = 2}},
              {{S2(1, 1)}, {.alpha = 3}}}},
    {.name = "matmul",
     .cast = WEFT_CAST_LOW,
     .says = "matmul",
     .golden = "matmul",
     .apply = conform_matmul,
     .inputs = 2,
     .least = 2,
     .gradient = true,
     .tol = CONFORM_TOL,
     .good = {{{S2(4, 3), S2(3, 5)}, {0}},
              {{S2(1, 1), S2(1, 1)}, {0}},
              {{S2(0, 3), S2(3, 5)}, {0}},
              {{S2(4, 0), S2(0, 5)}, {0}},
              {{S2(7, 1), S2(1, 9)}, {0}}},
     .bad = {{S2(3, 4), S2(3, 4)}, {0}}},
    {.name = "linear",
     .cast = WEFT_CAST_LOW,
     .says = "linear",
     .golden = "linear",
     .takes = conform_plain,
     .apply = conform_linear,
     .inputs = 3,
     .least = 2,
     .gradient = true,
     .tol = CONFORM_TOL,
     .good = {{{S2(4, 3), S2(5, 3), S1(5)}, {0}},
              {{S3(2, 3, 4), S2(2, 4), S1(2)}, {0}},
              {{S2(1, 1), S2(1, 1), S1(1)}, {0}},
              {{S2(0, 3), S2(5, 3), S1(5)}, {0}},
              {{S2(4, 0), S2(5, 0), S1(5)}, {0}}},
     .bad = {{S2(4, 3), S2(3, 5), S1(5)}, {0}}},
    {.name = "linear_relu",
     .cast = WEFT_CAST_LOW,
     .says = "linear",
     .golden = "linear",
     .takes = conform_relu,
     .apply = conform_linear_relu,
     .inputs = 3,
     .least = 2,
     .gradient = true,
     .tol = CONFORM_TOL,
     .good = {{{S2(4, 3), S2(5, 3), S1(5)}, {0}},
              {{S3(2, 3, 4), S2(2, 4), S1(2)}, {0}},
              {{S2(1, 1), S2(1, 1), S1(1)}, {0}},
              {{S2(0, 3), S2(5, 3), S1(5)}, {0}}},
     .bad = {{S2(4, 3), S2(5, 3), S1(4)}, {0}}},
    {.name = "linear_gelu_tanh",
     .cast = WEFT_CAST_LOW,
     .says = "linear",
     .golden = "linear_gelu_tanh",
     .file = "linear.h5",
     .apply = conform_linear_gelu_tanh,
     .inputs = 3,
     .least = 2,
     .gradient = true,
     .tol = CONFORM_TOL,
     .good = {{{S2(4, 3), S2(5, 3), S1(5)}, {0}},
              {{S3(2, 3, 4), S2(2, 4), S1(2)}, {0}},
              {{S2(1, 1), S2(1, 1), S1(1)}, {0}},
              {{S2(0, 3), S2(5, 3), S1(5)}, {0}},
              {{S2(4, 0), S2(5, 0), S1(5)}, {0}}},
     .bad = {{S2(4, 3), S2(5, 3), S1(4)}, {0}}},
    {.name = "mlp_gelu_tanh",
     .cast = WEFT_CAST_LOW,
     .says = "mlp",
     .apply = conform_mlp_gelu_tanh,
     .inputs = 5,
     .least = 3,
     .gradient = true,
     .tol = CONFORM_TOL,
     .good = {{{S2(4, 3), S2(5, 3), S2(2, 5), S1(5), S1(2)}, {0}},
              {{S3(2, 3, 4), S2(8, 4), S2(4, 8), S1(8), S1(4)}, {0}},
              {{S1(3), S2(6, 3), S2(1, 6), S1(6), S1(1)}, {0}},
              {{S2(1, 1), S2(1, 1), S2(1, 1), S1(1), S1(1)}, {0}},
              {{S2(0, 3), S2(5, 3), S2(2, 5), S1(5), S1(2)}, {0}},
              {{S2(4, 3), S2(0, 3), S2(2, 0), S1(0), S1(2)}, {0}}},
     .bad = {{S2(4, 3), S2(5, 3), S2(2, 3), S1(5), S1(2)}, {0}}},
    {.name = "relu",
     .says = "relu",
     .golden = "relu",
     .apply = conform_relu_op,
     .inputs = 1,
     .least = 1,
     .gradient = true,
     .tol = CONFORM_TOL,
     .good = {{{S2(5, 3)}, {0}}, {{S3(2, 3, 4)}, {0}}, {{S2(0, 4)}, {0}}, {{S2(1, 1)}, {0}}}},
#define UNARY_ROW(op, ...)                                                                         \
    {                                                                                              \
        .name = #op, .says = #op, .golden = #op, .file = "ops-unary.h5", .apply = conform_##op,    \
        .inputs = 1, .least = 1, .gradient = true, .tol = CONFORM_TOL,                             \
        .good = {{{S2(5, 3)}, {0}}, {{S3(2, 3, 4)}, {0}}, {{S2(0, 4)}, {0}}, {{S2(1, 1)}, {0}}},   \
        __VA_ARGS__                                                                                \
    }
#define BINARY_ROW(op, ...)                                                                        \
    {                                                                                              \
        .name = #op, .says = #op, .golden = #op, .file = "ops-binary.h5", .apply = conform_##op,   \
        .inputs = 2, .least = 2, .gradient = true, .tol = CONFORM_TOL,                             \
        .good = {{{S2(5, 3), S2(5, 3)}, {0}},                                                      \
                 {{S3(2, 1, 4), S2(3, 1)}, {0}},                                                   \
                 {{S1(1), S2(3, 4)}, {0}},                                                         \
                 {{S2(0, 4), S1(4)}, {0}},                                                         \
                 {{S2(1, 1), S1(1)}, {0}}},                                                        \
        .bad = {{S2(3, 4), S2(2, 4)}, {0}}, __VA_ARGS__                                            \
    }
    UNARY_ROW(neg, .positive = false),
    UNARY_ROW(abs, .positive = false),
    UNARY_ROW(exp, .cast = WEFT_CAST_F32, .positive = false),
    UNARY_ROW(ln, .cast = WEFT_CAST_F32, .positive = true),
    UNARY_ROW(sqrt, .positive = true),
    UNARY_ROW(sin, .positive = false),
    UNARY_ROW(cos, .positive = false),
    UNARY_ROW(sigmoid, .positive = false),
    UNARY_ROW(tanh, .positive = false),
    UNARY_ROW(silu, .positive = false),
    UNARY_ROW(gelu, .positive = false),
    UNARY_ROW(gelu_tanh, .positive = false),
    UNARY_ROW(log_softmax, .cast = WEFT_CAST_F32, .bad = {{S0}, {0}}),
    {.name = "pow_scalar",
     .cast = WEFT_CAST_F32,
     .says = "pow_scalar",
     .golden = "pow_scalar",
     .file = "ops-unary.h5",
     .apply = conform_pow_scalar,
     .inputs = 1,
     .least = 1,
     .positive = true,
     .gradient = true,
     .tol = CONFORM_TOL,
     .good = {{{S2(5, 3)}, {.alpha = 2}},
              {{S3(2, 3, 4)}, {.alpha = -1.5}},
              {{S2(0, 4)}, {.alpha = 2}},
              {{S2(1, 1)}, {.alpha = 0}}}},
    {.name = "clamp",
     .says = "clamp",
     .golden = "clamp",
     .file = "ops-unary.h5",
     .apply = conform_clamp,
     .inputs = 1,
     .least = 1,
     .gradient = true,
     .tol = CONFORM_TOL,
     .good = {{{S2(5, 3)}, {.alpha = -1, .beta = 0.5}},
              {{S3(2, 3, 4)}, {.alpha = 0, .beta = INFINITY}},
              {{S2(0, 4)}, {.alpha = -INFINITY, .beta = 0}},
              {{S2(1, 1)}, {.alpha = 1, .beta = -1}}}},
    BINARY_ROW(sub, .positive = false),
    BINARY_ROW(div, .positive = true),
    BINARY_ROW(pow, .cast = WEFT_CAST_F32, .positive = true),
    BINARY_ROW(maximum, .positive = false),
    BINARY_ROW(minimum, .positive = false),
    {.name = "where",
     .says = "where",
     .golden = "where",
     .file = "ops-binary.h5",
     .apply = conform_where,
     .inputs = 3,
     .least = 3,
     .labels = true,
     .any_dtype = true,
     .gradient = true,
     .tol = CONFORM_TOL,
     .good = {{{S2(5, 3), S2(5, 3), S2(5, 3)}, {0}},
              {{S3(2, 1, 4), S2(3, 1), S1(4)}, {0}},
              {{S1(2), S2(3, 1), S2(1, 2)}, {0}},
              {{S2(0, 4), S1(4), S1(1)}, {0}},
              {{S2(1, 1), S1(1), S1(1)}, {0}}},
     .bad = {{S2(3, 4), S1(4), S1(3)}, {0}}},
    {.name = "matmul_batch",
     .cast = WEFT_CAST_LOW,
     .says = "matmul",
     .golden = "matmul",
     .file = "ops-shapes.h5",
     .apply = conform_matmul,
     .inputs = 2,
     .least = 2,
     .gradient = true,
     .tol = CONFORM_TOL,
     .good = {{{S3(2, 4, 3), S3(2, 3, 5)}, {0}},
              {{S4(2, 1, 3, 2), S3(3, 2, 4)}, {0}},
              {{S3(2, 4, 3), S2(3, 5)}, {0}},
              {{S1(3), S3(2, 3, 5)}, {0}},
              {{S3(2, 4, 0), S3(1, 0, 5)}, {0}},
              {{S3(3, 2, 4), S1(4)}, {0}}},
     .bad = {{S3(2, 4, 3), S3(3, 3, 5)}, {0}}},
    {.name = "max",
     .says = "max",
     .golden = "max",
     .file = "ops-shapes.h5",
     .apply = conform_max,
     .inputs = 1,
     .least = 1,
     .gradient = true,
     .tol = CONFORM_TOL,
     .good = {{{S2(5, 3)}, {.dim = WEFT_ALL}},
              {{S3(2, 3, 4)}, {.dim = 1}},
              {{S3(2, 3, 4)}, {.dim = -1}},
              {{S2(0, 4)}, {.dim = 1}},
              {{S2(1, 1)}, {.dim = 0}}},
     .bad = {{S2(0, 4)}, {.dim = 0}}},
    {.name = "min",
     .says = "min",
     .golden = "min",
     .file = "ops-shapes.h5",
     .apply = conform_min,
     .inputs = 1,
     .least = 1,
     .gradient = true,
     .tol = CONFORM_TOL,
     .good = {{{S2(5, 3)}, {.dim = WEFT_ALL}},
              {{S3(2, 3, 4)}, {.dim = 1}},
              {{S3(2, 3, 4)}, {.dim = -1}},
              {{S2(0, 4)}, {.dim = 1}},
              {{S2(1, 1)}, {.dim = 0}}},
     .bad = {{S2(0, 4)}, {.dim = 0}}},
    {.name = "gather",
     .says = "gather",
     .golden = "gather",
     .file = "ops-shapes.h5",
     .apply = conform_gather,
     .inputs = 2,
     .least = 2,
     .labels = true,
     .gradient = true,
     .tol = CONFORM_TOL,
     .good = {{{S2(5, 3), S2(4, 3)}, {.dim = 0}},
              {{S2(5, 3), S2(5, 7)}, {.dim = -1}},
              {{S3(3, 4, 2), S3(2, 6, 2)}, {.dim = 1}},
              {{S2(5, 3), S2(0, 3)}, {.dim = 0}},
              {{S2(1, 1), S2(1, 1)}, {.dim = 0}}},
     .bad = {{S2(5, 3), S2(6, 3)}, {.dim = 1}}},
    {.name = "slice",
     .says = "slice",
     .golden = "slice",
     .file = "ops-shapes.h5",
     .apply = conform_slice,
     .inputs = 1,
     .least = 1,
     .any_dtype = true,
     .gradient = true,
     .tol = CONFORM_TOL,
     .good = {{{S2(5, 3)}, {.dim = 0, .shape = {1, 4, 1}}},
              {{S3(2, 3, 4)}, {.dim = -1, .shape = {0, INT64_MAX, 2}}},
              {{S3(2, 3, 4)}, {.dim = 1, .shape = {-2, -1, 1}}},
              {{S2(5, 3)}, {.dim = 0, .shape = {3, 3, 1}}},
              {{S2(0, 4)}, {.dim = 1, .shape = {1, 3, 1}}},
              {{S2(1, 1)}, {.dim = 0, .shape = {0, 1, 5}}}},
     .bad = {{S2(5, 3)}, {.dim = 2, .shape = {0, 1, 1}}}},
    {.name = "concat",
     .says = "concat",
     .golden = "concat",
     .file = "ops-shapes.h5",
     .apply = conform_concat,
     .inputs = 3,
     .least = 2,
     .any_dtype = true,
     .gradient = true,
     .tol = CONFORM_TOL,
     .good = {{{S2(5, 3), S2(1, 3), S2(2, 3)}, {.dim = 0}},
              {{S3(2, 3, 4), S3(2, 1, 4), S3(2, 3, 4)}, {.dim = 1}},
              {{S2(2, 3), S2(2, 0), S2(2, 1)}, {.dim = -1}},
              {{S2(0, 3), S2(0, 3), S2(0, 3)}, {.dim = 0}},
              {{S1(1), S1(1), S1(1)}, {.dim = 0}}},
     .bad = {{S2(5, 3), S2(5, 4), S2(5, 3)}, {.dim = 0}}},
    {.name = "permute",
     .says = "permute",
     .golden = "permute",
     .file = "ops-shapes.h5",
     .apply = conform_permute,
     .inputs = 1,
     .least = 1,
     .any_dtype = true,
     .gradient = true,
     .tol = CONFORM_TOL,
     .good = {{{S2(5, 3)}, {.rank = 2, .shape = {1, 0}}},
              {{S3(2, 3, 4)}, {.rank = 3, .shape = {2, 0, -2}}},
              {{S4(2, 3, 4, 2)}, {.rank = 4, .shape = {0, 2, 1, 3}}},
              {{S2(0, 4)}, {.rank = 2, .shape = {1, 0}}},
              {{S1(1)}, {.rank = 1, .shape = {0}}}},
     .bad = {{S2(4, 3)}, {.rank = 2, .shape = {1, -1}}}},
    {.name = "squeeze",
     .says = "squeeze",
     .apply = conform_squeeze,
     .inputs = 1,
     .least = 1,
     .any_dtype = true,
     .gradient = true,
     .tol = CONFORM_TOL,
     .good = {{{S2(5, 1)}, {.dim = 1}}, {{S3(2, 1, 4)}, {.dim = -2}}, {{S1(1)}, {.dim = 0}}},
     .bad = {{S2(4, 3)}, {.dim = 1}}},
    {.name = "unsqueeze",
     .says = "unsqueeze",
     .apply = conform_unsqueeze,
     .inputs = 1,
     .least = 1,
     .any_dtype = true,
     .gradient = true,
     .tol = CONFORM_TOL,
     .good = {{{S2(5, 3)}, {.dim = 2}},
              {{S3(2, 3, 4)}, {.dim = 0}},
              {{S3(2, 3, 4)}, {.dim = -2}},
              {{S2(0, 4)}, {.dim = -1}}},
     .bad = {{S2(4, 3)}, {.dim = 3}}},
    {.name = "reshape",
     .says = "reshape",
     .golden = "reshape",
     .apply = conform_reshape,
     .inputs = 1,
     .least = 1,
     .any_dtype = true,
     .gradient = true,
     .tol = CONFORM_TOL,
     .good = {{{S2(4, 3)}, {.rank = 2, .shape = {2, 6}}},
              {{S3(2, 3, 4)}, {.rank = 1, .shape = {-1}}},
              {{S2(0, 4)}, {.rank = 3, .shape = {2, 0, 5}}},
              {{S2(1, 1)}, {.rank = 0}}},
     .bad = {{S2(4, 3)}, {.rank = 2, .shape = {5, -1}}}},
    {.name = "transpose",
     .says = "transpose",
     .apply = conform_transpose,
     .inputs = 1,
     .least = 1,
     .any_dtype = true,
     .gradient = true,
     .tol = CONFORM_TOL,
     .good = {{{S2(4, 3)}, {.dim = 0, .rank = 1}},
              {{S3(2, 3, 4)}, {.dim = -1, .rank = 0}},
              {{S3(2, 3, 4)}, {.dim = 1, .rank = 1}},
              {{S2(0, 4)}, {.dim = 0, .rank = -1}},
              {{S2(1, 1)}, {.dim = 0, .rank = 1}}},
     .bad = {{S2(4, 3)}, {.dim = 0, .rank = 2}}},
    {.name = "sum",
     .cast = WEFT_CAST_F32,
     .says = "sum",
     .golden = "sum",
     .apply = conform_sum_op,
     .inputs = 1,
     .least = 1,
     .gradient = true,
     .tol = CONFORM_TOL,
     .good = {{{S2(5, 3)}, {.dim = WEFT_ALL}},
              {{S3(2, 3, 4)}, {.dim = 1}},
              {{S3(2, 3, 4)}, {.dim = -1}},
              {{S2(0, 4)}, {.dim = 0}},
              {{S2(0, 4)}, {.dim = 1}},
              {{S2(1, 1)}, {.dim = WEFT_ALL}}},
     .bad = {{S2(4, 3)}, {.dim = 2}}},
    {.name = "mean",
     .cast = WEFT_CAST_F32,
     .says = "mean",
     .golden = "mean",
     .apply = conform_mean_op,
     .inputs = 1,
     .least = 1,
     .gradient = true,
     .tol = CONFORM_TOL,
     .good = {{{S2(5, 3)}, {.dim = WEFT_ALL}},
              {{S3(2, 3, 4)}, {.dim = 1}},
              {{S3(2, 3, 4)}, {.dim = 0}},
              {{S2(0, 4)}, {.dim = 1}},
              {{S2(1, 1)}, {.dim = -1}}},
     .bad = {{S2(4, 3)}, {.dim = -3}}},
    {.name = "softmax",
     .cast = WEFT_CAST_F32,
     .says = "softmax",
     .golden = "softmax",
     .apply = conform_softmax,
     .inputs = 1,
     .least = 1,
     .gradient = true,
     .tol = CONFORM_TOL,
     .good = {{{S2(5, 3)}, {0}},
              {{S3(2, 3, 4)}, {0}},
              {{S2(0, 4)}, {0}},
              {{S2(4, 0)}, {0}},
              {{S2(1, 1)}, {0}}},
     .bad = {{S0}, {0}}},
    {.name = "cross_entropy",
     .cast = WEFT_CAST_F32,
     .says = "cross_entropy",
     .golden = "cross_entropy",
     .takes = conform_mean,
     .apply = conform_cross_entropy,
     .inputs = 2,
     .least = 2,
     .labels = true,
     .gradient = true,
     .tol = CONFORM_TOL,
     .good = {{{S2(5, 3), S1(5)}, {0}}, {{S2(2, 10), S1(2)}, {0}}, {{S2(1, 1), S1(1)}, {0}}},
     .bad = {{S2(5, 3), S1(3)}, {0}}},
    {.name = "cross_entropy_sum",
     .cast = WEFT_CAST_F32,
     .says = "cross_entropy",
     .golden = "cross_entropy",
     .takes = conform_sum,
     .apply = conform_cross_entropy_sum,
     .inputs = 2,
     .least = 2,
     .labels = true,
     .gradient = true,
     .tol = CONFORM_TOL,
     .good = {{{S2(5, 3), S1(5)}, {0}}, {{S2(0, 3), S1(0)}, {0}}, {{S2(1, 1), S1(1)}, {0}}},
     .bad = {{S1(5), S1(5)}, {0}}},
    {.name = "cast",
     .says = "cast",
     .apply = conform_cast,
     .inputs = 1,
     .least = 1,
     .any_dtype = true,
     .gradient = true,
     .tol = CONFORM_TOL,
     .good = {{{S2(5, 3)}, {0}}, {{S2(0, 4)}, {0}}, {{S2(1, 1)}, {0}}}},
    {.name = "count_correct",
     .cast = WEFT_CAST_F32,
     .says = "count_correct",
     .apply = conform_count_correct,
     .inputs = 2,
     .least = 2,
     .labels = true,
     .tol = CONFORM_TOL,
     .good = {{{S2(5, 3), S1(5)}, {0}}, {{S2(0, 3), S1(0)}, {0}}, {{S2(1, 1), S1(1)}, {0}}},
     .bad = {{S2(5, 3), S1(4)}, {0}}},
};
#define CONFORM_OPS ((int)(sizeof conform_ops / sizeof conform_ops[0]))
#endif
