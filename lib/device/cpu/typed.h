/* Reads the file CPU_FAMILY for each type in memory, T, with N(name) a name for it. Arithmetic is in C,
 * whose functions are M(name): LOAD(x) is an element in C and STORE(v) what C's v is in memory, rounded
 * once. With CPU_I64 also for i64, with CPU_LOW for bf16 and f16, whose C is f32; functions of C are there by then: #ifndef
 * LOW. No guard: one use per family. */
#define LOAD(x) (x)
#define STORE(v) (v)
#define T float
#define C float
#define N(name) name##_f32
#define M(name) name##_f32
#include CPU_FAMILY
#undef T
#undef C
#undef N
#undef M
#define T double
#define C double
#define N(name) name##_f64
#define M(name) name##_f64
#include CPU_FAMILY
#undef T
#undef C
#undef N
#undef M
#ifdef CPU_I64
#define T int64_t
#define C int64_t
#define N(name) name##_i64
#define M(name) name##_i64
#include CPU_FAMILY
#undef T
#undef C
#undef N
#undef M
#endif
#undef LOAD
#undef STORE
#ifdef CPU_LOW
#include "device/cpu/half.h"
#define LOW
#define T uint16_t
#define C float
#define M(name) name##_f32
#define LOAD(x) half_wide_bf16(x)
#define STORE(v) half_low_bf16(v)
#define N(name) name##_bf16
#include CPU_FAMILY
#undef LOAD
#undef STORE
#undef N
#define LOAD(x) half_wide_f16(x)
#define STORE(v) half_low_f16(v)
#define N(name) name##_f16
#include CPU_FAMILY
#undef LOAD
#undef STORE
#undef T
#undef C
#undef N
#undef M
#undef LOW
#endif
