"""Body points: the points of our body that data kits have names for."""

import numpy as np
import torch
from jaxtyping import Float

from ..body.model import BodyModel
from ..body.rotations import quaternion_to_matrix
from ..body.skeleton import JOINT_INDEX, KEYPOINT_NAMES
from ..reconstruction import Reconstruction

# Human3.6M's joints under the names of our vocabulary (joint_names.py).
_MEANING = {"thorax": "neck", "head": "head_top", "nose": "face"}
# Points between our joints: kits put the spine half-way up the trunk, and the neck (Human3.6M's
# thorax) where it leaves the shoulders: half-way from their middle to our joint in the neck.
_MEAN_OF_JOINTS = {
    "head_joint": ("Head01",),
    "neck": ("Neck01", "Neck01", "UpperarmL", "UpperarmR"),
    "spine": ("Spine03",),
}


def body_joints(names: tuple[str, ...]) -> tuple[str, ...]:
    """Which of a kit's joints our body defines."""
    return tuple(_where(names))


def body_points(
    reconstruction: Reconstruction,
    body: BodyModel,
    names: tuple[str, ...],
    *,
    pictured: bool = False,
) -> dict[str, Float[np.ndarray, "people frames 3"]]:
    """Points of the posed bodies in the camera frame, metres, for those of the names we define.

    In 3D, limbs are Human3.6M's joint centres, which is what 3D kits give. In pictures they are the
    points that the detector sees, as people label them there and as its own are scored: shoulders,
    hips and ankles lie up to 4 cm from the joint centres.

    Args:
        reconstruction: the people.
        body: with its keypoint tables.
        names: of the kit's joints.
        pictured: whether the points are to be compared in the picture.
    """
    rotations = quaternion_to_matrix(torch.from_numpy(reconstruction.rotations))
    people, frames = rotations.shape[:2]
    betas = torch.from_numpy(reconstruction.betas)[:, None].expand(people, frames, -1)
    posed = body(
        rotations[:, :, 1:],
        betas,
        global_orient=rotations[:, :, 0],
        root_translation=torch.from_numpy(reconstruction.root_translation),
        expression=torch.from_numpy(reconstruction.expression),
    )
    tables = {table: body.keypoints(posed, table).numpy() for table in KEYPOINT_NAMES}
    tables["joints"] = posed.joints.numpy()
    return {
        name: tables[table][:, :, indices].mean(axis=2).astype(np.float64)
        for name, (table, indices) in _where(names, pictured=pictured).items()
    }


def _where(names: tuple[str, ...], *, pictured: bool = False) -> dict[str, tuple[str, list[int]]]:
    """Table and indices of each of the names that our body defines, in the kit's order."""
    tables = ("blazepose", "coco", "h36m")
    found = {}
    for table in reversed(tables) if pictured else tables:  # later ones take precedence
        for index, name in enumerate(KEYPOINT_NAMES[table]):
            meaning = _MEANING.get(name, name) if table == "h36m" else name
            found[meaning] = (table, [index])
    for name, joints in _MEAN_OF_JOINTS.items():
        found[name] = ("joints", [JOINT_INDEX[joint] for joint in joints])
    return {name: found[name] for name in names if name in found}
