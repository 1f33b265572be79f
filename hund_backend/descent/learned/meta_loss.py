"""The learning loss: what training lowers, a function of the losses L^0 … L^M of all stages.

"Neural Descent" (Zanfir et al., 2021) meta-regularises the descent so that it makes progress to its
end. The four forms are those known from learning to learn; the last is that of Chen et al.
("Learning to Learn without Gradient Descent by Gradient Descent", 2017).
"""

from typing import Literal, get_args

from jaxtyping import Float
from torch import Tensor

Form = Literal["sum", "last", "min", "improvement"]
FORMS: tuple[Form, ...] = get_args(Form)


def meta_loss(
    losses: Float[Tensor, "stages batch"],
    form: Form,
    *,
    start: float = 0.0,
    warmth: float = 0.0,
    progress: float = 0.0,
) -> Float[Tensor, ""]:
    """One number of the losses of all stages.

    Args:
        losses: L^0 … L^M of each of a batch.
        form: "sum": the mean of L^1 … L^M; "last": L^M; "min": the least of L^1 … L^M;
            "improvement": mean of min(L^i − min_{j<i} L^j, 0), where what was best so far is taken
            as given (else training would raise it).
        start: weight of L^0 beside it; with none s_0 learns through the stages alone.
        warmth: weight of the sum beside the improvement, which teaches nothing while nothing improves.
        progress: weight of the meta-regularisation, mean of max(L^i − L^{i−1}, 0): what a stage
            spoils counts again.
    """
    first, later = losses[0], losses[1:]
    if len(later) == 0:
        return first.mean()
    if form == "sum":
        value = later.mean()
    elif form == "last":
        value = later[-1].mean()
    elif form == "min":
        value = later.amin(0).mean()
    else:
        best = losses.detach().cummin(0).values[:-1]
        value = (later - best).clamp(max=0).mean() + warmth * later.mean()
    spoiled = (later - losses[:-1].detach()).clamp(min=0).mean()
    return value + start * first.mean() + progress * spoiled
