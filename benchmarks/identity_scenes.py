"""Scenes of several people with known identities, and stand-ins for the networks that look at them.

Everybody plays recorded motion before one camera. The stand-ins see what a network would: they
miss who is hidden, follow who stands in front, mix limbs of two people who overlap, and err in
time as the networks do (`docs/log/perception.md`). So the real tracker and the real assignment
run in seconds, and what they should find is known.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Bool, Float

from hund_backend.body.camera import project
from hund_backend.body.model import BodyModel
from hund_backend.body.rotations import rotvec_to_matrix
from hund_backend.body.skeleton import BLAZEPOSE_NAMES
from hund_backend.descent.state import State
from hund_backend.perception.crop_detector import LIMB_JOINTS, SEGMENTS, Detection
from hund_backend.perception.crops import crop_from_image, transform_points
from hund_backend.perception.person_detector import PersonBoxes, non_maximum_suppression
from hund_backend.training.motion.motion_set import MotionSet
from hund_backend.video import Frame

FPS = 30.0
WIDTH, HEIGHT, FOCAL_PX = 1280, 720, 1100.0
INTRINSICS = np.array([[FOCAL_PX, 0, WIDTH / 2], [0, FOCAL_PX, HEIGHT / 2], [0, 0, 1]])
CAMERA_HEIGHT = 1.2  # metres
COCO = [0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28]  # among BlazePose's points
BONES = np.array(  # between keypoints, for what a nearer body hides
    [
        (11, 12),
        (23, 24),
        (11, 23),
        (12, 24),
        (11, 24),
        (12, 23),
        (0, 11),
        (0, 12),
        (11, 13),
        (13, 15),
        (12, 14),
        (14, 16),
        (23, 25),
        (25, 27),
        (24, 26),
        (26, 28),
    ]
)
LIMB_GROUPS = ([11, 13, 15], [12, 14, 16], [23, 25, 27, 29, 31], [24, 26, 28, 30, 32])
LIGHT = np.array((15.0, 3.5, 3.5))  # spread of lightness and color over a clip
THICKNESS = 0.05  # radius of a limb over the height of the body
DETECTABLE, COUNTED = 0.3, 0.3  # share of visible keypoints to be detected, to be counted
PICTURE_NOISE = 0.2  # of the networks' noise: they err in the same way where nothing changes
HIPS, SHOULDERS = [23, 24], [11, 12]


@dataclass(frozen=True, kw_only=True)
class Pillar:
    """Upright obstacle."""

    left: float  # px
    right: float
    depth: float  # metres


@dataclass(kw_only=True)
class Actor:
    """True motion of one person in a clip."""

    points: Float[np.ndarray, "frames 33 3"]  # keypoints in the camera frame, metres
    colors: Float[np.ndarray, "segments 3"]  # of the clothes, CIELAB in 8 bits
    in_view: Bool[np.ndarray, " frames"]  # False while the shot does not show the person
    blind: Bool[np.ndarray, " frames"]  # frames in which the networks fail (blur, glare)
    is_picture: bool = False  # a poster: nobody
    pixels: Float[np.ndarray, "frames 35 2"] = field(init=False)
    depth: Float[np.ndarray, " frames"] = field(init=False)

    def __post_init__(self) -> None:
        points = self.points
        flat = torch.from_numpy(points.reshape(-1, 3)).float()
        camera = torch.from_numpy(INTRINSICS).float()
        pixels = project(flat, camera).numpy().astype(float).reshape(len(points), 33, 2)
        hip, shoulder = pixels[:, HIPS].mean(axis=1), pixels[:, SHOULDERS].mean(axis=1)
        # BlazePose's axis: from the mid-hip through the shoulders, as long as the body's radius.
        radius = 1.08 * np.linalg.norm(pixels - hip[:, None], axis=-1).max(axis=1)
        trunk = shoulder - hip
        tip = hip + trunk / np.linalg.norm(trunk, axis=-1, keepdims=True) * radius[:, None]
        self.pixels = np.concatenate((pixels, hip[:, None], tip[:, None]), axis=1)
        self.depth = points[:, HIPS, 2].mean(axis=1)

    @property
    def boxes(self) -> Float[np.ndarray, "frames 4"]:
        """Boxes x0, y0, x1, y1 of the keypoints, px."""
        keypoints = self.pixels[:, :33]
        return np.concatenate((keypoints.min(axis=1), keypoints.max(axis=1)), axis=-1)

    @property
    def inside(self) -> Float[np.ndarray, " frames"]:
        """Share of the keypoints inside the picture."""
        return _inside(self.pixels[:, :33]).mean(axis=1)


class FrameImage(np.ndarray):
    """Image that knows its number, so that a stand-in knows what it should show."""

    number: int = -1


@dataclass(kw_only=True)
class Scene:
    """Actors before the camera, and what the networks make of them."""

    name: str
    actors: list[Actor]
    pillars: list[Pillar] = field(default_factory=list)
    shots: tuple[int, ...] = (0,)  # first frames
    seed: int = 0
    protagonists: tuple[int, ...] | None = None  # of a crowd: who matters; None: everybody
    visible: Bool[np.ndarray, "actors frames 33"] = field(init=False)

    def __post_init__(self) -> None:
        self.visible = np.stack([self._visible(actor) for actor in self.actors])
        generator = np.random.default_rng(self.seed)
        shape = (len(self.actors), self.num_frames)
        self.noise = _correlated(generator, (*shape, 35, 2), 0.85)
        self.quality_noise = _correlated(generator, shape, 0.9)
        self.light = _correlated(generator, (*shape, 1, 3), 0.97)
        self.box_noise = generator.normal(size=(*shape, 4))
        self.mix = generator.random((*shape, len(LIMB_GROUPS)))
        self.color_noise = generator.normal(size=(*shape, len(SEGMENTS), 3))
        self.luck = generator.random(shape)

    @property
    def num_frames(self) -> int:
        """Number of frames."""
        return len(self.actors[0].points)

    @property
    def share(self) -> Float[np.ndarray, "actors frames"]:
        """Share of the keypoints that the camera sees."""
        return self.visible.mean(axis=-1)

    def frames(self) -> Iterator[Frame]:
        """Yield the frames: noise around a gradient of the shot, since only cuts look at them."""
        for number in range(self.num_frames):
            generator = np.random.default_rng((self.seed, number))
            shot = int(np.searchsorted(self.shots, number, side="right"))
            wave = np.sin(np.linspace(0, 2 + 3 * shot, WIDTH) + 2 * shot)
            row = 120 + 60 * wave[:, None] + generator.normal(0, 4, (WIDTH, 3))
            image = np.broadcast_to(row.astype(np.uint8), (HEIGHT, WIDTH, 3)).view(FrameImage)
            image.number = number
            yield Frame(number=number, time=number / FPS, image=image)

    def detect(self, images: list[np.ndarray]) -> list[PersonBoxes]:
        """Stand-in for the person detector."""
        return [self._detect(image.number) for image in images]

    def _detect(self, frame: int) -> PersonBoxes:
        boxes, confidence, keypoints = [], [], []
        for index, actor in enumerate(self.actors):
            share = self.share[index, frame]
            if actor.blind[frame] or share < DETECTABLE or self.luck[index, frame] > 0.5 + share:
                continue
            points = actor.pixels[frame, :33][self.visible[index, frame]]
            box = np.concatenate((points.min(axis=0), points.max(axis=0)))
            size = (box[2:] - box[:2]).max()
            boxes.append(box + 0.02 * size * self.box_noise[index, frame])
            confidence.append(np.clip(0.3 + 0.6 * share, 0, 1))
            keypoints.append(
                actor.pixels[frame, COCO] + 0.03 * size * self.noise[index, frame, COCO]
            )
        people = PersonBoxes(
            boxes=np.array(boxes, np.float32).reshape(-1, 4),
            confidence=np.array(confidence, np.float32),
            keypoints=np.array(keypoints, np.float32).reshape(-1, 17, 2),
        )
        return non_maximum_suppression(people, 0.55)

    def detections(
        self,
        frame: int,
        crops: Float[np.ndarray, "crops 4"],
        painted: Sequence[Detection] = (),
    ) -> list[Detection]:
        """Stand-in for the crop detector: the person who fills each crop best, with errors.

        Args:
            frame: its number.
            crops: to look at.
            painted: people who are painted over. Nobody sees them, nor what lies behind or before
                their bodies.
        """
        unseen = {self._actor_of(frame, detection) for detection in painted}
        return [self._look(frame, crop, unseen) for crop in crops]

    def _actor_of(self, frame: int, detection: Detection) -> int:
        points = detection.points[LIMB_JOINTS]
        distances = [
            np.linalg.norm(actor.pixels[frame, LIMB_JOINTS] - points, axis=-1).mean()
            for actor in self.actors
        ]
        return int(np.argmin(distances))

    def _seen(self, index: int, frame: int, painted: set[int]) -> Bool[np.ndarray, "33"]:
        """Return which keypoints of an actor are seen."""
        visible = self.visible[index, frame].copy()
        points = self.actors[index].pixels[frame : frame + 1, :33]
        for other in painted - {index}:
            visible &= ~_covered(points, self.actors[other].pixels[frame : frame + 1])[0]
        return visible & (index not in painted)

    def _look(self, frame: int, crop: Float[np.ndarray, "4"], painted: set[int]) -> Detection:
        seen = [self._seen(index, frame, painted) for index in range(len(self.actors))]
        scores = np.array(
            [self._score(index, frame, crop, each.mean()) for index, each in enumerate(seen)]
        )
        order = np.argsort(-scores)
        best = int(order[0])
        actor, score = self.actors[best], scores[best]
        side = crop[2]
        if score < 0.1:  # nobody: the network draws somebody where there is nobody
            noise = np.random.default_rng((self.seed, frame, int(side))).normal(size=(35, 2))
            return _detection(crop, crop[:2] + 0.1 * side * noise, np.zeros(33), 0.2)
        visible = seen[best]
        points, colors = actor.pixels[frame].copy(), actor.colors.copy()
        second = int(order[1]) if len(order) > 1 else best
        if second != best and scores[second] > 0.6 * score:
            # Hidden limbs are drawn where those of the one in front are.
            other = self.actors[second].pixels[frame]
            for group, luck in zip(LIMB_GROUPS, self.mix[best, frame], strict=True):
                near = np.linalg.norm(points[group] - other[group], axis=-1).mean() < 0.25 * side
                if near and luck < 0.4 and not visible[group].all():
                    points[group] = other[group]
        extent = (actor.boxes[frame, 2:] - actor.boxes[frame, :2]).max()
        sigma = 0.006 * extent * np.where(np.append(visible, (True, True)), 1.0, 6.0)
        sigma = sigma * (PICTURE_NOISE if actor.is_picture else 1)
        points = points + sigma[:, None] * self.noise[best, frame]
        hidden = ~visible[np.array(SEGMENTS)].all(axis=-1)
        if second != best:
            colors[hidden] = self.actors[second].colors[hidden]
        colors = colors + LIGHT * self.light[best, frame] + 5 * self.color_noise[best, frame]
        quality = 0.88 * score + 0.03 * self.quality_noise[best, frame]
        confidence = np.where(visible, 0.9, 0.25) * np.clip(quality, 0, 1)
        world = actor.points[frame] - actor.points[frame][HIPS].mean(axis=0)
        return _detection(crop, points, confidence, quality, colors=colors, world=world)

    def _score(self, index: int, frame: int, crop: Float[np.ndarray, "4"], share: float) -> float:
        actor = self.actors[index]
        if share < 0.15 or actor.blind[frame]:
            return 0.0
        hip, tip = transform_points(actor.pixels[frame, 33:35], crop_from_image(crop))
        axis = (tip - hip) / 128
        offset = np.linalg.norm(hip - 128) / 256
        growth = np.log(max(np.linalg.norm(axis), 1e-3) * 1.25)
        angle = np.arctan2(axis[0], -axis[1])
        fit = np.exp(-((offset / 0.4) ** 2) - (growth / 0.7) ** 2 - (angle / 0.9) ** 2)
        return float(fit * (0.35 + 0.65 * share))

    def _visible(self, actor: Actor) -> Bool[np.ndarray, "frames 33"]:
        """Return which keypoints the camera sees."""
        pixels = actor.pixels[:, :33]
        visible = _inside(pixels) & actor.in_view[:, None]
        for pillar in self.pillars:
            within = (pixels[..., 0] > pillar.left) & (pixels[..., 0] < pillar.right)
            visible &= ~(within & (actor.depth > pillar.depth)[:, None])
        for other in self.actors:
            if other is not actor:
                nearer = (other.depth < actor.depth) & other.in_view
                visible[nearer] &= ~_covered(pixels[nearer], other.pixels[nearer])
        return visible


@dataclass(kw_only=True)
class Casting:
    """Makes actors from recorded motion."""

    body: BodyModel
    motions: MotionSet
    num_frames: int
    generator: np.random.Generator

    def walker(self, path: list[tuple[float, float, float]], **traits: object) -> Actor:
        """Return somebody who walks through points (frame, x, depth in metres)."""
        names = [n for n in self.motions.names if "/walking" in n]
        clip = self._clip(str(self.generator.choice(names)))
        times, x, z = np.array(path, float).T
        frames = np.arange(self.num_frames)
        place = np.column_stack((np.interp(frames, times, x), np.interp(frames, times, z)))
        smooth = np.ones(9) / 9
        place = np.column_stack(
            [np.convolve(np.pad(p, 4, mode="edge"), smooth, "valid") for p in place.T]
        )
        velocity = np.gradient(place, axis=0)
        moving = np.linalg.norm(velocity, axis=-1) > 0.005
        headings = np.arctan2(velocity[:, 0], -velocity[:, 1])
        known = np.flatnonzero(moving)
        headings = np.unwrap(headings[known]) if len(known) else np.zeros(1)
        headings = np.interp(frames, known if len(known) else [0], headings)
        speed = np.linalg.norm(velocity, axis=-1) * FPS / 1.2  # of the recorded walk
        phase = np.cumsum(np.clip(speed, 0, 1.6))
        return self._actor(clip, phase, place, headings, **traits)

    def performer(
        self, name: str, place: tuple[float, float], *, turn: float | None = None, **traits: object
    ) -> Actor:
        """Return somebody who plays a recorded clip at a place (x, depth in metres)."""
        clip = self._clip(name)
        turn = self.generator.uniform(-np.pi, np.pi) if turn is None else turn
        phase = np.arange(self.num_frames, dtype=float) + self.generator.integers(
            0, max(1, clip.stop - clip.start - self.num_frames)
        )
        return self._actor(clip, phase, place, np.array([turn]), keep_path=True, **traits)

    def picture(self, place: tuple[float, float]) -> Actor:
        """Return a poster: one pose, of no motion."""
        actor = self.performer("cmu_subset/14_21", place, turn=0.0)
        actor.points = np.repeat(actor.points[:1], self.num_frames, axis=0)
        return replace(actor, is_picture=True)

    def _clip(self, name: str) -> slice:
        index = self.motions.names.index(name)
        return slice(int(self.motions.starts[index]), int(self.motions.starts[index + 1]))

    @torch.no_grad()
    def _actor(
        self,
        clip: slice,
        phase: Float[np.ndarray, " frames"],
        place: object,
        headings: Float[np.ndarray, " _"],
        *,
        keep_path: bool = False,
        colors: Float[np.ndarray, "segments 3"] | None = None,
        blind: range = range(0),
    ) -> Actor:
        length = clip.stop - clip.start
        turns, rest = np.divmod(phase.astype(int), max(length - 1, 1))  # forwards, then backwards
        indices = clip.start + np.where(turns % 2, length - 1 - rest, rest)
        rotations = self.motions.rotations[indices]
        path = self.motions.translation[indices].numpy().astype(float)
        recorded = self.motions.translation[clip].numpy()
        along = recorded[-1] - recorded[0]
        # Turns the recorded direction of a walk, or the recorded front, to the heading.
        facing = 0.0 if keep_path else float(np.arctan2(along[0], along[2]))
        turn = torch.zeros(self.num_frames, 3)
        turn[:, 1] = torch.from_numpy(np.broadcast_to(headings, self.num_frames) - facing)
        world = rotvec_to_matrix(turn)
        shift = np.zeros((self.num_frames, 3))
        shift[:, 1] = path[:, 1]
        if keep_path:
            centered = path - path.mean(axis=0)
            centered[:, 1] = 0
            shift += np.einsum("fij,fj->fi", world.numpy(), centered)
        shift[:, [0, 2]] += np.array(place) * (1, -1)
        upright = torch.diag(
            torch.tensor([1.0, -1, -1])
        )  # y up and z back to y down and z forward
        translation = torch.from_numpy(shift).float() @ upright.T
        translation[:, 1] += CAMERA_HEIGHT
        betas = 0.7 * torch.from_numpy(self.generator.normal(size=16)).float()
        state = State(
            pose=rotations[:, 1:],
            betas=betas.expand(self.num_frames, 16),
            global_orient=upright @ world @ rotations[:, 0],
            root_translation=translation,
        )
        points = self.body.keypoints(state.posed(self.body), "blazepose").numpy().astype(float)
        mask = np.zeros(self.num_frames, bool)
        mask[list(blind)] = True
        return Actor(
            points=points,
            colors=self.clothes() if colors is None else colors,
            in_view=np.ones(self.num_frames, bool),
            blind=mask,
        )

    def clothes(self) -> Float[np.ndarray, "segments 3"]:
        """Return colors of trunk, legs and arms: a shirt, trousers, sleeves or skin."""
        low, high = (30, 110, 110), (200, 150, 155)
        shirt, trousers, skin = self.generator.uniform(low, high, (3, 3))
        skin = skin if self.generator.random() < 0.5 else shirt
        return np.array([shirt, shirt, trousers, trousers, trousers, trousers, skin, skin])


def _detection(
    crop: np.ndarray,
    points: np.ndarray,
    confidence: np.ndarray,
    quality: float,
    *,
    colors: np.ndarray | None = None,
    world: np.ndarray | None = None,
) -> Detection:
    return Detection(
        crop=np.array(crop, float),
        points=points,
        confidence=confidence,
        world_landmarks=np.zeros((33, 3)) if world is None else world,
        quality=float(np.clip(quality, 0, 1)),
        colors=np.full((len(SEGMENTS), 3), 128.0) if colors is None else colors,
        mask=np.zeros((64, 64), np.uint8),
    )


def _inside(pixels: np.ndarray) -> np.ndarray:
    return ((pixels >= 0) & (pixels <= (WIDTH, HEIGHT))).all(axis=-1)


def _covered(pixels: np.ndarray, nearer: np.ndarray) -> np.ndarray:
    """Return which points (frames points 2) lie on the limbs of a nearer body."""
    if not len(pixels):
        return np.zeros(pixels.shape[:2], bool)
    first, last = nearer[:, BONES[:, 0]], nearer[:, BONES[:, 1]]  # frames bones 2
    height = np.ptp(nearer[:, :33, 1], axis=1).clip(1)
    along = last - first
    offset = pixels[:, :, None] - first[:, None]
    share = (offset * along[:, None]).sum(-1) / np.maximum((along**2).sum(-1), 1e-6)[:, None]
    nearest = share.clip(0, 1)[..., None] * along[:, None]
    distance = np.linalg.norm(offset - nearest, axis=-1).min(axis=-1)
    return distance < THICKNESS * height[:, None]


def _correlated(
    generator: np.random.Generator, shape: tuple[int, ...], decay: float
) -> np.ndarray:
    """Return noise of unit variance that is correlated along the second axis, the frames."""
    noise = generator.normal(size=shape)
    for frame in range(1, shape[1]):
        fresh = np.sqrt(1 - decay**2) * noise[:, frame]
        noise[:, frame] = decay * noise[:, frame - 1] + fresh
    return noise


def crossing(casting: Casting, *, alike: bool = False) -> Scene:
    """Two people who walk past each other, at different depths."""
    last = casting.num_frames - 1
    near, far = casting.generator.uniform(3.6, 4.2), casting.generator.uniform(4.6, 5.6)
    colors = casting.clothes() if alike else None
    a = casting.walker([(0, -1.8, near), (last, 1.8, near)], colors=colors)
    b = casting.walker([(0, 1.9, far), (last, -1.7, far)], colors=colors)
    return Scene(name="crossing, alike" if alike else "crossing", actors=[a, b])


def bounce(casting: Casting) -> Scene:
    """Two people who meet, overlap, and go back where they came from."""
    last, middle = casting.num_frames - 1, casting.num_frames // 2
    a = casting.walker([(0, -1.8, 4), (middle, 0.15, 4), (last, -1.8, 4)])
    b = casting.walker([(0, 1.8, 4.9), (middle, -0.15, 4.9), (last, 1.8, 4.9)])
    return Scene(name="meeting and turning back", actors=[a, b])


def four(casting: Casting) -> Scene:
    """Four walkers on random straight paths."""
    last, actors = casting.num_frames - 1, []
    for depth in (3.8, 4.6, 5.5, 6.5):
        start, end = casting.generator.uniform(-2.2, 2.2, 2)
        end = end if abs(end - start) > 1.5 else -np.sign(start) * 2
        actors.append(casting.walker([(0, start, depth), (last, end, depth + 0.3)]))
    return Scene(name="four walkers", actors=actors)


def leaving(casting: Casting) -> Scene:
    """One leaves the picture for seconds and returns; another stays."""
    last, third = casting.num_frames - 1, casting.num_frames // 3
    away = 4.5 * casting.generator.choice((-1, 1))
    a = casting.walker([(0, 0.5, 4), (third, away, 4), (2 * third, away, 4.5), (last, 0, 4.5)])
    b = casting.performer("cmu_subset/13_10", (0.0, 6.0))
    return Scene(name="leaving and returning", actors=[a, b])


def pillar(casting: Casting) -> Scene:
    """Two people who go behind a pillar, one after the other."""
    last, late = casting.num_frames - 1, casting.num_frames // 5
    a = casting.walker([(0, -1.8, 4.5), (last - late, 1.8, 4.5)])
    b = casting.walker([(0, -2.2, 5.2), (late, -2.2, 5.2), (last, 1.6, 5.2)])
    middle = WIDTH / 2
    return Scene(
        name="behind a pillar",
        actors=[a, b],
        pillars=[Pillar(left=middle - 90, right=middle + 90, depth=3.0)],
    )


def acrobat(casting: Casting) -> Scene:
    """A flip that the networks lose in mid-air, and a walker."""
    last, middle = casting.num_frames - 1, casting.num_frames // 2
    name = casting.generator.choice(
        ("deepmimic/humanoid3d_backflip", "deepmimic/humanoid3d_sideflip")
    )
    a = casting.performer(str(name), (0.2, 4.5), blind=range(middle, middle + 14))
    b = casting.walker([(0, -1.8, 5.5), (last, 1.8, 5.5)])
    return Scene(name="acrobat and walker", actors=[a, b])


def together(casting: Casting) -> Scene:
    """Three people who move close together."""
    names = ("isaacgym_cmu/amp_humanoid_dance", "cmu_subset/05_18", "cmu_subset/14_07")
    places = ((-0.5, 4.2), (0.25, 4.8), (0.7, 4.0))
    actors = [casting.performer(n, p) for n, p in zip(names, places, strict=True)]
    return Scene(name="three close together", actors=actors)


def posters(casting: Casting) -> Scene:
    """A walker before two posters."""
    last = casting.num_frames - 1
    walker = casting.walker([(0, -1.6, 4), (last, 1.6, 4)])
    pictures = [casting.picture((-0.9, 5.5)), casting.picture((1.2, 6))]
    return Scene(name="posters", actors=[walker, *pictures])


def cuts(casting: Casting) -> Scene:
    """Two people in three shots: both, one of them elsewhere, both on exchanged sides."""
    length = casting.num_frames
    first, second = length // 3, 2 * length // 3
    names = ("cmu_subset/13_10", "cmu_subset/14_07")
    actors = []
    for name, places in zip(
        names,
        (((-0.8, 4.0), (0.4, 3.2), (0.9, 4.6)), ((0.8, 4.2), (9, 4.0), (-0.7, 4.2))),
        strict=True,
    ):
        actor = casting.performer(name, (0.0, 0.0))
        points = actor.points.copy()
        for (x, z), shot in zip(
            places, (slice(0, first), slice(first, second), slice(second, None)), strict=True
        ):
            points[shot] += (x, 0, z)
        actors.append(replace(actor, points=points))
    return Scene(name="cuts", actors=actors, shots=(0, first, second))


def crowd(casting: Casting) -> Scene:
    """One who dances, among sixteen who stand, look and are larger."""
    dancer = casting.performer("isaacgym_cmu/amp_humanoid_dance", (0.0, 5.2))
    calm = [f"cmu_subset/{take}" for take in ("13_07", "13_08", "14_04", "14_05", "14_37")]
    actors = [dancer]
    for index in range(16):
        near = index < 6  # beside the dancer, the others behind
        place = (
            ((-2.2, -1.8, -1.4, 1.4, 1.8, 2.2)[index], 4.2)
            if near
            else (-3.6 + 0.8 * (index - 6), 7.0 + 0.8 * (index % 2))
        )
        actors.append(casting.performer(str(casting.generator.choice(calm)), place, turn=0.0))
    return Scene(name="crowd", actors=actors, protagonists=(0,))


SCENES: dict[str, tuple[Callable[..., Scene], int]] = {  # with their numbers of frames
    "crossing": (crossing, 100),
    "alike": (lambda casting: crossing(casting, alike=True), 100),
    "bounce": (bounce, 120),
    "four": (four, 120),
    "leaving": (leaving, 270),
    "pillar": (pillar, 120),
    "acrobat": (acrobat, 90),
    "together": (together, 150),
    "posters": (posters, 100),
    "cuts": (cuts, 150),
    "crowd": (crowd, 120),
}


def build(name: str, seed: int, body: BodyModel, motions: MotionSet) -> Scene:
    """Build a scene of a kind."""
    make, num_frames = SCENES[name]
    generator = np.random.default_rng((seed, len(name), ord(name[0])))
    casting = Casting(body=body, motions=motions, num_frames=num_frames, generator=generator)
    return replace(make(casting), seed=seed)


assert len(BLAZEPOSE_NAMES) == 33 and max(LIMB_JOINTS) < 33
