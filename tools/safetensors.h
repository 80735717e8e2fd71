/* Files of the safetensors format: eight bytes with the length of a header, the header, which is a
 * JSON object of tensors' types, shapes and places, and the tensors' bytes, one behind the other
 * (github.com/huggingface/safetensors, "Format"). */
#ifndef TOOLS_SAFETENSORS_H
#define TOOLS_SAFETENSORS_H
#include <weft/status.h>

#define SAFETENSORS_HEADER ((int64_t)100000000) /* the longest header, bytes */

typedef struct safetensor {
    const char *name;   /* UTF-8, ends with '\0' */
    const char *shape;  /* in the header's text; safetensors_shape reads it */
    int64_t begin, end; /* bytes of the data */
    int type, rank;     /* safetensors_type tells the type */
} safetensor;

/* A file being read. Memory: the header, a table that is shorter than it, and nothing more. */
typedef struct safetensors {
    const char *path;
    int fd;
    char *header;
    safetensor *tensor; /* as they lie in the file */
    size_t n;
    int64_t data, bytes; /* where the tensors begin, and how many bytes they have */
} safetensors;

/* Reads and checks the header: no tensor twice, no byte of the file that is not one tensor's, no
 * shape that does not fit its bytes. WEFT_ENOENT, WEFT_EIO, WEFT_ENOMEM, and WEFT_EFORMAT with what
 * is wrong where. Whatever it returns, safetensors_close is to follow. path is borrowed. */
weft_status safetensors_open(safetensors *s, const char *path);
void safetensors_close(safetensors *s);
/* The extents, of which there are t->rank. */
void safetensors_shape(const safetensor *t, int64_t *shape);
/* WEFT_DEFAULT for types that Weft has not; *word is the format's name. */
weft_dtype safetensors_type(const safetensor *t, const char **word);
/* All bytes of a tensor. */
weft_status safetensors_read(const safetensors *s, const safetensor *t, void *to);

/* The format's name of a type, and the place of tensors of that type in a file: the widest first,
 * as the format's own writer has them. */
const char *safetensors_word(weft_dtype t, int *place);
#endif
