# SPDX-License-Identifier: Apache-2.0
"""``python -m tests.formal [--small]``: check the model.

Exits with 1 when a search does not end as expected.
"""

import argparse
import concurrent.futures
import os
import sys
import time
from collections.abc import Sequence

from tests.formal import spin
from tests.formal.spin import Search
from tests.formal.variants import GROUPS, Variant


def main(arguments: Sequence[str] | None = None) -> int:
    """Check everything; returns the process's exit code."""
    parser = argparse.ArgumentParser(prog='python -m tests.formal', description=__doc__)
    parser.add_argument(
        '--small', action='store_true', help='small bounds: seconds, not minutes'
    )
    options = parser.parse_args(arguments)
    spin.check_programs()
    started = time.monotonic()
    wrong = states = number = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        searches = {
            variant.name: pool.submit(_search, variant, options.small)
            for group in GROUPS.values()
            for variant in group
        }
        for title, group in GROUPS.items():
            print(f'\n{title}')
            for variant in group:
                found = searches[variant.name].result()
                _print(variant, found)
                wrong += found.holds != variant.holds
                states += found.states
                number += 1
    print(
        f'\n{number} searches, {states:,} states, {time.monotonic() - started:.0f} s;'
        f' {wrong} not as expected'
    )
    return bool(wrong)


def _search(variant: Variant, small: bool) -> Search:
    return spin.search(
        variant.switches(small=small),
        shortest=not variant.holds,
        large=variant.holds and not small,
    )


def _print(variant: Variant, found: Search) -> None:
    outcome = 'holds' if found.holds else f'fails in {len(found.counterexample)} steps'
    wrong = '' if found.holds == variant.holds else '  NOT AS EXPECTED'
    print(
        f'  {variant.name:33} {outcome:17} {found.states:>11,} states'
        f' {found.seconds:7.1f} s  {variant.claim}{wrong}',
        flush=True,
    )
    if wrong:
        for step in found.counterexample:
            print(f'    {step}')


if __name__ == '__main__':
    sys.exit(main())
