"""Checks judge what was recorded: pure functions of a Case. ``CHECKS`` lists them by name.

A check's name is the words that a feature uses for it; one that raises is NOT PROVEN.
"""
