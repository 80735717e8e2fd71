#include "device/cpu/amx.h"

#if CPU_HAS_AMX
#include "core/process.h"

#include <cpuid.h>
#include <immintrin.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Linux, Documentation/arch/x86/xstate.rst: the state that tiles hold must be asked for. */
#define REQUEST_PERMISSION 0x1023
#define TILE_DATA 18

/* Intel SDM 2A, CPUID: leaf 7, EDX bit 22 AMX-BF16 and 24 AMX-TILE; its subleaf 1, EAX bit 5 AVX512_BF16. */
static bool processor_has(void)
{
    unsigned a, b, c, d, e;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !__get_cpuid_count(7, 1, &e, &b, &c, &b))
        return false;
    return (d >> 22 & 1) && (d >> 24 & 1) && (e >> 5 & 1) && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
}

bool weft__cpu_amx(void)
{
    int known = atomic_load_explicit(&weft__process.amx, memory_order_relaxed);
    if (!known) { /* to ask twice does no harm */
        const bool may =
            processor_has() && syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
        known = may ? 1 : -1;
        atomic_store_explicit(&weft__process.amx, known, memory_order_relaxed);
    }
    return known > 0;
}

AMX_TARGET void weft__amx_begin(void)
{
    static const struct {
        uint8_t palette, start, none[14];
        uint16_t bytes[16]; /* of a row of each tile, */
        uint8_t rows[16];
    } layout = {.palette = 1,
                .bytes = {64, 64, 64, 64, 64, 64, 64, 64},
                .rows = {16, 16, 16, 16, 16, 16, 16, 16}};
    _tile_loadconfig(&layout);
}

AMX_TARGET void weft__amx_end(void)
{
    _tile_release();
}
#else
bool weft__cpu_amx(void)
{
    return false;
}
#endif
