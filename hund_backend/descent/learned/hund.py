"""HUND: people from evidence by learned descent; a few recurrent stages instead of gradients.

"Neural Descent for Visual 3D Human Pose and Shape" (Zanfir et al., CVPR 2021). The stages see the
state, the values of its losses with their residuals, and a context code of the evidence; the same
computation serves training and use, so that it can learn from unlabelled pictures.
"""

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor, nn

from hund_backend.body.model import BodyModel
from hund_backend.descent.learned.evidence_loss import EvidenceLoss, LossConfig, LossValues
from hund_backend.descent.learned.inputs import NetworkInputs
from hund_backend.descent.learned.stages import ContextNetwork, DescentStage
from hund_backend.descent.learned.state_decoder import Posed, StateDecoder, StateVector
from hund_backend.descent.state import State
from hund_backend.errors import BadInputError
from hund_backend.prior.pose_flow import PoseFlow
from hund_backend.weights_file import being_read

WEIGHTS_FILE = Path(__file__).parents[2] / "weights" / "hund.safetensors"
BATCH = 512  # frames at once where nobody asks otherwise


@dataclass(frozen=True, kw_only=True)
class HundConfig:
    """What the network is made of; the switches are for finding out what each thing is worth."""

    stages: int = 4  # M
    hidden: int = 640  # of the context network
    context: int = 256
    memory: int = 384
    glance: int = 96  # numbers that the context network makes of the part map
    recall: int = 96  # and of the keypoint network's inner features
    through_flow: bool = True  # the pose as the flow's latent, else as white 6D rotations
    tells_losses: bool = True  # the stages are told the losses
    tells_residuals: bool = True  # and what they are made of
    remembers: bool = True
    sees_parts: bool = True  # the part map, where there is one
    sees_landmarks: bool = True  # the detector's own 3D
    sees_features: bool = True  # what the detector thought, where it looked at a picture
    loss: LossConfig = field(default_factory=LossConfig)


class Step(NamedTuple):
    """A state of the descent, s_0 … s_M, and what it costs."""

    numbers: StateVector
    posed: Posed
    feedback: LossValues


class Hund(nn.Module):
    """The whole network of a body region: context, stages, and the body that they move."""

    def __init__(self, config: HundConfig, body: BodyModel, prior: PoseFlow) -> None:
        super().__init__()
        self.config = config
        self.decoder = StateDecoder(body, prior, through_flow=config.through_flow)
        self.evidence_loss = EvidenceLoss(config.loss)
        numbers = self.decoder.numbers
        self.context = ContextNetwork(
            numbers, config.hidden, config.context, config.glance, config.recall
        )
        self.stage = DescentStage(numbers, self.evidence_loss.size, config.context, config.memory)
        self.register_buffer("start", self.decoder.start(), persistent=False)

    @classmethod
    def load(cls, body: BodyModel, prior: PoseFlow, path: Path = WEIGHTS_FILE) -> "Hund":
        """Read weights that training has written, for a body and the prior they learned with.

        Raises:
            BadInputError: the file is missing or damaged, or belongs to another prior.
        """
        with being_read("HUND's weights", path):
            told = json.loads(path.with_suffix(".json").read_text())
            config = dict(told["config"])
            hund = cls(HundConfig(**config | {"loss": LossConfig(**config["loss"])}), body, prior)
            weights = load_file(path)
            hund.load_state_dict({name: values.float() for name, values in weights.items()})
        if told["prior"] != fingerprint(prior):
            raise BadInputError(
                f"HUND's weights {path} belong to another pose prior; train them again or restore both."
            )
        return hund.eval().requires_grad_(False)

    def forward(self, seen: NetworkInputs, stages: int | None = None) -> list[Step]:
        """The descent: s_0 … s_M with M the number of stages, or as many as the config says."""
        config = self.config
        seen = self._looked_at(seen)
        first, context = self.context(seen)
        flat = self.start + first
        memory = flat.new_zeros(len(flat), config.memory)
        steps = [self.weighed(flat, seen)]
        for _ in range(config.stages if stages is None else stages):
            numbers, posed, feedback = steps[-1]
            told = LossValues(
                feedback.terms * config.tells_losses,
                feedback.residuals * config.tells_residuals,
            )
            kept = memory if config.remembers else torch.zeros_like(memory)
            step, memory = self.stage(numbers, posed, told, seen, context, kept)
            flat = flat + step
            steps.append(self.weighed(flat, seen))
        return steps

    def _looked_at(self, seen: NetworkInputs) -> NetworkInputs:
        """The evidence without what the network is not to see."""
        if not self.config.sees_parts:
            nothing = torch.zeros_like(seen.has_parts)
            seen = replace(seen, parts=torch.zeros_like(seen.parts), has_parts=nothing)
        if not self.config.sees_landmarks:
            seen = replace(seen, landmarks=torch.zeros_like(seen.landmarks))
        if not self.config.sees_features:
            nothing = torch.zeros_like(seen.has_features)
            seen = replace(seen, features=torch.zeros_like(seen.features), has_features=nothing)
        return seen

    def weighed(self, flat: Float[Tensor, "batch numbers"], seen: NetworkInputs) -> Step:
        """A state with its losses."""
        numbers = self.decoder.split(flat)
        posed = self.decoder(numbers, seen.span)
        return Step(numbers, posed, self.evidence_loss(numbers, posed, seen))

    @torch.no_grad()
    def descend(self, seen: NetworkInputs, stages: int | None = None) -> "Descended":
        """States of all stages in the full frame's camera, some hundred frames at a time."""
        starts = range(0, len(seen), BATCH)
        batches = [self._descended(seen.at(slice(i, i + BATCH)), stages) for i in starts]
        return batches[0] if len(batches) == 1 else _in_a_row(batches)

    def _descended(self, seen: NetworkInputs, stages: int | None) -> "Descended":
        steps = self(seen, stages)
        turn = seen.camera_from_crop
        states = [self.decoder.state(s.posed, s.numbers.betas, turn) for s in steps]
        return Descended(
            State(**{name: torch.stack([vars(s)[name] for s in states], 1) for name in _STATE}),
            torch.stack([step.numbers.latent for step in steps], 1),
            torch.stack([step.feedback.terms for step in steps], 1),
        )

    def described(self, prior: PoseFlow) -> dict[str, object]:
        """What the weights' description must hold to be loaded again."""
        return {"kind": "hund", "config": asdict(self.config), "prior": fingerprint(prior)}


class Descended(NamedTuple):
    """What a descent answers."""

    states: State  # batch: frames stages
    latents: Float[Tensor, "frames stages latent"]
    terms: Float[Tensor, "frames stages terms"]  # the losses, in the order of feedback.TERMS


_STATE = ("pose", "betas", "global_orient", "root_translation")


def _in_a_row(batches: list[Descended]) -> Descended:
    states = {name: torch.cat([vars(b.states)[name] for b in batches]) for name in _STATE}
    return Descended(
        State(**states),
        torch.cat([batch.latents for batch in batches]),
        torch.cat([batch.terms for batch in batches]),
    )


def fingerprint(prior: PoseFlow) -> list[float]:
    """A few numbers by which a prior is told from another: where it takes a fixed latent."""
    at = torch.linspace(-1, 1, prior.config.features).to(prior.mean)
    return [round(float(value), 3) for value in prior.decode(at)[:8]]
