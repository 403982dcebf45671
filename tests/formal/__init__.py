# SPDX-License-Identifier: Apache-2.0
"""A model of one consumer and its writers, checked, and replayed over placement.

``consumer.pml`` is the model, ``variants`` what is expected of it, ``spin`` runs
it, ``replay`` takes the model's runs through the guard and placement.
``python -m tests.formal`` does all of it.
"""
