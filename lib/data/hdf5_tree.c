/* Where the chunks of a data set lie, from the file itself, in time linear in their number: libhdf5
 * before 1.14 walks the whole index for each chunk that it is asked about. Taken from the "HDF5
 * File Format Specification": object headers IV.A, data layout message IV.A.2.i (version 3),
 * version 1 B-trees III.A.1. Whatever is not of that form is left to libhdf5. */
#include "core/alloc.h"
#include "data/hdf5.h"

#include <string.h>

#define MOST_HEADER (1 << 20) /* bytes of a piece of an object header that are looked at */
#define MOST_PIECES 64        /* of one */
#define SPARE 1000            /* chunks beyond those of the data set that an index may have */
#define UNKNOWN 1             /* a notice: not of the form that is read here */

typedef struct walk {
    const weft__hdf5 *h;
    const char *name;
    weft__chunks *c;
    int64_t left; /* chunks that may still come */
} walk;

static uint64_t little(const unsigned char *p, int bytes)
{
    uint64_t v = 0;
    for (int i = bytes - 1; i >= 0; i--)
        v = v << 8 | p[i];
    return v;
}

/* A piece of the file in new memory. UNKNOWN: the file has no such piece. */
static weft_status piece(const weft__hdf5 *h, uint64_t at, uint64_t bytes, unsigned char **out)
{
    if (at >= (uint64_t)h->size || bytes > (uint64_t)h->size - at)
        return UNKNOWN;
    if (!(*out = weft__new((size_t)bytes, 1)))
        return WEFT_ENOMEM;
    if (weft__file_read(h->fd, *out, (int64_t)bytes, (int64_t)at) == (int64_t)bytes)
        return WEFT_OK;
    weft__free(*out);
    return UNKNOWN;
}

/* ---- the object header, as far as the layout message */

typedef struct header {
    bool second; /* version 2 */
    int head;    /* bytes before a message's data */
    int rank;    /* of the layout message that is looked for */
    bool found;
    uint64_t tree;
    int more; /* pieces that continue it */
    uint64_t at[MOST_PIECES], bytes[MOST_PIECES];
} header;

static void message(header *o, unsigned type, const unsigned char *p, uint64_t n)
{
    if (type == 0x08 && n >= 11 && p[0] == 3 && p[1] == 2 && p[2] == o->rank + 1) {
        o->tree = little(p + 3, 8);
        o->found = true;
    }
    if (type == 0x10 && n >= 16 && o->more < MOST_PIECES) {
        o->at[o->more] = little(p, 8);
        o->bytes[o->more++] = little(p + 8, 8);
    }
}

static void messages(header *o, const unsigned char *p, uint64_t n)
{
    for (uint64_t at = 0; at + (uint64_t)o->head <= n && !o->found;) {
        unsigned type = o->second ? p[at] : (unsigned)little(p + at, 2);
        uint64_t bytes = little(p + at + (o->second ? 1 : 2), 2);
        at += (uint64_t)o->head;
        if (bytes > n - at)
            return;
        message(o, type, p + at, bytes);
        at += bytes;
    }
}

/* Where the first piece's messages begin, and how many bytes they have. */
static bool prefix(header *o, const unsigned char *p, uint64_t *at, uint64_t *bytes)
{
    if (p[0] == 1) {
        o->head = 8;
        *at = 16;
        *bytes = little(p + 8, 4);
        return true;
    }
    if (memcmp(p, "OHDR\2", 5) != 0)
        return false;
    int flags = p[5], width = 1 << (flags & 3);
    o->second = true;
    o->head = 4 + (flags & 4 ? 2 : 0);
    *at = 6u + (flags & 32 ? 16u : 0u) + (flags & 16 ? 4u : 0u);
    *bytes = little(p + *at, width);
    *at += (uint64_t)width;
    return true;
}

static weft_status read_messages(const weft__hdf5 *h, header *o, uint64_t at, uint64_t bytes,
                                 uint64_t skip)
{
    unsigned char *p = NULL;
    weft_status s = bytes <= MOST_HEADER && bytes >= 2 * skip ? piece(h, at, bytes, &p) : UNKNOWN;
    if (s == WEFT_OK)
        messages(o, p + skip, bytes - 2 * skip);
    if (s == WEFT_OK)
        weft__free(p);
    return s;
}

