/* Finding cuDNN. WEFT_CUDNN=no does without. */
#include "core/env.h"
#include "device/cuda/cudnn.h"

#include <dlfcn.h>
#include <stdio.h>

#define WORD(x) #x
#define SONAME(major) "libcudnn.so." WORD(major)
#define OLDEST 91600 /* the first whose gradient is right for any number of keys */

static bool find(weft__cudnn *l, void *library)
{
    const char *lacks = NULL;
#define FIND(f)                                                                                    \
    if (!(*(void **)&l->f = dlsym(library, #f)))                                                   \
        lacks = #f;
    WEFT__CUDNN_FUNCTIONS(FIND)
#undef FIND
    if (lacks)
        snprintf(l->text, sizeof l->text, "%s has no %s", SONAME(CUDNN_MAJOR), lacks);
    return !lacks;
}

void weft__cudnn_load(weft__cudnn *l)
{
    const char *text = weft__env_text("WEFT_CUDNN");
    bool wanted = true;
    if (text && (weft__parse_bool("WEFT_CUDNN", text, &wanted) || !wanted)) {
        snprintf(l->text, sizeof l->text, "WEFT_CUDNN=%.40s", text);
        return;
    }
    void *library = dlopen(SONAME(CUDNN_MAJOR), RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        snprintf(l->text, sizeof l->text, "cuDNN cannot be loaded: %.100s", dlerror());
        return;
    }
    if (!find(l, library))
        return;
    const size_t v = l->cudnnGetVersion();
    l->there = v >= OLDEST;
    snprintf(l->text, sizeof l->text, "cuDNN %zu.%zu.%zu%s", v / 10000, v / 100 % 100, v % 100,
             l->there ? "" : " is too old");
}
