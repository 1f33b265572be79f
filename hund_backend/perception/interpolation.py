"""Interpolation of detections to the frames in between."""

import numpy as np
from jaxtyping import Float, Int


def interpolate(
    values: Float[np.ndarray, "detections ..."],
    positions: Int[np.ndarray, " detections"],
    frames: Int[np.ndarray, " frames"],
) -> Float[np.ndarray, "frames ..."]:
    """Interpolate values at positions linearly to all frames."""
    flat = values.reshape(len(positions), -1)
    columns = [np.interp(frames, positions, column) for column in flat.T]
    return np.stack(columns, axis=-1).reshape(len(frames), *values.shape[1:])


def interpolate_crops(
    crops: Float[np.ndarray, "detections 4"],
    positions: Int[np.ndarray, " detections"],
    frames: Int[np.ndarray, " frames"],
) -> Float[np.ndarray, "frames 4"]:
    """Interpolate crops to all frames: sides by their logarithms, angles the shorter way around."""
    crops = crops.copy()
    crops[:, 2], crops[:, 3] = np.log(crops[:, 2]), np.unwrap(crops[:, 3])
    crops = interpolate(crops, positions, frames)
    crops[:, 2] = np.exp(crops[:, 2])
    return crops
