/* Opening and closing: one of each part, from the ground up and down again. */
#include "autograd/tape.h"
#include "comm/backend.h"
#include "comm/heartbeat.h"
#include "comm/mpi.h"
#include "comm/overlap.h"
#include "core/alloc.h"
#include "core/env.h"
#include "core/log.h"
#include "core/process.h"
#include "device/device.h"
#include "fabric/facade.h"
#include "launch/launch.h"
#include "precision/precision.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <weft/version.h>

#define TIMEOUT 1800 /* seconds */
#define HEARTBEAT 10
#define HIGHEST 125 /* exit status; 126 and up mean other things to shells */

/* Stands for a fabric when there is no memory for one, so that weft_close can say so. */
static weft_fabric no_memory = {
    .error = {.state = 2, .code = WEFT_ENOMEM, .text = "no memory for a fabric"},
    .world = 1,
    .local_size = 1,
    .nodes = 1,
    .shut = true};

static weft_fabric *blank(void)
{
    weft_fabric *f = weft__new(1, sizeof *f);
    if (f && !(f->facade = weft__new(1, sizeof *f->facade))) {
        weft__free(f);
        f = NULL;
    }
    if (!f)
        return &no_memory;
    pthread_mutex_init(&f->facade->inferring, NULL);
    f->world = f->local_size = f->nodes = f->threads = 1;
    f->facade->exit_status = -1;
    f->facade->saved_step = f->facade->loaded_step = -1;
    f->facade->opened = f->since = weft__now();
    if (gethostname(f->host, sizeof f->host) || !f->host[0])
        snprintf(f->host, sizeof f->host, "unknown");
    f->host[sizeof f->host - 1] = '\0';
    return f;
}

static weft_status read_settings(weft_fabric *f, const weft_open_options *code, const char *text,
                                 int *argc, char ***argv)
{
    static const char *const policy[] = {"error", "skip", "ignore"};
    static const char *const products[] = {"highest", "high", "medium"};
    static const char *const when[] = {"auto", "off", "on"};
    weft__facade *p = f->facade;
    weft_open_options *o = &p->settings.o;
    p->settings.quiet = p->environ.rank > 0;
    weft_status s = weft__settings_read(&p->settings, code, text, argc, argv);
    o->timeout = o->timeout > 0 ? o->timeout : TIMEOUT; /* also to tell the others of a failure */
    WEFT_TRY(s);
    WEFT_TRY(weft__scale_read(p));
    WEFT_TRY(weft__overlap_find(o->overlap_comm, &o->overlap_comm));
    WEFT_TRY(weft__settings_check(&p->settings));
    int i = o->nonfinite ? weft__parse_choice("nonfinite", o->nonfinite, policy, 3) : 0;
    int k = o->matmul_precision
                ? weft__parse_choice("matmul_precision", o->matmul_precision, products, 3)
                : 0;
    int graph = o->graph ? weft__parse_choice("graph", o->graph, when, 3) : 0;
    if (i < 0 || k < 0 || graph < 0)
        return WEFT_EARG;
    WEFT_TRY(weft__backend_find(o->process_group_backend, &o->process_group_backend));
    p->nonfinite = (weft__nonfinite)i;
    o->nonfinite = policy[i];
    o->matmul_precision = products[k];
    o->graph = when[graph];
    f->seed = o->seed;
    o->bucket_mb = o->bucket_mb ? o->bucket_mb : 25;
    f->bucket_bytes = (int64_t)o->bucket_mb * (1 << 20);
    o->log_every = o->log_every ? o->log_every : 10;
    o->keep = o->keep ? o->keep : 3;
    o->heartbeat = o->heartbeat != 0 ? o->heartbeat : HEARTBEAT;
    return WEFT_OK;
}

