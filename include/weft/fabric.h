/* The fabric: opens devices and communication, sets up what the user made, closes everything. */
#ifndef WEFT_FABRIC_H
#define WEFT_FABRIC_H
#include <weft/base.h>
#include <weft/collective.h>
#include <weft/data.h>
#include <weft/nn.h>
#include <weft/optim.h>
#include <weft/status.h>
WEFT_BEGIN

/* Options of weft_open; names and accepted words are Fabric's. Each can also be given as text, as
 * WEFT_OPTION=value in the environment, and as --option=value or --option value on the command
 * line, where num-nodes is num_nodes, and print_config stands alone. The command line wins over the
 * environment, which wins over the code or text; of one given twice in one place the last counts.
 * Our words, and no others, are taken out of argv; "--" ends them, and stays. A word that nearly is
 * ours is left to the program, with a warning.
 * Lightning's LT_ACCELERATOR, LT_STRATEGY, LT_DEVICES, LT_NUM_NODES and LT_PRECISION count where
 * LT_CLI_USED=1 says that a launcher set them: WEFT_OPTION wins over them, and a program that asks
 * for something else is refused (WEFT_EARG). */
typedef struct weft_open_options {
    const char *accelerator WEFT_INIT; /* "auto" (default), "cpu", "mock" */
    /* "auto" (default), "single", "ddp", "zero1" ("deepspeed_stage_1"), "zero2" ("deepspeed_stage_2") */
    const char *strategy WEFT_INIT;
    const char *devices WEFT_INIT;   /* "auto" (default) or processes a node, "2"; of
                                        * mock also "-1" for all, ids as in "0,1" */
    int num_nodes WEFT_INIT;         /* default: what the launcher says */
    const char *precision WEFT_INIT; /* README: "Precision"; "32-true" (default) */
    const char *nonfinite WEFT_INIT; /* non-finite gradients: "error" (default), "skip", "ignore" */
    uint64_t seed WEFT_INIT;         /* of parameters and data order; default 0 */
    int threads WEFT_INIT;           /* a rank; default: cores given to the rank */
    int log_every WEFT_INIT;         /* steps between fetches of logged values; default 10 */
    double timeout WEFT_INIT;        /* seconds a collective may wait for a peer; default 1800 */
    int bucket_mb WEFT_INIT;         /* size of a gradient bucket; default 25 */
    int keep WEFT_INIT;          /* checkpoints kept, oldest go first; default 3; WEFT_OFF: all */
    bool print_config WEFT_INIT; /* says each option, its value and its source, and stops */
    /* Seconds in which a dead, stopped or strayed rank is found and all ranks end; one that is only
     * late is waited for until timeout. At least 1, default 10, WEFT_OFF: only timeout counts. */
    double heartbeat WEFT_INIT;
    /* The loss scale of 16-mixed, by torch.cuda.amp.GradScaler's names; given with another precision
     * they are an error. Gradients that are not finite skip the step, also where nonfinite says
     * otherwise; at min_scale they are an error (WEFT_ENONFINITE), DeepSpeed's rule. */
    double init_scale WEFT_INIT;     /* default 65536; WEFT_OFF: no loss scale */
    double growth_factor WEFT_INIT;  /* default 2, above 1: after growth_interval good steps */
    double backoff_factor WEFT_INIT; /* default 0.5, below 1, after a step that was skipped */
    int growth_interval WEFT_INIT;   /* default 2000 */
    double min_scale WEFT_INIT;      /* default 1 */
    /* Reproducible mode, at a price: the same bits on 1, 2, 4, ... `reproducible` ranks, a power of
     * two of at most 2048, with any number of threads. Each batch of a training loader is cut into so
     * many micro-batches: weft_next hands out this rank's one after the other (that is reproducible /
     * ranks of them a step), and weft_zero_grad, weft_step and weft_log act once for all of them, as
     * with weft_accumulate. Gradients, weights and logged means are summed in a binary tree over the
     * micro-batches. Takes strategies single and ddp, data sets with global_batch, one
     * weft_backward a micro-batch. Default 0: sums over ranks depend on their number by rounding. */
    int reproducible WEFT_INIT;
    /* How ranks reach each other: "mpi"; "shm": memory that they share, all on one node (WEFT_ECONFIG);
     * "nccl": memory of GPUs by NCCL, the rest as with auto; each rank has a GPU of its own
     * (WEFT_ECONFIG), and NCCL is there (WEFT_ENOTSUP); "auto" (default): shm where it can be, else mpi,
     * and with accelerator cuda NCCL where it can be. */
    const char *process_group_backend WEFT_INIT;
    /* A strategy of the user's own instead of .strategy (<weft/sys/strategy.h>), and what its callbacks
     * get as self; both are borrowed until weft_close. */
    const struct weft_strategy_ops *strategy_ops WEFT_INIT;
    void *strategy_self WEFT_INIT;
    /* Whether gradients are summed beside the backward pass that makes them: "auto" (default) is
     * between nodes alone, "on", "off". */
    const char *overlap_comm WEFT_INIT;
    /* More ranks of a node than it has devices take them in turn; else that is refused. Of accelerators
     * whose devices have numbers. */
    bool share_devices WEFT_INIT;
    /* torch.set_float32_matmul_precision: products of f32 matrices are "highest" (default), of numbers as
     * they are, or may, "high" or "medium", be of numbers rounded to TF32, 10 bits of fraction, on
     * GPUs that have it. They allow it, and change nothing elsewhere. */
    const char *matmul_precision WEFT_INIT;
    /* Whether a step's work on a GPU is launched as CUDA graphs: "on" compares what a step asks for with
     * the steps before, and what is equal is launched at once; what differs, say after another batch
     * size, goes one by one. Results are the same bits. "off"; "auto" (default) is on for
     * GPUs. Changes nothing on devices that make no graphs. */
    const char *graph WEFT_INIT;
    WEFT_PTR(weft_open_options)
} weft_open_options;
#define WEFT_OPEN(...) WEFT__ARGS(weft_open_options, __VA_ARGS__)

