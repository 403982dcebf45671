#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Unpacks packages of Debian unstable, with all the libraries that they need, into a
# folder. Nothing is installed. apt finds them where this system's own packages come
# from, and checks them with this system's keys.
# Usage: tools/unpack-unstable.sh DIRECTORY PACKAGE...

set -eu

fail() {
    echo "unpack-unstable: $*" >&2
    exit 1
}

[ $# -ge 2 ] || fail 'name a directory and packages'
directory=$1
shift
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
apt install --yes --download-only "$@" || fail 'the packages cannot be had'
for package in "$work"/cache/archives/*.deb; do
    dpkg -x "$package" "$directory"
done
rm -r "$work"
chmod -R a+rX "$directory"
