# SPDX-License-Identifier: Apache-2.0
"""Which build of the guard this is."""

import json
from importlib import metadata


def find_guard_version() -> str:
    """The installed version, and the commit where it is not a release.

    As in ``0.1.0.dev437 (d48ac64)``; the commit is known where git was at hand when
    the package was built (``pbr.json`` of pbr).
    """
    try:
        distribution = metadata.distribution('consumer-guard')
    except metadata.PackageNotFoundError:
        return 'unknown'
    build = json.loads(distribution.read_text('pbr.json') or '{}')
    if build.get('is_release') or not build.get('git_version'):
        return distribution.version
    return f'{distribution.version} ({build["git_version"]})'
