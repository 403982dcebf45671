# SPDX-License-Identifier: Apache-2.0
"""What is expected of the model, of each of its mutants, and of placement alone.

A mutant is the model without one of the guard's conditions. Every condition has
one that fails; where another condition covers it against others' consumers,
``COVERED`` says so.
"""

from dataclasses import dataclass

#: A counter that ends at 3: rolled from 2 on, to a value that is far away.
_ROLL = 'ROLL LIMIT=3 RESERVE=1 TO=-100'


@dataclass(frozen=True, slots=True)
class Variant:
    """One search of all interleavings.

    :ivar name: unique
    :ivar claim: what holds, or what goes wrong
    :ivar defines: the model's switches
    :ivar holds: whether no assertion may fail
    :ivar small: bounds that are searched in about a second
    :ivar whole: bounds that are searched in about half a minute
    """

    name: str
    claim: str
    defines: str
    holds: bool
    small: str = 'OPS=3'
    whole: str = 'OPS=3'

    def switches(self, *, small: bool) -> tuple[str, ...]:
        """All of them, bounds included."""
        return tuple(f'{self.defines} {self.small if small else self.whole}'.split())


def _holds(
    name: str, claim: str, defines: str, *, small: str = 'OPS=3', whole: str = 'OPS=5'
) -> Variant:
    return Variant(name, claim, defines, holds=True, small=small, whole=whole)


def _fails(name: str, claim: str, defines: str, bounds: str = 'OPS=3') -> Variant:
    return Variant(name, claim, defines, holds=False, small=bounds, whole=bounds)


#: The guard as it is.
GUARD = (
    _holds(
        'sealed',
        "a write by ownership lands on its owner's consumer, unchanged since judged",
        'FOREIGN ATOMIC CLAIM WHOLE GUESSES ALLKINDS CAPACITY',
    ),
    _holds(
        'sealed, ids given again',
        "a write by ownership lands on its owner's consumer",
        'FOREIGN CLAIM WHOLE REUSE GUESSES START=0 CAPACITY',
    ),
    _holds(
        'sealed, DELETE in steps',
        "a write by ownership replaces no allocations but its owner's, unchanged since"
        ' judged',
        'HELD KEPT CLAIM SPLIT GUESSES CAPACITY',
    ),
    _holds(
        'sealed, both',
        "a write by ownership replaces no allocations of another's",
        'HELD CLAIM REUSE GUESSES CAPACITY',
    ),
    _holds(
        'sealed, two owners',
        "two owners' writes at once, each unchanged since judged",
        'FOREIGN ATOMIC CLAIM WHOLE GUESSES OWNERS=2 TRIES=2 CAPACITY',
        small='OPS=1',
        whole='OPS=4',
    ),
    _holds(
        'no lost update',
        'on one row no write replaces one that its client has not seen',
        'LOST SPLIT READS TRIES=2 CAPACITY',
        small='OPS=2',
        whole='OPS=4',
    ),
    _holds(
        'no lost update, ids given again',
        'on one row no write replaces one that its client has not seen',
        'LOST REUSE READS CAPACITY',
    ),
    _holds(
        'no lost update, two owners',
        'the same with two owners at once',
        'LOST SPLIT READS OWNERS=2 TRIES=2 CAPACITY',
        small='OPS=1',
        whole='OPS=3',
    ),
    _holds(
        'rolled and sealed',
        "a write by ownership lands on its owner's consumer, unchanged since judged",
        f'FOREIGN ATOMIC CLAIM WHOLE GUESSES {_ROLL} CAPACITY',
    ),
    _holds(
        'rolled and sealed, ids given again',
        "a write by ownership lands on its owner's consumer",
        f'FOREIGN CLAIM WHOLE REUSE GUESSES {_ROLL} CAPACITY',
        whole='OPS=4',
    ),
    _holds(
        'rolled, no lost update',
        'on one row no write replaces one that its client has not seen',
        f'LOST SPLIT READS {_ROLL} CAPACITY',
        whole='OPS=4',
    ),
    _holds(
        'rolled in time',
        'with a reserve of two steps, three writers at once do not pass the end',
        'FITS SPLIT READS ROLL LIMIT=5 RESERVE=2 START=2 TO=-100 CAPACITY',
        whole='OPS=4',
    ),
    _holds(
        'no bystander',
        'the guard moves no generation of another consumer',
        'BYSTANDER FOREIGN WHOLE REUSE GUESSES CAPACITY',
    ),
    _holds(
        'rolled by hand',
        'an operator rolls once, wherever the counter is, and no update is lost',
        'LOST SPLIT READS HANDS=1',
        whole='OPS=4',
    ),
    _holds(
        'rolled by hand twice',
        'an operator rolls one counter twice in a row, and no update is lost',
        'LOST SPLIT READS TRIES=0 HANDS=2',
    ),
)

