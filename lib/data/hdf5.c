/* Loaders over HDF5 files: libhdf5 tells once, in the caller's thread, where the rows lie; workers
 * read them without it, each with a cache of chunks of its own. */
#include "data/hdf5.h"

#include "core/alloc.h"
#include "core/process.h"
#include "data/make.h"

#include <string.h>
#include <unistd.h>

#define CACHE_MB 64
#define MOST_CACHE_MB (1 << 20)

/* A worker's self. */
typedef struct worker {
    const weft__hdf5 *file;
    weft__chunk_cache cache[WEFT_FIELDS];
} worker;

static hid_t open_file(const char *path)
{
    hid_t file, access = H5Pcreate(H5P_FILE_ACCESS);
    if (access < 0)
        return -1;
#if H5_VERSION_GE(1, 12, 1) || (H5_VERSION_GE(1, 10, 7) && !H5_VERSION_GE(1, 12, 0))
    H5Pset_file_locking(access, 0, 1); /* locks fail on many shared file systems */
#endif
    H5Pset_fclose_degree(access, H5F_CLOSE_STRONG);
    file = H5Fopen(path, H5F_ACC_RDONLY, access);
    H5Pclose(access);
    return file;
}

/* The program's own error printing is switched off meanwhile. @return fields found. */
static weft_status read_structure(weft__hdf5 *h, const char *const *name, int wanted, int needed)
{
    H5E_auto2_t print;
    void *print_data;
    weft__process_hdf5_lock();
    H5Eget_auto2(H5E_DEFAULT, &print, &print_data);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    hid_t file = open_file(h->path);
    weft_status s = file < 0 ? weft__hdf5_foreign(h->path, "the file") : WEFT_OK;
    for (; h->fields < wanted && s == WEFT_OK; h->fields += s == WEFT_OK) {
        s = weft__hdf5_set(h, name[h->fields], file, &h->set[h->fields]);
        if (s == WEFT_ENOENT && h->fields >= needed)
            break;
        if (s == WEFT_ENOENT)
            weft__fail(s,
                       "%.200s: there is no data set %.80s; .fields, or .x and .y, name the "
                       "fields (h5ls shows what there is)",
                       h->path, name[h->fields]);
    }
    if (file >= 0)
        H5Fclose(file);
    H5Eclear2(H5E_DEFAULT);
    H5Eset_auto2(H5E_DEFAULT, print, print_data);
    weft__process_hdf5_unlock();
    return s == WEFT_ENOENT && h->fields >= needed ? WEFT_OK : s;
}

static weft_status same_rows(const weft__hdf5 *h, const char *const *name)
{
    for (int k = 1; k < h->fields; k++)
        if (h->set[k].rows != h->set[0].rows)
            return weft__fail(WEFT_EFORMAT, "%.200s: data set %.80s has %lld rows, %.80s has %lld",
                              h->path, name[0], (long long)h->set[0].rows, name[k],
                              (long long)h->set[k].rows);
    return WEFT_OK;
}

/* The names asked for, and how many of them must be there. */
static weft_status read_names(weft__hdf5 *h, const weft_loader_options *o,
                              const char *name[WEFT_FIELDS], int *wanted, int *needed)
{
    name[0] = o && o->x ? o->x : "x";
    name[1] = o && o->y ? o->y : "y";
    *wanted = 2;
    *needed = o && o->y ? 2 : 1;
    if (!o || !o->fields)
        return WEFT_OK;
    if (o->x || o->y)
        return weft__fail(WEFT_EARG,
                          "%.200s: .fields names all fields, also x and y; leave out .x "
                          "and .y",
                          h->path);
    if (!(h->names = weft__strdup(o->fields)))
        return WEFT_ENOMEM;
    int n = 0;
    for (char *at = h->names, *comma; at; at = comma ? comma + 1 : NULL) {
        if ((comma = strchr(at, ',')))
            *comma = '\0';
        if (n == WEFT_FIELDS || !*at)
            return weft__fail(WEFT_EARG,
                              "%.200s: fields is \"%.80s\"; it takes 1 to %d names "
                              "with commas between them",
                              h->path, o->fields, WEFT_FIELDS);
        name[n++] = at;
    }
    *wanted = *needed = n;
    return WEFT_OK;
}

