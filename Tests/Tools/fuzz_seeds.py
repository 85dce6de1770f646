#!/usr/bin/env python3
"""Writes the inputs that fuzzing starts from: one small file of every kind that a reader knows.

usage: Tests/Tools/fuzz_seeds.py FOLDER

FOLDER gets one folder per reader (Tests/Fuzz/Readers/Reader.swift). Only the standard library is
needed. Models have one layer and four dimensions, so that a mutation still meets the rest; records
come from Protocol/Vectors and, where no vector is of a kind, from a few lines of protobuf.
"""
import json
import pathlib
import struct
import sys

root = pathlib.Path(__file__).resolve().parents[2]
H, HEADS, KV, DIM, MLP, VOCAB = 4, 2, 1, 2, 4, 8


def numbers(count):
    return [((i * 7) % 11 - 5) / 8 for i in range(count)]


def size(shape):
    product = 1
    for side in shape:
        product *= side
    return product


def decoder(kind, layers=1):
    """The tensors of a tiny model by their Hugging Face names."""
    tensors = {"model.embed_tokens.weight": [VOCAB, H], "model.norm.weight": [H]}
    for layer in range(layers):
        prefix = f"model.layers.{layer}."
        norms = {"olmo2": ["post_attention_layernorm", "post_feedforward_layernorm"],
                 "apertus": ["attention_layernorm", "feedforward_layernorm"]}
        for norm in norms.get(kind, ["input_layernorm", "post_attention_layernorm"]):
            tensors[f"{prefix}{norm}.weight"] = [H]
        for name, rows in [("q", HEADS * DIM), ("k", KV * DIM), ("v", KV * DIM)]:
            tensors[f"{prefix}self_attn.{name}_proj.weight"] = [rows, H]
            if kind == "qwen2":
                tensors[f"{prefix}self_attn.{name}_proj.bias"] = [rows]
        tensors[f"{prefix}self_attn.o_proj.weight"] = [H, HEADS * DIM]
        if kind != "apertus":
            tensors[f"{prefix}mlp.gate_proj.weight"] = [MLP, H]
        tensors[f"{prefix}mlp.up_proj.weight"] = [MLP, H]
        tensors[f"{prefix}mlp.down_proj.weight"] = [H, MLP]
        if kind in ("qwen3", "apertus", "olmo2"):
            whole = kind == "olmo2"
            tensors[f"{prefix}self_attn.q_norm.weight"] = [HEADS * DIM if whole else DIM]
            tensors[f"{prefix}self_attn.k_norm.weight"] = [KV * DIM if whole else DIM]
        if kind == "apertus":
            for name in ("alpha_p", "alpha_n", "beta", "eps"):
                tensors[f"{prefix}mlp.act_fn.{name}"] = [1]
    return tensors


CLASSES = {"llama": "Llama", "mistral": "Mistral", "qwen2": "Qwen2", "qwen3": "Qwen3",
           "smollm3": "SmolLM3", "olmo2": "Olmo2", "apertus": "Apertus"}


def configuration(kind):
    fields = {
        "architectures": [CLASSES[kind] + "ForCausalLM"], "model_type": kind, "hidden_size": H,
        "num_attention_heads": HEADS, "num_key_value_heads": KV, "num_hidden_layers": 1,
        "intermediate_size": MLP, "vocab_size": VOCAB, "max_position_embeddings": 64,
        "rms_norm_eps": 1e-6, "tie_word_embeddings": True,
        "hidden_act": "xielu" if kind == "apertus" else "silu",
    }
    if kind == "qwen3":
        fields["head_dim"] = DIM
    if kind == "mistral":
        fields["sliding_window"] = 2
    if kind == "smollm3":
        fields |= {"no_rope_layers": [0], "use_sliding_window": True, "sliding_window": 2,
                   "layer_types": ["sliding_attention"]}
    if kind == "qwen2":
        fields |= {"use_sliding_window": True, "max_window_layers": 0, "sliding_window": 3}
    if kind == "llama":
        fields |= {"rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
                                    "high_freq_factor": 4.0,
                                    "original_max_position_embeddings": 16},
                   "attention_bias": False, "mlp_bias": False, "rope_theta": 10000.0}
    if kind == "apertus":
        fields["rope_parameters"] = {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4}
    return json.dumps(fields, separators=(",", ":")).encode()


