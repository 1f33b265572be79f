"""The examples in docstrings run and print what they show."""

import doctest

import pytest

from hund_backend import sources
from hund_backend.perception import coco_pose, crops, packed_part_maps, tracks


@pytest.mark.parametrize("module", [coco_pose, crops, packed_part_maps, tracks, sources])
def test_docstring_examples(module):
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0
