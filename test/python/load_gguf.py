"""Loads GGUF files with all their data by ggml itself, the C library of llama.cpp, which is strict about offsets and padding.

usage: load_gguf.py FILE.gguf ...             prints a list of {"tensors": [[name, bytes], ...], "pairs": n}, or null for a file that it refuses
"""
import ctypes
import json
import os
import sys

import llama_cpp


class Parameters(ctypes.Structure):
    _fields_ = [("no_alloc", ctypes.c_bool), ("context", ctypes.POINTER(ctypes.c_void_p))]


library = ctypes.CDLL(os.path.join(os.path.dirname(llama_cpp.__file__), "lib", "libggml-base.so"))
library.gguf_init_from_file.restype = ctypes.c_void_p
library.gguf_init_from_file.argtypes = [ctypes.c_char_p, Parameters]
for name in ("gguf_get_n_tensors", "gguf_get_n_kv"):
    getattr(library, name).restype = ctypes.c_int64
    getattr(library, name).argtypes = [ctypes.c_void_p]
library.gguf_get_tensor_name.restype = ctypes.c_char_p
library.gguf_get_tensor_name.argtypes = [ctypes.c_void_p, ctypes.c_int64]
library.gguf_get_tensor_size.restype = ctypes.c_size_t
library.gguf_get_tensor_size.argtypes = [ctypes.c_void_p, ctypes.c_int64]


def load(path):
    data = ctypes.c_void_p()
    file = library.gguf_init_from_file(os.fsencode(path), Parameters(False, ctypes.pointer(data)))
    if not file:
        return None
    count = library.gguf_get_n_tensors(file)
    name, size = library.gguf_get_tensor_name, library.gguf_get_tensor_size
    tensors = [[name(file, index).decode(), size(file, index)] for index in range(count)]
    return {"tensors": tensors, "pairs": library.gguf_get_n_kv(file)}


json.dump([load(path) for path in sys.argv[1:]], sys.stdout)
