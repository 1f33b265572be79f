"""The part head: IoU on synthetic pictures, left and right on real ones, and time.

Run as `python -m benchmarks.parts FEATURES PICTURES --kits KIT … --clip CLIP --sheet FILE.png`.
FEATURES is the folder that features.py fills; kits are for choosing only, nothing is trained
on them.
"""

import argparse
import logging
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8

from benchmarks import measuring
from hund_backend.body.skeleton import BLAZEPOSE_NAMES, PART_MIRROR, PART_NAMES
from hund_backend.evaluation.kits import KitFrame, read_kit
from hund_backend.image_file import read_image
from hund_backend.part_preview import overlay_parts
from hund_backend.perception.blazepose import BlazePose
from hund_backend.perception.crops import crop_from_image, extract_crops, transform_points
from hund_backend.perception.evidence import Evidence
from hund_backend.perception.packed_part_maps import likeliest_part
from hund_backend.perception.part_head import SIZE, BlazePoseWithParts, PartHead
from hund_backend.perception.run import Perception
from hund_backend.perception.tracks import box_iou
from hund_backend.training.motion.motion_set import Split
from hund_backend.training.parts.features import FeatureSet, coverage
from hund_backend.training.parts.metrics import (
    confusion,
    foreground_iou,
    mean_part_iou,
    part_iou,
    side_confusion,
)
from hund_backend.training.parts.train_parts import predicted_labels
from hund_backend.training.pictures.shards import PictureSet
from hund_backend.video import Frame, open_clip
from hund_backend.weights_file import WEIGHTS

LIMBS = {
    "upper_arm": ("shoulder", "elbow"),
    "forearm": ("elbow", "wrist"),
    "thigh": ("hip", "knee"),
    "calf": ("knee", "ankle"),
}
ALONG = np.array([0.35, 0.5, 0.65])  # positions on a limb's axis where its part is evaluated
ERRORS = ((0, 0.03), (0.03, 0.06), (0.06, 0.15), (0.15, 10))  # of keypoints, by person's size
SHIFTS = (1, 2, 3, 4)  # px of the crops' 256
EACH = 5
MIN_DISTANCE = 0.08  # of the person's size: nearer limbs do not determine the side


def synthetic(features: Path, album: Path, split: Split) -> str:
    """Return tables of the head's IoU on a split of synthetic pictures."""
    pictures = FeatureSet(features, split)
    counts = np.concatenate(
        [
            [confusion(one, other) for one, other in zip(true, predicted, strict=True)]
            for true, predicted in predicted_labels(PartHead.load(), pictures)
        ]
    )
    misplaced = keypoint_errors(PictureSet(album, split), pictures)[: len(counts)]
    groups = {"all": misplaced >= 0}
    groups |= {f"{a:.0%} to {b:.0%}": (misplaced >= a) & (misplaced < b) for a, b in ERRORS}
    rows = [
        f"| {name} | {picked.sum()} | {mean_part_iou(sums):.3f} | {foreground_iou(sums):.3f} | "
        f"{side_confusion(sums):.1%} |"
        for name, picked in groups.items()
        if (sums := counts[picked].sum(axis=0)).any()
    ]
    ious = zip(PART_NAMES, part_iou(counts.sum(axis=0)), strict=True)
    parts = ", ".join(f"{name.replace('_', ' ')} {iou:.3f}" for name, iou in ious)
    head = "| keypoint error, of the size | pictures | parts | person | cells of the wrong side |"
    lines = (f"Synthetic pictures, split {split}: IoU\n", head, "| --- | --- | --- | --- | --- |")
    return "\n".join((*lines, *rows, "", f"Each part over all: {parts}.", ""))


def shifted_truth(album: PictureSet) -> str:
    """Return the IoU of the truth with itself, slightly shifted, as a scale for other IoUs."""
    chance, counts = np.random.default_rng(0), {px: 0 for px in SHIFTS}
    for index in range(0, len(album), EACH):
        labels = album.labels(index)
        true = coverage(labels).argmax(0)
        for px in SHIFTS:
            angle = chance.uniform(0, 2 * np.pi)
            shift = np.array([[1, 0, px * np.cos(angle)], [0, 1, px * np.sin(angle)]])
            moved = cv2.warpAffine(labels, shift, labels.shape, flags=cv2.INTER_NEAREST)
            counts[px] = counts[px] + confusion(true, coverage(moved).argmax(0))
    ious = ", ".join(
        f"{px} px {mean_part_iou(sums):.3f} (person {foreground_iou(sums):.3f})"
        for px, sums in counts.items()
    )
    return f"The truth of every {EACH}th, shifted in a random direction, pixels of 256: {ious}.\n"


