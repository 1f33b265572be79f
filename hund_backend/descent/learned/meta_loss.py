"""Meta-loss: the training objective of a descent, a function of the losses L^0 … L^M of its stages.

"Neural Descent" (Zanfir et al., 2021) meta-regularizes the descent so that each stage makes
progress. The four forms are known from learning to learn; the last is that of Chen et al. ("Learning
to Learn without Gradient Descent by Gradient Descent", 2017).
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
    initial: float = 0.0,
    warmup: float = 0.0,
    progress: float = 0.0,
) -> Float[Tensor, ""]:
    """Combine the losses of all stages.

    Args:
        losses: L^0 … L^M of each of a batch.
        form: "sum": mean of L^1 … L^M; "last": L^M; "min": minimum of L^1 … L^M;
            "improvement": mean of min(L^i − min_{j<i} L^j, 0) with the running minimum detached
            (otherwise training would raise it).
        initial: weight of L^0; with zero, s_0 learns through the stages alone.
        warmup: weight of the sum beside the improvement, which has no gradient where no stage improves.
        progress: weight of the meta-regularization, mean of max(L^i − L^{i−1}, 0).
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
        value = (later - best).clamp(max=0).mean() + warmup * later.mean()
    increase = (later - losses[:-1].detach()).clamp(min=0).mean()
    return value + initial * first.mean() + progress * increase
