#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Installs the PostgreSQL (with pgbouncer) and MariaDB servers, the cluster and its
# load balancer, the Apache with mod_wsgi, and the memcached that the lanes
# functional-postgresql, functional-mysql, galera, servers and keystone start for
# themselves, the promtool of the lane monitoring, and the model checker of the lane
# formal. No server is started here.
# Usage: tools/install-databases.sh [postgresql] [mysql] [galera] [apache] [memcached]
# [promtool] [spin] (both databases without arguments).

set -eu

# The servers' binaries are where tests/servers.py looks for them.
have_postgresql() {
    ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null
}

have_pgbouncer() {
    PATH="$PATH:/usr/sbin" command -v pgbouncer >/dev/null
}

have_galera() {
    [ -e /usr/lib/galera/libgalera_smm.so ] && command -v rsync >/dev/null
}

have_haproxy() {
    PATH="$PATH:/usr/sbin" command -v haproxy >/dev/null
}

have_mysql() {
    PATH="$PATH:/usr/sbin" command -v mariadbd >/dev/null
}

have_apache() {
    [ -e /usr/sbin/apache2 ] && [ -e /usr/lib/apache2/modules/mod_wsgi.so ]
}

have_memcached() {
    command -v memcached >/dev/null
}

have_promtool() {
    command -v promtool >/dev/null
}

# What spin writes is a program in C.
have_spin() {
    command -v spin >/dev/null && command -v gcc >/dev/null &&
        [ -e /usr/include/stdio.h ]
}

fail() {
    echo "install-databases: $*" >&2
    exit 1
}

# Sets $missing to the packages of the servers that are asked for and not there.
find_missing() {
    missing=
    for wanted in ${*:-postgresql mysql}; do
        case $wanted in
            postgresql)
                have_postgresql || missing="$missing postgresql"
                have_pgbouncer || missing="$missing pgbouncer"
                ;;
            galera)
                have_mysql || missing="$missing mariadb-server"
                have_galera || missing="$missing galera-4 rsync"
                have_haproxy || missing="$missing haproxy"
                ;;
            mysql | mariadb) have_mysql || missing="$missing mariadb-server" ;;
            apache)
                have_apache || missing="$missing apache2 libapache2-mod-wsgi-py3"
                ;;
            memcached) have_memcached || missing="$missing memcached" ;;
            promtool) have_promtool || missing="$missing prometheus" ;;
            spin) have_spin || missing="$missing spin gcc libc6-dev" ;;
            *) fail "'$wanted' is none of postgresql, mysql, galera, apache, memcached, promtool, spin" ;;
        esac
    done
}

find_missing "$@"
if [ -z "$missing" ]; then
    echo 'install-databases: all of it is installed already'
    exit 0
fi

by_hand="install the equivalent of these Debian packages by hand:$missing"
command -v apt-get >/dev/null || fail "there is no apt-get here; $by_hand"
if [ "$(id -u)" -ne 0 ]; then
    sudo -n true 2>/dev/null || fail "neither root nor sudo without a password; $by_hand"
    exec sudo -n sh "$0" "$@"
fi

# Debian starts a server as soon as it is unpacked, and makes a cluster of its
# own; policy-rc.d is Debian's way to say no, and a file that is there already
# is the administrator's and stays.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    trap 'rm -f "$policy"' EXIT
fi

export DEBIAN_FRONTEND=noninteractive
apt-get update || fail "apt-get update failed; $by_hand"
# shellcheck disable=SC2086  # a list of package names
apt-get install -y --no-install-recommends $missing ||
    fail "apt-get install failed; $by_hand"
find_missing "$@"
[ -z "$missing" ] || fail "installed, but their binaries are not to be found:$missing"
