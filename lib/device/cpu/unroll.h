/* Before a loop of at most n turns, a constant, that must become straight code: compilers disagree. */
#ifndef DEVICE_CPU_UNROLL_H
#define DEVICE_CPU_UNROLL_H
#define CPU_PRAGMA(text) _Pragma(#text)
#if defined(__clang__)
#define CPU_UNROLL(n) CPU_PRAGMA(clang loop unroll(full))
#else
#define CPU_UNROLL(n) CPU_PRAGMA(GCC unroll n)
#endif
#endif
