/* The heartbeat between nodes: datagrams of the nodes' first ranks to rank 0 and back, which may get
 * lost. Rank 0 says all its addresses; a node uses the one that answers. */
#include "comm/heartbeat_self.h"

#include "core/context.h"

#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#define ENTRIES 8 /* in a datagram that no link cuts */

typedef struct entry {
    int32_t rank, dead;
    uint64_t beat;
    double waits;
    weft__progress at;
} entry;

typedef struct packet {
    uint64_t key;
    int32_t node;
    int32_t entries; /* 0: a verdict */
    union {
        entry entry[ENTRIES];
        char verdict[WEFT__TEXT];
    } is;
} packet;

#define HEAD offsetof(packet, is)

static socklen_t size_of(int family)
{
    return family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
}

static void set_port(weft__address *a, in_port_t port)
{
    if (a->at.ss_family == AF_INET)
        ((struct sockaddr_in *)(void *)&a->at)->sin_port = port;
    else
        ((struct sockaddr_in6 *)(void *)&a->at)->sin6_port = port;
}

/* A link-local address means nothing on another node. */
static bool usable(const struct ifaddrs *i, int family)
{
    if (!i->ifa_addr || i->ifa_addr->sa_family != family || !(i->ifa_flags & IFF_UP))
        return false;
    return family == AF_INET ||
           !IN6_IS_ADDR_LINKLOCAL(&((struct sockaddr_in6 *)(void *)i->ifa_addr)->sin6_addr);
}

/* The loopback's come last: they serve nodes that are simulated on one host. */
static void list_addresses(weft__hello *h, const struct ifaddrs *list, int family)
{
    h->family = family;
    h->n = 0;
    for (int loopback = 0; loopback < 2; loopback++)
        for (const struct ifaddrs *i = list; i && h->n < WEFT__ADDRESSES; i = i->ifa_next)
            if (usable(i, family) && !(i->ifa_flags & IFF_LOOPBACK) == !loopback) {
                weft__address *a = &h->address[h->n++];
                a->size = size_of(family);
                memcpy(&a->at, i->ifa_addr, a->size);
            }
}

static bool has_other_than_loopback(const struct ifaddrs *list, int family)
{
    for (; list; list = list->ifa_next)
        if (usable(list, family) && !(list->ifa_flags & IFF_LOOPBACK))
            return true;
    return false;
}

static weft_status open_socket(int family, weft__address *bound, int *fd)
{
    *bound = (weft__address){.size = size_of(family), .at.ss_family = (sa_family_t)family};
    *fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (*fd < 0 || bind(*fd, (struct sockaddr *)&bound->at, bound->size) ||
        getsockname(*fd, (struct sockaddr *)&bound->at, &bound->size))
        return weft__fail_errno(WEFT_EIO, "heartbeat: a UDP socket; heartbeat=off does without");
    return WEFT_OK;
}

weft_status weft__net_listen(weft__hello *h, int *fd)
{
    struct ifaddrs *list = NULL;
    weft__address bound;
    if (getrandom(&h->key, sizeof h->key, 0) != sizeof h->key || getifaddrs(&list))
        return weft__fail_errno(WEFT_EIO, "heartbeat: the addresses of this node");
    bool six = !has_other_than_loopback(list, AF_INET) && has_other_than_loopback(list, AF_INET6);
    list_addresses(h, list, six ? AF_INET6 : AF_INET);
    freeifaddrs(list);
    WEFT_TRY(open_socket(h->family, &bound, fd));
    in_port_t port = six ? ((struct sockaddr_in6 *)(void *)&bound.at)->sin6_port
                         : ((struct sockaddr_in *)(void *)&bound.at)->sin_port;
    for (int i = 0; i < h->n; i++)
        set_port(&h->address[i], port);
    return WEFT_OK;
}

weft_status weft__net_open(const weft__hello *h, int *fd)
{
    weft__address bound;
    return open_socket(h->family, &bound, fd);
}

/* What cannot be sent counts as lost on the way. */
static void send_to(const weft__net *n, const packet *p, size_t size, const weft__address *a)
{
    if (a->size)
        sendto(n->fd, p, size, MSG_NOSIGNAL, (const struct sockaddr *)&a->at, a->size);
}

