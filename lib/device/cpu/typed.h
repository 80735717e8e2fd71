/* Reads the file CPU_FAMILY for each set of vector instructions and each type in memory, T, with N(name) a
 * name for it. Arithmetic is in C, whose functions are M(name), and OF(name) is what there is of C whatever
 * the vectors: LOAD(x) is an element in C and STORE(v) what C's v is in memory, rounded once
 * (of 16 bits CHANCE(v, half), too: rounded at random; and WIDEN(y, x, n) and NARROW(y, x, n), n of them in the
 * processor's best way, whatever the set). With CPU_I64
 * also for i64, with CPU_LOW for bf16 and f16, whose C is f32; functions of C are there by then:
 * #ifndef LOW. VECTOR is the size of a vector in bytes; FIRST is there while the plain set is read. No guard: one use per family.
 *
 * AVX2 and AVX-512 give the same bits: products and sums are fused where the source says so alone
 * (-ffp-contract=off; FUSES, math.h), and sums are formed in a number of lanes that the set does not
 * change. The plain set has no FMA, so that what goes by way of exp differs there by rounding. */
#ifdef CPU_LOW
#include "device/cpu/half.h"
#endif
#define FIRST
#define SET plain
#define VECTOR 16
#include "device/cpu/types.h"
#undef FIRST
#undef SET
#undef VECTOR

#if CPU_SETS > 1
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif
#define SET avx2
#define VECTOR 32
#define FUSES
#include "device/cpu/types.h"
#undef SET
#undef VECTOR
#ifdef __clang__
#pragma clang attribute pop
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,fma"))),    \
                             apply_to = function)
#else
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,fma,prefer-vector-width=512")
#endif
#define SET avx512
#define VECTOR 64
#include "device/cpu/types.h"
#undef SET
#undef VECTOR
#undef FUSES
#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif
