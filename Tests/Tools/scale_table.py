#!/usr/bin/env python3
"""What a token costs as batch, length, rank and model grow: a table and a drawing.

Runs `hanse bench train --json` along each of the four lines, in random order, so that a busy moment
of the machine does not fall on one line alone; of several rounds the fastest counts. Weights are
random. What does not fit into the memory there is shows as refused, with hanse's own figures.

Needs: nothing but Python
Usage: scale_table.py --hanse .build/release/hanse --out FOLDER [--rounds 1] [--steps 2]
                      [--only batch,length,rank,size] [--quick]
Writes FOLDER/scale.md, FOLDER/scale.svg and FOLDER/scale.json. --quick takes the smallest points of
a tiny model, to see that the script works.
"""
import argparse
import json
import math
import pathlib
import random
import subprocess
import sys

LINES = {
    "batch": [{"batch": n} for n in (1, 2, 4, 8, 16)],
    "length": [{"length": n, "batch": max(1, 2048 // n)} for n in (256, 512, 1024, 2048, 4096)],
    "rank": [{"rank": n} for n in (4, 16, 32, 64, 128)],
    "size": [{"shape": "135m"}, {"shape": "360m"}, {"shape": "1.7b", "layers": 12},
             {"shape": "8b", "layers": 3}],
}
QUICK = {
    "batch": [{"batch": 1}, {"batch": 2}], "length": [{"length": 16}, {"length": 32}],
    "rank": [{"rank": 4}, {"rank": 8}], "size": [{"shape": "tiny"}],
}
USUAL = {"shape": "135m", "batch": 4, "length": 512, "rank": 16}


def measure(options, point):
    settings = USUAL | ({"shape": "tiny", "length": 16} if options.quick else {}) | point
    command = [options.hanse, "bench", "train", "--json", "--dtype", options.dtype,
               "--steps", str(options.steps)]
    for name, value in settings.items():
        command += [f"--{name}", str(value)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode == 4:
        return settings, {"refused": done.stderr.strip().splitlines()[0]}
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}: {done.stderr[-1000:]}")
    return settings, json.loads(done.stdout)


def row(settings, found):
    name = settings["shape"] + (f" ({settings['layers']} blocks)" if "layers" in settings else "")
    start = f"| {name} | {settings['batch']} | {settings['length']} | {settings['rank']} "
    if "refused" in found:
        return start + f"| {found['refused']} | | | | |"
    rate = found["best_tokens_per_second"]
    work = found["operations_per_step"] / settings["batch"] / settings["length"] / 1e9
    return start + (
        f"| {rate:.0f} | {1000 / rate:.2f} | {work:.2f} "
        f"| {100 * found['share_of_ceiling']:.0f} % | {found['peak_rss_bytes'] >> 20} |")


def table(results):
    lines = ["# What a token costs", ""]
    for name, points in results.items():
        first = next((f for _, f in points if "refused" not in f), None)
        if first:
            lines += [f"## By {name}", "",
                      f"{first['instruction_set']}, {first['threads']} threads, {first['dtype']}",
                      ""]
        lines += ["| model | batch | length | rank | tokens/s | ms a token | GFLOP a token "
                  "| of the ceiling | MiB |", "|---|--:|--:|--:|--:|--:|--:|--:|--:|"]
        lines += [row(*point) for point in points] + [""]
    return "\n".join(lines)


def drawing(results):
    """Milliseconds a token against the point's place on its line, both logarithmic."""
    width, height, edge = 360, 240, 48
    parts = []
    for panel, (name, points) in enumerate(results.items()):
        points = [(s, f) for s, f in points if "refused" not in f]
        if not points:
            continue
        costs = [1000 / f["best_tokens_per_second"] for _, f in points]
        low, high = math.log(min(costs) * 0.8), math.log(max(costs) * 1.25)
        left, top = panel % 2 * width, panel // 2 * height
        places = []
        for index, cost in enumerate(costs):
            x = left + edge + (width - 1.6 * edge) * (index / max(1, len(costs) - 1))
            y = top + height - edge - (height - 2 * edge) * (math.log(cost) - low) / (high - low)
            places.append((x, y))
        drawn = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<text x="{left + edge}" y="{top + 24}" font-weight="bold">'
                     f"milliseconds a token by {name}</text>")
        parts.append(f'<polyline points="{drawn}" fill="none" stroke="#246" stroke-width="2"/>')
        for (x, y), cost, (settings, _) in zip(places, costs, points):
            label = settings["shape"] if name == "size" else settings[name]
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="#246"/>'
                         f'<text x="{x:.1f}" y="{y - 8:.1f}" text-anchor="middle">{cost:.2f}</text>'
                         f'<text x="{x:.1f}" y="{top + height - 20}" text-anchor="middle">'
                         f"{label}</text>")
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * width} {2 * height}" '
            'font-family="sans-serif" font-size="11"><rect width="100%" height="100%" '
            'fill="#fff"/>' + "".join(parts) + "</svg>\n")


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--hanse", required=True)
    arguments.add_argument("--out", required=True)
    arguments.add_argument("--rounds", type=int, default=1)
    arguments.add_argument("--steps", type=int, default=2)
    arguments.add_argument("--dtype", default="bf16")
    arguments.add_argument("--only", default=",".join(LINES))
    arguments.add_argument("--quick", action="store_true")
    options = arguments.parse_args()
    lines = QUICK if options.quick else LINES
    chosen = options.only.split(",")
    for name in chosen:
        if name not in lines:
            arguments.error(f"--only names {name}, which is none of {', '.join(lines)}")
    work = [(name, index) for name in chosen for index in range(len(lines[name]))]
    results = {name: [None] * len(lines[name]) for name in chosen}
    for turn in range(options.rounds):
        random.Random(turn).shuffle(work)
        for name, index in work:
            settings, found = measure(options, lines[name][index])
            before = results[name][index]
            rate = found.get("best_tokens_per_second", 0)
            if before is None or rate > before[1].get("best_tokens_per_second", 0):
                results[name][index] = (settings, found)
            print(f"{name} {settings}: {rate:.0f} tokens/s", file=sys.stderr, flush=True)
    folder = pathlib.Path(options.out)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "scale.md").write_text(table(results))
    (folder / "scale.svg").write_text(drawing(results))
    (folder / "scale.json").write_text(json.dumps(
        {name: [{"settings": s, "result": f} for s, f in points]
         for name, points in results.items()}, indent=1) + "\n")
    print(table(results))


main()
