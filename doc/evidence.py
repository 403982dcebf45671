# SPDX-License-Identifier: Apache-2.0
"""The table of what has been run, from what ``tox run -e nightly`` wrote down."""

import csv
import io
import json
import pathlib

EVIDENCE = pathlib.Path(__file__).resolve().parent / 'evidence.json'


def make_table(path: pathlib.Path = EVIDENCE) -> str:
    """Lane, when and of what, how long, what it has shown; as CSV."""
    runs = json.loads(path.read_text(encoding='utf-8'))
    out = io.StringIO()
    writer = csv.writer(out)
    for lane, run in sorted(runs.items()):
        command = f'{lane} -- {run["arguments"]}' if run['arguments'] else lane
        shown = [run['outcome'], *run['counts'], *run['failures']]
        # A list, whose items cannot be read as markup.
        cell = '\n'.join(f'* ``{line}``' for line in shown)
        when = f'{run["day"]}, {run["revision"]}, {run["minutes"]} min'
        writer.writerow((f'``{command}``', when, cell))
    return out.getvalue()
