"""Filter of the evidence over time, learned: a window of detections corrects its middle frame's.

The stages look at one frame. What is ambiguous or wrong in it (a limb that is covered for a moment,
sides that are swapped, depths) is often told by its neighbors, so this network reads half a second
before and after and moves keypoints and landmarks of the frame in the middle, and the confidence in
them. HUND then descends from the corrected evidence, its losses and residuals included. Where no
neighbor is known, as in a single picture, nothing is changed.
"""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor, nn

from ...weights_file import load_weights
from ..keypoints import HIPS, NUM_KEYPOINTS
from .inputs import NetworkInputs
from .network import ResidualBlock
from .windows import MIDDLE, OFFSETS, Windows

WEIGHTS_FILE = Path(__file__).parents[2] / "weights" / "evidence_filter.safetensors"
MAX_BATCH = 2048  # frames in one pass
_FARTHEST = 2.0  # crop widths at which positions are clamped


@dataclass(frozen=True, kw_only=True)
class EvidenceFilterConfig:
    """Sizes of the network."""

    hidden: int = 384
    blocks: int = 2


class EvidenceFilter(nn.Module):
    """Corrections of the middle frame's evidence from a window."""

    def __init__(self, config: EvidenceFilterConfig) -> None:
        super().__init__()
        self.config = config
        values = len(OFFSETS) * (NUM_KEYPOINTS * (2 + 2 + 1 + 3) + 2 + 1) + 1
        self.input = nn.Linear(values, config.hidden)
        self.blocks = nn.ModuleList(ResidualBlock(config.hidden) for _ in range(config.blocks))
        self.norm = nn.LayerNorm(config.hidden)
        self.output = nn.Linear(config.hidden, NUM_KEYPOINTS * (2 + 3 + 1))
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    @classmethod
    def load(cls, path: Path = WEIGHTS_FILE) -> "EvidenceFilter":
        """Read trained weights.

        Raises:
            BadInputError: the file is missing or damaged.
        """
        with load_weights("The evidence filter's weights", path):
            description = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
            network = cls(EvidenceFilterConfig(**description["config"]))
            weights = load_file(path)
            network.load_state_dict({name: values.float() for name, values in weights.items()})
        return network.eval().requires_grad_(False)

    def description(self) -> dict[str, object]:
        """Content of the JSON file that `load` needs beside the weights."""
        return {"kind": "evidence_filter", "config": asdict(self.config)}

    def forward(self, inputs: NetworkInputs, windows: Windows) -> NetworkInputs:
        """The inputs with corrected keypoints, landmarks and confidence.

        Args:
            inputs: of the middle frames.
            windows: around them.
        """
        hidden = self.input(_values(inputs, windows))
        for block in self.blocks:
            hidden = block(hidden)
        knows_others = (windows.known.sum(1) > 1) & windows.known[:, MIDDLE]
        change = self.output(self.norm(hidden)) * knows_others[:, None]
        keypoints, landmarks, confidence = change.unflatten(-1, (NUM_KEYPOINTS, 6)).split(
            (2, 3, 1), dim=-1
        )
        return replace(
            inputs,
            keypoints=inputs.keypoints + 0.1 * keypoints,
            landmarks=inputs.landmarks + 0.1 * landmarks,
            confidence=torch.where(
                knows_others[:, None],
                (inputs.confidence + confidence[..., 0]).clamp(0, 1),
                inputs.confidence,
            ),
        )

    @torch.no_grad()
    def apply_to_track(self, inputs: NetworkInputs, windows: Windows) -> NetworkInputs:
        """Corrected inputs of a track, computed in batches of MAX_BATCH."""
        changed: dict[str, list[Tensor]] = {"keypoints": [], "landmarks": [], "confidence": []}
        for start in range(0, len(inputs), MAX_BATCH):
            rows = slice(start, start + MAX_BATCH)
            corrected = self(inputs.select(rows), windows.select(rows))
            for name, values in changed.items():
                values.append(getattr(corrected, name))
        return replace(inputs, **{name: torch.cat(values) for name, values in changed.items()})


def _values(inputs: NetworkInputs, windows: Windows) -> Float[Tensor, "batch values"]:
    """Windows as vectors of comparable numbers."""
    hips = windows.keypoints[:, :, list(HIPS)].mean(2, keepdim=True)
    around = (windows.keypoints - hips).clamp(-_FARTHEST, _FARTHEST)
    path = torch.cat(
        (
            hips[:, :MIDDLE] - hips[:, MIDDLE : MIDDLE + 1],
            hips[:, MIDDLE : MIDDLE + 1],
            hips[:, MIDDLE + 1 :] - hips[:, MIDDLE : MIDDLE + 1],
        ),
        dim=1,
    )
    values = (
        2 * around.flatten(2),
        2 * (windows.confidence[..., None] * around).flatten(2),
        windows.confidence,
        2 * windows.landmarks.flatten(2),
        path.flatten(2).clamp(-_FARTHEST, _FARTHEST),
        windows.known[..., None].to(hips),
    )
    known = windows.known[..., None].to(hips)
    per_offset = torch.cat(values, dim=-1) * known
    return torch.cat((per_offset.flatten(1), inputs.crop_width.log()[:, None]), dim=-1)
