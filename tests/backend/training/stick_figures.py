"""Small synthetic motion packs of a stick figure."""

import numpy as np

from hund_backend.training.motion.packs import CORRESPONDENCES, Pack

NAMES = CORRESPONDENCES["deepmimic"]
# Parent and place at rest of each joint, x to the left, y up, z to the front.
LIMBS = {
    "hip": ("root", 0.08, 0.0),
    "knee": ("hip", 0.08, -0.42),
    "ankle": ("knee", 0.08, -0.83),
    "shoulder": ("chest", 0.18, 0.48),
    "elbow": ("shoulder", 0.18, 0.20),
    "wrist": ("elbow", 0.18, -0.05),
}


def skeleton():
    """Names, parents and offsets of the figure."""
    places = {"root": (0, 0, 0), "chest": (0, 0.24, 0), "neck": (0, 0.46, 0)}
    above = {"chest": "root", "neck": "chest"}
    for side, sign in (("right", -1), ("left", 1)):
        for limb, (parent, x, y) in LIMBS.items():
            places[f"{side}_{limb}"] = (sign * x, y, 0)
            above[f"{side}_{limb}"] = parent if parent in places else f"{side}_{parent}"
    names = tuple(places)
    parents = tuple(names.index(above[name]) if name in above else -1 for name in names)
    points = np.array(list(places.values()), dtype=float)
    offsets = points - points[[max(parent, 0) for parent in parents]]
    return names, parents, offsets


def smooth(frames, channels, generator):
    """Slow waves around 0, of about unit size."""
    times = np.arange(frames)[:, None, None] / 30
    speeds, phases = generator.uniform(1, 5, (2, 4, channels))
    return np.sin(times * speeds + 6 * phases).mean(1) * 1.4


def figure_motion(frames, seed):
    """Rotation vectors of a person who moves arms, legs and trunk."""
    generator = np.random.default_rng(seed)
    names, _, _ = skeleton()
    rotvecs = np.zeros((frames, len(names), 3))
    moving = ("root", "chest", "neck", *(f"{s}_{j}" for s in ("left", "right") for j in LIMBS))
    for joint, name in enumerate(names):
        wave = smooth(frames, 3, generator)
        if name.endswith("knee"):
            rotvecs[:, joint, 0] = 0.9 + 0.5 * wave[:, 0]
        elif name.endswith("elbow"):
            rotvecs[:, joint, 0] = -0.9 + 0.5 * wave[:, 0]
        elif name in moving and not name.endswith(("wrist", "ankle")):
            rotvecs[:, joint] = 0.25 * wave
    return rotvecs


def pack(rotvecs, name="deepmimic", turn=None, scale=1.0):
    """A pack of clips; `turn` is the rotation from our axes to those of the pack."""
    names, parents, offsets = skeleton()
    turn = np.eye(3) if turn is None else turn
    target = CORRESPONDENCES[name]
    renamed = {NAMES.pelvis: target.pelvis, NAMES.chest: target.chest, NAMES.head: target.head}
    for side in "LR":
        for joint in ("thigh", "calf", "foot", "upperarm", "lowerarm", "hand"):
            renamed[NAMES.side_joint(side, joint)] = target.side_joint(side, joint)
    starts = np.cumsum([0, *map(len, rotvecs)])
    return Pack(
        name=name,
        joint_names=tuple(renamed[joint] for joint in names),
        parents=parents,
        offsets=scale * offsets[None] @ turn.T,
        clip_names=tuple(f"clip{clip}.txt" for clip in range(len(rotvecs))),
        clip_starts=starts,
        clip_skeletons=np.zeros(len(rotvecs), np.int64),
        rotvecs=np.concatenate(rotvecs) @ turn.T,
        root_positions=np.tile([0, 0.85 * scale, 0] @ turn.T, (starts[-1], 1)),
        fps=30.0,
    )


def write(folder, made):
    """Write a pack in the format of the packs' files."""
    np.savez(
        folder / f"{made.name}_30fps.npz",
        names=np.array(made.joint_names),
        parents=np.array(made.parents),
        offsets=made.offsets.astype(np.float32),
        clip_names=np.array(made.clip_names),
        clip_start=made.clip_starts,
        clip_skel=made.clip_skeletons,
        rotvec=made.rotvecs.astype(np.float16),
        root_pos=made.root_positions.astype(np.float32),
        fps=made.fps,
    )
