"""Feet locked on Rigify, by its FK or IK controls."""

import bpy
import numpy as np
import pytest
from bl_ext.user_default.hund.bridge.retarget import lock_feet
from bl_ext.user_default.hund.bridge.retarget.apply import Options
from retargeting import curves_of, mapping, retarget
from test_correct_contacts import RUNS, balls_and_soles, key_contacts
from test_retarget_feet import DRIFT, FPS, PENETRATION, walking_character
from test_retarget_rigify import generated, rigify

__all__ = ["generated", "rigify"]  # fixtures
_HIPS = ("torso", "spine_fk")
MOST = 2 * PENETRATION  # metres: Rigify's feet are moved by constraints


@pytest.mark.parametrize("controls", ["FK", "IK"])
def test_feet_lock_by_the_controls_that_move_them(rigify, controls):
    source = walking_character()
    key_contacts(source, RUNS)
    options = Options(controls=controls, key_switches=True, keep_contacts=False)
    retarget(source, rigify, "Rigify", options)
    bpy.context.view_layer.update()
    names = mapping(rigify, "Rigify")
    assert lock_feet.uses_ik(rigify, names) == (controls == "IK")
    before, keys = balls_and_soles(rigify, "Rigify")[0], curves_of(rigify)
    locked = lock_feet.lock_feet(rigify, names)
    after = balls_and_soles(rigify, "Rigify")[0]
    assert locked.frames > 10
    for side, (first, last) in RUNS.items():
        span = slice(first - 1, last)
        speeds, loose = (
            np.linalg.norm(np.diff(each[side][0][span, :2], axis=0), axis=-1) * FPS
            for each in (after, before)
        )
        assert speeds.max() < 2 * DRIFT < loose.max()
        assert np.abs(after[side][1][span].min(1)).max() < MOST
    changed = {
        key[0].split('"')[1]
        for key, values in curves_of(rigify).items()
        if key not in keys or not np.array_equal(values, keys[key])
    }
    is_leg = [("thigh" in n or "shin" in n or "foot" in n or n in _HIPS) for n in changed]
    assert all(is_leg) and changed, changed
