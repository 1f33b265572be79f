"""Fit the face model: which vertices the landmarks are, and what the networks' numbers are worth.

`python -m hund_backend.training.faces.fit_face FILE...` reads files of `generate` and writes
`hund_backend/weights/face.npz` and its card. People who are not in the first 60 % judge the result.
"""

import argparse
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from ...atomic_write import write_file
from ...body.file import BodyFile, load_body_file
from ...body.skeleton import JOINT_INDEX
from ...descent.face.alignment import align
from ...descent.face.model import (
    FACE_FILE,
    IRISES,
    NUM_IDENTITY,
    NUM_TURN_TERMS,
    SCHEMA,
    FaceModel,
    make_model,
    turn_terms,
)
from ...descent.face.solve import combined, facts
from ...perception.face.evidence import NUM_LANDMARKS
from .samples import displacements_by_person, load_pictures

_TRAINED_SHARE = 0.6  # of the people
_PICTURES_OF_VERTICES = 300  # that choose the landmarks' vertices
_FAR = 0.3  # distances between the eyes' outer corners; a larger error counts as this one
_RESPONSE_RIDGE = 3e3  # mm², summed over pictures: keys that hardly move count as followed
_PAINTED_RANGE, _REAL_RESPONSE = (0.4, 1.1), 0.95
_SLOPE_RIDGE, _SHARE_RIDGE = 0.3, 0.5
_MIRRORED_TERMS = np.array([-1, 1, 1, 1, -1])[:, None]  # signs of the turn terms in a mirror


def landmark_vertices(
    body: BodyFile, arrays: dict[str, np.ndarray]
) -> tuple[Int[np.ndarray, "478"], Int[np.ndarray, "478"], Float[np.ndarray, "478"]]:
    """Return the vertex of each landmark: the one that it follows best through all pictures.

    Left and right are chosen together, so that the model is symmetric.

    Returns:
        Vertices, the landmarks of the other side, and root mean square errors in distances between
        the eyes' outer corners.
    """
    vertices, landmarks = arrays["vertices"], arrays["landmarks"][..., :2]
    eyes = body.skinning_weights[:, [JOINT_INDEX["Eye01L"], JOINT_INDEX["Eye01R"]]].sum(axis=1)
    is_eye = eyes[vertices] > 0.5
    is_iris = np.arange(NUM_LANDMARKS) >= min(IRISES["Right"])
    size = np.linalg.norm(landmarks[:, 33] - landmarks[:, 263], axis=1)[:, None]
    errors = np.full((NUM_LANDMARKS, len(vertices)), np.inf)
    for number in range(NUM_LANDMARKS):
        allowed = is_eye == is_iris[number]
        distance = arrays["pixels"][:, allowed] - landmarks[:, number, None]
        distance = np.linalg.norm(distance, axis=-1) / size
        errors[number, allowed] = np.mean(np.minimum(distance, _FAR) ** 2, axis=0)
    place = np.full(len(body.template), -1)
    place[vertices] = np.arange(len(vertices))
    across = place[body.mirror_vertices[vertices]]
    own = body.template[vertices[errors.argmin(axis=1)]]
    mirrored = own * (-1, 1, 1)
    other = np.linalg.norm(mirrored[:, None] - own[None], axis=-1)
    other[np.ix_(is_iris, ~is_iris)] = other[np.ix_(~is_iris, is_iris)] = np.inf
    partner = other.argmin(axis=1)
    both = errors + errors[partner][:, across]
    alone = partner == np.arange(NUM_LANDMARKS)
    both[np.ix_(alone, across != np.arange(len(vertices)))] = np.inf
    chosen = both.argmin(axis=1)
    for number in range(NUM_LANDMARKS):  # partners that agree on each other get mirrored vertices
        if partner[partner[number]] == number and partner[number] > number:
            chosen[partner[number]] = across[chosen[number]]
    return vertices[chosen], partner, np.sqrt(errors[np.arange(NUM_LANDMARKS), chosen])


def _centered(values: np.ndarray, people: np.ndarray) -> np.ndarray:
    """Return values minus each person's mean, flattened."""
    flat = values.reshape(len(values), -1).astype(np.float64)
    for person in np.unique(people):
        flat[people == person] -= flat[people == person].mean(axis=0)
    return flat


