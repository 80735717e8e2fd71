/* The parts of weft doctor. Each looks at one thing and says what it found. */
#ifndef TOOLS_DOCTOR_H
#define TOOLS_DOCTOR_H
#include "environ/environ.h"

typedef enum doctor_level { DOCTOR_OK, DOCTOR_WARN, DOCTOR_BAD } doctor_level;

typedef struct doctor {
    bool json;
    doctor_level worst;
    const char *dir; /* of checkpoints and data */
    weft__environ environ;
} doctor;

/* One finding, a line; cure: what to do, NULL if nothing is to be done. */
void doctor_say(doctor *d, doctor_level level, const char *what, const char *cure,
                const char *format, ...) WEFT_PRINTF(5, 6);
/* From here to the second call, what the library warns of becomes findings about `what`. */
void doctor_listen(doctor *d, const char *what);
void doctor_listen_no_more(void);
/* The first line that a command prints, "" if it prints none. @return its exit status. */
int doctor_ask(const char *command, char *line, int size);
/* The CPUs of an affinity mask as "0-3,8". */
void doctor_mask(const unsigned char mask[WEFT__MASK], char *out, size_t size);

/* Operations a second of matrix products on one thread, and of which kernels; 0: there are none. */
double doctor_rate(const char **set);

void doctor_machine(doctor *d);   /* cores, threads, kernels and their share of the peak */
void doctor_devices(doctor *d);   /* the accelerators that have numbers */
void doctor_libraries(doctor *d); /* MPI, HDF5, and variables that change them */
void doctor_variables(doctor *d);
void doctor_files(doctor *d); /* the directory, /dev/shm */
void doctor_slurm(doctor *d);
/* In a process that a launcher started: the ranks together. Collective; rank 0 speaks. */
void doctor_ranks(doctor *d);
#endif