/* Opens a fabric. argc and argv may be NULL; with them, Weft's own options are taken out of them.
 * MPI is initialised unless the program has done so or runs alone, without a launcher, where it has
 * nothing to do; what we initialised, the last weft_close finalises. A program started alone with
 * devices=N starts itself again under mpirun as N ranks: in the parent weft_open then returns
 * WEFT_RELAUNCHED after they ended, and weft_close their exit status. With print_config all ranks
 * get WEFT_CONFIG_PRINTED once rank 0 has said the options (to stderr, or weft_log_to's function),
 * and weft_close returns 0: the program's first lines end it.
 * Collective over MPI_COMM_WORLD (<weft/mpi.h> takes any other communicator).
 * @param[out] f  set even on failure, so that it can carry the message to weft_close.
 * @return 0, WEFT_RELAUNCHED, WEFT_CONFIG_PRINTED, or WEFT_EARG, WEFT_ECONFIG, WEFT_ENOTSUP, WEFT_EMPI, WEFT_ENOMEM. */
WEFT_API weft_status weft_open(weft_fabric **f, int *argc, char ***argv,
                               const weft_open_options *o);
/* The same from text, "strategy=ddp devices=2". */
WEFT_API weft_status weft_open_text(weft_fabric **f, int *argc, char ***argv, const char *options);

/* Ends it: makes the final save if weft_resume named a directory and no error sticks, reports the
 * error that sticks once, frees everything made from f, and sets *f to NULL. Collective.
 * @return fit for main: 0, or 1..125 after an error. */
WEFT_API int weft_close(weft_fabric **f);

/* Puts m and o (may be NULL) under the strategy, in place: parameters come into being, alike on all
 * ranks, and both become part of every checkpoint. Once each (WEFT_ESTATE). Collective. */
WEFT_API weft_status weft_setup(weft_fabric *f, weft_module *m, weft_optimizer *o);
WEFT_API weft_status weft_setup_module(weft_fabric *f, weft_module *m);
WEFT_API weft_status weft_setup_optimizer(weft_fabric *f, weft_optimizer *o);
/* Makes l part of every checkpoint. weft_next of the first training loader that is set up is the
 * step's edge. Once each (WEFT_ESTATE). Collective. */
WEFT_API weft_status weft_setup_loader(weft_fabric *f, weft_loader *l);

/* The step's edge for loops without a loader. Collective. @return the agreed error, or 0. */
WEFT_API weft_status weft_step_end(weft_fabric *f);
/* True once per step number, when the steps taken are a multiple of n. Not collective. */
WEFT_API bool weft_every(weft_fabric *f, int64_t n);
/* Steps taken: calls of weft_step, also skipped ones, also those before a resume. */
WEFT_API int64_t weft_step_count(const weft_fabric *f);

