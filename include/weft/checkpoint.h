/* Checkpoints: a directory run/step-000123 with one HDF5 file a rank, an index that shows whole
 * tensors to h5ls and h5py, and a MANIFEST with shapes, slabs and digests. A save is committed by
 * one rename after everything is on disk; a crash at any instant leaves the older ones whole.
 *
 * Everything that was set up (modules, optimizers, loaders), every logger, and what weft_track
 * names is in it. Saved on any number of ranks under any strategy, it loads on any other. */
#ifndef WEFT_CHECKPOINT_H
#define WEFT_CHECKPOINT_H
#include <weft/base.h>
#include <weft/status.h>
WEFT_BEGIN

/* Saves the current step under dir, which is made if need be. Collective. A failure is reported,
 * leaves dir's older checkpoints as they were, and does not stick: training may go on.
 * Between weft_backward and weft_step gradients are on their way, which no checkpoint holds: the
 * save then happens at the edge after that weft_step, at the latest in weft_close.
 * @return WEFT_OK (also if this step is already there), WEFT_POSTPONED, WEFT_EARG, WEFT_EIO,
 * WEFT_ENOMEM, or the error that sticks. A lost peer does stick (WEFT_ETIMEOUT, WEFT_EPEER). */
WEFT_API weft_status weft_save(weft_fabric *f, const char *dir);
/* The same in the background where that can be had; today it is weft_save and says so once.
 * @return as weft_save; WEFT_SYNCHRONOUS instead of WEFT_OK. */
WEFT_API weft_status weft_save_async(weft_fabric *f, const char *dir);

/* Loads the newest good checkpoint under dir; if dir holds none, does nothing. A damaged one is
 * named in a warning and the one before it is tried. Checkpoints that exist but are all bad, or do
 * not fit the program, stick (WEFT_EFORMAT, WEFT_ECONFIG), and nothing has changed then. dir is
 * also where weft_close makes its final save. Collective.
 * @return WEFT_OK, also if there was nothing: weft_step_count() tells. */
WEFT_API weft_status weft_resume(weft_fabric *f, const char *dir);
/* Loads one checkpoint directory (run/step-000123). Errors stick. Collective. */
WEFT_API weft_status weft_load(weft_fabric *f, const char *checkpoint);

typedef struct weft_load_raw_options {
    const char *from
        WEFT_INIT; /* whose tensors: as the checkpoint calls the module; default "model" */
    /* Parameters that the checkpoint has not stay as they are, tensors that m has not are left alone. */
    bool not_strict WEFT_INIT;
    WEFT_PTR(weft_load_raw_options)
} weft_load_raw_options;
#define WEFT_LOAD_RAW(...) WEFT__ARGS(weft_load_raw_options, __VA_ARGS__)
/* Loads the parameters of m, an outermost module, from a checkpoint directory: one of weft_save's, saved
 * on any ranks under any strategy, or of `weft import`. Nothing else changes: moments, positions and the
 * step stay. Before weft_setup or after it. Floating point loads into any type of floating point. Errors
 * stick, and no parameter has changed then: WEFT_EARG, WEFT_ENOENT, WEFT_EFORMAT, WEFT_EIO; WEFT_ECONFIG
 * names what does not fit. Collective. */
WEFT_API weft_status weft_load_raw(weft_fabric *f, const char *checkpoint, weft_module *m,
                                   const weft_load_raw_options *o);

/* Makes the caller's variables part of every checkpoint, under name ("best_loss"). They must live
 * until weft_close; rank 0's values are saved and all ranks get them. Call it on all ranks alike,
 * before weft_resume. Errors stick: WEFT_EARG (a name with '/', no values), WEFT_ESTATE (a name that
 * is tracked already), WEFT_ENOMEM. */
WEFT_API weft_status weft_track_f64(weft_fabric *f, const char *name, double *values, int64_t n);
WEFT_API weft_status weft_track_i64(weft_fabric *f, const char *name, int64_t *values, int64_t n);

WEFT_END
#endif
