/* Strategies by name and by table, and spaces coming under them. */
#include "strategy/strategy.h"

#include "core/alloc.h"
#include "core/env.h"
#include "core/log.h"

#include <stdio.h>

static const struct {
    const char *name;
    const weft_strategy_ops *ops; /* NULL: a name of Fabric's that is not here yet */
    const char *note;             /* what is otherwise here, or what it would need */
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
             {"zero1", &weft__zero1, NULL},
             {"zero2", &weft__zero2, NULL},
             {"deepspeed", &weft__zero2, NULL},
             {"deepspeed_stage_1", &weft__zero1, NULL},
             {"deepspeed_stage_2", &weft__zero2, NULL},
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

weft_status weft__strategy_find(const char *name, int ranks, const weft_strategy_ops **out)
{
    int i = row_of(name);
    if (i < 0)
        return WEFT_EARG;
    *out = i == 0 ? (ranks > 1 ? &weft__ddp : &weft__single) : table[i].ops;
    if (!*out)
        return weft__fail(
            WEFT_ENOTSUP,
            "strategy %s is not in this version%s; there are auto, single, ddp, zero1 "
            "(deepspeed_stage_1) and zero2 (deepspeed_stage_2)",
            table[i].name, table[i].note);
    return weft__strategy_check(*out, ranks);
}

weft_status weft__strategy_check(const weft_strategy_ops *ops, int ranks)
{
    const char *lacks = ops->size != sizeof *ops       ? "the size of this version's"
                        : !ops->name || !ops->name[0]  ? "name"
                        : ops->wait && !ops->reduce    ? "reduce, which wait completes"
                        : ops->carries && !ops->reduce ? "reduce, which carries"
                                                       : NULL;
    if (lacks)
        return weft__fail(WEFT_EARG, "the table of strategy %s is incomplete: it lacks %s",
                          ops->size == sizeof *ops && ops->name ? ops->name : "?", lacks);
    if (ranks > 1 && !ops->reduce && !ops->stepped)
        return weft__fail(WEFT_ECONFIG,
                          "strategy %s with %d ranks would train %d separate models; use ddp "
                          "or start one rank",
                          ops->name, ranks, ranks);
    return WEFT_OK;
}

static weft_status look_up(const weft_fabric *f, const char *name, const weft_strategy_ops **out)
{
    WEFT_TRY(weft__strategy_find(name, f->world, out));
    int i = row_of(name);
    if (table[i].note && f->rank == 0)
        weft__say(WEFT_LOG_WARNING, "strategy %s is ddp here: %s", table[i].name, table[i].note);
    return WEFT_OK;
}

weft_status weft__strategy_open(weft__strategy **out, weft_fabric *f, const char *name,
                                const weft_strategy_ops *ops, void *self)
{
    WEFT_TRY(ops ? weft__strategy_check(ops, f->world) : look_up(f, name, &ops));
    weft__strategy *s = weft__new(1, sizeof *s);
    if (!s)
        return WEFT_ENOMEM;
    *s = (weft__strategy){.ops = ops, .self = self, .fabric = f};
    const weft_status code = ops->open ? ops->open(s, self) : WEFT_OK;
    if (code < 0) {
        weft__free(s);
        return code;
    }
    *out = s;
    return WEFT_OK;
}

void weft__strategy_close(weft__strategy *s)
{
    if (!s)
        return;
    if (s->ops->close)
        s->ops->close(s, s->self);
    weft__pool_close(&s->pool);
    weft__strategy_part(s);
    weft__free(s->flat);
    weft__free(s);
}

static size_t words(const weft__flat *flat)
{
    return flat->sharded[WEFT__GRAD] ? 0 : WEFT__VERDICT * weft_dtype_size(flat->type[WEFT__GRAD]);
}

static void free_gradients(weft__flat *flat)
{
    weft__comm_release(flat->fabric->comm, flat->fabric->device, flat->plane[WEFT__GRAD],
                       weft__flat_bytes(flat, WEFT__GRAD) + words(flat), WEFT_MEMORY_GRADS);
}

/* In memory of the communicator, if it reduces them there. */
static weft_status gradients(weft__strategy *s, weft__flat *flat)
{
    weft_fabric *f = s->fabric;
    const size_t bytes = weft__flat_bytes(flat, WEFT__GRAD) + words(flat);
    weft_dev *p = &flat->plane[WEFT__GRAD];
    size_t most = 0;
    for (int b = 0; b < flat->nbuckets; b++)
        most = (size_t)flat->bucket[b].count > most ? (size_t)flat->bucket[b].count : most;
    if (flat->sharded[WEFT__GRAD]) {
        flat->pool = &s->pool;
        WEFT_TRY(weft__pool_reserve(&s->pool, most * weft_dtype_size(flat->type[WEFT__GRAD])));
        return weft__flat_plane(flat, WEFT__GRAD);
    }
    if (!s->ops->reduce)
        return weft__flat_plane(flat, WEFT__GRAD);
    WEFT_TRY(weft__comm_alloc(f->comm, f->device, bytes, WEFT_MEMORY_GRADS, p));
    flat->grad_free = free_gradients;
    if (!weft__comm_reach(f->comm, f->device, *p))
        return WEFT_ENOTSUP;
    return f->device->ops->zero(f->stream, *p, bytes);
}

static weft_status is_complete(const weft__strategy *s, const weft__flat *flat)
{
    if (!flat->cut || (s->ops->reduce && s->ops->stepped))
        return WEFT_OK;
    return weft__fail(WEFT_EARG,
                      "the table of strategy %s is incomplete: it cuts its spaces and lacks %s",
                      s->ops->name, s->ops->reduce ? "stepped" : "reduce");
}

weft_status weft__strategy_setup(weft__strategy *s, weft__flat *flat)
{
    weft_fabric *f = s->fabric;
    weft_status code = weft__grow(&s->flat, &s->room, s->flats + 1, sizeof(weft__flat *));
    WEFT_TRY(weft__agree(f->comm, "room for a module", code, ""));
    for (int b = 0; b < flat->nbuckets; b++)
        snprintf(flat->bucket[b].name, sizeof flat->bucket[b].name, "gradients %zu.%d", s->flats,
                 b);
    if (s->ops->setup)
        WEFT_TRY(weft__agree(f->comm, "setup", s->ops->setup(s, s->self, flat), ""));
    WEFT_TRY(is_complete(s, flat));
    code = flat->trainable ? gradients(s, flat) : WEFT_OK;
    WEFT_TRY(weft__agree(f->comm, "memory of gradients", code, ""));
    if (f->world > 1)
        WEFT_TRY(weft_strategy_broadcast(s, "initial parameters", flat->plane[WEFT__PARAM],
                                         (int64_t)weft__flat_bytes(flat, WEFT__PARAM), 0));
    if (flat->trainable)
        s->flat[s->flats++] = flat;
    return WEFT_OK;
}

weft_status weft__strategy_stepped(weft__strategy *s, const weft_optimizer *o)
{
    weft__flat *flat = weft__optim_flat(o);
    if (!flat || !s->ops->stepped)
        return WEFT_OK;
    for (int b = 0; b < flat->nbuckets; b++)
        flat->bucket[b].updated = false;
    for (int i = 0; i < flat->nsegments; i++)
        if (weft__optim_owns(o, flat->segment[i]))
            flat->bucket[flat->segment[i]->bucket].updated = true;
    weft__flat_written(flat);
    return s->ops->stepped(s, s->self, flat);
}