static weft_status find_tree(const weft__hdf5 *h, uint64_t address, header *o)
{
    unsigned char *p = NULL;
    uint64_t at = 0, bytes = 0;
    weft_status s = piece(h, address, 48, &p);
    if (s != WEFT_OK)
        return s;
    bool known = prefix(o, p, &at, &bytes);
    weft__free(p);
    s = known ? read_messages(h, o, address + at, bytes, 0) : UNKNOWN;
    /* What continues a header of version 2 is between OCHK and a checksum. */
    for (int i = 0; i < o->more && !o->found && s == WEFT_OK; i++)
        s = read_messages(h, o, o->at[i], o->bytes[i], o->second ? 4 : 0);
    return s == WEFT_OK && !o->found ? UNKNOWN : s;
}

/* ---- the tree: a key before each child has the chunk's bytes, its filter mask and its corner */

static weft_status torn(const walk *w, uint64_t address)
{
    return weft__fail(WEFT_EFORMAT,
                      "%.200s: the index of the chunks of data set %.80s is damaged at %llu of the "
                      "file",
                      w->h->path, w->name, (unsigned long long)address);
}

static weft_status leaf(walk *w, const unsigned char *key, uint64_t child)
{
    hsize_t offset[WEFT_MAX_RANK];
    if (w->left-- <= 0)
        return torn(w, child);
    for (int d = 0; d < w->c->rank; d++)
        offset[d] = little(key + 8 + 8 * d, 8);
    return weft__hdf5_chunk(w->h, w->name, w->c, offset, (unsigned)little(key + 4, 4), child,
                            little(key, 4));
}

static weft_status node(walk *w, uint64_t address, int level);

static weft_status entries(walk *w, uint64_t address, uint64_t n, int level)
{
    const uint64_t key = 8 + 8 * (uint64_t)(w->c->rank + 1), step = key + 8;
    unsigned char *p = NULL;
    weft_status s = piece(w->h, address, n * step, &p);
    if (s != WEFT_OK)
        return s < 0 ? s : torn(w, address);
    for (uint64_t i = 0; i < n && s == WEFT_OK; i++) {
        uint64_t child = little(p + i * step + key, 8);
        s = level ? node(w, child, level - 1) : leaf(w, p + i * step, child);
    }
    weft__free(p);
    return s;
}

/* level: the one that it must have, -1: any. */
static weft_status node(walk *w, uint64_t address, int level)
{
    unsigned char *head = NULL;
    weft_status s = piece(w->h, address, 24, &head);
    if (s != WEFT_OK)
        return s < 0 ? s : torn(w, address);
    uint64_t n = little(head + 6, 2);
    int own = head[5];
    bool good = memcmp(head, "TREE\1", 5) == 0 && (level < 0 || own == level) && n > 0;
    weft__free(head);
    return good ? entries(w, address + 24, n, own) : torn(w, address);
}

static weft_status header_address(hid_t set, uint64_t *address)
{
#if H5_VERSION_GE(1, 12, 0)
    H5O_info1_t info;
    if (H5Oget_info1(set, &info) < 0)
        return UNKNOWN;
#else
    H5O_info_t info;
    if (H5Oget_info(set, &info) < 0)
        return UNKNOWN;
#endif
    *address = info.addr;
    return WEFT_OK;
}

weft_status weft__hdf5_tree(const weft__hdf5 *h, const char *name, hid_t set, weft__chunks *c)
{
    walk w = {.h = h, .name = name, .c = c, .left = c->n + SPARE};
    header o = {.rank = c->rank};
    uint64_t address = 0;
    weft_status s = header_address(set, &address);
    if (s == WEFT_OK)
        s = find_tree(h, address, &o);
    if (s != WEFT_OK)
        return s;
    return o.tree == UINT64_MAX ? WEFT_OK : node(&w, o.tree, -1);
}
