"""Low-resolution meshes by symmetric quadric edge collapse.

One half of the body is simplified and mirrored, so that both halves have the same triangles. Edges
collapse onto one of their ends (Garland and Heckbert, "Surface Simplification Using Quadric Error
Metrics", SIGGRAPH 1997, with the ends as the only candidates). So every vertex of the low mesh is a
vertex of the full mesh, bases, weights and parts are slices, and texture seams are preserved.
"""

import heapq
from typing import NamedTuple

import numpy as np

MIN_NORMAL_COSINE = np.cos(np.radians(75))  # between a face's normals before and after
LENGTH_COST = 1e-10  # m², times the squared edge length; decides where the surface is flat


class LowMesh(NamedTuple):
    """Simplified mesh over a subset of the full mesh's vertices."""

    vertices: np.ndarray  # (L,): indices into the full mesh, ascending
    faces: np.ndarray  # (F, 3): indices into `vertices`
    texture_coordinates: np.ndarray  # (F, 3): indices into the full mesh's texture coordinates


def simplify(
    vertices: np.ndarray,
    quads: np.ndarray,
    texture_coordinates: np.ndarray,
    mirror: np.ndarray,
    kept: np.ndarray,
    target: int,
) -> LowMesh:
    """Simplify a symmetric mesh to about `target` vertices.

    Args:
        vertices: of the full mesh (V, 3), symmetric in x.
        quads: closed and symmetric, none across the middle plane (Q, 4).
        texture_coordinates: indices of the texture coordinates of each quad's corners (Q, 4).
        mirror: mirror image of each vertex (V,); itself in the middle plane.
        kept: vertices that must remain.
        target: number of vertices of the whole mesh.
    """
    is_left = (vertices[quads, 0] >= -1e-9).all(1)
    half = _Half(vertices, mirror == np.arange(len(mirror)), {*kept, *mirror[kept]})
    for corners, uvs in zip(quads[is_left], texture_coordinates[is_left], strict=True):
        for triangle in ([0, 1, 2], [0, 2, 3]):
            half.add(tuple(corners[triangle].tolist()), tuple(uvs[triangle].tolist()))
    half.collapse(target)
    left = np.array([face for face in half.faces if face is not None])
    left_uvs = np.array([uv for uv in half.uvs if uv is not None])
    uv_mirror = _mirror_texture_coordinates(quads, texture_coordinates, mirror)
    faces = np.concatenate([left, mirror[left][:, ::-1]])
    used, faces = np.unique(faces, return_inverse=True)
    uvs = np.concatenate([left_uvs, uv_mirror[left_uvs][:, ::-1]])
    return LowMesh(used, faces.reshape(-1, 3), uvs)


def _mirror_texture_coordinates(
    quads: np.ndarray, uvs: np.ndarray, mirror: np.ndarray
) -> np.ndarray:
    """Return the index of each texture coordinate's mirror image."""
    quad_of = {frozenset(corners): index for index, corners in enumerate(quads.tolist())}
    result = np.full(uvs.max() + 1, -1)
    for corners, indices in zip(mirror[quads].tolist(), uvs.tolist(), strict=True):
        other = quad_of[frozenset(corners)]
        uv_of_vertex = dict(zip(quads[other].tolist(), uvs[other].tolist(), strict=True))
        result[indices] = [uv_of_vertex[vertex] for vertex in corners]
    return result


class _Half:
    """Left half during simplification; its boundary lies in the middle plane."""

    def __init__(self, positions: np.ndarray, is_middle: np.ndarray, locked: set[int]) -> None:
        self.positions, self.is_middle, self.locked = positions, is_middle, locked
        self.faces: list[tuple[int, int, int] | None] = []
        self.uvs: list[tuple[int, int, int] | None] = []
        self.faces_of: dict[int, set[int]] = {}
        self.quadrics: dict[int, np.ndarray] = {}

    def add(self, face: tuple[int, int, int], uvs: tuple[int, int, int]) -> None:
        """Add a triangle, and its plane to the quadrics of its corners."""
        first, second, third = self.positions[list(face)]
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
        """Collapse the cheapest edges until the whole body has `target` vertices."""
        heap = [entry for vertex in self.faces_of for entry in self._candidates(vertex)]
        heapq.heapify(heap)
        count = sum(1 if self.is_middle[vertex] else 2 for vertex in self.faces_of)
        while heap and count > target:
            cost, start, end = heapq.heappop(heap)
            exists = start in self.faces_of and end in self._neighbors(start)
            # Costs rise: the queue has a later entry if an edge's cost has changed since.
            if not exists or cost != self._cost(start, end):
                continue
            uv_of = self._collapsed_uvs(start, end)
            if uv_of is None:
                continue
            self._merge(start, end, uv_of)
            count -= 1 if self.is_middle[start] else 2
            for vertex in sorted(self._neighbors(end)):
                for entry in self._candidates(vertex):
                    heapq.heappush(heap, entry)

    def _candidates(self, start: int) -> list[tuple[float, int, int]]:
        """Return the collapses of a vertex into its neighbors as (cost, start, end)."""
        if start in self.locked:
            return []
        return [(self._cost(start, end), start, end) for end in self._neighbors(start)]

    def _cost(self, start: int, end: int) -> float:
        position = np.append(self.positions[end], 1.0)
        edge = self.positions[end] - self.positions[start]
        quadric = self.quadrics[start] + self.quadrics[end]
        return float(position @ quadric @ position + LENGTH_COST * (edge @ edge))

    def _neighbors(self, vertex: int) -> set[int]:
        return {corner for face in self.faces_of[vertex] for corner in self.faces[face]} - {vertex}

    def _collapsed_uvs(self, start: int, end: int) -> dict[int, int] | None:
        """Map a vertex's texture coordinates to those after its collapse; None if that is invalid."""
        shared = self.faces_of[start] & self.faces_of[end]
        common = self._neighbors(start) & self._neighbors(end)
        if len(common) != len(shared):
            return None  # it would pinch the surface
        if self.is_middle[start] and not (self.is_middle[end] and len(shared) == 1):
            return None  # the boundary would leave the middle plane
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
            if all(self.is_middle[corner] for corner in moved) or self._flips(corners, moved):
                return None
        return uv_of

    def _flips(self, before: tuple[int, int, int], after: list[int]) -> bool:
        """Return whether a face would rotate too far, or vanish."""
        old, new = (_normal(*self.positions[list(face)]) for face in (before, after))
        return bool(old @ new <= MIN_NORMAL_COSINE * np.linalg.norm(old) * np.linalg.norm(new))

    def _merge(self, start: int, end: int, uv_of: dict[int, int]) -> None:
        for face in self.faces_of.pop(start):
            corners = self.faces[face]
            if end in corners:
                for corner in corners:
                    if corner != start:
                        self.faces_of[corner].discard(face)
                self.faces[face] = self.uvs[face] = None
                continue
            corner = corners.index(start)
            uvs = list(self.uvs[face])
            uvs[corner] = uv_of[uvs[corner]]
            self.faces[face] = (*corners[:corner], end, *corners[corner + 1 :])
            self.uvs[face] = tuple(uvs)
            self.faces_of[end].add(face)
        self.quadrics[end] = self.quadrics[end] + self.quadrics.pop(start)


def _normal(first: np.ndarray, second: np.ndarray, third: np.ndarray) -> np.ndarray:
    return np.cross(second - first, third - first)
