"""Loop: a part of a motion that repeats without a visible seam, in place or traveling on."""

from dataclasses import dataclass, replace

import bpy
import numpy as np

from ..retarget import sampling, steps
from ..retarget import skeleton as skeletons
from ..retarget.mapping import RigMapping
from ..retarget.rotations import about
from ..retarget.steps import Pace
from . import armatures, bodies, bone_curves, cycles, trimming, whole_body
from .bone_curves import Track
from .cycles import Cycle
from .errors import KeysError

_LEAST = 8  # frames


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a motion is looped."""

    first: int  # frame of the scene
    last: int  # that shows the first pose again
    blend: int = 8  # frames before the end that are changed
    in_place: bool = False  # the body does not travel over the floor


def find(
    armature: bpy.types.Object,
    *,
    fps: float,
    shortest: float,
    longest: float,
    mapping: RigMapping | None = None,
) -> Cycle:
    """Find the best cycle of an armature's motion, in frames of the scene.

    Args:
        armature: with an action.
        fps: frames per second.
        shortest: seconds of a cycle.
        longest: seconds of a cycle.
        mapping: of its bones, for the facing direction.

    Raises:
        KeysError: the motion is too short.
    """
    frames = armatures.frames_of(armature, _LEAST)
    skeleton = skeletons.read(armature)
    where = _facing(armature, skeleton, mapping, frames)
    names = [bone.name for bone in armature.data.bones if bone.use_deform]
    names = names or list(skeleton.names)
    sampled = sampling.world_transforms(armature, names, frames, Pace(np.inf))
    transforms = steps.finish(sampled, lambda share: None)
    by_name = {name: transforms[:, index] for index, name in enumerate(names)}
    joints = bodies.joints_of(skeleton, by_name, names)
    side, middle = whole_body.hips_in_world(armature, skeleton, where, frames)
    values = cycles.features(joints, middle, side, fps)
    found = cycles.find(values, max(2, round(shortest * fps)), round(longest * fps))
    if found is None:
        raise KeysError(
            f"The motion of {armature.name} is shorter than a cycle: choose a shorter one."
        )
    first = int(frames[0])
    return Cycle(found.first + first, found.last + first, found.difference)


def loop(
    armature: bpy.types.Object, options: Options, *, mapping: RigMapping | None = None
) -> int:
    """Make a part of an armature's motion a loop, and return its frames.

    Keys outside of it are removed. The heading at the end becomes that at the beginning.

    Args:
        armature: with an action.
        options: the part, and how.
        mapping: of its bones, for the facing direction.

    Raises:
        KeysError: the part is too short or outside of the motion.
    """
    frames = armatures.frames_of(armature, _LEAST)
    first, last = options.first - int(frames[0]), options.last - int(frames[0])
    if first < 0 or last >= len(frames) or last - first < _LEAST - 1:
        raise KeysError(
            f"A loop needs at least {_LEAST} frames inside of the motion, which has the frames "
            f"{frames[0]:.0f} to {frames[-1]:.0f}."
        )
    skeleton = skeletons.read(armature)
    tracks = bone_curves.read(armature, frames)
    if not tracks:
        raise KeysError(f"No curve of {armature.name} has keys that can be looped.")
    keyed = sorted({track.bone for track in tracks})
    found = whole_body.carriers(armature, skeleton, keyed, frames)
    where = _facing(armature, skeleton, mapping, frames)
    side, middle = whole_body.hips_in_world(armature, skeleton, where, frames)
    # One frame before the part, if there is one, for the velocity in which it begins.
    span = slice(max(first - 1, 0), last + 1)
    lead = first - span.start
    motion, travel = _path(side[span], middle[span], lead, in_place=options.in_place)
    inside = np.linalg.inv(skeleton.world)
    motion = inside @ motion @ skeleton.world
    changed = [(track, track.samples[span]) for track in tracks]
    changed = _carried(armature, found, changed, motion)
    step = inside[:3, :3] @ travel
    carriers = {carrier.bone: carrier for carrier in found}
    written = []
    for track, samples in changed:
        shift = np.zeros(samples.shape[1])
        if track.prop == "location" and track.bone in carriers:
            axes = carriers[track.bone].space.location[0, :3, :3]
            shift = np.linalg.solve(axes, step)
        written.append((track, _closed(track, samples, lead, options.blend, shift)))
    trimming.trim(armature, options.first, options.last, start=None)
    for track, samples in written:
        keys = track.key_frames - first
        keys = np.union1d(keys[(keys > 0) & (keys < last - first)], [0, last - first])
        if not track.is_dense:
            keys = np.union1d(keys, np.arange(last - first - options.blend, last - first + 1, 2))
            keys = keys[keys >= 0]
        corners = track.corners - first
        track = replace(track, samples=samples, key_frames=keys, corners=corners)
        bone_curves.write_samples(armature, track, frames[first : last + 1], samples)
    motion_action = armature.animation_data.action
    motion_action.use_frame_range = motion_action.use_cyclic = True
    motion_action.frame_start, motion_action.frame_end = options.first, options.last
    return last - first


def _facing(
    armature: bpy.types.Object,
    skeleton: skeletons.Skeleton,
    mapping: RigMapping | None,
    frames: np.ndarray,
) -> whole_body.Facing:
    keyed = sorted(bone_curves.bones_with_keys(armature))
    return whole_body.facing(
        skeleton, mapping, whole_body.carriers(armature, skeleton, keyed, frames)
    )


def _path(
    side: np.ndarray, middle: np.ndarray, lead: int, *, in_place: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return what makes a body's path straight, and how far it goes.

    Args:
        side: direction to the left, (frames, 3).
        middle: of the hips, (frames, 3).
        lead: index of the first frame.
        in_place: the path stays at its beginning, but for swaying.

    Returns:
        Rigid motions in the world, (frames, 4, 4), and the travel of the whole part, (3,).
    """
    headings = np.unwrap(np.arctan2(side[:, 1], side[:, 0]))
    count = len(side) - 1 - lead
    share = (np.arange(len(side)) - lead) / count
    angles = -share * (headings[-1] - headings[lead])
    turns = about(np.array([0.0, 0, 1]), angles)
    level = middle * [1, 1, 0]
    between = (turns[1:] + turns[:-1]) / 2
    path = np.concatenate(
        (np.zeros((1, 3)), (between @ np.diff(level, axis=0)[..., None])[..., 0])
    )
    path = np.cumsum(path, axis=0)
    path += level[lead] - path[lead]
    travel = path[-1] - path[lead]
    if in_place:
        path = path - share[:, None] * travel
        travel = np.zeros(3)
    motion = np.tile(np.eye(4), (len(side), 1, 1))
    motion[:, :3, :3] = turns
    motion[:, :3, 3] = path - (turns @ level[..., None])[..., 0]
    return motion, travel