/* Started alone and asked for several processes: start them, unless they would only fail. */
static weft_status relaunch(weft_fabric *f, int devices)
{
    const weft__environ *e = &f->facade->environ;
    const weft__settings *t = &f->facade->settings;
    const weft_strategy_ops *strategy = t->o.strategy_ops;
    if (devices < 2 || e->launcher != WEFT__LAUNCHER_NONE || e->relaunched || t->lightning ||
        weft__mpi_is_up())
        return WEFT_OK;
    WEFT_TRY(strategy ? weft__strategy_check(strategy, devices)
                      : weft__strategy_find(t->o.strategy, devices, &strategy));
    WEFT_TRY(weft__precision_check(t->o.precision));
    if (t->o.num_nodes > 1)
        return weft__fail(WEFT_ECONFIG,
                          "num_nodes=%d cannot be started from here; use weft run --hosts, srun or "
                          "mpirun with a host list",
                          t->o.num_nodes);
    return weft__relaunch(devices, weft__environ_threads(e, devices, t->o.threads),
                          &f->facade->exit_status);
}

/* Nobody started this process who could tell MPI of others. */
static bool alone(const weft__environ *e)
{
    return e->launcher == WEFT__LAUNCHER_NONE || e->launcher == WEFT__LAUNCHER_TORCHRUN ||
           (e->launcher == WEFT__LAUNCHER_SRUN && e->size == 1 && !e->pmi);
}

/* Started alone: MPI has nothing to do. */
static weft_status join_self(weft_fabric *f, int devices)
{
    weft__facade *p = f->facade;
    WEFT_TRY(weft__environ_check(&p->environ, 1, 1, 1, devices, p->settings.o.num_nodes));
    return weft__comm_self(&f->comm);
}

/* Finds the peers, and whether they are who the launcher and the user said. */
static weft_status join(weft_fabric *f, const int *fortran_comm, int devices)
{
    weft__facade *p = f->facade;
    const weft__environ *e = &p->environ;
    int world = 0;
    if (!fortran_comm && alone(e) && !weft__mpi_is_up())
        return join_self(f, devices);
    f->rank = e->rank > 0 ? e->rank : 0; /* until MPI says */
    if (fortran_comm)                    /* else it would be started here */
        WEFT_TRY(weft__mpi_running());
    else if (!weft__mpi_is_up())
        WEFT_TRY(weft__environ_check_pmi(e, weft__mpi_version()));
    WEFT_TRY(weft__mpi_enter(&world));
    p->mpi = true;
    WEFT_TRY(weft__comm_mpi(&f->comm, fortran_comm ? *fortran_comm : world, p->settings.o.timeout,
                            &p->is_world));
    f->rank = f->comm->rank;
    f->world = f->comm->world;
    WEFT_TRY(weft__mpi_topology(f->comm, &f->local_rank, &f->local_size, &f->node_rank, &f->nodes));
    return p->is_world ? weft__environ_check(&p->environ, f->world, f->nodes, f->local_size,
                                             devices, p->settings.o.num_nodes)
                       : WEFT_OK;
}

static weft_status same_settings(weft_fabric *f)
{
    const weft__facade *p = f->facade;
    const weft_open_options *o = &p->settings.o;
    char text[640];
    snprintf(text, sizeof text,
             "version %s accelerator %s strategy %.64s%s precision %s seed %llu nonfinite %d "
             "log_every %d bucket %lld "
             "keep %d print_config %d heartbeat %g scale %.17g %.17g %d %.17g %.17g reproducible "
             "%d share %d products %s",
             weft_version(), f->device->ops->name, p->strategy->ops->name,
             o->strategy_ops ? " (own)" : "", p->precision, (unsigned long long)f->seed,
             (int)p->nonfinite, p->settings.o.log_every, (long long)f->bucket_bytes,
             p->settings.o.keep, p->settings.o.print_config, p->settings.o.heartbeat, o->init_scale,
             o->growth_factor, o->growth_interval, o->backoff_factor, o->min_scale, o->reproducible,
             o->share_devices, o->matmul_precision);
    return weft__agree_text(f->comm, "settings", "the settings of weft_open", text);
}

