"""Contact sheets of a Reconstruction's faces: the footage above, the character's head below.

Run as `python -m benchmarks.face_sheets CLIP … --folder OUT`. The head is the body's own, with the
face keys of each frame and turned as the joint `Head01`; blinks and the widest mouth are printed.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8

from benchmarks import measuring
from hund_backend.body.camera import project
from hund_backend.body.file import load_body_file
from hund_backend.body.kinematics import forward_kinematics
from hund_backend.body.model import BodyModel
from hund_backend.body.rotations import quaternion_to_matrix
from hund_backend.body.skeleton import JOINT_INDEX, PARENTS
from hund_backend.models import Models
from hund_backend.options import Options
from hund_backend.perception.crops import camera_from_crop
from hund_backend.pipeline import reconstruct
from hund_backend.reconstruction import Reconstruction
from hund_backend.training.faces.pictures import FacePainter, FaceSample
from hund_backend.video import open_clip

TILE = 200  # px
HEAD_SIZE = 0.32  # metres that a tile shows
BLINK = 0.5  # coefficient above which an eye counts as closed
SHOWN = ("eyeBlinkLeft", "jawOpen", "mouthPucker", "mouthSmileLeft", "browInnerUp")


def head_turns(reconstruction: Reconstruction, person: int) -> Float[np.ndarray, "frames 3 3"]:
    """Return the rotations from the head's axes to the camera's."""
    body = BodyModel.load("keypoints")
    rotations = quaternion_to_matrix(torch.from_numpy(reconstruction.rotations[person]))
    rest = body.rest_template.expand(len(rotations), -1, -1)
    orientations, _ = forward_kinematics(rotations, rest, PARENTS)
    return orientations[:, JOINT_INDEX["Head01"]].numpy()


def footage(
    clip: Path, reconstruction: Reconstruction, person: int, chosen: list[int]
) -> list[UInt8[np.ndarray, "200 200 3"]]:
    """Return the heads of some frames, cut out of the footage."""
    numbers = reconstruction.frame_numbers
    tiles = {}
    joints = [JOINT_INDEX["Head01"], JOINT_INDEX["Eye01L"], JOINT_INDEX["Eye01R"]]
    wanted = {int(numbers[frame]): frame for frame in chosen}
    with open_clip(clip) as frames:
        for frame in frames:
            if frame.number not in wanted:
                continue
            row = wanted[frame.number]
            places = torch.from_numpy(reconstruction.joints[person, row, joints])
            intrinsics = torch.from_numpy(reconstruction.intrinsics[row]).to(places)
            center = project(places, intrinsics).numpy().mean(axis=0)
            side = HEAD_SIZE * float(intrinsics[0, 0]) / float(places[:, 2].mean())
            scale = TILE / side
            matrix = np.array([[scale, 0, TILE / 2], [0, scale, TILE / 2]])
            matrix[:, 2] -= scale * center
            tiles[row] = cv2.warpAffine(frame.image, matrix, (TILE, TILE))
    return [tiles[frame] for frame in chosen]


def towards(reconstruction: Reconstruction, person: int, frame: int) -> Float[np.ndarray, "3 3"]:
    """Return the rotation to the camera's axes of a camera that looks straight at the head."""
    place = reconstruction.joints[person, frame, JOINT_INDEX["Head01"]].astype(np.float64)
    intrinsics = reconstruction.intrinsics[frame].astype(np.float64)
    pixel = intrinsics @ place / place[2]
    return camera_from_crop(np.array([*pixel[:2], 100, 0]), intrinsics)


def sheet(clip: Path, reconstruction: Reconstruction, person: int, count: int) -> np.ndarray:
    """Return the sheet of a person."""
    painter, names = FacePainter(load_body_file()), load_body_file().arkit_names
    looks = painter.person(np.random.default_rng(5))
    present = np.flatnonzero(reconstruction.present[person])
    chosen = present[np.linspace(0, len(present) - 1, count).round().astype(int)].tolist()
    turns = head_turns(reconstruction, person)
    columns = []
    for frame, seen in zip(chosen, footage(clip, reconstruction, person, chosen), strict=True):
        arkit = reconstruction.arkit[person, frame].astype(np.float64)
        turn = towards(reconstruction, person, frame).T @ turns[frame]
        sample = FaceSample(arkit=arkit, turn=turn)
        head = painter.render(looks, sample, np.random.default_rng(2)).image
        head = cv2.resize(head, (TILE, TILE), interpolation=cv2.INTER_AREA)
        values = " ".join(f"{arkit[names.index(name)]:.1f}" for name in SHOWN)
        for text, row in ((f"{reconstruction.frame_numbers[frame]}", 14), (values, TILE - 6)):
            cv2.putText(head, text, (4, row), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 255, 0))
        columns.append(np.concatenate((seen, head)))
    per_row = 10
    blank = np.zeros_like(columns[0])
    columns += [blank] * (-len(columns) % per_row)
    rows = [np.concatenate(columns[i : i + per_row], 1) for i in range(0, len(columns), per_row)]
    return np.concatenate(rows)


def summary(reconstruction: Reconstruction, person: int) -> str:
    """Return the frames of the blinks, and the range of some keys."""
    names = load_body_file().arkit_names
    arkit, numbers = reconstruction.arkit[person], reconstruction.frame_numbers
    closed = arkit[:, [names.index("eyeBlinkLeft"), names.index("eyeBlinkRight")]].mean(axis=1)
    edges = np.flatnonzero(np.diff(np.pad((closed > BLINK).astype(np.int8), 1)))
    blinks = [
        f"{numbers[start]}–{numbers[stop - 1]} ({closed[start:stop].max():.2f})"
        for start, stop in edges.reshape(-1, 2)
    ]
    peaks = [
        f"{name} {arkit[:, row].max():.2f} at {numbers[arkit[:, row].argmax()]}"
        for row, name in enumerate(names)
        if arkit[:, row].max() > 0.3
    ]
    return f"blinks: {', '.join(blinks) or 'none'}\n  peaks: {', '.join(peaks)}"


def main() -> None:
    """Write the sheets."""
    args = measuring.parse(__doc__, add_arguments)
    measuring.limit_cores(args.cores)
    torch.set_num_threads(args.cores)
    models = None
    args.folder.mkdir(parents=True, exist_ok=True)
    for clip in args.clips:
        file = args.folder / f"{clip.stem}.npz"
        if not file.exists():
            models = models or Models.load("cpu")
            reconstruct(clip, Options(hands=False), models).save(file)
        reconstruction = Reconstruction.load(file)
        for person in range(len(reconstruction.present)):
            print(f"{clip.name}, person {person + 1}: {summary(reconstruction, person)}")
            image = sheet(clip, reconstruction, person, args.count)
            path = args.folder / f"{clip.stem}_{person + 1}.png"
            cv2.imwrite(str(path), image[..., ::-1])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the benchmark's own arguments."""
    parser.add_argument("clips", type=Path, nargs="+")
    parser.add_argument("--folder", type=Path, default=Path("out/face_sheets"))
    parser.add_argument("--count", type=int, default=20, help="frames on a sheet")


if __name__ == "__main__":
    main()