def _carried(
    armature: bpy.types.Object,
    found: list[whole_body.Carrier],
    changed: list[tuple[Track, np.ndarray]],
    motion: np.ndarray,
) -> list[tuple[Track, np.ndarray]]:
    """Move the bones that carry the body by rigid motions, (frames, 4, 4) in armature space."""
    result = []
    carriers = {carrier.bone: carrier for carrier in found}
    for bone, carrier in carriers.items():
        own = {track.prop: (track, values) for track, values in changed if track.bone == bone}
        like = next(iter(own.values()))[0]
        for prop in ("location", bone_curves.rotation_property(armature.pose.bones[bone])):
            if prop not in own:
                track = bone_curves.without_keys(armature, bone, prop, like)
                own[prop] = (track, track.samples[: len(motion)])
        moved = whole_body.moved(
            armature,
            carrier,
            {prop: track for prop, (track, _) in own.items()},
            {prop: values for prop, (_, values) in own.items()},
            motion,
        )
        result += [(own[prop][0], values) for prop, values in moved.items()]
    return result + [item for item in changed if item[0].bone not in carriers]


def _closed(
    track: Track, samples: np.ndarray, lead: int, blend: int, shift: np.ndarray
) -> np.ndarray:
    """Return a track's samples with the last one equal to the first, but for a shift.

    Args:
        track: whose samples they are.
        samples: with `lead` more before the first, (frames, components).
        lead: 0 or 1.
        blend: frames that are changed.
        shift: from the first to the last sample, (components,).
    """
    sign = 1.0
    if track.prop == "rotation_quaternion" and samples[lead] @ samples[-1] < 0:
        sign = -1.0  # the same rotation
    if track.prop == "rotation_euler":
        shift = 2 * np.pi * np.rint((samples[-1] - samples[lead]) / (2 * np.pi))
    steady = (np.arange(len(samples)) - lead)[:, None] / (len(samples) - 1 - lead) * shift
    level = samples - steady
    slope = level[lead + 1] - level[lead]
    if lead:
        slope = (level[lead + 1] - level[0]) / 2
    closed = cycles.seam(level[lead:], blend, sign * level[lead], sign * slope)
    return bone_curves.normalized(track, closed + steady[lead:])
