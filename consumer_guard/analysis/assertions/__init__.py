# SPDX-License-Identifier: Apache-2.0
"""What an operator asserts about the rules: cases and statements."""
