/* Opening on a communicator of the program's own. */
#include "comm/mpi.h"
#include "fabric/facade.h"

#include <weft/mpi.h>

weft_status weft_open_mpi_f(weft_fabric **f, MPI_Fint comm, const weft_open_options *o)
{
    return weft__open_fortran(f, (int)comm, o);
}

weft_status weft_open_mpi(weft_fabric **f, MPI_Comm comm, const weft_open_options *o)
{
    /* Before MPI_Init even this call ends the process. */
    return weft__open_fortran(f, weft__mpi_is_up() ? (int)MPI_Comm_c2f(comm) : 0, o);
}