static weft_status build(weft_fabric *f)
{
    weft__facade *p = f->facade;
    const weft_open_options *o = &p->settings.o;
    if (!(p->counts = weft__new((size_t)f->world, 2 * sizeof *p->counts)))
        return WEFT_ENOMEM;
    WEFT_TRY(weft__engine_open(f));
    f->engine->gate = weft__judge_late;
    WEFT_TRY(weft__tape_open(f));
    WEFT_TRY(weft__precision_set(f, o->precision, &p->precision));
    weft__precision_prepare(f);
    WEFT_TRY(weft__strategy_open(&p->strategy, f, o->strategy, o->strategy_ops, o->strategy_self));
    f->tape->hooks = weft__strategy_hooks(p->strategy);
    WEFT_TRY(weft__leaves_open(f));
    WEFT_TRY(weft__metrics_open(f));
    p->checkpoint = (weft__checkpoint){.comm = f->comm,
                                       .device = f->device,
                                       .stream = f->stream,
                                       .state = weft__fabric_state,
                                       .self = f,
                                       .host = f->host,
                                       .keep = o->keep};
    return WEFT_OK;
}

static weft_status watch(weft_fabric *f)
{
    double seconds = f->facade->settings.o.heartbeat;
    if (f->world == 1 || seconds == WEFT_OFF)
        return WEFT_OK;
    return weft__heartbeat_start(f->comm, &(weft__watch){.seconds = seconds,
                                                         .host = f->host,
                                                         .local_rank = f->local_rank,
                                                         .node_rank = f->node_rank,
                                                         .nodes = f->nodes,
                                                         .step = &f->step});
}

static void greet(const weft_fabric *f)
{
    const weft__facade *p = f->facade;
    if (f->rank == 0)
        weft__say(WEFT_LOG_INFO, "%d rank%s on %d node%s, %d thread%s each, %s, %s, %s, %s",
                  f->world, f->world > 1 ? "s" : "", f->nodes, f->nodes > 1 ? "s" : "", f->threads,
                  f->threads > 1 ? "s" : "", f->device->ops->name, p->strategy->ops->name,
                  p->precision, weft_kernel_set(f));
}

/* What runs, in the place of what was asked for. */
static weft_status print_config(const weft_fabric *f)
{
    weft__settings s = f->facade->settings;
    char devices[16];
    snprintf(devices, sizeof devices, "%d", f->local_size);
    s.o.accelerator = weft_accelerator_name(f);
    s.o.strategy = weft_strategy_name(f);
    s.o.precision = weft_precision_name(f);
    s.o.devices = devices;
    s.o.num_nodes = f->nodes;
    s.o.threads = f->threads;
    if (f->world > 1)
        s.o.process_group_backend = weft_process_group_backend(f);
    if (f->rank == 0)
        weft__settings_print(&s);
    return WEFT_CONFIG_PRINTED;
}

static weft_status together(weft_fabric *f, weft_status mine)
{
    if (mine < 0)
        weft__stick(f, mine);
    return f->comm ? weft__agree_on_errors(f) : weft__stuck(f);
}

static weft_status open_all(weft_fabric *f, const int *fortran_comm, const weft_open_options *code,
                            const char *text, int *argc, char ***argv)
{
    char why[WEFT__TEXT];
    int devices = 0;
    weft_status joined, s = weft__environ_read(&f->facade->environ);
    if (!s)
        s = read_settings(f, code, text, argc, argv);
    if (!s)
        s = weft__devices_wanted(f, &devices);
    if (!s && !fortran_comm)
        s = relaunch(f, devices);
    if (s == WEFT_RELAUNCHED || (s < 0 && alone(&f->facade->environ) && !fortran_comm))
        return s;
    /* A rank that failed alone would leave the others waiting: it joins them, to say so. */
    snprintf(why, sizeof why, "%s", weft__why());
    if (f->facade->settings.o.share_devices)
        devices = 0; /* says nothing of the number of ranks */
    joined = join(f, fortran_comm, devices);
    WEFT_TRY(together(f, s < 0 ? weft__fail(s, "%s", why) : joined));
    const weft_open_options *o = &f->facade->settings.o;
    WEFT_TRY(together(f, weft__overlap_choose(&f->comm, o->overlap_comm, o->process_group_backend,
                                              f->node_rank, f->nodes)));
    WEFT_TRY(together(f, weft__devices_open(f)));
    WEFT_TRY(together(f, weft__backend_device(&f->comm, o->process_group_backend, f->device,
                                              strcmp(o->overlap_comm, "off") != 0)));
    WEFT_TRY(together(f, build(f)));
    WEFT_TRY(together(f, same_settings(f)));
    if (f->facade->settings.o.print_config)
        return print_config(f);
    WEFT_TRY(together(f, watch(f)));
    f->facade->whole = true;
    greet(f);
    return WEFT_OK;
}

