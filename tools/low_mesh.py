"""Low-resolution meshes: quadric edge collapse that keeps left and right alike.

One half of the body is simplified and mirrored, so that both halves have the same triangles. Edges
collapse onto one of their ends (Garland and Heckbert, "Surface Simplification Using Quadric Error
Metrics", SIGGRAPH 1997, with the ends as the only candidates): every vertex of the low mesh is one
of the full mesh, so that bases, weights and parts are slices, and texture seams stay seams.
"""

import heapq
from typing import NamedTuple

import numpy as np

LARGEST_TURN = np.cos(np.radians(75))  # of a face by one collapse
SHORTNESS = 1e-10  # cost per square metre of edge; decides where the surface is flat


class LowMesh(NamedTuple):
    """A simplified mesh over some of the full mesh's vertices."""

    vertices: np.ndarray  # (L,): indices into the full mesh, ascending
    faces: np.ndarray  # (F, 3): indices into `vertices`
    texture_coordinates: np.ndarray  # (F, 3): indices into the full mesh's texture coordinates


def simplified(
    vertices: np.ndarray,
    quads: np.ndarray,
    texture_coordinates: np.ndarray,
    mirror: np.ndarray,
    kept: np.ndarray,
    target: int,
) -> LowMesh:
    """A symmetric mesh with about `target` vertices.

    Args:
        vertices: of the full mesh (V, 3), symmetric in x.
        quads: closed, symmetric, none across the middle (Q, 4).
        texture_coordinates: index of each quad's corners (Q, 4).
        mirror: vertex on the other side (V,); itself in the middle.
        kept: vertices that must stay.
        target: number of vertices of the whole.
    """
    is_left = (vertices[quads, 0] >= -1e-9).all(1)
    half = _Half(vertices, mirror == np.arange(len(mirror)), {*kept, *mirror[kept]})
    for corners, uvs in zip(quads[is_left], texture_coordinates[is_left], strict=True):
        for triangle in ([0, 1, 2], [0, 2, 3]):
            half.add(tuple(corners[triangle].tolist()), tuple(uvs[triangle].tolist()))
    half.collapse(target)
    left = np.array([face for face in half.faces if face is not None])
    left_uvs = np.array([uv for uv in half.uvs if uv is not None])
    uv_mirror = _mirrored_coordinates(quads, texture_coordinates, mirror)
    faces = np.concatenate([left, mirror[left][:, ::-1]])
    used, faces = np.unique(faces, return_inverse=True)
    uvs = np.concatenate([left_uvs, uv_mirror[left_uvs][:, ::-1]])
    return LowMesh(used, faces.reshape(-1, 3), uvs)


