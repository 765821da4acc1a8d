#!/bin/busybox sh
# The first process of the guest of scripts/read-plus-guest.sh. To the host it says '@restart' when the store is to be killed and
# started again, and waits for a line; and '@done right' or '@done wrong'.
export PATH=/bin
/bin/busybox --install -s /bin
mount -t proc none /proc
mount -t sysfs none /sys
mount -t devtmpfs none /dev
mount -t tmpfs none /tmp
while read -r module; do insmod "/modules/$module.ko" || echo "$module cannot be loaded"; done </modules/order
ip link set lo up
ip link set eth0 up
ip address add 10.0.2.15/24 dev eth0
. /job
verdict=right

forget() { echo 3 >/proc/sys/vm/drop_caches; }
restart() {
  echo '@restart' >/dev/console
  read -r _ </dev/console
}
# connect VERSION [,OPTIONS]
connect() {
  mount -i -t nfs4 -o "ro,vers=$1,proto=tcp,port=$port,addr=10.0.2.2,clientaddr=10.0.2.15$2" 10.0.2.2:/ /mnt || {
    echo '@done not mounted'
    poweroff -f
  }
}
# The calls that this mount has made: how many, and how many of them ended with an error.
counts() {
  awk '$1 == "READ:" || $1 == "READ_PLUS:" { printf "  %s %d (%d with an error)", $1, $2, $10 } END { print "" }' /proc/self/mountstats
}
check() {
  if cmp -s /tmp/got "${2:-/expected}"; then
    echo "right: $1, $(wc -l </tmp/got) digests"
  else
    echo "WRONG: $1"
    diff "${2:-/expected}" /tmp/got | head -n 20
    verdict=wrong
  fi
  counts
}
read_all() { (cd /mnt/models/test/model && sh /digests.sh "$@") >/tmp/got 2>&1; }

grep whole /expected >/tmp/whole

# All files at once: several READ_PLUS are under way when the first is refused.
all_at_once() {
  cd /mnt/models/test/model
  number=100
  for file in $(find . -type f | sort); do
    number=$((number + 1))
    echo "$file whole $(dd if="$file" bs=1048576 iflag=fullblock 2>/dev/null | sha256sum)" >"/tmp/one.$number" &
  done
  wait
  cd /
  cat /tmp/one.* >/tmp/got
}

connect 4.2
echo "guest: Linux $(uname -r), $(grep -o 'vers=[0-9.]*' /proc/mounts)"
all_at_once
check 'all files at once, first thing after mounting' /tmp/whole
forget
read_all anew
check 'one after the other, odd offsets'
read_all direct
check 'O_DIRECT, odd offsets'
umount /mnt

restart
connect 4.2
read_all anew
check 'mounted again after the store was killed and started again'
forget
{
  dd bs=4096 count=100 2>/dev/null
  restart
  forget
  cat
} </mnt/models/test/model/random.bin | sha256sum >/tmp/got
sed -n 's/^.*random.bin whole //p' /expected >/tmp/random
check 'a file that was open and half read while the store was killed and started again' /tmp/random
forget
read_all anew
check 'all files on the mount that lived through that'
umount /mnt

connect 4.2 ,nocto,acregmin=3600,acregmax=3600,acdirmin=1,acdirmax=1,nconnect=4,rsize=1048576
all_at_once
check 'all files at once with the recommended options and four connections' /tmp/whole
umount /mnt

connect 4.2
# The first requests after mounting are O_DIRECT.
read_all direct
check 'O_DIRECT, first thing after mounting'
umount /mnt

connect 4.1
read_all anew
check 'for comparison 4.1'
umount /mnt
dmesg | grep -iE 'nfs|rpc|warn|bug:' | tail -n 20
echo "@done $verdict"
poweroff -f
