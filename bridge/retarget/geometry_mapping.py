"""Mapping by geometry: roles of bones from the tree of joints and their rest places, without names.

The body's sides come from pairs of joints that mirror each other. Legs are paths that lead from the
height of the hips to the floor, arms those that lead farthest out; hips and chest are where they
part. Left and right follow from where the toes point. Twist bones, helpers between joints, a root
on the floor, bones of the face and inverse kinematics' targets are passed over.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from . import roles
from .rotations import unit

# Shares of the body's height.
_PAIR_DISTANCE = 0.06  # least distance between two joints that mirror each other
_LEVEL = 0.012  # largest difference of their heights
_CENTRAL = 0.02  # distance from the middle up to which a joint is in the middle
_HIP_HEIGHT, _ANKLE_HEIGHT, _FLOOR = 0.3, 0.22, 0.14
_SHOULDER = 0.1  # distance of a shoulder joint from the middle
_HEAD_TOP = 0.97  # height above which a joint is the end of the head
_STEEP = 0.8  # sine of the slope of a shin
_MIDDLE_OF_LEG = 0.5  # where the knee is
_SIDES = (1.0, -1.0)


class NoBodyError(ValueError):
    """The tree has no two legs and two arms."""


@dataclass(frozen=True, eq=False)
class Tree:
    """Joints of a rig at rest, z up, in any scale and heading; parents come first."""

    parents: np.ndarray  # (bones,), -1 for roots
    heads: np.ndarray  # (bones, 3)
    tails: np.ndarray  # (bones, 3)

    @cached_property
    def children(self) -> list[list[int]]:
        """Children of each bone."""
        found: list[list[int]] = [[] for _ in self.parents]
        for bone, parent in enumerate(self.parents):
            if parent >= 0:
                found[parent].append(bone)
        return found

    @cached_property
    def depths(self) -> np.ndarray:
        """Number of bones above each bone, (bones,)."""
        depths = np.zeros(len(self.parents), int)
        for bone, parent in enumerate(self.parents):
            depths[bone] = depths[parent] + 1 if parent >= 0 else 0
        return depths

    @cached_property
    def sizes(self) -> np.ndarray:
        """Number of bones in each bone's subtree, (bones,)."""
        sizes = np.ones(len(self.parents), int)
        for bone in range(len(self.parents) - 1, 0, -1):
            if self.parents[bone] >= 0:
                sizes[self.parents[bone]] += sizes[bone]
        return sizes

    @cached_property
    def height(self) -> float:
        """Extent along z."""
        return float(np.ptp(np.concatenate((self.heads[:, 2], self.tails[:, 2]))))

    def above_floor(self, points: np.ndarray) -> np.ndarray:
        """Return heights of points (…, 3) as shares of the whole."""
        floor = min(self.heads[:, 2].min(), self.tails[:, 2].min())
        return (points[..., 2] - floor) / self.height

    def subtree(self, bone: int) -> list[int]:
        """Return a bone and all bones below it."""
        found = [bone]
        for each in found:
            found += self.children[each]
        return found

    def path(self, bone: int, above: int = -1) -> list[int]:
        """Return the bones from below `above` down to `bone`."""
        found = []
        while bone not in {above, -1}:
            found.append(bone)
            bone = int(self.parents[bone])
        return found[::-1]


def roles_of(tree: Tree) -> dict[str, int]:
    """Return the bones of a person's rig by role, without those of the face.

    Raises:
        NoBodyError: no person is recognized.
    """
    if len(tree.parents) < 8 or tree.height <= 0:
        raise NoBodyError("There are too few bones.")
    lateral, middle = _sides(tree)
    aside = (tree.heads @ lateral - middle) / tree.height  # of each joint
    legs = [_leg_path(tree, sign * aside) for sign in _SIDES]
    pelvis = _last_common(*legs)
    arms = [_arm_path(tree, sign * aside, pelvis, legs) for sign in _SIDES]
    hips = _last_common(legs[0], arms[0])
    if tree.above_floor(tree.heads[hips]) < _HIP_HEIGHT / 2:
        hips = pelvis  # a root on the floor carries both
    found = {"hips": hips}
    sides = _side_names(tree, legs, lateral)
    for side, sign, leg in zip(sides, _SIDES, legs, strict=True):
        found |= _leg(tree, sign * aside, leg, side)
    chest = _last_common(*arms)
    for side, sign, arm in zip(sides, _SIDES, arms, strict=True):
        found |= _arm(tree, sign * aside, arm[arm.index(chest) + 1 :], side)
    found |= _trunk(tree, aside, found, hips, chest)
    top = tree.path(hips)[0]
    if top != hips:
        found["root"] = top
    return found


