"""Counts of the motion set: `python -m hund_backend.training.motion.report FOLDER`."""

import argparse
import logging
from collections import Counter
from pathlib import Path

from .artifacts import ArtefactRules
from .motion_set import MotionSet, motion_set

logger = logging.getLogger(__name__)


def report(motions: MotionSet) -> str:
    """Clips and frames of each pack and split, and the share of frames that break each rule."""
    rules, lines = ArtefactRules(), []
    frames: Counter = Counter()
    broken: Counter = Counter()
    starts = motions.starts.tolist()
    for clip, (name, split) in enumerate(zip(motions.names, motions.splits, strict=True)):
        part = slice(starts[clip], starts[clip + 1])
        count = starts[clip + 1] - starts[clip]
        faults = rules.faults(motions.rotations[part], motions.fps)
        for key in ((name.split("/")[0], split), ("all", split)):
            frames[*key, "clips"] += 1
            frames[*key, "frames"] += count
            frames[*key, "usable"] += int(motions.usable[part].sum())
            for rule, frame in faults.items():
                broken[*key, rule] += int(frame.sum())
    lines.append(
        "| pack | split | clips | frames | usable | "
        + " | ".join(f"{rule} %" for rule in faults)
        + " |"
    )
    lines.append("| --- " * (5 + len(faults)) + "|")
    for pack, split in sorted({key[:2] for key in frames}):
        key = (pack, split)
        shares = [100 * broken[*key, rule] / frames[*key, "frames"] for rule in faults]
        counts = [str(frames[*key, what]) for what in ("clips", "frames", "usable")]
        cells = [pack, split, *counts, *(f"{share:.2f}" for share in shares)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Print the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="folder of <pack>_30fps.npz")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logger.info("%s", report(motion_set(arguments.folder)))


if __name__ == "__main__":
    main()
