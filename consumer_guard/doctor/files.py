# SPDX-License-Identifier: Apache-2.0
"""The files that workers read: who may write them, who may read a password in them.

Owner and mode of the file itself count, and the mode of its directory, in which a
file can be replaced. Directories further up are not examined.
"""

import contextlib
import os
import pathlib
import re
import stat
import types
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

from oslo_config import cfg

from consumer_guard.analysis.findings import Assessment, Finding, fail, note, ok, warn
from consumer_guard.config import places
from consumer_guard.config.loading import PASTE_CONFIG_VARIABLE
from consumer_guard.config.options import GROUP, OPTS
from consumer_guard.doctor.paste_file import Layout, PartKind, Route, read_layout
from consumer_guard.guard.errors import ConfigurationError
from consumer_guard.rules.files import PolicyLocations

#: Options of both services, oslo.db and keystonemiddleware that hold a password.
_SECRET_OPTIONS = frozenset(
    {
        *(option.dest for option in OPTS if option.secret),
        'connection',
        'slave_connection',
        'connection_parameters',
        'password',
        'memcache_secret_key',
        'transport_url',
    }
)
_URL_OPTIONS = frozenset({'connection', 'slave_connection', 'transport_url'})
_PASSWORD_IN_URL = re.compile(r'://[^/@?]*:[^@/?]+@|[?&][\w.]*pass\w*=.', re.IGNORECASE)

_POLICY_SUFFIXES = ('.yaml', '.yml', '.json')

_WRITABLE = stat.S_IWGRP | stat.S_IWOTH


class DeployedFiles(NamedTuple):
    """Every file that a worker reads, by what it is.

    :ivar paste: the paste file; None where there is none
    :ivar configuration: of the guard and of placement
    :ivar policies: of both, each once
    :ivar policy_dirs: that exist, of both
    """

    paste: str | None
    configuration: tuple[str, ...]
    policies: tuple[str, ...]
    policy_dirs: tuple[str, ...]

    def list_all(self) -> list[str]:
        """All paths, each once."""
        files = [self.paste] if self.paste else []
        return [*dict.fromkeys([*files, *self.configuration, *self.policies])]


def list_deployed(
    layout: Layout | None, confs: Iterable[cfg.ConfigOpts]
) -> DeployedFiles:
    """The files of some services.

    :param confs: each with its ``[oslo_policy]``
    """
    configuration: list[str] = []
    policies: list[str] = []
    folders: list[str] = []
    for conf in confs:
        configuration += places.list_files(conf)
        locations = PolicyLocations(
            conf.find_file, conf.oslo_policy.policy_file, conf.oslo_policy.policy_dirs
        )
        # The check of the policy files reports what cannot be read.
        with contextlib.suppress(OSError):
            seen = locations.take_snapshot()
            policies += [file.path for file in seen.files]
            folders += seen.dirs
    return DeployedFiles(
        layout.path if layout is not None else None,
        tuple(dict.fromkeys(configuration)),
        tuple(dict.fromkeys(policies)),
        tuple(dict.fromkeys(folders)),
    )


def check_files(files: DeployedFiles, layout: Layout | None) -> Iterator[Finding]:
    """Everything about the files as files."""
    modes = _read_statuses([*files.list_all(), *files.policy_dirs])
    where = ', '.join(files.list_all())
    checks: Mapping[str, Iterable[Assessment]] = {
        'file modes': _check_writable(modes),
        'file owners': _check_owners(modes),
        'passwords in files': _check_passwords(files, layout, modes),
        'leftovers': _check_leftovers(files, layout),
    }
    for name, assessments in checks.items():
        found = [*assessments] or [ok(_GOOD[name])]
        yield from (assessment.at(where, name) for assessment in found)


_GOOD = types.MappingProxyType(
    {
        'file modes': 'writable only by their owners',
        'file owners': 'root, or this account',
        'passwords in files': 'not readable by every account',
        'leftovers': 'none',
    }
)


def _read_statuses(paths: Iterable[str]) -> dict[str, os.stat_result]:
    statuses = {}
    for path in paths:
        for each in (path, os.path.dirname(path)):
            with contextlib.suppress(OSError):
                statuses[each] = os.stat(each)
    return statuses


def _check_writable(statuses: Mapping[str, os.stat_result]) -> Iterator[Assessment]:
    """Whoever can write a rule or an option decides everything."""
    for path, status in statuses.items():
        loose = status.st_mode & _WRITABLE
        # In a sticky directory only its owner replaces a file.
        if not loose or (
            status.st_mode & stat.S_ISVTX and stat.S_ISDIR(status.st_mode)
        ):
            continue
        who = 'every account' if loose & stat.S_IWOTH else 'its group'
        kind = 'the directory' if stat.S_ISDIR(status.st_mode) else 'the file'
        yield fail(f'{who} can write {kind} {path}', f'chmod go-w {path}')


