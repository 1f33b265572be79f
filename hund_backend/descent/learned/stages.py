"""The networks of the neural descent: the context of a picture, and the cell of all stages.

After figure 2 of "Neural Descent for Visual 3D Human Pose and Shape" (Zanfir et al., 2021): evidence
→ s_0 and context s^c; then (s_i, m_i) = RNN(s_{i−1}, L^{i−1}, s^c; m_{i−1}) with one cell for all stages.
The figure does not say of what kind the cell is; here it is a gated recurrent unit (Cho et al., 2014).
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from hund_backend.body.skeleton import PART_NAMES
from hund_backend.descent.learned.evidence_loss import TERMS, LossValues
from hund_backend.descent.learned.inputs import MAP_SIZE, NetworkInputs
from hund_backend.descent.learned.state_decoder import Posed, StateVector
from hund_backend.descent.targets import NUM_KEYPOINTS
from hund_backend.perception.blazepose import NUM_FEATURES

GLANCE = 16  # cells along a side of the map that the context network looks at
STEP = 0.5  # of the last layer's values: the first steps of an untrained cell are small


class ContextNetwork(nn.Module):
    """From evidence to the initial state and the context code."""

    def __init__(self, numbers: int, hidden: int, context: int, glance: int, recall: int) -> None:
        super().__init__()
        cells = GLANCE**2 * len(PART_NAMES)
        self.glance = nn.Linear(cells, glance, bias=False)
        self.recall = nn.Linear(NUM_FEATURES, recall, bias=False)
        seen = NUM_KEYPOINTS * (2 + 2 + 1 + 3) + 1
        self.enter = nn.Linear(seen + glance + 1 + recall + 1, hidden)
        self.think = nn.ModuleList(_Residual(hidden) for _ in range(2))
        self.norm = nn.LayerNorm(hidden)
        self.first = nn.Linear(hidden, numbers)
        self.context = nn.Linear(hidden, context)
        with torch.no_grad():
            self.first.weight.mul_(0.1)
            self.first.bias.zero_()

    def forward(
        self, seen: NetworkInputs
    ) -> tuple[Float[Tensor, "batch numbers"], Float[Tensor, "batch context"]]:
        """What to add to the mean person for s_0, and s^c."""
        values = torch.cat(
            (
                2 * seen.keypoints.clamp(-2, 2).flatten(1),
                2 * (seen.confidence[..., None] * seen.keypoints.clamp(-2, 2)).flatten(1),
                seen.confidence,
                2 * seen.landmarks.flatten(1),
                seen.span.log()[:, None],
                self._glance(seen),
                seen.has_parts[:, None].to(seen.span),
                # Some channels end at 6, others reach 30: the squashing makes them comparable.
                self.recall(seen.features.asinh()),
                seen.has_features[:, None].to(seen.span),
            ),
            dim=-1,
        )
        hidden = self.enter(values)
        for layer in self.think:
            hidden = layer(hidden)
        hidden = self.norm(hidden)
        return self.first(hidden), self.context(hidden)

    def _glance(self, seen: NetworkInputs) -> Float[Tensor, "batch glance"]:
        """What the part maps say as wholes; nothing where there are none."""
        if not seen.has_parts.any():
            return seen.span.new_zeros(len(seen), self.glance.out_features)
        return self.glance(avg_pool2d(seen.parts, MAP_SIZE // GLANCE).flatten(1))


class DescentStage(nn.Module):
    """The recurrent cell: from a state and its losses to a step."""

    def __init__(self, numbers: int, residuals: int, context: int, memory: int) -> None:
        super().__init__()
        told = numbers + 3 * NUM_KEYPOINTS + len(TERMS) + residuals + NUM_KEYPOINTS + 2
        self.enter = nn.Linear(told + context, memory)
        self.cell = nn.GRUCell(memory, memory)
        self.leave = nn.Sequential(
            nn.Linear(memory, memory), nn.SiLU(), nn.Linear(memory, numbers)
        )
        nn.init.zeros_(self.leave[-1].weight)
        nn.init.zeros_(self.leave[-1].bias)

    def forward(
        self,
        numbers: StateVector,
        posed: Posed,
        feedback: LossValues,
        seen: NetworkInputs,
        context: Float[Tensor, "batch context"],
        memory: Float[Tensor, "batch memory"],
    ) -> tuple[Float[Tensor, "batch numbers"], Float[Tensor, "batch memory"]]:
        """The step to the next state, and what to remember."""
        relative = posed.points - posed.translation[:, None]
        told = torch.cat(
            (
                numbers.flat().clamp(-6, 6),
                2 * relative.flatten(1),
                torch.log1p(feedback.terms),
                feedback.residuals,
                seen.confidence,
                seen.span.log()[:, None],
                seen.has_parts[:, None].to(seen.span),
                context,
            ),
            dim=-1,
        )
        memory = self.cell(nn.functional.silu(self.enter(told)), memory)
        return STEP * self.leave(memory), memory


class _Residual(nn.Module):
    """Adds two layers' answer to what there was."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(hidden)
        self.first = nn.Linear(hidden, hidden)
        self.second = nn.Linear(hidden, hidden)
        nn.init.zeros_(self.second.bias)

    def forward(self, values: Float[Tensor, "batch hidden"]) -> Float[Tensor, "batch hidden"]:
        """What there was and what it makes one think."""
        return values + self.second(nn.functional.silu(self.first(self.norm(values))))
