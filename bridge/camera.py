"""Camera: Blender's counterpart of the camera that recorded the clip."""

import bpy
import numpy as np
from mathutils import Matrix

from ..hund_backend.reconstruction import Reconstruction
from . import quaternions
from .action import Motion, write_channel
from .resample import Resampler
from .world import CAMERA_FROM_BLENDER

SENSOR_WIDTH_MM = 36.0  # full frame, so that the lens is in the usual 35 mm equivalent
_CLIP_START, _CLIP_END = 0.01, 1000.0  # metres
_DISPLAY_SIZE = 0.2  # metres
_MOTION_TOLERANCE = 1e-9  # a property that varies by less is not keyed


def create(
    name: str,
    reconstruction: Reconstruction,
    keys: Resampler,
    motion: Motion,
    units_per_meter: float,
) -> bpy.types.Object:
    """Make the camera of a clip.

    Args:
        name: of the object and its data.
        reconstruction: gives poses and intrinsics.
        keys: of the motion in the scene.
        motion: gets the keys if the camera moves or zooms.
        units_per_meter: Blender units in a metre.
    """
    data = bpy.data.cameras.new(name)
    camera = bpy.data.objects.new(name, data)
    data.sensor_fit, data.sensor_width = "HORIZONTAL", SENSOR_WIDTH_MM
    data.clip_start, data.clip_end = _CLIP_START * units_per_meter, _CLIP_END * units_per_meter
    data.display_size = _DISPLAY_SIZE * units_per_meter
    poses = reconstruction.world_from_camera @ CAMERA_FROM_BLENDER
    poses[:, :3, 3] *= units_per_meter
    camera.matrix_world = Matrix(poses[0])
    if np.ptp(poses, axis=0).max() > _MOTION_TOLERANCE:
        camera.rotation_mode = "QUATERNION"
        channels = motion.channels(camera)
        rotations = keys.rotations(quaternions.from_matrices(poses[:, :3, :3]))
        rotations = quaternions.make_continuous(rotations)
        write_channel(channels, "location", keys.frames, keys.values(poses[:, :3, 3]))
        write_channel(channels, "rotation_quaternion", keys.frames, rotations)
    lens_properties = _lens_properties(reconstruction)
    for path, values in lens_properties.items():
        setattr(data, path, values[0])
    if max(np.ptp(values) for values in lens_properties.values()) > _MOTION_TOLERANCE:
        channels = motion.channels(data, "Lens")
        for path, values in lens_properties.items():
            write_channel(channels, path, keys.frames, keys.values(values[:, None]))
    return camera


def pixel_aspect(reconstruction: Reconstruction) -> tuple[float, float]:
    """Return width and height of a pixel, the smaller one 1; it is not square where fx ≠ fy."""
    ratio = reconstruction.intrinsics[0, 1, 1] / reconstruction.intrinsics[0, 0, 0]
    return max(1.0, ratio), max(1.0, 1 / ratio)


def _lens_properties(reconstruction: Reconstruction) -> dict[str, np.ndarray]:
    """Convert the intrinsics to properties of a camera's data, each (frames,).

    With the sensor fitted to the width, Blender measures lens and shift in widths of the picture:
    fx / width = lens / sensor_width, and the shift is the distance of the picture's center from
    the principal point, right and up. Vertically, fy pixels are as long as fx pixels across.
    """
    width, height = reconstruction.image_size
    fx, fy = (reconstruction.intrinsics[:, axis, axis] for axis in (0, 1))
    cx, cy = (reconstruction.intrinsics[:, axis, 2] for axis in (0, 1))
    return {
        "lens": fx / width * SENSOR_WIDTH_MM,
        "shift_x": (width / 2 - cx) / width,
        "shift_y": (cy - height / 2) / width * (fx / fy),
    }
