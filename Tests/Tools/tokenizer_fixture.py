#!/usr/bin/env python3
"""Writes Tes../Fixtures/tokenizers/small.json: a small vocabulary and, for every way to cut text
that hanse knows, lines with the ids that the reference gives.

    pip install tokenizers jinja2
    python3 tokenizer_fixture.py > ../Fixtures/tokenizers/small.json

The vocabulary is trained without cutting at words, so that its merges reach over word ends: a cut
in a wrong place shows in the ids.
"""

import json
import sys

from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import AddedToken, Regex, Tokenizer, __version__, models, normalizers
from tokenizers import pre_tokenizers as pre
from tokenizers import trainers

sys.dont_write_bytecode = True
from tokenizer_texts import lines  # noqa: E402

LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
TEKKEN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
GPT4O = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+"
    r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

CHATML = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' }}{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LLAMA3_CHAT = (
    "{% set loop_messages = messages %}{% for message in loop_messages %}"
    "{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'+ "
    "message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}"
    "{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}"
    "{% endif %}"
)
SPECIALS = [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|begin_of_text|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eot_id|>",
]
CHATS = [
    [{"role": "user", "content": "Wie weit ist es nach Lübeck?"}],
    [
        {"role": "system", "content": "Antworte knapp."},
        {"role": "user", "content": "  Hallo!\n"},
        {"role": "assistant", "content": "Guten Tag."},
        {"role": "user", "content": "Und\nnun?"},
    ],
]


def split(pattern):
    return pre.Sequence(
        [pre.Split(Regex(pattern), "isolated"), pre.ByteLevel(False, use_regex=False)]
    )


def main():
    texts = lines(1500, seed=1, line_ends=True)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=900,
            initial_alphabet=pre.ByteLevel.alphabet(),
            special_tokens=SPECIALS,
            show_progress=False,
        ),
    )
    model = json.loads(tokenizer.to_str())["model"]
    whole = dict(model, ignore_merges=True)
    cuts = [
        ("digits", model, None, pre.Sequence([pre.Digits(True), pre.ByteLevel(False)]), []),
        ("gpt2", model, None, pre.ByteLevel(False), []),
        ("llama3", whole, None, split(LLAMA3), []),
        (
            "qwen2",
            model,
            normalizers.NFC(),
            split(QWEN2),
            ["<tool_call>", "<tool>", "</tool_call>"],
        ),
        ("tekken", model, None, split(TEKKEN), []),
        ("gpt4o", model, None, split(GPT4O), []),
    ]
    variants = []
    for name, base, normalizer, cut, added in cuts:
        tokenizer = Tokenizer.from_str(
            json.dumps(
                {
                    "version": "1.0",
                    "added_tokens": [],
                    "normalizer": None,
                    "pre_tokenizer": None,
                    "post_processor": None,
                    "decoder": None,
                    "model": base,
                }
            )
        )
        tokenizer.pre_tokenizer = cut
        if normalizer:
            tokenizer.normalizer = normalizer
        tokenizer.add_tokens([AddedToken(text, normalized=False) for text in added])
        cases = lines(160, seed=7, line_ends=True)
        cases += [f"x{a}y <tool_call {a}{a}\n" for a in added]
        written = json.loads(tokenizer.to_str())
        variants.append(
            {
                "name": name,
                "ignore_merges": base.get("ignore_merges", False),
                "normalizer": written["normalizer"],
                "pre_tokenizer": written["pre_tokenizer"],
                "added_tokens": written["added_tokens"],
                "cases": [
                    [text, tokenizer.encode(text, add_special_tokens=False).ids] for text in cases
                ],
            }
        )
    tokenizer = Tokenizer.from_str(
        json.dumps(
            {
                "version": "1.0",
                "normalizer": None,
                "pre_tokenizer": None,
                "post_processor": None,
                "decoder": None,
                "model": model,
                "added_tokens": [],
            }
        )
    )
    tokenizer.pre_tokenizer = pre.ByteLevel(False)
    tokenizer.add_special_tokens(SPECIALS)
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    chats = []
    for template in (CHATML, LLAMA3_CHAT):
        for messages in CHATS:
            for prompt in (False, True):
                text = environment.from_string(template).render(
                    messages=messages, add_generation_prompt=prompt, bos_token="<|begin_of_text|>"
                )
                ids = tokenizer.encode(text, add_special_tokens=False).ids
                chats.append(
                    {"template": template, "messages": messages, "prompt": prompt, "ids": ids}
                )
    json.dump(
        {
            "made_with": f"tokenizers {__version__}",
            "model": model,
            "specials": SPECIALS,
            "variants": variants,
            "chats": chats,
        },
        sys.stdout,
        separators=(",", ":"),
    )
    print()


main()
