/* Memory of NCCL's own, for what it moves often. */
#include "comm/nccl_self.h"
#include "core/alloc.h"

/* Registered, so that peers and network cards reach it without a copy. */
weft_status weft__nccl_alloc(void *self, size_t bytes, weft_dev *out)
{
    weft__nccl *q = self;
    weft__nccl_memory *m = weft__new(1, sizeof *m);
    if (!m)
        return WEFT_ENOMEM;
    q->device->ops->bind(q->device);
    weft_status s = q->comm ? WEFT_OK : WEFT_EPEER;
    if (!s)
        s = weft__nccl_failed(q, "ncclMemAlloc", q->api.ncclMemAlloc(&m->at, bytes ? bytes : 1));
    if (!s)
        s = weft__nccl_failed(
            q, "ncclCommRegister",
            q->api.ncclCommRegister(q->comm, m->at, bytes ? bytes : 1, &m->handle));
    if (s) {
        if (m->at)
            q->api.ncclMemFree(m->at);
        weft__free(m);
        return s;
    }
    m->next = q->memory;
    q->memory = m;
    *out = (weft_dev){(uintptr_t)m->at};
    return WEFT_OK;
}

/* What was enqueued may still need it, and the library does not know that. */
bool weft__nccl_release(void *self, weft_dev p)
{
    weft__nccl *q = self;
    weft__nccl_memory **at = &q->memory, *m;
    while (*at && (uintptr_t)(*at)->at != p.addr)
        at = &(*at)->next;
    if (!(m = *at))
        return false;
    *at = m->next;
    q->device->ops->bind(q->device);
    q->device->ops->sync_all(q->device);
    if (q->comm)
        q->api.ncclCommDeregister(q->comm, m->handle);
    q->api.ncclMemFree(m->at);
    weft__free(m);
    return true;
}
