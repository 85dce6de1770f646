"""A Llama of any width that reads bytes, its weights drawn by a fixed generator."""

import json
import os
import random
import struct

VOCABULARY = 257


def write(folder, hidden=32, layers=2, intermediate=48):
    """Makes a Hugging Face folder."""
    os.makedirs(folder)
    heads = max(1, hidden // 64) if hidden >= 64 else 2
    configuration = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu",
        "hidden_size": hidden, "num_hidden_layers": layers, "num_attention_heads": heads,
        "num_key_value_heads": heads, "intermediate_size": intermediate,
        "head_dim": hidden // heads, "vocab_size": VOCABULARY, "max_position_embeddings": 512,
        "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": True,
        "bos_token_id": 256, "eos_token_id": 256, "attention_bias": False, "mlp_bias": False}
    files = {
        "config.json": configuration, "tokenizer.json": tokenizer(),
        "tokenizer_config.json": {"eos_token": "<|endoftext|>"}}
    for name, content in files.items():
        with open(f"{folder}/{name}", "w") as file:
            json.dump(content, file)
    weights(f"{folder}/model.safetensors", hidden, layers, intermediate)


def tokenizer():
    """Every byte is a token, spelt as byte-level vocabularies spell them; 256 ends a document."""
    vocabulary, following = {}, 256
    for byte in range(256):
        plain = 33 <= byte <= 126 or 161 <= byte <= 172 or byte >= 174
        vocabulary[chr(byte if plain else following)] = byte
        following += 0 if plain else 1
    vocabulary["<|endoftext|>"] = 256
    return {
        "version": "1.0",
        "added_tokens": [{"id": 256, "content": "<|endoftext|>", "special": True}],
        "normalizer": None, "decoder": {"type": "ByteLevel"},
        "pre_tokenizer": {
            "type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True,
            "use_regex": True},
        "model": {"type": "BPE", "vocab": vocabulary, "merges": []}}


def weights(path, hidden, layers, intermediate):
    shapes = [("model.embed_tokens.weight", [VOCABULARY, hidden])]
    for layer in range(layers):
        prefix = f"model.layers.{layer}."
        shapes += [(f"{prefix}self_attn.{name}_proj.weight", [hidden, hidden]) for name in "qkvo"]
        shapes += [(f"{prefix}mlp.{name}_proj.weight", [intermediate, hidden])
                   for name in ("gate", "up")]
        shapes.append((f"{prefix}mlp.down_proj.weight", [hidden, intermediate]))
        shapes += [(f"{prefix}{name}_layernorm.weight", [hidden])
                   for name in ("input", "post_attention")]
    shapes.append(("model.norm.weight", [hidden]))
    header, data, chance = {}, [], random.Random(1)
    # Repeating one stretch of numbers is enough: nothing here depends on what the model knows.
    stretch = struct.pack("<65536f", *(chance.uniform(-0.08, 0.08) for _ in range(65536)))
    start = 0
    for name, shape in shapes:
        count = 1
        for side in shape:
            count *= side
        if len(shape) == 1:
            piece = struct.pack("<f", 1.0) * count
        else:
            turn = 4 * chance.randrange(65536)
            turned = stretch[turn:] + stretch[:turn]
            piece = (turned * (count // 65536 + 1))[:4 * count]
        header[name] = {
            "dtype": "F32", "shape": shape, "data_offsets": [start, start + len(piece)]}
        data.append(piece)
        start += len(piece)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(data))


def text(number):
    """Forty documents in a language of a few words; each lab has words of its own."""
    words = (
        "hafen schiff salz brief kontor norden hering und", "port navire sel lettre nord et",
        "puerto barco sal carta norte arenque mercado y")[number % 3].split()
    chance = random.Random(number)
    return "".join(
        json.dumps({"text": " ".join(chance.choice(words) for _ in range(40))}) + "\n"
        for _ in range(40))
