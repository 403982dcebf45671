# SPDX-License-Identifier: Apache-2.0
"""What the documentation generates from the source; run with ``python -m``."""
