/* Whether calls go on beside their caller, by the word of an option: auto is between nodes; on one
 * node ranks fill the cores, and what moves data there takes them from what computes. */
#ifndef COMM_OVERLAP_H
#define COMM_OVERLAP_H
#include <weft/sys/comm.h>

/* *out: the word in the table; NULL is auto. @return WEFT_EARG */
weft_status weft__overlap_find(const char *name, const char **out);
/* Chooses the backend of *c (backend.h), which is on MPI, and sets it up for that, both words being from
 * their tables. WEFT_ECONFIG, alike on all ranks, if words differ, or on is said of a backend that
 * cannot. node_rank: this rank's node, of `nodes`. Collective. */
weft_status weft__overlap_choose(weft_comm **c, const char *overlap, const char *backend,
                                 int node_rank, int nodes);
#endif
