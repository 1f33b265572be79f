"""Options of a reconstruction: values, defaults, arguments, and names of the progress stages.

The command line, the batch in Blender and Blender's panel read their lists from here. Blender's own
process imports this module, so it needs neither torch nor cv2.
"""

import enum
from argparse import BooleanOptionalAction
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from argparse import ArgumentParser

Method = Literal["hund", "fit"]
DEFAULT_METHOD: Method = "hund"
DEFAULT_DEVICE = "auto"
DEFAULT_QUALITY = "standard"
DEFAULT_SMOOTHING, MAX_SMOOTHING = 1.0, 10.0
MIN_SPEED, MAX_SPEED = 0.01, 100.0
ADAPT_SECONDS = 60.0  # time limit of `--adapt` without a number
EXPORT_FORMATS = ("blend", "fbx", "glb", "bvh", "usd")  # scene files that the batch writes


class ProgressStage(enum.StrEnum):
    """Stage of a reconstruction, as reported in JSON lines and timed in the provenance."""

    START = "start"  # until the backend answers
    LOAD = "load"
    DETECT = "detect"
    FACE = "face"
    ADAPT = "adapt"  # followed by the person: "adapt 1/2"
    POSE = "pose"  # followed by the person: "pose 1/2"
    GROUND = "ground"
    EVALUATE = "evaluate"


STAGE_LABELS = {
    ProgressStage.START: "Starting",
    ProgressStage.LOAD: "Loading the networks",
    ProgressStage.DETECT: "Finding people",
    ProgressStage.FACE: "Reading faces",
    ProgressStage.ADAPT: "Adapting to the clip",
    ProgressStage.POSE: "Posing",
    ProgressStage.GROUND: "Finding the ground",
    ProgressStage.EVALUATE: "Evaluating",
}
LABELS = {  # names of the options in Blender
    "device": "Device",
    "quality": "Quality",
    "method": "Method",
    "hands": "Hands",
    "adapt": "Adapt to Clip",
    "smoothing": "Smoothing",
    "face": "Face",
    "people": "People",
    "only": "Chosen People",
    "start": "Start",
    "end": "End",
    "focal": "Focal Length",
    "fov": "Field of View",
    "distortion": "Lens Distortion",
    "speed": "Slow Motion",
}


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Value of an option, as Blender shows it."""

    label: str
    description: str  # begins with a verb, without a full stop


@dataclass(frozen=True, kw_only=True)
class Quality(Choice):
    """Value of `--quality`, with the pipeline's options that it sets."""

    stride: int = 1
    polish: bool = True
    parts: bool = False
    hands: bool = True  # whether hands are looked for, unless switched off
    face: bool = True  # whether faces are read, unless switched off


