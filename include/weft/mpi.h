/* Opening a fabric on a communicator of the program's own. The only header that needs mpi.h. */
#ifndef WEFT_MPI_H
#define WEFT_MPI_H
#include <mpi.h>
#include <weft/fabric.h>
WEFT_BEGIN
/* As weft_open, on comm, which is duplicated and stripped of any topology; the program keeps its
 * own. MPI must be initialised (WEFT_ESTATE else), at any thread level. Collective over comm. */
WEFT_API weft_status weft_open_mpi(weft_fabric **f, MPI_Comm comm, const weft_open_options *o);
/* The same for Fortran's handle. */
WEFT_API weft_status weft_open_mpi_f(weft_fabric **f, MPI_Fint comm, const weft_open_options *o);
WEFT_END
#endif
