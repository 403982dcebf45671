# SPDX-License-Identifier: Apache-2.0
"""The options of the group ``[consumer_guard]``; read by :mod:`.loading`."""

from oslo_config import cfg

GROUP = 'consumer_guard'

#: placement.conf.placement.DEFAULT_CONSUMERMISSING_ID of placement 16.
MISSING_ID = '00000000-0000-0000-0000-000000000000'

OPTS: tuple[cfg.Opt, ...] = (
    cfg.StrOpt(
        'enforcement',
        default='enforce',
        choices=[
            ('enforce', 'Refuse, filter and hide.'),
            (
                'shadow',
                'Decide and record, never refuse, filter, hide or roll; answers '
                'are byte-identical to no guard.',
            ),
        ],
        help='What is done with a decision.',
    ),
    cfg.StrOpt(
        'denial',
        default='forbid',
        choices=[
            (
                'forbid',
                "403 for another owner's consumer and for an unknown one alike.",
            ),
            (
                'conceal',
                'GET /allocations/{consumer_uuid} is answered exactly as for an '
                'unknown consumer; everything else as with forbid.',
            ),
        ],
        help='How a read that depends on the owner is refused.',
    ),
    cfg.StrOpt(
        'owner_lookup',
        default='database',
        help='Name of the driver that looks up recorded owners (entry points '
        'consumer_guard.owner_lookup).',
    ),
    cfg.FloatOpt(
        'lookup_timeout',
        default=2.0,
        min=0.1,
        help='Seconds that a look-up waits for a connection, and for an answer.',
    ),
    cfg.IntOpt(
        'lookup_pool_size',
        default=5,
        min=1,
        help='Connections that the look-up keeps, per worker process.',
    ),
    cfg.StrOpt(
        'connection',
        secret=True,
        help="SQLAlchemy URL of placement's database. Default: that of "
        "[placement_database] in the same file, else in placement's own "
        'configuration.',
    ),
    cfg.StrOpt(
        'auth_strategy',
        default='keystone',
        choices=[
            ('keystone', 'Only an identity that auth_token has proven is believed.'),
            (
                'noauth2',
                'For development only: identity headers are believed without '
                'proof that auth_token ran.',
            ),
        ],
        help='Which identity is believed.',
    ),
    cfg.StrOpt(
        'passage_role',
        default='consumer_guard_passage',
        help='Role added for the application behind when a request was allowed '
        'by ownership; removed from every incoming request. Empty turns it off.',
    ),
    cfg.StrOpt(
        'incomplete_consumer_project_id',
        default=MISSING_ID,
        help='The project id that means "nobody\'s". Default: that of placement\'s '
        'own configuration.',
    ),
    cfg.StrOpt(
        'incomplete_consumer_user_id',
        default=MISSING_ID,
        help='The user id that means "nobody\'s". Default: that of placement\'s '
        'own configuration.',
    ),
    cfg.IntOpt(
        'max_body_size',
        default=2 * 1024 * 1024,
        min=1024,
        help='Bytes. Larger bodies of writes that ownership must decide get 413; '
        "a role-holder's larger body is forwarded unread.",
    ),
    cfg.BoolOpt(
        'hide_provider_generation',
        default=True,
        help='Show null for the generation of a provider where ownership allowed the '
        "request: it moves with everybody's writes. A write by an owner needs it not; "
        'leave it out of the body.',
    ),
    cfg.IntOpt(
        'max_filtered_lists',
        default=4,
        min=1,
        help='Lists of a provider that a worker process filters at once; one more '
        'gets 429 with Retry-After. Lists of role-holders are not filtered, and not '
        'counted.',
    ),
    cfg.FloatOpt(
        'policy_poll_interval',
        default=1.0,
        min=0.01,
        help='Seconds between two checks of the policy files; never per request.',
    ),
    cfg.StrOpt(
        'candidate_policy_file',
        default='',
        help='A policy file that is tried, in place of all policy files: its rules '
        'are judged beside those in force and never act. A decision that they would '
        'change is counted and gets a record on the logger consumer_guard.audit. '
        'Found and reloaded as the policy files are; empty tries none.',
    ),
    cfg.IntOpt(
        'generation_limit',
        default=2**31 - 1,
        min=1,
        help='The greatest value that the column of generations holds.',
    ),
    cfg.IntOpt(
        'generation_warning',
        default=100_000_000,
        min=1,
        help='Steps before the limit at which a generation is warned about.',
    ),
    cfg.IntOpt(
        'generation_alarm',
        default=40_000_000,
        min=1,
        help='Steps before the limit at which a generation is alarmed about.',
    ),
    cfg.IntOpt(
        'generation_reserve',
        default=3_000_000,
        min=1000,
        help='Steps before the limit at which generation_strategy acts. More than the '
        'writes of one consumer that can be on their way at once, so that these do '
        'not pass the limit.',
    ),
    cfg.StrOpt(
        'generation_strategy',
        default='refuse',
        choices=[
            ('refuse', 'Refuse the write with 409.'),
            ('roll', 'Set the counter to generation_roll_to by compare-and-swap.'),
        ],
        help='What is done with a write at the reserve.',
    ),
    cfg.IntOpt(
        'generation_roll_to',
        default=-(2**31),
        help='Where a rolled counter goes on.',
    ),
    cfg.StrOpt(
        'audit',
        default='denied',
        choices=[
            ('all', 'Every decision.'),
            ('denied', 'Decisions that refuse.'),
            ('none', 'No records.'),
        ],
        help='Which decisions get a record on the logger consumer_guard.audit. '
        'Writes by which consumers may change hands get one whatever was decided, '
        'but for none. With all, and shadow, the owners of all named consumers are '
        'looked up for the records.',
    ),
    cfg.StrOpt(
        'audit_key',
        secret=True,
        help='Key of the hashes that stand for ids of others in records: the same '
        'key on all hosts makes the same hash of an id. Default: a random one for '
        'each start of a worker.',
    ),
    cfg.StrOpt(
        'audit_unmasked_file',
        default='',
        help='File that also gets the records, with all ids as they are. It is made '
        'with mode 0600, and opened again when it was moved away. The guard does not '
        'start when the file exists and is open to others, or is a link.',
    ),
    cfg.StrOpt(
        'statsd_host',
        default='',
        help='Host of a StatsD server for metrics; empty sends none. Needs the '
        'package statsd: pip install consumer-guard[statsd].',
    ),
    cfg.PortOpt(
        'statsd_port',
        default=8125,
        help='UDP port of the StatsD server.',
    ),
    cfg.StrOpt(
        'statsd_prefix',
        default='consumer_guard',
        help='What the names of all metrics begin with.',
    ),
)


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """Entry point ``oslo.config.opts``: the group and its options."""
    return [(GROUP, list(OPTS))]
