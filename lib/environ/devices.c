/* The words of `devices`, Fabric's: "auto"; "3", three devices; "-1", all; "2," and "0,1" and "[0,1]",
 * the devices with these ids. */
#include "environ/environ.h"

#include "core/env.h"
#include "core/error.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define MOST 65535

static weft_status wrong(const char *text, const char *why)
{
    return weft__fail(WEFT_EARG,
                      "devices is \"%.60s\", %s; it takes auto, a whole number of devices, -1 for "
                      "all, or ids as in \"0,1\" or \"2,\"",
                      text, why);
}

/* One id, with blanks around it. */
static weft_status add_id(weft__devices *d, const char *text, const char *item, size_t length)
{
    char number[16];
    int64_t id;
    while (length && isspace((unsigned char)*item))
        item++, length--;
    while (length && isspace((unsigned char)item[length - 1]))
        length--;
    snprintf(number, sizeof number, "%.*s", (int)(length < 15 ? length : 15), item);
    if (weft__parse_int("id", number, 0, MOST, &id))
        return wrong(text, "which has an id that is no number from 0 up");
    for (int i = 0; i < d->n; i++)
        if (d->id[i] == id)
            return wrong(text, "which has an id twice");
    if (d->n == WEFT__DEVICE_IDS)
        return wrong(text, "which has too many ids");
    d->id[d->n++] = (int)id;
    return WEFT_OK;
}

/* Empty items do not count, so that "2," is a list of one. */
static weft_status read_list(weft__devices *d, const char *text, const char *list, size_t length)
{
    d->kind = WEFT__DEVICES_IDS;
    for (size_t at = 0; at < length;) {
        const char *comma = memchr(list + at, ',', length - at);
        size_t n = comma ? (size_t)(comma - list) - at : length - at;
        if (n)
            WEFT_TRY(add_id(d, text, list + at, n));
        at += n + 1;
    }
    return d->n ? WEFT_OK : wrong(text, "a list without an id");
}

weft_status weft__devices_read(weft__devices *d, const char *text)
{
    size_t length = strlen(text);
    int64_t n;
    *d = (weft__devices){.kind = WEFT__DEVICES_AUTO};
    if (strcasecmp(text, "auto") == 0)
        return WEFT_OK;
    if (length >= 2 && text[0] == '[' && text[length - 1] == ']')
        return read_list(d, text, text + 1, length - 2);
    if (strchr(text, ','))
        return read_list(d, text, text, length);
    if (weft__parse_int("devices", text, -1, MOST, &n))
        return wrong(text, "which is none of these");
    if (n == 0)
        return wrong(text, "which leaves none to compute");
    d->kind = n < 0 ? WEFT__DEVICES_ALL : WEFT__DEVICES_COUNT;
    d->n = n < 0 ? 0 : (int)n;
    return WEFT_OK;
}

weft_status weft__devices_of_host(const char *accelerator, const char *text, int *n)
{
    weft__devices d;
    const char *why = "";
    weft_status s = weft__devices_read(&d, text);
    *n = d.n;
    if (s == WEFT_OK && (d.kind == WEFT__DEVICES_AUTO || d.kind == WEFT__DEVICES_COUNT))
        return s;
    if (s == WEFT_OK)
        why = d.kind == WEFT__DEVICES_ALL ? ", all devices there are" : ", a list of ids";
    return weft__fail(WEFT_EARG,
                      "devices is \"%.60s\"%s; with accelerator %s it takes auto or a whole number "
                      "of processes a node from 1 to %d",
                      text, why, accelerator, MOST);
}

weft_status weft__devices_of_node(const char *accelerator, const char *text, int count,
                                  weft__devices *d)
{
    WEFT_TRY(weft__devices_read(d, text ? text : "auto"));
    if (d->kind == WEFT__DEVICES_AUTO || d->kind == WEFT__DEVICES_ALL)
        d->n = count;
    for (int i = 0; i < d->n && d->kind != WEFT__DEVICES_IDS && i < count; i++)
        d->id[i] = i;
    if (d->kind == WEFT__DEVICES_COUNT && d->n > count)
        return weft__fail(WEFT_EARG, "devices is \"%.60s\", but this node has %d %s device%s", text,
                          count, accelerator, count > 1 ? "s" : "");
    for (int i = 0; i < d->n; i++)
        if (d->id[i] >= count)
            return weft__fail(WEFT_EARG,
                              "devices is \"%.60s\", but this node has no %s device %d; it has %d, "
                              "numbered from 0",
                              text, accelerator, d->id[i], count);
    return WEFT_OK;
}

weft_status weft__devices_index(const char *accelerator, const weft__devices *d, int local_rank,
                                int local_size, bool share, int *index)
{
    if (local_size > d->n && !share)
        return weft__fail(WEFT_ECONFIG,
                          "%d ranks on this node have %d %s device%s: start one a device, or let "
                          "them share with share_devices=true",
                          local_size, d->n, accelerator, d->n > 1 ? "s" : "");
    *index = d->id[local_rank % d->n];
    return WEFT_OK;
}
