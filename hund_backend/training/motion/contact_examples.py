"""Contact examples: estimated motion of contact points, with the captured motion's true contacts.

`python -m hund_backend.training.motion.contact_examples MOCAP_FOLDER FILE` films all clips of the
motion set, simulates detections, and estimates the motion by the learned descent, from whose result
the job estimates contacts.
"""

import argparse
import logging
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int
from safetensors.numpy import load_file, save

from ...atomic_write import write_file
from ...body.model import BodyModel
from ...descent.learned.hund import Hund
from ...descent.learned.track import descend
from ...motion.contact_features import FEATURE_FPS, PointMotion, contact_features
from ...motion.contacts import rest_confidence
from ...motion.ground import estimate_ground
from ...motion.posed_track import pose_track
from ...motion.upright import up_evidence
from ...prior.dynamics import Dynamics
from ...prior.pose_flow import PoseFlow
from .contact_labels import Labels, contact_labels, contact_motion
from .filmed_motion import filmed, leg_ratio, random_camera
from .motion_set import FLOOR_PACKS, PACKS, MotionSet, Split, motion_set
from .simulated_detector import DetectorNoise, simulated_evidence

logger = logging.getLogger(__name__)

LENGTH = 120  # most frames of an example
SHORTEST = 24
# Clips of people who fly or swim: nothing says what bears them.
NOTHING_BEARS = ("Flying Forward", "Flying Forward Super", "Levitate Entrance", "Levitate Idle")
NOTHING_BEARS += ("Swim_Fwd_Loop", "Swim_Idle_Loop")
# Clips of people who crawl, get up, roll, turn cartwheels, sit down and sit.
ON_FLOOR = tuple(
    f"deepmimic/humanoid3d_{name}" for name in ("crawl", "getup", "cartwheel", "roll")
)
ON_FLOOR += ("isaacgym_cmu/amp_humanoid_cartwheel",)
ON_FLOOR += tuple(f"cmu_subset/{take}" for take in ("13_01", "14_27", "14_28", "14_29", "14_3"))
SPLITS: tuple[Split, ...] = ("train", "validation", "held_out")


@dataclass(frozen=True, kw_only=True)
class ContactExamples:
    """Examples one after the other."""

    features: Float32[np.ndarray, "frames features"]
    contacts: Bool[np.ndarray, "frames 12"]
    known: Bool[np.ndarray, " frames"]  # where the contacts can be trusted
    subjects: Int[np.ndarray, " examples"]  # performers by number
    starts: Int[np.ndarray, " boundaries"]  # first frame of each, and the number of frames
    splits: Int[np.ndarray, " examples"]  # index into SPLITS

    def save(self, path: Path) -> None:
        """Write a safetensors file."""
        write_file(path, save({field.name: getattr(self, field.name) for field in fields(self)}))

    @classmethod
    def load(cls, path: Path) -> "ContactExamples":
        """Read what `save` wrote."""
        return cls(**load_file(path))


class _Estimator:
    """Models, loaded once."""

    def __init__(self) -> None:
        self.body, self.prior = BodyModel.load("keypoints"), PoseFlow.load()
        self.hund = Hund.load(self.body, self.prior)
        self.dynamics = Dynamics.load(self.prior)

    def example(
        self, motions: MotionSet, frames: slice, rng: np.random.Generator
    ) -> tuple[Float32[np.ndarray, "frames features"], Labels]:
        """Features of the estimated motion, and true contacts, of some frames of a clip."""
        betas = torch.from_numpy(0.7 * rng.normal(size=16)).float()
        rotations = motions.rotations[frames]
        translation = motions.translation[frames] * leg_ratio(self.body, betas)
        motion = contact_motion(self.body, rotations, translation, betas)
        labels = contact_labels(motion, motions.fps)
        camera = random_camera(translation.numpy(), rng)
        state = filmed(rotations, translation, betas, camera)
        keypoints = self.body.keypoints(state.posed(self.body), "blazepose").double().numpy()
        noise = DetectorNoise().scaled(np.exp(rng.uniform(np.log(0.5), np.log(2.0))))
        fps = motions.fps
        evidence = simulated_evidence(keypoints, camera.intrinsics, fps, rng, noise)
        result = descend(evidence, fps, self.hund, self.body, self.prior, dynamics=self.dynamics)
        track = pose_track(evidence, result, self.body, len(keypoints))
        times = np.arange(len(keypoints)) / fps
        rest = rest_confidence(track.feet, times)
        ground = estimate_ground([track.feet], [rest], [up_evidence(track, rest, fps)], fps)
        return contact_features(PointMotion.of_track(track), ground.up), labels


