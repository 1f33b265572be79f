"""Flight: frames in which nothing bears a person, and what gravity says of the person's size.

In flight the center of mass accelerates with gravity, whatever the limbs do; the pelvis does not,
as arms and legs swing against it. So a flight tells falling from hanging or floating, and its
parabola is a ruler: somebody reconstructed too small and too near falls too slowly.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import label

from ..body.center_of_mass import GRAVITY, mass_weights
from ..body.skeleton import JOINT_NAMES

SHORTEST = 0.15  # seconds: in a shorter flight a wrong frame of contact decides
LONGEST = 1.5  # seconds: a jump from 2.8 m
PLAUSIBLE = 0.35  # deviation, in g, of the acceleration of somebody who flies; others hang or ride
POSITION_STD = 0.012  # metres: error of the center of mass, that persists for so many seconds:
PERSISTENCE = 0.2
SIZE_STD = 0.05  # of a person's reconstructed size, as a share
LARGEST_CORRECTION = 0.15  # share of the size


@dataclass(frozen=True, kw_only=True)
class Flights:
    """Flights of one person."""

    airborne: Float[np.ndarray, " frames"]  # confidence that nothing bears the person, 0…1
    size: float
    """Likeliest ratio of the person's true size, and distance, to the reconstructed one."""


def find_flights(
    joints: Float[np.ndarray, "frames 63 3"],
    present: Bool[np.ndarray, " frames"],
    bearing: Float[np.ndarray, "frames 12"],
    up: Float[np.ndarray, "3"],
    times: Float[np.ndarray, " frames"],
) -> Flights:
    """Find runs of frames without any contact, between contacts, in which a person falls.

    Args:
        joints: of the person, camera frame, metres.
        present: frames in which the person is in view.
        bearing: confidence that each point bears on something, moving supports included.
        up: unit vector away from the ground.
        times: of the frames, seconds.
    """
    most = bearing.max(axis=1)
    height = np.einsum("j,fjx,x->f", mass_weights(JOINT_NAMES), joints, up)
    airborne = np.zeros(len(times))
    precision, weighted = 1 / SIZE_STD**2, 0.0
    runs, count = label((most < 0.5) & present)
    for number in range(1, count + 1):
        inside = np.flatnonzero(runs == number)
        first, last = inside[0], inside[-1]
        if first == 0 or last == len(times) - 1 or not present[[first - 1, last + 1]].all():
            continue  # it begins or ends out of view
        frames = slice(first, last + 1)
        duration = times[last + 1] - times[first - 1]
        if len(inside) < 4 or not SHORTEST <= duration <= LONGEST:
            continue
        share = -2 * np.polyfit(times[frames], height[frames], 2)[0] / GRAVITY
        plausible = np.exp(-0.5 * ((share - 1) / PLAUSIBLE) ** 2)
        airborne[frames] = plausible * (1 - most[frames])
        deviation = _acceleration_std(times[last] - times[first]) / GRAVITY
        precision += plausible / deviation**2
        weighted += plausible * np.log(max(share, 0.1)) / deviation**2
    correction = np.clip(-weighted / precision, -LARGEST_CORRECTION, LARGEST_CORRECTION)
    return Flights(airborne=airborne, size=float(np.exp(correction)))


def _acceleration_std(duration: float) -> float:
    """Deviation of the acceleration of a parabola that is fitted to a flight, m/s²."""
    independent = duration / PERSISTENCE + 1
    return POSITION_STD * np.sqrt(720 / independent) / duration**2
