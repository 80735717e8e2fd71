/* The names of everything on disk. What is parsed is made again and compared: one spelling only. */
#include "checkpoint/names.h"

#include "core/error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

weft_status weft__save_id(char id[WEFT__ID])
{
    uint64_t r;
    if (getrandom(&r, sizeof r, 0) != sizeof r)
        return weft__fail_errno(WEFT_EIO, "cannot draw a random id for the checkpoint");
    snprintf(id, WEFT__ID, "%016llx", (unsigned long long)r);
    return WEFT_OK;
}

bool weft__is_id(const char *id)
{
    return strlen(id) == WEFT__ID - 1 && strspn(id, "0123456789abcdef") == WEFT__ID - 1;
}

void weft__step_name(char name[WEFT__NAME], int64_t step)
{
    snprintf(name, WEFT__NAME, "step-%06lld", (long long)step);
}

int64_t weft__step_of(const char *name)
{
    char again[WEFT__NAME];
    if (strncmp(name, "step-", 5) != 0 || strlen(name) > 24)
        return -1;
    int64_t step = strtoll(name + 5, NULL, 10);
    weft__step_name(again, step);
    return step >= 0 && strcmp(again, name) == 0 ? step : -1;
}

void weft__shard_name(char name[WEFT__NAME], const char *id, int rank)
{
    snprintf(name, WEFT__NAME, "shard-%.16s-%05d.h5", id, rank);
}

void weft__aside_name(char name[WEFT__NAME], const char *base, const char *kind, const char *id)
{
    snprintf(name, WEFT__NAME, "%.48s.%.8s-%.16s", base, kind, id);
}

bool weft__is_temporary(const char *name)
{
    char base[WEFT__NAME];
    const char *mark = strstr(name, ".tmp-");
    if (!mark || mark - name >= WEFT__NAME || !weft__is_id(mark + 5))
        return false;
    snprintf(base, sizeof base, "%.*s", (int)(mark - name), name);
    return strcmp(base, WEFT__LATEST) == 0 || weft__step_of(base) >= 0;
}

static bool is_shard(const char *name)
{
    char again[WEFT__NAME], id[WEFT__ID];
    if (strncmp(name, "shard-", 6) != 0 || strlen(name) < 23 || name[22] != '-')
        return false;
    snprintf(id, sizeof id, "%.16s", name + 6);
    weft__shard_name(again, id, atoi(name + 23));
    return weft__is_id(id) && strcmp(again, name) == 0;
}

bool weft__is_content(const char *name)
{
    return strcmp(name, WEFT__INDEX) == 0 || strcmp(name, WEFT__MANIFEST) == 0 || is_shard(name);
}
