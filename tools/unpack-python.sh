#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Unpacks Debian unstable's Python into a folder, for the lanes of a Python that this
# system does not have: put DIRECTORY/usr/bin at the end of PATH. Nothing is installed.
# Usage: tools/unpack-python.sh DIRECTORY VERSION

set -eu

[ $# -eq 2 ] || { echo 'unpack-python: name a directory and a version' >&2; exit 1; }
mkdir -p "$1"
directory=$(cd "$1" && pwd)
python=$directory/usr/bin/python$2
if [ -x "$python" ] && "$python" --version; then
    echo 'unpack-python: it is there already'
    exit 0
fi

sh "$(dirname "$0")/unpack-unstable.sh" "$directory" "python$2" "python$2-dev"

# With its own C library, and under the name by which an environment calls it. Whole
# paths: tests run it without any PATH.
libraries=$(echo "$directory"/usr/lib/*-linux-gnu)
loader=$(echo "$directory"/usr/lib64/ld-linux-*.so.2)
mv "$python" "$python.unpacked"
cat >"$python" <<COMMAND
#!/bin/sh
exec "$loader" --argv0 "\$0" --library-path "$libraries" "$python.unpacked" "\$@"
COMMAND
chmod 755 "$python"
"$python" --version
