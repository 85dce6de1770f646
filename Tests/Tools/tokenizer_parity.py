#!/usr/bin/env python3
"""Compares `hanse tokenize` with the reference, line by line, and counts.

    tokenizer_parity.py VENV HANSE MODEL.gguf [TEXT-FOLDER…] [--lines N] [--fixture OUT.jsonl]

The reference is PyPI's `tokenizers`, set up from the model's own vocabulary and merges (read with
PyPI's `gguf`) as its makers did: byte-level BPE after Digits(individual_digits=True). VENV is made
when it does not exist. Text folders are searched for plain and gzipped text, at most N lines of
each (default 2000); without any, only the built-in lines are compared. Exits 1 on any difference.
--fixture writes the first few hundred built-in lines with the reference's ids for TokenizersTests.
"""

import argparse
import gzip
import json
import os
import subprocess
import sys
import venv


def enter(folder):
    """Goes on inside the virtual environment, which is made when it is missing."""
    python = os.path.join(folder, "bin", "python")
    if not os.path.exists(python):
        venv.create(folder, with_pip=True)
        subprocess.run(
            [python, "-m", "pip", "install", "-q", "tokenizers", "gguf", "numpy"], check=True
        )
    if os.path.realpath(sys.prefix) != os.path.realpath(folder):
        os.execv(python, [python, *sys.argv])


def reference(model):
    from gguf import GGUFReader
    from tokenizers import Tokenizer, models, pre_tokenizers

    fields = GGUFReader(model).fields
    tokens = fields["tokenizer.ggml.tokens"].contents()
    merges = [tuple(m.split(" ")) for m in fields["tokenizer.ggml.merges"].contents()]
    tokenizer = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(tokens)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    return tokenizer


def folder_lines(folder, limit):
    """Lines spread over all files of a folder."""
    lines = []
    for root, _, names in sorted(os.walk(folder)):
        for name in sorted(names):
            path = os.path.join(root, name)
            if os.path.islink(path) or name.endswith((".png", ".so")):
                continue
            data = open(path, "rb").read()
            if name.endswith(".gz"):
                data = gzip.decompress(data)
            lines += data.decode("utf-8", "replace").split("\n")
    step = max(len(lines) // limit, 1)
    return lines[::step][:limit]


def hanse(program, model, lines):
    data = "\n".join(lines) + "\n"
    done = subprocess.run(
        [program, "tokenize", "--model", model],
        input=data.encode(),
        stdout=subprocess.PIPE,
        check=True,
    )
    ids = [[int(i) for i in line.split()] for line in done.stdout.decode().split("\n")[:-1]]
    assert len(ids) == len(lines), f"{len(lines)} lines in, {len(ids)} out"
    return ids


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("venv")
    parser.add_argument("hanse")
    parser.add_argument("model")
    parser.add_argument("folders", nargs="*")
    parser.add_argument("--lines", type=int, default=2000)
    parser.add_argument("--fixture")
    options = parser.parse_args()
    enter(options.venv)
    sys.dont_write_bytecode = True
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    from tokenizer_texts import lines as built_in

    tokenizer = reference(options.model)
    groups = {"built-in": built_in(3000)}
    for folder in options.folders:
        if not os.path.isdir(folder):
            parser.error(f"{folder} is not a folder")
        groups[os.path.basename(os.path.normpath(folder))] = folder_lines(folder, options.lines)
    differences = total = tokens = 0
    for name, lines in groups.items():
        expected = [e.ids for e in tokenizer.encode_batch(lines, add_special_tokens=False)]
        wrong = 0
        for line, want, got in zip(lines, expected, hanse(options.hanse, options.model, lines)):
            if want != got:
                wrong += 1
                if wrong <= 3:
                    print(f"{name}: {line!r}\n  reference {want}\n  hanse     {got}")
        count = sum(map(len, expected))
        print(f"{name}: {len(lines)} lines, {count} ids, {wrong} lines differ")
        differences, total, tokens = differences + wrong, total + len(lines), tokens + count
    print(f"all: {total} lines, {tokens} ids, {differences} lines differ")
    if options.fixture:
        with open(options.fixture, "w", encoding="utf-8") as out:
            for line in built_in(600, line_ends=True):
                ids = tokenizer.encode(line, add_special_tokens=False).ids
                out.write(json.dumps({"text": line, "ids": ids}, separators=(",", ":")) + "\n")
    sys.exit(1 if differences else 0)


main()
