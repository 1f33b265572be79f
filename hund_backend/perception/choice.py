"""Choice: which of the people found in a clip are the ones that were chosen in a quick look.

People are recognized by where they are and when: the boxes of the list against those of the track.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from ..people_list import ListedPerson
from .tracklets import Tracklet
from .tracks import box_iou

MIN_IOU = 0.3  # mean over the moments at which a listed person and a track are both seen
NEAR_SECONDS = 0.25  # from a listed moment to the track's nearest detection


def choices(
    listed: Sequence[ListedPerson],
    people: Sequence[Tracklet],
    times: Float[np.ndarray, " frames"],
) -> list[bool | None]:
    """Return of each person whether they were chosen; None: they are not in the list.

    Several tracks may be one listed person, whom the quick look followed for longer.

    Args:
        listed: people of a quick look.
        people: detections by position in the clip.
        times: of the positions, seconds.
    """
    found: list[bool | None] = []
    for person in people:
        overlaps = [_overlap(each, person, times) for each in listed]
        best = int(np.argmax(overlaps)) if overlaps else 0
        found.append(listed[best].chosen if overlaps and overlaps[best] > 0 else None)
    return found


def _overlap(listed: ListedPerson, person: Tracklet, times: Float[np.ndarray, " frames"]) -> float:
    """Return the sum of the boxes' intersections over unions; 0 if they agree too little."""
    moments = np.array(listed.boxes, float).reshape(-1, 5)
    positions = np.array(sorted(person))
    seen = times[positions]
    distance = np.abs(moments[:, :1] - seen).min(axis=1, initial=np.inf)
    moments = moments[distance <= NEAR_SECONDS]
    if not len(moments):
        return 0.0
    boxes = np.stack([person[int(position)].box for position in positions])
    track = np.stack([np.interp(moments[:, 0], seen, column) for column in boxes.T], axis=-1)
    overlaps = np.array([box_iou(*pair) for pair in zip(moments[:, 1:], track, strict=True)])
    return float(overlaps.sum()) if overlaps.mean() >= MIN_IOU else 0.0
