# SPDX-License-Identifier: Apache-2.0
"""Results as JUnit XML (the form that Jenkins, GitLab and Zuul read)."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable

from consumer_guard.analysis.assertions.evaluation import Verification, Verified

#: What no XML 1.0 document may contain (W3C, "Extensible Markup Language", 2.2).
_FORBIDDEN = re.compile('[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]')


def format_junit(results: Iterable[Verification]) -> bytes:
    """One suite per file, one case per line of the result."""
    root = ET.Element('testsuites')
    suites: dict[str, list[Verification]] = {}
    for one in results:
        suites.setdefault(one.place.rpartition(':')[0], []).append(one)
    for path, found in suites.items():
        failed = sum(one.verified is Verified.FAILS for one in found)
        undecided = sum(one.verified is Verified.UNDECIDED for one in found)
        suite = _add(
            root,
            'testsuite',
            name=path,
            tests=str(len(found)),
            failures=str(failed),
            errors=str(undecided),
            skipped='0',
        )
        for one in found:
            _add_case(suite, path, one)
    text: bytes = ET.tostring(root, encoding='utf-8', xml_declaration=True)
    return text


def _add_case(suite: ET.Element, path: str, one: Verification) -> None:
    line = one.place.rpartition(':')[2]
    case = _add(
        suite,
        'testcase',
        classname=path,
        name=f'{one.name} [{one.operation}]',
        file=path,
        line=line,
        time='0',
    )
    if one.verified is not Verified.HOLDS:
        # An error is no failure: nothing is known to be wrong.
        tag = 'failure' if one.verified is Verified.FAILS else 'error'
        body = _add(case, tag, message=one.detail, type=one.verified.value)
        body.text = _clean(f'{one.place}: {one.detail} ({one.decided_by})')


def _add(parent: ET.Element, tag: str, **attributes: str) -> ET.Element:
    cleaned = {name: _clean(value) for name, value in attributes.items()}
    return ET.SubElement(parent, tag, cleaned)


def _clean(text: str) -> str:
    return _FORBIDDEN.sub('\ufffd', text)
