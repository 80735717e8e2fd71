/* The state visitor's scopes and common items. */
#include "core/error.h"

#include <stdio.h>
#include <string.h>
#include <weft/sys/state.h>

weft_status weft_state_enter(weft_visitor *v, const char *name)
{
    if (!v || !name)
        return weft__fail(WEFT_EARG, "weft_state_enter: the %s is NULL", v ? "name" : "visitor");
    size_t used = strlen(v->scope);
    if (used + strlen(name) + 2 > sizeof v->scope)
        return weft__fail(WEFT_EARG, "state: the name %s%s is longer than %zu bytes", v->scope,
                          name, sizeof v->scope);
    snprintf(v->scope + used, sizeof v->scope - used, "%s/", name);
    return WEFT_OK;
}

void weft_state_leave(weft_visitor *v)
{
    size_t n = v ? strlen(v->scope) : 0;
    if (n == 0)
        return;
    v->scope[n - 1] = '\0';
    char *slash = strrchr(v->scope, '/');
    *(slash ? slash + 1 : v->scope) = '\0';
}

static weft_status say(weft_visitor *v, const weft_state_item *item, const void *at)
{
    if (v && item->name && at)
        return v->item(v, item);
    return weft__fail(WEFT_EARG, "state: item %s: the %s is NULL", item->name ? item->name : "?",
                      !v           ? "visitor"
                      : item->name ? "address"
                                   : "name");
}

weft_status weft_state_i64(weft_visitor *v, const char *name, int64_t *value)
{
    const weft_state_item item = {.name = name,
                                  .kind = WEFT_STATE_I64,
                                  .placement = WEFT_ROOT,
                                  .dtype = WEFT_I64,
                                  .values = value,
                                  .count = 1};
    return say(v, &item, value);
}

weft_status weft_state_f64(weft_visitor *v, const char *name, double *value)
{
    const weft_state_item item = {.name = name,
                                  .kind = WEFT_STATE_F64,
                                  .placement = WEFT_ROOT,
                                  .dtype = WEFT_F64,
                                  .values = value,
                                  .count = 1};
    return say(v, &item, value);
}

weft_status weft_state_text(weft_visitor *v, const char *name, char *text, size_t capacity)
{
    const weft_state_item item = {.name = name,
                                  .kind = WEFT_STATE_TEXT,
                                  .placement = WEFT_ROOT,
                                  .text = text,
                                  .capacity = capacity};
    return say(v, &item, text);
}
