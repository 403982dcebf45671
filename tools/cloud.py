# SPDX-License-Identifier: Apache-2.0
"""A small cloud on loopback: keystone, guarded placement, and a shell to try it.

Everything is in a temporary folder and is gone at the end, the processes too.
"""

import argparse
import contextlib
import os
import pathlib
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence

from tests.cloud.placement import Placement
from tests.cloud.processes import BIN, StartFailed, make_environment
from tests.cloud.stack import Inhabitants, run_cloud, settle
from tests.configuration import make_environment as configure
from tools.ending import Ended, ended_by_signals

#: Seconds that what runs in the cloud has after its SIGHUP.
_GRACE = 5

_TEXT = """
keystone         {keystone}
placement        {placement}  (behind the guard)
configuration    {folder}
  consumer-guard.conf, policy.yaml     the guard's; edits of rules are honoured
  placement/                           placement's own
  placement.log                        with the guard's decision records

admin may see all; alice is a reader of alpha, bob one of beta. Try:

  show="openstack --os-cloud alice resource provider allocation show"
  $show $CONSUMER_OF_ALPHA             # her own
  $show $CONSUMER_OF_BETA              # bob's: refused
  $show $(uuidgen)                     # unknown: refused in the same words
  openstack --os-cloud bob resource usage show $BETA
  openstack --os-cloud bob resource usage show $ALPHA
  openstack --os-cloud alice resource provider allocation delete $CONSUMER_OF_ALPHA
  openstack resource provider show --allocations $PROVIDER        # admin

  consumer-guard can-i --project $ALPHA --role reader GET /allocations/$CONSUMER_OF_BETA
  consumer-guard matrix
  consumer-guard doctor

  curl -s -H "X-Auth-Token: $(openstack --os-cloud alice token issue -f value -c id)" \\
      -H "OpenStack-API-Version: placement 1.38" \\
      $PLACEMENT/allocations/$CONSUMER_OF_BETA
"""


def make_shell_environment(
    placement: Placement, inhabitants: Inhabitants
) -> dict[str, str]:
    """The environment of the shell: ``openstack`` is ready as admin."""
    return make_environment(
        {
            # Where consumer-guard finds its configuration.
            **configure(placement.folder),
            'OS_CLIENT_CONFIG_FILE': str(inhabitants.clouds),
            'OS_CLOUD': 'admin',
            'OS_PLACEMENT_API_VERSION': '1.38',
            'PLACEMENT': placement.url,
            'PROVIDER': inhabitants.provider,
            'ALPHA': inhabitants.alpha.id,
            'BETA': inhabitants.beta.id,
            'CONSUMER_OF_ALPHA': inhabitants.consumer_of_alpha,
            'CONSUMER_OF_BETA': inhabitants.consumer_of_beta,
        }
    )


def run(command: Sequence[str], env: dict[str, str], *, apart: bool) -> int:
    """Run a command to its end, or end it when we are ended.

    :param apart: in a session of its own, so that all its processes end with it;
        a shell has to keep the terminal, and sees to its jobs by itself
    :returns: its exit status, for a signal 128 and its number
    """
    with subprocess.Popen(  # noqa: S603  # what the caller asked for
        command, env=env, start_new_session=apart
    ) as process:
        try:
            status = process.wait()
        except Ended:
            # A shell at a terminal ignores SIGTERM.
            _signal(process, signal.SIGHUP, apart)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_GRACE)
            raise
        finally:
            if apart or process.returncode is None:
                _signal(process, signal.SIGKILL, apart)
    return status if status >= 0 else 128 - status


def _signal(
    process: 'subprocess.Popen[bytes]', number: signal.Signals, apart: bool
) -> None:
    with contextlib.suppress(ProcessLookupError):
        if apart:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)


def run_shell(env: dict[str, str]) -> int:
    """An interactive shell; Ctrl-C in it is the shell's."""
    shell = os.environ.get('SHELL') or '/bin/sh'
    print(f'{shell} follows; leave it (exit, Ctrl-D) to end the cloud.', flush=True)
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        return run([shell], env, apart=False)
    finally:
        signal.signal(signal.SIGINT, before)


def parse_setting(text: str) -> tuple[str, str]:
    """``NAME=VALUE`` as a pair."""
    name, equals, value = text.partition('=')
    if not equals:
        raise argparse.ArgumentTypeError(f'{text!r} is not NAME=VALUE')
    return name.strip(), value.strip()


def make_parser() -> argparse.ArgumentParser:
    """The options of the command."""
    parser = argparse.ArgumentParser(prog='cloud', description=__doc__)
    parser.add_argument(
        '--run',
        metavar='COMMAND',
        help='run this instead of a shell (with /bin/sh) and return its status',
    )
    parser.add_argument(
        '--set',
        metavar='NAME=VALUE',
        action='append',
        default=[],
        type=parse_setting,
        help='an option of [consumer_guard], such as denial=conceal; repeatable',
    )
    return parser


def serve(arguments: argparse.Namespace, folder: pathlib.Path) -> int:
    """Start everything, run the shell or the command; returns its status."""
    print('Starting keystone and placement (about half a minute).', flush=True)
    with run_cloud(folder) as cloud:
        placement = cloud.serve_placement(options=dict(arguments.set))
        inhabitants = settle(cloud, placement)
        env = make_shell_environment(placement, inhabitants)
        if arguments.run is not None:
            return run(['/bin/sh', '-c', arguments.run], env, apart=True)
        print(
            _TEXT.format(
                keystone=cloud.keystone.url,
                placement=placement.url,
                folder=shlex.quote(str(placement.folder)),
            )
        )
        return run_shell(env)


def main() -> int:
    """Run the command; returns the exit status."""
    arguments = make_parser().parse_args()
    for name in ('openstack', 'keystone-manage'):
        if not (BIN / name).exists():
            text = f'{name} is not installed in {BIN}; use: tox run -e cloud'
            print(text, file=sys.stderr)
            return 1
    try:
        with (
            ended_by_signals(),
            tempfile.TemporaryDirectory(
                prefix='cloud-', ignore_cleanup_errors=True
            ) as folder,
        ):
            return serve(arguments, pathlib.Path(folder))
    except StartFailed as exc:
        print(exc, file=sys.stderr)
        return 1
    except Ended as exc:
        return exc.status


if __name__ == '__main__':
    raise SystemExit(main())