def _check_owners(statuses: Mapping[str, os.stat_result]) -> Iterator[Assessment]:
    """Root, or the account that runs this; one other may be the service's."""
    owners: dict[int, list[str]] = {}
    for path, status in statuses.items():
        if status.st_uid not in (0, os.geteuid()):
            owners.setdefault(status.st_uid, []).append(path)
    if not owners:
        return
    shown = '; '.join(f'uid {uid}: {", ".join(paths)}' for uid, paths in owners.items())
    if len(owners) > 1:
        yield warn(f'files have several owners ({shown})', 'chown root: all of them')
    else:
        yield note(
            f'{shown}: a service that runs under this account can change its own rules',
            "chown root: the files, and give the service's group read access",
        )


def _check_passwords(
    files: DeployedFiles, layout: Layout | None, statuses: Mapping[str, os.stat_result]
) -> Iterator[Assessment]:
    for path in files.list_all():
        status = statuses.get(path)
        if status is None or not status.st_mode & stat.S_IROTH:
            continue
        if path == files.paste and layout is not None:
            names = _find_secrets(
                {GROUP: {k: [v] for k, v in layout.guard_options.items()}}
            )
        elif path in files.configuration:
            names = _find_secrets(places.read_sections(path))
        else:
            continue
        if names:
            yield fail(
                f'every account can read {", ".join(names)} in {path}',
                f'chmod o-rwx {path}, and change the password',
            )


def _find_secrets(sections: Mapping[str, Mapping[str, list[str]]]) -> list[str]:
    """The options that hold a password, as ``[group] option``."""
    return [
        f'[{group}] {name}'
        for group, options in sections.items()
        for name, values in options.items()
        if name in _SECRET_OPTIONS and _holds_password(name, ''.join(values))
    ]


def _holds_password(name: str, value: str) -> bool:
    if name in _URL_OPTIONS:
        return _PASSWORD_IN_URL.search(value) is not None
    return bool(value.strip())


def _check_leftovers(
    files: DeployedFiles, layout: Layout | None
) -> Iterator[Assessment]:
    """Files of trials and editors beside those that are read."""
    for path in files.policies:
        folder = os.path.dirname(path)
        if folder in files.policy_dirs and not path.endswith(_POLICY_SUFFIXES):
            yield warn(
                f'{path} counts as a policy file, as does every visible file in '
                'policy_dirs',
                'remove it',
            )
    if layout is not None and any(_believes_headers(each) for each in layout.served):
        return  # not a production host; another check fails
    for folder in sorted({os.path.dirname(path) for path in files.list_all()}):
        for path in sorted(map(str, pathlib.Path(folder).glob('*.ini'))):
            if path != files.paste and _trusts_everybody(path):
                yield warn(
                    f'{path} serves placement without authentication (noauth2) if it '
                    'is started',
                    'remove it from this host',
                )


def _trusts_everybody(path: str) -> bool:
    try:
        layout = read_layout(path)
    except ConfigurationError:
        return False
    return any(_believes_headers(route) for route in (*layout.served, *layout.others))


def _believes_headers(route: Route) -> bool:
    return route.find(PartKind.NOAUTH) is not None or any(
        part.options.get('auth_strategy') == 'noauth2' for part in route.parts
    )


def check_environment(environ: Collection[str], pid: int | None = None) -> Finding:
    """Variables of this shell that workers may not have.

    :param environ: names of variables
    :param pid: the worker from whose environment they are
    """
    prefixes = ('OS_CONSUMER_GUARD__', 'OS_PLACEMENT_', 'OS_OSLO_POLICY__')
    names = [
        name
        for name in sorted(environ)
        if name == PASTE_CONFIG_VARIABLE or name.startswith(prefixes)
    ]
    assessment = ok(
        'no variable of this shell changes the configuration; to use the environment '
        'of a worker, pass --environment-of'
    )
    if pid is not None:
        listed = ', '.join(names) or 'none that changes the configuration'
        assessment = ok(f'variables of process {pid} are used: {listed}')
    elif names:
        assessment = note(
            f'this shell sets {", ".join(names)}: workers that lack them read another '
            'configuration',
            'pass --environment-of with the process id of a worker',
        )
    return assessment.at('environment', 'environment')
