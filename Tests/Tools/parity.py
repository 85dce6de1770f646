#!/usr/bin/env python3
"""Compares the built hanse with transformers and PEFT on a real model, live.

Each check prints what was measured, what was allowed and whether it holds; exit code 1 when one
does not. The tiny models' comparisons are fixtures (make_fixtures.py) that the Swift tests read.

Needs: pip install torch transformers peft gguf safetensors, and xllamacpp for `--only llama`,
which loads an exported GGUF adapter and a merged model in llama.cpp, and `--only formats`, which
does so for the tiny model of every architecture.
Usage: parity.py --hanse .build/release/hanse --model MODEL.gguf [--data FILE.jsonl]
                 [--only evaluate,export,import,train,generate,llama,
                  formats] [--windows 12] [--length 256]
"""
import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
import peft
import torch
import transformers

CHECKS = ["evaluate", "export", "import", "train", "generate"]
PROMPT = "The three largest cities of Germany are"
PROMPTS = [
    PROMPT, "Once upon a time, in a small village by the sea,", "def fibonacci(n):",
    "Die Hanse war ein Bund von Kaufleuten, der", "The capital of France is", "1, 2, 3, 5, 8, 13,",
    "To make a good bread you need", "Q: Why is the sky blue? A:",
    "In physics, the second law of thermodynamics says that", "Dear Sir or Madam,",
]


