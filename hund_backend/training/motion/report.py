"""Statistics of the motion set: `python -m hund_backend.training.motion.report FOLDER`."""

import argparse
import logging
from collections import Counter
from pathlib import Path

from .artifacts import ArtifactRules
from .motion_set import MotionSet, motion_set

logger = logging.getLogger(__name__)


def report(motions: MotionSet) -> str:
    """Table of clips and frames by pack and split, with the shares of frames with artifacts."""
    rules, lines = ArtifactRules(), []
    frames: Counter = Counter()
    num_violations: Counter = Counter()
    starts = motions.starts.tolist()
    for clip, (name, split) in enumerate(zip(motions.names, motions.splits, strict=True)):
        part = slice(starts[clip], starts[clip + 1])
        length = starts[clip + 1] - starts[clip]
        violations = rules.violations(motions.rotations[part], motions.fps)
        for key in ((name.split("/")[0], split), ("all", split)):
            frames[*key, "clips"] += 1
            frames[*key, "frames"] += length
            frames[*key, "usable"] += int(motions.usable[part].sum())
            for rule, frame in violations.items():
                num_violations[*key, rule] += int(frame.sum())
    lines.append(
        "| pack | split | clips | frames | usable | "
        + " | ".join(f"{rule} %" for rule in violations)
        + " |"
    )
    lines.append("| --- " * (5 + len(violations)) + "|")
    for pack, split in sorted({key[:2] for key in frames}):
        key = (pack, split)
        shares = [100 * num_violations[*key, rule] / frames[*key, "frames"] for rule in violations]
        counts = [str(frames[*key, column]) for column in ("clips", "frames", "usable")]
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
