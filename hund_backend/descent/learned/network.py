"""Neural descent: the recurrent network of HUND for any region of the body.

"Neural Descent for Visual 3D Human Pose and Shape" (Zanfir et al., CVPR 2021), in the order of its
figure 2: evidence → context network → s_0 and context s^c; then, for each stage,

    (s_i, m_i) = RNN(s_{i−1}, L^{i−1}, s^c; m_{i−1})

with one recurrent cell for all stages and the losses L of the last state as its input. The figure
does not say of what kind the cell is; here it is a gated recurrent unit (Cho et al., 2014). The
stages get loss values and, our extension, the residuals they are made of; never gradients. The same
computation serves training and use, so the network can learn from unlabeled pictures.

The paper descends for body and hands by networks of the same kind. A region supplies what its
context network reads, its decoder from state vectors to posed points, and its losses.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any, Generic, NamedTuple, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

Inputs = TypeVar("Inputs")  # evidence of a batch of frames
Vector = TypeVar("Vector")  # a region's state vector, in the numbers that the stages change
Posed = TypeVar("Posed")  # the region, posed
Config = TypeVar("Config", bound="NetworkConfig")  # of a region


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """Sizes of the network; the switches are for ablations."""

    stages: int  # M
    hidden: int  # of the context network
    context: int  # of s^c
    memory: int  # of m
    uses_losses: bool = True  # as input of the stages
    uses_residuals: bool = True  # as input of the stages
    uses_memory: bool = True


class LossValues(NamedTuple):
    """Losses of a state, and their residuals."""

    terms: Float[Tensor, "batch terms"]  # weighted, in the order of the region's terms
    residuals: Float[Tensor, "batch residuals"]

    @property
    def total(self) -> Float[Tensor, " batch"]:
        """L(s); roughly per cent of the crop's width."""
        return self.terms.sum(-1)


class Step(NamedTuple):
    """A state of the descent, s_0 … s_M, with its losses."""

    vector: tuple  # the region's state vector, in the numbers that the stages change
    posed: tuple  # the region, posed
    losses: LossValues


def smooth_norm(
    vectors: Float[Tensor, "*batch components"], smoothing: float
) -> Float[Tensor, "*batch"]:
    """Length of vectors, round at zero."""
    return (vectors.square().sum(-1) + smoothing**2).sqrt() - smoothing


# --- Context: evidence → s_0 and s^c ---------------------------------------------------------------


class ContextNetwork(nn.Module, ABC, Generic[Inputs]):
    """Map the evidence to the initial state s_0 and the context code s^c."""

    def __init__(self, config: NetworkConfig, state_size: int) -> None:
        super().__init__()
        self.input = nn.Linear(self._add_encoders(config), config.hidden)
        self.blocks = nn.ModuleList(_ResidualBlock(config.hidden) for _ in range(2))
        self.norm = nn.LayerNorm(config.hidden)
        self.initial_state = nn.Linear(config.hidden, state_size)
        self.context = nn.Linear(config.hidden, config.context)
        with torch.no_grad():
            self.initial_state.weight.mul_(0.1)
            self.initial_state.bias.zero_()

    @abstractmethod
    def _add_encoders(self, config: NetworkConfig) -> int:
        """Add the region's own layers, if any, and return the number of values they lead to."""

    @abstractmethod
    def _values(self, inputs: Inputs) -> Float[Tensor, "batch values"]:
        """Return the evidence as one vector of comparable numbers."""

    def forward(
        self, inputs: Inputs
    ) -> tuple[Float[Tensor, "batch state"], Float[Tensor, "batch context"]]:
        """Return s_0 as an offset from the region's first guess, and s^c."""
        hidden = self.input(self._values(inputs))
        for block in self.blocks:
            hidden = block(hidden)
        hidden = self.norm(hidden)
        return self.initial_state(hidden), self.context(hidden)


