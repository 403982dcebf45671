#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Unpacks Debian unstable's MySQL server into a folder, and writes a command mysqld
# there. Nothing is installed, no server is started.
# Usage: tools/unpack-mysql.sh DIRECTORY

set -eu

[ $# -eq 1 ] || { echo 'unpack-mysql: name one directory' >&2; exit 1; }
mkdir -p "$1"
directory=$(cd "$1" && pwd)
if [ -x "$directory/mysqld" ] && "$directory/mysqld" --version >/dev/null; then
    echo 'unpack-mysql: it is there already'
    exit 0
fi

sh "$(dirname "$0")/unpack-unstable.sh" "$directory" mysql-server-core

cat >"$directory/mysqld" <<'COMMAND'
#!/bin/sh
here=$(dirname "$(readlink -f "$0")")
exec "$here"/usr/lib64/ld-linux-*.so.2 --library-path "$(echo "$here"/usr/lib/*-linux-gnu)" \
    "$here/usr/sbin/mysqld" --no-defaults --basedir="$here/usr" "$@"
COMMAND
chmod 755 "$directory/mysqld"
"$directory/mysqld" --version
