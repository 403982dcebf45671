# SPDX-License-Identifier: Apache-2.0
"""Sphinx configuration of the release notes."""

project = 'consumer_guard release notes'
copyright = 'The consumer_guard developers'

extensions = ['reno.sphinxext']

html_theme = 'furo'
html_title = 'consumer_guard release notes'
