/* Finding NCCL when the first communicator opens, by the soname that its header is of, or as WEFT_NCCL says: a
 * file, or no. What is there stays until the process ends. */
#include "comm/nccl_self.h"
#include "core/env.h"
#include "core/error.h"

#include <dlfcn.h>
#include <string.h>

#define SONAME "libnccl.so.2"

weft_status weft__nccl_load(weft__nccl_api *out)
{
    const char *lacks = NULL, *name = weft__env_text("WEFT_NCCL");
    name = name ? name : SONAME;
    if (strcmp(name, "no") == 0)
        return weft__fail(WEFT_ENOTSUP, "WEFT_NCCL=no does without NCCL");
    void *library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return weft__fail(WEFT_ENOTSUP,
                          "NCCL cannot be loaded (%s); install it, or name its file in WEFT_NCCL",
                          dlerror());
#define FIND(f)                                                                                    \
    if (!(*(void **)&out->f = dlsym(library, #f)))                                                 \
        lacks = #f;
    WEFT__NCCL_FUNCTIONS(FIND)
#undef FIND
    return lacks
               ? weft__fail(WEFT_ENOTSUP, "%s has no %s; it takes NCCL 2.19 or newer", name, lacks)
               : WEFT_OK;
}
