"""Part head: a small network that predicts body parts from BlazePose's inner features.

BlazePose is frozen. The head is a U-Net (Ronneberger et al., 2015) over four sizes of cells with
separable convolutions (Chollet, "Xception", 2017), small enough for a CPU. Its further inputs are
the limbs drawn between the detected keypoints, which tell left from right; the person's mask, which
gates the parts; and the image, for the course of the borders: limbs are three cells wide.
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

from ..body.skeleton import BLAZEPOSE_NAMES, PART_NAMES
from ..weights_file import load_weights
from .blazepose import CROP_SIZE_PX, BlazePose, BlazePoseOutput
from .packed_part_maps import pack_part_maps

WEIGHTS_FILE = Path(__file__).parents[1] / "weights" / "part_head.safetensors"
SIZE = 64  # cells along a side of the map
FINE_SIZE = 2 * SIZE  # pixels along a side of image and mask
DECODER, BOTTLENECK, TRUNK = 48, 272, 288  # channels of BlazePose heavy's inner features
LINE_WIDTH = 3.0  # cells from a limb's axis at which its line has faded to a half
MASK_EPS = 0.01  # the mask is clipped to this distance from 0 and 1
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
    kernel: int = 5  # side of the depthwise filters, cells
    borders: int = 24  # filters of the image and the mask


@dataclass(frozen=True, kw_only=True)
class PartHeadInputs:
    """Inputs of the head for a batch of crops; cells are counted from the crop's corner."""

    decoder: Float[Tensor, "crops 48 64 64"]
    bottleneck: Float[Tensor, "crops channels 8 8"]
    trunk: Float[Tensor, "crops 288 2 2"]
    picture: Float[Tensor, "crops 3 128 128"]  # RGB, 0…1
    mask: Float[Tensor, "crops 128 128"]  # probability of the person
    points: Float[Tensor, "crops 33 4"]  # x, y in cells, depth in metres from the hips, visibility


def part_head_inputs(
    images: UInt8[np.ndarray, "crops 256 256 3"], output: BlazePoseOutput
) -> PartHeadInputs:
    """Return the head's inputs for square crops (RGB).

    Args:
        images: the crops.
        output: BlazePose's for these crops, with `maps`.
    """
    count = len(BLAZEPOSE_NAMES)
    cells = output.keypoints[:, :count] * np.float32(SIZE / CROP_SIZE_PX)
    depth = output.world_landmarks[:, :count, 2:]
    visibility = output.visibility[:, :count, None]
    colors = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    masks = torch.from_numpy(output.masks)[:, None]
    shrink = CROP_SIZE_PX // FINE_SIZE
    return PartHeadInputs(
        decoder=torch.from_numpy(output.maps.decoder),
        bottleneck=torch.from_numpy(output.maps.bottleneck),
        trunk=torch.from_numpy(output.maps.trunk),
        picture=functional.avg_pool2d(colors, shrink),
        mask=functional.avg_pool2d(masks, shrink)[:, 0],
        points=torch.from_numpy(np.concatenate((cells, depth, visibility), axis=-1)),
    )


