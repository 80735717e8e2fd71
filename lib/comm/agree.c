/* Agreement: one verdict on all ranks, so that none returns from a collective call alone. */
#include "comm/comm.h"

#include "core/error.h"

#include <stdio.h>
#include <string.h>

/* The lowest rank that says yes, or the world's size if none does. */
static weft_status lowest(weft_comm *c, const char *name, bool yes, int *rank)
{
    int32_t r = yes ? c->rank : c->world;
    WEFT_TRY(weft__all_reduce(c, name, &r, 1, WEFT_I32, WEFT_REDUCE_MIN));
    *rank = r;
    return WEFT_OK;
}

weft_status weft__agree(weft_comm *c, const char *name, weft_status mine, const char *text)
{
    struct {
        int32_t code;
        char text[WEFT__TEXT];
    } verdict = {mine, ""};
    int first;
    /* Copied first: the collectives below may leave a message of their own. */
    if (mine < 0)
        snprintf(verdict.text, sizeof verdict.text, "%s", text && *text ? text : weft__why());
    WEFT_TRY(lowest(c, name, mine < 0, &first));
    if (first == c->world)
        return WEFT_OK;
    WEFT_TRY(weft__comm_broadcast(c, name, &verdict, sizeof verdict, first));
    verdict.text[sizeof verdict.text - 1] = '\0';
    return weft__fail((weft_status)verdict.code, "%s", verdict.text);
}

#define CHUNK 1024
#define SHOWN 128 /* bytes of a text that a message quotes */

/* Whether text is rank 0's, whose first bytes go to head. By chunks on the stack: a rank that could
 * not allocate would leave the others waiting. */
static weft_status same_as_root(weft_comm *c, const char *name, const char *text, bool *same,
                                char head[SHOWN])
{
    size_t mine = strlen(text);
    int64_t length = (int64_t)mine;
    WEFT_TRY(weft__comm_broadcast(c, name, &length, sizeof length, 0));
    *same = (size_t)length == mine;
    head[0] = '\0';
    for (int64_t at = 0; at < length; at += CHUNK) {
        char chunk[CHUNK + 1];
        size_t n = (size_t)(length - at < CHUNK ? length - at : CHUNK);
        if (c->rank == 0)
            memcpy(chunk, text + at, n);
        WEFT_TRY(weft__comm_broadcast(c, name, chunk, (int64_t)n, 0));
        chunk[n] = '\0';
        if (at == 0)
            snprintf(head, SHOWN, "%.*s", SHOWN - 1, chunk);
        *same = *same && memcmp(chunk, text + at, n) == 0;
    }
    return WEFT_OK;
}

weft_status weft__agree_text(weft_comm *c, const char *name, const char *what, const char *text)
{
    char theirs[SHOWN] = "", root[SHOWN];
    bool same;
    int first;
    text = text ? text : "";
    WEFT_TRY(same_as_root(c, name, text, &same, root));
    WEFT_TRY(lowest(c, name, !same, &first));
    if (first == c->world)
        return WEFT_OK;
    snprintf(theirs, sizeof theirs, "%s", text);
    WEFT_TRY(weft__comm_broadcast(c, name, theirs, sizeof theirs, first));
    theirs[SHOWN - 1] = '\0';
    return weft__fail(WEFT_ECONFIG,
                      "%s differs between ranks: rank 0 has \"%s\", rank %d has \"%s\"; "
                      "it must be the same on all ranks",
                      what, root, first, theirs);
}
