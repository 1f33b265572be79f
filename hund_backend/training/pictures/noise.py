"""Noise: smooth random functions of space, for skin, cloth, folds and walls."""

import numpy as np
import torch
from jaxtyping import Float
from torch.nn.functional import grid_sample

CELLS = 24  # of the lattice along each axis, after which it repeats


class Noise:
    """Values at random lattice points with linear interpolation; mean 0, at most about 2."""

    def __init__(self, rng: np.random.Generator, channels: int = 1) -> None:
        lattice = rng.standard_normal((channels, CELLS, CELLS, CELLS), np.float32)
        # The first planes again behind the last ones, so that there is no seam.
        self._lattice = torch.from_numpy(np.pad(lattice, ((0, 0), *[(0, 1)] * 3), "wrap"))[None]

    def __call__(
        self, points: Float[np.ndarray, "points 3"], size: float | tuple[float, float, float]
    ) -> Float[np.ndarray, " points"]:
        """Values of the first channel.

        Args:
            points: positions.
            size: of a cell of the lattice, in the points' unit; may differ between the axes.
        """
        return self.vectors(points, size)[0]

    def vectors(
        self, points: Float[np.ndarray, "points 3"], size: float | tuple[float, float, float]
    ) -> Float[np.ndarray, "channels points"]:
        """Values of all channels."""
        cells = (points / np.asarray(size)).astype(np.float32) % CELLS
        places = torch.from_numpy(cells * (2 / CELLS) - 1)[None, :, None, None]
        values = grid_sample(self._lattice, places, align_corners=True)
        return values[0, :, :, 0, 0].numpy()

    def layered(
        self, points: Float[np.ndarray, "points 3"], size: float, octaves: int = 3
    ) -> Float[np.ndarray, " points"]:
        """Sum of octaves, each half the size and half the strength of the one before."""
        layers = (self(points + 7.3 * k, size / 2**k) / 2**k for k in range(octaves))
        return np.sum(list(layers), axis=0)
