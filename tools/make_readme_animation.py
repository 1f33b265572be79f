"""Make the README's animation: `python -m tools.make_readme_animation [--reconstruction FILE.npz]`.

Left the footage, right the character that the backend made of it, from an orbiting camera. Two
strides of the walker in the demo clip; the right half loops without a jump.
"""

import argparse
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from hund_backend.body.model import BodyModel
from hund_backend.preview import posed_vertices
from hund_backend.reconstruction import Reconstruction
from hund_backend.rendering.mesh_overlay import Mesh, draw_meshes
from hund_backend.video import open_clip
from tools.get_demo_clip import FetchError, get_demo_clip

OUTPUT = Path(__file__).parents[1] / "docs" / "images" / "walker.webp"
PERSON = 1  # the walker; the other one stands on a roof
FIRST, LENGTH = 96, 74  # frames of the clip: after two strides the pose is the first again
STEP = 2  # every second frame is shown
CROP_PX, PANEL_PX = 540, 440  # side of the square in the footage and in the animation
SUPERSAMPLING = 3
ORBIT = np.radians(40)  # largest angle of the orbiting camera to the footage's
TARGET_HEIGHT = 0.88  # metres above the ground that the cameras look at
TILES = 6  # of the floor a loop; an even number, so that the pattern meets itself
FLOOR_RADIUS = 6.0  # metres at which the floor has faded
SHADOW_SLANT = (0.15, 0.1)  # metres a shadow is moved by, for each metre of height
SHADOW_OPACITY, SHADOW_BLUR_PX = 0.4, 3
BODY = (0.95, 0.62, 0.35)  # RGB
BACKGROUND, LIGHT_TILE, DARK_TILE, SHADOW = (
    np.array(rgb, float)
    for rgb in ((238, 240, 243), (222, 226, 231), (206, 211, 218), (70, 78, 92))
)
QUALITY = 88  # of the WebP file


@dataclass(frozen=True, kw_only=True)
class Camera:
    """A pinhole camera that shows a square of its image as a panel."""

    rotation: Float[np.ndarray, "3 3"]  # world_from_camera
    position: Float[np.ndarray, " 3"]  # in the world, metres
    intrinsics: Float[np.ndarray, "3 3"]
    corner: Float[np.ndarray, " 2"]  # of the square, pixels of the image
    scale: float  # panel pixels per image pixel

    def from_world(self, points: Float[np.ndarray, "points 3"]) -> Float[np.ndarray, "points 3"]:
        """Points in the camera frame."""
        return (points - self.position) @ self.rotation

    def pixels(self, points: Float[np.ndarray, "points 3"]) -> Float[np.ndarray, "points 2"]:
        """Panel pixels of points in the camera frame."""
        return (project(self.intrinsics, points) - self.corner) * self.scale

    def floor_points(
        self, size: int, height: float
    ) -> tuple[Float[np.ndarray, "size size 2"], Float[np.ndarray, "size size"]]:
        """Return world x and y of the floor behind each panel pixel, and 1 where there is floor."""
        centers = (np.arange(size) + 0.5) / self.scale
        x, y = np.meshgrid(centers + self.corner[0], centers + self.corner[1])
        pixels = np.stack([x, y, np.ones_like(x)], axis=-1)
        rays = pixels @ np.linalg.inv(self.intrinsics).T @ self.rotation.T
        downward = rays[..., 2] < -1e-3
        distance = (height - self.position[2]) / np.where(downward, rays[..., 2], -1)
        return self.position[:2] + distance[..., None] * rays[..., :2], downward.astype(float)


def project(
    intrinsics: Float[np.ndarray, "3 3"], points: Float[np.ndarray, "points 3"]
) -> Float[np.ndarray, "points 2"]:
    """Image pixels of points in the camera frame."""
    return points[:, :2] / points[:, 2:] @ intrinsics[:2, :2].T + intrinsics[:2, 2]


