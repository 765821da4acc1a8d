"""Reads slices with the safetensors library: read_slice.py DIR...

Prints as JSON a list with an object for each directory: for every tensor that the index names, its dtype, shape and the SHA-256 of its
bytes, as {"tensors": {...}}, and the tensors that lie in the files without being named, as {"unlisted": [...]}. Every tensor is read in two ways, by `safe_open` (which maps
the file) and by `deserialize` (from bytes that were read), which have to agree; so do copies in other files than the one that the index
names (a tied head). It fails where the index names what is not there.
"""

import hashlib
import json
import os
import sys

import safetensors

# numpy has no bf16 and no fp8, so of tensors of other types only the bytes are read.
NUMPY_DTYPES = {"BOOL", "U8", "I8", "U16", "I16", "F16", "U32", "I32", "F32", "U64", "I64", "F64"}
INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"


def names_by_file(directory):
    """What the index says, or None for each name of a file where there is no index."""
    path = os.path.join(directory, INDEX)
    if not os.path.exists(path):
        return {SINGLE: None}
    with open(path, encoding="utf-8") as file:
        weight_map = json.load(file)["weight_map"]
    files = {}
    for name, file_name in weight_map.items():
        files.setdefault(file_name, []).append(name)
    return files


def read_file(path):
    """All tensors of a file."""
    with open(path, "rb") as file:
        raw = dict(safetensors.deserialize(file.read()))
    found = {}
    with safetensors.safe_open(path, framework="numpy") as opened:
        if set(opened.keys()) != set(raw):
            raise ValueError(f"{path}: safe_open and deserialize find different tensors")
        for name, tensor in raw.items():
            view = opened.get_slice(name)
            seen = {"dtype": view.get_dtype(), "shape": list(view.get_shape())}
            data = bytes(tensor["data"])
            if seen != {"dtype": tensor["dtype"], "shape": list(tensor["shape"])}:
                raise ValueError(f"{path}: safe_open and deserialize see different types of {name}")
            if seen["dtype"] in NUMPY_DTYPES and opened.get_tensor(name).tobytes() != data:
                raise ValueError(f"{path}: safe_open and deserialize read different bytes of {name}")
            found[name] = {**seen, "sha256": hashlib.sha256(data).hexdigest()}
    return found


def read_slice(directory):
    tensors, copies = {}, []
    for file_name, names in names_by_file(directory).items():
        found = read_file(os.path.join(directory, file_name))
        for name in list(found) if names is None else names:
            if name not in found:
                raise ValueError(f"{directory}: the index puts {name} into {file_name}, but it is not there")
            tensors[name] = found.pop(name)
        copies += found.items()
    for name, tensor in copies:
        if tensors.get(name, tensor) != tensor:
            raise ValueError(f"{directory}: two files have different tensors {name}")
    return {"tensors": tensors, "unlisted": sorted({name for name, _ in copies} - set(tensors))}


def main():
    json.dump([read_slice(directory) for directory in sys.argv[1:]], sys.stdout)


if __name__ == "__main__":
    main()