class Parity:
    def __init__(self, options):
        self.options = options
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="hanse-parity-"))
        self.failures = 0
        self.data = options.data or self.own_text()
        self.models = {}

    # hanse

    def hanse(self, *arguments, text=None):
        """Standard output of a verb; ends the script with hanse's own words when it fails."""
        done = subprocess.run(
            [self.options.hanse, *map(str, arguments)], input=text, capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"hanse {' '.join(map(str, arguments))}: {done.stderr}")
        return done.stdout

    def evaluate(self, dtype, *more):
        return json.loads(self.hanse(
            "evaluate", "--model", self.options.model, "--data", self.data, "--dtype", dtype,
            "--length", self.options.length, "--json", *more))

    # the reference

    def model(self, dtype):
        """The base; the last one asked for is kept."""
        if dtype not in self.models:
            self.models = {}
            folder, name = os.path.split(os.path.abspath(self.options.model))
            whole = {"gguf_file": name} if name.endswith(".gguf") else {}
            self.models[dtype] = transformers.AutoModelForCausalLM.from_pretrained(
                folder if whole else self.options.model, dtype=getattr(torch, dtype),
                **whole).eval()
        return self.models[dtype]

    def windows(self):
        """The stream that hanse reads: its own ids, documents joined by the separator, cut."""
        lines = [json.loads(line)["text"] for line in open(self.data, encoding="utf-8")]
        output = self.hanse("tokenize", "--model", self.options.model, "--json",
                            text="\n".join(lines) + "\n")
        separator = self.options.separator
        stream = []
        for index, line in enumerate(output.splitlines()):
            stream += ([separator] if index else []) + json.loads(line)
        length = self.options.length
        return [w for w in (stream[i:i + length] for i in range(0, len(stream), length))
                if len(w) > 1]

    def loss(self, model):
        """Summed loss over positions 1…length−1 of each window, divided by their number."""
        nats, tokens = 0.0, 0
        with torch.no_grad():
            for window in self.windows():
                ids = torch.tensor([window])
                logits = model(input_ids=ids).logits[0, :-1].float()
                nats += torch.nn.functional.cross_entropy(
                    logits, ids[0, 1:], reduction="sum").item()
                tokens += len(window) - 1
        return tokens, nats / tokens

    def own_text(self):
        """Paragraphs of this repository, one document a line, enough for the windows asked for."""
        root = pathlib.Path(__file__).resolve().parents[2]
        paragraphs = []
        for path in sorted([*root.glob("Protocol/*.md"), *root.glob("Sources/*/*.swift")]):
            for part in path.read_text(encoding="utf-8").split("\n\n"):
                part = re.sub(r"\s*\n\s*(///)?\s*", " ", part).strip()
                if len(part) > 200:
                    paragraphs.append(part)
        # Four characters a token, spread over the whole tree.
        wanted = self.options.windows * self.options.length * 4
        stride = max(1, sum(map(len, paragraphs)) // wanted)
        path = self.folder / "text.jsonl"
        with open(path, "w", encoding="utf-8") as file:
            for part in paragraphs[::stride]:
                file.write(json.dumps({"text": part}, ensure_ascii=False) + "\n")
        return str(path)

    def report(self, what, ours, theirs, allowed):
        gap = abs(ours / theirs - 1)
        good = gap <= allowed
        self.failures += not good
        print(f"{'ok  ' if good else 'FAIL'} {what}: hanse {ours:.6f}, reference {theirs:.6f}, "
              f"apart {100 * gap:.4f} % of {100 * allowed:g} % allowed", flush=True)

    # the checks

    def check_evaluate(self):
        for dtype, name, allowed in (("f32", "float32", 5e-4), ("bf16", "bfloat16", 5e-3)):
            ours = self.evaluate(dtype)
            tokens, theirs = self.loss(self.model(name))
            assert tokens == ours["tokens"], (tokens, ours)
            self.report(f"loss of the base on {tokens} tokens, {dtype}",
                        ours["nats_per_token"], theirs, allowed)

    def check_export(self):
        out = self.folder / "exported"
        self.hanse("train", "--model", self.options.model, "--data", self.data, "--out", out,
                   "--steps", 3, "--batch", 1, "--length", 128, "--learning-rate", 2e-3,
                   "--schedule", "constant", "--warmup", 0, "--dtype", "f32", "--json")
        ours = self.evaluate("f32", "--adapter", out)
        base = self.evaluate("f32")
        wrapped = peft.PeftModel.from_pretrained(self.model("float32"), out)
        _, theirs = self.loss(wrapped)
        wrapped.unload()
        self.models = {}
        print(f"     the adapter moves the loss from {base['nats_per_token']:.4f}")
        self.report("loss of an adapter that hanse trained, in PEFT",
                    ours["nats_per_token"], theirs, 5e-3)

    def random_adapter(self, folder, scale=0.02, **settings):
        torch.manual_seed(11)
        wrapped = peft.get_peft_model(
            self.model("float32"), peft.LoraConfig(task_type="CAUSAL_LM", **settings))
        with torch.no_grad():
            for name, weight in wrapped.named_parameters():
                if "lora_B" in name:
                    weight.copy_(scale * torch.randn_like(weight))
        wrapped.save_pretrained(folder)
        return wrapped

    def check_import(self):
        for name, settings in {
            "q and v, rank 8": dict(r=8, lora_alpha=8, target_modules=["q_proj", "v_proj"]),
            "all, rank 4": dict(r=4, lora_alpha=16, target_modules="all-linear"),
        }.items():
            out = self.folder / "imported"
            wrapped = self.random_adapter(out, **settings)
            _, theirs = self.loss(wrapped)
            self.models = {}
            ours = self.evaluate("f32", "--adapter", out)
            self.report(f"loss of an adapter that PEFT wrote ({name}), in hanse",
                        ours["nats_per_token"], theirs, 5e-4)

    def check_train(self):
        start, steps, batch, length = self.folder / "start", 5, 2, 128
        self.random_adapter(start, r=16, lora_alpha=32, target_modules="all-linear")
        arguments = ["--adapter", start, "--steps", steps, "--batch", batch, "--length", length,
                     "--learning-rate", 1e-3, "--schedule", "constant", "--warmup", 0,
                     "--order", "sequential", "--json"]
        stream = sum(self.windows(), [])
        full = [stream[i:i + length] for i in range(0, len(stream) - length + 1, length)]
        for dtype, name, allowed in (("f32", "float32", 1e-3), ("bf16", "bfloat16", 1e-2)):
            lines = self.hanse(
                "train", "--model", self.options.model, "--data", self.data, "--out",
                self.folder / ("run-" + dtype), "--dtype", dtype, *arguments).splitlines()
            ours = [json.loads(line)["loss"] for line in lines[:-1]]
            self.models = {}
            wrapped = peft.PeftModel.from_pretrained(self.model(name), start, is_trainable=True)
            factors = [p for p in wrapped.parameters() if p.requires_grad]
            optimiser = torch.optim.AdamW(factors, lr=1e-3, weight_decay=0.0)
            for step in range(steps):
                rows = [(step * batch + row) % len(full) for row in range(batch)]
                ids = torch.tensor([full[row] for row in rows])
                loss = wrapped(input_ids=ids, labels=ids).loss
                loss.backward()
                torch.nn.utils.clip_grad_norm_(factors, 1.0)
                optimiser.step()
                optimiser.zero_grad()
                self.report(f"loss at training step {step + 1}, {dtype}", ours[step],
                            loss.item(), allowed)
            self.models = {}

    def check_generate(self):
        """Greedy answers token by token, with hanse's own stop tokens on both sides."""
        same = 0
        for prompt in PROMPTS:
            ids = json.loads(self.hanse(
                "tokenize", "--model", self.options.model, "--json",
                text=prompt.replace("\n", " ") + "\n"))
            ours = json.loads(self.hanse(
                "generate", "--model", self.options.model, "--prompt", prompt.replace("\n", " "),
                "--max-tokens", 64, "--dtype", "f32", "--json"))
            model = self.model("float32")
            with torch.no_grad():
                out = model.generate(
                    torch.tensor([ids]), attention_mask=torch.ones(1, len(ids), dtype=torch.long),
                    max_new_tokens=64, do_sample=False, pad_token_id=0, eos_token_id=[0, 2],
                    output_logits=True, return_dict_in_generate=True)
            theirs = [t for t in out.sequences[0].tolist()[len(ids):] if t not in (0, 2)]
            good = ours["prompt_tokens"] == len(ids) and theirs == ours["token_ids"]
            same += good
            self.failures += not good
            gaps = [(top[0] - top[1]).item() for top in (
                logits[0].topk(2).values for logits in out.logits)]
            apart = next((i for i, (a, b) in enumerate(zip(theirs, ours["token_ids"])) if a != b),
                         None)
            print(f"{'ok  ' if good else 'FAIL'} {prompt[:40]!r}: {len(theirs)} tokens, ended by "
                  f"{ours['stop_reason']}, closest choice {min(gaps):.4f} apart in logits"
                  + ("" if good else f"; first other token at {apart}, where it was "
                     f"{gaps[apart or 0]:.4f}"), flush=True)
        print(f"     {same} of {len(PROMPTS)} greedy answers are the same", flush=True)

    def check_formats(self):
        """Every tiny model of Tests/Fixtures with its adapter, exported in each format:
        transformers loads the merged folder, llama.cpp the merged file and the adapter's file."""
        fixtures = pathlib.Path(__file__).resolve().parents[1] / "Fixtures"
        for source in sorted(path.parent for path in fixtures.glob("*/adapter")):
            name = source.name
            ids = json.loads((source / "reference.json").read_text())["tokens"][:24]
            base = transformers.AutoModelForCausalLM.from_pretrained(
                source, dtype=torch.float32).eval()
            tied = "tied" if base.config.tie_word_embeddings else "untied"
            wrapped = peft.PeftModel.from_pretrained(base, source / "adapter")
            theirs = self.ids_loss(wrapped, ids)
            exported = self.folder / (name + "-merged")
            self.hanse("export", "--format", "merged", "--model", source, "--adapter",
                       source / "adapter", "--out", exported)
            # A matrix of bfloat16 is rounded once more when it is merged.
            merged = transformers.AutoModelForCausalLM.from_pretrained(exported).eval()
            kind = str(next(merged.parameters()).dtype).removeprefix("torch.")
            self.report(f"{name} ({tied}): merged folder ({kind}) in transformers",
                        self.ids_loss(merged.float(), ids), theirs, 5e-3)
            if not (source / "model.gguf").exists():
                continue
            whole = self.folder / (name + ".gguf")
            with_vocabulary(source / "model.gguf", whole)
            for form in ("merged", "gguf"):
                self.hanse("export", "--format", form, "--model", whole, "--adapter",
                           source / "adapter", "--out", self.folder / f"{name}-{form}.gguf")
            plain = self.ids_loss(transformers.AutoModelForCausalLM.from_pretrained(
                source, dtype=torch.float32).eval(), ids)
            for what, reference, model, lora in (
                    ("base", plain, whole, None),
                    ("merged file", theirs, self.folder / f"{name}-merged.gguf", None),
                    ("adapter's file", theirs, whole, self.folder / f"{name}-gguf.gguf")):
                self.report(f"{name} ({tied}): {what} in llama.cpp",
                            llama_loss(model, lora, ids), reference, 2e-3)

    @staticmethod
    def ids_loss(model, ids):
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([ids])).logits[0, 1:-1].float()
        return torch.nn.functional.cross_entropy(logits, torch.tensor(ids[2:])).item()

    def check_llama(self):
        """The likeliest next tokens under an adapter: PEFT's, beside llama.cpp's.

        llama.cpp rounds activations to eight bits where the weights are quantised, which moves log
        probabilities by a quarter; so its base is the model merged with an adapter of zeros, whose
        matrices are float16.
        """
        self.random_adapter(self.folder / "zero", r=1, target_modules="all-linear", scale=0.0)
        self.models = {}
        base = self.folder / "base.gguf"
        self.hanse("export", "--format", "merged", "--out", base, "--adapter",
                   self.folder / "zero", "--model", self.options.model)
        adapter = self.folder / "for-llama"
        wrapped = self.random_adapter(
            adapter, scale=0.05, r=8, lora_alpha=32, target_modules="all-linear")
        ids = json.loads(self.hanse(
            "tokenize", "--model", self.options.model, "--json", text=PROMPT + "\n"))
        with torch.no_grad():
            theirs = wrapped(input_ids=torch.tensor([ids])).logits[0, -1].float().log_softmax(0)
        self.models = {}
        with torch.no_grad():
            plain = self.model("float32")(
                input_ids=torch.tensor([ids])).logits[0, -1].float().log_softmax(0)
        files = {}
        for form in ("gguf", "merged"):
            files[form] = self.folder / f"{form}.gguf"
            self.hanse("export", "--format", form, "--out", files[form], "--adapter", adapter,
                       "--model", self.options.model)
        print(f"     the adapter moves log probabilities by up to "
              f"{(theirs - plain)[theirs.topk(10).indices].abs().max():.2f}")
        for what, reference, model, lora in (
                ("base", plain, base, None),
                ("base with the exported adapter", theirs, base, files["gguf"]),
                ("merged model", theirs, files["merged"], None)):
            likely = llama_likely(model, lora, ids)
            gap = max(abs(logarithm - reference[token].item()) for token, logarithm in likely)
            good = gap < 0.2 and likely[0][0] == int(reference.argmax())
            self.failures += not good
            print(f"{'ok  ' if good else 'FAIL'} {what} in llama.cpp: log probabilities of the "
                  f"{len(likely)} likeliest tokens at most {gap:.4f} apart", flush=True)


