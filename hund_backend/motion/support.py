"""Support: what everybody's feet bear on, and the floor, in the camera frame."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int

from ..descent.sole_contacts import SoleContacts
from .contact_features import FootMotion
from .contact_network import ContactNetwork
from .contacts import rest_confidence
from .ground import Ground, estimate_ground, floor_level
from .performer import clip_floor, main_performer, prominences
from .posed_track import PosedTrack
from .upright import UpEvidence, up_evidence

FLOOR_REACH = 0.15  # metres from the floor at which a bearing sole stands on it at confidence ½


@dataclass(frozen=True, kw_only=True)
class Support:
    """Contacts of everybody's soles, and the floor."""

    ground: Ground
    main: int  # index of the main performer
    bearing: tuple[Float[np.ndarray, "frames 6"], ...]  # confidence of contact with anything, 0…1
    on_floor: tuple[Float[np.ndarray, "frames 6"], ...]  # confidence of contact with the floor
    over_floor: tuple[Float[np.ndarray, "frames 6"], ...]  # confidence that the floor is below
    floors: tuple[float, ...]  # height of the floor under each person, metres
    level: float  # height of the clip's floor, metres

    def contacts_of(self, person: int, frames: Int[np.ndarray, " chosen"]) -> SoleContacts:
        """Contacts of a person in some frames of the clip."""
        return SoleContacts(
            bearing=torch.from_numpy(self.bearing[person][frames]),
            on_floor=torch.from_numpy(self.on_floor[person][frames]),
            over_floor=torch.from_numpy(self.over_floor[person][frames]),
            up=torch.from_numpy(self.ground.up),
            floor=self.floors[person],
        )


def estimate_support(
    posed_tracks: list[PosedTrack],
    times: Float[np.ndarray, " frames"],
    network: ContactNetwork,
) -> Support:
    """Estimate contacts and floor from everybody's motion.

    Resting feet give a first ground, in whose up direction the network sees which soles bear; these
    give the ground.

    Args:
        posed_tracks: at least one, in the frame of a static camera.
        times: of the frames, seconds.
        network: of the contacts.
    """
    prominence = prominences(
        [person.keypoints for person in posed_tracks], [person.present for person in posed_tracks]
    )
    main = main_performer(prominence)
    fps = float(1 / np.median(np.diff(times))) if len(times) > 1 else 1.0
    feet = [person.feet for person in posed_tracks]
    rest = [
        rest_confidence(person.feet, times) * person.present[:, None] for person in posed_tracks
    ]
    first = estimate_ground(feet, rest, _uprights(posed_tracks, rest, fps), fps, main)
    bearing = [
        network.bearing(FootMotion.of_track(person), times, first.up) * person.present[:, None]
        for person in posed_tracks
    ]
    ground = estimate_ground(feet, bearing, _uprights(posed_tracks, bearing, fps), fps, main)
    heights = [points @ ground.up for points in feet]
    floors = [
        floor_level(height.ravel(), confidence.ravel())
        for height, confidence in zip(heights, bearing, strict=True)
    ]
    relative = [height - floor for height, floor in zip(heights, floors, strict=True)]
    on_floor = [
        confidence * _near_floor(height)
        for confidence, height in zip(bearing, relative, strict=True)
    ]
    return Support(
        ground=ground,
        main=main,
        bearing=tuple(bearing),
        on_floor=tuple(on_floor),
        over_floor=tuple(_near_floor(np.minimum(height, 0)) for height in relative),
        floors=tuple(floors),
        level=clip_floor(tuple(floors), prominence),
    )


def _uprights(
    posed_tracks: list[PosedTrack], bearing: list[Float[np.ndarray, "frames 6"]], fps: float
) -> list[UpEvidence]:
    return [
        up_evidence(person, confidence, fps)
        for person, confidence in zip(posed_tracks, bearing, strict=True)
    ]


def _near_floor(heights: Float[np.ndarray, "frames 6"]) -> Float[np.ndarray, "frames 6"]:
    """Return the confidence that points at these heights belong to the floor, 0…1."""
    return 1 / (1 + (heights / FLOOR_REACH) ** 4)
