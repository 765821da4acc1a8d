# Fetches packages, and those that they depend on and the host lacks, and unpacks them; nothing is installed on the host.
# Arguments: the directory to make, with the unpacked files in its 'root'; the release of Debian to take the kernel from, or
# nothing for the host's own; then the packages. Run it under a lock.
set -eu
scripts=$(cd "$(dirname "$0")" && pwd)
directory=$1
release=$2
shift 2
# Whoever waited for the lock finds it made.
test ! -e "$directory/complete" || exit 0
rm -rf "$directory"
mkdir -p "$directory/archives/partial" "$directory/root"
export DEBIAN_FRONTEND=noninteractive

fetch() {
  apt-get install -qq --download-only --yes --no-install-recommends -o Debug::NoLocking=1 \
    -o APT::Sandbox::User=root -o Dir::Cache::archives="$directory/archives" "$@" >/dev/null
}
# The lists of packages are missing in fresh containers, or too old.
fetch "$@" 2>/dev/null || { apt-get update -qq && fetch "$@"; }

cd "$directory"
for archive in archives/*.deb; do dpkg-deb --extract "$archive" root; done
# On Debian these are links to their namesakes in /usr, which directories in an upper layer would hide.
for name in bin sbin lib lib64; do
  test ! -e "root/$name" || { mkdir -p "root/usr/$name" && cp -a "root/$name/." "root/usr/$name/" && rm -r "root/$name"; }
done
rm -r archives
test -z "$release" || sh "$scripts/fetch-kernel.sh" "$directory" "$release"
touch complete
