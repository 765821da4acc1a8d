#!/usr/bin/env python3
"""Recomputes the test vectors of the manifest format, without any code of Calyx.

Run from anywhere:  python3 test/vectors/make-manifests.py          writes the vectors beside this script
                    python3 test/vectors/make-manifests.py --check  exits with 1 if a stored vector differs

Needs Python >= 3.8 and nothing else. The rules that it follows are those of the format `calyx-manifest-1`:

* files by path, names that begin with '.' left out; a blob is named by the SHA-256 of the whole file
* each tensor starts a chunk and is cut every 4 MiB from its own start; what lies between the tensors is cut every 4 MiB
* chunk digests: SHA-256, 32 bytes each, joined, in base64
* tensors as [name, dtype, shape, offset in the file, length], ascending by offset; ordinals count over all files
* parts: `model.layers.N.*` is block N; `model.norm` and `lm_head` are the head; the rest is the embeddings. If the head
  is tied, the embedding table stands in both
* of a GGUF file, `gguf` tells what parts carry of the metadata: the bytes of the pairs that all carry, and the extents of those that only
  the embeddings carry (`tokenizer.*`, and what is longer than 4,096 bytes), which are cut as tensors are. `blk.N.*` is block N, a tensor
  named `rope_*` is in every block; `output*` is the head
* JSON without white space, keys in the order below; the revision id is the first 40 hex digits of the bytes' SHA-256
"""
import base64
import hashlib
import json
import os
import re
import struct
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
CHUNK = 4 * 1024 * 1024
MODELS = {
    "tiny-calyx": os.path.join(ROOT, "models", "tiny-calyx"),
    "qwen3": os.path.join(ROOT, "test", "fixtures", "models", "qwen3"),
    "qwen2-tied": os.path.join(ROOT, "test", "fixtures", "models", "qwen2-tied"),
    "llama3-rope": os.path.join(ROOT, "test", "fixtures", "models", "llama3-rope"),
    "gguf": os.path.join(ROOT, "test", "fixtures", "models", "gguf"),
    "mistral-f32": os.path.join(ROOT, "test", "fixtures", "models", "mistral-f32"),
}
# These are also stored as they are, byte for byte.
WHOLE = ["tiny-calyx", "qwen3", "gguf"]


def read(path):
    with open(path, "rb") as file:
        return file.read()


def tensors_of(data):
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])
    found = []
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        begin, end = entry["data_offsets"]
        found.append([name, entry["dtype"], entry["shape"], 8 + length + begin, end - begin])
    return sorted(found, key=lambda tensor: (tensor[3], tensor[4]))


GGML = {0: ("F32", 1, 4), 8: ("Q8_0", 32, 34), 12: ("Q4_K", 256, 144)}
SCALARS = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}


