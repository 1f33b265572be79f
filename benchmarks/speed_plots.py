"""Plots of speed: wrists and feet against the truth, and spectra of a real clip's motion.

Run as `python -m benchmarks.speed_plots MOCAP_FOLDER FOLDER`. Pictures go to the folder: a row for
each held-out motion, reconstructed as in benchmarks/feet.py; and, with `--result FILE.npz`, the
spectra of the speed of a reconstructed clip, where it is seen well, beside those of captured walks.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.signal import welch

from benchmarks import measuring
from benchmarks.captured_motion import captured_motion
from benchmarks.feet import load_models, posed, reconstruct_clip
from benchmarks.motion_clips import SEGMENTS, MotionClip, Segment, motion_clip
from hund_backend.body.model import BodyModel
from hund_backend.body.skeleton import JOINT_INDEX
from hund_backend.descent.state import State
from hund_backend.models import Models
from hund_backend.options import Options
from hund_backend.prior.pose_flow import PoseFlow
from hund_backend.reconstruction import Reconstruction
from hund_backend.training.motion.motion_set import MotionSet, motion_set

ENDS = {"wrist": ("HandL", "HandR"), "foot": ("AnkleL", "AnkleR")}
WINDOW_SECONDS = 1.5  # of a spectrum
CLEAR = 0.5  # confidence from which joints are seen well

Joints = Float[np.ndarray, "frames 63 3"]


def main() -> None:
    """Draw the plots."""
    args = measuring.parse(__doc__, add_arguments)
    measuring.limit_cores(args.cores)
    torch.set_num_threads(args.cores)
    args.folder.mkdir(parents=True, exist_ok=True)
    motions, models = motion_set(args.mocap), load_models()
    if args.clips:
        chosen = [segment for segment in SEGMENTS if segment.clip.split("/")[-1] in args.clips]
        plot_speeds(args.folder / "speeds.png", chosen, models, motions)
    if args.result:
        plot_spectra(
            args.folder / "spectra.png", Reconstruction.load(args.result), models.body, motions
        )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the benchmark's own arguments."""
    parser.add_argument("mocap", type=Path, help="folder of <pack>_30fps.npz")
    parser.add_argument("folder", type=Path, help="for the pictures")
    parser.add_argument(
        "--clips",
        nargs="*",
        default=["walking_29", "running_1", "humanoid3d_spinkick"],
        help="held-out motions",
    )
    parser.add_argument("--result", type=Path, help="reconstruction whose spectra are drawn")


def plot_speeds(path: Path, segments: list[Segment], models: Models, motions: MotionSet) -> None:
    """Draw the speeds of wrists and feet, from the pelvis, of motions and their reconstructions."""
    figure, prior = Figure(figsize=(18, 4 * len(segments))), PoseFlow.load().double()
    table = figure.subplots(len(segments), 4, squeeze=False)
    for row, segment in zip(table, segments, strict=True):
        clip = motion_clip(models.body, prior, motions, segment, SEGMENTS.index(segment))
        found = found_joints(clip, models)
        for axis, name in zip(row, [end for pair in ENDS.values() for end in pair], strict=True):
            times = np.arange(len(found)) / clip.fps
            axis.plot(times, end_speed(clip.joints, name, clip.fps), "k", label="truth")
            axis.plot(times, end_speed(found, name, clip.fps), "C1", label="reconstruction")
            axis.set(title=f"{segment.kind}, {name}", xlabel="s", ylabel="m/s from the pelvis")
    table[0, 0].legend()
    figure.tight_layout()
    figure.savefig(path, dpi=60)


@torch.no_grad()
def found_joints(clip: MotionClip, models: Models) -> Joints:
    """Joints of the reconstruction of a clip, camera frame."""
    result = reconstruct_clip(clip, models, Options())
    return posed(result).posed(models.body).joints.double().numpy()


def end_speed(joints: Joints, name: str, fps: float) -> Float[np.ndarray, " frames"]:
    """Speed of a joint from the pelvis, m/s."""
    relative = joints[:, JOINT_INDEX[name]] - joints[:, 0]
    return np.linalg.norm(np.gradient(relative, 1 / fps, axis=0), axis=-1)


@torch.no_grad()
def plot_spectra(path: Path, result: Reconstruction, body: BodyModel, motions: MotionSet) -> None:
    """Draw spectra of the speed of the people of a clip and of captured walks."""
    figure = Figure(figsize=(14, 5))
    for axis, (kind, names) in zip(figure.subplots(1, 2), ENDS.items(), strict=True):
        for segment in (segment for segment in SEGMENTS if segment.kind == "walk"):
            for cutoff, style in ((None, "0.75"), (8.0, "k")):
                joints = _captured(segment, motions, body, result.fps, cutoff)
                label = f"captured walk{', below 8 Hz' if cutoff else ''}"
                _draw(axis, joints, names, result.fps, color=style, label=label)
        for person, number in enumerate(result.track_ids):
            seen = _longest_clear(result, person, names)
            joints = posed(result, person).posed(body).joints.double().numpy()[seen]
            _draw(
                axis,
                joints,
                names,
                result.fps,
                color=f"C{person}",
                label=f"person {number}, {len(joints)} frames",
            )
        axis.set(title=f"speed of {kind}", xlabel="Hz", ylabel="(m/s)² / Hz")
        handles, labels = axis.get_legend_handles_labels()
        unique = dict(zip(labels, handles, strict=True))
        axis.legend(unique.values(), unique.keys())
    figure.tight_layout()
    figure.savefig(path, dpi=70)


def _longest_clear(result: Reconstruction, person: int, names: tuple[str, ...]) -> slice:
    """Return the longest run of frames in which some joints are seen well."""
    joints = [JOINT_INDEX[name] for name in names]
    clear = result.joint_confidence[person][:, joints].mean(axis=-1) > CLEAR
    edges = np.flatnonzero(np.diff(clear & result.present[person], prepend=False, append=False))
    runs = edges.reshape(-1, 2)
    return slice(*runs[np.argmax(runs[:, 1] - runs[:, 0])]) if len(runs) else slice(0)


def _captured(
    segment: Segment, motions: MotionSet, body: BodyModel, fps: float, cutoff: float | None
) -> Joints:
    frames = range(segment.start, segment.start + segment.frames)
    rotations, translation = captured_motion(motions, segment.clip, frames, fps, cutoff)
    state = State(
        pose=rotations[:, 1:],
        betas=torch.zeros(len(rotations), 16),
        global_orient=rotations[:, 0],
        root_translation=translation,
    )
    return state.posed(body).joints.double().numpy()


def _draw(
    axis: Axes, joints: Joints, names: tuple[str, ...], fps: float, color: str, label: str
) -> None:
    """Draw the mean spectrum of the speeds of some joints."""
    window = min(len(joints), round(WINDOW_SECONDS * fps))
    spectra = []
    for name in names:
        frequencies, power = welch(end_speed(joints, name, fps), fps, nperseg=window)
        spectra.append(power)
    axis.semilogy(frequencies[1:], np.mean(spectra, axis=0)[1:], color=color, label=label)


if __name__ == "__main__":
    main()
