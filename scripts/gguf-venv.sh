#!/usr/bin/env bash
# Makes TARGET_DIR/gguf, the virtual environment of the tests of GGUF: the public `gguf` package, and llama-cpp-python. The latter is
# published as source only, so llama.cpp is compiled here, as a library for processors and without its tools: some minutes on
# two cores. It needs Python 3.11 (another one with PYTHON=...), cmake and a C++ compiler, downloads 0.1 GB and takes 0.2 GB.
#
# usage: scripts/gguf-venv.sh TARGET_DIR
set -euo pipefail

if [ $# -ne 1 ]; then
  echo "usage: scripts/gguf-venv.sh TARGET_DIR" >&2
  exit 2
fi
requirements=$(cd "$(dirname "$0")/../test/python" && pwd)
mkdir -p "$1"
target=$(cd "$1" && pwd)
python=${PYTHON:-python3}
llama_cpp_python=0.3.36

"$python" -c 'import sys; sys.exit(sys.version_info[:2] < (3, 11))' || {
  echo "$python is $("$python" --version 2>&1), but the pinned packages need Python 3.11 or newer: set PYTHON to one" >&2
  exit 1
}
for tool in cmake c++; do
  command -v "$tool" >/dev/null || {
    echo "$tool is needed to compile llama.cpp: apt-get install cmake g++" >&2
    exit 1
  }
done

tell() {
  echo "CALYX_GGUF_PYTHON=$target/gguf/bin/python"
}

# What was made before from the same recipe is used again.
recipe=$(cat "$0" "$requirements/requirements-gguf.txt" | sha256sum)
if [ "$(cat "$target/gguf/made-from" 2>/dev/null)" = "$recipe" ]; then
  tell
  exit 0
fi

build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
rm -rf "$target/gguf"
"$python" -m venv "$target/gguf"
pip() {
  "$target/gguf/bin/python" -m pip --disable-pip-version-check "$@" --quiet --no-deps
}
pip install --root-user-action ignore --requirement "$requirements/requirements-gguf.txt"

# Only the library of llama.cpp is compiled and the package, which is plain Python, is put beside it: pip would compile the tools too.
pip download --no-binary llama-cpp-python --dest "$build" "llama-cpp-python==$llama_cpp_python"
tar xzf "$build/llama_cpp_python-$llama_cpp_python.tar.gz" -C "$build"
source=$build/llama_cpp_python-$llama_cpp_python
cmake -S "$source/vendor/llama.cpp" -B "$build/out" -DCMAKE_BUILD_TYPE=Release -DCMAKE_C_FLAGS_RELEASE=-O1 \
  -DCMAKE_CXX_FLAGS_RELEASE=-O0 -DBUILD_SHARED_LIBS=ON -DCMAKE_BUILD_RPATH_USE_ORIGIN=ON -DLLAMA_BUILD_COMMON=OFF \
  -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_TOOLS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_SERVER=OFF -DLLAMA_CURL=OFF \
  -DGGML_OPENMP=OFF -DGGML_LLAMAFILE=OFF -DGGML_CCACHE=OFF >"$build/log" 2>&1 &&
  cmake --build "$build/out" --target llama --parallel "$(nproc)" >>"$build/log" 2>&1 || {
  tail -n 40 "$build/log" >&2
  exit 1
}
packages=$(echo "$target"/gguf/lib/python3.*/site-packages)
cp -r "$source/llama_cpp" "$packages/llama_cpp"
mkdir -p "$packages/llama_cpp/lib"
cp -P "$build"/out/bin/*.so* "$packages/llama_cpp/lib"

# They work, or this ends with the reason.
"$target/gguf/bin/python" -c 'import gguf, llama_cpp; llama_cpp.llama_backend_init()'
echo "$recipe" >"$target/gguf/made-from"
tell
