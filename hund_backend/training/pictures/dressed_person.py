"""Dressed people as surfaces in the world, with their joints and keypoints."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from .attachments import PosedSkeleton, hat_brim, long_hair, skirt
from .body_template import ARM, HAND, LEG, BodyTemplate, vertex_normals
from .person_sampler import Person
from .surfaces import Material, Surface, cloth_material
from .wardrobe import UPPER_ARM, UPPER_LEG


@dataclass(frozen=True, kw_only=True)
class DressedPerson:
    """Person in the world: surfaces, and the truth of the body under them."""

    surfaces: tuple[Surface, ...]
    rotations: Float[np.ndarray, "63 3 3"]  # parent-relative; the pelvis in the world
    translation: Float[np.ndarray, "3"]  # of the pelvis, metres
    betas: Float[np.ndarray, "16"]
    expression: Float[np.ndarray, "20"]
    joints: Float[np.ndarray, "63 3"]
    keypoints: Float[np.ndarray, "33 3"]  # BlazePose's


def dress_person(
    template: BodyTemplate,
    person: Person,
    floor_position: Float[np.ndarray, "2"],
    rng: np.random.Generator,
) -> DressedPerson:
    """Build the surfaces of a person.

    Args:
        template: the body.
        person: the person.
        floor_position: x, z of the pelvis, metres.
        rng: random numbers of the attachments.
    """
    model = template.model
    rest_vertices, rest_joints = model.rest(person.betas, person.expression)
    posed = model(
        person.rotations[1:],
        person.betas,
        global_orient=person.rotations[0],
        expression=person.expression,
    )
    scale = (rest_vertices[:, 1].min() / model.template[:, 1].min()).item()
    lowest = posed.vertices[:, 1].min().item()
    height = -lowest if person.on_floor else max(-lowest, person.pelvis_height * scale)
    translation = np.array([floor_position[0], height, floor_position[1]], np.float32)
    vertices = posed.vertices.numpy() + translation
    joints = posed.joints.numpy() + translation
    skeleton = PosedSkeleton(
        rest_vertices=rest_vertices.numpy(),
        rest_joints=rest_joints.numpy(),
        joints=joints,
        orientations=posed.orientations.numpy(),
    )
    return DressedPerson(
        surfaces=(
            _body_surface(template, person, vertices),
            *_attachments(template, person, skeleton, rng),
        ),
        rotations=person.rotations.numpy(),
        translation=translation,
        betas=person.betas.numpy(),
        expression=person.expression.numpy(),
        joints=joints,
        keypoints=model.keypoints(posed, "blazepose").numpy() + translation,
    )


def _body_surface(
    template: BodyTemplate, person: Person, vertices: Float[np.ndarray, "vertices 3"]
) -> Surface:
    """The skin, displaced outwards by clothes and hair."""
    points, regions = template.vertices, template.region_of_vertex
    thickness = person.appearance.thickness(template, points, regions)
    smoothing = np.zeros(len(points), int)
    for garment in person.garments:
        depth = garment.depth_inside(template, points, regions)
        covered = depth > 0
        covering = thickness * 0.6 + garment.thickness_at(template, depth, points)
        thickness = np.where(covered, np.maximum(thickness, covering), thickness)
        smoothing = np.where(covered, np.maximum(smoothing, garment.smoothing), smoothing)
    smoothed = vertices
    for step in range(smoothing.max()):
        smoothed = np.where((smoothing > step)[:, None], template.neighbors @ smoothed, smoothed)
    normals = vertex_normals(smoothed, template.faces)
    displaced = (smoothed + normals * thickness[:, None]).astype(np.float32)
    return Surface(
        vertices=displaced,
        faces=template.faces,
        normals=vertex_normals(displaced, template.faces),
        texture_points=points,
        parts=template.part_of_face,
        material=lambda points, faces: _body_material(template, person, points, faces),
    )


def _body_material(
    template: BodyTemplate, person: Person, points: np.ndarray, faces: np.ndarray
) -> Material:
    """Skin, and the clothes that cover it."""
    regions = template.region_of_face[faces]
    albedo, skin = person.appearance.albedo(template, points, regions)
    albedo = albedo.astype(np.float32)
    gloss = np.where(skin > 0, 0.25, 0.3).astype(np.float32)
    folds = np.full(len(points), 0.05, np.float32)
    arms = (regions == ARM) | (regions == HAND)
    legs = regions >= LEG
    along = -points[:, 1]
    along = np.where(arms, template.arm_coordinate(points) * UPPER_ARM, along)
    along = np.where(legs, template.leg_coordinate(points) * UPPER_LEG, along)
    for garment in person.garments:
        covered = np.flatnonzero(garment.depth_inside(template, points, regions) > 0)
        albedo[covered] = garment.fabric.albedo(points[covered], along[covered])
        gloss[covered] = garment.fabric.gloss
        folds[covered] = garment.folds
        skin[covered] = 0
    return Material(albedo, gloss, folds, skin)


def _attachments(
    template: BodyTemplate, person: Person, skeleton: PosedSkeleton, rng: np.random.Generator
) -> list[Surface]:
    """Skirt, long hair and the brim of the hat, as far as the person has them."""
    surfaces = []
    if person.skirt is not None:
        material = cloth_material(person.skirt.albedo, gloss=person.skirt.gloss, folds=0.5)
        surfaces.append(skirt(template, skeleton, material, rng))
    if person.long_hair:
        material = cloth_material(
            lambda points, _: _hair_albedo(person, points), gloss=0.3, folds=0.6
        )
        surfaces.append(long_hair(skeleton, material, rng))
    if person.has_brim and person.appearance.hat is not None:
        hat = person.appearance.hat
        surfaces.append(
            hat_brim(skeleton, cloth_material(hat.albedo, gloss=hat.gloss, folds=0.1), rng)
        )
    return surfaces


def _hair_albedo(person: Person, points: np.ndarray) -> Float[np.ndarray, "points 3"]:
    shade = 1 + 0.5 * person.appearance.noise(points, (0.006, 0.08, 0.006))
    return person.appearance.hair * shade[:, None].clip(0.3, 2)