/* Properties. Valid from weft_open to weft_close; strings are borrowed. */
WEFT_API int weft_global_rank(const weft_fabric *f);
WEFT_API int weft_local_rank(const weft_fabric *f);
WEFT_API int weft_node_rank(const weft_fabric *f);
WEFT_API int weft_world_size(const weft_fabric *f);
WEFT_API int weft_local_world_size(const weft_fabric *f); /* ranks on this node */
WEFT_API int weft_num_nodes(const weft_fabric *f);
WEFT_API bool weft_is_global_zero(const weft_fabric *f);
WEFT_API int weft_threads(const weft_fabric *f);
WEFT_API uint64_t weft_seed(const weft_fabric *f);
WEFT_API const char *weft_accelerator_name(const weft_fabric *f);
WEFT_API const char *weft_strategy_name(const weft_fabric *f);
WEFT_API const char *weft_precision_name(const weft_fabric *f);
/* "mpi" or "shm"; "self" is one rank without MPI. */
WEFT_API const char *weft_process_group_backend(const weft_fabric *f);
WEFT_API const char *weft_device_name(const weft_fabric *f); /* "cpu" */
WEFT_API const char *weft_kernel_set(const weft_fabric *f);  /* of the GEMM, "BLIS 0.9.0 skx" */
WEFT_API const char *weft_hostname(const weft_fabric *f);
WEFT_API int weft_logger_count(const weft_fabric *f);
WEFT_API weft_logger *weft_logger_at(const weft_fabric *f, int i); /* 0 is the primary one */

/* Prints a line from rank 0, the newline added; the others print nothing. Not collective. It is the
 * program's own output, so it goes to stdout, where the library itself never writes. */
WEFT_API void weft_print(weft_fabric *f, const char *format, ...) WEFT_PRINTF(2, 3);
/* Sets the seed that modules, loaders and drawn numbers get from here on; what has been made keeps
 * its own. One seed is enough: order and numbers depend on it and on logical positions, never on
 * ranks, threads or a loader's worker. The C library's rand() is the program's. Errors stick:
 * WEFT_ECONFIG if ranks give different seeds. Collective. */
WEFT_API weft_status weft_seed_everything(weft_fabric *f, uint64_t seed);
/* x on f's device: x itself if it is of f, else a copy that lives until f's edge. Not collective. */
WEFT_API weft_tensor *weft_to_device(weft_fabric *f, weft_tensor *x);
/* The same for a batch, whose rows stay what they are. */
WEFT_API weft_batch weft_batch_to_device(weft_fabric *f, weft_batch b);
/* Fabric's autocast: in its scope matrix products compute in the low type of a mixed precision, as
 * inside weft_forward; outside both they compute in the type of their inputs. Nothing changes under
 * other precisions. Scopes nest, also with those of weft_eval_begin; they must be balanced
 * (WEFT_ESTATE, which sticks). Not collective. */
WEFT_API void weft_autocast_begin(weft_fabric *f);
WEFT_API void weft_autocast_end(weft_fabric *f);

/* What else Fabric has, and how it is had: launch and run are weft_open; setup_dataloaders is
 * weft_setup_loader; init_module is nothing, since a module has no memory before weft_setup, which
 * makes it on the device and in the type of the precision; init_tensor is WEFT_DEFAULT. */

/* Seconds spent since the last call, by part of the step, of this rank. */
typedef struct weft_timing {
    double data, forward, backward, communication, optimizer, step;
    int64_t steps;
} weft_timing;
WEFT_API weft_timing weft_timing_take(weft_fabric *f);

/* What travelled: counts since weft_open, for tests and benchmarks. */
typedef struct weft_traffic {
    int64_t collectives;      /* all collective calls */
    int64_t gradient_reduces; /* named gradient collectives */
    int64_t gradient_bytes;   /* their payload, padding and verdict words not counted */
    /* Tensors whose elements were copied as they are: from the program (weft_tensor_of, weft_copy_in, a
     * loader's batch) or to it (weft_copy_out, weft_infer), by weft_retain, and because an op takes them
     * in another type or order only. A step on wrapped data that ops take as they are has none. */
    int64_t copies;
    int64_t copied_bytes; /* of these */
    int64_t graphs;       /* launched, with .graph, */
    int64_t graph_calls;  /* in place of so many kernels and copies */
} weft_traffic;
WEFT_API weft_traffic weft_traffic_count(const weft_fabric *f);

WEFT_END
#endif