def contact_examples(
    motions: MotionSet, seed: int = 0, every: int = 1, first: int = 0
) -> ContactExamples:
    """Estimate all clips of the motion set once, or one piece of them in `every`.

    Of people who bear on more than their soles all pieces are taken: there are few.

    Args:
        motions: at the features' rate.
        seed: of bodies, cameras and detections.
        every: of how many pieces one is taken.
        first: number of the first piece that is taken.
    """
    assert motions.fps == FEATURE_FPS
    estimator, rng = _Estimator(), np.random.default_rng(seed)
    names = sorted({_subject(name) for name in motions.names})
    features, labels, splits, subjects = [], [], [], []
    pieces = list(_pieces(motions))
    floor = [piece for piece in pieces if _is_on_floor(motions.names[piece[0]])]
    others = [piece for piece in pieces if not _is_on_floor(motions.names[piece[0]])]
    with torch.no_grad():
        for number, (clip, frames) in enumerate((*floor, *others[first::every])):
            example = estimator.example(motions, frames, rng)
            features.append(example[0])
            labels.append(example[1])
            splits.append(SPLITS.index(motions.splits[clip]))
            subjects.append(names.index(_subject(motions.names[clip])))
            if number % 20 == 0:
                logger.info("example %d", number)
    lengths = [0, *(len(each) for each in features)]
    return ContactExamples(
        features=np.concatenate(features),
        contacts=np.concatenate([each.contacts for each in labels]),
        known=np.concatenate([each.known for each in labels]),
        subjects=np.array(subjects),
        starts=np.cumsum(lengths),
        splits=np.array(splits),
    )


def _pieces(motions: MotionSet) -> Iterator[tuple[int, slice]]:
    """Yield pieces of clips without artifacts, with their clip."""
    for clip, name in enumerate(motions.names):
        start, stop = int(motions.starts[clip]), int(motions.starts[clip + 1])
        if name.endswith(NOTHING_BEARS):
            continue
        for first in range(start, stop - SHORTEST + 1, LENGTH):
            frames = slice(first, min(first + LENGTH, stop))
            # Crossed legs are beyond limits; what is keyed by hand has no other artifacts.
            usable = motions.usable[frames].all() or name.startswith(FLOOR_PACKS)
            if frames.stop - first >= SHORTEST and usable:
                yield clip, frames


def _is_on_floor(name: str) -> bool:
    """Return whether people of a clip may bear on more than their soles."""
    return name.startswith((*FLOOR_PACKS[1:], *ON_FLOOR))


def _subject(name: str) -> str:
    """Performer of a clip: a pack, and in CMU's the number."""
    pack, _, clip = name.partition("/")
    return f"{pack}/{clip[:2]}" if clip[:2].isdigit() else f"{pack}/{clip.rsplit('_', 1)[0]}"


def main() -> None:
    """Write the examples of a folder of packs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mocap", type=Path, help="folder of <pack>_30fps.npz")
    parser.add_argument("file", type=Path, help="where the examples go")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--every", type=int, default=1, help="only one piece of motion in so many")
    parser.add_argument("--first", type=int, default=0, help="number of the first piece")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(1)
    motions = motion_set(arguments.mocap, packs=PACKS + FLOOR_PACKS)
    examples = contact_examples(motions, arguments.seed, arguments.every, arguments.first)
    examples.save(arguments.file)


if __name__ == "__main__":
    main()
