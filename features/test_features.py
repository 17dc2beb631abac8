"""Binds every scenario below this folder to a test; what each must prove is in its tags."""

from pytest_bdd import scenarios

scenarios(".")
