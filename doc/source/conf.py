# SPDX-License-Identifier: Apache-2.0
"""Sphinx configuration; build with ``sphinx-build -W -b html doc/source ...``."""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent))

from doc import architecture, evidence, lanes, reasons, releases, threat_table  # noqa: E402

project = 'consumer_guard'
copyright = 'The consumer_guard developers'

extensions = [
    'sphinx.ext.autodoc',
    'cliff.sphinxext',
    'oslo_config.sphinxext',
    'oslo_policy.sphinxext',
]

html_theme = 'furo'
html_static_path = ['_static']
html_css_files = ['guard.css']
html_title = 'consumer_guard'
# Most literal blocks are shells, tables and diagrams.
highlight_language = 'none'

autodoc_typehints = 'signature'
autodoc_preserve_defaults = True
# Written by bench and bench.morning with --docs, and included.
exclude_patterns = ['performance/*.rst']

# Read from the source at every build, so that no table can go stale.
BUILT = HERE.parent / 'build'
BUILT.mkdir(exist_ok=True)
architecture.write_all(BUILT)
for name, table in (
    ('threats.csv', threat_table.make_table()),
    ('evidence.csv', evidence.make_table()),
    ('lanes.csv', lanes.make_table()),
    ('releases.csv', releases.make_table()),
    ('reasons.csv', reasons.make_table()),
):
    (BUILT / name).write_text(table, encoding='utf-8')
