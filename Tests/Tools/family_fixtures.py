#!/usr/bin/env python3
"""Writes reference values for every architecture of the Llama family.

For each a tiny random model as transformers saves it, the same as GGUF in the way of llama.cpp's
converter, and what transformers and PEFT compute on it: logits, the gradient of every LoRA factor,
twenty training steps. Everything follows from seeds; `versions` in each reference.json says what
made it.

Needs: pip install torch transformers peft safetensors gguf
Usage: family_fixtures.py [NAME…]
Everything goes to Tests/Fixtures.
"""
import copy
import json
import pathlib
import shutil
import sys

import gguf
import safetensors.torch
import torch
import transformers

import make_fixtures as plain

BATCH, LENGTH, RANK = 2, 24, 2

SIZES = dict(
    vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
    num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=256,
    bos_token_id=1, eos_token_id=2, pad_token_id=None, tie_word_embeddings=False)
# Wavelengths of 6, 20, 63 and more: one is left alone, one blended, the others divided.
LLAMA3 = {"rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0,
          "high_freq_factor": 4.0, "original_max_position_embeddings": 64}

MODELS = {
    "llama3": ("llama", dict(
        rope_parameters=LLAMA3, head_dim=16, attention_bias=True, mlp_bias=True)),
    "mistral": ("mistral", dict(sliding_window=9, head_dim=16)),
    "qwen2": ("qwen2", dict(
        use_sliding_window=True, sliding_window=7, max_window_layers=1,
        rope_parameters={"rope_type": "linear", "factor": 4.0, "rope_theta": 10000.0})),
    "qwen3": ("qwen3", dict(head_dim=16, tie_word_embeddings=True)),
    "smollm3": ("smollm3", dict(num_hidden_layers=4, tie_word_embeddings=True)),
    "olmo2": ("olmo2", dict(rms_norm_eps=1e-5)),
    "apertus": ("apertus", dict(rope_parameters=LLAMA3, head_dim=16)),
}


def make_model(kind, settings, seed):
    """A random model whose weights are exact in bfloat16 and large enough to matter."""
    torch.manual_seed(seed)
    config = transformers.AutoConfig.for_model(kind, **(SIZES | settings))
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "norm" in name:
                weight.copy_(1 + 0.2 * torch.randn_like(weight))
            elif "act_fn" in name:
                weight.add_(0.4 * torch.randn_like(weight))
            elif weight.ndim == 1:
                weight.copy_(0.4 * torch.randn_like(weight))
            else:
                weight.copy_(torch.randn_like(weight) * (1.2 / weight.shape[1] ** 0.5))
            weight.copy_(weight.bfloat16().float())
    return model.eval()


NAMES = {
    "input_layernorm": "attn_norm", "attention_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm", "post_attention_layernorm": "ffn_norm",
    "feedforward_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down"}
AFTER = {"post_attention_layernorm": "post_attention_norm",
         "post_feedforward_layernorm": "post_ffw_norm"}


def target_name(kind, name):
    whole = {"model.embed_tokens.weight": "token_embd.weight",
             "model.norm.weight": "output_norm.weight", "lm_head.weight": "output.weight"}
    if name in whole:
        return whole[name]
    _, _, layer, part = name.split(".", 3)
    part, end = part.rsplit(".", 1)
    names = NAMES | (AFTER if kind == "olmo2" else {})
    return f"blk.{layer}.{names[part]}.{end}"