static weft_status opened(weft_fabric **out, const int *fortran_comm, const weft_open_options *code,
                          const char *text, int *argc, char ***argv)
{
    if (!out)
        return WEFT_EARG;
    weft_fabric *f = *out = blank();
    if (f == &no_memory)
        return WEFT_ENOMEM;
    weft_status s = open_all(f, fortran_comm, code, text, argc, argv);
    f->shut = s != WEFT_OK;
    return s < 0 ? weft__stick(f, s) : s;
}

weft_status weft_open(weft_fabric **f, int *argc, char ***argv, const weft_open_options *o)
{
    return opened(f, NULL, o, NULL, argc, argv);
}

weft_status weft_open_text(weft_fabric **f, int *argc, char ***argv, const char *options)
{
    return opened(f, NULL, NULL, options ? options : "", argc, argv);
}

weft_status weft__open_fortran(weft_fabric **f, int fortran_comm, const weft_open_options *o)
{
    return opened(f, &fortran_comm, o, NULL, NULL, NULL);
}

static void destroy_objects(weft_fabric *f, weft__kind first, weft__kind last)
{
    for (weft__kind k = first; k <= last; k++)
        for (weft__object *o; (o = weft__object_first(f, k));)
            weft__object_free(o);
}

static void take_down(weft_fabric *f)
{
    weft__facade *p = f->facade;
    destroy_objects(f, WEFT__LOADER, WEFT__LOGGER);
    if (f->comm &&
        f->comm->lost) {          /* the call that did not end may still write to any of the rest */
        weft__comm_free(f->comm); /* ends its threads */
        weft__mpi_leave(true);
        weft__process_abandon(f);
        return;
    }
    weft__graph_close(f->device);
    destroy_objects(f, WEFT__METRIC, WEFT__MODULE);
    weft__checkpoint_free(&p->checkpoint);
    weft__metrics_close(f);
    weft__strategy_close(p->strategy);
    weft__tape_close(f);
    weft__engine_close(f);
    if (f->stream)
        f->device->ops->stream_free(f->stream);
    weft__comm_free(f->comm);
    weft__device_close(f->device);
    if (p->mpi)
        weft__mpi_leave(false);
    weft__tracked_free(f);
    weft__free(p->run);
    weft__free(p->counts);
    weft__settings_free(&p->settings);
    pthread_mutex_destroy(&p->inferring);
    weft__free(p);
    weft__free(f);
}

/* Once for all ranks where they agree on it, by each rank where it stands alone. */
static int report(const weft_fabric *f, weft_status code, bool alike)
{
    if (code >= 0)
        return 0;
    if (!alike || f->rank == 0)
        weft__say(WEFT_LOG_ERROR, "%s (%s)", weft_message(f), weft_status_name(code));
    return -code < HIGHEST ? -code : HIGHEST;
}

int weft_close(weft_fabric **out)
{
    weft_fabric *f = out ? *out : NULL;
    int status;
    if (!f)
        return 0;
    *out = NULL;
    if (f == &no_memory)
        return report(f, WEFT_ENOMEM, false);
    if (f->facade->exit_status >= 0) {
        status = f->facade->exit_status;
        take_down(f);
        return status;
    }
    bool alike = f->comm && !f->comm->lost;
    if (f->facade->whole && alike)
        weft__late_read(f);
    weft_status code = weft__stuck(f);
    if (f->facade->whole && alike) {
        code = weft__agree_on_errors(f);
        if (!code)
            weft__final_save(f);
        if (!f->comm->lost)
            weft__metrics_flush(f, true);
        weft_status last = weft__heartbeat_end(f->comm);
        if (last < 0)
            code = weft__stick(f, last);
    } else if (f->comm) {
        weft__heartbeat_end(f->comm);
    }
    weft__metrics_finish(f);
    weft__memory_say(f);
    status = report(f, code, alike && !f->comm->lost);
    take_down(f);
    return status;
}
