"""Hash by which weights name the pose prior they were trained with."""

import hashlib

from torch import nn


def prior_hash(prior: nn.Module) -> str:
    """SHA-256, in hexadecimal, of a prior's tensors in single precision, by their sorted names.

    Of the tensors, not of a file, so that priors that were just trained have one, too.
    """
    digest = hashlib.sha256()
    for _, values in sorted(prior.state_dict().items()):
        digest.update(values.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
