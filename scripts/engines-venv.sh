#!/usr/bin/env bash
# Makes the virtual environments in which the tests run other engines: TARGET_DIR/engines (safetensors, transformers) and
# TARGET_DIR/petals, which share TARGET_DIR/torch. It needs Python 3.11 (another one with PYTHON=...), downloads 0.7 GB and takes 1.8 GB.
#
# usage: scripts/engines-venv.sh TARGET_DIR
set -euo pipefail

if [ $# -ne 1 ]; then
  echo "usage: scripts/engines-venv.sh TARGET_DIR" >&2
  exit 2
fi
requirements=$(cd "$(dirname "$0")/../test/python" && pwd)
mkdir -p "$1"
target=$(cd "$1" && pwd)
python=${PYTHON:-python3}

"$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || {
  echo "$python is $("$python" --version 2>&1), but the pinned packages of Petals need Python 3.11: set PYTHON to one" >&2
  exit 1
}

tell() {
  echo "CALYX_ENGINES_PYTHON=$target/engines/bin/python"
  echo "CALYX_PETALS_PYTHON=$target/petals/bin/python"
}

# What was made before from the same recipe is used again.
recipe=$(cat "$0" "$requirements"/requirements-*.txt | sha256sum)
if [ "$(cat "$target/made-from" 2>/dev/null)" = "$recipe" ]; then
  tell
  exit 0
fi

rm -rf "$target/torch" "$target/engines" "$target/petals"
"$python" -m venv "$target/engines"
"$python" -m venv --without-pip "$target/petals"

# The files hold every package that is needed, so nothing is resolved: that would add gigabytes of CUDA libraries. Modules
# are not compiled before they are imported, for most never are.
install() {
  local venv=$1 list=$2
  shift 2
  "$target/engines/bin/python" -m pip --python "$target/$venv/bin/python" --disable-pip-version-check install --quiet --no-deps \
    --no-compile --no-warn-script-location --root-user-action ignore --requirement "$requirements/requirements-$list.txt" "$@"
}
install engines torch --target "$target/torch" &
torch=$!
trap 'kill "$torch" 2>/dev/null' EXIT
install engines engines
install petals petals
wait "$torch"
trap - EXIT

# On x86-64 the published torch is built for CUDA and names libraries of it that only a GPU uses, more than 2 GB. Each name leads to a
# library of torch's own, and functions are looked up when they are first called (RTLD_LAZY), which on a processor they never are. What
# torch calls in any case (the CUDA runtime, to find that there is no GPU) is the real one.
lib=$target/torch/torch/lib
if [ -e "$lib/libtorch_cuda.so" ]; then
  for name in libcublas.so.13 libcublasLt.so.13 libcudnn.so.9 libcufft.so.12 libcufile.so.0 libcurand.so.10 libcusparse.so.12 \
    libcusparseLt.so.0 libnccl.so.2 libnvrtc.so.13 libnvshmem_host.so.3; do
    ln -s libc10.so "$lib/$name"
  done
fi
for venv in engines petals; do
  printf '%s\n' "$target/torch" 'import os, sys; sys.setdlopenflags(os.RTLD_LAZY)' \
    >"$(echo "$target/$venv"/lib/python3.*/site-packages)/calyx-torch.pth"
done

# They work, or this ends with the reason. What is imported is compiled here once and for all, also where the user switched that off.
export CUDA_VISIBLE_DEVICES='' PYTHONDONTWRITEBYTECODE=''
"$target/engines/bin/python" "$requirements/transformers_logits.py" --check
"$target/petals/bin/python" -W ignore::FutureWarning "$requirements/petals_block.py" --check
echo "$recipe" >"$target/made-from"
tell