def turn_errors(
    model: FaceModel, arrays: dict[str, np.ndarray], partner: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the errors per turn term of landmarks and of the network's coefficients."""
    people, truth = arrays["person"], arrays["arkit"]
    aligned = align(arrays["landmarks"], model.rest, model.stiffness)
    terms = _centered(turn_terms(aligned.turn), people)
    shown = aligned.landmarks - np.einsum("fk,kpx->fpx", truth, model.keys)
    ridge = _SLOPE_RIDGE * np.eye(NUM_TURN_TERMS)
    landmarks = np.linalg.solve(terms.T @ terms + ridge, terms.T @ _centered(shown, people))
    landmarks = landmarks.reshape(NUM_TURN_TERMS, NUM_LANDMARKS, 3)
    mirrored = landmarks[:, partner] * (-1, 1, 1) * _MIRRORED_TERMS[..., None]
    landmarks = (landmarks + mirrored) / 2
    known = np.concatenate((terms, _centered(truth, people)), axis=1)
    numbers = _centered(arrays["coefficients"], people)
    ridge = _SLOPE_RIDGE * np.eye(known.shape[1])
    slopes = np.linalg.solve(known.T @ known + ridge, known.T @ numbers)[:NUM_TURN_TERMS]
    slopes = (slopes + slopes[:, list(model.mirror)] * _MIRRORED_TERMS) / 2
    return landmarks, slopes


def facts_of(model: FaceModel, arrays: dict[str, np.ndarray]) -> tuple[np.ndarray, ...]:
    """Return the coefficients of geometry, of the network and of both, over each one's neutral."""
    geometry, network, both = (np.zeros_like(arrays["arkit"]) for _ in range(3))
    for rows, shown in displacements_by_person(model, arrays):
        geometry[rows], network[rows] = facts(model, shown)
        both[rows] = combined(model, shown, geometry[rows], network[rows])
    return geometry, network, both


def identity_space(
    model: FaceModel, arrays: dict[str, np.ndarray]
) -> tuple[Float[np.ndarray, "478 3"], Float[np.ndarray, "16 478 3"]]:
    """Return the mean of people's landmarks at rest, and their principal displacements from it."""
    at_rest = [shown.neutral for _, shown in displacements_by_person(model, arrays)]
    neutrals = np.stack(at_rest)
    mean = neutrals.mean(axis=0)
    _, sizes, components = np.linalg.svd((neutrals - mean).reshape(len(neutrals), -1))
    scale = sizes[:NUM_IDENTITY] / np.sqrt(len(neutrals))
    return mean, (components[:NUM_IDENTITY] * scale[:, None]).reshape(-1, NUM_LANDMARKS, 3)


def responses(model: FaceModel, arrays: dict[str, np.ndarray]) -> Float[np.ndarray, "52"]:
    """Return how far landmarks follow each key: the middle between painted and real heads.

    The network follows the lips of real people nearly all the way, and those of painted heads by
    half to four fifths. What is in the middle errs by the same factor on both.
    """
    normal = _RESPONSE_RIDGE * np.eye(len(model.names))
    target = _RESPONSE_RIDGE * np.ones(len(model.names))
    flat = 1000 * (model.keys * (1, 1, 0.5)).reshape(len(model.names), -1)
    products = flat @ flat.T
    for rows, shown in displacements_by_person(model, arrays):
        truth = arrays["arkit"][rows]
        seen = 1000 * (shown.landmarks * (1, 1, 0.5)).reshape(len(rows), -1)
        normal += (truth.T @ truth) * products
        target += np.einsum("fk,kx,fx->k", truth, flat, seen)
    painted = np.linalg.solve(normal, target)
    painted = (painted + painted[list(model.mirror)]) / 2
    return (painted.clip(*_PAINTED_RANGE) + _REAL_RESPONSE) / 2


def shares_of(
    model: FaceModel, truth: np.ndarray, geometry: np.ndarray, network: np.ndarray
) -> Float[np.ndarray, "52 2"]:
    """Return the weights, not negative, of both facts in each key; equal on both sides."""
    shares = np.zeros((len(model.names), 2))
    for key, other in enumerate(model.mirror):
        sides = [key, other]
        known = np.stack((geometry[:, sides].ravel(), network[:, sides].ravel()), axis=1)
        wanted, best = truth[:, sides].ravel(), np.inf
        for columns in ([0, 1], [0], [1]):
            part = known[:, columns]
            normal = part.T @ part + _SHARE_RIDGE * np.eye(len(columns))
            weights = np.zeros(2)
            weights[columns] = np.linalg.solve(normal, part.T @ wanted)
            error = ((known @ weights - wanted) ** 2).sum()
            if (weights >= 0).all() and error < best:
                best, shares[key] = error, weights
    return shares


def with_responses(model: FaceModel, arrays: dict[str, np.ndarray]) -> FaceModel:
    """Return the model with how the networks answer to keys and people, as pictures show it."""
    model = replace(model, response=responses(model, arrays))
    shares = shares_of(model, arrays["arkit"], *facts_of(model, arrays)[:2])
    mean, identity = identity_space(model, arrays)
    return replace(model, shares=shares, mean=mean, identity=identity)


def describe(name: str, found: np.ndarray, truth: np.ndarray, names: tuple[str, ...]) -> str:
    """Return one row of the table of errors."""
    error = np.abs(found - truth)
    active, each = truth > 0.3, error.mean(axis=0)
    worst = int(each.argmax())
    rms = float(np.sqrt((error**2).mean()))
    return (
        f"| {name} | {error.mean():.4f} | {rms:.4f} | {error[active].mean():.3f} "
        f"| {each[worst]:.3f} ({names[worst]}) |"
    )


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--output", type=Path, default=FACE_FILE)
    arguments = parser.parse_args()
    arrays = load_pictures(arguments.files)
    shared = arrays.pop("vertices")
    people = np.unique(arrays["person"])
    is_trained = np.isin(arrays["person"], people[: round(_TRAINED_SHARE * len(people))])
    trained = {name: values[is_trained] for name, values in arrays.items()}
    held_out = {name: values[~is_trained] for name, values in arrays.items()}
    few = np.random.default_rng(0).permutation(is_trained.sum())[:_PICTURES_OF_VERTICES]
    known = {name: values[few] for name, values in trained.items()} | {"vertices": shared}
    vertices, partner, errors = landmark_vertices(load_body_file(), known)
    plain = make_model(vertices)
    turns = turn_errors(plain, trained, partner)
    model = make_model(vertices, *turns)
    judged = with_responses(model, trained)
    geometry, network, mixed = facts_of(judged, held_out)
    aligned = align(held_out["landmarks"], model.rest, model.stiffness)
    cosine = (np.einsum("fij,fij->f", aligned.turn, held_out["turn"]) - 1) / 2
    angle = np.degrees(np.arccos(cosine.clip(-1, 1)))
    print(f"{len(people)} people, {len(arrays['person'])} pictures, {(~is_trained).sum()} judged")
    print(f"landmarks off their vertices: {np.median(errors):.3f} of the distance of the eyes")
    print(f"head turn: {np.median(angle):.1f}° median, {np.quantile(angle, 0.9):.1f}° at 90 %")
    truth = held_out["arkit"]
    rows = (("always 0", np.zeros_like(truth)), ("network", held_out["coefficients"]))
    rows += (("network over its neutral", network), ("geometry", geometry), ("both", mixed))
    for name, found in rows:
        print(describe(name, found, truth, model.names))
    for key, name in enumerate(model.names):
        alone = np.abs(held_out["coefficients"][:, key] - truth[:, key]).mean()
        together = np.abs(mixed[:, key] - truth[:, key]).mean()
        varies = min(truth[:, key].std(), mixed[:, key].std()) > 0
        agreement = np.corrcoef(truth[:, key], mixed[:, key])[0, 1] if varies else 0.0
        weights = judged.shares[key].round(2)
        print(f"| {name} | {alone:.3f} | {together:.3f} | {agreement:.2f} | {weights}")
    shipped = with_responses(model, arrays)
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        schema=SCHEMA,
        vertices=vertices.astype(np.uint16),
        turn_landmarks=turns[0].astype(np.float32),
        turn_coefficients=turns[1].astype(np.float32),
        shares=shipped.shares.astype(np.float32),
        response=shipped.response.astype(np.float32),
        mean=shipped.mean.astype(np.float32),
        identity=shipped.identity.astype(np.float32),
    )
    write_file(arguments.output, buffer.getvalue())


if __name__ == "__main__":
    main()
