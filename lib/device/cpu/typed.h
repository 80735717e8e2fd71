/* Reads the file CPU_FAMILY twice, with T the element type and N(name) a name for it. No guard: one
 * use per family. */
#define T float
#define N(name) name##_f32
#include CPU_FAMILY
#undef T
#undef N
#define T double
#define N(name) name##_f64
#include CPU_FAMILY
#undef T
#undef N