def keypoint_errors(album: PictureSet, pictures: FeatureSet) -> Float[np.ndarray, " pictures"]:
    """Return the median error of visible detected keypoints, by the person's size."""
    errors = np.empty(len(pictures))
    for index in range(len(pictures)):
        picture = album[index]
        points = (picture.keypoints / picture.keypoints[:, 2:]) @ picture.intrinsics.T
        true = transform_points(
            points[:, :2].astype(float), crop_from_image(picture.crop.astype(float), SIZE)
        )
        found = pictures.batch([index]).inputs.points[0, :, :2].numpy()
        distances = np.linalg.norm(found - true, axis=1)[picture.visible]
        size = np.ptp(true, axis=0).max()
        errors[index] = np.median(distances) / size if len(distances) else 9.0
    return errors


def people_of_kit(
    perception: Perception, kit: Path, most: int
) -> Iterator[tuple[KitFrame, np.ndarray, Evidence]]:
    """Yield pictures of a kit with the evidence of the annotated person."""
    for frame in read_kit(kit).frames[:most]:
        image = read_image(frame.path)
        people = perceive(perception, [image])
        joints = frame.joints_px[frame.has_px]
        box = np.concatenate((joints.min(0), joints.max(0)))
        overlaps = [box_iou(_box(person, 0), box) for person in people]
        if overlaps and max(overlaps) > 0:
            yield frame, image, people[int(np.argmax(overlaps))]


def perceive(perception: Perception, images: list[np.ndarray]) -> list[Evidence]:
    """Return the evidence of everybody in some pictures."""
    height, width = images[0].shape[:2]
    focal = max(height, width)
    intrinsics = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1.0]])
    frames = [Frame(number=i, time=i / 30, image=image) for i, image in enumerate(images)]
    return perception.run(frames, intrinsics, fps=30, parts=True)


def classify_limbs(frame: KitFrame, names: tuple[str, ...], person: Evidence) -> Counter:
    """Count cells on true limbs by the predicted part: right, wrong side, another, or nothing."""
    joints = dict(zip(names, frame.joints_px, strict=True))
    known = dict(zip(names, frame.has_px, strict=True))
    labelled = frame.joints_px[frame.has_px]
    min_distance = MIN_DISTANCE * float(np.ptp(labelled, axis=0).max())
    labels = likeliest_part(person.parts[0])
    counts: Counter = Counter()
    for limb, ends in LIMBS.items():
        both = [f"{side}_{end}" for side in ("left", "right") for end in ends]
        if not all(known.get(name, False) for name in both):
            continue
        first, last = (np.stack([joints[name] for name in both[i::2]]) for i in (0, 1))
        axes = first[:, None] + (last - first)[:, None] * ALONG[:, None]
        if np.linalg.norm(axes[0] - axes[1], axis=-1).min() < min_distance:
            continue
        counts += _classify_cells(limb, axes, labels, person)
        counts += _classify_keypoints(ends, axes, person)
    return counts


def _classify_cells(limb: str, axes: np.ndarray, labels: np.ndarray, person: Evidence) -> Counter:
    """Count the predicted parts at points on the left and the right limb of a kind."""
    cells = transform_points(axes.reshape(-1, 2), crop_from_image(person.crops[0], SIZE)).astype(
        int
    )
    counts: Counter = Counter()
    for index, (column, row) in enumerate(cells):
        side = "left" if index < len(ALONG) else "right"
        true = PART_NAMES.index(f"{side}_{limb}")
        if not (0 <= column < SIZE and 0 <= row < SIZE):
            continue
        label = int(labels[row, column])
        kinds = {true: "right", PART_MIRROR[true]: "wrong side", 0: "nothing"}
        counts[kinds.get(label, "another part")] += 1
    return counts


