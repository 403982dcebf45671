# SPDX-License-Identifier: Apache-2.0
"""What rules mean, without HTTP or SQL: access, differences, explanations."""
