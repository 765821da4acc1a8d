# The guest's first process while its root is still the host's, read-only. It lays the unpacked packages and a writable layer in
# memory over that root and goes on inside of it with serve.sh, so that the guest looks like a machine where they are installed.
# Run by a static busybox with the job directory as its argument; no other program is needed to come this far.
set -e
trap '$busybox poweroff -f' EXIT
job=$1
busybox=$job/busybox
# First of all: busybox starts its own commands as /proc/self/exe, which before this line is the host's.
$busybox mount -t proc proc /proc
. "$job/settings.sh"
$busybox mount -t tmpfs tmpfs /run
$busybox insmod "$modules/$($busybox uname -r)/kernel/fs/overlayfs/overlay.ko"
$busybox mkdir /run/packages /run/upper /run/work /run/root
# Mounted on its own, because the layers of an overlay must not lie inside of each other.
$busybox mount -t hostfs -o "$packages" none /run/packages
$busybox mount -t overlay -o lowerdir=/run/packages:/,upperdir=/run/upper,workdir=/run/work overlay /run/root
cd /run/root
$busybox mount -t proc proc proc
$busybox mount -t sysfs sysfs sys
$busybox mount -t devtmpfs dev dev
$busybox mount -t tmpfs tmpfs run
$busybox mount -t hostfs -o "$job" none "./$job"
exec $busybox chroot . "$job/busybox" sh "$job/serve.sh" "$job"
