/* Finding cuBLASLt. */
#include "device/cuda/cublaslt.h"

#include <dlfcn.h>
#include <stdio.h>

#define WORD(x) #x
#define SONAME(major) "libcublasLt.so." WORD(major)

static bool find(weft__cublaslt *l, void *library)
{
    const char *lacks = NULL;
#define FIND(f)                                                                                    \
    if (!(*(void **)&l->f = dlsym(library, #f)))                                                   \
        lacks = #f;
    WEFT__CUBLASLT_FUNCTIONS(FIND)
#undef FIND
    if (lacks)
        snprintf(l->text, sizeof l->text, "%s has no %s", SONAME(CUBLAS_VER_MAJOR), lacks);
    return !lacks;
}

void weft__cublaslt_load(weft__cublaslt *l)
{
    void *library = dlopen(SONAME(CUBLAS_VER_MAJOR), RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        snprintf(l->text, sizeof l->text, "cuBLASLt cannot be loaded: %.100s", dlerror());
        return;
    }
    if (!find(l, library))
        return;
    const size_t v = l->cublasLtGetVersion();
    snprintf(l->text, sizeof l->text, "cuBLASLt %zu.%zu.%zu", v / 10000, v / 100 % 100, v % 100);
    l->there = true;
}
