"""Contact examples: estimated motion of the feet, with the true contacts of the captured motion.

`python -m hund_backend.training.motion.contact_examples MOCAP_FOLDER FILE` films all clips of the
motion set, simulates detections, and estimates the motion by the learned descent, from whose result
the job estimates contacts.
"""

import argparse
import logging
from collections.abc import Iterator
from dataclasses import dataclass, fields
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int
from safetensors.numpy import load_file, save

from ...atomic_write import write_file
from ...body.model import BodyModel
from ...descent.learned.hund import Hund
from ...descent.learned.track import descend
from ...motion.contact_features import FEATURE_FPS, FootMotion, contact_features
from ...motion.contacts import rest_confidence
from ...motion.ground import estimate_ground
from ...motion.posed_track import pose_track
from ...motion.resting import lies
from ...motion.upright import CAMERA_UP, up_evidence
from ...prior.dynamics import Dynamics
from ...prior.pose_flow import PoseFlow
from .filmed_motion import filmed, leg_ratio, random_camera
from .motion_set import MotionSet, Split, motion_set
from .simulated_detector import DetectorNoise, simulated_evidence
from .sole_labels import sole_labels, sole_points

logger = logging.getLogger(__name__)

LENGTH = 120  # most frames of an example
SHORTEST = 24
SPLITS: tuple[Split, ...] = ("train", "validation", "held_out")


@dataclass(frozen=True, kw_only=True)
class ContactExamples:
    """Examples one after the other."""

    features: Float32[np.ndarray, "frames features"]
    contacts: Bool[np.ndarray, "frames 6"]
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
    ) -> tuple[Float32[np.ndarray, "frames features"], Bool[np.ndarray, "frames 6"]]:
        """Features of the estimated motion, and true contacts, of some frames of a clip."""
        betas = torch.from_numpy(0.7 * rng.normal(size=16)).float()
        rotations = motions.rotations[frames]
        translation = motions.translation[frames] * leg_ratio(self.body, betas)
        soles = sole_points(self.body, rotations, translation, betas).double().numpy()
        contacts = sole_labels(soles, motions.fps)
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
        upright = up_evidence(track, rest, lies(track, CAMERA_UP, fps), fps)
        ground = estimate_ground([track.feet], [rest], [upright], fps)
        return contact_features(FootMotion.of_track(track), ground.up), contacts


def contact_examples(motions: MotionSet, seed: int = 0, every: int = 1) -> ContactExamples:
    """Estimate all clips of the motion set once, or one piece of them in `every`."""
    assert motions.fps == FEATURE_FPS
    estimator, rng = _Estimator(), np.random.default_rng(seed)
    features, contacts, splits = [], [], []
    with torch.no_grad():
        for number, (split, frames) in enumerate(islice(_pieces(motions), 0, None, every)):
            example = estimator.example(motions, frames, rng)
            features.append(example[0])
            contacts.append(example[1])
            splits.append(SPLITS.index(split))
            if number % 20 == 0:
                logger.info("example %d", number)
    lengths = [0, *(len(each) for each in features)]
    return ContactExamples(
        features=np.concatenate(features),
        contacts=np.concatenate(contacts),
        starts=np.cumsum(lengths),
        splits=np.array(splits),
    )


def _pieces(motions: MotionSet) -> Iterator[tuple[Split, slice]]:
    """Yield pieces of clips without artifacts, with their split."""
    for clip, split in enumerate(motions.splits):
        start, stop = int(motions.starts[clip]), int(motions.starts[clip + 1])
        for first in range(start, stop - SHORTEST + 1, LENGTH):
            frames = slice(first, min(first + LENGTH, stop))
            usable = motions.usable[frames]
            if frames.stop - first >= SHORTEST and bool(usable.all()):
                yield split, frames


def main() -> None:
    """Write the examples of a folder of packs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mocap", type=Path, help="folder of <pack>_30fps.npz")
    parser.add_argument("file", type=Path, help="where the examples go")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--every", type=int, default=1, help="only one piece of motion in so many")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    examples = contact_examples(motion_set(arguments.mocap), arguments.seed, arguments.every)
    examples.save(arguments.file)


if __name__ == "__main__":
    main()
