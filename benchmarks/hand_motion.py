"""Made-up motions of a hand: curl of the fingers against the truth over time.

Run as `python -m benchmarks.hand_motion`. A fist opens and closes, a hand points, two hands clap and
one of them is hidden while they meet. The detections' errors last for some frames, as those of a
network do, and flicker besides. The plot is written to out/hand_motion.png.
"""

import argparse
import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from benchmarks import measuring
from hund_backend.body.hand import HandModel
from hund_backend.body.rotations import rotvec_to_matrix
from hund_backend.descent.hands.fusion import FusionConfig, held_fingers
from hund_backend.descent.hands.hund import HandHund
from hund_backend.descent.hands.state_decoder import PosedHand
from hund_backend.descent.hands.track import HandConfig, HandTrack, track_hands
from hund_backend.perception.evidence import Evidence
from hund_backend.perception.hands.evidence import HandEvidence
from hund_backend.prior.hand_anatomy import THUMB_BASE, TIP_SHARE, HandAnatomy
from hund_backend.training.hands.detector_errors import HandErrorConfig, simulated_output

FPS, SECONDS = 30.0, 4.0
DISTANCE = 1.5  # metres
FOCAL, CENTER = 1000.0, (640.0, 360.0)  # px
# Flexion in degrees of knuckles and middle joints, for index, middle, ring and little finger.
FIST, OPEN = ((75, 80, 80, 80), (95, 98, 98, 95)), ((0, 0, 0, 0), (4, 4, 4, 4))
POINT = ((4, 78, 80, 80), (6, 96, 98, 95))
FLAT = ((-4, -4, -4, -4), (2, 2, 2, 2))
THUMB_OF = {"open": 0.0, "closed": 30.0}  # flexion of the thumb's joints, degrees


@dataclass(frozen=True, kw_only=True)
class HandMotion:
    """Motion of a left hand."""

    name: str
    fingers: Float[Tensor, "frames 15 3 3"]
    wrist: Float[Tensor, "frames 3 3"]
    place: Float[Tensor, "frames 3"]
    hidden: Bool[Tensor, " frames"]


def motions(anatomy: HandAnatomy) -> list[HandMotion]:
    """Return the motions."""
    frames = int(FPS * SECONDS)
    seconds = torch.arange(frames) / FPS
    nothing = torch.zeros(frames, dtype=torch.bool)
    # Fingers up, palm to the camera.
    upright = rotvec_to_matrix(torch.tensor([0.0, 0.0, 0.75 * torch.pi]))
    sway = rotvec_to_matrix(0.3 * torch.sin(2 * seconds)[:, None] * torch.tensor([[0.0, 1, 0]]))
    place = torch.tensor([0.0, 0.1, DISTANCE]).expand(frames, 3)
    opening = 0.5 - 0.5 * torch.cos(2 * torch.pi * seconds / 2)
    # A quick point: 0.15 s out, 0.15 s back.
    pointing = ((seconds % 2 - 0.5) / 0.15).clamp(0, 1) - ((seconds % 2 - 1.4) / 0.15).clamp(0, 1)
    clap = torch.sin(torch.pi * seconds * 2).abs()
    aside = place + torch.tensor([0.2, 0.0, 0.0]) * (clap - 0.5)[:, None]
    side_on = rotvec_to_matrix(torch.tensor([0.0, 1.2, 0.0]))
    turned = (side_on @ upright).expand(frames, 3, 3)
    return [
        HandMotion(
            name="fist that opens",
            fingers=_between(anatomy, FIST, OPEN, opening),
            wrist=sway @ upright,
            place=place,
            hidden=nothing,
        ),
        HandMotion(
            name="pointing",
            fingers=_between(anatomy, FIST, POINT, pointing),
            wrist=sway @ upright,
            place=place,
            hidden=nothing,
        ),
        HandMotion(
            name="clap",
            fingers=_between(anatomy, FLAT, FLAT, clap),
            wrist=turned,
            place=aside,
            hidden=clap < 0.25,
        ),
    ]


def _between(
    anatomy: HandAnatomy,
    first: tuple[tuple[int, ...], ...],
    second: tuple[tuple[int, ...], ...],
    share: Float[Tensor, " frames"],
) -> Float[Tensor, "frames 15 3 3"]:
    """Rotations on the way from one shape to another."""
    angles = torch.zeros(len(share), 15, 3)
    for finger in range(4):
        for bone in range(3):
            ends = [
                shape[min(bone, 1)][finger] * (TIP_SHARE if bone == 2 else 1.0)
                for shape in (first, second)
            ]
            angles[:, 3 * finger + bone, 0] = ends[0] + share * (ends[1] - ends[0])
    closed = (1 - share) if first is FIST else torch.zeros_like(share)
    angles[:, THUMB_BASE:, 0] = THUMB_OF["closed"] * closed[:, None]
    return anatomy.rotations(angles.deg2rad())