def _classify_keypoints(ends: tuple[str, str], axes: np.ndarray, person: Evidence) -> Counter:
    """Count detected limbs whose middles are nearer to the true limb of the other side."""
    counts: Counter = Counter()
    for side, name in enumerate(("left", "right")):
        points = [BLAZEPOSE_NAMES.index(f"{name}_{end}") for end in ends]
        middle = person.keypoints[0, points, :2].mean(axis=0)
        distances = np.linalg.norm(axes[:, len(ALONG) // 2] - middle, axis=-1)
        counts["keypoints wrong" if distances.argmin() != side else "keypoints right"] += 1
    return counts


def tile(
    image: UInt8[np.ndarray, "height width 3"], person: Evidence, frame: int
) -> UInt8[np.ndarray, "512 256 3"]:
    """Return a person's crop, and below it the crop with its parts overlaid."""
    crop = extract_crops(image, person.crops[frame : frame + 1])[0]
    return np.vstack((crop, overlay_parts(crop, likeliest_part(person.parts[frame]))))


def write_sheet(tiles: list[np.ndarray], path: Path, columns: int = 8) -> None:
    """Write tiles as one image."""
    blank = [np.zeros_like(tiles[0])] * (-len(tiles) % columns)
    tiles = [*tiles, *blank]
    rows = [np.hstack(tiles[i : i + columns]) for i in range(0, len(tiles), columns)]
    cv2.imencode(".png", np.vstack(rows)[..., ::-1])[1].tofile(path)


def time_table(crops: UInt8[np.ndarray, "crops 256 256 3"], rounds: int = 8) -> str:
    """Return a table of the processor time per crop with and without parts."""
    blazepose = BlazePose.open(WEIGHTS / "perception")
    networks = {
        "BlazePose": blazepose,
        "with parts": BlazePoseWithParts(blazepose, PartHead.load()),
    }
    times: dict[str, list[float]] = {name: [] for name in networks}
    for _ in range(rounds):
        for name, network in networks.items():
            started = time.process_time()
            network.predict(crops)
            times[name].append(1000 * (time.process_time() - started) / len(crops))
    rows = [f"| {name} | {min(ms):.1f} | {np.median(ms):.1f} |" for name, ms in times.items()]
    head = f"Processor time of a crop in batches of {len(crops)}, ms:\n"
    return "\n".join((head, "| | least | median |", "| --- | --- | --- |", *rows, ""))


def sides(
    perception: Perception, kit: Path, most: int, max_tiles: int, tiles: list[np.ndarray]
) -> str:
    """Return the row of a kit, and append tiles of its first people."""
    names, counts = read_kit(kit).joint_names, Counter()
    people = 0
    for frame, image, person in people_of_kit(perception, kit, most):
        counts += classify_limbs(frame, names, person)
        if people < max_tiles:
            tiles.append(tile(image, person, 0))
        people += 1
    cells = sum(counts[kind] for kind in ("right", "wrong side", "another part", "nothing"))
    sided = counts["right"] + counts["wrong side"]
    guesses = counts["keypoints right"] + counts["keypoints wrong"]
    return (
        f"| {read_kit(kit).name} | {people} | {counts['right'] / cells:.1%} | "
        f"{counts['another part'] / cells:.1%} | {counts['nothing'] / cells:.1%} | "
        f"{counts['wrong side'] / max(sided, 1):.1%} | "
        f"{counts['keypoints wrong'] / max(guesses, 1):.1%} |"
    )


def clip_tiles(perception: Perception, clip: Path, count: int) -> list[np.ndarray]:
    """Return tiles of the people in a clip, evenly over time."""
    with open_clip(clip) as opened:
        images = [frame.image for frame in opened]
    tiles = []
    for person in perceive(perception, images):
        for index in np.linspace(0, len(person.frames) - 1, count).astype(int):
            tiles.append(tile(images[person.frames[index]], person, index))
    return tiles


def _box(person: Evidence, frame: int) -> Float[np.ndarray, "4"]:
    keypoints = person.keypoints[frame, :, :2]
    return np.concatenate((keypoints.min(0), keypoints.max(0)))


def main() -> None:
    """Print the tables and write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("features", type=Path, help="folder that part_features fills")
    parser.add_argument("pictures", type=Path, help="folder of the pictures")
    parser.add_argument("--most", type=int, default=1000, help="most pictures of a kit")
    parser.add_argument("--kits", type=Path, nargs="*", default=[])
    parser.add_argument("--clip", type=Path)
    parser.add_argument("--sheet", type=Path, help="PNG of the parts of real people")
    parser.add_argument("--tiles", type=int, default=32, help="people of each kit on the sheet")
    parser.add_argument("--save", action="store_true", help="write into benchmarks/results")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(1)
    perception, tiles = Perception.open("cpu"), []
    rows = [sides(perception, kit, args.most, args.tiles, tiles) for kit in args.kits]
    if args.clip:
        tiles += clip_tiles(perception, args.clip, 8)
    if args.sheet and tiles:
        write_sheet(tiles, args.sheet)
    crops = np.stack([tile[:256] for tile in tiles[:2]]) if tiles else np.zeros((2, 256, 256, 3))
    head = (
        "| kit | people | right | another part | nothing | of limbs, wrong side | "
        "keypoints, wrong side |"
    )
    text = "\n".join(
        (
            "# Parts of the body\n",
            measuring.environment(("torch", "numpy", "onnxruntime"), 1),
            "",
            synthetic(args.features, args.pictures, "held_out"),
            shifted_truth(PictureSet(args.pictures, "held_out")),
            head,
            "| --- | --- | --- | --- | --- | --- | --- |",
            *rows,
            "",
            time_table(crops.astype(np.uint8)),
        )
    )
    print(text)
    if args.save:
        measuring.save("parts", text)


if __name__ == "__main__":
    main()
