# SPDX-License-Identifier: Apache-2.0
"""The ids of the world that is fuzzed; fixed, so that cases can be written down."""

OWN_PROJECT = 'a0' * 16
OWN_USER = 'a1' * 16
OTHERS_PROJECT = 'b0' * 16
OTHERS_USER = 'b1' * 16

PROVIDER = 'fa57f00d-0000-4000-8000-0000000000ab'
ANOTHER_PROVIDER = 'fa57f00d-0000-4000-8000-0000000000cd'

#: A's, at generations 1 and 7.
OWN = 'ca000000-0000-4000-8000-0000000000a1'
OWN_TOO = 'ca000000-0000-4000-8000-0000000000a2'
#: B's.
FOREIGN = 'cb000000-0000-4000-8000-0000000000b1'
#: B's too, and named by no request: an answer that holds it leaks.
HIDDEN = 'cb000000-0000-4000-8000-0000000000b2'
HIDDEN_GENERATION = 918273645
UNOWNED = 'cd000000-0000-4000-8000-0000000000d1'
#: A's row without allocations.
ORPHAN = 'ce000000-0000-4000-8000-0000000000e1'
#: Allocations without a row.
BARE = 'cf000000-0000-4000-8000-0000000000f1'
ABSENT = 'ac000000-0000-4000-8000-0000000000c1'


def spellings(uuid: str) -> tuple[str, ...]:
    """What placement or a database may take for the same id; it comes first."""
    plain = uuid.replace('-', '')
    return (
        uuid,
        uuid.upper(),
        uuid.title(),
        plain,
        plain.upper(),
        '{' + uuid + '}',
        'urn:uuid:' + uuid,
        'uuid:' + uuid,
        uuid + '\n',
        uuid + ' ',
        ' ' + uuid,
        uuid + '\x00',
        '-'.join(plain[place : place + 4] for place in range(0, 32, 4)),
        uuid.replace('-', '', 1) + '-',
        uuid[:-1],
        uuid + '0',
    )


#: A's rows under ids that only resemble B's; a guard that looks one up by another
#: text than placement acts on takes B's consumer for A's.
TRAPS = spellings(FOREIGN)[1:]
