# SPDX-License-Identifier: Apache-2.0
"""The table of reasons, from the one that the guard answers with.

python -m doc.reasons    the table as CSV
"""

import csv
import io
import sys

from consumer_guard.guard.decision import CONSEQUENCES


def make_table() -> str:
    """Step, reason, its text in records, status, whether it may be concealed."""
    out = io.StringIO()
    writer = csv.writer(out)
    for reason, consequence in CONSEQUENCES.items():
        writer.writerow(
            (
                consequence.phase.value,
                f'``{reason.name}``',
                reason.value,
                consequence.status,
                'yes' if consequence.may_conceal else '',
            )
        )
    return out.getvalue()


if __name__ == '__main__':
    sys.stdout.write(make_table())
