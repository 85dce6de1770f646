#!/usr/bin/env python3
"""Lists the fields of the installed PEFT's LoraConfig, with values that are not their defaults.

PEFTFieldsTests reads Tests/Fixtures/peft/lora_config.json, which this script writes: every field of
adapter_config.json must be honoured or refused by name. A field without a value here ends the
script, so that a new PEFT cannot bring one that nobody has looked at.

Needs: pip install peft. Usage: peft_fields.py [OUT]
"""
import dataclasses
import json
import pathlib
import sys

import peft

# What a user of PEFT may write there; each is judged alone, all else at its default.
OTHERS = {
    "task_type": ["SEQ_CLS"], "peft_type": ["ADALORA"],
    "auto_mapping": [{"base_model_class": "LlamaForCausalLM"}], "peft_version": ["9.9"],
    "base_model_name_or_path": ["other"], "revision": ["main"], "inference_mode": [True],
    "r": [3], "target_modules": ["all-linear", ["v_proj"]], "exclude_modules": [["q_proj"], ".*q"],
    "lora_alpha": [3], "lora_dropout": [0.25], "fan_in_fan_out": [True],
    "bias": ["all", "lora_only"], "use_rslora": [True], "modules_to_save": [["lm_head"]],
    "init_lora_weights": [
        "pissa", "pissa_niter_4", "olora", "corda", "loftq", "lora_ga", "gaussian", "orthogonal",
        "eva", False],
    "layers_to_transform": [[1], 1], "layers_pattern": ["h", ["blocks"]],
    "rank_pattern": [{"q_proj": 2}], "alpha_pattern": [{"q_proj": 2}],
    "megatron_config": [{"a": 1}], "megatron_core": ["other.core"],
    "trainable_token_indices": [[1, 2], {"embed_tokens": [1]}], "loftq_config": [{"loftq_bits": 4}],
    "eva_config": [{"rho": 2.0}], "corda_config": [{"cache_file": "x"}],
    "lora_ga_config": [{"direction": "ArB2r"}], "use_dora": [True],
    "velora_config": [{"rank": 1}], "alora_invocation_tokens": [[1, 2]], "use_qalora": [True],
    "qalora_group_size": [32], "monteclora_config": [{"n": 1}],
    "layer_replication": [[[0, 1], [0, 1]]], "lora_bias": [True],
    "target_parameters": [["mlp.experts.gate_up_proj"]], "use_bdlora": [{"nblocks": 2}],
    "arrow_config": [{"top_k": 3}], "kasa_config": [{"beta": 1}], "ensure_weight_tying": [True],
}

config = peft.LoraConfig()
saved = config.to_dict()
fields = {}
for field in dataclasses.fields(config):
    if field.name not in saved:  # runtime_config, which PEFT itself never writes
        continue
    default = saved[field.name]
    if field.name not in OTHERS:
        sys.exit(f"LoraConfig of PEFT {peft.__version__} has a field {field.name} without a value "
                 "here: decide how hanse treats it, and add one")
    assert default not in OTHERS[field.name], field.name
    fields[field.name] = {"default": default, "others": OTHERS[field.name]}
default = pathlib.Path(__file__).resolve().parents[1] / "Fixtures" / "peft" / "lora_config.json"
out = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else default
out.parent.mkdir(parents=True, exist_ok=True)
out.write_text(json.dumps({"peft": peft.__version__, "fields": fields}, indent=1) + "\n")
print(f"{out}: {len(fields)} fields of PEFT {peft.__version__}")
