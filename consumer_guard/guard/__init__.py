# SPDX-License-Identifier: Apache-2.0
"""The request path: read a request, decide it, enforce the decision."""
