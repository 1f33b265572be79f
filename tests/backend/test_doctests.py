"""Examples in the docstrings of pure modules."""

import doctest
import importlib

import pytest

MODULES = (
    "hund_backend.body.camera",
    "hund_backend.body.kinematics",
    "hund_backend.body.rotations",
    "hund_backend.prior.coordinates",
)


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples(name):
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted > 0
    assert result.failed == 0