class Walk:
    """The walker in the world, and the cameras that follow them at a constant speed."""

    def __init__(self, reconstruction: Reconstruction) -> None:
        frames = slice(FIRST, FIRST + LENGTH + 1)
        self.body = BodyModel.load("full")
        self.rotation = reconstruction.world_from_camera[FIRST, :3, :3]
        self.position = reconstruction.world_from_camera[FIRST, :3, 3]
        self.intrinsics = reconstruction.intrinsics[FIRST]
        self.image_size = np.array(reconstruction.image_size)
        vertices = posed_vertices(reconstruction, self.body, frames)[PERSON]
        self.vertices = vertices @ self.rotation.T + self.position
        roots = reconstruction.root_translation[PERSON, frames] @ self.rotation.T + self.position
        self.start, self.way = roots[0, :2], roots[-1, :2] - roots[0, :2]

    @cached_property
    def floor(self) -> float:
        """Height of the floor: median over the frames of the body's lowest point, metres."""
        return float(np.median(self.vertices[..., 2].min(axis=1)))

    def target(self, frame: int) -> Float[np.ndarray, " 3"]:
        """Point that the cameras look at, in the world."""
        place = self.start + self.way * frame / LENGTH
        return np.array([*place, TARGET_HEIGHT])

    def camera(self, frame: int, angle: float, panel_px: int) -> Camera:
        """The footage's camera, turned about the vertical through its target."""
        turn = np.array(
            [
                [np.cos(angle), -np.sin(angle), 0],
                [np.sin(angle), np.cos(angle), 0],
                [0, 0, 1],
            ]
        )
        target = self.target(frame)
        center = project(self.intrinsics, ((target - self.position) @ self.rotation)[None])[0]
        corner = np.clip(center - CROP_PX / 2, 0, self.image_size - CROP_PX)
        return Camera(
            rotation=turn @ self.rotation,
            position=target + turn @ (self.position - target),
            intrinsics=self.intrinsics,
            corner=corner,
            scale=panel_px / CROP_PX,
        )

    def draw_footage(
        self, frame: int, image: UInt8[np.ndarray, "height width 3"]
    ) -> UInt8[np.ndarray, "panel panel 3"]:
        """The square of the footage round the walker."""
        camera = self.camera(frame, 0.0, PANEL_PX)
        panel_from_image = np.hstack([np.eye(2), -camera.corner[:, None]]) * camera.scale
        size = (PANEL_PX, PANEL_PX)
        return cv2.warpAffine(image, panel_from_image, size, flags=cv2.INTER_AREA)

    def draw_character(self, frame: int) -> UInt8[np.ndarray, "panel panel 3"]:
        """The character on a floor."""
        size = PANEL_PX * SUPERSAMPLING
        camera = self.camera(frame, ORBIT * np.sin(2 * np.pi * frame / LENGTH), size)
        faces = self.body.faces.numpy()
        points = camera.from_world(self.vertices[frame])
        mesh = Mesh(
            vertices=points,
            pixels=camera.pixels(points),
            faces=faces,
            colors=np.tile(BODY, (len(faces), 1)),
        )
        image = draw_meshes(self._draw_floor(frame, camera, size), [mesh], opacity=1.0)
        return cv2.resize(image, (PANEL_PX, PANEL_PX), interpolation=cv2.INTER_AREA)

    def _draw_floor(
        self, frame: int, camera: Camera, size: int
    ) -> UInt8[np.ndarray, "size size 3"]:
        points, opacity = camera.floor_points(size, self.floor)
        offset = points - self.target(frame)[:2]
        opacity *= np.clip(1 - np.linalg.norm(offset, axis=-1) / FLOOR_RADIUS, 0, 1) ** 1.5
        along = self.way / np.linalg.norm(self.way)  # the pattern lies along the way
        tile = np.linalg.norm(self.way) / TILES
        on_floor = (points - self.start) @ np.stack([along, [-along[1], along[0]]], axis=-1)
        dark = np.floor(on_floor / tile).sum(axis=-1) % 2
        tiles = LIGHT_TILE + dark[..., None] * (DARK_TILE - LIGHT_TILE)
        image = BACKGROUND + opacity[..., None] * (tiles - BACKGROUND)
        shadow = SHADOW_OPACITY * self._shadow(frame, camera, size)[..., None]
        return np.rint(image + shadow * (SHADOW - image)).astype(np.uint8)

    def _shadow(self, frame: int, camera: Camera, size: int) -> Float[np.ndarray, "size size"]:
        heights = self.vertices[frame, :, 2:] - self.floor
        moved = self.vertices[frame, :, :2] + heights * SHADOW_SLANT
        flat = np.hstack([moved, np.full_like(heights, self.floor)])
        corners = camera.pixels(camera.from_world(flat))[self.body.faces.numpy()]
        mask = np.zeros((size, size), np.uint8)
        for triangle in np.rint(corners).astype(np.int32):
            cv2.fillConvexPoly(mask, triangle, 255)
        return cv2.GaussianBlur(mask, (0, 0), SHADOW_BLUR_PX * SUPERSAMPLING) / 255


def make_animation(
    reconstruction: Reconstruction, clip: Path
) -> tuple[list[UInt8[np.ndarray, "panel both 3"]], int]:
    """Draw the frames of the animation.

    Returns:
        The frames, and the milliseconds that each is shown.
    """
    walk, frames = Walk(reconstruction), []
    with open_clip(clip, start=FIRST, end=FIRST + LENGTH - 1) as footage:
        for shot in footage:
            frame = shot.number - FIRST
            if frame % STEP == 0:
                panels = walk.draw_footage(frame, shot.image), walk.draw_character(frame)
                frames.append(np.hstack(panels))
    return frames, round(1000 * STEP / reconstruction.fps)


def write_animation(
    path: Path, frames: list[UInt8[np.ndarray, "height width 3"]], duration_ms: int
) -> None:
    """Write a WebP file that loops for ever."""
    animation = cv2.Animation()
    animation.frames = [cv2.cvtColor(frame, cv2.COLOR_RGB2BGR) for frame in frames]
    animation.durations = [duration_ms] * len(frames)
    cv2.imwriteanimation(str(path), animation, [cv2.IMWRITE_WEBP_QUALITY, QUALITY])


def reconstruct(clip: Path) -> Reconstruction:
    """Reconstruct the clip as the command line does.

    Raises:
        subprocess.CalledProcessError: the backend failed; it has printed why.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "hund_backend", "reconstruct", str(clip)]
        subprocess.run([*command, "--output", folder], check=True)
        return Reconstruction.load(Path(folder) / f"{clip.stem}.npz")


def main() -> int:
    """Make the animation; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reconstruction", type=Path, help="of the demo clip; default: make it")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    arguments = parser.parse_args()
    try:
        clip = get_demo_clip()
        if arguments.reconstruction:
            reconstruction = Reconstruction.load(arguments.reconstruction)
        else:
            reconstruction = reconstruct(clip)
    except (FetchError, subprocess.CalledProcessError) as error:
        print(error, file=sys.stderr)
        return 1
    frames, duration_ms = make_animation(reconstruction, clip)
    write_animation(arguments.output, frames, duration_ms)
    print(
        f"{arguments.output}: {len(frames)} frames, {arguments.output.stat().st_size / 1e6:.1f} MB"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