def _sides(tree: Tree) -> tuple[np.ndarray, float]:
    """Return the horizontal axis from side to side, (3,), and the place of the middle on it."""
    flat = tree.heads[:, :2]
    first, second = np.triu_indices(len(flat), 1)
    apart = flat[first] - flat[second]
    distance = np.linalg.norm(apart, axis=-1) / tree.height
    level = np.abs(tree.heads[first, 2] - tree.heads[second, 2]) / tree.height < _LEVEL
    alike = (tree.depths[first] == tree.depths[second]) & (tree.sizes[first] == tree.sizes[second])
    chosen = level & alike & (distance > _PAIR_DISTANCE)
    if not chosen.any():
        raise NoBodyError("No two bones mirror each other.")
    weights = distance[chosen, None] * tree.sizes[first[chosen], None]
    axis = np.linalg.svd(unit(apart[chosen]) * weights, full_matrices=False)[2][0]
    lateral = np.array([*axis, 0.0])
    middles = (flat[first[chosen]] + flat[second[chosen]]) @ axis / 2
    across_ = np.abs(unit(apart[chosen]) @ axis) > 0.95
    middle = _weighted_median(middles[across_], weights[across_, 0])
    return lateral, middle


def _weighted_median(values: np.ndarray, weights: np.ndarray) -> float:
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(total, total[-1] / 2)])


def _last_common(first: list[int], second: list[int]) -> int:
    common = [bone for bone in first if bone in set(second)]
    if not common:
        raise NoBodyError("The limbs hang on different roots.")
    return common[-1]


def _leg_path(tree: Tree, aside: np.ndarray) -> list[int]:
    """Return the bones from the root to the end of the leg on the side where `aside` > 0."""
    heights = tree.above_floor(tree.heads)
    ends = np.minimum(heights, tree.above_floor(tree.tails))
    best, longest = None, 0.0
    for bone, children in enumerate(tree.children):
        if children or ends[bone] > _FLOOR or aside[bone] < _CENTRAL / 2:
            continue
        path = tree.path(bone)
        below = [each for each in path if aside[each] > _CENTRAL / 2]
        if len(below) < 3 or heights[below].max() < _HIP_HEIGHT:
            continue
        # Of several ends of a foot the farthest from the shin: toes, not the heel.
        reach = np.linalg.norm((tree.tails[bone] - tree.heads[below[0]])[:2]) / tree.height
        length = heights[below].max() - max(heights[below].min(), _FLOOR) + reach / 10
        if length > longest:
            best, longest = path, length
    if best is None:
        raise NoBodyError("There are no two legs.")
    return best


def _arm_path(tree: Tree, aside: np.ndarray, pelvis: int, legs: list[list[int]]) -> list[int]:
    """Return the bones from the root to the farthest end on the side where `aside` > 0."""
    branches = {leg[leg.index(pelvis) + 1] for leg in legs}
    excluded = {bone for branch in branches for bone in tree.subtree(branch)}
    heights = tree.above_floor(tree.heads)
    root = tree.path(pelvis)[0]
    candidates = [
        bone
        for bone in tree.subtree(root)
        if bone not in excluded and heights[bone] > _HIP_HEIGHT and aside[bone] > _CENTRAL
    ]
    if not candidates:
        raise NoBodyError("There are no two arms.")
    return tree.path(max(candidates, key=lambda bone: aside[bone] + 1e-3 * tree.depths[bone]))


def _side_names(tree: Tree, legs: list[list[int]], lateral: np.ndarray) -> tuple[str, str]:
    """Return the names of the sides where the lateral axis is positive and negative."""
    forward = np.zeros(3)
    for leg in legs:
        ankle = _ankle(tree, leg)
        ends = [tree.tails[bone] for bone in leg[ankle:]]
        forward += max(
            (end - tree.heads[leg[ankle]] for end in ends),
            key=lambda way: np.linalg.norm(way[:2]),
        )
    forward[2] = 0
    if np.linalg.norm(forward) < 0.01 * tree.height:
        forward = np.array([0.0, -1, 0])  # feet without toes: Blender's front view shows the face
    left = np.cross([0.0, 0, 1], forward)
    return ("L", "R") if left @ lateral > 0 else ("R", "L")


