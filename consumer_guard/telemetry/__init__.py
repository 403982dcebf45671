# SPDX-License-Identifier: Apache-2.0
"""Decision records and metrics."""
