"""Writes a Llama model of safetensors as a GGUF file, by the public gguf package.

usage: convert_to_gguf.py MODEL_DIRECTORY OUT.gguf [TYPE]     TYPE: F32 (default), F16, BF16, Q8_0, Q5_1, Q4_0, ...

Vectors stay F32. The query and key projections are put into the order in which llama.cpp pairs the halves of a head. Of a tokenizer of
byte-level BPE all goes along; without one there are as many unnamed tokens as the vocabulary has.
"""
import json
import os
import sys

import gguf
import numpy as np

NAMES = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
ENDS = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}


def read_json(path):
    with open(path, encoding="utf8") as file:
        return json.load(file)


def read_tensors(directory):
    found = {}
    for name in sorted(os.listdir(directory)):
        if not name.endswith(".safetensors"):
            continue
        with open(os.path.join(directory, name), "rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
            data = file.read()
        for tensor, entry in header.items():
            if tensor == "__metadata__":
                continue
            begin, end = entry["data_offsets"]
            found[tensor] = as_float(data[begin:end], entry["dtype"]).reshape(entry["shape"])
    return found


def as_float(data, dtype):
    if dtype == "BF16":
        return (np.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4")
    return np.frombuffer(data, {"F16": "<f2", "F32": "<f4"}[dtype]).astype("<f4")


def ggml_name(name):
    if name in ENDS:
        return ENDS[name]
    _, _, block, rest = name.split(".", 3)
    return f"blk.{block}.{NAMES[rest.rsplit('.', 1)[0]]}.weight"


def rotate(weights, heads):
    """transformers pairs element i with i + half of a head, llama.cpp pairs neighbours."""
    rows, columns = weights.shape
    return weights.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)


def add_tokenizer(writer, directory, config):
    path = os.path.join(directory, "tokenizer.json")
    size = config["vocab_size"]
    if not os.path.exists(path):
        writer.add_tokenizer_model("no_vocab")
        writer.add_vocab_size(size)
        return
    tokenizer = read_json(path)
    special = {token["id"]: token["content"] for token in tokenizer["added_tokens"]}
    tokens = [f"[unused {index}]" for index in range(size)]
    for text, index in tokenizer["model"]["vocab"].items():
        tokens[index] = text
    for index, text in special.items():
        tokens[index] = text
    kinds = gguf.TokenType
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([kinds.CONTROL if index in special else kinds.NORMAL for index in range(size)])
    writer.add_token_merges([" ".join(pair) for pair in tokenizer["model"]["merges"]])
    writer.add_bos_token_id(config["bos_token_id"])
    writer.add_eos_token_id(config["eos_token_id"])
    writer.add_add_bos_token(False)


def main(directory, out, kind="F32"):
    config = read_json(os.path.join(directory, "config.json"))
    writer = gguf.GGUFWriter(out, "llama")
    writer.add_name(os.path.basename(os.path.normpath(directory)))
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_key_length(config["head_dim"])
    writer.add_value_length(config["head_dim"])
    writer.add_rope_dimension_count(config["head_dim"])
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    add_tokenizer(writer, directory, config)
    heads = {"q_proj": config["num_attention_heads"], "k_proj": config["num_key_value_heads"]}
    for name, weights in read_tensors(directory).items():
        for projection, count in heads.items():
            if f".{projection}." in name:
                weights = rotate(weights, count)
        to = gguf.GGMLQuantizationType[kind if weights.ndim > 1 else "F32"]
        writer.add_tensor(ggml_name(name), gguf.quants.quantize(np.ascontiguousarray(weights), to), raw_dtype=to)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


main(*sys.argv[1:])
