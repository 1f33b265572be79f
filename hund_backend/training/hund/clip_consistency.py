"""Consistency of a clip: the cost of a person's states over consecutive frames, without truth.

A person has one build, and moves with the accelerations of captured motion. What each frame adds is
its evidence: reprojection, body parts where the part map is reliable, and the pose prior. Left
and right of the body mirror each other for any betas, so their symmetry needs no term.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ...descent.learned.hund import TERMS
from ...descent.learned.inputs import NetworkInputs, concatenate
from ...descent.learned.network import Step
from ...errors import BadInputError
from ...perception.evidence import Evidence
from .samples import drop_maps

CLIP_FPS = 15.0  # at which clips are looked at


@dataclass(frozen=True, kw_only=True)
class ConsistencyConfig:
    """How frames are drawn, and the weights of their cost."""

    people: int = 4  # of a batch
    windows: int = 3  # of consecutive frames, of each person
    frames: int = 8  # of a window
    evidence: float = 0.1  # of the losses L(s) that count
    landmarks: float = 0.0  # share of the detector's own 3D, which errs alike in all frames
    least_parts: float = 0.5  # share of limbs that a part map must show to count
    betas: float = 3.0  # variance of the build over a person's frames
    acceleration: float = 0.1
    joint_acceleration: float = 5.0
    """m/s², of joints about the pelvis: root mean square of captured motion at CLIP_FPS."""


class ClipTrack(NamedTuple):
    """Frames of a shot in which a person was observed."""

    inputs: NetworkInputs  # of all of them, in order
    frame: Int[Tensor, " frames"]  # number of each in the clip
    fps: float

    @classmethod
    def of_shots(cls, evidence: Evidence, bones: float, fps: float) -> list["ClipTrack"]:
        """Tracks of the shots of a person.

        Args:
            evidence: of the person.
            bones: total bone length of the mean body, metres.
            fps: frames a second.
        """
        inputs, tracks = NetworkInputs.from_evidence(evidence, bones), []
        for shot in evidence.shot_rows():
            rows = torch.from_numpy(shot[evidence.observed[shot]])
            frame = torch.from_numpy(evidence.frames)[rows]
            tracks.append(cls(inputs.select(rows), frame, fps))
        return tracks


class WindowBatch(NamedTuple):
    """Windows of consecutive frames: people, their windows, and frames, in this order."""

    inputs: NetworkInputs
    fps: Float[Tensor, " people"]

    def select(self, people: Int[Tensor, " chosen"]) -> "WindowBatch":
        """Some of the people."""
        rows = torch.arange(len(self.inputs)).unflatten(0, (len(self.fps), -1))[people].flatten()
        return WindowBatch(self.inputs.select(rows), self.fps[people])

    def to(self, device: torch.device) -> "WindowBatch":
        """The same on another device."""
        return WindowBatch(self.inputs.to(device), self.fps.to(device))


class ClipWindows:
    """Windows of consecutive frames of people in clips."""

    def __init__(self, tracks: list[ClipTrack], config: ConsistencyConfig | None = None) -> None:
        """Find the windows of tracks; those that are too short are left out.

        Raises:
            BadInputError: all are too short.
        """
        self.config = config or ConsistencyConfig()
        length = self.config.frames
        self._people: list[tuple[NetworkInputs, Int[Tensor, " windows"], float]] = []
        for track in tracks:
            last = track.frame[length - 1 :]
            starts = (last - track.frame[: len(last)] == length - 1).nonzero()[:, 0]
            if len(starts):
                self._people.append((track.inputs, starts, track.fps))
        if not self._people:
            raise BadInputError(
                "Nobody is in view for long enough in the training clips: name longer clips."
            )

    def draw(self, generator: torch.Generator) -> WindowBatch:
        """Draw people, and windows of each; some frames lack part maps or features."""
        config, batches, fps = self.config, [], []
        chosen = torch.randint(len(self._people), (config.people,), generator=generator)
        for person in chosen.tolist():
            inputs, starts, rate = self._people[person]
            drawn = torch.randint(len(starts), (config.windows,), generator=generator)
            rows = starts[drawn, None] + torch.arange(config.frames)
            batches.append(inputs.select(rows.flatten()))
            fps.append(rate)
        return WindowBatch(drop_maps(concatenate(batches), generator), torch.tensor(fps))


def consistency_cost(
    step: Step, batch: WindowBatch, config: ConsistencyConfig
) -> Float[Tensor, " people"]:
    """Cost of the states of some windows.

    Args:
        step: the states.
        batch: the windows.
        config: weights.
    """
    people = len(batch.fps)
    single = config.evidence * _evidence(step.losses.terms, config)
    betas = step.vector.betas.unflatten(0, (people, -1))
    variance = (betas - betas.mean(1, keepdim=True)).square().mean((1, 2))
    moving = _acceleration_cost(step, batch, config)
    single = single.unflatten(0, (people, -1)).mean(1)
    return single + config.betas * variance + config.acceleration * moving


def _evidence(
    terms: Float[Tensor, "batch terms"], config: ConsistencyConfig
) -> Float[Tensor, " batch"]:
    """Losses that count: part maps that miss most limbs, and most of the landmarks', do not."""
    values = dict(zip(TERMS, terms.unbind(-1), strict=True))
    reliable = values["parts"].detach() < 1 - config.least_parts
    values["parts"] = values["parts"] * reliable
    values["landmarks"] = config.landmarks * values["landmarks"]
    return torch.stack(tuple(values.values())).sum(0)


def _acceleration_cost(
    step: Step, batch: WindowBatch, config: ConsistencyConfig
) -> Float[Tensor, " people"]:
    """Accelerations of the joints: squares of small ones, the length of large ones.

    About the pelvis, whose depth jitters by more than it moves and is solved for afterwards.
    """
    joints = (
        step.posed.joints[:, 1:] - step.posed.joints[:, :1]
    ) @ batch.inputs.camera_from_crop.mT
    moving = joints.unflatten(0, (len(batch.fps), -1, config.frames)).diff(n=2, dim=2)
    relative = moving * (batch.fps**2 / config.joint_acceleration)[:, None, None, None, None]
    return ((1 + relative.square().sum(-1)).sqrt() - 1).mean((1, 2, 3))
