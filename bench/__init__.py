# SPDX-License-Identifier: Apache-2.0
"""What the guard costs, beside its references, measured in one run.

``python -m bench`` from a checkout, or ``tox -e bench``. All times are CPU
times of the process unless a table says otherwise; the variants of a table are
run interleaved, in random order, and one of them twice: what these two differ
by is the noise of the run.
"""
