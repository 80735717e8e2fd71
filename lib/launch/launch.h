/* Starting the program again as N ranks. */
#ifndef LAUNCH_LAUNCH_H
#define LAUNCH_LAUNCH_H
#include <weft/status.h>

/* Runs this program again (/proc/self/exe, argv as the program was started: read from
 * /proc/self/cmdline) as n ranks under mpirun (WEFT_MPIRUN, else the one that configure found, else
 * PATH's), with threads a rank set in OMP_NUM_THREADS unless it is set, and waits. Signals INT, TERM,
 * USR1 and USR2 are passed on; mpirun dies with this process. Oversubscription and root are allowed
 * as needed.
 * @param[out] exit_status  0..125 of the children.
 * @return WEFT_RELAUNCHED, or WEFT_ENOENT (no mpirun: the message says what to install), WEFT_EIO. */
weft_status weft__relaunch(int n, int threads, int *exit_status);
#endif
