# SPDX-License-Identifier: Apache-2.0
"""What gunicorn and uwsgi load: a pipeline whose answers tell what they have cost.

The pipeline is the one that ``CONSUMER_GUARD_PASTE_CONFIG`` names, with or without the
guard.
"""

import os

from bench.morning import served

if os.environ.get(served.REMEMBER):
    served.remember_signatures()

# Loads the pipeline.
from consumer_guard.wsgi import api

application = served.Clock(api.application)
