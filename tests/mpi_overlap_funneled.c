/* The same in a program that lets MPI be called by one thread alone. */
#define LEVEL MPI_THREAD_FUNNELED
#include "mpi_overlap.c"
