"""Skeleton tables: names, parents and mirror images of joints, body parts and keypoints.

The joints are GHUM's, in its order (Xu et al., "GHUM & GHUML", CVPR 2020). L and left mean the
person's own left. A mirror table holds, for each entry, the index of its mirror image.
"""

from itertools import pairwise

_FINGERS = ("Index", "Middle", "Ring", "Pinky", "Thumb")


def _arm(side: str) -> list[tuple[str, str]]:
    """Return the joints of an arm with their parents."""
    chain = [
        "Spine03",
        *(f"{name}{side}" for name in ("Clavicle", "Upperarm", "Lowerarm", "Hand")),
    ]
    joints = [(joint, parent) for parent, joint in pairwise(chain)]
    for finger in _FINGERS:
        chain = [f"Hand{side}", *(f"{finger}0{phalanx}{side}" for phalanx in (1, 2, 3))]
        joints += [(joint, parent) for parent, joint in pairwise(chain)]
    return joints


def _leg(side: str) -> list[tuple[str, str]]:
    """Return the joints of a leg with their parents."""
    names = ("Thigh", "Calf", "Ankle", "Foot", "Ball", "Toes01")
    chain = ["Pelvis", *(f"{name}{side}" for name in names)]
    return [(joint, parent) for parent, joint in pairwise(chain)]


_JOINTS = [
    ("Pelvis", ""),
    ("Spine01", "Pelvis"),
    ("Spine02", "Spine01"),
    ("Spine03", "Spine02"),
    ("Neck01", "Spine03"),
    ("Head01", "Neck01"),
    ("Jaw01", "Head01"),
    ("Eye01L", "Head01"),
    ("Eyelidup01L", "Head01"),
    ("Eye01R", "Head01"),
    ("Eyelidup01R", "Head01"),
    ("Eyeliddown01L", "Head01"),
    ("Eyeliddown01R", "Head01"),
    *_arm("L"),
    *_arm("R"),
    *_leg("L"),
    *_leg("R"),
]

JOINT_NAMES = tuple(name for name, _ in _JOINTS)
JOINT_INDEX = {name: index for index, name in enumerate(JOINT_NAMES)}
PARENTS = tuple(JOINT_INDEX.get(parent, -1) for _, parent in _JOINTS)  # parents precede children

_LIMBS = ("upper_arm", "forearm", "hand", "thigh", "calf", "foot")
PART_NAMES = (
    "background",
    "head",
    "torso",
    *(f"{side}_{limb}" for limb in _LIMBS for side in ("left", "right")),
)
FINE_PART_NAMES = (
    "background",
    "head",
    "neck",
    "upper_torso",
    "lower_torso",
    "pelvis",
    *(f"{side}_{limb}" for limb in ("shoulder", *_LIMBS, "toes") for side in ("left", "right")),
)
_PART_OF_FINE = {
    "neck": "head",
    "upper_torso": "torso",
    "lower_torso": "torso",
    "pelvis": "torso",
    "left_shoulder": "torso",
    "right_shoulder": "torso",
    "left_toes": "left_foot",
    "right_toes": "right_foot",
}
# Index of the part that contains each fine part.
PART_OF_FINE_PART = tuple(PART_NAMES.index(_PART_OF_FINE.get(n, n)) for n in FINE_PART_NAMES)

# BlazePose's 33 keypoints (Bazarevsky et al., "BlazePose: On-device Real-time Body Pose Tracking",
# 2020), in the order of its landmark network.
BLAZEPOSE_NAMES = (
    "nose",
    *(f"{side}_eye{where}" for side in ("left", "right") for where in ("_inner", "", "_outer")),
    "left_ear",
    "right_ear",
    "mouth_left",
    "mouth_right",
    *(
        f"{side}_{name}"
        for name in ("shoulder", "elbow", "wrist", "pinky", "index", "thumb", "hip", "knee")
        for side in ("left", "right")
    ),
    *(f"{side}_{name}" for name in ("ankle", "heel", "foot_index") for side in ("left", "right")),
)
# The 17 person keypoints of COCO, in its order.
COCO_NAMES = (
    "nose",
    *(
        f"{side}_{name}"
        for name in ("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle")
        for side in ("left", "right")
    ),
)
# The 17 joints scored on Human3.6M, in the customary order.
H36M_NAMES = (
    "pelvis",
    *(f"{side}_{name}" for side in ("right", "left") for name in ("hip", "knee", "ankle")),
    "spine",
    "thorax",
    "nose",
    "head",
    *(f"{side}_{name}" for side in ("left", "right") for name in ("shoulder", "elbow", "wrist")),
)
KEYPOINT_NAMES = {"blazepose": BLAZEPOSE_NAMES, "coco": COCO_NAMES, "h36m": H36M_NAMES}


_OTHER_SIDE = {"left": "right", "right": "left", "L": "R", "R": "L"}


def _mirror(names: tuple[str, ...]) -> tuple[int, ...]:
    """Return the index of each name's mirror image: left and right, or a final L and R, exchanged."""
    indices = []
    for name in names:
        end = _OTHER_SIDE.get(name[-1], name[-1])
        words = [_OTHER_SIDE.get(word, word) for word in (name[:-1] + end).split("_")]
        indices.append(names.index("_".join(words)))
    return tuple(indices)


MIRROR = _mirror(JOINT_NAMES)
PART_MIRROR = _mirror(PART_NAMES)
FINE_PART_MIRROR = _mirror(FINE_PART_NAMES)
KEYPOINT_MIRROR = {table: _mirror(names) for table, names in KEYPOINT_NAMES.items()}

FACE_JOINTS = tuple(i for i, n in enumerate(JOINT_NAMES) if n.startswith(("Jaw", "Eye")))
LEFT_HAND_JOINTS = tuple(
    i for i, n in enumerate(JOINT_NAMES) if n.startswith(_FINGERS) and n.endswith("L")
)
RIGHT_HAND_JOINTS = tuple(MIRROR[joint] for joint in LEFT_HAND_JOINTS)
BODY_JOINTS = tuple(
    joint
    for joint in range(len(JOINT_NAMES))
    if joint not in {*FACE_JOINTS, *LEFT_HAND_JOINTS, *RIGHT_HAND_JOINTS}
)