def safetensors(tensors, metadata=None, kind="F32"):
    header, data = {}, b""
    if metadata:
        header["__metadata__"] = metadata
    for name, shape in tensors.items():
        values = numbers(size(shape))
        packed = struct.pack(f"<{len(values)}{'f' if kind == 'F32' else 'e'}", *values)
        header[name] = {"dtype": kind, "shape": shape,
                        "data_offsets": [len(data), len(data) + len(packed)]}
        data += packed
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def gguf_text(text):
    bytes_ = text.encode()
    return struct.pack("<Q", len(bytes_)) + bytes_


def gguf_value(value):
    if isinstance(value, bool):
        return struct.pack("<I?", 7, value)
    if isinstance(value, int):
        return struct.pack("<II", 4, value)
    if isinstance(value, float):
        return struct.pack("<If", 6, value)
    if isinstance(value, str):
        return struct.pack("<I", 8) + gguf_text(value)
    kinds = {bool: (7, "?"), int: (5, "i"), float: (6, "f")}
    if isinstance(value[0], str):
        return struct.pack("<IIQ", 9, 8, len(value)) + b"".join(map(gguf_text, value))
    if isinstance(value[0], list):
        return struct.pack("<IIQ", 9, 9, len(value)) + b"".join(gguf_value(v)[4:] for v in value)
    number, letter = kinds[type(value[0])]
    return struct.pack(f"<IIQ{len(value)}{letter}", 9, number, len(value), *value)


