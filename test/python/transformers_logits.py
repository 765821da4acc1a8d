"""Runs a complete model with transformers on the CPU: transformers_logits.py MODEL PROMPT_IDS..., or --check to see only whether
it can be imported

MODEL is a directory, or ORG/NAME in the cache that HF_HUB_CACHE names; with HF_HUB_OFFLINE=0 also at HF_ENDPOINT.
Each PROMPT_IDS is a list of token ids such as 1,2,3. Prints as JSON {"architecture": ..., "logits": [...]} with the logits after each
prompt, computed in float32. transformers only warns of weights that it does not find and makes them up, so this fails where it had to.
"""

import json
import os
import sys

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import torch
from transformers import AutoModelForCausalLM


def main():
    if sys.argv[1:] == ["--check"]:
        from transformers import LlamaForCausalLM, MistralForCausalLM, Qwen2ForCausalLM, Qwen3ForCausalLM

        return
    directory, *prompts = sys.argv[1:]
    model, loaded = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32, output_loading_info=True)
    wrong = {what: sorted(map(str, names)) for what, names in loaded.items() if names}
    if wrong:
        sys.exit(f"{directory} is not the whole model: {json.dumps(wrong)}")
    model.eval()
    with torch.inference_mode():
        logits = [
            model(torch.tensor([[int(one) for one in prompt.split(",")]])).logits[0, -1].tolist() for prompt in prompts
        ]
    json.dump({"architecture": type(model).__name__, "logits": logits}, sys.stdout)


if __name__ == "__main__":
    main()
