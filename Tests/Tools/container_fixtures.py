#!/usr/bin/env python3
"""Writes the files that ContainersTests reads: small GGUF and safetensors files by the reference
implementations, holding every type that hanse reads.

    pip install gguf numpy safetensors && python3 container_fixtures.py ../Fixtures/containers

In quants.gguf each tensor T stands beside T.expected, its numbers in F32 as PyPI's `gguf` gives
them.
"""

import os
import sys

import numpy as np
from gguf import GGMLQuantizationType as Q
from gguf import GGUFWriter, GGUFValueType, quants
from safetensors.numpy import save_file


def blocks(kind, chance, count):
    """`count` blocks of random bytes whose half-precision scales are ordinary numbers."""
    size = quants.GGML_QUANT_SIZES[kind][1]
    data = chance.integers(0, 256, (count, size), dtype=np.uint8)
    halves = {
        Q.Q4_0: [0],
        Q.Q4_1: [0, 2],
        Q.Q5_0: [0],
        Q.Q5_1: [0, 2],
        Q.Q8_0: [0],
        Q.Q2_K: [80, 82],
        Q.Q3_K: [108],
        Q.Q4_K: [0, 2],
        Q.Q5_K: [0, 2],
        Q.Q6_K: [208],
    }[kind]
    for offset in halves:
        scale = chance.normal(0, 0.05, count).astype(np.float16)
        data[:, offset : offset + 2] = scale.view(np.uint8).reshape(count, 2)
    return data


def write_gguf(folder):
    chance = np.random.default_rng(11)
    writer = GGUFWriter(os.path.join(folder, "quants.gguf"), "llama")
    for kind, value in (
        ("UINT8", 200),
        ("INT8", -100),
        ("UINT16", 60000),
        ("INT16", -30000),
        ("UINT32", 4000000000),
        ("INT32", -2000000000),
        ("FLOAT32", 0.1),
        ("UINT64", 2**63 + 1),
        ("INT64", -(2**62)),
        ("FLOAT64", 0.1),
    ):
        writer.add_key_value(f"test.{kind.lower()}", value, getattr(GGUFValueType, kind))
    writer.add_bool("test.bool", True)
    writer.add_string("test.string", "Größe \u2713")
    writer.add_array("test.strings", ["eins", "zwei", ""])
    writer.add_array("test.integers", [1, -2, 3])
    writer.add_array("test.reals", [0.5, -1.25])
    writer.add_array("test.nested", [[1, 2], [3]])
    for kind in (Q.Q4_0, Q.Q4_1, Q.Q5_0, Q.Q5_1, Q.Q8_0, Q.Q2_K, Q.Q3_K, Q.Q4_K, Q.Q5_K, Q.Q6_K):
        elements = quants.GGML_QUANT_SIZES[kind][0]
        rows, columns = 2, 512 // elements
        data = blocks(kind, chance, rows * columns).reshape(rows, -1)
        expected = quants.dequantize(data, kind)
        name = kind.name.lower()
        writer.add_tensor(name, data, raw_dtype=kind)
        writer.add_tensor(name + ".expected", expected.astype(np.float32))
    every_half = np.arange(65536, dtype=np.uint16).view(np.float16)
    halves = every_half[np.isfinite(every_half)][::31].copy()
    writer.add_tensor("f16", halves)
    writer.add_tensor("f16.expected", halves.astype(np.float32))
    bits = chance.integers(0, 0x7F80, 33, dtype=np.uint16)
    writer.add_tensor("bf16", bits.view(np.uint8), raw_dtype=Q.BF16)
    writer.add_tensor("bf16.expected", (bits.astype(np.uint32) << 16).view(np.float32))
    doubles = chance.normal(0, 1, (3, 5, 7))
    writer.add_tensor("f64", doubles)
    writer.add_tensor("f64.expected", doubles.astype(np.float32))
    writer.add_tensor("i32", np.arange(-3, 4, dtype=np.int32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_safetensors(folder):
    tensors = {
        "embed.weight": np.arange(12, dtype=np.float32).reshape(3, 4) / 8,
        "halves": np.array([1.5, -2.25, 65504], dtype=np.float16),
        "layer.é.bias": np.array([], dtype=np.float32),
        "scalar": np.array(7.0, dtype=np.float64),
        "steps": np.array([1, -2], dtype=np.int64),
        "mask": np.array([True, False, True]),
    }
    save_file(
        tensors,
        os.path.join(folder, "plain.safetensors"),
        metadata={"format": "np", "näme": "wert\n"},
    )


os.makedirs(sys.argv[1], exist_ok=True)
write_gguf(sys.argv[1])
write_safetensors(sys.argv[1])
