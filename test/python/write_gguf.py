"""Writes a small model of random numbers by the public gguf package.

usage: write_gguf.py OUT.gguf SPEC          SPEC: JSON of {"blocks", "types": [...], "alignment"?, "tensors_per_file"?, "tied"?, "rope"?}

Block N has one tensor of each type; matrices have rows of 256 so that every type fits. Types that the package cannot compute are
random bytes. With "tensors_per_file" the package splits the model over files.
"""
import json
import sys

import gguf
import numpy as np


def main(out, spec):
    spec = json.loads(spec)
    random = np.random.default_rng(spec.get("seed", 1))
    writer = gguf.GGUFWriter(out, "llama", split_max_tensors=spec.get("tensors_per_file", 0))
    writer.add_name("random")
    writer.add_block_count(spec["blocks"])
    writer.add_array("test.numbers", [1, 2, 3])
    writer.add_float64("test.pi", 3.14159)
    writer.add_bool("test.yes", True)
    writer.add_string("test.long", "long " * 2000)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list([f"token {index}" for index in range(500)])
    writer.add_token_scores([index / 7 for index in range(500)])
    writer.add_bos_token_id(1)
    writer.add_string("test.after", "after the tokenizer")
    if "alignment" in spec:
        writer.add_custom_alignment(spec["alignment"])

    def add(name, kind, rows=3):
        kind = gguf.GGMLQuantizationType[kind]
        block, size = gguf.GGML_QUANT_SIZES[kind]
        if kind == gguf.GGMLQuantizationType.F32:
            writer.add_tensor(name, random.standard_normal((rows, 256)).astype("<f4"))
            return
        data = random.integers(0, 256, (rows, 256 // block * size), dtype="u1")
        writer.add_tensor(name, data, raw_dtype=kind)

    add("token_embd.weight", spec["types"][0], 5)
    if spec.get("rope", False):
        writer.add_tensor("rope_freqs.weight", random.standard_normal(9).astype("<f4"))
    for block in range(spec["blocks"]):
        writer.add_tensor(f"blk.{block}.attn_norm.weight", random.standard_normal(7).astype("<f4"))
        for kind in spec["types"]:
            add(f"blk.{block}.{kind.lower()}.weight", kind, 1 + block)
    writer.add_tensor("output_norm.weight", random.standard_normal(7).astype("<f4"))
    if not spec.get("tied", False):
        add("output.weight", spec["types"][-1], 5)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


main(*sys.argv[1:])
