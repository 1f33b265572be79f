"""Points of the body model under the names that data kits use."""

import numpy as np
import torch
from jaxtyping import Float

from ..body.model import BodyModel
from ..body.rotations import quaternion_to_matrix
from ..body.skeleton import JOINT_INDEX, KEYPOINT_NAMES
from ..reconstruction import Reconstruction

# Human3.6M's names in the vocabulary of joint_names.py.
_H36M_SYNONYMS = {"thorax": "neck", "head": "head_top", "nose": "face"}
# Means of joints: kits put the spine half-way up the trunk, and the neck (Human3.6M's thorax)
# half-way between the middle of the shoulders and the body model's neck joint.
_MEAN_OF_JOINTS = {
    "head_joint": ("Head01",),
    "neck": ("Neck01", "Neck01", "UpperarmL", "UpperarmR"),
    "spine": ("Spine03",),
}


def body_joints(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return those of a kit's joints that the body model defines."""
    return tuple(_tables(names))


def body_points(
    reconstruction: Reconstruction,
    body: BodyModel,
    names: tuple[str, ...],
    *,
    in_image: bool = False,
) -> dict[str, Float[np.ndarray, "people frames 3"]]:
    """Return points of the posed bodies in the camera frame, metres, by name.

    In 3D, limbs are Human3.6M's joint centres, as 3D kits give them. In images they are the
    detector's keypoints, which is where people label them: shoulders, hips and ankles lie up to
    4 cm from the joint centres.

    Args:
        reconstruction: the people.
        body: body model with keypoint tables.
        names: of the kit's joints; those that the body model does not define are left out.
        in_image: whether the points are compared in the image.
    """
    rotations = quaternion_to_matrix(torch.from_numpy(reconstruction.rotations))
    people, frames = rotations.shape[:2]
    betas = torch.from_numpy(reconstruction.betas)[:, None].expand(people, frames, -1)
    expression, arkit = reconstruction.driven_face
    posed = body(
        rotations[:, :, 1:],
        betas,
        global_orient=rotations[:, :, 0],
        root_translation=torch.from_numpy(reconstruction.root_translation),
        expression=torch.from_numpy(expression),
        arkit=torch.from_numpy(arkit),
    )
    tables = {table: body.keypoints(posed, table).numpy() for table in KEYPOINT_NAMES}
    tables["joints"] = posed.joints.numpy()
    return {
        name: tables[table][:, :, indices].mean(axis=2).astype(np.float64)
        for name, (table, indices) in _tables(names, in_image=in_image).items()
    }


def _tables(names: tuple[str, ...], *, in_image: bool = False) -> dict[str, tuple[str, list[int]]]:
    """Return table and indices of each name that the body model defines, in the kit's order."""
    tables = ("blazepose", "coco", "h36m")
    found = {}
    for table in reversed(tables) if in_image else tables:  # later ones take precedence
        for index, name in enumerate(KEYPOINT_NAMES[table]):
            known_as = _H36M_SYNONYMS.get(name, name) if table == "h36m" else name
            found[known_as] = (table, [index])
    for name, joints in _MEAN_OF_JOINTS.items():
        found[name] = ("joints", [JOINT_INDEX[joint] for joint in joints])
    return {name: found[name] for name in names if name in found}