def _mirrored_coordinates(quads: np.ndarray, uvs: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    """Texture coordinate on the other side, by index."""
    quad_of = {frozenset(corners): index for index, corners in enumerate(quads.tolist())}
    result = np.full(uvs.max() + 1, -1)
    for corners, indices in zip(mirror[quads].tolist(), uvs.tolist(), strict=True):
        other = quad_of[frozenset(corners)]
        there = dict(zip(quads[other].tolist(), uvs[other].tolist(), strict=True))
        result[indices] = [there[vertex] for vertex in corners]
    return result


class _Half:
    """The left half while it is being simplified; its rim lies in the middle of the body."""

    def __init__(self, places: np.ndarray, is_middle: np.ndarray, locked: set[int]) -> None:
        self.places, self.is_middle, self.locked = places, is_middle, locked
        self.faces: list[tuple[int, int, int] | None] = []
        self.uvs: list[tuple[int, int, int] | None] = []
        self.faces_of: dict[int, set[int]] = {}
        self.quadrics: dict[int, np.ndarray] = {}

    def add(self, face: tuple[int, int, int], uvs: tuple[int, int, int]) -> None:
        """Add a triangle and its planes' share of its corners' quadrics."""
        first, second, third = self.places[list(face)]
        normal = np.cross(second - first, third - first)
        area = np.linalg.norm(normal) / 2
        normal = normal / (2 * area)
        plane = np.append(normal, -normal @ first)
        for vertex in face:
            self.faces_of.setdefault(vertex, set()).add(len(self.faces))
            quadric = self.quadrics.setdefault(vertex, np.zeros((4, 4)))
            quadric += area / 3 * np.outer(plane, plane)
        self.faces.append(face)
        self.uvs.append(uvs)

    def collapse(self, target: int) -> None:
        """Collapse the cheapest edges first until the whole body has `target` vertices."""
        heap = [entry for vertex in self.faces_of for entry in self._candidates(vertex)]
        heapq.heapify(heap)
        whole = sum(1 if self.is_middle[vertex] else 2 for vertex in self.faces_of)
        while heap and whole > target:
            cost, start, end = heapq.heappop(heap)
            alive = start in self.faces_of and end in self._around(start)
            # An edge may have become dearer since it was queued: a fresh entry is behind this one.
            if not alive or cost != self._cost(start, end):
                continue
            uv_of = self._checked(start, end)
            if uv_of is None:
                continue
            self._merge(start, end, uv_of)
            whole -= 1 if self.is_middle[start] else 2
            for vertex in sorted(self._around(end)):
                for entry in self._candidates(vertex):
                    heapq.heappush(heap, entry)

    def _candidates(self, start: int) -> list[tuple[float, int, int]]:
        """Collapses of a vertex into its neighbours and, cost first."""
        if start in self.locked:
            return []
        return [(self._cost(start, end), start, end) for end in self._around(start)]

    def _cost(self, start: int, end: int) -> float:
        place = np.append(self.places[end], 1.0)
        away = self.places[end] - self.places[start]
        quadric = self.quadrics[start] + self.quadrics[end]
        return float(place @ quadric @ place + SHORTNESS * (away @ away))

    def _around(self, vertex: int) -> set[int]:
        return {corner for face in self.faces_of[vertex] for corner in self.faces[face]} - {vertex}

    def _checked(self, start: int, end: int) -> dict[int, int] | None:
        """New texture coordinate for each of the vertex's own; none if the collapse is not sound."""
        shared = self.faces_of[start] & self.faces_of[end]
        common = self._around(start) & self._around(end)
        if len(common) != len(shared):
            return None  # it would pinch the surface
        if self.is_middle[start] and not (self.is_middle[end] and len(shared) == 1):
            return None  # the rim would leave the middle
        uv_of = {}
        for face in shared:
            uvs = dict(zip(self.faces[face], self.uvs[face], strict=True))
            if uv_of.setdefault(uvs[start], uvs[end]) != uvs[end]:
                return None
        for face in self.faces_of[start] - shared:
            corners, uvs = self.faces[face], self.uvs[face]
            if uvs[corners.index(start)] not in uv_of:
                return None  # it would cross a seam
            moved = [end if corner == start else corner for corner in corners]
            if all(self.is_middle[corner] for corner in moved) or self._turns(corners, moved):
                return None
        return uv_of

    def _turns(self, before: tuple[int, int, int], after: list[int]) -> bool:
        """Whether a face would turn too far, or vanish."""
        old, new = (_normal(*self.places[list(face)]) for face in (before, after))
        return bool(old @ new <= LARGEST_TURN * np.linalg.norm(old) * np.linalg.norm(new))

    def _merge(self, start: int, end: int, uv_of: dict[int, int]) -> None:
        for face in self.faces_of.pop(start):
            corners = self.faces[face]
            if end in corners:
                for corner in corners:
                    if corner != start:
                        self.faces_of[corner].discard(face)
                self.faces[face] = self.uvs[face] = None
                continue
            place = corners.index(start)
            uvs = list(self.uvs[face])
            uvs[place] = uv_of[uvs[place]]
            self.faces[face] = (*corners[:place], end, *corners[place + 1 :])
            self.uvs[face] = tuple(uvs)
            self.faces_of[end].add(face)
        self.quadrics[end] = self.quadrics[end] + self.quadrics.pop(start)


def _normal(first: np.ndarray, second: np.ndarray, third: np.ndarray) -> np.ndarray:
    return np.cross(second - first, third - first)
