"""Descent over shots: a track that continues after a cut, one shot at a time, with one body shape.

At a cut the camera changes, so that a person jumps in its frame: nothing may be smoothed over it.
"""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from ..perception.evidence import Evidence
from .result import DescentResult
from .state import State


def descend_by_shot(
    evidence: Evidence, descend: Callable[[Evidence, Tensor], DescentResult]
) -> DescentResult:
    """Descend on each shot of a track alone, and join the results.

    Args:
        evidence: of one person over a track.
        descend: called with the evidence of a shot and the rows of its frames, (rows,).

    Returns:
        The result over all frames. If there are several shots, its body shape is the mean of
        theirs, weighted by the number of observed frames.
    """
    rows = evidence.shot_rows()
    if len(rows) == 1:
        return descend(evidence, torch.from_numpy(rows[0]))
    results = [descend(evidence.select(shot), torch.from_numpy(shot)) for shot in rows]
    state = State.concatenated([result.state for result in results])
    weights = torch.from_numpy(evidence.observed).to(state.betas)[:, None] + 1e-6
    betas = (weights * state.betas).sum(dim=0) / weights.sum()
    return replace(
        results[0],
        state=replace(state, betas=betas.expand_as(state.betas)),
        stages=State.concatenated([result.stages for result in results]),
        stage_losses=torch.cat([result.stage_losses for result in results]),
        joint_confidence=torch.cat([result.joint_confidence for result in results]),
        converged=all(result.converged for result in results),
    )
