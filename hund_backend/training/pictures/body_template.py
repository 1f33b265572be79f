"""Body template: the full body with what dressing it needs, constant for all pictures."""

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import coo_array, csr_array

from ...body.file import load_body_file
from ...body.model import BodyModel
from ...body.skeleton import FINE_PART_NAMES, JOINT_INDEX, KEYPOINT_NAMES

HEAD, NECK, TORSO, ARM, HAND, LEG, FOOT = range(7)
_REGIONS = {
    "background": TORSO,
    "head": HEAD,
    "neck": NECK,
    **dict.fromkeys(("upper_torso", "lower_torso", "pelvis"), TORSO),
    **{
        f"{side}_{part}": region
        for side in ("left", "right")
        for part, region in (
            *(("shoulder", ARM), ("upper_arm", ARM), ("forearm", ARM), ("hand", HAND)),
            *(("thigh", LEG), ("calf", LEG), ("foot", FOOT), ("toes", FOOT)),
        )
    },
}


class BodyTemplate:
    """The full body as arrays.

    Points of the body are given by their positions on the mean body at rest, whatever the person.

    Attributes:
        model: the body.
        vertices: positions on the mean body at rest, body frame, metres.
        faces: triangles.
        region_of_vertex: kind of limb (HEAD … FOOT).
        region_of_face: the same for faces.
        part_of_face: indices into PART_NAMES; the labels of all pictures.
        neighbors: matrix that averages over a vertex's neighbors.
        landmarks: positions of BlazePose's keypoints, by name.
        joints: positions of the joints, by name.
    """

    def __init__(self) -> None:
        body = load_body_file()
        self.model = BodyModel(body, "full")
        self.vertices: Float[np.ndarray, "vertices 3"] = body.template
        self.faces: Int[np.ndarray, "faces 3"] = self.model.faces.numpy()
        table = np.array([_REGIONS[name] for name in FINE_PART_NAMES])
        self.region_of_vertex: Int[np.ndarray, " vertices"] = table[body.fine_part_of_vertex]
        self.region_of_face = np.median(self.region_of_vertex[self.faces], axis=1).astype(int)
        self.part_of_face: Int[np.ndarray, " faces"] = self.model.part_of_face.numpy()
        self.neighbors = _neighbors(self.faces, len(self.vertices))
        points = np.concatenate((body.template, body.joints))
        keypoints = body.keypoint_matrix("blazepose") @ points
        self.landmarks = dict(zip(KEYPOINT_NAMES["blazepose"], keypoints, strict=True))
        self.joints = {name: body.joints[index] for name, index in JOINT_INDEX.items()}

    def arm_coordinate(
        self, points: Float[np.ndarray, "points 3"]
    ) -> Float[np.ndarray, " points"]:
        """Coordinate along the arm: 0 at the shoulder, 1 at the elbow, 2 at the wrist."""
        return _along(points, self.joints["UpperarmL"], self.joints["HandL"])

    def leg_coordinate(
        self, points: Float[np.ndarray, "points 3"]
    ) -> Float[np.ndarray, " points"]:
        """Coordinate along the leg: 0 at the hip, 1 at the knee, 2 at the ankle."""
        return _along(points, self.joints["ThighL"], self.joints["AnkleL"])


def _along(
    points: Float[np.ndarray, "points 3"], start: np.ndarray, end: np.ndarray
) -> Float[np.ndarray, " points"]:
    axis = (end - start)[:2]
    projection = np.abs(points[:, 0]) * axis[0] + points[:, 1] * axis[1]
    return 2 * (projection - start[:2] @ axis) / (axis @ axis)


def _neighbors(faces: Int[np.ndarray, "faces 3"], count: int) -> csr_array:
    pairs = np.concatenate([faces[:, [a, b]] for a, b in ((0, 1), (1, 2), (2, 0))])
    pairs = np.unique(np.concatenate((pairs, pairs[:, ::-1])), axis=0)
    weights = 1 / np.bincount(pairs[:, 0], minlength=count)[pairs[:, 0]]
    return coo_array((weights.astype(np.float32), pairs.T), shape=(count, count)).tocsr()


def vertex_normals(
    vertices: Float[np.ndarray, "vertices 3"], faces: Int[np.ndarray, "faces 3"]
) -> Float[np.ndarray, "vertices 3"]:
    """Unit normals: the area-weighted mean of the normals of the faces."""
    first, second, third = (vertices[faces[:, corner]] for corner in range(3))
    normals_of_faces = np.cross(second - first, third - first)
    normals = np.empty_like(vertices)
    for axis in range(3):
        weights = np.tile(normals_of_faces[:, axis], 3)
        normals[:, axis] = np.bincount(faces.T.ravel(), weights, len(vertices))
    return normals / np.linalg.norm(normals, axis=-1, keepdims=True).clip(1e-9)
