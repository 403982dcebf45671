# SPDX-License-Identifier: Apache-2.0
"""A small cloud on loopback: keystone, and placement behind the guard.

Shared by the tests of ``tests/keystone`` and by the command ``tools/cloud.py``.
"""
