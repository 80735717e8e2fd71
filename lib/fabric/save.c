/* What is in a checkpoint, and when one is made. */
#include "core/alloc.h"
#include "core/log.h"
#include "data/loader.h"
#include "fabric/facade.h"
#include "logger/logger.h"
#include "optim/optimizer.h"

#include <stdio.h>
#include <string.h>

typedef weft_status (*state_fn)(void *self, weft_visitor *v);

/* "model", "model1", ...: the first of a kind has no number. */
static weft_status scoped(weft_visitor *v, const char *kind, int number, state_fn state, void *self)
{
    char name[48];
    snprintf(name, sizeof name, number ? "%s%d" : "%s", kind, number);
    WEFT_TRY(weft_state_enter(v, name));
    WEFT_TRY(state(self, v));
    weft_state_leave(v);
    return WEFT_OK;
}

static weft_status run_state(void *fabric, weft_visitor *v)
{
    weft_fabric *f = fabric;
    double wall = f->facade->wall_before + weft__now() - f->facade->opened;
    WEFT_TRY(weft_state_i64(v, "step", &f->step));
    WEFT_TRY(weft_state_f64(v, "wall_s", &wall));
    if (v->mode == WEFT_VISIT_LOAD) {
        f->facade->wall_before = wall;
        f->facade->opened = weft__now();
    }
    return WEFT_OK;
}

static weft_status tracked_state(void *fabric, weft_visitor *v)
{
    weft_fabric *f = fabric;
    for (size_t i = 0; i < f->facade->ntracked; i++) {
        const weft__tracked *t = &f->facade->tracked[i];
        weft_state_item item = {.name = t->name,
                                .placement = WEFT_ROOT,
                                .dtype = t->dtype,
                                .kind = t->dtype == WEFT_F64 ? WEFT_STATE_F64 : WEFT_STATE_I64,
                                .values = t->values,
                                .count = t->n};
        WEFT_TRY(v->item(v, &item));
    }
    return WEFT_OK;
}

static weft_status logger_state(void *logger, weft_visitor *v)
{
    return weft__logger_state(logger, v);
}

weft_status weft__fabric_state(void *fabric, weft_visitor *v)
{
    weft_fabric *f = fabric;
    int loader = 0, logger = 0;
    WEFT_TRY(scoped(v, "run", 0, run_state, f));
    for (weft__object *o = f->objects; o; o = o->next) {
        weft_module *m = (weft_module *)o;
        weft_optimizer *a = (weft_optimizer *)o;
        if (o->kind == WEFT__MODULE && m->setup)
            WEFT_TRY(scoped(v, "model", m->number, weft__module_state, m));
        else if (o->kind == WEFT__OPTIM && a->setup)
            WEFT_TRY(scoped(v, "optimizer", a->number, weft__optim_state, a));
        else if (o->kind == WEFT__LOADER && weft__loader_is_setup((weft_loader *)o))
            WEFT_TRY(scoped(v, "loader", loader++, weft__loader_state, o));
        else if (o->kind == WEFT__LOGGER)
            WEFT_TRY(scoped(v, "logger", logger++, logger_state, o));
    }
    WEFT_TRY(scoped(v, "scaler", 0, weft__scale_state, f));
    return scoped(v, "tracked", 0, tracked_state, f);
}

/* A failure that all ranks share is said by one; whose it was stands in the message. */
static weft_status shared_note(weft_fabric *f, weft_status s)
{
    snprintf(f->noted, sizeof f->noted, "%s", weft__why());
    if (f->rank == 0)
        weft__say(WEFT_LOG_WARNING, "%s", f->noted);
    return s;
}

static weft_status save(weft_fabric *f, const char *dir)
{
    weft__facade *p = f->facade;
    weft__late_read(f);
    weft_status s = weft__agree(f->comm, "save", weft__stuck(f), f->error.text);
    if (s < 0)
        return weft__fail(s, "nothing is saved after an error: %.400s", weft__why());
    s = dir ? WEFT_OK : weft__fail(WEFT_EARG, "weft_save: the directory is NULL or too long");
    WEFT_TRY(weft__agree(f->comm, "save", s, ""));
    weft__metrics_flush(f, true);
    WEFT_TRY(weft__buffers_spread(f, NULL));
    WEFT_TRY(weft__checkpoint_save(&p->checkpoint, dir, f->step));
    if (p->run && strcmp(dir, p->run) == 0)
        p->saved_step = f->step;
    return WEFT_OK;
}

static weft_status postpone(weft_fabric *f, const char *dir)
{
    weft__facade *p = f->facade;
    p->postponed = true; /* also with an unfit name: the save itself is collective, and says so */
    p->later[0] = '\0';
    if (dir && strlen(dir) < sizeof p->later)
        snprintf(p->later, sizeof p->later, "%s", dir);
    return WEFT_POSTPONED;
}

weft_status weft_save(weft_fabric *f, const char *dir)
{
    if (!weft__opened(f))
        return weft__stuck(f);
    if (f->comm->lost)
        return weft__stuck(f) ? weft__stuck(f) : WEFT_EPEER;
    if (f->facade->window && !f->facade->agreed)
        return postpone(f, dir);
    weft__part part = weft__enter(f, WEFT__OTHER);
    weft_status s = save(f, dir);
    weft__enter(f, part);
    if (f->comm->lost) /* not the save's failure: nothing that is collective can go on */
        return weft__stick(f, s < 0 ? s : WEFT_EPEER);
    return s < 0 ? shared_note(f, s) : WEFT_OK;
}

