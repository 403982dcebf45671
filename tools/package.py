# SPDX-License-Identifier: Apache-2.0
"""Check what would be published: the sources and the wheel are complete."""

import argparse
import pathlib
import subprocess
import sys
import tarfile
import zipfile

ROOT = pathlib.Path(__file__).resolve().parent.parent

#: Folders of which the sources hold every file.
_SOURCES = ('consumer_guard', 'doc/source', 'etc', 'releasenotes/notes', 'tests')


def find_files(folder: str, *, suffix: str = '') -> set[str]:
    """The files below a folder of the repository, relative to its top."""
    return {
        str(path.relative_to(ROOT))
        for path in (ROOT / folder).rglob(f'*{suffix}')
        if path.is_file() and '__pycache__' not in path.parts
    }


def find_missing(folder: pathlib.Path) -> list[str]:
    """What the two distributions in a folder lack.

    :raises ValueError: there is not exactly one of each
    """
    [sources] = folder.glob('*.tar.gz')
    [wheel] = folder.glob('*.whl')
    with tarfile.open(sources) as archive:
        held = {name.partition('/')[2] for name in archive.getnames()}
    missing = {name for each in _SOURCES for name in find_files(each)} - held
    missing |= {'LICENSE', 'README.rst', 'ChangeLog'} - held
    found = [f'{sources.name}: {name}' for name in sorted(missing)]
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    wanted = find_files('consumer_guard') | find_files('etc')
    return found + [
        f'{wheel.name}: {name}'
        for name in sorted(wanted)
        if not any(held.endswith(name) for held in names)
    ]


def main() -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').splitlines()[0])
    parser.add_argument('folder', type=pathlib.Path, help='where the files are')
    folder = parser.parse_args().folder
    missing = find_missing(folder)
    for line in missing:
        print(f'missing in {line}', file=sys.stderr)
    twine = [sys.executable, '-m', 'twine', 'check', '--strict', *folder.iterdir()]
    return bool(missing) or subprocess.run(twine, check=False).returncode  # noqa: S603


if __name__ == '__main__':
    raise SystemExit(main())
