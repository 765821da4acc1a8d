# Replaces the kernel among unpacked packages by that of another release of Debian, from the same mirror, and unpacks beside them
# the C library that it was linked with, and tlshd with all that it needs: only the kernel's own process and tlshd use that library,
# not the other programs in the guest.
# Arguments: the directory of fetch-packages.sh, with patchelf among its packages; the release.
set -eu
directory=$1
release=$2
work=$directory/kernel
mkdir -p "$work/lists/partial" "$work/archives/partial" "$work/root" "$directory/newer"
mirror=$(apt-cache policy user-mode-linux | awk '$3 ~ /\/main$/ { print $2; exit }')
echo "deb [arch=amd64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $release main" >"$work/sources"
# As if nothing were installed, so that what ktls-utils depends on comes with it.
apt_there() {
  apt-get -qq -o Dir::Etc::sourcelist="$work/sources" -o Dir::Etc::sourceparts=/dev/null -o Dir::State::lists="$work/lists" \
    -o Dir::State::status=/dev/null -o Dir::Cache::archives="$work/archives" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= \
    -o Acquire::Languages=none -o APT::Sandbox::User=root -o Debug::NoLocking=1 "$@"
}
cd "$work"
apt_there update
apt_there download user-mode-linux
dpkg-deb --extract user-mode-linux_*.deb root
apt_there install --download-only --yes --no-install-recommends ktls-utils >/dev/null
for archive in archives/*.deb; do dpkg-deb --extract "$archive" "$directory/newer"; done
libraries=$directory/newer/usr/lib/x86_64-linux-gnu
"$directory/root/usr/bin/patchelf" --set-interpreter "$libraries/ld-linux-x86-64.so.2" --set-rpath "$libraries" root/usr/bin/linux.uml
rm -rf "$directory/root/usr/lib/uml"
cp -a root/. "$directory/root/"
rm -r "$work"
