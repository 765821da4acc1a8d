"""Reads GGUF files by the public gguf package and prints JSON: for each file its fields and tensors.

usage: read_gguf.py FILE.gguf ...
       read_gguf.py --types              the types of tensors: name -> [number, elements, bytes] of a block
"""
import hashlib
import json
import sys

import gguf


def read(path):
    reader = gguf.GGUFReader(path)
    fields = {name: field.contents() for name, field in reader.fields.items() if not name.startswith("GGUF.")}
    tensors = {
        tensor.name: {
            "dtype": tensor.tensor_type.name,
            "shape": [int(dimension) for dimension in tensor.shape],
            "offset": int(tensor.data_offset),
            "length": int(tensor.n_bytes),
            "sha256": hashlib.sha256(tensor.data.tobytes()).hexdigest(),
        }
        for tensor in reader.tensors
    }
    return {"alignment": int(reader.alignment), "fields": fields, "tensors": tensors}


def types():
    return {kind.name: [kind.value, *gguf.GGML_QUANT_SIZES[kind]] for kind in gguf.GGMLQuantizationType}


json.dump(types() if sys.argv[1:] == ["--types"] else {path: read(path) for path in sys.argv[1:]}, sys.stdout)
