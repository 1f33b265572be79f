"""The part head: which part of the person each pixel shows, told from BlazePose's inner features.

The network that sees the keypoints is frozen; a small one reads what it thinks, at four sizes of
cells as Ronneberger et al. ("U-Net", 2015) do, and with separable convolutions (Chollet,
"Xception", 2017) so that a CPU has time for it. Beside the features it reads the limbs drawn
between the detected keypoints, which say left from right, the network's mask, which gates it, and
the picture itself, for the course of the borders: limbs are three cells wide.
"""

import json
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from hund_backend.body.skeleton import BLAZEPOSE_NAMES, PART_NAMES
from hund_backend.perception.blazepose import CROP_SIZE_PX, BlazePose, Look
from hund_backend.perception.packed_part_maps import packed
from hund_backend.weights_file import being_read

WEIGHTS_FILE = Path(__file__).parents[1] / "weights" / "part_head.safetensors"
SIZE = 64  # cells along a side of the map
FINE = 2 * SIZE  # pixels along a side of what is looked at for borders
DECODER, BOTTLENECK, TRUNK = 48, 272, 288  # channels of BlazePose heavy's inner features
REACH = 3.0  # cells from a limb's axis at which its drawing has faded to a half
DOUBT = 0.01  # how far from sure a mask may be taken at most
_HEAD = ("mouth_left", "mouth_right"), ("left_ear", "right_ear", "left_eye", "right_eye")
_TORSO = ("left_shoulder", "right_shoulder"), ("left_hip", "right_hip")
_LIMBS = {  # keypoints whose means are the two ends of a limb
    "upper_arm": (("shoulder",), ("elbow",)),
    "forearm": (("elbow",), ("wrist",)),
    "hand": (("wrist",), ("index", "pinky")),
    "thigh": (("hip",), ("knee",)),
    "calf": (("knee",), ("ankle",)),
    "foot": (("ankle", "heel"), ("foot_index",)),
}


@dataclass(frozen=True, kw_only=True)
class PartHeadConfig:
    """Size of the head."""

    widths: tuple[int, ...] = (32, 64, 96, 128)  # channels at 64, 32, 16 and 8 cells a side
    kernel: int = 5  # cells that a filter sees in each direction
    borders: int = 24  # filters of the picture and its mask


@dataclass(frozen=True, kw_only=True)
class Clues:
    """What the head reads of crops; cells are counted from the crop's corner."""

    decoder: Float[Tensor, "crops 48 64 64"]
    bottleneck: Float[Tensor, "crops channels 8 8"]
    trunk: Float[Tensor, "crops 288 2 2"]
    picture: Float[Tensor, "crops 3 128 128"]  # RGB, 0…1
    mask: Float[Tensor, "crops 128 128"]  # probability of the person
    points: Float[Tensor, "crops 33 4"]  # x, y in cells, depth in metres from the hips, visibility


def clues_of(pictures: UInt8[np.ndarray, "crops 256 256 3"], look: Look) -> Clues:
    """The clues in pictures and a look at them that was taken with `maps`."""
    count = len(BLAZEPOSE_NAMES)
    cells = look.keypoints[:, :count] * np.float32(SIZE / CROP_SIZE_PX)
    depth, seen = look.world_landmarks[:, :count, 2:], look.visibility[:, :count, None]
    colors = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255
    masks = torch.from_numpy(look.masks)[:, None]
    shrink = CROP_SIZE_PX // FINE
    return Clues(
        decoder=torch.from_numpy(look.maps.decoder),
        bottleneck=torch.from_numpy(look.maps.bottleneck),
        trunk=torch.from_numpy(look.maps.trunk),
        picture=functional.avg_pool2d(colors, shrink),
        mask=functional.avg_pool2d(masks, shrink)[:, 0],
        points=torch.from_numpy(np.concatenate((cells, depth, seen), axis=-1)),
    )


