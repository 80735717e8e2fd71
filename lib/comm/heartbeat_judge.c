/* Who is lost and who is only late, from what the watcher knows of the ranks. */
#include "comm/heartbeat_self.h"

#include <stdio.h>

#define PATIENCE 3 /* limits that a silent process may have which /proc says is not stopped */
#define FAR 1.12   /* limits for a rank of another node */
#define QUIET 10   /* limits between two lines about one rank */

/* "rank 2 on node1" */
static int who(const weft__roll *r, int rank, char *text, size_t room)
{
    return snprintf(text, room, "rank %d on %s", rank, r->seen[rank].host);
}

void weft__progress_text(const weft__progress *p, char text[128])
{
    if (!p->sequence)
        snprintf(text, 128, "before its first collective");
    else
        snprintf(text, 128, "%s collective %llu \"%s\" at step %lld",
                 p->waiting == 1 ? "in" : "after", (unsigned long long)p->sequence, p->name,
                 (long long)p->step);
}

static bool say(const weft__roll *r, int rank, const char *what, char text[WEFT__TEXT])
{
    char place[128];
    int n = who(r, rank, text, WEFT__TEXT);
    weft__progress_text(&r->seen[rank].at, place);
    snprintf(text + n, WEFT__TEXT - (size_t)n, " %s %s", what, place);
    return true;
}

/* The known rank that has waited in the earliest collective, and longer than is usual; -1. */
static int first_waiting(const weft__roll *r)
{
    int first = -1;
    for (int k = 0; k < r->world; k++) {
        const weft__seen *s = &r->seen[k];
        if (s->known && s->at.waiting == 1 && s->waits > r->slow &&
            (first < 0 || s->at.sequence < r->seen[first].at.sequence))
            first = k;
    }
    return first;
}

/* Whether rank k took another way at collective `sequence` than the one with that hash. */
static bool strayed(const weft__roll *r, int k, uint64_t sequence, uint32_t hash)
{
    const weft__progress *p = &r->seen[k].at;
    return r->seen[k].known && p->sequence >= sequence && p->sequence - sequence < WEFT__HISTORY &&
           p->history[sequence % WEFT__HISTORY] != hash;
}

/* Names do not agree at one number: the smaller party is named first. */
static bool judge_ways(const weft__roll *r, char text[WEFT__TEXT])
{
    int q = first_waiting(r), other = -1, with = 0, against = 0;
    if (q < 0)
        return false;
    const weft__progress *p = &r->seen[q].at;
    uint32_t hash = p->history[p->sequence % WEFT__HISTORY];
    for (int k = 0; k < r->world; k++) {
        bool differs = strayed(r, k, p->sequence, hash);
        other = differs && other < 0 ? k : other;
        against += differs;
        with += r->seen[k].known && !differs && r->seen[k].at.sequence >= p->sequence;
    }
    if (other < 0)
        return false;
    int odd = against <= with ? other : q, rest = against <= with ? q : other;
    char first[128], place[128], second[128];
    who(r, odd, first, sizeof first);
    weft__progress_text(&r->seen[odd].at, place);
    who(r, rest, second, sizeof second);
    int n = snprintf(text, WEFT__TEXT, "%s went another way: it is %s, while %s is ", first, place,
                     second);
    weft__progress_text(&r->seen[rest].at, place);
    snprintf(text + n, WEFT__TEXT - (size_t)n,
             "%s; all ranks must make the same collective calls in the same order", place);
    return true;
}

/* A process that could run and does not beat is starved: it gets more time than a stopped one. For
 * another node, that node's own verdict is given the time to arrive: it knows more. */
static bool silent(const weft__roll *r, const weft__seen *s)
{
    double silence = r->clock - s->heard;
    bool could_run = s->state == 'R' || s->state == 'S' || s->state == 'D';
    bool far = s->node != r->seen[r->rank].node;
    return s->watched && silence > r->limit * (could_run ? PATIENCE : far ? FAR : 1);
}

