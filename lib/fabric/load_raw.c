/* Loading the parameters of one module, whatever else a checkpoint holds. */
#include "fabric/facade.h"
#include "nn/module.h"

#include <stdio.h>
#include <string.h>
#include <weft/checkpoint.h>

#define SCOPE 64 /* bytes of a module's name in a checkpoint, with the slash and the end */

typedef struct raw {
    weft_module *module;
    char scope[SCOPE];
} raw;

static weft_status state(void *self, weft_visitor *v)
{
    raw *r = self;
    WEFT_TRY(weft_state_enter(v, r->scope));
    WEFT_TRY(weft__module_plane_state(r->module, WEFT__PARAM, v));
    WEFT_TRY(weft__buffers_state(r->module, v));
    weft_state_leave(v);
    return WEFT_OK;
}

static weft_status check(weft_fabric *f, const char *checkpoint, weft_module *m, const char *from)
{
    if (!checkpoint || !*checkpoint)
        return weft__fail(WEFT_EARG, "weft_load_raw: the checkpoint is %s",
                          checkpoint ? "\"\"" : "NULL");
    if (!m || m->object.fabric != f || m->parent)
        return weft__fail(WEFT_EARG, "weft_load_raw: the module is %s",
                          !m          ? "NULL"
                          : m->parent ? "part of another: it takes the outermost"
                                      : "another fabric's");
    if (!*from || strlen(from) > SCOPE - 2)
        return weft__fail(WEFT_EARG,
                          "weft_load_raw: \"%.80s\" is no module of a checkpoint; the "
                          "first is \"model\"",
                          from);
    return weft__module_materialise(m);
}

static weft_status load(weft_fabric *f, const char *checkpoint, raw *r, bool lenient)
{
    char only[SCOPE + 1];
    int64_t step;
    weft__checkpoint c = f->facade->checkpoint;
    snprintf(only, sizeof only, "%s/", r->scope);
    c.state = state;
    c.self = r;
    c.only = only;
    c.lenient = lenient;
    return weft__checkpoint_load(&c, checkpoint, &step);
}

weft_status weft_load_raw(weft_fabric *f, const char *checkpoint, weft_module *m,
                          const weft_load_raw_options *o)
{
    static const weft_load_raw_options none;
    if (!weft__opened(f))
        return weft__stuck(f);
    o = o ? o : &none;
    const char *from = o->from ? o->from : "model";
    raw r = {.module = m};
    char text[2 * SCOPE];
    weft_status s = check(f, checkpoint, m, from);
    snprintf(text, sizeof text, "%.63s%s", from, o->not_strict ? ", not strict" : "");
    WEFT_TRY(weft__meet(f, s, "from of weft_load_raw", text));
    snprintf(r.scope, sizeof r.scope, "%s", from);
    s = load(f, checkpoint, &r, o->not_strict);
    if (s < 0) {
        weft__sticky_set(&f->error, s, weft__why());
        f->facade->agreed = s;
    }
    return s < 0 ? s : WEFT_OK;
}