DEVICES = {
    "auto": Choice(
        label="Automatic",
        description="Use the graphics card where there is one, else the processor",
    ),
    "cpu": Choice(label="Processor", description="Use the processor"),
    "cuda": Choice(
        label="Graphics Card (CUDA)",
        description="Use the graphics card; without one, nothing is reconstructed",
    ),
    "mps": Choice(
        label="Graphics Card (Metal)",
        description="Use the graphics processor of a Mac with Apple silicon",
    ),
}
METHODS = {
    "hund": Choice(
        label="Learned Descent",
        description="Pose with the network HUND, then polish the result",
    ),
    "fit": Choice(
        label="Gradients Only",
        description="Pose without the network, by gradients alone, which takes longer",
    ),
}
EXCHANGE_FORMATS = {  # that Blender's panel writes
    "fbx": Choice(label="FBX", description="Write one file for Unreal, Unity, Maya and others"),
    "glb": Choice(label="glTF (.glb)", description="Write one file for the web and for engines"),
    "bvh": Choice(label="BVH", description="Write one file for each person: bones, no mesh"),
    "usd": Choice(label="USD (.usdc)", description="Write one file for film and for engines"),
}
# The order is kept: a .blend file stores a quality by its position.
QUALITIES = {
    "standard": Quality(label="Standard", description="Process every frame and polish the result"),
    "high": Quality(
        label="High",
        description="Also segment body parts, for a truer body shape; takes twice as long",
        parts=True,
    ),
    "draft": Quality(
        label="Draft",
        description="Process every second frame without polish, hands and faces, for a first look",
        stride=2,
        polish=False,
        hands=False,
        face=False,
    ),
}


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the pipeline."""

    people: int | None = None  # most people kept, the most prominent; None: all
    only: str | None = None  # file of the people list whose chosen people are kept
    start: int | None = None  # first frame, by its number in the source
    end: int | None = None  # last frame, included
    speed: float | None = None  # times slower than life the file plays; None: as it says, else 1
    stride: int = 1  # process every stride-th frame
    method: Method = DEFAULT_METHOD  # learned descent, or gradients alone
    polish: bool = True  # refine the learned descent's result by gradients
    parts: bool = False  # segment body parts and fit the body shape to the silhouette
    face: bool = True  # read faces: expressions, gaze and the turn of the head
    hands: bool = True  # look for hands
    adapt: float | None = None  # most seconds of adapting the learned descent to the clip
    smoothing: float = DEFAULT_SMOOTHING  # of the motion in time; 0: as seen
    focal: float | None = None  # px of the full frame
    fov: float | None = None  # horizontal, degrees
    intrinsics: tuple[tuple[float, ...], ...] | None = None  # 3 × 3, px; overrides both
    distortion: tuple[float, ...] = ()  # k1 k2 p1 p2 [k3], as in OpenCV


# Options of a request to `serve`, beside its clip and output folder.
REQUEST_OPTIONS = (
    "device",
    "quality",
    "method",
    "hands",
    "adapt",
    "smoothing",
    "face",
    "people",
    "only",
    "start",
    "end",
    "speed",
    "focal",
    "fov",
    "distortion",
    "keep_evidence",
    "overwrite",
)


def enum_items(choices: dict[str, Choice]) -> tuple[tuple[str, str, str], ...]:
    """Items of a Blender `EnumProperty`: identifier, label, description."""
    return tuple((name, choice.label, choice.description) for name, choice in choices.items())


def add_device(parser: "ArgumentParser", default: str = DEFAULT_DEVICE) -> None:
    """Add `--device`."""
    parser.add_argument(
        "--device", choices=tuple(DEVICES), default=default, help=f"default: {default}"
    )


def add_quality(parser: "ArgumentParser") -> None:
    """Add `--quality`."""
    lines = [f"{name}: {_lower_first(each.description)}" for name, each in QUALITIES.items()]
    parser.add_argument(
        "--quality",
        choices=tuple(QUALITIES),
        help=f"{'. '.join(lines)}. default: {DEFAULT_QUALITY}",
    )


def add_method(parser: "ArgumentParser") -> None:
    """Add `--method`."""
    parser.add_argument(
        "--method",
        choices=tuple(METHODS),
        help="hund: learned descent, polished; fit: gradients alone, slower; "
        f"default: {DEFAULT_METHOD}",
    )


def add_hands(parser: "ArgumentParser") -> None:
    """Add `--hands` and `--no-hands`."""
    _add_switch(parser, "hands", "look for hands, which takes longer")


def add_adapt(parser: "ArgumentParser") -> None:
    """Add `--adapt`."""
    parser.add_argument(
        "--adapt",
        type=float,
        nargs="?",
        const=ADAPT_SECONDS,
        metavar="SECONDS",
        help="adapt the learned descent to the clip before posing, for at most SECONDS; kept if "
        "held-out frames fit better and move more steadily; default when given alone: "
        f"{ADAPT_SECONDS:.0f}",
    )


def add_smoothing(parser: "ArgumentParser") -> None:
    """Add `--smoothing`."""
    parser.add_argument(
        "--smoothing",
        type=float,
        default=DEFAULT_SMOOTHING,
        metavar="AMOUNT",
        help="smooth the motion in time: 0 leaves it as seen, 2 smooths twice as much; "
        f"default: {DEFAULT_SMOOTHING:.0f}",
    )


def add_face(parser: "ArgumentParser") -> None:
    """Add `--face` and `--no-face`."""
    _add_switch(parser, "face", "read faces: expressions, gaze and the turn of the head")


def _add_switch(parser: "ArgumentParser", name: str, purpose: str) -> None:
    """Add an option that the quality decides where it is not given."""
    without = [quality for quality, each in QUALITIES.items() if not getattr(each, name)]
    parser.add_argument(
        f"--{name}",
        action=BooleanOptionalAction,
        help=f"{purpose}; default: --{name}, but for quality {' and '.join(without)}",
    )


def add_frames(parser: "ArgumentParser") -> None:
    """Add `--people`, `--only`, `--start`, `--end` and `--speed`."""
    parser.add_argument(
        "--people",
        type=int,
        metavar="N",
        help="keep the N people who are largest, move most and are longest in view; default: all",
    )
    parser.add_argument(
        "--only",
        metavar="FILE",
        help="keep who is chosen in FILE, a people.json of the command people, and whoever is not "
        "listed there",
    )
    add_range(parser)


def add_range(parser: "ArgumentParser") -> None:
    """Add `--start`, `--end` and `--speed`."""
    parser.add_argument("--start", type=int, metavar="F", help="first frame, counted from 0")
    parser.add_argument("--end", type=int, metavar="F", help="last frame, included")
    parser.add_argument(
        "--speed",
        type=float,
        metavar="X",
        help="the clip plays X times slower than life: read it in real time; default: as the file "
        "says, else 1",
    )


def add_lens(parser: "ArgumentParser") -> None:
    """Add `--focal`, `--fov` and `--distortion`."""
    lens = parser.add_mutually_exclusive_group()
    lens.add_argument("--focal", type=float, metavar="PX", help="focal length in pixels")
    lens.add_argument("--fov", type=float, metavar="DEG", help="horizontal field of view")
    parser.add_argument(
        "--distortion",
        type=float,
        nargs="+",
        default=(),
        metavar="K",
        help="k1 k2 p1 p2 [k3] as in OpenCV",
    )


def add_keep_evidence(parser: "ArgumentParser") -> None:
    """Add `--keep-evidence`."""
    parser.add_argument(
        "--keep-evidence",
        action="store_true",
        help="also write DIR/<clip>.evidence, which can be solved again with other smoothing",
    )


def add_overwrite(parser: "ArgumentParser") -> None:
    """Add `--overwrite`."""
    parser.add_argument("--overwrite", action="store_true", help="redo clips that are done")


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]