def _ankle(tree: Tree, leg: list[int]) -> int:
    """Return the position of the ankle in the path of a leg: where it turns to the front."""
    heights = tree.above_floor(tree.heads[leg])
    joints = [*tree.heads[leg], tree.tails[leg[-1]]]
    for position in range(1, len(leg)):
        way = joints[position + 1] - joints[position]
        is_steep = abs(way[2]) > _STEEP * np.linalg.norm(way)
        if heights[position] < _ANKLE_HEIGHT and not is_steep:
            return position
    low = [position for position in range(1, len(leg)) if heights[position] < _FLOOR]
    return low[0] if low else len(leg) - 1


def _leg(tree: Tree, aside: np.ndarray, leg: list[int], side: str) -> dict[str, int]:
    ankle = _ankle(tree, leg)
    heights = tree.above_floor(tree.heads[leg])
    out = aside[leg[ankle]]
    upper = [
        position
        for position in range(ankle)
        if aside[leg[position]] > out / 2 and heights[position] > heights[ankle] + 0.1
    ]
    if len(upper) < 2:
        raise NoBodyError("A leg has no knee.")
    hip = upper[0]
    shares = _shares(tree.heads[leg[hip : ankle + 1]])
    between = range(hip + 1, ankle)
    if not len(between):
        raise NoBodyError("A leg has no knee.")
    knee = min(between, key=lambda position: abs(shares[position - hip] - _MIDDLE_OF_LEG))
    found = {f"thigh.{side}": leg[hip], f"shin.{side}": leg[knee], f"foot.{side}": leg[ankle]}
    toe = _toe(tree, aside, leg[ankle])
    if toe is not None:
        found[f"toe.{side}"] = toe
    return found


def _toe(tree: Tree, aside: np.ndarray, foot: int) -> int | None:
    """Return the first bone in front of the ankle; of several toes the inner one."""
    below = tree.subtree(foot)[1:]
    if not below:
        return None
    ways = np.linalg.norm((tree.heads[below] - tree.heads[foot])[:, :2], axis=-1)
    reach = max(
        ways.max(), np.linalg.norm((tree.tails[below] - tree.heads[foot])[:, :2], axis=-1).max()
    )
    front = {bone for bone, way in zip(below, ways, strict=True) if way > 0.4 * reach}
    first = [bone for bone in front if int(tree.parents[bone]) not in front]
    first = [bone for bone in first if tree.above_floor(tree.heads[bone]) < _FLOOR]
    return min(first, key=lambda bone: aside[bone], default=None)


def _arm(tree: Tree, aside: np.ndarray, arm: list[int], side: str) -> dict[str, int]:
    """Return the roles of an arm from the bones between the chest and its farthest end."""
    if len(arm) < 2:
        raise NoBodyError("An arm has no elbow.")
    joints = np.array([*tree.heads[arm], tree.tails[arm[-1]]])
    steps = np.linalg.norm(np.diff(joints, axis=0), axis=-1)
    places = np.concatenate(([0.0], np.cumsum(steps)))
    best, chosen = -np.inf, (0, 1, 1)
    for shoulder in range(len(arm) - 1):
        for elbow in range(shoulder + 1, len(arm)):
            for wrist in range(elbow + 1, len(arm) + 1):
                upper, fore = places[elbow] - places[shoulder], places[wrist] - places[elbow]
                rest = places[-1] - places[wrist]
                if min(upper, fore) < 1e-6 * tree.height:
                    continue
                total = upper + fore + rest
                score = -(((np.log(upper / fore) - 0.1) / 0.2) ** 2)
                score -= ((rest / total - 0.2) / 0.12) ** 2
                score -= ((aside[arm[shoulder]] - _SHOULDER) / 0.03) ** 2
                if wrist == len(arm):
                    score -= 4  # an arm that ends at the wrist
                elif len(tree.children[arm[wrist]]) >= 3:
                    score += 4  # fingers
                if score > best:
                    best, chosen = score, (shoulder, elbow, wrist)
    shoulder, elbow, wrist = chosen
    found = {f"upper_arm.{side}": arm[shoulder], f"forearm.{side}": arm[elbow]}
    if shoulder > 0:
        found[f"clavicle.{side}"] = arm[0]
    if wrist < len(arm):
        found[f"hand.{side}"] = arm[wrist]
        found |= _fingers(tree, arm[wrist], side)
    return found


