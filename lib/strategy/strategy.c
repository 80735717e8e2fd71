/* Strategies by name, and what they share. */
#include "strategy/strategy.h"

#include "core/alloc.h"
#include "core/env.h"
#include "core/log.h"
#include "device/device.h"

#include <stdio.h>

static const struct {
    const char *name;
    const weft__strategy_ops *ops; /* NULL: a name of Fabric's that is not here yet */
    const char *note;              /* what is otherwise here, or what it would need */
} table[] = {{"auto", NULL, NULL},
             {"single", &weft__single, NULL},
             {"single_device", &weft__single, NULL},
             {"ddp", &weft__ddp, NULL},
             /* unused parameters cost nothing */
             {"ddp_find_unused_parameters_true", &weft__ddp, NULL},
             {"ddp_spawn", &weft__ddp, "ranks are processes that mpirun or srun starts"},
             {"ddp_fork", &weft__ddp, "ranks are processes that mpirun or srun starts"},
             {"ddp_notebook", &weft__ddp, "ranks are processes that mpirun or srun starts"},
             {"dp", &weft__ddp, "the cpu has no devices that one process could share out"},
             {"fsdp", NULL, ""},
             {"fsdp_cpu_offload", NULL, ""},
             {"deepspeed", NULL, ""},
             {"deepspeed_stage_1", NULL, ""},
             {"deepspeed_stage_2", NULL, ""},
             {"deepspeed_stage_3", NULL, ""},
             {"deepspeed_stage_1_offload", NULL, ""},
             {"deepspeed_stage_2_offload", NULL, ""},
             {"deepspeed_stage_3_offload", NULL, ""},
             {"deepspeed_stage_3_offload_nvme", NULL, ""},
             {"xla", NULL, " (it needs accelerator tpu)"},
             {"xla_fsdp", NULL, " (it needs accelerator tpu)"},
             {"single_xla", NULL, " (it needs accelerator tpu)"},
             {"single_tpu", NULL, " (it needs accelerator tpu)"}};

#define ROWS ((int)(sizeof table / sizeof table[0]))

static int row_of(const char *name)
{
    const char *word[ROWS];
    for (int i = 0; i < ROWS; i++)
        word[i] = table[i].name;
    return weft__parse_choice("strategy", name ? name : "auto", word, ROWS);
}

weft_status weft__strategy_find(const char *name, int ranks, const weft__strategy_ops **out)
{
    int i = row_of(name);
    if (i < 0)
        return WEFT_EARG;
    *out = i == 0 ? (ranks > 1 ? &weft__ddp : &weft__single) : table[i].ops;
    if (!*out)
        return weft__fail(WEFT_ENOTSUP,
                          "strategy %s is not in this version%s; there are auto, single and ddp",
                          table[i].name, table[i].note);
    if (*out == &weft__single && ranks > 1)
        return weft__fail(WEFT_ECONFIG,
                          "strategy single with %d ranks would train %d separate models; use ddp "
                          "or start one rank",
                          ranks, ranks);
    return WEFT_OK;
}

static weft_status look_up(const weft_fabric *f, const char *name, const weft__strategy_ops **out)
{
    WEFT_TRY(weft__strategy_find(name, f->world, out));
    int i = row_of(name);
    if (table[i].note && f->rank == 0)
        weft__say(WEFT_LOG_WARNING, "strategy %s is ddp here: %s", table[i].name, table[i].note);
    return WEFT_OK;
}

weft_status weft__strategy_open(weft__strategy **out, weft_fabric *f, const char *name)
{
    const weft__strategy_ops *ops = NULL;
    WEFT_TRY(look_up(f, name, &ops));
    weft__strategy *s = weft__new(1, sizeof *s);
    if (!s)
        return WEFT_ENOMEM;
    s->ops = ops;
    s->fabric = f;
    *out = s;
    return WEFT_OK;
}

void weft__strategy_close(weft__strategy *s)
{
    if (s)
        weft__free(s->flat);
    weft__free(s);
}

static weft_status grad_ready(void *self, weft__segment *segment)
{
    weft__strategy *s = self;
    return s->ops->grad_ready(s, segment);
}

weft__hooks weft__strategy_hooks(weft__strategy *s)
{
    return (weft__hooks){.self = s, .grad_ready = s->ops->grad_ready ? grad_ready : NULL};
}

weft_status weft__strategy_setup(weft__strategy *s, weft__flat *flat)
{
    weft_status room = weft__grow(&s->flat, &s->room, s->flats + 1, sizeof(weft__flat *));
    WEFT_TRY(weft__agree(s->fabric->comm, "room for a module", room, ""));
    WEFT_TRY(s->ops->setup(s, flat));
    for (int b = 0; b < flat->nbuckets; b++)
        snprintf(flat->bucket[b].name, sizeof flat->bucket[b].name, "gradients %zu.%d", s->flats,
                 b);
    if (flat->trainable)
        s->flat[s->flats++] = flat;
    return WEFT_OK;
}

void weft__strategy_forget(weft__strategy *s)
{
    for (size_t i = 0; i < s->flats; i++)
        for (int k = 0; k < s->flat[i]->nsegments; k++)
            s->flat[i]->segment[k]->grad = WEFT__GRAD_EMPTY;
}

weft_status weft__fill_empty(weft__flat *flat, const weft__bucket *b)
{
    for (int i = 0; i < flat->nsegments; i++) {
        weft__segment *g = flat->segment[i];
        if (g->grad == WEFT__GRAD_EMPTY && b == &flat->bucket[g->bucket])
            WEFT_TRY(weft__segment_clear(g));
    }
    return WEFT_OK;
}

static size_t grad_bytes(const weft__flat *flat)
{
    return weft__flat_bytes(flat, WEFT__GRAD) +
           WEFT__VERDICT * weft_dtype_size(flat->type[WEFT__GRAD]);
}

static void free_device(weft__flat *flat)
{
    weft_device *d = flat->fabric->device;
    weft_device_free(d, flat->plane[WEFT__GRAD], grad_bytes(flat), WEFT_MEMORY_GRADS);
}

static void free_comm(weft__flat *flat)
{
    weft__comm_release(flat->fabric->comm, flat->fabric->device, flat->plane[WEFT__GRAD],
                       grad_bytes(flat), WEFT_MEMORY_GRADS);
}

weft_status weft__grad_plane(weft__flat *flat, bool reduced_by_comm)
{
    weft_device *d = flat->fabric->device;
    weft_dev *p = &flat->plane[WEFT__GRAD];
    WEFT_TRY(reduced_by_comm
                 ? weft__comm_alloc(flat->fabric->comm, d, grad_bytes(flat), WEFT_MEMORY_GRADS, p)
                 : weft_device_alloc(d, grad_bytes(flat), WEFT_MEMORY_GRADS, p));
    flat->grad_free = reduced_by_comm ? free_comm : free_device;
    if (reduced_by_comm && !weft__comm_reach(flat->fabric->comm, d, *p))
        return WEFT_ENOTSUP;
    return d->ops->zero(flat->fabric->stream, flat->plane[WEFT__GRAD], grad_bytes(flat));
}
