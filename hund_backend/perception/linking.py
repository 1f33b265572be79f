"""Linking: pieces of tracks become whole people, gaps bridged, as evidence."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment

from hund_backend.perception.crop_detector import NUM_KEYPOINTS, Sighting

from .crops import crop_from_image
from .evidence import Evidence
from .flips import FlipConfig, unflip
from .tracks import box_overlap

UNLIKELY = 1e3  # cost of a link that cannot be


@dataclass(frozen=True, kw_only=True)
class LinkConfig:
    """Which pieces are one person, and which are nobody."""

    longest_gap: float = 1.5  # seconds without a sighting that a person may come back from
    longest_overlap: float = 0.3  # seconds of sightings that a lost piece may add to the next
    reach: float = 0.3  # distance in sides of the crop by which a person may be elsewhere at once
    speed: float = 1.5  # by which the reach grows, sides a second
    growth: float = 0.3  # change of the logarithm of the side that counts as much as the reach
    color_spread: float = 30.0  # difference of colors that does
    most_cost: float = 4.0  # of a link, a sum of squares
    shadow: float = 0.2  # seconds for which two pieces stand in one place until one is a shadow
    same_place: float = 0.5  # mean overlap of their boxes
    shadowed: float = 0.1  # mean quality by which the shadow is worse
    shortest: float = 0.25  # seconds for which somebody must be seen
    least_quality: float = 0.5  # of the better half of somebody's sightings
    flips: FlipConfig = field(default_factory=FlipConfig)


def gather(
    pieces: Sequence[dict[int, Sighting]],
    intrinsics: Float[np.ndarray, "3 3"],
    *,
    fps: float,
    num_frames: int,
    max_people: int | None,
    config: LinkConfig,
) -> list[Evidence]:
    """Evidence of everybody who was seen long enough, in order of appearance.

    Args:
        pieces: of tracks, sightings by position in the clip, ascending.
        intrinsics: of the full frame.
        fps: frames a second.
        num_frames: of the clip.
        max_people: how many to keep, those who are seen most and largest; None keeps all.
        config: see LinkConfig.
    """
    pieces = without_shadows(sorted(pieces, key=_first), fps, config)
    people = link(pieces, fps, config)
    shortest = min(config.shortest * fps, num_frames / 2)
    people = [p for p in people if len(p) >= shortest and _quality(p) >= config.least_quality]
    people = sorted(people, key=_presence, reverse=True)[:max_people]
    if fps >= config.flips.least_fps:
        people = [_unflipped(person, config.flips) for person in people]
    people.sort(key=lambda person: (_first(person), -_presence(person)))
    return [bridge(person, intrinsics, track_id=i) for i, person in enumerate(people)]


def without_shadows(
    pieces: Sequence[dict[int, Sighting]], fps: float, config: LinkConfig
) -> list[dict[int, Sighting]]:
    """Pieces without those that are but wrong readings of people whom better pieces follow.

    A shadow stands for a while where somebody else does and is seen much worse. What it has
    beyond the better piece, right before, after or in its gaps, is handed over.
    """
    kept: list[dict[int, Sighting]] = []
    for piece in sorted(pieces, key=_quality, reverse=True):
        caster = next((one for one in kept if _is_shadow(piece, one, fps, config)), None)
        if caster is None:
            kept.append(piece)
        else:
            caster |= {p: sighting for p, sighting in piece.items() if p not in caster}
    return sorted((dict(sorted(piece.items())) for piece in kept), key=_first)


def _is_shadow(
    piece: dict[int, Sighting], other: dict[int, Sighting], fps: float, config: LinkConfig
) -> bool:
    common = sorted(piece.keys() & other.keys())
    if len(common) < config.shadow * fps:
        return False
    overlap = np.mean([box_overlap(piece[p].box, other[p].box) for p in common])
    worse = np.mean([other[p].quality - piece[p].quality for p in common])
    return bool(overlap > config.same_place and worse > config.shadowed)


def link(
    pieces: Sequence[dict[int, Sighting]], fps: float, config: LinkConfig
) -> list[dict[int, Sighting]]:
    """Chains of pieces, each beginning about where and when the one before ended.

    Which pieces are joined is one assignment over all of them, by place, size and colors. Where
    two joined pieces overlap the better sightings stay.
    """
    cost = np.full((len(pieces), len(pieces)), UNLIKELY)
    for row, earlier in enumerate(pieces):
        for column, later in enumerate(pieces):
            cost[row, column] = _link_cost(earlier, later, fps, config)
    rows, columns = linear_sum_assignment(np.minimum(cost, config.most_cost))
    follower = {
        row: column
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True)
        if cost[row, column] < config.most_cost
    }
    chains = []
    for start in sorted(set(range(len(pieces))) - set(follower.values())):
        chain, piece = dict(pieces[start]), start
        while piece in follower:
            piece = follower[piece]
            for position, sighting in pieces[piece].items():
                if position not in chain or chain[position].quality < sighting.quality:
                    chain[position] = sighting
        chains.append(dict(sorted(chain.items())))
    return chains


def _link_cost(
    earlier: dict[int, Sighting], later: dict[int, Sighting], fps: float, config: LinkConfig
) -> float:
    """How much speaks against one person in two pieces."""
    start = _first(later)
    until = [position for position in earlier if position <= start]
    common = earlier.keys() & later.keys()
    if not until or max(later) <= max(earlier) or len(common) > config.longest_overlap * fps:
        return UNLIKELY
    if any(box_overlap(earlier[p].box, later[p].box) < config.same_place for p in common):
        return UNLIKELY
    end = max(until)
    seconds = (start - end) / fps
    if seconds > config.longest_gap:
        return UNLIKELY
    before, after = earlier[end], later[start]
    shift, side = after.crop[:2] - before.crop[:2], np.sqrt(before.crop[2] * after.crop[2])
    moved = _speed(earlier, end) * (start - end)
    distance = min(np.linalg.norm(shift), np.linalg.norm(shift - moved)) / side
    colors = np.linalg.norm(_colors(earlier) - _colors(later), axis=-1).mean()
    reach = config.reach + config.speed * seconds
    growth = np.log(after.crop[2] / before.crop[2])
    parts = (distance / reach, growth / config.growth, colors / config.color_spread)
    return float(np.square(parts).sum())


def _speed(piece: dict[int, Sighting], end: int, over: int = 6) -> Float[np.ndarray, "2"]:
    """Speed of the crop up to a position of a piece, px per frame."""
    past = [position for position in piece if end - over <= position < end]
    if not past:
        return np.zeros(2)
    return (piece[end].crop[:2] - piece[past[0]].crop[:2]) / (end - past[0])


def bridge(
    person: dict[int, Sighting], intrinsics: Float[np.ndarray, "3 3"], track_id: int
) -> Evidence:
    """Evidence over all frames from the first sighting to the last, the missing ones interpolated."""
    seen = np.array(sorted(person))
    sightings = [person[position] for position in seen]
    frames = np.arange(seen[0], seen[-1] + 1)
    observed = np.isin(frames, seen)
    nearest = np.rint(np.interp(frames, seen, np.arange(len(seen)))).astype(int)
    crops = np.stack([s.crop for s in sightings])
    crops[:, 2], crops[:, 3] = np.log(crops[:, 2]), np.unwrap(crops[:, 3])
    crops = _interpolated(crops, seen, frames)
    crops[:, 2] = np.exp(crops[:, 2])
    points = _interpolated(np.stack([s.points[:NUM_KEYPOINTS] for s in sightings]), seen, frames)
    confidence = np.zeros((len(frames), NUM_KEYPOINTS))
    confidence[observed] = np.stack([s.confidence for s in sightings])
    features = parts = None
    told = [i for i, sighting in enumerate(sightings) if sighting.features is not None]
    if told:
        thoughts = np.stack([sightings[i].features for i in told])
        features = _interpolated(thoughts, seen[told], frames)
    if sightings[0].parts is not None:
        parts = np.stack([s.parts for s in sightings])[nearest]
    return Evidence(
        track_id=track_id,
        frames=frames,
        observed=observed,
        keypoints=np.concatenate((points, confidence[..., None]), axis=-1),
        world_landmarks=_interpolated(
            np.stack([s.world_landmarks for s in sightings]), seen, frames
        ),
        crops=crops,
        crop_intrinsics=crop_from_image(crops) @ intrinsics,
        masks=np.stack([s.mask for s in sightings])[nearest],
        features=features,
        parts=parts,
    )


def _interpolated(values: np.ndarray, seen: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """Values of every frame, linear between those that were seen."""
    flat = values.reshape(len(seen), -1)
    columns = [np.interp(frames, seen, column) for column in flat.T]
    return np.stack(columns, axis=-1).reshape(len(frames), *values.shape[1:])


def _unflipped(person: dict[int, Sighting], config: FlipConfig) -> dict[int, Sighting]:
    positions = sorted(person)
    sightings = unflip([person[position] for position in positions], config)
    return dict(zip(positions, sightings, strict=True))


def _first(person: dict[int, Sighting]) -> int:
    return min(person)


def _colors(person: dict[int, Sighting]) -> Float[np.ndarray, "segments 3"]:
    return np.median([sighting.colors for sighting in person.values()], axis=0)


def _quality(person: dict[int, Sighting]) -> float:
    """Median quality of the better half of the sightings."""
    return float(np.quantile([sighting.quality for sighting in person.values()], 0.75))


def _presence(person: dict[int, Sighting]) -> float:
    """How much of the clip somebody fills: extents of all sightings, by their quality."""
    return float(sum(sighting.quality * sighting.crop[2] for sighting in person.values()))
