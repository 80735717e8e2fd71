/* Finding oneDNN when it is first asked for: by the soname of the version that the header was of, since
 * structures differ between versions. WEFT_ONEDNN=no does without. What is there stays until the
 * process ends. */
#include "device/cpu/onednn.h"

#if HAVE_DNNL_H
#include "core/alloc.h"
#include "core/env.h"
#include "core/process.h"

#include <dlfcn.h>
#include <stdio.h>

#define WORD(x) #x
#define SONAME(major) "libdnnl.so." WORD(major)

static const char *isa_name(dnnl_cpu_isa_t isa)
{
    static const struct {
        dnnl_cpu_isa_t isa;
        const char *name;
    } table[] = {
        {dnnl_cpu_isa_avx512_core_amx, "avx512_core_amx"},
        {dnnl_cpu_isa_avx512_core_bf16, "avx512_core_bf16"},
        {dnnl_cpu_isa_avx512_core_vnni, "avx512_core_vnni"},
        {dnnl_cpu_isa_avx512_core, "avx512_core"},
        {dnnl_cpu_isa_avx2, "avx2"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if ((isa & table[i].isa) == table[i].isa)
            return table[i].name;
    return "sse41";
}

static bool find(weft__onednn *o, void *library)
{
    const char *lacks = NULL;
#define FIND(f)                                                                                    \
    if (!(*(void **)&o->f = dlsym(library, #f)))                                                   \
        lacks = #f;
    ONEDNN_FUNCTIONS(FIND)
#undef FIND
    if (lacks)
        snprintf(o->text, sizeof o->text, "%s has no %s", SONAME(DNNL_VERSION_MAJOR), lacks);
    return !lacks;
}

/* An older one lacks what the header promises; another major version has other structures. */
static bool same_version(weft__onednn *o, void *library)
{
    const dnnl_version_t *(*version)(void);
    if (!(*(void **)&version = dlsym(library, "dnnl_version"))) {
        snprintf(o->text, sizeof o->text, "%s is not oneDNN", SONAME(DNNL_VERSION_MAJOR));
        return false;
    }
    const dnnl_version_t *v = version();
    const bool good = v->major == DNNL_VERSION_MAJOR && v->minor >= DNNL_VERSION_MINOR;
    if (!good)
        snprintf(o->text, sizeof o->text, "oneDNN is %d.%d, and Weft was built for %d.%d", v->major,
                 v->minor, DNNL_VERSION_MAJOR, DNNL_VERSION_MINOR);
    return good;
}

static bool start(weft__onednn *o)
{
    const dnnl_version_t *v = o->dnnl_version();
    if (o->dnnl_engine_create(&o->engine, dnnl_cpu, 0)) {
        snprintf(o->text, sizeof o->text, "oneDNN does not start");
        return false;
    }
    snprintf(o->text, sizeof o->text, "oneDNN %d.%d.%d %s", v->major, v->minor, v->patch,
             isa_name(o->dnnl_get_effective_cpu_isa()));
    return true;
}

static void load(weft__onednn *o)
{
    const char *text = weft__env_text("WEFT_ONEDNN");
    bool wanted = true;
    if (text && (weft__parse_bool("WEFT_ONEDNN", text, &wanted) || !wanted)) {
        snprintf(o->text, sizeof o->text, "WEFT_ONEDNN=%.40s", text);
        return;
    }
    void *library = dlopen(SONAME(DNNL_VERSION_MAJOR), RTLD_NOW | RTLD_LOCAL);
    if (!library)
        snprintf(o->text, sizeof o->text, "oneDNN cannot be loaded: %s", dlerror());
    else
        o->there = same_version(o, library) && find(o, library) && start(o);
}

/* Under a lock: one that came too late would leave its engine behind. */
weft__onednn *weft__onednn_get(void)
{
    weft__onednn *o = atomic_load(&weft__process.onednn);
    if (o)
        return o;
    weft__process_lock();
    o = atomic_load(&weft__process.onednn);
    if (!o && (o = weft__new(1, sizeof *o))) {
        pthread_mutex_init(&o->lock, NULL);
        load(o);
        atomic_store(&weft__process.onednn, o);
    }
    weft__process_unlock();
    return o;
}

const char *weft__onednn_name(void)
{
    const weft__onednn *o = atomic_load(&weft__process.onednn);
    return o && o->there ? o->text : NULL;
}
#endif
