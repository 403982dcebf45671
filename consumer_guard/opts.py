# SPDX-License-Identifier: Apache-2.0
"""Options of the group ``[consumer_guard]`` (entry point of oslo.config's tools)."""


def list_opts() -> list[tuple[str, list[object]]]:
    return []