#: What no guard in front of placement closes.
LEFT_OPEN = (
    _fails(
        'DELETE in steps',
        'DELETE removes allocations first and the row later: in between a write'
        ' that empties gives the row away, and its generation stays',
        'FOREIGN SPLIT GUESSES',
    ),
    _fails(
        'DELETE in steps, from 1.28 on',
        'the same without any request below 1.28',
        'FOREIGN MODERN GUESSES',
    ),
    _fails(
        'emptied unseen',
        'a write that empties removes what its client has not seen: without owners',
        'LOST LOST_EMPTY SPLIT GUESSES TRIES=0',
    ),
    _fails(
        'created anew',
        'a generation read before a consumer was created anew passes: without owners',
        'LOST LOST_REBORN SPLIT GUESSES TRIES=0',
        'OPS=4',
    ),
    _fails(
        'the same again',
        'SQLite: created anew with the judged id, generation and owner',
        'ATOMIC WHOLE REUSE GUESSES',
    ),
)

#: The guard without one of its conditions.
MUTANTS = (
    _fails(
        'others',
        'the recorded owner is not judged',
        'FOREIGN WHOLE GUESSES M_RECORDED',
    ),
    _fails(
        'nobody', "a nobody's consumer is allowed", 'FOREIGN WHOLE GUESSES M_NOBODY'
    ),
    _fails(
        'absent',
        'a consumer that is not there is allowed',
        'FOREIGN WHOLE GUESSES M_ABSENT',
    ),
    _fails(
        'claimed', 'the claimed owner is not judged', 'CLAIM WHOLE GUESSES M_CLAIMED'
    ),
    _fails(
        'without allocations',
        'a row without allocations is allowed, by the rules and by the swap',
        'FOREIGN WHOLE GUESSES M_ALLOCATIONS M_SWAP_HELD',
    ),
    _fails('below 1.28', 'a write below 1.28 is allowed', 'HELD SPLIT GUESSES M_OLD'),
    _fails('emptying', 'a write that empties is allowed', 'HELD SPLIT GUESSES M_EMPTY'),
    _fails('deleting', 'DELETE is allowed', 'HELD SPLIT GUESSES M_DELETE'),
    _fails(
        'generation',
        "the body's generation is not compared",
        'LOST SPLIT READS M_GENERATION',
    ),
    _fails(
        'no swap',
        'the generation alone seals: nothing is swapped',
        'HELD SPLIT GUESSES M_SWAP',
    ),
    _fails(
        'lost swap',
        'a lost swap does not refuse',
        'HELD SPLIT GUESSES M_SWAP_LOST',
    ),
    _fails(
        'swap without id',
        'the row id is not compared',
        'ATOMIC WHOLE GUESSES M_SWAP_ID',
    ),
    _fails(
        'swap without uuid',
        'the uuid is not compared (SQLite)',
        'BYSTANDER FOREIGN WHOLE REUSE GUESSES M_SWAP_UUID',
    ),
    _fails(
        'swap without generation',
        'the generation is not compared',
        'LOST SPLIT READS M_SWAP_GENERATION',
    ),
    _fails(
        'swap without allocations',
        'that allocations are still there is not compared (SQLite, generation 0)',
        'FOREIGN WHOLE REUSE GUESSES START=0 M_SWAP_HELD',
        'OPS=4',
    ),
    _fails(
        'swap without owner',
        'project and user are not compared (SQLite)',
        'FOREIGN WHOLE REUSE GUESSES M_SWAP_OWNER',
    ),
    _fails(
        'swap without id and owner',
        'neither is compared',
        'FOREIGN WHOLE GUESSES M_SWAP_ID M_SWAP_OWNER',
    ),
    _fails(
        'own values 1 apart',
        'placement counts from one own value to another',
        'LOST SPLIT READS TRIES=2 M_SPACING',
    ),
    _fails(
        'own values given twice',
        'the own values of two writes are the same',
        'ATOMIC WHOLE GUESSES OWNERS=2 TRIES=2 M_REPEATED',
    ),
    _fails(
        'own values used before',
        'an own value is one that others have read',
        'LOST SPLIT READS M_USED',
    ),
    _fails(
        'rolled blindly',
        'a roll compares nothing',
        f'LOST SPLIT READS M_ROLL {_ROLL}',
    ),
    _fails(
        'rolled to 0',
        'a roll ends where the counter comes by soon',
        'LOST SPLIT READS ROLL LIMIT=3 RESERVE=1 TO=0',
    ),
    _fails(
        'not rolled below 1.28',
        'nobody watches writes below 1.28',
        'FITS SPLIT READS M_WATCH ROLL LIMIT=3 RESERVE=1 TO=-100',
    ),
    _fails(
        'no reserve',
        'a counter is rolled at its end only',
        'FITS SPLIT READS ROLL LIMIT=3 RESERVE=0 START=2 TO=-100',
    ),
)

