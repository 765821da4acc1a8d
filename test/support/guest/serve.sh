# The guest's first process once its root is complete: brings up the network and the NFS client, says that it is ready, and then
# obeys one line on the console at a time. 'run ID' runs ID.sh of the job directory, 'kill ID' ends what it started.
set -e
# An error of the setup ends the guest; what was wrong is on the console.
trap 'poweroff -f' EXIT
job=$1
. "$job/settings.sh"
export PATH="$path" HOME=/root LANG=C.UTF-8
mkdir -p /dev/shm /dev/pts /run/lock /run/jobs /lib/modules
mount -t tmpfs tmpfs /dev/shm
mount -t devpts devpts /dev/pts
ln -sf /proc/self/fd /dev/fd
ln -sfn "$modules/$(uname -r)" "/lib/modules/$(uname -r)"
# What a job prints is seen on the host within 0.2 s although it keeps its files open.
echo 10 >/proc/sys/vm/dirty_writeback_centisecs
echo 10 >/proc/sys/vm/dirty_expire_centisecs
# Memory that only interrupts may take, here a sixteenth (64 MiB of 1 GiB): with the default of 4 MiB, a guest whose page cache fills at full
# speed sometimes has none for the next packet, and its network driver then never takes in another one.
memory=$(sed -n 's/^MemTotal: *\([0-9]*\) kB$/\1/p' /proc/meminfo)
echo $((memory / 16)) >/proc/sys/vm/min_free_kbytes
hostname "$name"
echo "127.0.0.1 localhost $name" >/etc/hosts
ip link set lo up
ip address add "$address/24" dev vec0
ip link set vec0 up
modprobe -a nfsv3 nfsv4

run_job() {
  # In a session of its own, so that all of it can be killed.
  setsid bash -e "$job/$1.sh" >"$job/$1.out" 2>"$job/$1.err" </dev/null &
  echo $! >"/run/jobs/$1"
  wait $!
  code=$?
  sync -d "$job/$1.out" "$job/$1.err"
  # The empty line ends whatever the kernel may have begun to print.
  printf '\ncalyx-guest: %s %s\n' "$1" "$code"
}

set +e
stty raw -echo
echo 'calyx-guest: ready 0'
while read -r verb id; do
  case $verb in
    run) run_job "$id" & ;;
    kill) kill -KILL "-$(cat "/run/jobs/$id")" ;;
  esac
done