def write_gguf(kind, model, path):
    """The model as llama.cpp's converter would write it, with bfloat16 matrices."""
    shape = model.config
    head = getattr(shape, "head_dim", None) or shape.hidden_size // shape.num_attention_heads
    kind = {"mistral": "llama"}.get(kind, kind)
    writer = gguf.GGUFWriter(path, kind)
    writer.add_block_count(shape.num_hidden_layers)
    writer.add_context_length(shape.max_position_embeddings)
    writer.add_embedding_length(shape.hidden_size)
    writer.add_feed_forward_length(shape.intermediate_size)
    writer.add_head_count(shape.num_attention_heads)
    writer.add_head_count_kv(shape.num_key_value_heads)
    writer.add_key_length(head)
    writer.add_value_length(head)
    writer.add_layer_norm_rms_eps(shape.rms_norm_eps)
    writer.add_rope_freq_base(shape.rope_parameters["rope_theta"])
    writer.add_rope_dimension_count(head)
    curves = {}
    for name, weight in model.state_dict().items():
        values = weight.float().numpy()
        if "act_fn" in name:
            curves.setdefault(name.rsplit(".", 1)[1], []).append(float(values.reshape(-1)[0]))
            continue
        if name == "lm_head.weight" and shape.tie_word_embeddings:
            continue
        if kind in ("llama", "smollm3"):
            for part, heads in (("q_proj", shape.num_attention_heads),
                                ("k_proj", shape.num_key_value_heads)):
                if part in name:
                    rows = values.reshape(values.shape[0], -1)
                    values = plain.half_permuted(rows, heads).reshape(values.shape)
        if values.ndim == 1:
            writer.add_tensor(target_name(kind, name), values)
        else:
            bf16 = gguf.GGMLQuantizationType.BF16
            writer.add_tensor(
                target_name(kind, name), gguf.quants.quantize(values, bf16), raw_dtype=bf16)
    for key, add in (("alpha_p", writer.add_xielu_alpha_p), ("alpha_n", writer.add_xielu_alpha_n),
                     ("beta", writer.add_xielu_beta), ("eps", writer.add_xielu_eps)):
        if curves:
            add(curves[key])
    if shape.rope_parameters["rope_type"] == "llama3":
        scaled = model.model.rotary_emb.inv_freq.float()
        base = shape.rope_parameters["rope_theta"]
        unscaled = 1 / base ** (torch.arange(0, head, 2).float() / head)
        writer.add_tensor("rope_freqs.weight", (unscaled / scaled).numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def make(name, folder, seed):
    kind, settings = MODELS[name]
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    model = make_model(kind, settings, seed)
    # A copy is saved, for bfloat16() would round the rotary frequencies of the model itself.
    copy.deepcopy(model).bfloat16().save_pretrained(folder)
    # A window cannot be said in a file of the Llama architecture, nor in that of Qwen 2.
    if name not in ("mistral", "qwen2"):
        write_gguf(kind, model, str(folder / "model.gguf"))
    for extra in ("generation_config.json", "README.md"):
        (folder / extra).unlink(missing_ok=True)
    stream = plain.make_stream(
        SIZES["vocab_size"], plain.STEPS * plain.BATCH * plain.LENGTH // 2, seed + 1)
    tokens = torch.tensor(stream[: BATCH * LENGTH]).view(BATCH, LENGTH)
    with torch.no_grad():
        tensors = {"logits": model(input_ids=tokens).logits.contiguous()}
    reference = {
        "versions": plain.versions(), "tokens": tokens.flatten().tolist(), "batch": BATCH,
        "length": LENGTH, "base_loss": model(input_ids=tokens, labels=tokens).loss.item()}
    model = plain.with_adapter(model, seed + 2, rank=RANK)
    model.save_pretrained(folder / "adapter")
    (folder / "adapter" / "README.md").unlink(missing_ok=True)
    reference["loss"], named = plain.gradients(model, tokens)
    model.zero_grad()
    tensors |= named
    with torch.no_grad():
        tensors["adapted_logits"] = model(input_ids=tokens).logits.contiguous()
    reference["training"] = {
        "stream": stream, "steps": plain.STEPS, "batch": plain.BATCH, "length": plain.LENGTH,
        "clip": plain.CLIP, "learning_rate": plain.LEARNING_RATE,
        "loss_f32": plain.train(model, stream), "loss_bf16": []}
    safetensors.torch.save_file(tensors, folder / "reference.safetensors")
    (folder / "reference.json").write_text(json.dumps(reference, sort_keys=True) + "\n")


def main():
    folder = pathlib.Path(__file__).resolve().parent.parent / "Fixtures"
    torch.set_num_threads(1)
    for seed, name in enumerate(MODELS):
        if sys.argv[1:] and name not in sys.argv[1:]:
            continue
        make(name, folder / name, 5000 + 1000 * seed)
        for path in (folder / name).rglob("*.safetensors"):
            path.chmod(0o644)
        size = sum(f.stat().st_size for f in (folder / name).rglob("*") if f.is_file())
        print(f"{folder / name}: {size} bytes", file=sys.stderr)


if __name__ == "__main__":
    main()