class PartHead(nn.Module):
    """Predicts a map of the 15 channels of PART_NAMES for crops that BlazePose has looked at."""

    def __init__(self, config: PartHeadConfig) -> None:
        super().__init__()
        self.config = config
        widths, kernel = config.widths, config.kernel
        self.register_buffer("ends", _ends(), persistent=False)
        self.norms = nn.ModuleDict(
            {
                "decoder": nn.BatchNorm2d(DECODER),
                "bottleneck": nn.BatchNorm2d(BOTTLENECK),
                "trunk": nn.BatchNorm2d(TRUNK),
            }
        )
        self.borders = nn.Sequential(
            nn.Conv2d(4, config.borders, 4, 2, 1, bias=False),
            nn.BatchNorm2d(config.borders),
            nn.ReLU(inplace=True),
        )
        drawn = 2 * (len(PART_NAMES) - 1)
        self.enter = _Pointwise(DECODER + config.borders + drawn, widths[0])
        self.think = _Pointwise(widths[-1] + BOTTLENECK + TRUNK, widths[-1])
        steps = list(pairwise(widths))
        self.down = nn.ModuleList(
            nn.Sequential(_Separable(fine, kernel), nn.AvgPool2d(2), _Pointwise(fine, coarse))
            for fine, coarse in steps
        )
        self.deep = nn.Sequential(*(_Separable(widths[-1], kernel) for _ in range(2)))
        self.up = nn.ModuleList(_Pointwise(coarse, fine) for fine, coarse in steps)
        self.refine = nn.ModuleList(_Separable(fine, kernel) for fine, _ in steps)
        self.leave = nn.Conv2d(widths[0], len(PART_NAMES), 1)

    @classmethod
    def load(cls, path: Path = WEIGHTS_FILE) -> "PartHead":
        """Read a trained head; BadInputError if the file is missing or damaged."""
        with being_read("The part head", path):
            config = json.loads(path.with_suffix(".json").read_text())["config"]
            head = cls(PartHeadConfig(**config | {"widths": tuple(config["widths"])}))
            head.load_state_dict(load_file(path))
        return head.eval().requires_grad_(False)

    def forward(self, clues: Clues) -> Float[Tensor, "crops parts 64 64"]:
        """Logits of the parts, the background first."""
        sure = torch.logit(clues.mask[:, None], DOUBT)
        borders = self.borders(torch.cat((clues.picture - 0.5, sure), dim=1))
        drawing = drawn_limbs(clues.points, self.ends)
        cells = torch.cat((self.norms["decoder"](clues.decoder), borders, drawing), dim=1)
        cells, kept = self.enter(cells), []
        for down in self.down:
            kept.append(cells)
            cells = down(cells)
        trunk = functional.interpolate(self.norms["trunk"](clues.trunk), cells.shape[-2:])
        context = torch.cat((cells, self.norms["bottleneck"](clues.bottleneck), trunk), dim=1)
        cells = self.deep(self.think(context))
        for up, refine, fine in zip(self.up[::-1], self.refine[::-1], kept[::-1], strict=True):
            wider = functional.interpolate(up(cells), scale_factor=2.0, mode="bilinear")
            cells = refine(wider + fine)
        logits = self.leave(cells)
        gate = functional.avg_pool2d(sure, FINE // SIZE)
        return torch.cat((logits[:, :1] - gate, logits[:, 1:]), dim=1)

    @torch.inference_mode()
    def predict(
        self, pictures: UInt8[np.ndarray, "crops 256 256 3"], look: Look
    ) -> Float32[np.ndarray, "crops 15 64 64"]:
        """Probabilities of the parts in the cells of crops; they sum to one in each cell.

        Args:
            pictures: square crops (RGB).
            look: at them, taken with `maps`.
        """
        clues = clues_of(pictures, look)
        device = self.ends.device
        clues = Clues(**{name: values.to(device) for name, values in vars(clues).items()})
        return self(clues).softmax(dim=1).cpu().numpy()


class PartSight:
    """BlazePose and the part head as one: looks that also tell the parts."""

    def __init__(self, blazepose: BlazePose, head: PartHead) -> None:
        self.blazepose, self.head = blazepose, head

    @classmethod
    def open(cls, folder: Path, device: str = "cpu") -> "PartSight":
        """Load both, the network from the folder of networks; BadInputError if one is not there whole."""
        return cls(BlazePose.open(folder, device), PartHead.load().to(device))

    def look(self, pictures: UInt8[np.ndarray, "crops 256 256 3"]) -> Look:
        """Look at square crops (RGB), as BlazePose does."""
        look = self.blazepose.look(pictures, maps=True)
        return replace(look, maps=None, parts=packed(self.head.predict(pictures, look)))


def drawn_limbs(
    points: Float[Tensor, "crops 33 4"], ends: Float[Tensor, "two drawn 33"]
) -> Float[Tensor, "crops channels 64 64"]:
    """Limbs as bright lines, twice: as bright as they are visible, and as they are far away.

    Args:
        points: x, y in cells, depth in metres from the hips, visibility.
        ends: weights of the points in the two ends of each limb.
    """
    first, last = torch.einsum("elp,cpk->eclk", ends, points)  # crops limbs 4
    along = (last - first)[..., :2, None, None]
    middle = torch.arange(SIZE, device=points.device) + 0.5
    cell = torch.stack(torch.meshgrid(middle, middle, indexing="xy"))  # x y, rows, columns
    offset = cell - first[..., :2, None, None]
    share = (offset * along).sum(2) / along.square().sum(2).clamp(min=1e-6)
    distance2 = (offset - share.clamp(0, 1)[:, :, None] * along).square().sum(2)
    line = 1 / (1 + distance2 / REACH**2)
    depth, seen = ((first + last) / 2)[..., 2:].unbind(-1)
    return torch.cat((line * seen[..., None, None], line * depth[..., None, None]), dim=1)


def _ends() -> Float[Tensor, "two drawn 33"]:
    """Weights of BlazePose's points in the two ends of every part but the background."""
    weights = torch.zeros(2, len(PART_NAMES) - 1, len(BLAZEPOSE_NAMES))
    for row, part in enumerate(PART_NAMES[1:]):
        side, _, limb = part.partition("_")
        whole = {"head": _HEAD, "torso": _TORSO}.get(part)
        ends = whole or [[f"{side}_{name}" for name in names] for names in _LIMBS[limb]]
        for end, names in enumerate(ends):
            for name in names:
                weights[end, row, BLAZEPOSE_NAMES.index(name)] = 1 / len(names)
    return weights


class _Pointwise(nn.Sequential):
    """A linear map of every cell's channels, normalised and cut off."""

    def __init__(self, channels: int, made: int) -> None:
        super().__init__(
            nn.Conv2d(channels, made, 1, bias=False), nn.BatchNorm2d(made), nn.ReLU(inplace=True)
        )


class _Separable(nn.Module):
    """Looks around within each channel, mixes the channels, and adds that to what was there."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.around = nn.Conv2d(channels, channels, kernel, padding=kernel // 2, groups=channels)
        self.mix = _Pointwise(channels, channels)

    def forward(
        self, cells: Float[Tensor, "crops channels height width"]
    ) -> Float[Tensor, "crops channels height width"]:
        """Cells that know their surroundings."""
        return cells + self.mix(self.around(cells))