class _ResidualBlock(nn.Module):
    """Residual block."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(hidden)
        self.first = nn.Linear(hidden, hidden)
        self.second = nn.Linear(hidden, hidden)
        nn.init.zeros_(self.second.bias)

    def forward(self, values: Float[Tensor, "batch hidden"]) -> Float[Tensor, "batch hidden"]:
        return values + self.second(nn.functional.silu(self.first(self.norm(values))))


# --- Stage: state, losses, context and memory → step -----------------------------------------------

_STEP_SCALE = 0.5  # of the last layer's output


class DescentStage(nn.Module):
    """Recurrent cell of all stages."""

    def __init__(self, config: NetworkConfig, state_size: int, inputs: int) -> None:
        """Build the cell.

        Args:
            config: sizes.
            state_size: length of the state vector.
            inputs: number of values that a stage gets beside the context.
        """
        super().__init__()
        memory = config.memory
        self.input = nn.Linear(inputs + config.context, memory)
        self.cell = nn.GRUCell(memory, memory)
        self.output = nn.Sequential(
            nn.Linear(memory, memory), nn.SiLU(), nn.Linear(memory, state_size)
        )
        nn.init.zeros_(self.output[-1].weight)
        nn.init.zeros_(self.output[-1].bias)

    def forward(
        self, values: Float[Tensor, "batch values"], memory: Float[Tensor, "batch memory"]
    ) -> tuple[Float[Tensor, "batch state"], Float[Tensor, "batch memory"]]:
        """Return the step to the next state, and the next memory."""
        memory = self.cell(nn.functional.silu(self.input(values)), memory)
        return _STEP_SCALE * self.output(memory), memory


# --- Descent: context → s_0 → stages, each with its losses -----------------------------------------


class NeuralDescent(nn.Module, ABC, Generic[Inputs, Vector, Posed]):
    """Network of a region: context, stages, and the region that they move."""

    def __init__(
        self,
        config: NetworkConfig,
        decoder: nn.Module,
        evidence_loss: nn.Module,
        context: ContextNetwork,
        stage_inputs: int,
    ) -> None:
        """Put the parts together.

        Args:
            config: sizes.
            decoder: with `state_size` and `split`, from a flat state to the state vector.
            evidence_loss: L(s), a function of state vector, posed region and inputs.
            context: context network.
            stage_inputs: number of values that a stage gets beside the context.
        """
        super().__init__()
        self.config = config
        self.decoder = decoder
        self.evidence_loss = evidence_loss
        self.context = context
        self.stage = DescentStage(config, decoder.state_size, stage_inputs)

    def forward(self, inputs: Inputs, stages: int | None = None) -> list[Step]:
        """Descend: s_0 … s_M.

        Args:
            inputs: evidence, batch of any frames.
            stages: M; the config's number by default.
        """
        config = self.config
        inputs = self._prepared(inputs)
        offset, context = self.context(inputs)
        flat = self._first_guess(inputs) + offset
        memory = flat.new_zeros(len(flat), config.memory)
        steps = [self.evaluate(flat, inputs)]
        for _ in range(config.stages if stages is None else stages):
            vector, posed, losses = steps[-1]
            stage_losses = LossValues(
                losses.terms * config.uses_losses, losses.residuals * config.uses_residuals
            )
            before = memory if config.uses_memory else torch.zeros_like(memory)
            values = (
                vector.flat().clamp(-6, 6),
                self._shape(posed, inputs),
                torch.log1p(stage_losses.terms),
                stage_losses.residuals,
                self._known(inputs),
                context,
            )
            step, memory = self.stage(torch.cat(values, dim=-1), before)
            flat = flat + step
            steps.append(self.evaluate(flat, inputs))
        return steps

    def evaluate(self, flat: Float[Tensor, "batch state"], inputs: Inputs) -> Step:
        """Pose a batch of states and compute their losses."""
        vector = self.decoder.split(flat)
        posed = self._posed(vector, inputs)
        return Step(vector, posed, self.evidence_loss(vector, posed, inputs))

    @abstractmethod
    def _posed(self, vector: Vector, inputs: Inputs) -> Posed:
        """Return the posed region of a state vector."""

    @abstractmethod
    def _first_guess(self, inputs: Inputs) -> Float[Tensor, "*batch state"]:
        """Return the flat state that s_0 is an offset from."""

    @abstractmethod
    def _shape(self, posed: Posed, inputs: Inputs) -> Float[Tensor, "batch values"]:
        """Return the posed points, without their place, in numbers of the size of one."""

    @abstractmethod
    def _known(self, inputs: Inputs) -> Float[Tensor, "batch values"]:
        """Return what every stage gets of the evidence itself."""

    def _prepared(self, inputs: Inputs) -> Inputs:
        """Return the inputs without what the config switches off."""
        return inputs


# --- Weights: files → network ----------------------------------------------------------------------


def config_of(default: Config, values: dict[str, Any]) -> Config:
    """Config from a description's values; what they lack is the default.

    Args:
        default: of the region, with its weights of the losses in `loss`.
        values: as `dataclasses.asdict` makes them of a config.
    """
    return replace(default, **values | {"loss": replace(default.loss, **values["loss"])})
