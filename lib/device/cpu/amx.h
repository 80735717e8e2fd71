/* AMX: products of tiles of 16 rows of 64 bytes, bf16 in and f32 out. A process asks the system for it once. */
#ifndef DEVICE_CPU_AMX_H
#define DEVICE_CPU_AMX_H
#include <stdbool.h>

#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__)
#define CPU_HAS_AMX 1
#define AMX_TARGET                                                                                 \
    __attribute__((target("avx512f,avx512dq,avx512bw,avx512vl,avx512bf16,fma,amx-tile,amx-bf16")))
#endif

/* Whether this process may use AMX for bf16, and AVX-512 with its conversions to bf16. */
bool weft__cpu_amx(void);
#if CPU_HAS_AMX
/* Eight tiles of this thread's, of 16 rows of 64 bytes, until the end. */
void weft__amx_begin(void);
void weft__amx_end(void);
#endif
#endif