def llama_server(model, adapter, prompts, count):
    """llama.cpp's likeliest next tokens with their log probabilities, `count` for each list of ids,
    from a process of its own."""
    code = """
import json, sys, xllamacpp
model, adapter, prompts, count = json.loads(sys.argv[1])
settings = xllamacpp.CommonParams()
settings.model.path = model
settings.n_ctx, settings.warmup, settings.no_extra_bufts = 512, False, True
if adapter:
    settings.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(adapter, 1.0)]
server = xllamacpp.Server(settings)
for ids in prompts:
    answer = server.handle_completions(
        {"prompt": ids, "n_predict": 1, "n_probs": count, "temperature": 0.0,
         "cache_prompt": False})
    answer = json.loads(answer) if isinstance(answer, str) else answer
    print("RESULT " + json.dumps(
        answer["choices"][0]["logprobs"]["content"][0]["top_logprobs"]))
"""
    given = json.dumps([str(model), str(adapter) if adapter else None, prompts, count])
    done = subprocess.run([sys.executable, "-c", code, given], capture_output=True, text=True)
    lines = [json.loads(line[7:]) for line in done.stdout.splitlines()
             if line.startswith("RESULT ")]
    if len(lines) != len(prompts):
        sys.exit(f"llama.cpp: {done.stdout[-500:]}{done.stderr[-3000:]}")
    return [[(one["id"], one["logprob"]) for one in line] for line in lines]


