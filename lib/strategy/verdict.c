/* The verdict on a backward pass, alike on all ranks: the number of ranks that failed, of those whose
 * loss needs the sum of its weights over ranks, and whether all have the same token, as the sums of
 * each of its pieces and of their squares: x is the same on all n ranks if n sum x^2 = (sum x)^2.
 * Pieces are small, so that f32 adds them up exactly on any number of ranks: the words ride behind
 * gradients, where a strategy sums these on all ranks. */
#include "strategy/strategy.h"

#include "device/device.h"

enum { FAILED, WEIGH, TOKEN };
#define PIECES 7 /* of the token, 4 bits each */
#define PIECE(i) (TOKEN + 2 * (i))
#define SQUARE(i) (PIECE(i) + 1)
_Static_assert(PIECE(PIECES) <= WEFT__VERDICT, "the token does not fit into the verdict");

static void fill(const weft__strategy *s, double *word)
{
    for (int i = 0; i < WEFT__VERDICT; i++)
        word[i] = 0;
    word[FAILED] = s->failed;
    word[WEIGH] = s->weigh;
    for (int i = 0; i < PIECES; i++) {
        const int piece = (int)(s->token >> 4 * i & 15);
        word[PIECE(i)] = piece;
        word[SQUARE(i)] = piece * piece;
    }
}

static void judge(weft__strategy *s, const double *word, bool *failed)
{
    *failed = word[FAILED] != 0;
    s->weigh = word[WEIGH] != 0;
    s->agreed = true;
    s->differ = false;
    for (int i = 0; i < PIECES; i++)
        s->differ |= s->fabric->world * word[SQUARE(i)] != word[PIECE(i)] * word[PIECE(i)];
}

weft_status weft__verdict_write(const weft__strategy *s, weft_dev at, weft_dtype type)
{
    const weft_fabric *f = s->fabric;
    double wide[WEFT__VERDICT];
    float single[WEFT__VERDICT];
    fill(s, wide);
    for (int i = 0; i < WEFT__VERDICT; i++)
        single[i] = (float)wide[i];
    return type == WEFT_F64 ? f->device->ops->upload(f->stream, at, wide, sizeof wide)
                            : f->device->ops->upload(f->stream, at, single, sizeof single);
}

weft_status weft__verdict_read(weft__strategy *s, weft_dev at, weft_dtype type, bool *failed)
{
    const weft_fabric *f = s->fabric;
    float single[WEFT__VERDICT];
    double word[WEFT__VERDICT];
    if (type == WEFT_F64)
        WEFT_TRY(f->device->ops->download(f->stream, word, at, sizeof word));
    else
        WEFT_TRY(f->device->ops->download(f->stream, single, at, sizeof single));
    for (int i = 0; i < WEFT__VERDICT && type != WEFT_F64; i++)
        word[i] = (double)single[i];
    judge(s, word, failed);
    return WEFT_OK;
}

weft_status weft__verdict_agree(weft__strategy *s, bool *failed)
{
    double word[WEFT__VERDICT];
    fill(s, word);
    WEFT_TRY(weft__all_reduce(s->fabric->comm, "verdict", word, WEFT__VERDICT, WEFT_F64,
                              WEFT_REDUCE_SUM));
    judge(s, word, failed);
    return WEFT_OK;
}
