# SPDX-License-Identifier: Apache-2.0
"""Access control for the consumers of OpenStack Placement, as WSGI middleware."""