class PartHead(nn.Module):
    """Network for the logits of the 15 parts of PART_NAMES from BlazePose's output for crops."""

    def __init__(self, config: PartHeadConfig) -> None:
        super().__init__()
        self.config = config
        widths, kernel = config.widths, config.kernel
        self.register_buffer("ends", _limb_ends(), persistent=False)
        self.norms = nn.ModuleDict(
            {
                "decoder": nn.BatchNorm2d(DECODER),
                "bottleneck": nn.BatchNorm2d(BOTTLENECK),
                "trunk": nn.BatchNorm2d(TRUNK),
            }
        )
        self.border_encoder = nn.Sequential(
            nn.Conv2d(4, config.borders, 4, 2, 1, bias=False),
            nn.BatchNorm2d(config.borders),
            nn.ReLU(inplace=True),
        )
        drawn = 2 * (len(PART_NAMES) - 1)
        self.input = _Pointwise(DECODER + config.borders + drawn, widths[0])
        self.fuse = _Pointwise(widths[-1] + BOTTLENECK + TRUNK, widths[-1])
        steps = list(pairwise(widths))
        self.down = nn.ModuleList(
            nn.Sequential(_Separable(fine, kernel), nn.AvgPool2d(2), _Pointwise(fine, coarse))
            for fine, coarse in steps
        )
        self.blocks = nn.Sequential(*(_Separable(widths[-1], kernel) for _ in range(2)))
        self.up = nn.ModuleList(_Pointwise(coarse, fine) for fine, coarse in steps)
        self.up_blocks = nn.ModuleList(_Separable(fine, kernel) for fine, _ in steps)
        self.output = nn.Conv2d(widths[0], len(PART_NAMES), 1)

    @classmethod
    def load(cls, path: Path = WEIGHTS_FILE) -> "PartHead":
        """Load a trained head.

        Raises:
            BadInputError: the file is missing or damaged.
        """
        with load_weights("The part head", path):
            config = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))["config"]
            head = cls(PartHeadConfig(**config | {"widths": tuple(config["widths"])}))
            head.load_state_dict(load_file(path))
        return head.eval().requires_grad_(False)

    def forward(self, inputs: PartHeadInputs) -> Float[Tensor, "crops parts 64 64"]:
        """Return logits of the parts, the background first."""
        mask_logits = torch.logit(inputs.mask[:, None], MASK_EPS)
        borders = self.border_encoder(torch.cat((inputs.picture - 0.5, mask_logits), dim=1))
        limbs = draw_limbs(inputs.points, self.ends)
        cells = torch.cat((self.norms["decoder"](inputs.decoder), borders, limbs), dim=1)
        cells, skipped = self.input(cells), []
        for down in self.down:
            skipped.append(cells)
            cells = down(cells)
        trunk = functional.interpolate(self.norms["trunk"](inputs.trunk), cells.shape[-2:])
        coarse = torch.cat((cells, self.norms["bottleneck"](inputs.bottleneck), trunk), dim=1)
        cells = self.blocks(self.fuse(coarse))
        for up, block, skip in zip(
            self.up[::-1], self.up_blocks[::-1], skipped[::-1], strict=True
        ):
            wider = functional.interpolate(up(cells), scale_factor=2.0, mode="bilinear")
            cells = block(wider + skip)
        logits = self.output(cells)
        gate = functional.avg_pool2d(mask_logits, FINE_SIZE // SIZE)
        return torch.cat((logits[:, :1] - gate, logits[:, 1:]), dim=1)

    @torch.inference_mode()
    def predict(
        self, images: UInt8[np.ndarray, "crops 256 256 3"], output: BlazePoseOutput
    ) -> Float32[np.ndarray, "crops 15 64 64"]:
        """Return part probabilities of crops; they sum to one in each cell.

        Args:
            images: square crops (RGB).
            output: BlazePose's for these crops, with `maps`.
        """
        inputs = part_head_inputs(images, output)
        device = self.ends.device
        inputs = PartHeadInputs(
            **{name: values.to(device) for name, values in vars(inputs).items()}
        )
        return self(inputs).softmax(dim=1).cpu().numpy()


class BlazePoseWithParts:
    """BlazePose followed by the part head: a landmark network whose output has parts."""

    def __init__(self, blazepose: BlazePose, head: PartHead) -> None:
        self.blazepose, self.head = blazepose, head

    @classmethod
    def open(cls, folder: Path, device: str = "cpu") -> "BlazePoseWithParts":
        """Load BlazePose from the folder of networks, and the part head.

        Raises:
            BadInputError: a file of either is missing or damaged.
        """
        return cls(BlazePose.open(folder, device), PartHead.load().to(device))

    def predict(self, images: UInt8[np.ndarray, "crops 256 256 3"]) -> BlazePoseOutput:
        """Predict keypoints, silhouettes, features and parts of square crops (RGB)."""
        output = self.blazepose.predict(images, maps=True)
        return replace(output, maps=None, parts=pack_part_maps(self.head.predict(images, output)))


def draw_limbs(
    points: Float[Tensor, "crops 33 4"], ends: Float[Tensor, "two drawn 33"]
) -> Float[Tensor, "crops channels 64 64"]:
    """Draw limbs as soft lines in two channels each, scaled by visibility and by depth.

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
    line = 1 / (1 + distance2 / LINE_WIDTH**2)
    depth, visibility = ((first + last) / 2)[..., 2:].unbind(-1)
    return torch.cat((line * visibility[..., None, None], line * depth[..., None, None]), dim=1)


def _limb_ends() -> Float[Tensor, "two drawn 33"]:
    """Return the weights of BlazePose's points in the two ends of every part but the background."""
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
    """1 x 1 convolution, batch norm and ReLU."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__(
            nn.Conv2d(channels_in, channels_out, 1, bias=False),
            nn.BatchNorm2d(channels_out),
            nn.ReLU(inplace=True),
        )


class _Separable(nn.Module):
    """Residual depthwise separable convolution."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(
            channels, channels, kernel, padding=kernel // 2, groups=channels
        )
        self.pointwise = _Pointwise(channels, channels)

    def forward(
        self, cells: Float[Tensor, "crops channels height width"]
    ) -> Float[Tensor, "crops channels height width"]:
        """Apply the block."""
        return cells + self.pointwise(self.depthwise(cells))
