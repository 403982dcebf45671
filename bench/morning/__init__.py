# SPDX-License-Identifier: Apache-2.0
"""A large cloud's morning: a load model of placement, and what the guard costs in it.

``tox -e morning`` compares bare and guarded placement. The model itself knows
nothing of the guard and can be used with any placement::

    python -m bench.morning fill --database postgresql+psycopg2://...
    python -m bench.morning drive --port 8778 --seconds 60 --rate 0.5

``fill`` wants an empty schema (``placement-manage db sync``), ``drive`` a
placement with ``auth_strategy = noauth2`` on that database.

==================  ===================================================================
:mod:`.cloud`       who is there: providers, consumers, projects; made through SQL
:mod:`.model`       who calls what, how often, with which role and microversion
:mod:`.actions`     the requests of each of them, and which answers are right
:mod:`.client`      one process of clients, which keeps to a schedule
:mod:`.ledger`      what was written, and whether it is all there
:mod:`.stage`       placement under gunicorn or uwsgi, and its processes
:mod:`.served`      the application there, with the processor time in each answer
:mod:`.trouble`     a reload, a killed worker, a fail-over, a generation at its end
:mod:`.programme`   the turns of a run
:mod:`.report`      tables, figures, the summary
==================  ===================================================================

No request is left out because the one before was late: each has a time at which it is
due, and its latency counts from then.
"""
