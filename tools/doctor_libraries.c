/* MPI and HDF5: which, whether header, library and launcher are of one kind, and the faults that are
 * known of these versions. */
#include "doctor.h"

#include "comm/mpi.h"
#include "core/env.h"
#include "core/error.h"
#include "fabric/options.h"
#include "launch/command.h"

#include <hdf5.h>
#include <stdio.h>
#include <string.h>

/* The first "1.2.3" in a text. */
static bool version_in(const char *text, int v[3])
{
    for (; *text; text++)
        if (*text >= '0' && *text <= '9')
            return sscanf(text, "%d.%d.%d", &v[0], &v[1], &v[2]) >= 2;
    return false;
}

static bool before(const int v[3], int a, int b, int c)
{
    return v[0] != a ? v[0] < a : v[1] != b ? v[1] < b : v[2] < c;
}

/* mpirun's answer to --version. Whether it really suits is seen when ranks are started. */
static void look_at_mpirun(doctor *d, const char *library, const int v[3])
{
    char path[PATH_MAX], command[PATH_MAX + 40], line[200];
    const char *name = weft__env_text("WEFT_MPIRUN");
    int r[3] = {0};
    if (!weft__find_program(name ? name : "mpirun", path)) {
        doctor_say(
            d, DOCTOR_WARN, "mpirun",
            "install it (Debian: openmpi-bin; on a cluster: module load openmpi), or use srun",
            "there is no %s", name ? name : "mpirun on PATH");
        return;
    }
    snprintf(command, sizeof command, "'%s' --version 2>/dev/null", path);
    doctor_ask(command, line, sizeof line);
    bool same = version_in(line, r) && memcmp(r, v, sizeof r) == 0;
    doctor_say(d, same ? DOCTOR_OK : DOCTOR_WARN, "mpirun",
               same ? NULL
                    : "put the bin folder of the library's MPI first on PATH, or set WEFT_MPIRUN",
               "%s says \"%s\", the library is %s", path, line, library);
}

static void look_at_mpi(doctor *d)
{
    const char *library = weft__mpi_version(), *io = weft__env_text("OMPI_MCA_io");
    int v[3] = {0};
    version_in(library, v);
    bool open_mpi = strstr(library, "Open MPI") != NULL;
    if (open_mpi && before(v, 4, 1, 0))
        doctor_say(d, DOCTOR_WARN, "mpi", "use Open MPI 4.1 or later",
                   "%s is known to corrupt or hang in MPI-IO", library);
    else if (open_mpi)
        doctor_say(d, DOCTOR_OK, "mpi", NULL,
                   "%s; it corrupts what HDF5 writes through a cartesian communicator, which Weft "
                   "does not use: in code of your own, give HDF5 one of MPI_Comm_split",
                   library);
    else
        doctor_say(d, DOCTOR_OK, "mpi", NULL, "%s", library);
    if (io && strncmp(io, "romio", 5) == 0)
        doctor_say(d, DOCTOR_WARN, "mpi-io", "unset OMPI_MCA_io",
                   "OMPI_MCA_io=%s: on a full disk ROMIO hangs in collective writes", io);
    look_at_mpirun(d, library, v);
}

static void look_at_hdf5(doctor *d)
{
    unsigned v[3];
    hbool_t safe = false;
    if (H5get_libversion(&v[0], &v[1], &v[2]) < 0) {
        doctor_say(d, DOCTOR_BAD, "hdf5", NULL, "the library does not say its version");
        return;
    }
    H5is_library_threadsafe(&safe);
#ifdef H5_HAVE_PARALLEL
    const char *parallel = "parallel";
#else
    const char *parallel = "serial";
#endif
    const int have[3] = {(int)v[0], (int)v[1], (int)v[2]};
    bool same = v[0] == H5_VERS_MAJOR && v[1] == H5_VERS_MINOR && v[2] == H5_VERS_RELEASE;
    bool metadata = !before(have, 1, 10, 5) && before(have, 1, 10, 9);
    doctor_say(d, same ? DOCTOR_OK : DOCTOR_BAD, "hdf5",
               same ? NULL : "build Weft again, or load the HDF5 it was built with",
               "%u.%u.%u, built for %d.%d.%d, %s, %sthread-safe%s", v[0], v[1], v[2], H5_VERS_MAJOR,
               H5_VERS_MINOR, H5_VERS_RELEASE, parallel, safe ? "" : "not ",
               metadata ? "; its collective metadata reads are broken, which Weft does not use"
                        : "");
}

void doctor_libraries(doctor *d)
{
    look_at_mpi(d);
    look_at_hdf5(d);
}

/* Settings that change what libraries do, or that nobody reads. */
void doctor_variables(doctor *d)
{
    static const char *const name[] = {"LD_PRELOAD", "HDF5_PLUGIN_PATH", "HDF5_PLUGIN_PRELOAD",
                                       "HDF5_VOL_CONNECTOR", "HDF5_DRIVER"};
    weft__settings s = {0};
    doctor_level worst = d->worst;
    d->worst = DOCTOR_OK;
    for (int i = 0; i < 5; i++)
        if (weft__env_text(name[i]))
            doctor_say(d, DOCTOR_WARN, "variables", "unset it, unless it is meant",
                       "%s=%s makes libraries load code or use drivers of somebody else's", name[i],
                       weft__env_text(name[i]));
    doctor_listen(d, "variables");
    weft_status bad = weft__settings_read(&s, NULL, NULL, NULL, NULL);
    doctor_listen_no_more();
    if (bad)
        doctor_say(d, DOCTOR_BAD, "variables", "mend or unset it", "%s", weft__why());
    else if (d->worst == DOCTOR_OK)
        doctor_say(d, DOCTOR_OK, "variables", NULL, "nothing that should not be there");
    weft__settings_free(&s);
    d->worst = worst > d->worst ? worst : d->worst;
}
