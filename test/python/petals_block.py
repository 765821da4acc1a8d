"""Loads a block as a Petals server does: petals_block.py MODEL BLOCK, or --check to see only whether Petals can be imported

Calls Petals' own `load_pretrained_block` on a local directory, or with HF_HUB_OFFLINE=0 on ORG/NAME at HF_ENDPOINT, and prints as JSON, for every parameter of the block by the name that
Petals gives it, its dtype, shape and the SHA-256 of its bytes.

Nothing is stubbed: Petals, hivemind, tensor_parallel, accelerate and transformers are the published ones (requirements-petals.txt says
which of Petals' pins are not followed, and why). One name which hivemind imports from torch is given back its old place, see below.
"""

import hashlib
import json
import os
import signal
import sys
import tempfile

# Petals tries for ever to get a file that it cannot read; after so long this process ends.
DEADLINE_SECONDS = 120

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import torch
import torch.amp.grad_scaler
import torch.cuda.amp.grad_scaler

# hivemind's optimizer, which no server uses, imports this function from where torch had it before 2.3.
torch.cuda.amp.grad_scaler._refresh_per_optimizer_state = torch.amp.grad_scaler._refresh_per_optimizer_state


def load(directory, block, cache):
    os.environ["PETALS_CACHE"] = cache
    from petals.server.from_pretrained import load_pretrained_block

    # Petals keeps a lock file in the cache, so that is never the directory of the weights, which may be read-only.
    return load_pretrained_block(directory, block, torch_dtype="auto", cache_dir=cache)


def described(parameter):
    data = parameter.detach().contiguous().view(torch.uint8).numpy().tobytes()
    return {
        "dtype": str(parameter.dtype).removeprefix("torch."),
        "shape": list(parameter.shape),
        "sha256": hashlib.sha256(data).hexdigest(),
    }


def main():
    if sys.argv[1:] == ["--check"]:
        import petals.server.from_pretrained

        return
    signal.alarm(DEADLINE_SECONDS)
    directory, block = sys.argv[1:]
    with tempfile.TemporaryDirectory() as cache:
        loaded = load(directory, int(block), cache)
    json.dump({name: described(parameter) for name, parameter in loaded.named_parameters()}, sys.stdout)


if __name__ == "__main__":
    main()
