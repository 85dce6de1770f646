#!/usr/bin/env python3
"""Writes Sources/Tokenizers/UnicodeClasses.swift: what the reference tokenizer takes for a letter,
a mark, a number, white space and a single digit, scalar by scalar.

    pip install tokenizers
    python3 unicode_classes.py > ../../Sources/Tokenizers/UnicodeClasses.swift

The classes are asked of the library itself (its regular expressions and its Digits step), because
its two parts follow different versions of Unicode, and Swift's own tables follow a third.
"""

from tokenizers import Regex, __version__, pre_tokenizers

CLASSES = [r"[\p{Lu}\p{Lt}]", r"\p{Ll}", r"[\p{Lm}\p{Lo}]", r"\p{M}", r"\p{N}", r"\s"]
SURROGATES = range(0xD800, 0xE000)


def main():
    splits = [pre_tokenizers.Split(Regex(pattern), "removed") for pattern in CLASSES]
    digits = pre_tokenizers.Digits(individual_digits=True)
    boundaries, previous = [], 0
    for scalar in range(0x110000):
        code = 0
        if scalar not in SURROGATES:
            text = chr(scalar)
            for number, split in enumerate(splits, start=1):
                if not split.pre_tokenize_str(text):
                    assert code == 0, hex(scalar)
                    code = number
            if len(digits.pre_tokenize_str(text * 2)) == 2:
                code |= 8
        if code != previous:
            boundaries.append(scalar << 8 | code)
            previous = code
    print("// Written by Tests/Tools/unicode_classes.py; do not edit.")
    print(f"// Asked of tokenizers {__version__}.")
    print("// A table, so longer than other files.")
    print()
    print("/// Where the class of scalars changes: the first scalar of a run in the upper 24 bits,")
    print("/// its `ScalarClass` in the lower eight.")
    print("let scalarClassBoundaries: [UInt32] = [")
    for start in range(0, len(boundaries), 8):
        print("  " + ", ".join(f"0x{b:X}" for b in boundaries[start : start + 8]) + ",")
    print("]")


main()
