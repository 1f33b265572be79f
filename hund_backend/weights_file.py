"""Files of weights: what goes wrong in reading one, told in a sentence."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import safetensors

from .errors import BadInputError


@contextmanager
def being_read(what: str, path: Path) -> Iterator[None]:
    """Read weights and their description within; whatever is wrong with them becomes one sentence.

    Args:
        what: the weights are, with a capital letter.
        path: of the weights.

    Raises:
        BadInputError: a file is missing, damaged or of something else.
    """
    try:
        yield
    except (
        OSError,
        KeyError,
        TypeError,
        ValueError,
        RuntimeError,
        safetensors.SafetensorError,
    ) as error:
        reason = str(error).splitlines()[0]
        raise BadInputError(
            f"{what} {path} cannot be read ({reason}); restore the file from the project."
        ) from error
