"""Figures: people as surfaces in the world, dressed, with their joints and keypoints."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from .attachments import Bones, brim, long_hair, skirt
from .body_template import ARM, HAND, LEG, Mannequin, vertex_normals
from .person_sampler import Person
from .surfaces import Paint, Surface, painter_of_cloth
from .wardrobe import UPPER_ARM, UPPER_LEG


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A person in the world: surfaces and what is true of the body under them."""

    surfaces: tuple[Surface, ...]
    rotations: Float[np.ndarray, "63 3 3"]  # parent-relative; the pelvis in the world
    translation: Float[np.ndarray, "3"]  # of the pelvis, metres
    betas: Float[np.ndarray, "16"]
    expression: Float[np.ndarray, "20"]
    joints: Float[np.ndarray, "63 3"]
    keypoints: Float[np.ndarray, "33 3"]  # BlazePose's


def figure(
    mannequin: Mannequin,
    person: Person,
    place: Float[np.ndarray, "2"],
    rng: np.random.Generator,
) -> Figure:
    """A person whose pelvis is over a place (x, z) of the floor; `rng` cuts the drapes."""
    model = mannequin.model
    rest_vertices, rest_joints = model.rest(person.betas, person.expression)
    posed = model(
        person.rotations[1:],
        person.betas,
        global_orient=person.rotations[0],
        expression=person.expression,
    )
    scale = (rest_vertices[:, 1].min() / model.template[:, 1].min()).item()
    lowest = posed.vertices[:, 1].min().item()
    height = -lowest if person.grounded else max(-lowest, person.height * scale)
    translation = np.array([place[0], height, place[1]], np.float32)
    vertices = posed.vertices.numpy() + translation
    joints = posed.joints.numpy() + translation
    bones = Bones(
        rest_vertices=rest_vertices.numpy(),
        rest_joints=rest_joints.numpy(),
        joints=joints,
        orientations=posed.orientations.numpy(),
    )
    return Figure(
        surfaces=(_dressed(mannequin, person, vertices), *_drapes(mannequin, person, bones, rng)),
        rotations=person.rotations.numpy(),
        translation=translation,
        betas=person.betas.numpy(),
        expression=person.expression.numpy(),
        joints=joints,
        keypoints=model.keypoints(posed, "blazepose").numpy() + translation,
    )


def _dressed(
    mannequin: Mannequin, person: Person, vertices: Float[np.ndarray, "vertices 3"]
) -> Surface:
    """The skin with clothes and hair raised over it."""
    places, regions = mannequin.places, mannequin.region_of_vertex
    rise = person.looks.rise(mannequin, places, regions)
    smoothing = np.zeros(len(places), int)
    for garment in person.garments:
        within = garment.inside(mannequin, places, regions)
        covered = within > 0
        over = rise * 0.6 + garment.rise(mannequin, within, places)
        rise = np.where(covered, np.maximum(rise, over), rise)
        smoothing = np.where(covered, np.maximum(smoothing, garment.smoothing), smoothing)
    smooth = vertices
    for step in range(smoothing.max()):
        smooth = np.where((smoothing > step)[:, None], mannequin.neighbors @ smooth, smooth)
    normals = vertex_normals(smooth, mannequin.faces)
    raised = (smooth + normals * rise[:, None]).astype(np.float32)
    return Surface(
        vertices=raised,
        faces=mannequin.faces,
        normals=vertex_normals(raised, mannequin.faces),
        places=places,
        parts=mannequin.part_of_face,
        paint=lambda places, faces: _paint(mannequin, person, places, faces),
    )


def _paint(mannequin: Mannequin, person: Person, places: np.ndarray, faces: np.ndarray) -> Paint:
    """Skin, and over it the clothes that cover it."""
    regions = mannequin.region_of_face[faces]
    albedo, skin = person.looks.paint(mannequin, places, regions)
    albedo = albedo.astype(np.float32)
    gloss = np.where(skin > 0, 0.25, 0.3).astype(np.float32)
    folds = np.full(len(places), 0.05, np.float32)
    arms = (regions == ARM) | (regions == HAND)
    legs = regions >= LEG
    along = -places[:, 1]
    along = np.where(arms, mannequin.arm_coordinate(places) * UPPER_ARM, along)
    along = np.where(legs, mannequin.leg_coordinate(places) * UPPER_LEG, along)
    for garment in person.garments:
        covered = np.flatnonzero(garment.inside(mannequin, places, regions) > 0)
        albedo[covered] = garment.fabric.paint(places[covered], along[covered])
        gloss[covered] = garment.fabric.gloss
        folds[covered] = garment.folds
        skin[covered] = 0
    return Paint(albedo, gloss, folds, skin)


def _drapes(
    mannequin: Mannequin, person: Person, bones: Bones, rng: np.random.Generator
) -> list[Surface]:
    """Skirt, long hair and the brim of the hat, where there are any."""
    surfaces = []
    if person.skirt is not None:
        painter = painter_of_cloth(person.skirt.paint, gloss=person.skirt.gloss, folds=0.5)
        surfaces.append(skirt(mannequin, bones, painter, rng))
    if person.long_hair:
        painter = painter_of_cloth(
            lambda places, _: _strands(person, places), gloss=0.3, folds=0.6
        )
        surfaces.append(long_hair(bones, painter, rng))
    if person.brim and person.looks.hat is not None:
        hat = person.looks.hat
        surfaces.append(brim(bones, painter_of_cloth(hat.paint, gloss=hat.gloss, folds=0.1), rng))
    return surfaces


def _strands(person: Person, places: np.ndarray) -> Float[np.ndarray, "points 3"]:
    shade = 1 + 0.5 * person.looks.noise(places, (0.006, 0.08, 0.006))
    return person.looks.hair * shade[:, None].clip(0.3, 2)
