#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Unpacks Debian unstable's MySQL server, with all the libraries that it needs, into a
# folder, and writes a command mysqld there. Nothing is installed, no server is started.
# apt finds the packages where this system's own come from, with this system's keys.
# Usage: tools/unpack-mysql.sh DIRECTORY

set -eu

fail() {
    echo "unpack-mysql: $*" >&2
    exit 1
}

[ $# -eq 1 ] || fail 'name one directory'
mkdir -p "$1"
directory=$(cd "$1" && pwd)
if [ -x "$directory/mysqld" ] && "$directory/mysqld" --version >/dev/null; then
    echo 'unpack-mysql: it is there already'
    exit 0
fi

command -v apt-get >/dev/null || fail 'there is no apt-get here'
mirror=$(apt-get indextargets --format '$(REPO_URI)' | grep -v security | head -n 1)
[ -n "$mirror" ] || fail 'apt knows no mirror'
keys=/usr/share/keyrings/debian-archive-keyring.gpg
[ -e "$keys" ] || fail "there is no $keys: this is not Debian"

work=$directory/apt
mkdir -p "$work/lists/partial" "$work/cache/archives/partial"
: >"$work/status"
echo "deb [signed-by=$keys] $mirror unstable main" >"$work/sources.list"
apt() {
    apt-get -qq -o "Dir::State::Lists=$work/lists" -o "Dir::State::status=$work/status" \
        -o "Dir::Etc::SourceList=$work/sources.list" -o Dir::Etc::SourceParts=/dev/null \
        -o "Dir::Cache=$work/cache" -o Acquire::Languages=none \
        -o APT::Install-Recommends=false -o APT::Sandbox::User=root "$@"
}
apt update || fail 'apt-get update failed'
# To a system without any package: with every library, the C library too.
apt install --yes --download-only mysql-server-core || fail 'the packages cannot be had'
for package in "$work"/cache/archives/*.deb; do
    dpkg -x "$package" "$directory"
done
rm -r "$work"

cat >"$directory/mysqld" <<'COMMAND'
#!/bin/sh
here=$(dirname "$(readlink -f "$0")")
exec "$here"/usr/lib64/ld-linux-*.so.2 --library-path "$(echo "$here"/usr/lib/*-linux-gnu)" \
    "$here/usr/sbin/mysqld" --no-defaults --basedir="$here/usr" "$@"
COMMAND
chmod 755 "$directory/mysqld"
chmod -R a+rX "$directory"
"$directory/mysqld" --version || fail 'what was unpacked does not run'