/* To rank 0 by the way that is known to work, else by all; from rank 0 to every node. */
static void send_on(weft__heartbeat *h, const packet *p, size_t size)
{
    const weft__net *n = &h->net;
    if (h->roll.rank == 0)
        for (int i = 1; i < h->watch.nodes; i++)
            send_to(n, p, size, &n->peer[i]);
    else if (n->peer[0].size)
        send_to(n, p, size, &n->peer[0]);
    else
        for (int i = 0; i < n->root.n; i++)
            send_to(n, p, size, &n->root.address[i]);
}

static void fill(const weft__heartbeat *h, int rank, entry *e)
{
    const weft__seen *s = &h->roll.seen[rank];
    *e = (entry){rank, s->dead, s->beat, s->waits, s->at};
}

void weft__net_tell(weft__heartbeat *h)
{
    packet p = {.key = h->net.root.key, .node = h->watch.node_rank};
    if (h->net.fd < 0 || h->watch.local_rank > 0)
        return;
    for (int k = 0; k < h->roll.world; k++) {
        if (h->roll.rank == 0 ? k == 0 : h->roll.seen[k].node == p.node)
            fill(h, k, &p.is.entry[p.entries++]);
        if (p.entries == ENTRIES || (k == h->roll.world - 1 && p.entries)) {
            send_on(h, &p, HEAD + (size_t)p.entries * sizeof p.is.entry[0]);
            p.entries = 0;
        }
    }
}

void weft__net_tell_verdict(weft__heartbeat *h)
{
    packet p = {.key = h->net.root.key, .node = h->watch.node_rank};
    if (h->net.fd < 0)
        return;
    memcpy(p.is.verdict, h->node->verdict.text, WEFT__TEXT);
    send_on(h, &p, HEAD + WEFT__TEXT);
}

static void take_entry(weft__heartbeat *h, const entry *e, int node)
{
    if (e->rank < 0 || e->rank >= h->roll.world || h->roll.seen[e->rank].node != node)
        return;
    weft__seen *s = &h->roll.seen[e->rank];
    if (e->beat < s->beat) /* overtaken on the way */
        return;
    if (e->beat != s->beat)
        s->heard = h->roll.clock;
    s->known = true;
    s->watched = s->local == 0; /* the others' silence is judged on their node */
    s->dead = e->dead;
    s->beat = e->beat;
    s->waits = e->waits;
    s->at = e->at;
    s->at.name[sizeof s->at.name - 1] = '\0';
    s->left = s->at.gone && !(s->left > 0) ? h->roll.clock : s->left;
}

static void take(weft__heartbeat *h, const packet *p, size_t size, const weft__address *from)
{
    if (size < HEAD || p->key != h->net.root.key || p->node < 0 || p->node >= h->watch.nodes ||
        p->entries < 0 || p->entries > ENTRIES)
        return;
    if (size != HEAD + (p->entries ? (size_t)p->entries * sizeof p->is.entry[0] : WEFT__TEXT))
        return;
    if (!p->entries) {
        char text[WEFT__TEXT];
        memcpy(text, p->is.verdict, sizeof text);
        text[sizeof text - 1] = '\0';
        weft__sticky_set(&h->node->verdict, WEFT_EPEER, text);
        return;
    }
    h->net.peer[h->roll.rank == 0 ? p->node : 0] = *from;
    for (int i = 0; i < p->entries; i++)
        take_entry(h, &p->is.entry[i], p->node);
}

void weft__net_hear(weft__heartbeat *h)
{
    packet p;
    weft__address from;
    for (int i = 0; i < 4096; i++) { /* a flood must not keep the thread here */
        from.size = sizeof from.at;
        ssize_t n = recvfrom(h->net.fd, &p, sizeof p, 0, (struct sockaddr *)&from.at, &from.size);
        if (n >= 0)
            take(h, &p, (size_t)n, &from);
        else if (errno != EINTR && errno != ECONNREFUSED)
            return;
    }
}