def evidence_of(
    motion: HandMotion, model: HandModel, anatomy: HandAnatomy, generator: torch.Generator
) -> Evidence:
    """Return the evidence of a person of whom the left hand is seen."""
    frames = len(motion.place)
    rest = model.rest_points(torch.zeros(frames, 16))
    rotations = torch.cat((motion.wrist[:, None], motion.fingers), dim=1)
    points = model(rotations, rest) + motion.place[:, None]
    posed = PosedHand(rotations, points, motion.place)
    size = 0.36
    width = torch.full((frames,), size / DISTANCE)
    lasting = _lasting_output(posed, rest, width, model, anatomy, generator)
    pixels = lasting.keypoints * width[:, None, None] * FOCAL + torch.tensor(CENTER)
    confidence = torch.where(motion.hidden, 0.0, 0.85)[:, None, None].expand(frames, 21, 1)
    keypoints = torch.zeros(frames, 2, 21, 3)
    keypoints[:, 0] = torch.cat((pixels, confidence), dim=-1)
    landmarks = torch.zeros(frames, 2, 21, 3)
    landmarks[:, 0] = lasting.landmarks
    crops = torch.tensor([0.0, 0, 1, 0]).repeat(frames, 2, 1)
    middle = (pixels.amax(1) + pixels.amin(1)) / 2
    crops[:, 0] = torch.cat(
        (middle, torch.full((frames, 1), size * FOCAL / DISTANCE), torch.zeros(frames, 1)), dim=-1
    )
    seen = torch.stack((~motion.hidden, torch.zeros_like(motion.hidden)), dim=-1)
    intrinsics = np.array([[FOCAL, 0, CENTER[0]], [0, FOCAL, CENTER[1]], [0, 0, 1]])
    return Evidence(
        track_id=0,
        frames=np.arange(frames),
        observed=np.ones(frames, bool),
        keypoints=np.zeros((frames, 33, 3), np.float32),
        world_landmarks=np.zeros((frames, 33, 3), np.float32),
        crops=np.tile(np.float32([*CENTER, 600, 0]), (frames, 1)),
        intrinsics=np.tile(intrinsics, (frames, 1, 1)),
        masks=np.zeros((frames, 64, 64), np.uint8),
        hands=HandEvidence(
            observed=seen.numpy(),
            keypoints=keypoints.numpy(),
            world_landmarks=landmarks.numpy(),
            crops=crops.numpy(),
        ),
    )


def _lasting_output(
    posed: PosedHand,
    rest: Float[Tensor, "frames 21 3"],
    width: Float[Tensor, " frames"],
    model: HandModel,
    anatomy: HandAnatomy,
    generator: torch.Generator,
) -> Tensor:
    """Simulated detections whose errors last: half of each error stays to the next frame."""
    quiet = HandErrorConfig(level_std=0.0, lost_finger=0.0)
    output = simulated_output(posed, rest, width, model, anatomy, generator, quiet)
    exact = posed.points[..., :2] / posed.points[..., 2:] / width[:, None, None]
    points = posed.points - posed.points.mean(1, keepdim=True)
    errors = [
        output.keypoints - exact,
        output.landmarks - output.landmarks.mean(1, keepdim=True) - points,
    ]
    for error in errors:
        for frame in range(1, len(error)):
            # As large as before on average, and correlated by 0.7 from frame to frame.
            error[frame] = 0.7 * error[frame - 1] + 0.71 * error[frame]
    return output._replace(keypoints=exact + errors[0], landmarks=points + errors[1])


def curl_deg(
    anatomy: HandAnatomy, fingers: Float[Tensor, "frames 15 3 3"]
) -> Float[Tensor, "frames 5"]:
    """Sum of the flexions of each finger's joints, from index to little finger, then the thumb."""
    return anatomy.angles(fingers)[..., 0].unflatten(-1, (5, 3)).sum(-1).rad2deg()


def main() -> None:
    """Print errors and flicker, and write the plot."""
    args = measuring.parse(__doc__, add_arguments)
    torch.set_num_threads(args.cores)
    model = HandModel.load()
    anatomy, hund = HandAnatomy(model.rest), HandHund.load()
    generator = torch.Generator().manual_seed(0)
    rough = HandConfig(polish=dataclasses.replace(HandConfig().polish, steps=0))
    print("| motion | | error of curl ° | flicker of curl °/frame² | truth's |")
    print("| --- | --- | --- | --- | --- |")
    curves = {}
    for motion in motions(anatomy):
        evidence = evidence_of(motion, model, anatomy, generator)
        true = curl_deg(anatomy, motion.fingers)
        curves[motion.name] = {"truth": true}
        for name, config in (("each frame alone", rough), ("polished", HandConfig())):
            track: HandTrack = track_hands(evidence, torch.zeros(16), FPS, hund, config)
            fingers = held_fingers(evidence, track, hund, FPS, FusionConfig())[:, 0]
            curl = curl_deg(anatomy, fingers.float())
            curves[motion.name][name] = curl
            error = (curl - true).abs().mean()
            flicker, own = (each.diff(2, dim=0).abs().mean() for each in (curl, true))
            print(f"| {motion.name} | {name} | {error:.1f} | {flicker:.1f} | {own:.1f} |")
    _plot(curves, args.plot)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the benchmark's own arguments."""
    parser.add_argument("--plot", type=Path, default=measuring.ROOT / "out" / "hand_motion.png")


def _plot(curves: dict[str, dict[str, Float[Tensor, "frames 5"]]], path: Path) -> None:
    """Draw curl over time: a row for each motion, a column for index, middle finger and thumb."""
    from matplotlib import pyplot

    shown = {"index": 0, "middle": 1, "little": 3, "thumb": 4}
    figure, axes = pyplot.subplots(len(curves), len(shown), figsize=(16, 9), sharex=True)
    for row, (name, lines) in zip(axes, curves.items(), strict=True):
        for axis, (finger, column) in zip(row, shown.items(), strict=True):
            for (label, values), style in zip(lines.items(), ("k-", "C1:", "C0-"), strict=True):
                axis.plot(np.arange(len(values)) / FPS, values[:, column], style, label=label)
            axis.set_title(f"{name}: {finger}, °", fontsize=9)
    axes[0, 0].legend(fontsize=8)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=80)


if __name__ == "__main__":
    main()
