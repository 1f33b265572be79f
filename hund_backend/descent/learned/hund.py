"""HUND of the body: what its network reads, its losses, and its weights.

After "Neural Descent for Visual 3D Human Pose and Shape" (Zanfir et al., CVPR 2021); the network
itself, which hands have too, is in `network.py`.
"""

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, grid_sample

from ...body.model import BodyModel
from ...body.skeleton import PART_MIRROR, PART_NAMES
from ...errors import BadInputError
from ...perception.blazepose import NUM_FEATURES
from ...prior.pose_flow import PoseFlow
from ...prior.prior_hash import prior_hash
from ...trained_network import load_network
from ..keypoints import NUM_KEYPOINTS, hip_centered, keypoint_weights
from ..reduced_body import REDUCED_JOINTS
from ..state import State
from .inputs import MAP_SIZE, NetworkInputs
from .network import (
    ContextNetwork,
    LossValues,
    NetworkConfig,
    NeuralDescent,
    config_of,
    smooth_norm,
)
from .state_decoder import PosedState, StateDecoder, StateVector

WEIGHTS_FILE = Path(__file__).parents[2] / "weights" / "hund.safetensors"
MAX_BATCH = 512  # frames in one pass of `descend`

TERMS = ("keypoints", "landmarks", "prior", "build", "parts")  # as Reconstruction files have them


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """Weights of the evidence losses; at the truth of an ordinary picture each is near or below 1."""

    keypoints: float = 100.0  # one per cent of the crop's width counts 1
    keypoint_smoothing: float = 0.004  # crop widths below which a distance counts as its square
    landmarks: float = 4.0  # per metre
    prior: float = 1.0  # mean square of the latent
    betas: float = 0.2  # mean square of the betas
    parts: float = 1.0  # fraction of samples on the limbs where the part map shows something else


@dataclass(frozen=True, kw_only=True)
class HundConfig(NetworkConfig):
    """Sizes of the body's network; the switches are for ablations."""

    stages: int = 4  # M
    hidden: int = 640  # of the context network
    context: int = 256  # of s^c
    memory: int = 384  # of m
    part_code: int = 96  # encoding of the part map
    feature_code: int = 96  # encoding of the pooled BlazePose features
    uses_flow: bool = True  # pose as the flow's latent, else as whitened 6D rotations
    uses_parts: bool = True
    uses_landmarks: bool = True  # the detector's own 3D
    uses_features: bool = True
    loss: LossConfig = field(default_factory=LossConfig)


# --- Context: evidence → s_0 and s^c ---------------------------------------------------------------

_CONTEXT_MAP_SIZE = 16  # cells along a side of the part map, as the context network reads it


