"""Head turn: the face's overrules the body's guess where a face is seen."""

from dataclasses import replace

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from ...body.model import BodyModel
from ...body.skeleton import JOINT_INDEX, PARENTS
from ..result import DescentResult
from .solve import FaceMotion

_NECK_SHARE = 0.4  # of the correction; the head has the rest
_MAX_TURN = np.radians(75.0)  # beyond, the face is another's or the body's guess is far off
_HEAD, _NECK = JOINT_INDEX["Head01"], JOINT_INDEX["Neck01"]


def with_head_turn(result: DescentResult, body: BodyModel, face: FaceMotion) -> DescentResult:
    """Return a result whose head and neck are turned as the face is.

    Args:
        result: of a person.
        body: that the result is for.
        face: of the same frames.
    """
    weight = face.turn_weight
    if not weight.any():
        return result
    state = result.state
    with torch.no_grad():
        orientations = state.posed(body).orientations.numpy(force=True).astype(np.float64)
    head, neck = orientations[:, _HEAD], orientations[:, _NECK]
    change = Rotation.from_matrix(face.turn @ head.swapaxes(1, 2)).as_rotvec()
    angle = np.linalg.norm(change, axis=1)
    weight = weight * (angle < _MAX_TURN)
    change = change * weight[:, None]
    new_neck = Rotation.from_rotvec(_NECK_SHARE * change).as_matrix() @ neck
    new_head = Rotation.from_rotvec(change).as_matrix() @ head
    before_neck = orientations[:, PARENTS[_NECK]]
    pose = state.pose.clone()
    for joint, parent, turned in ((_NECK, before_neck, new_neck), (_HEAD, new_neck, new_head)):
        local = torch.from_numpy(parent.swapaxes(1, 2) @ turned)
        pose[:, joint - 1] = local.to(pose)
    return replace(result, state=replace(state, pose=pose))
