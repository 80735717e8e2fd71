/* The devices that a program asks for, and the one that this rank takes, with its share of cores. */
#include "comm/mpi.h"
#include "comm/stage.h"
#include "core/alloc.h"
#include "core/hash.h"
#include "core/log.h"
#include "device/device.h"
#include "fabric/facade.h"

#include <string.h>

weft_status weft__devices_wanted(weft_fabric *f, int *devices)
{
    const weft_open_options *o = &f->facade->settings.o;
    weft__devices *d = &f->facade->devices;
    const weft_device_ops *device;
    int n;
    WEFT_TRY(weft__device_find(o->accelerator, &device));
    *devices = 0;
    if (!device->count)
        return o->devices ? weft__devices_of_host(device->name, o->devices, devices) : WEFT_OK;
    WEFT_TRY(device->count(&n));
    n = n < WEFT__DEVICE_IDS ? n : WEFT__DEVICE_IDS;
    WEFT_TRY(weft__devices_of_node(device->name, o->devices, n, d));
    *devices = d->kind == WEFT__DEVICES_AUTO ? 0 : d->n;
    return WEFT_OK;
}

/* What a rank says to the others: its node, which devices it sees, or which one it takes, and how near
 * each is to its cores. */
enum { NODE, WHICH, NEAR, WORDS = NEAR + WEFT__DEVICE_IDS / 8 };

static weft_device_facts facts_of(const weft_device_ops *ops, int index)
{
    weft_device_facts facts = {.identity = 0};
    if (ops->facts && ops->facts(index, &facts))
        facts = (weft_device_facts){.identity = 0};
    return facts;
}

static weft_status tell(weft_fabric *f, uint64_t which, const unsigned char *near, int64_t *all)
{
    int64_t mine[WORDS] = {f->node_rank, (int64_t)which};
    if (near)
        memcpy(&mine[NEAR], near, WEFT__DEVICE_IDS);
    int64_t *each = all + WORDS * f->world;
    for (int r = 0; r < f->world; r++)
        each[r] = WORDS;
    return weft__all_gather(f->comm, "devices", all, each, mine, WEFT_I64);
}

/* This rank's number among those of its node that see what it sees, and how many these are: a launcher
 * may have given each rank a device of its own, which is number 0 to all of them. near: room for how
 * near devices are to each of them. */
static weft_status peers(weft_fabric *f, const weft_device_ops *ops, int64_t *all,
                         unsigned char *near, int *place, int *n)
{
    const weft__devices *d = &f->facade->devices;
    unsigned char mask[WEFT__MASK], mine[WEFT__DEVICE_IDS] = {0};
    uint64_t seen = WEFT__HASH;
    weft__environ_mask(mask);
    for (int i = 0; i < d->n; i++) {
        const weft_device_facts one = facts_of(ops, d->id[i]);
        seen = weft__hash(seen, &one.identity, sizeof one.identity);
        if (d->n > 1)
            mine[i] = (unsigned char)weft__environ_near(mask, one.bus);
    }
    WEFT_TRY(tell(f, seen, mine, all));
    *place = *n = 0;
    for (int r = 0; r < f->world; r++) {
        const int64_t *it = all + WORDS * r;
        const bool peer = it[NODE] == f->node_rank && it[WHICH] == (int64_t)seen;
        *place += peer && r < f->rank;
        if (peer && *n < WEFT__DEVICE_IDS)
            memcpy(near + WEFT__DEVICE_IDS * *n, &it[NEAR], WEFT__DEVICE_IDS);
        *n += peer;
    }
    return WEFT_OK;
}

/* Lists that differ may have a device in common. */
static weft_status alone_on(weft_fabric *f, const weft_device_ops *ops, int64_t *all, int index)
{
    const weft_open_options *o = &f->facade->settings.o;
    const int64_t mine = (int64_t)facts_of(ops, index).identity;
    WEFT_TRY(tell(f, (uint64_t)mine, NULL, all));
    for (int r = 0; r < f->rank && mine && !o->share_devices && f->facade->devices.n; r++) {
        const int64_t *it = all + WORDS * r;
        if (it[NODE] == f->node_rank && it[WHICH] == mine)
            return weft__fail(WEFT_ECONFIG,
                              "ranks %d and %d of this node have the same %s device: let them see "
                              "different ones, all of them see all, or share with "
                              "share_devices=true",
                              r, f->rank, ops->name);
    }
    return WEFT_OK;
}

/* Where devices have no numbers, all ranks compute on the same one; a list of ids is taken as it is. */
static weft_status choose(weft_fabric *f, const weft_device_ops *ops, int64_t *all, int *index)
{
    const weft_open_options *o = &f->facade->settings.o;
    const weft__devices *d = &f->facade->devices;
    unsigned char near[WEFT__DEVICE_IDS * WEFT__DEVICE_IDS];
    int place = f->local_rank, n = f->local_size, of[WEFT__DEVICE_IDS];
    if (f->world > 1)
        WEFT_TRY(peers(f, ops, all, near, &place, &n));
    weft_status s = WEFT_OK;
    if (d->n)
        s = weft__devices_index(o->accelerator, d, place, n, o->share_devices, index);
    if (f->world == 1)
        return s;
    if (!s && n <= d->n && d->kind != WEFT__DEVICES_IDS) {
        weft__devices_near(n, d->n, near, of);
        *index = d->id[of[place]];
    }
    WEFT_TRY(weft__agree(f->comm, "devices", s, ""));
    return alone_on(f, ops, all, *index);
}

/* The cores of a node are those of all its ranks' masks together. */
static weft_status share_cores(weft_fabric *f)
{
    unsigned char mask[WEFT__MASK];
    weft__environ_mask(mask);
    if (f->facade->mpi)
        WEFT_TRY(weft__mpi_node_or(f->comm, mask, sizeof mask));
    weft__environ_share(&f->facade->environ, mask);
    return WEFT_OK;
}

weft_status weft__devices_open(weft_fabric *f)
{
    const weft_open_options *o = &f->facade->settings.o;
    const weft_device_ops *ops;
    int index = f->local_rank;
    WEFT_TRY(share_cores(f));
    f->threads = weft__environ_threads(&f->facade->environ, f->local_size, o->threads);
    WEFT_TRY(weft__device_find(o->accelerator, &ops));
    int64_t *all = weft__new((size_t)f->world * (WORDS + 1), sizeof *all);
    weft_status s = weft__agree(f->comm, "devices", all ? WEFT_OK : WEFT_ENOMEM, "");
    if (!s)
        s = choose(f, ops, all, &index);
    weft__free(all);
    WEFT_TRY(s);
    WEFT_TRY(weft__device_open(&f->device, o->accelerator, index, f->threads));
    f->device->tf32 = strcmp(o->matmul_precision, "highest") != 0;
    f->device->steady = o->reproducible > 0;
    WEFT_TRY(f->device->ops->stream_new(f->device, &f->stream));
    if (f->world > 1 && f->device->ops->holds)
        WEFT_TRY(weft__stage_open(f->comm, f->device));
    const bool asked = strcmp(o->graph, "on") == 0;
    if (!asked && (!ops->graph_pays || strcmp(o->graph, "off") == 0))
        return WEFT_OK;
    if (weft__graph_can(f->device))
        return weft__graph_open(f->device, f->stream);
    if (f->rank == 0)
        weft__say(WEFT_LOG_INFO, "graph=on changes nothing: device %s makes no graphs", ops->name);
    return WEFT_OK;
}
