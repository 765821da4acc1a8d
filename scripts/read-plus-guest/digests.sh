# The SHA-256 of every file below the current directory, whole and in pieces at odd offsets. With the argument "anew" the page cache
# is emptied before each piece, with "direct" it is passed by.
flags=fullblock
test "${1:-}" != direct || flags=fullblock,direct
find . -type f | sort | while read -r file; do
  echo "$file whole $(dd if="$file" bs=1048576 iflag=$flags 2>/dev/null | sha256sum)"
  for skip in 1 4095 131071 1048577 7340033; do
    test "${1:-}" != anew || echo 3 >/proc/sys/vm/drop_caches
    echo "$file $skip $(dd if="$file" bs=12347 iflag=skip_bytes,count_bytes,$flags skip=$skip count=300007 2>/dev/null | sha256sum)"
  done
done
