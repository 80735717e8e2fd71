"""Makes letters.h: the characters of Unicode that are letters (\\p{L}) and numbers (\\p{N}), as ranges."""
import sys
import unicodedata


def ranges(category):
    out = []
    for c in range(0x110000):
        if unicodedata.category(chr(c))[0] == category:
            if out and out[-1][1] == c - 1:
                out[-1][1] = c
            else:
                out.append([c, c])
    return out


def table(name, category):
    line = ""
    print(f"static const uint32_t {name}[][2] = {{")
    for a, b in ranges(category):
        word = f"{{{a:#x}, {b:#x}}},"
        if len(line) + len(word) + 5 > 100:
            print("   " + line)
            line = ""
        line += " " + word
    print("   " + line + "\n};")


print(f"""/* Letters and numbers of Unicode {unicodedata.unidata_version}, first and last of each range. Made by letters.py. */
#ifndef LETTERS_H
#define LETTERS_H
#include <stdint.h>

/* clang-format off */""")
table("letters", "L")
print()
table("numbers", "N")
print("/* clang-format on */\n#endif")