def _fingers(tree: Tree, hand: int, side: str) -> dict[str, int]:
    """Return the roles of fingers: the thumb begins nearest the wrist, the index next to it."""
    ends = [bone for bone in tree.subtree(hand)[1:] if not tree.children[bone]]
    paths = [tree.path(end, hand) for end in ends]
    shared = {bone for bone in tree.subtree(hand) if sum(bone in path for path in paths) > 1}
    chains = [[bone for bone in path if bone not in shared] for path in paths]
    chains = [_phalanges(tree, hand, chain) for chain in chains if len(chain) >= 2]
    if len(chains) < 3:
        return {}
    starts = np.array([tree.heads[chain[0]] for chain in chains])
    distances = np.linalg.norm(starts - tree.heads[hand], axis=-1)
    thumb = int(distances.argmin())
    reference = tree.heads[chains[thumb][min(1, len(chains[thumb]) - 1)]]
    others = sorted(
        (index for index in range(len(chains)) if index != thumb),
        key=lambda index: np.linalg.norm(starts[index] - reference),
    )
    found = {}
    for name, index in zip(roles.FINGERS, [thumb, *others], strict=False):
        for role, bone in zip(roles.finger(name, side), chains[index], strict=False):
            found[role] = bone
    return found


def _phalanges(tree: Tree, hand: int, chain: list[int]) -> list[int]:
    """Return the three phalanges of a finger, without metacarpal and end bone."""
    if len(chain) <= 3:
        return chain
    ways = np.linalg.norm(tree.heads[chain[:2]] - tree.heads[hand], axis=-1)
    has_metacarpal = ways[0] < 0.5 * ways[1]
    return chain[1:4] if has_metacarpal else chain[:3]


def _trunk(
    tree: Tree, aside: np.ndarray, found: dict[str, int], hips: int, chest: int
) -> dict[str, int]:
    """Return spine, neck and head."""
    shoulders = np.mean([tree.heads[found[f"upper_arm.{side}"]][2] for side in roles.SIDES])
    spine = tree.path(chest, hips)
    above = []
    while len(spine) > 1 and tree.heads[spine[-1]][2] > shoulders + _CENTRAL * tree.height:
        above.insert(0, spine.pop())  # shoulder blades that hang on the neck
    limbs = {
        bone for side in roles.SIDES for bone in tree.subtree(_branch(tree, found, side, chest))
    }
    upward = above + _upward(tree, aside, limbs, above[-1] if above else chest)
    result = dict(zip(roles.chain("spine"), spine, strict=False))
    heights = tree.above_floor(tree.heads)
    while len(upward) > 1 and heights[upward[-1]] > _HEAD_TOP:
        upward.pop()
    if upward:
        result["head"] = upward[-1]
        result |= dict(zip(roles.chain("neck"), upward[:-1], strict=False))
    return result


def _branch(tree: Tree, found: dict[str, int], side: str, chest: int) -> int:
    """Return the bone of an arm that hangs on the chest."""
    return tree.path(found[f"upper_arm.{side}"], chest)[0]


def _upward(tree: Tree, aside: np.ndarray, limbs: set[int], bone: int) -> list[int]:
    """Return the bones that lead up in the middle, until they fan out to a face."""
    found = []
    while True:
        options = [
            child
            for child in tree.children[bone]
            if child not in limbs
            and abs(aside[child]) < _CENTRAL
            and tree.heads[child][2] > tree.heads[bone][2] + 0.01 * tree.height
        ]
        if not options or (len(tree.children[bone]) > 4 and found):
            return found
        # Neck before jaw: the one that carries most, and leads up.
        bone = max(
            options, key=lambda child: (_highest(tree, tree.subtree(child)), tree.sizes[child])
        )
        found.append(bone)


def _highest(tree: Tree, bones: Iterable[int]) -> float:
    indices = list(bones)
    return float(max(tree.heads[indices, 2].max(), tree.tails[indices, 2].max()))


def _shares(joints: np.ndarray) -> np.ndarray:
    """Return how far along a path each joint is, 0…1."""
    steps = np.linalg.norm(np.diff(joints, axis=0), axis=-1)
    return np.concatenate(([0.0], np.cumsum(steps))) / max(steps.sum(), 1e-12)
