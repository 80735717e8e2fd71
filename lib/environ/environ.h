/* What the launcher says, read from the environment before MPI_Init. */
#ifndef ENVIRON_ENVIRON_H
#define ENVIRON_ENVIRON_H
#include <weft/status.h>

typedef enum weft__launcher {
    WEFT__LAUNCHER_NONE,    /* started alone */
    WEFT__LAUNCHER_MPIRUN,  /* OMPI_COMM_WORLD_* */
    WEFT__LAUNCHER_SRUN,    /* SLURM_PROCID with a step of this process's own */
    WEFT__LAUNCHER_PMI,     /* PMIX_RANK or PMI_RANK only */
    WEFT__LAUNCHER_TORCHRUN /* TORCHELASTIC_RUN_ID: of its processes MPI knows nothing */
} weft__launcher;

typedef struct weft__environ {
    weft__launcher launcher;
    int rank, size;             /* -1 if the launcher does not say */
    int local_rank, local_size; /* -1 if it does not say */
    int nodes;                  /* -1 if it does not say */
    int cpus;                   /* cores (not hyperthreads) in this process's affinity mask */
    int node_cpus;              /* cores of this node that the job may use: a guess until
                                   weft__environ_share */
    bool pmi;                   /* srun has given this task what MPI finds the others by */
    bool relaunched;            /* a child of weft_open's own relaunch */
} weft__environ;

/* WEFT_EARG if a variable is set to nonsense. */
weft_status weft__environ_read(weft__environ *e);
const char *weft__launcher_name(weft__launcher l);

/* Affinity masks as bits. Of this process; and what the ranks of the node have together (the OR of
 * their masks, see weft__mpi_node_or), which makes node_cpus exact whether ranks are bound or not. */
#define WEFT__MASK 128 /* bytes */
void weft__environ_mask(unsigned char mask[WEFT__MASK]);
void weft__environ_share(weft__environ *e, const unsigned char mask[WEFT__MASK]);
/* Cores in a mask; hyperthreads of one core count once. */
int weft__environ_cores(const unsigned char mask[WEFT__MASK]);

/* Before MPI is started: WEFT_ECONFIG with cures if srun gave no PMI and this MPI, whose version line
 * is given, ends the process for that. */
weft_status weft__environ_check_pmi(const weft__environ *e, const char *mpi);
/* The communicator's word against the launcher's: WEFT_ECONFIG with cures for singletons under srun
 * (size 1 where SLURM_NTASKS says more), for sizes that differ, and for a devices or num_nodes that
 * the user gave (0: did not) and that is not what runs. */
weft_status weft__environ_check(const weft__environ *e, int world, int nodes, int local_size,
                                int devices, int num_nodes);
/* Threads for a rank: asked (0: not), else OMP_NUM_THREADS, else the mask's or the node's cores over
 * the local ranks; clamped to that with a warning, at least 1. */
int weft__environ_threads(const weft__environ *e, int local_size, int asked);

/* What the text of `devices` asks for. */
typedef enum weft__devices_kind {
    WEFT__DEVICES_AUTO,
    WEFT__DEVICES_ALL,
    WEFT__DEVICES_COUNT, /* n of them, ids 0 to n-1 */
    WEFT__DEVICES_IDS    /* the n with these ids */
} weft__devices_kind;

#define WEFT__DEVICE_IDS 64 /* the most ids that a list may have */
typedef struct weft__devices {
    weft__devices_kind kind;
    int n;
    int id[WEFT__DEVICE_IDS];
} weft__devices;

/* Fabric's grammar, for accelerators whose devices have ids. WEFT_EARG says what is wrong. */
weft_status weft__devices_read(weft__devices *d, const char *text);
/* The same for a node that has `count`, at most WEFT__DEVICE_IDS: what ranks may use, n of them, all for
 * "auto" (NULL too). WEFT_EARG names one that is not there. */
weft_status weft__devices_of_node(const char *accelerator, const char *text, int count,
                                  weft__devices *d);
/* The device of a local rank: the ranks take them in order, and go round if they may share. WEFT_ECONFIG
 * if there are fewer devices than ranks and they may not. */
weft_status weft__devices_index(const char *accelerator, const weft__devices *d, int local_rank,
                                int local_size, bool share, int *index);
/* How near the device at a PCI address ("0000:65:00.0"; "": unknown) is to the cores of a mask, 0 to
 * WEFT__NEAREST: 0 for all that hwloc does not tell apart. */
#define WEFT__NEAREST 15
int weft__environ_near(const unsigned char mask[WEFT__MASK], const char *bus);
/* Of `devices`, at least as many as ranks, rank r gets of[r], each another one: the nearest in all, in the
 * order of both where they are as near. near: (ranks, WEFT__DEVICE_IDS). */
void weft__devices_near(int ranks, int devices, const unsigned char *near, int *of);
/* For an accelerator that is the host's processor, where a device is a process: *n of them, 0 for
 * "auto". All and ids are refused. */
weft_status weft__devices_of_host(const char *accelerator, const char *text, int *n);
#endif