def gguf(pairs, tensors, version=3):
    """tensors: (name, shape outermost first, type number, bytes)."""
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(pairs))
    for key, value in pairs.items():
        head += gguf_text(key) + gguf_value(value)
    offset = 0
    for name, shape, kind, data in tensors:
        head += gguf_text(name) + struct.pack("<I", len(shape))
        head += b"".join(struct.pack("<Q", side) for side in reversed(shape))
        head += struct.pack("<IQ", kind, offset)
        offset += -(-len(data) // 32) * 32
    head += b"\0" * (-len(head) % 32)
    return head + b"".join(data + b"\0" * (-len(data) % 32) for _, _, _, data in tensors)


GGUF_NAMES = {
    "embed_tokens": "token_embd", "model.norm": "output_norm", "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm", "mlp.gate_proj":
    "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down", "attention_layernorm":
    "attn_norm", "feedforward_layernorm": "ffn_norm", "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}
OLMO2 = {"post_attention_layernorm": "post_attention_norm",
         "post_feedforward_layernorm": "post_ffw_norm"}


def gguf_name(kind, name):
    end = name[name.rindex("."):]
    for part, own in ((OLMO2 if kind == "olmo2" else {}) | GGUF_NAMES).items():
        if part in name:
            layer = name.split(".")[2] if ".layers." in name else None
            return (f"blk.{layer}.{own}" if layer else own) + end
    raise KeyError(name)


def gguf_model(kind, tokenizer):
    pairs = {
        "general.architecture": kind, f"{kind}.embedding_length": H, f"{kind}.block_count": 1,
        f"{kind}.attention.head_count": HEADS, f"{kind}.attention.head_count_kv": KV,
        f"{kind}.feed_forward_length": MLP, f"{kind}.context_length": 64,
        f"{kind}.attention.layer_norm_rms_epsilon": 1e-5, f"{kind}.rope.freq_base": 10000.0,
    }
    if kind == "apertus":
        for name in ("alpha_p", "alpha_n", "beta", "eps"):
            pairs[f"xielu.{name}"] = [0.5]
    if tokenizer:
        pairs |= {
            "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": tokenizer,
            "tokenizer.ggml.tokens": ["<|endoftext|>", "a", "b", "ab", "Ġ", "Ġa", "1", "é"],
            "tokenizer.ggml.merges": ["a b", "Ġ a"],
            "tokenizer.ggml.token_type": [3, 1, 1, 1, 1, 1, 1, 4],
            "tokenizer.ggml.eos_token_id": 0,
            "tokenizer.chat_template": "<|im_start|>system\nbe brief<|im_end|> | trim",
        }
    tensors = []
    for name, shape in decoder(kind).items():
        if ".act_fn." not in name:
            values = numbers(size(shape))
            tensors.append((gguf_name(kind, name), shape, 0,
                            struct.pack(f"<{len(values)}f", *values)))
    if kind == "llama":
        tensors.append(("rope_freqs.weight", [1], 0, struct.pack("<f", 2)))
    return gguf(pairs, tensors)


def gguf_blocks():
    """One block of every quantised type, and one of every plain one."""
    blocks = {2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 10: (256, 84),
              11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 0: (1, 4), 1: (1, 2),
              24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8), 28: (1, 8), 30: (1, 2)}
    tensors = [(f"t{kind}", [2, count], kind, bytes((i * 37) % 256 for i in range(2 * width)))
               for kind, (count, width) in blocks.items()]
    return gguf({"general.alignment": 32, "a": [[1, 2], [3]], "b": [True, False], "c": -1.5,
                 "d": ["x"], "e": False}, tensors)


def tokenizers():
    """tokenizer.json of every kind that is read, each with a text behind a zero byte."""
    end = [{"id": 0, "content": "<e>", "special": True}]
    found = end + [{"id": 9, "content": "ab ab", "special": False, "normalized": False},
                   {"id": 10, "content": "É", "special": False, "normalized": True}]
    level = {"a": 1, "b": 2, "ab": 3, "Ġ": 4, "Ġa": 5, "Ã": 6, "©": 7, "1": 8}
    marked = {"a": 1, "b": 2, "ab": 3, "▁": 4, "▁a": 5, "<0xC3>": 6, "<0xA9>": 7, "<u>": 8}
    gpt4 = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+"
            r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}"
            r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
    llama3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
              r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}

    def split(expression):
        return {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": expression}, "behavior": "Isolated"},
            byte_level]}

    kinds = {
        "gpt2": {"added_tokens": end, "pre_tokenizer": {"type": "ByteLevel"},
                 "model": {"type": "BPE", "vocab": level, "merges": ["a b", "Ġ a"]}},
        "digits": {"added_tokens": found, "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Digits", "individual_digits": True},
            {"type": "ByteLevel", "add_prefix_space": False}]},
            "model": {"type": "BPE", "vocab": level, "merges": [["a", "b"]]}},
        "llama3": {"added_tokens": found, "pre_tokenizer": split(llama3),
                   "model": {"vocab": level, "merges": ["a b"], "ignore_merges": True}},
        "gpt4o": {"added_tokens": end, "pre_tokenizer": split(gpt4), "normalizer":
                  {"type": "NFC"}, "model": {"vocab": level, "merges": ["a b"]}},
        "metaspace": {"added_tokens": found, "pre_tokenizer": {"type": "Metaspace", "replacement":
                      "▁", "prepend_scheme": "first", "split": True}, "decoder":
                      {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first"},
                      "model": {"vocab": marked, "merges": ["a b", "▁ a"], "unk_token": "<u>",
                                "fuse_unk": True, "byte_fallback": True}},
        "llama2": {"added_tokens": end, "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": "▁"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]},
            "decoder": {"type": "Sequence", "decoders": [
                {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
                {"type": "ByteFallback"}, {"type": "Fuse"},
                {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
            "model": {"vocab": marked, "merges": ["a b", "▁ a"], "unk_token": "<u>",
                      "byte_fallback": True}},
        "split": {"added_tokens": end, "normalizer": {"type": "NFD"}, "pre_tokenizer": {
            "type": "Split", "pattern": {"String": "b"}, "behavior": "MergedWithPrevious"},
            "model": {"vocab": marked, "merges": ["a b"]}},
    }
    text = "ab ab a1b É  é\n'll 123 ſ".encode()
    return {name: json.dumps(kind, ensure_ascii=False).encode() + b"\0" + text
            for name, kind in kinds.items()}


def peft():
    fields = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 2, "lora_alpha": 4,
              "lora_dropout": 0.1, "target_modules": ["q_proj", "v_proj"], "bias": "none",
              "use_rslora": True, "layers_to_transform": [0], "exclude_modules": ["o_proj"]}
    tensors = {}
    for name, rows in [("q_proj", 4), ("v_proj", 2)]:
        path = f"base_model.model.model.layers.0.self_attn.{name}."
        tensors |= {path + "lora_A.weight": [2, 4], path + "lora_B.weight": [rows, 2]}
    return json.dumps(fields).encode() + b"\0" + safetensors(tensors, {"format": "pt"})


def varint(number):
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


def message(*fields):
    """(number, value): int, bytes or float."""
    out = b""
    for number, value in fields:
        if isinstance(value, int):
            out += varint(number << 3) + varint(value)
        elif isinstance(value, float):
            out += varint(number << 3 | 1) + struct.pack("<d", value)
        else:
            out += varint(number << 3 | 2) + varint(len(value)) + value
    return out


def entries():
    one, two = b"\x11" * 32, b"\x22" * 32
    position = message((1, one), (2, 3), (3, two))
    merge = message((1, message((1, message((1, 1), (2, position))), (2, position), (3, message(
        (1, one), (2, varint(2) + varint(5)))), (4, 1), (5, two))), (2, 1))
    payload = message((1, b"int4-128"), (2, 200), (3, 70), (4, one), (5, two))
    payloads = {
        "contribution": (16, message((1, merge), (2, 2), (3, 1), (4, one), (5, payload),
                                     (6, varint(9) + varint(7)), (7, 100), (8, 5), (9, 6),
                                     (12, b"hanse"), (13, one), (14, b"CC"), (15, 0.5))),
        "verdict": (17, message((1, one), (2, 1), (3, 1), (4, 5), (5, 6), (6, 7))),
        "attestation": (18, message((1, position), (2, merge), (3, one))),
        "removal": (19, message((1, 2), (2, 1), (3, one), (5, message((1, two), (4, b"gone"))))),
        "rotation": (19, message((1, 2), (2, 1), (6, message((1, two), (2, one), (3, one * 2))))),
        "recall": (19, message((1, 2), (2, 1), (7, message((1, two), (2, b"bad"))))),
        "approval": (20, message((1, one))),
        "presence": (21, message((1, b"h:1"), (2, b"hanse"), (3, 1), (4, message(
            (1, one), (2, 5), (3, 1))), (6, b"kiel"))),
    }
    return {name: b"\0" * 64 + message((1, one), (2, two), (3, 1), (4, 2), (5, one), (6, 7), field)
            for name, field in payloads.items()}


def charter():
    module = message((1, b"model.layers.0.self_attn.q_proj"), (2, 4), (3, 4))
    return message(
        (1, 1), (2, b"baltic"), (3, message((1, b"m"), (2, b"Apache-2.0"), (3, b"llama"), (
            4, message((1, b"m.gguf"), (2, 9), (3, b"\x33" * 32))))),
        (4, message((1, 2), (2, 4), (3, b"\x01" * 32), (4, module))),
        (5, message((1, 10), (2, 4), (3, 128), (4, 1), (5, 1e-4), (6, 60))),
        (6, message((1, b"clipped-mean"), (2, 65536), (3, 100), (4, 1), (5, 3))),
        (7, message((1, 1000), (2, 3))), (8, b"none"),
        (9, message((1, b"kiel"), (2, key()))), (10, 5))


def key():
    return bytes.fromhex(vector_field("Entry/entry_good.txt", "key"))


def vector(name):
    head, _, body = (root / "Protocol/Vectors" / name).read_text().partition("\n\n")
    return bytes.fromhex("".join(body.split()))


def vector_field(name, key):
    for line in (root / "Protocol/Vectors" / name).read_text().splitlines():
        if line.startswith(key + ": "):
            return line[len(key) + 2:]
    raise KeyError(key)


def records():
    seeds = {"frame": {}, "entry": entries(), "delta": {}, "blocklist": {}, "state": {},
             "bundle": {}, "rotation": {}}
    folder = root / "Protocol/Vectors"
    for path in sorted(folder.glob("Wire/frame_*.txt")):
        seeds["frame"][path.stem] = vector(f"Wire/{path.name}")
    frames = [(2, message((1, message((1, b"\x11" * 32), (2, 3), (3, b"\x22" * 32))))),
              (4, message((1, b"\x11" * 32), (2, 1), (3, 9))), (5, message((1, b"\x11" * 32))),
              (6, message((1, b"\x11" * 32), (2, 1), (
                  3, vector("Delta/blocklist_two_blocks.txt")))),
              (7, message((1, 5))), (9, message((1, b"bye"))), (10, message((1, b"\x11" * 32))),
              (17, message((1, 1), (3, charter()))), (3, message((1, message(
                  (1, entries()["verdict"][64:]), (2, b"\0" * 64)))))]
    for number, body in frames:
        frame = message((number, body))
        seeds["frame"][f"kind{number}"] = struct.pack(">I", len(frame)) + frame
    for path in sorted(folder.glob("Entry/*.txt")):
        body = vector(f"Entry/{path.name}")
        try:
            signature = bytes.fromhex(vector_field(f"Entry/{path.name}", "signature"))
        except KeyError:
            signature = b""
        seeds["entry"][path.stem] = signature[:64].ljust(64, b"\0") + body
    for path in sorted(folder.glob("Delta/*.txt")):
        body, name = vector(f"Delta/{path.name}"), path.stem
        if name.startswith("blocklist"):
            seeds["blocklist"][name] = body
        elif len(body) < 8192 and not name.startswith("layout"):
            seeds["delta"][name] = b"\0" + body
    for tier in range(6):
        seeds["delta"][f"stream{tier}"] = bytes([0x80 | tier]) + b"\x14" * 37 + b"\x11" * 2200
    for path in sorted(folder.glob("Bundle/*.txt")):
        body = vector(f"Bundle/{path.name}")
        seeds["bundle"][path.stem] = body
        if len(body) > 80:
            seeds["bundle"]["records_" + path.stem] = b"\0" + body[48:-37]
    seeds["rotation"]["message"] = b"\0" + message((1, b"\x11" * 32), (2, key()), (3, b"\x22" * 64))
    seeds["rotation"]["line"] = b"hansekey1" + b"a" * 214
    for path in sorted(folder.glob("Merge/snapshot_*.txt")):
        seeds["state"][path.stem] = vector(f"Merge/{path.name}")
    return seeds


def worker():
    job = {"version": 1, "job": "train", "id": 1, "train": {
        "adapter": "a", "output": "b", "data": {"files": ["x"], "part": "held-out"}, "steps": 5,
        "batch": 4, "length": 128, "learning_rate": 2e-4, "schedule": "cosine", "warmup": "10%",
        "clip": 1, "seed": 1, "order": "shuffled"}}
    progress = {"version": 1, "event": "progress", "id": 1, "progress": {
        "phase": "training", "done": 1, "all": 2, "loss": "nan"}}
    hello = {"version": 1, "event": "hello", "hello": {"engine": "e", "model": "m", "process": 1}}
    done = {"version": 1, "event": "done", "id": 1, "evaluate": {
        "tokens": 5, "nats_per_token": "inf"}}
    return {str(i): json.dumps(x).encode() for i, x in enumerate([job, progress, hello, done])}


def control():
    seeds = {path.stem: b"GET /v1/status\n" + path.read_bytes()
             for path in sorted((root / "Protocol/Vectors/Control").glob("*.json"))}
    asks = ["GET /v1/log?limit=5&entries=true\n", "GET /v1/show/abcd\n",
            'POST /v1/approve\n{"subject":"kiel"}', 'POST /v1/invite\n{"uses":1,'
            '"expires_in_seconds":60}', 'POST /v1/propose\n{"change":"remove","subjects":["kiel"],'
            '"reason":"x"}', 'POST /v1/verify\n{"from_seal":true}']
    return seeds | {f"ask{i}": ask.encode() for i, ask in enumerate(asks)}


def main():
    if len(sys.argv) != 2 or sys.argv[1] in ("-h", "--help"):
        sys.exit(__doc__)
    kinds = list(CLASSES)
    seeds = records() | {
        "safetensors": {"f32": safetensors({"a": [2, 3], "b": [0], "c": []}, {"format": "pt"}),
                        "f16": safetensors({"w": [3]}, kind="F16")},
        "gguf": {kind: gguf_model(kind, pre) for kind, pre in [
            ("llama", "smollm"), ("qwen2", "qwen2"), ("qwen3", "gpt-4o"), ("smollm3", "llama-bpe"),
            ("olmo2", "tekken"), ("apertus", None)]} | {"blocks": gguf_blocks()},
        "folder": {kind: configuration(kind) + b"\0" + safetensors(decoder(kind))
                   for kind in kinds},
        "json": {"all": '{"a":[1,-2.5e3,true,false,null,"\\u00e9\\ud83d\\ude00\\n"],"é":{}}'
                 .encode(), "config": configuration("smollm3")},
        "tokenizer": tokenizers(), "peft": {"plain": peft()}, "worker": worker(),
        "charter": {"plain": charter()}, "control": control(),
        "ticket": {"message": b"\0" + message(
            (1, b"\x11" * 32), (2, b"\x22" * 32), (3, message((1, b"\x11" * 32), (2, key()), (
                3, b"h:1"))), (4, b"\x01" * 32), (5, 7), (6, b"baltic")),
            "line": b"hanse1abcd"},
        "join": {"body": b"\0" + message((1, b"\x11" * 32), (3, b"kiel"), (4, b"h:1"), (6, 7)),
                 "request": message((1, b"x"), (2, b"\0" * 64), (3, b"\0" * 64))},
    }
    for reader, files in seeds.items():
        folder = pathlib.Path(sys.argv[1]) / reader
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (folder / f"seed-{name}").write_bytes(content)


main()