static weft_status open_hdf5(weft__hdf5 *h, const char *path, const weft_loader_options *o,
                             const char *name[WEFT_FIELDS])
{
    int wanted, needed;
    if (!path)
        return weft__fail(WEFT_EARG, "weft_loader_hdf5: path is NULL");
    if (!(h->path = weft__strdup(path)))
        return WEFT_ENOMEM;
    if (o && (o->cache_mb < 0 || o->cache_mb > MOST_CACHE_MB))
        return weft__fail(WEFT_EARG, "%.200s: cache_mb is %d; it takes 1 to %d MiB a worker", path,
                          o->cache_mb, MOST_CACHE_MB);
    h->cache = (int64_t)(o && o->cache_mb ? o->cache_mb : CACHE_MB) << 20;
    WEFT_TRY(read_names(h, o, name, &wanted, &needed));
    WEFT_TRY(weft__hdf5_gate(path, &h->fd, &h->size));
    WEFT_TRY(read_structure(h, name, wanted, needed));
    return same_rows(h, name);
}

weft_loader *weft_loader_hdf5(weft_fabric *f, const char *path, const weft_loader_options *o)
{
    const char *name[WEFT_FIELDS] = {NULL};
    weft_field field[WEFT_FIELDS] = {{0}};
    if (!f)
        return NULL;
    weft__hdf5 *h = weft__new(1, sizeof *h);
    if (h)
        h->fd = -1;
    weft_status s = h ? open_hdf5(h, path, o, name) : WEFT_ENOMEM;
    for (int k = 0; s == WEFT_OK && k < h->fields; k++)
        field[k] = h->set[k].field;
    weft_loader *l = NULL;
    if (s < 0)
        weft__stick(f, s);
    else
        l = weft__loader_make(f, &weft__hdf5_ops, h, h->set[0].rows, h->fields, field, path, name,
                              o);
    if (!l && h)
        weft__hdf5_free(h);
    return l;
}

static void close_worker(void *self)
{
    worker *w = self;
    for (int k = 0; k < WEFT_FIELDS; k++)
        weft__chunk_cache_close(&w->cache[k]);
    weft__free(w);
}

/* A field's part of the cache: as its part of all that is inflated. */
static int64_t share_of(const weft__hdf5 *h, int field)
{
    double all = 0, mine = 0;
    for (int k = 0; k < h->fields; k++) {
        const weft__chunks *c = &h->set[k].chunks;
        double bytes = c->rank && !c->whole ? (double)c->n * (double)c->bytes : 0;
        all += bytes;
        mine = k == field ? bytes : mine;
    }
    return all > 0 ? (int64_t)((double)h->cache * (mine / all)) : 0;
}

static weft_status open_worker(void *self, int number, int workers, void **own, char *why,
                               size_t why_size)
{
    const weft__hdf5 *h = self;
    worker *w = weft__new(1, sizeof *w);
    weft_status s = w ? WEFT_OK : WEFT_ENOMEM;
    (void)number, (void)workers;
    if (w)
        w->file = h;
    for (int k = 0; k < h->fields && s == WEFT_OK; k++)
        if (h->set[k].chunks.rank)
            s = weft__chunk_cache_open(&w->cache[k], &h->set[k].chunks, share_of(h, k));
    if (s < 0) {
        strncat(why, weft__why(), why_size - 1);
        if (w)
            close_worker(w);
        return s;
    }
    *own = w;
    return WEFT_OK;
}

static weft_status read_rows(void *self, int field, const int64_t *row, int64_t n, void *out,
                             char *why, size_t why_size)
{
    worker *w = self;
    const weft__set *set = &w->file->set[field];
    return set->chunks.rank ? weft__chunk_read(&w->cache[field], row, n, out, why, why_size)
                            : weft__place_read(&set->place, row, n, out, why, why_size);
}

void weft__hdf5_free(void *hdf5)
{
    weft__hdf5 *h = hdf5;
    for (int k = 0; k < WEFT_FIELDS; k++)
        weft__chunks_free(&h->set[k].chunks);
    if (h->fd >= 0)
        close(h->fd);
    weft__free(h->names);
    weft__free(h->path);
    weft__free(h);
}

const weft_dataset_ops weft__hdf5_ops = {
    .size = sizeof weft__hdf5_ops,
    .name = "hdf5",
    .read = read_rows,
    .open_worker = open_worker,
    .close_worker = close_worker,
    .destroy = weft__hdf5_free,
};
