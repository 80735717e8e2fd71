/* Memory of NCCL's own, for what it moves often: registered, so that peers and network cards reach it without
 * a copy. */
#include "comm/nccl_self.h"
#include "core/alloc.h"
#include "core/error.h"

weft_status weft__nccl_alloc(void *self, size_t bytes, weft_dev *out)
{
    weft__nccl *q = self;
    weft__nccl_memory *m = weft__new(1, sizeof *m);
    if (!m)
        return WEFT_ENOMEM;
    m->bytes = bytes ? bytes : 1;
    q->device->ops->bind(q->device);
    const weft_status s =
        q->comm ? weft__nccl_failed(q, "ncclMemAlloc", q->api.ncclMemAlloc(&m->at, m->bytes))
                : WEFT_EPEER;
    if (s) {
        weft__free(m);
        return s;
    }
    m->next = q->memory;
    q->memory = m;
    *out = (weft_dev){(uintptr_t)m->at};
    return WEFT_OK;
}

/* Where the piece is linked; NULL there if there is none. */
static weft__nccl_memory **find(weft__nccl *q, weft_dev p)
{
    weft__nccl_memory **at = &q->memory;
    while (*at && (uintptr_t)(*at)->at != p.addr)
        at = &(*at)->next;
    return at;
}

weft_status weft__nccl_enlist(void *self, weft_dev p)
{
    weft__nccl *q = self;
    weft__nccl_memory *m = *find(q, p);
    if (!m)
        return weft__fail(WEFT_ENOTSUP, "NCCL had no memory for what it moves");
    if (!q->comm)
        return WEFT_EPEER;
    q->device->ops->bind(q->device);
    const weft_status s = weft__nccl_failed(
        q, "ncclCommRegister", q->api.ncclCommRegister(q->comm, m->at, m->bytes, &m->handle));
    m->registered = !s;
    return s;
}

/* The end of a communicator is that of its registrations. */
static void strike(weft__nccl *q, weft__nccl_memory *m)
{
    if (m->registered && q->comm)
        q->api.ncclCommDeregister(q->comm, m->handle);
    m->registered = false;
}

void weft__nccl_strike(void *self, weft_dev p)
{
    weft__nccl_memory *m = *find(self, p);
    if (m)
        strike(self, m);
}

/* What was enqueued may still need it, and the library does not know that. */
bool weft__nccl_release(void *self, weft_dev p)
{
    weft__nccl *q = self;
    weft__nccl_memory **at = find(q, p), *m = *at;
    if (!m)
        return false;
    *at = m->next;
    q->device->ops->bind(q->device);
    q->device->ops->sync_all(q->device);
    strike(q, m);
    q->api.ncclMemFree(m->at);
    weft__free(m);
    return true;
}
