/* Which kernels BLIS computes with. BLIS knows processors by vendor and family; one that it does
 * not know gets the portable C kernels ("generic"), several times slower than those made for the
 * same instructions (up to 0.9: AMD families after 0x19, vendors other than Intel and AMD). Of
 * Intel's it reads the brand to learn whether AVX-512 has two units, and takes AVX2 where the brand
 * does not say, as in a virtual machine: half the speed. So it is told, before its first call, unless the user has said what to take. BLIS reads
 * BLIS_ARCH_TYPE once, and up to 0.9 as a number alone: any name reads as 0, which is skx. */
#include "core/env.h"
#include "core/process.h"
#include "device/cpu/brain.h"
#include "device/cpu/cpu.h"
#include "device/cpu/onednn.h"
#include "device/cpu/wide.h"

#include <blis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#define VARIABLE "BLIS_ARCH_TYPE"

/* BLIS's number of a kernel set, -1 if it does not know the name. */
static int number_of(const char *name)
{
    for (int i = 0; i < BLIS_NUM_ARCHS; i++)
        if (strcmp(bli_arch_string((arch_t)i), name) == 0)
            return i;
    return -1;
}

#if defined(__x86_64__) && defined(BLIS_CONFIG_SKX) && defined(BLIS_CONFIG_HASWELL)
/* True if BLIS is sure to choose well: it knows the processor, whatever the brand says. */
static bool known_processor(void)
{
    /* Xeons with two AVX-512 units in all of their brands: Ice Lake to Granite Rapids */
    static const unsigned char two_units[] = {0x6A, 0x6C, 0x8F, 0xCF, 0xAD, 0xAE};
    unsigned eax, ebx, ecx, edx, vendor;
    if (!__get_cpuid(0, &eax, &vendor, &ecx, &edx))
        return true;
    __get_cpuid(1, &eax, &ebx, &ecx, &edx);
    const unsigned family = (eax >> 8 & 15) + (eax >> 20 & 255);
    const unsigned model = (eax >> 4 & 15) + (eax >> 12 & 0xF0);
    if (vendor == signature_AMD_ebx)
        return family <= 0x19;
    return vendor == signature_INTEL_ebx &&
           !(family == 6 && memchr(two_units, (int)model, sizeof two_units));
}

/* The set to tell BLIS to take, or NULL: it chooses well itself. */
static const char *better_set(void)
{
    if (strstr(bli_info_get_version_str(), "AOCL") || number_of("zen4") >= 0 || known_processor())
        return NULL;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl"))
        return "skx";
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? "haswell" : NULL;
}
#else
static const char *better_set(void)
{
    return NULL;
}
#endif

/* The number to hand to BLIS; -1: none; -2 and a message: the user's value names no set, at which
 * BLIS would end the process. */
static int wanted(void)
{
    const char *text = weft__env_text(VARIABLE), *better;
    int64_t number;
    if (!text)
        return (better = better_set()) ? number_of(better) : -1;
    if (number_of(text) >= 0)
        return number_of(text);
    if (weft__parse_int(VARIABLE, text, -1, BLIS_NUM_ARCHS - 1, &number))
        return -2;
    return (int)number;
}

/* Starts BLIS with the environment changed for that moment alone. An empty variable counts as not
 * set, to BLIS too. */
static weft_status start(void)
{
    char text[16], *before = getenv(VARIABLE), *kept = before ? strdup(before) : NULL;
    const int number = wanted();
    if (number == -2)
        return free(kept), WEFT_ECONFIG;
    snprintf(text, sizeof text, "%d", number);
    if (number >= 0)
        setenv(VARIABLE, text, 1);
    else
        unsetenv(VARIABLE);
    bli_init();
    if (kept)
        setenv(VARIABLE, kept, 1);
    else
        unsetenv(VARIABLE);
    free(kept);
    return WEFT_OK;
}

weft_status weft__cpu_choose_kernels(void)
{
    weft_status s = WEFT_OK;
    weft__process_lock();
    if (!weft__process.kernels_chosen && !(s = start()))
        weft__process.kernels_chosen = 1;
    weft__process_unlock();
    return s;
}

const char *weft__cpu_kernel_set(weft_device *d)
{
    static _Thread_local char text[160];
    const char *low = weft__onednn_name(), *own = weft__cpu_wide_name();
    const char *brain = weft__cpu_brain_name();
    (void)d;
    snprintf(text, sizeof text, "BLIS %.20s %.20s%s%s%s%s%s%.60s", bli_info_get_version_str(),
             bli_arch_string(bli_arch_query_id()), own ? ", own f32 " : "", own ? own : "",
             brain ? ", own bf16 " : "", brain ? brain : "", low ? ", " : "", low ? low : "");
    return text;
}

const char *weft__cpu_lacks(weft_device *d, weft_dtype t)
{
    return t == WEFT_BF16 && weft__cpu_brain_name() ? NULL : weft__onednn_lacks(d, t);
}
