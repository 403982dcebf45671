# SPDX-License-Identifier: Apache-2.0
"""Recorded owners: the driver interface and the driver ``database``."""
