/* MPI as a fact of the process: who started it, who may end it. */
#include "comm/mpi_self.h"

#include "core/error.h"
#include "core/process.h"

#include <string.h>

weft_status weft__mpi_failed(const char *call, int rc)
{
    char text[MPI_MAX_ERROR_STRING] = "";
    int n = 0;
    MPI_Error_string(rc, text, &n);
    return weft__fail(WEFT_EMPI, "%s: %s", call, text);
}

static weft_status refuse_finalized(void)
{
    int over = 0;
    MPI_Finalized(&over);
    if (!over)
        return WEFT_OK;
    return weft__fail(
        WEFT_ESTATE, "MPI was finalised in this process, by the program or by the last weft_close, "
                     "and cannot start again; to open several fabrics one after the other, call "
                     "MPI_Init in the program and MPI_Finalize after the last weft_close");
}

weft_status weft__mpi_running(void)
{
    int begun = 0;
    WEFT_TRY(refuse_finalized());
    MPI_Initialized(&begun);
    return begun ? WEFT_OK : weft__fail(WEFT_ESTATE, "MPI is not initialised; call MPI_Init first");
}

static weft_status start(void)
{
    int begun = 0, level, rc;
    WEFT_TRY(refuse_finalized());
    MPI_Initialized(&begun);
    if (begun)
        return WEFT_OK;
    rc = MPI_Init_thread(NULL, NULL, MPI_THREAD_MULTIPLE, &level);
    if (rc)
        return weft__mpi_failed("MPI_Init_thread", rc);
    weft__process.mpi_ours = 1;
    /* Open MPI takes errors of non-blocking collectives there, whatever communicator they are on. */
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    return WEFT_OK;
}

/* The lock is held while MPI starts and ends, longer than is usual: two threads that open their
 * first fabrics at once must not both initialise. */
weft_status weft__mpi_enter(int *world)
{
    weft_status rc;
    weft__process_lock();
    rc = start();
    if (!rc)
        weft__process.mpi_users++;
    weft__process_unlock();
    if (!rc)
        *world = (int)MPI_Comm_c2f(MPI_COMM_WORLD);
    return rc;
}

bool weft__mpi_is_up(void)
{
    int up = 0, over = 0;
    MPI_Initialized(&up);
    MPI_Finalized(&over);
    return up && !over;
}

void weft__mpi_leave(bool lost)
{
    int over = 0;
    if (lost)
        weft__mpi_lost();
    weft__process_lock();
    if (--weft__process.mpi_users == 0 && weft__process.mpi_ours) {
        MPI_Finalized(&over);
        if (!over)
            MPI_Finalize();
        weft__process.mpi_ours = 0;
    }
    weft__process_unlock();
}

void weft__mpi_lost(void)
{
    weft__process_lock();
    weft__process.mpi_ours = 0; /* MPI_Finalize would wait for the peer for ever */
    weft__process_unlock();
}

const char *weft__mpi_version(void)
{
    static _Thread_local char text[MPI_MAX_LIBRARY_VERSION_STRING + 1];
    int n = 0;
    MPI_Get_library_version(text, &n);
    text[strcspn(text, ",\r\n")] = '\0';
    return text;
}