void weft__late_save(weft_fabric *f)
{
    weft__facade *p = f->facade;
    if (!p->postponed || p->window)
        return;
    p->postponed = false;
    weft_save(f, p->later[0] ? p->later : NULL);
}

weft_status weft_save_async(weft_fabric *f, const char *dir)
{
    weft_status s = weft_save(f, dir);
    if (s != WEFT_OK)
        return s;
    if (!f->facade->said_synchronous && f->rank == 0)
        weft__say(WEFT_LOG_INFO, "weft_save_async saves at once in this version");
    f->facade->said_synchronous = true;
    return WEFT_SYNCHRONOUS;
}

weft_status weft__final_save(weft_fabric *f)
{
    weft__facade *p = f->facade;
    p->window = false; /* no step comes that could end it: a resumed run begins it anew */
    if (p->loader)
        weft__loader_redo(p->loader, weft__window_unused(f));
    weft__late_save(f);
    return p->run && f->step > p->saved_step && f->step > 0 ? weft_save(f, p->run) : WEFT_OK;
}

/* All ranks have the same verdict: it is agreed on at once. */
static weft_status end_load(weft_fabric *f, weft_status s, int64_t step, const char *from)
{
    weft__facade *p = f->facade;
    if (s < 0) {
        weft__sticky_set(&f->error, s, weft__why());
        return p->agreed = s;
    }
    if (step < 0)
        return WEFT_OK;
    f->step = step;
    p->saved_step = p->loaded_step = step;
    memset(p->every, 0, sizeof p->every);
    weft__metrics_resume(f);
    if (f->rank == 0)
        weft__say(WEFT_LOG_INFO, "goes on from step %lld of %s", (long long)step, from);
    return WEFT_OK;
}

/* Whether all ranks have given a directory, and have kept it. */
static weft_status named(weft_fabric *f, const char *call, const char *dir, const char *kept)
{
    if (!dir || !*dir)
        weft__stick(f,
                    weft__fail(WEFT_EARG, "%s: the directory is %s", call, dir ? "\"\"" : "NULL"));
    else if (!kept)
        weft__stick(f, WEFT_ENOMEM);
    return weft__agree_on_errors(f);
}

weft_status weft_resume(weft_fabric *f, const char *dir)
{
    int64_t step = -1;
    if (!weft__opened(f))
        return weft__stuck(f);
    weft__free(f->facade->run);
    f->facade->run = dir ? weft__strdup(dir) : NULL;
    weft_status s = named(f, "weft_resume", dir, f->facade->run);
    if (s < 0) { /* not on some ranks alone, whose final save would wait for the others */
        weft__free(f->facade->run);
        f->facade->run = NULL;
        return s;
    }
    s = weft__checkpoint_resume(&f->facade->checkpoint, dir, &step);
    return end_load(f, s, step, dir);
}

weft_status weft_load(weft_fabric *f, const char *checkpoint)
{
    int64_t step = -1;
    if (!weft__opened(f))
        return weft__stuck(f);
    WEFT_TRY(named(f, "weft_load", checkpoint, checkpoint));
    weft_status s = weft__checkpoint_load(&f->facade->checkpoint, checkpoint, &step);
    return end_load(f, s, step, checkpoint);
}

static weft_status track(weft_fabric *f, const char *name, void *values, int64_t n, weft_dtype t)
{
    if (!weft__opened(f))
        return weft__stuck(f);
    weft__facade *p = f->facade;
    if (!name || !*name || strchr(name, '/') || !values || n < 1)
        return weft__fail(WEFT_EARG, "weft_track: a name without '/', an address and at least one "
                                     "value are needed");
    for (size_t i = 0; i < p->ntracked; i++)
        if (strcmp(p->tracked[i].name, name) == 0)
            return weft__fail(WEFT_ESTATE, "weft_track: %s is tracked already", name);
    WEFT_TRY(weft__grow(&p->tracked, &p->tracked_room, p->ntracked + 1, sizeof *p->tracked));
    char *copy = weft__strdup(name);
    if (!copy)
        return WEFT_ENOMEM;
    p->tracked[p->ntracked++] = (weft__tracked){.name = copy, .values = values, .n = n, .dtype = t};
    return WEFT_OK;
}

weft_status weft_track_f64(weft_fabric *f, const char *name, double *values, int64_t n)
{
    weft_status s = track(f, name, values, n, WEFT_F64);
    return s ? weft__stick(f, s) : WEFT_OK;
}

weft_status weft_track_i64(weft_fabric *f, const char *name, int64_t *values, int64_t n)
{
    weft_status s = track(f, name, values, n, WEFT_I64);
    return s ? weft__stick(f, s) : WEFT_OK;
}

void weft__tracked_free(weft_fabric *f)
{
    for (size_t i = 0; i < f->facade->ntracked; i++)
        weft__free(f->facade->tracked[i].name);
    weft__free(f->facade->tracked);
}