def gguf_of(data):
    """Tensors, and what parts carry of the metadata."""
    at = 24

    def u(form):
        nonlocal at
        (value,) = struct.unpack_from("<" + form, data, at)
        at += struct.calcsize(form)
        return value

    def text():
        nonlocal at
        length = u("Q")
        at += length
        return data[at - length : at].decode()

    def skip(kind):
        nonlocal at
        if kind == 8:
            text()
        elif kind == 9:
            item = u("I")
            for _ in range(u("Q")):
                skip(item)
        else:
            at += SCALARS[kind]

    magic, version, tensor_count, pair_count = struct.unpack_from("<4sIQQ", data)
    assert magic == b"GGUF" and version == 3
    pairs, count, further, further_count = b"", 0, [], 0
    for _ in range(pair_count):
        begin = at
        key = text()
        skip(u("I"))
        if not key.startswith("tokenizer.") and at - begin <= 4096:
            pairs, count = pairs + data[begin:at], count + 1
            continue
        further_count += 1
        if further and sum(further[-1]) == begin:
            further[-1][1] += at - begin
        else:
            further.append([begin, at - begin])
    tensors = []
    for _ in range(tensor_count):
        name = text()
        shape = [u("Q") for _ in range(u("I"))]
        dtype, elements, size = GGML[u("I")]
        product = 1
        for dimension in shape:
            product *= dimension
        tensors.append([name, dtype, shape, u("Q"), product // elements * size])
    start = (at + 31) // 32 * 32
    tensors = sorted(([n, d, s, start + o, l] for n, d, s, o, l in tensors), key=lambda tensor: (tensor[3], tensor[4]))
    return tensors, {
        "alignment": 32,
        "count": count,
        "pairs": base64.b64encode(pairs).decode(),
        "furtherCount": further_count,
        "further": further,
    }


def chunks_of(data, tensors, further=()):
    bounds, position = [], 0
    for offset, length in [*further] + [(t[3], t[4]) for t in tensors if t[4] > 0] + [(len(data), 0)]:
        for start, end in ((position, offset), (offset, offset + length)):
            bounds += [(at, min(at + CHUNK, end)) for at in range(start, end, CHUNK)]
        position = offset + length
    assert b"".join(data[a:b] for a, b in bounds) == data
    return b"".join(hashlib.sha256(data[a:b]).digest() for a, b in bounds)


def manifest_of(directory):
    config = json.loads(read(os.path.join(directory, "config.json")))
    files, names, gguf = [], [], None
    for path in sorted(name for name in os.listdir(directory) if not name.startswith(".")):
        data = read(os.path.join(directory, path))
        tensors = tensors_of(data) if path.endswith(".safetensors") else []
        if path.endswith(".gguf"):
            tensors, gguf = gguf_of(data)
        names += [tensor[0] for tensor in tensors]
        files.append(
            {
                "path": path,
                "size": len(data),
                "blob": hashlib.sha256(data).hexdigest(),
                "chunks": base64.b64encode(chunks_of(data, tensors, gguf["further"] if gguf else ())).decode(),
                "tensors": tensors,
                **({"gguf": gguf} if path.endswith(".gguf") else {}),
            }
        )
    embed, head = [], []
    blocks = [[] for _ in range(config["num_hidden_layers"])]
    for ordinal, name in enumerate(names):
        block = re.match(r"(?:model\.layers|blk)\.(\d+)\.", name)
        if name.startswith("rope_"):
            for own in blocks:
                own.append(ordinal)
        elif block:
            blocks[int(block.group(1))].append(ordinal)
        elif name in ("model.norm.weight", "lm_head.weight") or name.startswith("output"):
            head.append(ordinal)
        else:
            embed.append(ordinal)
    if config["tie_word_embeddings"]:
        head += [i for i in embed if names[i] in ("model.embed_tokens.weight", "token_embd.weight")]
    return {
        "format": "calyx-manifest-1",
        "chunkBytes": CHUNK,
        "files": files,
        "parts": {"embed": embed, "blocks": blocks, "head": head},
    }


def canonical(manifest):
    return json.dumps(manifest, separators=(",", ":"), ensure_ascii=False).encode()


def small():
    """A made-up manifest with a name that is not ASCII, an empty file, an empty tensor and a tensor of two chunks."""
    digest = lambda text: hashlib.sha256(text.encode()).digest()
    weights = [digest("header"), digest("first, 4 MiB"), digest("first, the rest"), digest("second"), digest("tail")]
    return {
        "format": "calyx-manifest-1",
        "chunkBytes": CHUNK,
        "files": [
            {"path": "a/empty.txt", "size": 0, "blob": digest("").hex(), "chunks": "", "tensors": []},
            {
                "path": "model.safetensors",
                "size": CHUNK + 200,
                "blob": digest("all of it").hex(),
                "chunks": base64.b64encode(b"".join(weights)).decode(),
                "tensors": [
                    ["h.0.weight", "U8", [2, CHUNK // 2 + 10], 100, CHUNK + 20],
                    ["none", "F32", [0, 7], CHUNK + 120, 0],
                    ["wte.weight", "BF16", [5], CHUNK + 120, 10],
                ],
            },
            {
                "path": "mod\u00e8le.txt",
                "size": 3,
                "blob": hashlib.sha256(b"abc").hexdigest(),
                "chunks": base64.b64encode(hashlib.sha256(b"abc").digest()).decode(),
                "tensors": [],
            },
        ],
        "parts": {"embed": [2], "blocks": [[0]], "head": [1, 2]},
    }


def outputs():
    written, ids = {}, {}
    for name, manifest in [("small", small())] + [(n, manifest_of(d)) for n, d in MODELS.items()]:
        data = canonical(manifest)
        digest = hashlib.sha256(data).hexdigest()
        ids[name] = {"bytes": len(data), "sha256": digest, "revision": digest[:40]}
        if name == "small" or name in WHOLE:
            written[name + ".manifest"] = data
    written["manifests.json"] = (json.dumps(ids, indent=2) + "\n").encode()
    return written


def main():
    differs = False
    for name, data in outputs().items():
        path = os.path.join(HERE, name)
        if "--check" not in sys.argv[1:]:
            with open(path, "wb") as file:
                file.write(data)
        elif not os.path.exists(path) or read(path) != data:
            print(f"{name} differs from what this script computes", file=sys.stderr)
            differs = True
    sys.exit(1 if differs else 0)


main()
