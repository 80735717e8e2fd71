/* Text to tokens and back: bytes as they are, or GPT-2's byte-level BPE from its two files. */
#ifndef TOKENIZER_H
#define TOKENIZER_H
#include <stddef.h>
#include <stdint.h>

typedef struct tokenizer tokenizer;

/* Each byte is a token, 0 to 255. NULL: no memory. */
tokenizer *tokenizer_bytes(void);
/* GPT-2's: vocab.json (token -> number) and merges.txt (one pair a line, the first first). NULL, with one
 * line in why, if they cannot be read or do not fit together. */
tokenizer *tokenizer_bpe(const char *vocab, const char *merges, char *why, size_t why_size);
void tokenizer_free(tokenizer *t);

/* How many tokens there are: they are 0 to that less one. */
int64_t tokenizer_size(const tokenizer *t);
/* The tokens of n bytes of text, at most n, into out. Any bytes will do; names of special tokens are text
 * like any other. @return how many. */
int64_t tokenizer_encode(const tokenizer *t, const char *text, size_t n, int32_t *out);
/* The bytes of one token, borrowed; NULL and 0 if there is no such token. */
const char *tokenizer_decode(const tokenizer *t, int64_t token, size_t *n);

/* Where the piece of text that begins at `at` ends: pieces are cut as by GPT-2's pattern
 *   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
 * A byte that is no UTF-8 counts as a mark. */
size_t tokenizer_piece(const char *text, size_t n, size_t at);
#endif
