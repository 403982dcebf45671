# SPDX-License-Identifier: Apache-2.0
"""The machine by its kind: no name, no address, no path of it."""

import os
import platform
import sqlite3
from importlib import metadata
from pathlib import Path

#: Microseconds of RequestContext.from_environ, with a request id, on the machine
#: on which the goals were set: tells how fast this one is.
FROM_ENVIRON = 4.2

#: Whose versions the figures depend on.
PACKAGES = (
    'openstack-placement',
    'oslo.policy',
    'oslo.context',
    'oslo.db',
    'SQLAlchemy',
    'WebOb',
    'psycopg',
    'psycopg2-binary',
    'cedarpy',
    'casbin',
    'gunicorn',
)


def describe() -> dict[str, str]:
    """Processor, cores, memory, system, Python and the packages that matter."""
    found = {
        'processor': _read_field('/proc/cpuinfo', 'model name')
        or platform.processor()
        or platform.machine(),
        'cores': str(os.cpu_count()),
        'memory': _describe_memory(),
        'system': f'{platform.system()} {platform.machine()}',
        'Python': f'{platform.python_implementation()} {platform.python_version()}',
        'SQLite': sqlite3.sqlite_version,
    }
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = 'not installed'
    return found


def describe_load() -> str:
    """How busy the machine was: mean number of runnable processes."""
    return ' / '.join(f'{load:.1f}' for load in os.getloadavg())


def _read_field(path: str, field: str) -> str:
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return ''
    for line in lines:
        name, _, value = line.partition(':')
        if name.strip() == field:
            return ' '.join(value.split())
    return ''


def _describe_memory() -> str:
    kilobytes = _read_field('/proc/meminfo', 'MemTotal').removesuffix(' kB')
    return f'{int(kilobytes) / 1024**2:.0f} GiB' if kilobytes.isdigit() else 'unknown'
