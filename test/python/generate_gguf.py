"""Generates with llama.cpp (llama-cpp-python) from a GGUF file, greedily: ids in, ids out.

usage: generate_gguf.py FILE.gguf COUNT 5,17,3 ...            prints {"tokens": [[...], ...], "texts": [...], "encoded": [...]}

Arithmetic is that of llama.cpp's processors, with keys and values in float32. With an argument that begins with "text:" instead of ids,
llama.cpp's own tokenizer makes the ids; the ids are printed too.
"""
import json
import sys

import llama_cpp


def main(path, count, *prompts):
    model = llama_cpp.Llama(
        model_path=path,
        n_ctx=512,
        n_batch=512,
        n_threads=1,
        n_threads_batch=1,
        type_k=llama_cpp.GGML_TYPE_F32,
        type_v=llama_cpp.GGML_TYPE_F32,
        flash_attn=False,
        verbose=False,
    )
    answer = {"tokens": [], "texts": [], "encoded": []}
    for prompt in prompts:
        if prompt.startswith("text:"):
            ids = model.tokenize(prompt[5:].encode(), add_bos=False, special=True)
        else:
            ids = [int(number) for number in prompt.split(",")]
        model.reset()
        tokens = []
        for token in model.generate(ids, temp=0.0, top_k=1, repeat_penalty=1.0):
            tokens.append(token)
            if len(tokens) >= int(count):
                break
        answer["tokens"].append(tokens)
        answer["encoded"].append(ids)
        answer["texts"].append(model.detokenize(tokens).decode("utf8", "replace"))
    json.dump(answer, sys.stdout)


main(*sys.argv[1:])
