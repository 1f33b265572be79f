"""Support: what everybody bears on, and the floor, in the camera frame."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from ..body.soles import SOLE_NAMES
from ..descent.body_contacts import BodyContacts
from .balance import bearing_by_balance
from .contact_features import FootMotion
from .contact_network import ContactNetwork
from .contacts import rest_confidence, steadiness, with_hysteresis
from .flight import Flights, find_flights
from .ground import Ground, estimate_ground, floor_level
from .levels import contact_levels, near_floor
from .performer import clip_floor, main_performer, prominences
from .posed_track import PosedTrack
from .resting import lies
from .shared_floor import joined_floors
from .upright import CAMERA_UP, UpEvidence, up_evidence

NUM_SOLES = len(SOLE_NAMES)
RAISED = (
    0.05,
    0.10,
)  # metres over the foot's lowest point: below, and above which it bears nothing


@dataclass(frozen=True, kw_only=True)
class Support:
    """Contacts of everybody's points, flights, and the floor."""

    ground: Ground
    main: int  # index of the main performer
    bearing: tuple[Float[np.ndarray, "frames 12"], ...]
    """Confidence that each point of CONTACT_NAMES bears on something that keeps its place, 0…1."""
    heights: tuple[Float[np.ndarray, "frames 12"], ...]  # over the floor under each person, metres
    flights: tuple[Flights, ...]
    floors: tuple[float, ...]  # height of the floor under each person, metres
    level: float  # height of the clip's floor, metres

    def contacts_of(self, person: int, frames: Int[np.ndarray, " chosen"]) -> BodyContacts:
        """Contacts of a person in some frames of the clip."""
        bearing, heights = self.bearing[person], self.heights[person]
        on_level, levels = contact_levels(heights, bearing)
        floor = self.floors[person]
        on_floor = (bearing - on_level) * near_floor(heights)
        over_floor = near_floor(np.minimum(heights, 0))
        airborne = self.flights[person].airborne
        arrays = (bearing, on_floor, over_floor, on_level, levels + floor, airborne)
        names = ("bearing", "on_floor", "over_floor", "on_level", "levels", "airborne")
        return BodyContacts(
            **{
                name: torch.from_numpy(array[frames])
                for name, array in zip(names, arrays, strict=True)
            },
            up=torch.from_numpy(self.ground.up),
            floor=floor,
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
    resting = [lies(person, CAMERA_UP, fps) for person in posed_tracks]
    first = estimate_ground(feet, rest, _uprights(posed_tracks, rest, resting, fps), fps, main)
    touching = [
        _bearing(person, times, still, first.up, network) * person.present[:, None]
        for person, still in zip(posed_tracks, resting, strict=True)
    ]
    bearing = [
        contact * steadiness(person.contact_points, contact, fps)
        for person, contact in zip(posed_tracks, touching, strict=True)
    ]
    soles = [contact[:, :NUM_SOLES] for contact in bearing]
    ground = estimate_ground(feet, soles, _uprights(posed_tracks, soles, resting, fps), fps, main)
    heights = [person.contact_points @ ground.up for person in posed_tracks]
    floors = [
        floor_level(height[:, :NUM_SOLES].ravel(), confidence.ravel())
        for height, confidence in zip(heights, soles, strict=True)
    ]
    level = clip_floor(tuple(floors), prominence)
    floors = joined_floors(floors, level)
    return Support(
        ground=ground,
        main=main,
        bearing=tuple(bearing),
        heights=tuple(height - floor for height, floor in zip(heights, floors, strict=True)),
        flights=tuple(
            find_flights(person.joints, person.present, contact, ground.up, times)
            for person, contact in zip(posed_tracks, touching, strict=True)
        ),
        floors=floors,
        level=level,
    )


def _uprights(
    posed_tracks: list[PosedTrack],
    bearing: list[Float[np.ndarray, "frames 6"]],
    resting: list[Bool[np.ndarray, " frames"]],
    fps: float,
) -> list[UpEvidence]:
    return [
        up_evidence(person, confidence, still, fps)
        for person, confidence, still in zip(posed_tracks, bearing, resting, strict=True)
    ]


def _bearing(
    person: PosedTrack,
    times: Float[np.ndarray, " frames"],
    resting: Bool[np.ndarray, " frames"],
    up: Float[np.ndarray, "3"],
    network: ContactNetwork,
) -> Float[np.ndarray, "frames 12"]:
    """Return the probability that each point bears: soles by the network, others by balance."""
    inferred = bearing_by_balance(
        person.contact_points,
        person.joints.astype(np.float64),
        up,
        times,
        resting,
    )
    probability = with_hysteresis(inferred)
    soles = network.bearing(FootMotion.of_track(person), times, up)
    soles = np.maximum(soles, probability[:, :NUM_SOLES])
    probability[:, :NUM_SOLES] = soles * _lowest_of_foot(person.feet @ up)
    return probability


def _lowest_of_foot(heights: Float[np.ndarray, "frames 6"]) -> Float[np.ndarray, "frames 6"]:
    """Return 1 for the lowest points of each foot, falling to 0 for those well above them.

    Toes of somebody who lies on their back keep still, and bear nothing.
    """
    above = heights.reshape(len(heights), 2, -1)
    above = above - above.min(axis=-1, keepdims=True)
    low, high = RAISED
    return np.clip((high - above) / (high - low), 0, 1).reshape(heights.shape)
