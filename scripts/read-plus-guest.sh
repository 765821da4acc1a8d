#!/usr/bin/env bash
# Boots Debian's own kernel, which reads with READ_PLUS on NFS 4.2 (User-Mode Linux does not), in an emulated machine, mounts a
# store there with vers=4.2 and compares what it reads, also while the store is killed and started again. Ends with 0 when all of it
# was right, and tells how often the kernel asked with READ_PLUS and with READ. The store is the one that was built last.
#
# It needs node, xz and Debian's apt-get on x86-64, no KVM. It downloads 60 MB into TARGET_DIR, once; delete that for a newer kernel.
# The emulation takes one core for about 40 s.
#
# usage: scripts/read-plus-guest.sh TARGET_DIR [RELEASE]
#
# RELEASE is the release of Debian that the kernel is of (default: trixie).
set -euo pipefail

if [ $# -lt 1 ] || [ $# -gt 2 ]; then
  echo "usage: scripts/read-plus-guest.sh TARGET_DIR [RELEASE]" >&2
  exit 2
fi
project=$(cd "$(dirname "$0")/.." && pwd)
release=${2:-trixie}
mkdir -p "$1"
target=$(cd "$1" && pwd)

# The emulator is the host's release's, the kernel the other one's.
sh "$project/test/support/guest/fetch-packages.sh" "$target/tools" '' qemu-system-x86 busybox-static
tools=$target/tools/root
# What the host has installed is not fetched.
emulator=$tools/usr/bin/qemu-system-x86_64
test -e "$emulator" || emulator=$(command -v qemu-system-x86_64)
busybox=$tools/usr/bin/busybox
test -e "$busybox" || busybox=$(command -v busybox)
kernel=$target/$release
if [ ! -e "$kernel/complete" ]; then
  rm -rf "$kernel"
  mkdir -p "$kernel/lists/partial"
  mirror=$(apt-cache policy user-mode-linux | awk '$3 ~ /\/main$/ { print $2; exit }')
  echo "deb [arch=amd64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $release main" >"$kernel/sources"
  there=(-qq -o Dir::Etc::sourcelist="$kernel/sources" -o Dir::Etc::sourceparts=/dev/null -o Dir::State::lists="$kernel/lists"
    -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= -o Acquire::Languages=none -o APT::Sandbox::User=root)
  apt-get "${there[@]}" update
  image=$(apt-cache "${there[@]:1}" depends linux-image-cloud-amd64 | awk '/Depends: linux-image-/ { print $2; exit }')
  (cd "$kernel" && apt-get "${there[@]}" download "$image" && dpkg-deb --extract "$image"_*.deb root && rm "$image"_*.deb)
  touch "$kernel/complete"
fi
version=$(cd "$kernel/root/boot" && echo vmlinuz-*)
version=${version#vmlinuz-}
echo "Linux $version, $(grep -h NFS_V4_2_READ_PLUS "$kernel/root/boot/config-$version" || echo 'without READ_PLUS')"

work=$(mktemp -d)
store=
machine=
finish() {
  for pid in $store $machine; do
    kill -9 "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
  rm -rf "$work"
}
trap finish EXIT

# A model with files of many READs: one without structure, one of zeros (which a server could tell of as a hole), and both in turns.
model=$work/model
cp -r "$project/models/tiny-calyx" "$model"
head -c 33554469 /dev/urandom >"$model/random.bin"
head -c 8388611 /dev/zero >"$model/zeros.bin"
for block in 1 2 3 4 5 6 7 8; do
  head -c 131072 /dev/urandom
  head -c 131072 /dev/zero
done >"$model/turns.bin"
calyx=("$(command -v node)" "$project/bin/calyx.mjs")
"${calyx[@]}" add "$model" --name test/model --data "$work/data" >"$work/added"

port=0
start_store() {
  rm -f "$work/listens"
  mkfifo "$work/listens"
  "${calyx[@]}" store --data "$work/data" --listen 127.0.0.1:0 --nfs "127.0.0.1:$port" --json >"$work/listens" &
  store=$!
  local line
  read -r line <"$work/listens"
  port=$(node -e 'console.log(JSON.parse(process.argv[1]).nfs.port)' "$line")
}
start_store

# The guest's memory holds a static busybox, the modules in the order in which they are loaded, and what it is to read.
guest=$work/guest
mkdir -p "$guest"/{bin,dev,proc,sys,tmp,mnt,modules}
cp "$busybox" "$guest/bin/busybox"
load() {
  local name=$1 file
  test ! -e "$guest/modules/$name.ko" || return 0
  file=$(find "$kernel/root" -name "${name//_/[-_]}.ko*" | head -n 1)
  case $file in
  '') return 0 ;; # It is part of the kernel.
  *.xz) xz -dc "$file" >"$guest/modules/$name.ko" ;;
  *) cp "$file" "$guest/modules/$name.ko" ;;
  esac
  local needs
  for needs in $(tr '\0' '\n' <"$guest/modules/$name.ko" | sed -n 's/^depends=//p' | tr ',-' ' _'); do load "$needs"; done
  echo "$name" >>"$guest/modules/order"
}
for module in virtio_net nfsv4; do load "$module"; done
cp "$project/scripts/read-plus-guest/init.sh" "$guest/init"
cp "$project/scripts/read-plus-guest/digests.sh" "$guest/digests.sh"
chmod +x "$guest/init"
(cd "$model" && sh "$project/scripts/read-plus-guest/digests.sh") >"$guest/expected"
echo "port=$port" >"$guest/job"
(cd "$guest" && find . | "./bin/busybox" cpio -o -H newc 2>/dev/null) | gzip -1 >"$work/initramfs"

mkfifo "$work/to" "$work/from"
exec 3<>"$work/to"
LD_LIBRARY_PATH=$tools/usr/lib/x86_64-linux-gnu "$emulator" -accel tcg -cpu max -m 1024 -nodefaults -no-user-config \
  -no-reboot -display none -serial stdio \
  -L "$tools/usr/share/qemu" -L "$tools/usr/share/seabios" -L /usr/share/qemu -L /usr/share/seabios \
  -netdev user,id=net -device virtio-net-pci,netdev=net,romfile= \
  -kernel "$kernel/root/boot/vmlinuz-$version" -initrd "$work/initramfs" -append 'console=ttyS0 quiet panic=-1' \
  <"$work/to" >"$work/from" 2>"$work/machine.log" &
machine=$!

verdict=
while IFS= read -r -t 120 line; do
  line=${line%$'\r'}
  case $line in
  '@restart')
    kill -9 "$store"
    wait "$store" 2>/dev/null || true
    start_store
    echo go >&3
    ;;
  '@done '*) verdict=${line#@done } ;;
  go) ;; # The guest's terminal echoes what it is told.
  *) echo "$line" ;;
  esac
done <"$work/from"
test "$verdict" = right || {
  cat "$work/machine.log" >&2
  echo "what the guest read was not right, or it did not come to an end: ${verdict:-nothing heard}" >&2
  exit 1
}
