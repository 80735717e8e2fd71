/* What a fabric tells of itself, and small collectives for the user. */
#include "core/alloc.h"
#include "device/device.h"
#include "fabric/facade.h"

#include <stdio.h>
#include <string.h>

int weft_global_rank(const weft_fabric *f)
{
    return f ? f->rank : 0;
}

int weft_local_rank(const weft_fabric *f)
{
    return f ? f->local_rank : 0;
}

int weft_node_rank(const weft_fabric *f)
{
    return f ? f->node_rank : 0;
}

int weft_world_size(const weft_fabric *f)
{
    return f ? f->world : 0;
}

int weft_local_world_size(const weft_fabric *f)
{
    return f ? f->local_size : 0;
}

int weft_num_nodes(const weft_fabric *f)
{
    return f ? f->nodes : 0;
}

bool weft_is_global_zero(const weft_fabric *f)
{
    return f && f->rank == 0;
}

int weft_threads(const weft_fabric *f)
{
    return f ? f->threads : 0;
}

uint64_t weft_seed(const weft_fabric *f)
{
    return f ? f->seed : 0;
}

const char *weft_accelerator_name(const weft_fabric *f)
{
    return f && f->device ? f->device->ops->name : "";
}

const char *weft_strategy_name(const weft_fabric *f)
{
    return f && f->facade && f->facade->strategy ? f->facade->strategy->ops->name : "";
}

const char *weft_precision_name(const weft_fabric *f)
{
    return f && f->facade && f->facade->precision ? f->facade->precision : "";
}

const char *weft_process_group_backend(const weft_fabric *f)
{
    return f && f->comm ? f->comm->ops->name : "";
}

const char *weft_device_name(const weft_fabric *f)
{
    return f && f->device ? f->device->ops->name : "";
}

const char *weft_kernel_set(const weft_fabric *f)
{
    return f && f->device && f->device->ops->kernel_set ? f->device->ops->kernel_set(f->device)
                                                        : "";
}

const char *weft_hostname(const weft_fabric *f)
{
    return f ? f->host : "";
}

int64_t weft_step_count(const weft_fabric *f)
{
    return f ? f->step : 0;
}

int weft_logger_count(const weft_fabric *f)
{
    int n = 0;
    for (weft__object *o = weft__object_first(f, WEFT__LOGGER); o; o = weft__object_after(o))
        n++;
    return n;
}

weft_logger *weft_logger_at(const weft_fabric *f, int i)
{
    weft__object *o = weft__object_first(f, WEFT__LOGGER);
    while (o && i-- > 0)
        o = weft__object_after(o);
    return (weft_logger *)o;
}

weft_status weft_sum_over_ranks(weft_fabric *f, double *values, int64_t n)
{
    if (!weft__opened(f))
        return weft__stuck(f);
    char text[32];
    double *sum = weft__new((size_t)(n > 0 ? n : 0), sizeof *sum);
    weft_status s = sum ? WEFT_OK : WEFT_ENOMEM;
    if (n < 0 || (n > 0 && !values))
        s = weft__fail(WEFT_EARG, "weft_sum_over_ranks: %lld values at %s", (long long)n,
                       values ? "an address" : "NULL");
    snprintf(text, sizeof text, "%lld", (long long)n);
    s = weft__meet(f, s, "the number of values given to weft_sum_over_ranks", text);
    if (s >= 0) {
        for (int64_t i = 0; i < n; i++)
            sum[i] = values[i];
        s = weft__all_reduce(f->comm, "sum", sum, n, WEFT_F64, WEFT_REDUCE_SUM);
    }
    for (int64_t i = 0; s >= 0 && i < n; i++)
        values[i] = sum[i];
    if (s < 0)
        weft__stick(f, s);
    weft__free(sum);
    return s;
}

weft_timing weft_timing_take(weft_fabric *f)
{
    double d[WEFT__PARTS];
    weft_timing t = {0};
    if (!weft__opened(f))
        return t;
    weft__facade *p = f->facade;
    weft__enter(f, f->part); /* brings the clock up to now */
    t.step = 0;
    for (int i = 0; i < WEFT__PARTS; i++) {
        d[i] = f->spent[i] - p->spent[i];
        t.step += d[i];
    }
    t.data = d[WEFT__DATA];
    t.forward = d[WEFT__FORWARD];
    t.backward = d[WEFT__BACKWARD];
    t.communication = d[WEFT__COMMUNICATION];
    t.optimizer = d[WEFT__OPTIMIZER];
    t.steps = f->step - p->steps_taken;
    memcpy(p->spent, f->spent, sizeof p->spent);
    p->steps_taken = f->step;
    return t;
}

weft_traffic weft_traffic_count(const weft_fabric *f)
{
    weft_traffic t = {0};
    if (!f || f->shut)
        return t;
    t = f->facade->strategy->traffic;
    t.collectives = (int64_t)f->comm->sequence;
    t.copies = f->engine->copies;
    t.copied_bytes = f->engine->copied_bytes;
    t.graphs = weft__graph_launches(f->device, &t.graph_calls);
    return t;
}
