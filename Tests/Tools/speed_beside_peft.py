#!/usr/bin/env python3
"""hanse's training speed and memory beside PEFT's, on the same machine in the same hour.

Both do the same: LoRA rank 16 on all linear layers, batch 4 × 512, bfloat16. They take turns, so
that a busy moment of the machine does not fall on one of them alone; the best round of each counts.
Prints one JSON line with both and their ratios.

Needs: pip install torch transformers peft gguf safetensors
Usage: speed_beside_peft.py --hanse .build/release/hanse --model MODEL.gguf [--baseline SCRIPT]
                            [--rounds 2] [--steps 4] [--dtype bf16] [--peft-dtype f32]
                            [--max-isa avx2]
--max-isa holds both back to avx512_fp16, avx512_bf16, avx512, avx2 or portable instructions, by the
variables that each program reads, so that the figures of a smaller machine can be had on a larger
one.
Without --baseline a step of the same kind in this file is measured. A baseline script takes the
model and --dtype, --batch, --length, --rank, --steps, and prints a JSON line with
tokens_per_second and peak_rss_bytes.
"""
import argparse
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile


def own_step(options):
    """What a lab would otherwise run: one PEFT step, timed. Runs in a process of its own."""
    import resource
    import statistics
    import time
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    import peft
    import torch
    import transformers
    folder, name = os.path.split(options.model)
    whole = {"gguf_file": name} if name.endswith(".gguf") else {}
    model = transformers.AutoModelForCausalLM.from_pretrained(
        folder if whole else options.model, dtype=getattr(torch, options.dtype), **whole)
    ids = torch.randint(0, model.config.vocab_size, (options.batch, options.length))
    model = peft.get_peft_model(model, peft.LoraConfig(
        r=options.rank, lora_alpha=2 * options.rank, target_modules="all-linear"))
    factors = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(factors, lr=1e-4)
    model.train()
    seconds = []
    for _ in range(options.steps + 1):
        start = time.perf_counter()
        model(input_ids=ids, labels=ids).loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        seconds.append(time.perf_counter() - start)
    print(json.dumps({
        "tokens_per_second": options.batch * options.length / statistics.median(seconds[1:]),
        "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "torch": torch.__version__, "peft": peft.__version__,
        "transformers": transformers.__version__}))


# What holds back oneDNN, PyTorch's own kernels and MKL as HANSE_MAX_ISA holds back hanse.
HELD_BACK = {
    "avx512_fp16": ("AVX512_CORE_FP16", "avx512", "AVX512"),
    "avx512_bf16": ("AVX512_CORE_BF16", "avx512", "AVX512"),
    "avx512": ("AVX512_CORE", "avx512", "AVX512"),
    "avx2": ("AVX2", "avx2", "AVX2"),
    "portable": ("SSE41", "default", "SSE4_2"),
}


def last_json(command, isa=None):
    environment = dict(os.environ, OMP_WAIT_POLICY="passive", HF_HUB_OFFLINE="1")
    if isa:
        names = ("ONEDNN_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY", "MKL_ENABLE_INSTRUCTIONS")
        environment.update(zip(names, HELD_BACK[isa]), HANSE_MAX_ISA=isa)
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def run_peft(options, dtype):
    script = options.baseline or __file__
    more = [] if options.baseline else ["--measure-peft"]
    return last_json([
        sys.executable, script, *more, *([] if more else [options.model]),
        *(["--model", options.model] if more else []), "--dtype", dtype,
        "--batch", str(options.batch), "--length", str(options.length),
        "--rank", str(options.rank), "--steps", str(options.steps)], options.max_isa)


def run_hanse(options, folder, name):
    text = pathlib.Path(folder) / "text.txt"
    draw = random.Random(1)
    words = ["harbour", "salt", "ledger", "north", "ship", "grain", "letter", "bridge", "night"]
    text.write_text(" ".join(draw.choice(words) for _ in range(20 * options.length)))
    return last_json([
        options.hanse, "train", "--model", options.model, "--data", str(text), "--out",
        str(pathlib.Path(folder) / name), "--steps", str(options.steps + 1), "--batch",
        str(options.batch), "--length", str(options.length), "--rank", str(options.rank),
        "--alpha", str(2 * options.rank), "--dtype", options.dtype, "--json"], options.max_isa)


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--hanse")
    arguments.add_argument("--model", required=True)
    arguments.add_argument("--baseline")
    arguments.add_argument("--rounds", type=int, default=2)
    arguments.add_argument("--steps", type=int, default=4)
    arguments.add_argument("--batch", type=int, default=4)
    arguments.add_argument("--length", type=int, default=512)
    arguments.add_argument("--rank", type=int, default=16)
    arguments.add_argument("--dtype", default="bf16")
    arguments.add_argument("--peft-dtype", choices=("bf16", "f32"))
    arguments.add_argument("--max-isa", choices=tuple(HELD_BACK))
    arguments.add_argument("--measure-peft", action="store_true", help=argparse.SUPPRESS)
    options = arguments.parse_args()
    options.model = os.path.abspath(options.model)
    if options.measure_peft:
        return own_step(options)
    if not options.hanse:
        arguments.error("--hanse is needed")
    long = {"bf16": "bfloat16", "f32": "float32"}[options.peft_dtype or options.dtype]
    ours, theirs = [], []
    with tempfile.TemporaryDirectory(prefix="hanse-speed-") as folder:
        for turn in range(options.rounds):
            ours.append(run_hanse(options, folder, f"adapter-{turn}"))
            theirs.append(run_peft(options, long))
            print(f"round {turn + 1}: hanse {ours[-1]['tokens_per_second']:.0f} tokens/s, "
                  f"PEFT {theirs[-1]['tokens_per_second']:.0f}", file=sys.stderr, flush=True)
    speed = [max(run["tokens_per_second"] for run in runs) for runs in (ours, theirs)]
    memory = [min(run["peak_rss_bytes"] for run in runs) for runs in (ours, theirs)]
    print(json.dumps({
        "hanse": {"tokens_per_second": round(speed[0], 1), "peak_rss_bytes": memory[0]},
        "peft": {"tokens_per_second": round(speed[1], 1), "peak_rss_bytes": memory[1]}
        | {key: theirs[-1][key] for key in ("torch", "peft", "transformers") if key in theirs[-1]},
        "speed_ratio": round(speed[0] / speed[1], 2),
        "memory_ratio": round(memory[0] / memory[1], 3),
        "dtype": options.dtype, "peft_dtype": options.peft_dtype or options.dtype,
        "max_isa": options.max_isa, "batch": options.batch, "length": options.length,
        "rank": options.rank, "rounds": options.rounds}))


main()