def llama_likely(model, adapter, ids):
    return llama_server(model, adapter, [ids], 10)[0]


def llama_loss(model, adapter, ids):
    """The mean loss of ids[2:], each predicted from those before it."""
    places = range(2, len(ids))
    answers = llama_server(model, adapter, [ids[:place] for place in places], 1000)
    return -sum(dict(answer)[ids[place]] for answer, place in zip(answers, places)) / len(places)


def with_vocabulary(source, target):
    """A copy of a tiny GGUF file that llama.cpp can serve: a vocabulary of letters beside the
    weights, and the weights as float32, so that nothing is rounded but by the export."""
    import gguf
    import numpy
    reader = gguf.GGUFReader(source)
    arch = reader.fields["general.architecture"].contents()
    writer = gguf.GGUFWriter(target, arch)
    for key, field in reader.fields.items():
        if key.startswith("GGUF.") or key in ("general.architecture", "general.file_type"):
            continue
        kind = field.types[0]
        writer.add_key_value(
            key, field.contents(), kind, field.types[-1] if kind == gguf.GGUFValueType.ARRAY
            else None)
    size = next(t for t in reader.tensors if t.name == "token_embd.weight").shape[1]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    letters = [chr(0x21 + i) if i < 90 else chr(0x100 + i) for i in range(size - 1)]
    writer.add_token_list(letters + [letters[0] + letters[1]])
    writer.add_token_types([1] * int(size))
    writer.add_token_merges([letters[0] + " " + letters[1]])  # llama.cpp wants one
    for tensor in reader.tensors:
        values = gguf.dequantize(tensor.data, tensor.tensor_type).astype(numpy.float32)
        writer.add_tensor(tensor.name, values.reshape([int(n) for n in reversed(tensor.shape)]))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--hanse", required=True)
    arguments.add_argument("--model", required=True)
    arguments.add_argument("--data", help=".jsonl of {\"text\": …} without line breaks inside")
    arguments.add_argument("--only", default=",".join(CHECKS))
    arguments.add_argument("--windows", type=int, default=12)
    arguments.add_argument("--length", type=int, default=256)
    arguments.add_argument("--separator", type=int, default=0, help="id of <|endoftext|>")
    options = arguments.parse_args()
    parity = Parity(options)
    print(f"     torch {torch.__version__}, transformers {transformers.__version__}, "
          f"peft {peft.__version__}")
    for name in options.only.split(","):
        getattr(parity, "check_" + name)()
    shutil.rmtree(parity.folder)
    sys.exit(1 if parity.failures else 0)


main()