class BodyContext(ContextNetwork[NetworkInputs]):
    """Context network of the body: keypoints, landmarks, part map and BlazePose's features."""

    def _add_encoders(self, config: HundConfig) -> int:
        cells = _CONTEXT_MAP_SIZE**2 * len(PART_NAMES)
        self.part_encoder = nn.Linear(cells, config.part_code, bias=False)
        self.feature_encoder = nn.Linear(NUM_FEATURES, config.feature_code, bias=False)
        keypoint_inputs = NUM_KEYPOINTS * (2 + 2 + 1 + 3) + 1
        return keypoint_inputs + config.part_code + 1 + config.feature_code + 1

    def _values(self, inputs: NetworkInputs) -> Float[Tensor, "batch values"]:
        keypoints = inputs.keypoints.clamp(-2, 2)
        return torch.cat(
            (
                2 * keypoints.flatten(1),
                2 * (inputs.confidence[..., None] * keypoints).flatten(1),
                inputs.confidence,
                2 * inputs.landmarks.flatten(1),
                inputs.crop_width.log()[:, None],
                self._part_code(inputs),
                inputs.has_parts[:, None].to(inputs.crop_width),
                # Some channels are clipped at 6, others reach 30: asinh makes them comparable.
                self.feature_encoder(inputs.features.asinh()),
                inputs.has_features[:, None].to(inputs.crop_width),
            ),
            dim=-1,
        )

    def _part_code(self, inputs: NetworkInputs) -> Float[Tensor, "batch part_code"]:
        if not inputs.has_parts.any():
            return inputs.crop_width.new_zeros(len(inputs), self.part_encoder.out_features)
        maps = avg_pool2d(inputs.parts, MAP_SIZE // _CONTEXT_MAP_SIZE)
        return self.part_encoder(maps.flatten(1))


# --- Losses: state and evidence → L(s) -------------------------------------------------------------

_NEAREST = 0.1  # metres: smallest depth in projections

# Samples along limbs at which the part map is read: part, joints, position between them.
_FRACTIONS = (0.25, 0.5, 0.75)
_LIMBS = {
    "upper_arm": ("Upperarm", "Lowerarm"),
    "forearm": ("Lowerarm", "Hand"),
    "thigh": ("Thigh", "Calf"),
    "calf": ("Calf", "Ankle"),
    "foot": ("Ankle", "Ball"),
}
_SAMPLES = (
    *(
        (f"{side}_{part}", first + side[0].upper(), second + side[0].upper(), fraction)
        for part, (first, second) in _LIMBS.items()
        for side in ("left", "right")
        for fraction in _FRACTIONS
    ),
    *(("left_hand", "LowerarmL", "HandL", 1.25), ("right_hand", "LowerarmR", "HandR", 1.25)),
    *(("head", "Neck01", "Head01", fraction) for fraction in (1.2, 1.8)),
    *(("torso", "Pelvis", "Spine03", fraction) for fraction in (0.2, 0.6, 1.0)),
)


class EvidenceLoss(nn.Module):
    """Losses L(s) of a state against the evidence, with their residuals."""

    def __init__(self, config: LossConfig) -> None:
        super().__init__()
        self.config = config
        index = {name: i for i, name in enumerate(REDUCED_JOINTS)}
        samples_from_joints = torch.zeros(len(_SAMPLES), len(REDUCED_JOINTS))
        for row, (_, first, second, fraction) in enumerate(_SAMPLES):
            samples_from_joints[row, index[first]] += 1 - fraction
            samples_from_joints[row, index[second]] += fraction
        part = torch.tensor([PART_NAMES.index(part) for part, *_ in _SAMPLES])
        self.register_buffer("samples_from_joints", samples_from_joints, persistent=False)
        self.register_buffer("part", part, persistent=False)
        self.register_buffer("mirrored_part", torch.tensor(PART_MIRROR)[part], persistent=False)
        self.register_buffer("keypoint_weights", keypoint_weights(), persistent=False)

    @property
    def num_residuals(self) -> int:
        """Number of residuals."""
        return 5 * len(self.keypoint_weights) + 3 * len(_SAMPLES)

    def forward(self, vector: StateVector, posed: PosedState, inputs: NetworkInputs) -> LossValues:
        """Losses of a batch of states."""
        config = self.config
        depth = posed.points[..., 2:].clamp(min=_NEAREST)
        projected = posed.points[..., :2] / depth / inputs.crop_width[:, None, None]
        reprojection = projected - inputs.keypoints
        landmark_offsets = hip_centered(posed.points) - inputs.landmarks
        weights = inputs.confidence * self.keypoint_weights
        total = weights.sum(-1) + 1
        distance = smooth_norm(reprojection, config.keypoint_smoothing)
        landmark_distance = (landmark_offsets.square().sum(-1) + 1e-4).sqrt() - 1e-2
        part_probabilities = self._part_probabilities(posed, inputs)
        terms = (
            config.keypoints * (weights * distance).sum(-1) / total,
            config.landmarks * (weights * landmark_distance).sum(-1) / total,
            config.prior * vector.latent.square().mean(-1),
            config.betas * vector.betas.square().mean(-1),
            config.parts * ((1 - part_probabilities[..., 0]).mean(-1) * inputs.has_parts),
        )
        residuals = (
            torch.asinh(reprojection / 0.04).flatten(1),
            torch.asinh(landmark_offsets / 0.1).flatten(1),
            part_probabilities.flatten(1) * inputs.has_parts[:, None],
        )
        return LossValues(torch.stack(terms, dim=-1), torch.cat(residuals, dim=-1))

    def _part_probabilities(
        self, posed: PosedState, inputs: NetworkInputs
    ) -> Float[Tensor, "batch samples 3"]:
        """Probability in the part map, at samples on the limbs, of: part, mirrored part, background."""
        if not inputs.has_parts.any():
            return inputs.crop_width.new_zeros(len(inputs), len(self.part), 3)
        samples = (self.samples_from_joints @ posed.joints) @ inputs.crop_from_rays.mT
        samples = samples[..., :2] / samples[..., 2:].clamp(min=_NEAREST)
        maps = grid_sample(
            inputs.parts, samples[:, None].clamp(-4, 4), align_corners=False
        )  # batch parts 1 samples
        maps = maps[:, :, 0].mT
        rows = torch.arange(len(self.part), device=maps.device)
        by_side = [maps[:, rows, part] for part in (self.part, self.mirrored_part)]
        return torch.stack((*by_side, maps[..., 0]), dim=-1)


# --- HUND of the body -----------------------------------------------------------------------------


class DescentStates(NamedTuple):
    """States of all stages."""

    states: State  # batch: frames, stages
    latents: Float[Tensor, "frames stages latent"]
    terms: Float[Tensor, "frames stages terms"]  # losses, in the order of TERMS


class Hund(NeuralDescent[NetworkInputs, StateVector, PosedState]):
    """HUND of the body."""

    def __init__(self, config: HundConfig, body: BodyModel, prior: PoseFlow) -> None:
        decoder = StateDecoder(body, prior, uses_flow=config.uses_flow)
        evidence_loss = EvidenceLoss(config.loss)
        residuals, state_size = evidence_loss.num_residuals, decoder.state_size
        stage_inputs = state_size + 3 * NUM_KEYPOINTS + len(TERMS) + residuals + NUM_KEYPOINTS + 2
        context = BodyContext(config, state_size)
        super().__init__(config, decoder, evidence_loss, context, stage_inputs)
        self.register_buffer("mean_state", decoder.mean_state(), persistent=False)

    @classmethod
    def load(cls, body: BodyModel, prior: PoseFlow, path: Path = WEIGHTS_FILE) -> "Hund":
        """Read trained weights.

        Args:
            body: body model that the weights were trained with.
            prior: pose prior that the weights were trained with.
            path: of the weights; their description lies beside them as JSON.

        Raises:
            BadInputError: the file is missing or damaged, or was trained with another prior.
        """
        hund, description = load_network(
            "HUND's weights",
            path,
            lambda config: cls(config_of(HundConfig(), config), body, prior),
        )
        if description["prior"] != prior_hash(prior):
            raise BadInputError(
                f"HUND's weights {path} belong to another pose prior; train them again or restore both."
            )
        return hund

    def description(self, prior: PoseFlow) -> dict[str, object]:
        """Content of the JSON file that `load` needs beside the weights."""
        return {"kind": "hund", "config": asdict(self.config), "prior": prior_hash(prior)}

    @torch.no_grad()
    def descend(self, inputs: NetworkInputs, stages: int | None = None) -> DescentStates:
        """States of all stages in the full frame's camera, computed in batches of MAX_BATCH."""
        starts = range(0, len(inputs), MAX_BATCH)
        batches = [self._descend(inputs.select(slice(i, i + MAX_BATCH)), stages) for i in starts]
        return batches[0] if len(batches) == 1 else _concatenate(batches)

    def _descend(self, inputs: NetworkInputs, stages: int | None) -> DescentStates:
        steps = self(inputs, stages)
        rotation = inputs.camera_from_crop
        states = [self.decoder.state(s.posed, s.vector.betas, rotation) for s in steps]
        return DescentStates(
            State.stacked(states, dim=1),
            torch.stack([step.vector.latent for step in steps], 1),
            torch.stack([step.losses.terms for step in steps], 1),
        )

    def _posed(self, vector: StateVector, inputs: NetworkInputs) -> PosedState:
        return self.decoder(vector, inputs.crop_width)

    def _first_guess(self, inputs: NetworkInputs) -> Float[Tensor, " state"]:
        return self.mean_state

    def _shape(self, posed: PosedState, inputs: NetworkInputs) -> Float[Tensor, "batch values"]:
        return 2 * (posed.points - posed.translation[:, None]).flatten(1)

    def _known(self, inputs: NetworkInputs) -> Float[Tensor, "batch values"]:
        has_parts = inputs.has_parts[:, None].to(inputs.crop_width)
        return torch.cat((inputs.confidence, inputs.crop_width.log()[:, None], has_parts), dim=-1)

    def _prepared(self, inputs: NetworkInputs) -> NetworkInputs:
        if not self.config.uses_parts:
            none = torch.zeros_like(inputs.has_parts)
            inputs = replace(inputs, parts=torch.zeros_like(inputs.parts), has_parts=none)
        if not self.config.uses_landmarks:
            inputs = replace(inputs, landmarks=torch.zeros_like(inputs.landmarks))
        if not self.config.uses_features:
            none = torch.zeros_like(inputs.has_features)
            features = torch.zeros_like(inputs.features)
            inputs = replace(inputs, features=features, has_features=none)
        return inputs


def _concatenate(batches: list[DescentStates]) -> DescentStates:
    return DescentStates(
        State.concatenated([batch.states for batch in batches]),
        torch.cat([batch.latents for batch in batches]),
        torch.cat([batch.terms for batch in batches]),
    )
