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
            ('enforce', 'Refuse, filter and conceal.'),
            (
                'shadow',
                'Decide and record; never refuse, filter, hide or roll. Answers are '
                'byte-identical to those without the guard.',
            ),
        ],
        help='Whether decisions are enforced, or only recorded.',
    ),
    cfg.StrOpt(
        'denial',
        default='forbid',
        choices=[
            (
                'forbid',
                "Answer 403, the same for another owner's consumer and for an unknown "
                'one.',
            ),
            (
                'conceal',
                'Answer GET /allocations/{consumer_uuid} exactly as for an unknown '
                'consumer; everything else as with forbid.',
            ),
        ],
        help='How to refuse a read that depends on the owner.',
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
        help='Time-out of a look-up in seconds, for the connection and for the answer '
        'each.',
    ),
    cfg.IntOpt(
        'lookup_pool_size',
        default=5,
        min=1,
        help='Maximum number of connections for look-ups, per worker process.',
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
            ('keystone', 'Trust only an identity that auth_token has proven.'),
            (
                'noauth2',
                'For development only: trust identity headers without proof that '
                'auth_token ran.',
            ),
        ],
        help='Which identity to trust.',
    ),
    cfg.StrOpt(
        'passage_role',
        default='consumer_guard_passage',
        help='Role that the guard adds for placement when ownership allows a request, '
        'and removes from every incoming request. Empty: no role is added.',
    ),
    cfg.StrOpt(
        'incomplete_consumer_project_id',
        default=MISSING_ID,
        help='Project id that marks a consumer without an owner. Default: the value in '
        "placement's own configuration.",
    ),
    cfg.StrOpt(
        'incomplete_consumer_user_id',
        default=MISSING_ID,
        help='User id that marks a consumer without an owner. Default: the value in '
        "placement's own configuration.",
    ),
    cfg.IntOpt(
        'max_body_size',
        default=2 * 1024 * 1024,
        min=1024,
        help='Maximum size in bytes of the body of a write that depends on the owner; '
        'a larger one gets 413. A larger body of a role-holder is forwarded unread.',
    ),
    cfg.BoolOpt(
        'hide_provider_generation',
        default=True,
        help='Replace the generation of providers by null in answers to owners, '
        "because it changes with other tenants' writes. Writes by owners do not need "
        'it; leave it out of the body.',
    ),
    cfg.IntOpt(
        'max_filtered_lists',
        default=4,
        min=1,
        help='Maximum number of lists of a provider that a worker process filters at '
        'once; further ones get 429 with Retry-After. Lists of role-holders are '
        'neither filtered nor counted.',
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
        help='Highest value that the column for generations can hold.',
    ),
    cfg.IntOpt(
        'generation_warning',
        default=100_000_000,
        min=1,
        help='Remaining increments at which the guard logs a WARNING.',
    ),
    cfg.IntOpt(
        'generation_alarm',
        default=40_000_000,
        min=1,
        help='Remaining increments at which the guard logs an ERROR.',
    ),
    cfg.IntOpt(
        'generation_reserve',
        default=3_000_000,
        min=1000,
        help='Remaining increments at which generation_strategy acts. Must exceed the '
        'number of concurrent writes to one consumer, so that these cannot pass the '
        'limit.',
    ),
    cfg.StrOpt(
        'generation_strategy',
        default='refuse',
        choices=[
            ('refuse', 'Refuse the write with 409.'),
            ('roll', 'Set the counter to generation_roll_to by compare-and-swap.'),
        ],
        help='How to treat a write when only generation_reserve increments remain.',
    ),
    cfg.IntOpt(
        'generation_roll_to',
        default=-(2**31),
        help='Value to which a counter is rolled.',
    ),
    cfg.StrOpt(
        'audit',
        default='denied',
        choices=[
            ('all', 'Every decision.'),
            ('denied', 'Refusals only.'),
            ('none', 'No records.'),
        ],
        help='Decisions to record on the logger consumer_guard.audit. A write that may '
        'change the owner of a consumer is always recorded, except with none. With all '
        'in shadow mode, the owners of all consumers in the request are looked up for '
        'the record.',
    ),
    cfg.StrOpt(
        'audit_key',
        secret=True,
        help="Key for hashing other tenants' ids in records. Use one key on all hosts "
        'to get the same hash for the same id. Default: a random key per worker start.',
    ),
    cfg.StrOpt(
        'audit_unmasked_file',
        default='',
        help='File that receives a copy of all records with unhashed ids. It is '
        'created with mode 0600 and reopened after rotation. The guard does not start '
        'if the file exists and is accessible to others, or is a link.',
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
        help='Prefix of all metric names.',
    ),
)


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """Entry point ``oslo.config.opts``: the group and its options."""
    return [(GROUP, list(OPTS))]
