#!/usr/bin/env bash
# Builds the S3 server against which the tests check: versitygw, from the Go module proxy, as TARGET_DIR/versitygw-VERSION (default: calyx/s3-server
# in the user's cache directory). It needs Go 1.25 or newer, downloads 0.1 GB and takes some minutes the first time, nothing later.
#
# usage: scripts/s3-server.sh [TARGET_DIR]
set -euo pipefail

version=v1.8.0
if [ $# -gt 1 ]; then
  echo "usage: scripts/s3-server.sh [TARGET_DIR]" >&2
  exit 2
fi
target=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/calyx/s3-server}
mkdir -p "$target"
target=$(cd "$target" && pwd)
server=$target/versitygw-$version

# What was built before is used again.
if ! [ -x "$server" ]; then
  command -v go >/dev/null || {
    echo "Go is needed to build the S3 server of the tests: install it (https://go.dev/dl) and run this again" >&2
    exit 1
  }
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  GOBIN=$work CGO_ENABLED=0 go install -trimpath -ldflags='-s -w' "github.com/versity/versitygw/cmd/versitygw@$version" >&2
  # It works, or this ends with the reason.
  "$work/versitygw" --version >/dev/null
  mv "$work/versitygw" "$server.$$"
  mv "$server.$$" "$server"
fi
echo "CALYX_TEST_S3_SERVER=$server"
