/* Reads CPU_FAMILY for each type, with the vectors of one set: see typed.h. */
#define LOAD(x) (x)
#define STORE(v) (v)
#define T float
#define C float
#define OF(name) name##_f32
#define N(name) CPU_NAME(name##_f32, SET)
#define M(name) CPU_NAME(name##_f32, SET)
#include CPU_FAMILY
#undef T
#undef C
#undef OF
#undef N
#undef M
#define T double
#define C double
#define OF(name) name##_f64
#define N(name) CPU_NAME(name##_f64, SET)
#define M(name) CPU_NAME(name##_f64, SET)
#include CPU_FAMILY
#undef T
#undef C
#undef OF
#undef N
#undef M
#ifdef CPU_I64
#define T int64_t
#define C int64_t
#define OF(name) name##_i64
#define N(name) CPU_NAME(name##_i64, SET)
#define M(name) CPU_NAME(name##_i64, SET)
#include CPU_FAMILY
#undef T
#undef C
#undef OF
#undef N
#undef M
#endif
#undef LOAD
#undef STORE
#ifdef CPU_LOW
#define LOW
#define T uint16_t
#define C float
#define OF(name) name##_f32
#define M(name) CPU_NAME(name##_f32, SET)
#define LOAD(x) half_wide_bf16(x)
#define STORE(v) half_low_bf16(v)
#define CHANCE(v, half) half_chance_bf16(v, half)
#define WIDEN(y, x, n) weft__half_best()->wide_bf16(y, x, n)
#define NARROW(y, x, n) weft__half_best()->low_bf16(y, x, n)
#define N(name) CPU_NAME(name##_bf16, SET)
#include CPU_FAMILY
#undef LOAD
#undef STORE
#undef CHANCE
#undef WIDEN
#undef NARROW
#undef N
#define LOAD(x) half_wide_f16(x)
#define STORE(v) half_low_f16(v)
#define CHANCE(v, half) half_chance_f16(v, half)
#define WIDEN(y, x, n) weft__half_best()->wide_f16(y, x, n)
#define NARROW(y, x, n) weft__half_best()->low_f16(y, x, n)
#define N(name) CPU_NAME(name##_f16, SET)
#include CPU_FAMILY
#undef LOAD
#undef STORE
#undef CHANCE
#undef WIDEN
#undef NARROW
#undef T
#undef C
#undef OF
#undef N
#undef M
#undef LOW
#endif
