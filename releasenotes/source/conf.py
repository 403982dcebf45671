# SPDX-License-Identifier: Apache-2.0
"""Sphinx configuration of the release notes."""

project = 'consumer_guard release notes'
copyright = 'The consumer_guard developers'

extensions = ['openstackdocstheme', 'reno.sphinxext']

openstackdocs_auto_name = False
openstackdocs_auto_version = False
html_theme = 'openstackdocs'
html_theme_options = {'show_other_versions': False}
html_title = 'consumer_guard release notes'
