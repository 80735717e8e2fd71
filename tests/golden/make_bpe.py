"""Makes bpe/: a small vocabulary of GPT-2's kind, made up by training on the text below, and what transformers' GPT-2 tokenizer
makes of texts with it. `python3 make_bpe.py` (transformers, tokenizers, regex). The same versions give the same bytes.

vocab.json and merges.txt are as Hugging Face's. cases.txt: a line a text, as hexadecimal bytes, then its tokens, then where the
pieces of GPT-2's pattern end.
"""
import pathlib
import random

import regex
from tokenizers import ByteLevelBPETokenizer
from transformers import GPT2Tokenizer

HERE = pathlib.Path(__file__).parent / "bpe"
PATTERN = regex.compile(r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+""")

CORPUS = """The shuttle carries the weft through the warp, and the weaver beats it up against the cloth.
She doesn't hurry; she'll weave 12 rows, then 345 more, and that's what they've been waiting for, isn't it?
    for (int i = 0; i < n; i++)
        cloth[i] = weave(weft, warp[i]);    /* the loop that's copied */
Die Weberin schiebt das Schiffchen; l'étoffe grandit, größer und größer. Нить ложится рядом с нитью.
织布机 ... 縦糸と横糸 ... ½ Ⅷ ٣٤٥ 🧵🧶🧵
"""

TEXTS = [
    "", " ", "  ", "a", " a", "  a", "a ", "a  ", "\n", "\n\n", " \n", "\n a", "\n\na", " \n  a", "a\n\n\n b", "\t\tx", "\r\n", "x\r\ny",
    "I'm sure they're here, we've won, she'd said 'tis I'll 's 't 're", "DON'T SHOUT'S", "it''s", " 's", "x'", "'", "''", "'lla", "'l",
    "The weft doesn't end.", "12 345,678.90", "3rd", "x2y", "½ Ⅷ ٣٤٥ x²", "größer", "cafe\u0301", "Нить", "织布机横糸", "🧵🧶", "👩\u200d🏭!",
    "a\u00a0b", "a\u2003\u2003b", "\u3000x", "a\u0085b", "a\u200bb", "a\u001cb", "\u2028", "...!?", " ...x", "a_b__c", "#include <weft.h>\n\tint x;",
    "\ufeffx", "\U00010400\U0001d7d8", "ａ１！", "e\u0300e\u0300", "हिन्दी", "ไทย", "\x00\x01\x7f", "a" * 50, "the" * 30, " " * 40 + "x",
]


def texts():
    yield from TEXTS
    r = random.Random(5)
    for _ in range(60):
        yield "".join(r.choice(list("ab T's12\n\t é½!. 的🧵\u00a0'rvemld") + ["the ", "weft", " warp"]) for _ in range(r.randrange(1, 40)))
    yield CORPUS


HERE.mkdir(exist_ok=True)
trained = ByteLevelBPETokenizer()
trained.train_from_iterator([CORPUS] * 3, vocab_size=420, min_frequency=2, show_progress=False, special_tokens=["<|endoftext|>"])
trained.save_model(str(HERE))
tokenizer = GPT2Tokenizer(vocab=str(HERE / "vocab.json"), merges=str(HERE / "merges.txt"))
with open(HERE / "cases.txt", "w") as out:
    for text in texts():
        ids = tokenizer.encode(text)
        ends, at = [], 0
        for piece in PATTERN.findall(text):
            at += len(piece.encode())
            ends.append(at)
        assert at == len(text.encode())
        assert tokenizer.decode(ids, clean_up_tokenization_spaces=False) == text, text
        print(text.encode().hex() or "-", ",".join(map(str, ids)) or "-", ",".join(map(str, ends)) or "-", file=out)
