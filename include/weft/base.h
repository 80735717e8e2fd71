/* What every header needs: export mark, option literals, handles. */
#ifndef WEFT_BASE_H
#define WEFT_BASE_H
#include <stddef.h>
#include <stdint.h>
#ifndef __cplusplus
#include <stdbool.h>
#endif

#if defined(__GNUC__)
#define WEFT_API __attribute__((visibility("default")))
#define WEFT_PRINTF(f, a) __attribute__((format(printf, f, a)))
#else
#define WEFT_API
#define WEFT_PRINTF(f, a)
#endif

/* Keyword arguments. WEFT_ADAM(.lr = 1e-3) is a pointer to an options struct whose other members
 * are zero, and zero means the default. It lives until the end of the enclosing block (C) or of
 * the full expression (C++). WEFT_OFF says "zero" or "off" where the default is something else. */
#ifdef __cplusplus
#define WEFT_INIT                                                                                  \
    {                                                                                              \
    }
#define WEFT__ARGS(T, ...) (T{__VA_ARGS__}).ptr()
#define WEFT_PTR(T)                                                                                \
    const T *ptr() const                                                                           \
    {                                                                                              \
        return this;                                                                               \
    }
#define WEFT_BEGIN extern "C" {
#define WEFT_END }
#else
#define WEFT_INIT
#define WEFT__ARGS(T, ...) (&(const T){__VA_ARGS__})
#define WEFT_PTR(T)
#define WEFT_BEGIN
#define WEFT_END
#endif

#define WEFT_OFF (-1)

/* The most dimensions a tensor may have. */
#define WEFT_MAX_RANK 8

WEFT_BEGIN

/* Handles. All are made from a fabric and die with weft_close(). A weft_tensor * is a token, never
 * an address: one that is no longer valid is recognised and refused (WEFT_EHANDLE). NULL in the
 * place of a handle gives WEFT_EARG, NULL, NAN, 0, false or "", and changes nothing. */
typedef struct weft_fabric weft_fabric;
typedef struct weft_tensor weft_tensor;
typedef struct weft_module weft_module;
typedef struct weft_optimizer weft_optimizer;
typedef struct weft_loader weft_loader;
typedef struct weft_logger weft_logger;
typedef struct weft_metric weft_metric;

/* Element types. The numbers are part of the file formats. */
typedef enum weft_dtype {
    WEFT_DEFAULT = 0, /* the fabric's: f64 under 64-true, else f32 */
    WEFT_F32 = 1,
    WEFT_F64 = 2,
    WEFT_F16 = 3,
    WEFT_BF16 = 4,
    WEFT_I32 = 5,
    WEFT_I64 = 6,
    WEFT_U8 = 7
} weft_dtype;

/* Bytes of one element, 0 for an unknown type. */
WEFT_API size_t weft_dtype_size(weft_dtype t);
/* "f32", "i64", ...; "?" for an unknown type. */
WEFT_API const char *weft_dtype_name(weft_dtype t);

WEFT_END
#endif