#: Conditions that others cover, as far as others' consumers are concerned.
COVERED = (
    _holds(
        'covered: id',
        "without the row id no other's consumer is hit, as its owner is compared",
        'FOREIGN WHOLE REUSE GUESSES M_SWAP_ID',
        whole='OPS=4',
    ),
    _holds(
        'covered: uuid',
        'without the uuid no write lands on another consumer: placement compares it',
        'FOREIGN WHOLE REUSE GUESSES M_SWAP_UUID',
        whole='OPS=4',
    ),
    _holds(
        'covered: owner',
        'without project and user, where ids are never given again',
        'FOREIGN ATOMIC WHOLE GUESSES M_SWAP_OWNER',
        whole='OPS=4',
    ),
    _holds(
        'covered: allocations judged',
        'a row that had no allocations when it was judged loses the swap',
        'FOREIGN ATOMIC WHOLE GUESSES M_ALLOCATIONS',
        whole='OPS=4',
    ),
    _holds(
        'covered: allocations swapped',
        'without a look at the allocations, where ids are never given again',
        'FOREIGN ATOMIC WHOLE GUESSES START=0 M_SWAP_HELD',
        whole='OPS=4',
    ),
    _holds(
        'covered: generation',
        'without the generation, where ids are never given again',
        'FOREIGN WHOLE GUESSES M_SWAP_GENERATION',
        whole='OPS=4',
    ),
    _holds(
        "covered: body's generation",
        'a write that does not carry the judged generation hits what was judged',
        'FOREIGN ATOMIC WHOLE GUESSES M_GENERATION',
        whole='OPS=4',
    ),
)

#: What must happen in some interleaving: the rest would hold for no reason.
REACHED = (
    _fails('owner writes', 'a write by ownership lands', 'REACH_LANDING SPLIT GUESSES'),
    _fails(
        'owner writes anew',
        'a write by ownership lands on a row that was created anew',
        'REACH_RECREATED SPLIT GUESSES',
    ),
    _fails('swap lost', 'a swap is lost', 'REACH_SWAP_LOST SPLIT GUESSES'),
    _fails(
        'conflict behind',
        "placement's comparison refuses a sealed write",
        'REACH_CONFLICT SPLIT GUESSES',
    ),
    _fails('rolled', 'a counter is rolled', f'REACH_ROLL SPLIT GUESSES {_ROLL}'),
)

GROUPS = {
    'The guard': GUARD,
    'What is left open (fails, as it must)': LEFT_OPEN,
    'The guard without a condition (fails, as it must)': MUTANTS,
    'Conditions that others cover': COVERED,
    'What must be reachable (fails, as it must)': REACHED,
}

_RANDOM = 'OPS=5 GUESSES READS ALLKINDS CAPACITY LIKELY'

#: Runs at random, for databases that give row ids again and for the others; half
#: of them with counters that are rolled, and two owners.
RANDOM = {
    'random, ids given again': f'{_RANDOM} REUSE TRIES=3',
    'random': f'{_RANDOM} SPLIT TRIES=3',
    'random, rolled, ids given again': f'{_RANDOM} REUSE TRIES=4 OWNERS=2 {_ROLL}',
    'random, rolled': f'{_RANDOM} SPLIT TRIES=4 OWNERS=2 {_ROLL}',
}