bool weft__heartbeat_judge(const weft__roll *r, char text[WEFT__TEXT])
{
    for (int k = 0; k < r->world; k++) {
        const weft__seen *s = &r->seen[k];
        if (k == r->rank)
            continue;
        if (s->dead)
            return say(r, k, "was lost: its process has ended, killed or without weft_close,",
                       text);
        if (s->at.gone && r->clock - s->left > r->slow)
            return say(r, k, "has given up and closed,", text);
    }
    if (judge_ways(r, text))
        return true;
    for (int k = 0; k < r->world; k++) {
        const weft__seen *s = &r->seen[k];
        char what[128];
        if (k == r->rank || !silent(r, s))
            continue;
        snprintf(what, sizeof what,
                 s->state == 'T'   ? "is stopped, and has been for %.1f s,"
                 : s->state == 't' ? "is stopped by a debugger, and has been for %.1f s,"
                                   : "was lost: nothing was heard of it for %.1f s, so it is "
                                     "stopped, or its node or the link to it is down; it was",
                 r->clock - s->heard);
        return say(r, k, what, text);
    }
    return false;
}

/* The rank that others wait for: the lowest that has not begun the latest collective waited in. */
static int late(const weft__roll *r, int *waiting)
{
    int q = -1;
    for (int k = 0; k < r->world; k++) {
        const weft__seen *s = &r->seen[k];
        if (s->at.waiting == 1 && s->waits > r->slow &&
            (q < 0 || s->at.sequence > r->seen[q].at.sequence))
            q = k;
    }
    *waiting = q;
    for (int k = 0; q >= 0 && k < r->world; k++)
        if (r->seen[k].known && r->seen[k].at.sequence < r->seen[q].at.sequence)
            return k;
    return -1;
}

static bool due(weft__roll *r, int rank)
{
    weft__seen *s = &r->seen[rank];
    if (s->named > 0 && r->clock - s->named < QUIET * r->limit)
        return false;
    s->named = r->clock;
    return true;
}

/* Said once for all such nodes: what stands in the way will not go away. */
static bool unheard(weft__roll *r, char text[WEFT__TEXT])
{
    int first = -1, more = -1;
    for (int k = 0; k < r->world && r->clock > r->limit; k++)
        if (r->seen[k].local == 0 && !r->seen[k].known && r->seen[k].named == 0) {
            first = first < 0 ? k : first;
            more++;
            r->seen[k].named = r->clock;
        }
    if (first < 0)
        return false;
    snprintf(text, WEFT__TEXT,
             "no heartbeat comes from rank %d on %s (and %d other nodes): is UDP between the nodes "
             "blocked by a firewall? A rank that is lost there is found by timeout only",
             first, r->seen[first].host, more);
    return true;
}

bool weft__heartbeat_slow(weft__roll *r, bool all, int speaks_for, char text[WEFT__TEXT])
{
    char place[128], name[128];
    if (all && unheard(r, text))
        return true;
    int q, k = all ? late(r, &q) : -1;
    for (int i = 0; i < r->world && k < 0; i++) {
        const weft__seen *s = &r->seen[i];
        if (i != r->rank && s->watched && (all || i == speaks_for) &&
            r->clock - s->heard > r->slow) {
            k = i;
            q = -1;
        }
    }
    if (k < 0 || !due(r, k))
        return false;
    who(r, k, name, sizeof name);
    weft__progress_text(&r->seen[k].at, place);
    if (q < 0)
        snprintf(text, WEFT__TEXT, "%s is slow: nothing was heard of it for %.1f s; it is %s", name,
                 r->clock - r->seen[k].heard, place);
    else
        snprintf(
            text, WEFT__TEXT,
            "%s is slow: rank %d has waited for it for %.1f s in collective %llu \"%s\"; it is "
            "%s",
            name, q, r->seen[q].waits, (unsigned long long)r->seen[q].at.sequence,
            r->seen[q].at.name, place);
    return true;
}
