/* Starting a program as N ranks, and standing in for them until they end. */
#ifndef LAUNCH_LAUNCH_H
#define LAUNCH_LAUNCH_H
#include <stdbool.h>
#include <weft/status.h>

/* What to start, where and how. */
typedef struct weft__job {
    char *const *program;  /* words, NULL at the end; NULL: this program, as it was started */
    bool srun;             /* with srun, which is in a Slurm job; else with mpirun */
    int devices;           /* ranks a node; srun: 0 leaves it to the job */
    int nodes;             /* 0: one; srun: the job's */
    const char *hosts;     /* "a,b", as many as nodes; NULL: this machine, or the Slurm job's */
    int threads;           /* a rank; 0 leaves it open */
    bool bind;             /* each rank to as many cores as it has threads */
    char *const *settings; /* NAME=value for the ranks, NULL at the end; they win over ours */
    double grace;          /* seconds from TERM or INT to KILL, 0: never */
} weft__job;

/* Starts it under mpirun (WEFT_MPIRUN, else the one that configure found, else PATH's) or srun, with
 * OMP_NUM_THREADS and the like set unless they are, because libgomp reads them when it is loaded;
 * and waits. Signals INT, TERM, USR1 and USR2 are passed on; the launcher dies with this process.
 * Oversubscription and root are allowed as needed.
 * @param[out] status  what the launcher returned, 128 + the signal that ended it; 255 if unknown.
 * @return WEFT_OK, or WEFT_ENOENT (no launcher: the message says what to install), WEFT_EIO. */
weft_status weft__launch(const weft__job *job, int *status);
/* Runs this program again (/proc/self/exe, argv as the program was started: read from
 * /proc/self/cmdline) as n ranks under mpirun.
 * @param[out] exit_status  0..125 of the children.
 * @return WEFT_RELAUNCHED, or what weft__launch returns; WEFT_ESTATE in such a child. */
weft_status weft__relaunch(int n, int threads, int *exit_status);
#endif
