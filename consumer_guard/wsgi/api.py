# SPDX-License-Identifier: Apache-2.0
"""The guarded placement for uwsgi, gunicorn and mod_wsgi.

The pipeline is that of ``/etc/consumer-guard/api-paste.ini``, or of the file
that the environment variable ``CONSUMER_GUARD_PASTE_CONFIG`` names.
"""

import configparser

from paste import deploy

from consumer_guard.config import loading, places
from consumer_guard.guard.errors import ConfigurationError
from consumer_guard.guard.responses import Application


def load_application() -> Application:
    """Load the pipeline.

    :raises ConfigurationError: one message that names what is wrong and where
    """
    path = loading.find_paste_config()
    try:
        application: Application = deploy.loadapp(f'config:{path}')
    except ConfigurationError as exc:
        raise ConfigurationError(f'{path}: {exc}') from None
    except configparser.Error as exc:
        # Security: neither the text nor the chain, which quote the file.
        raise ConfigurationError(places.explain_paste_error(path, exc)) from None
    except (LookupError, ValueError) as exc:
        raise ConfigurationError(f'{path}: {exc}') from exc
    return application


application = load_application()
