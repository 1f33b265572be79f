"""Appearance of skin and head: tone, eyes, brows, lips, beard, hair, hat, glasses."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from .body_template import HEAD, NECK, BodyTemplate
from .fabrics import Fabric
from .noise import Noise
from .scenery import linear

# Tones of skin from light to dark, sRGB (steps of the Monk scale, roughly).
TONES = linear(
    np.array(
        (
            *((0.95, 0.85, 0.80), (0.93, 0.78, 0.70), (0.90, 0.72, 0.60), (0.82, 0.63, 0.48)),
            *((0.72, 0.52, 0.38), (0.60, 0.42, 0.30), (0.45, 0.31, 0.22), (0.32, 0.22, 0.17)),
            (0.22, 0.16, 0.14),
        ),
        np.float32,
    )
)
HAIR_COLORS = linear(
    np.array(
        (
            *((0.07, 0.06, 0.06), (0.14, 0.10, 0.08), (0.27, 0.18, 0.12), (0.42, 0.28, 0.17)),
            *((0.70, 0.55, 0.35), (0.85, 0.75, 0.55), (0.55, 0.25, 0.12), (0.60, 0.60, 0.60)),
            *((0.88, 0.88, 0.86), (0.5, 0.15, 0.4)),
        ),
        np.float32,
    )
)


@dataclass(frozen=True, kw_only=True)
class Appearance:
    """Appearance of a person's skin, face and hair."""

    skin: Float[np.ndarray, "3"]  # reflectance, linear
    hair: Float[np.ndarray, "3"]
    lips: Float[np.ndarray, "3"]
    iris: Float[np.ndarray, "3"]
    noise: Noise
    hair_height: float  # of the hair over the skin, metres; 0 for the bald
    hairline: float  # offset of the hairline down the forehead, metres
    nape: float  # distance of the hairline below the ears at the back of the head, metres
    beard: float  # 0 none … 1 full
    hat: Fabric | None  # cloth over the hair
    glasses: float  # 0 none, 0.3 rims, 1 dark

    def depth_in_hair(
        self, template: BodyTemplate, points: Float[np.ndarray, "points 3"]
    ) -> Float[np.ndarray, " points"]:
        """Distance of points on the head from the edge of hair or hat, positive inside, metres."""
        ear = template.landmarks["left_ear"]
        _, y, z = points.T
        front = (z - ear[2]) / 0.09  # 0 at the ears, 1 at the forehead, -1 at the back
        lower = np.interp(
            front,
            (-1.2, -0.3, 0.05, 0.35, 1.2),
            (-self.nape, -self.nape, 0.03, 0.05 + self.hairline, 0.066 + self.hairline),
        )
        uneven = 0.008 * self.noise(points, 0.02) if self.hat is None else 0
        return y - ear[1] - lower + uneven

    def thickness(
        self,
        template: BodyTemplate,
        points: Float[np.ndarray, "points 3"],
        regions: Int[np.ndarray, " points"],
    ) -> Float[np.ndarray, " points"]:
        """Height of hair, hat and beard over the skin, metres."""
        depth = np.where(
            (regions == HEAD) | (regions == NECK), self.depth_in_hair(template, points), -1
        )
        roughness = 0 if self.hat is not None else 0.5
        height = self.hair_height * (1 + roughness * self.noise(points, 0.035)).clip(0.2)
        hair = (depth / 0.02).clip(0, 1) * height
        beard = np.where(regions == HEAD, self._beard_density(template, points), 0)
        return np.maximum(hair, beard * 0.012 * self.beard)

    def albedo(
        self,
        template: BodyTemplate,
        points: Float[np.ndarray, "points 3"],
        regions: Int[np.ndarray, " points"],
    ) -> tuple[Float[np.ndarray, "points 3"], Float[np.ndarray, " points"]]:
        """Reflectance of skin and head, and the share of skin (0…1)."""
        mottled = 1 + 0.10 * self.noise.layered(points, 0.08) + 0.05 * self.noise(points, 0.006)
        color = self.skin * mottled[:, None].clip(0.6, 1.4)
        skin = np.ones(len(points), np.float32)
        head = np.flatnonzero((regions == HEAD) | (regions == NECK))
        face = head[points[head, 2] > template.landmarks["left_ear"][2]]
        self._add_face(template, color, face, points[face])
        beard = self.beard * self._beard_density(template, points[head])
        blend = (beard * (1 + 0.6 * self.noise(points[head], 0.005))).clip(0, 1)[:, None]
        color[head] = color[head] * (1 - blend) + self.hair * blend
        hairy = head[self.depth_in_hair(template, points[head]) > 0]
        if self.hat is not None:
            color[hairy] = self.hat.albedo(points[hairy], points[hairy, 1])
            skin[hairy] = 0
        elif self.hair_height > 0:
            strands = 1 + 0.5 * self.noise(points[hairy], (0.006, 0.05, 0.006))
            color[hairy] = self.hair * strands[:, None].clip(0.3, 2)
            skin[hairy] = 0
        return color, skin

    def _add_face(
        self,
        template: BodyTemplate,
        color: np.ndarray,
        face: np.ndarray,
        points: np.ndarray,
    ) -> None:
        """Write eyes, brows, lips and glasses into the colors of the points `face`."""
        landmarks = template.landmarks
        for side in ("left", "right"):
            offset = points - landmarks[f"{side}_eye"]
            flat = np.hypot(offset[:, 0], 1.6 * offset[:, 1])
            color[face[flat < 0.011]] = 0.25 + 0.4 * self.skin
            color[face[np.hypot(offset[:, 0], offset[:, 1]) < 0.0058]] = self.iris
            arch = offset[:, 1] - 0.02 + 6 * offset[:, 0] ** 2
            color[face[(np.abs(arch) < 0.0035) & (np.abs(offset[:, 0]) < 0.021)]] = self.hair
            if self.glasses:
                rim = (flat > 0.02) & (flat < 0.024)
                lens = (flat <= 0.02) & (self.glasses > 0.5)
                color[face[rim | lens]] = 0.01
        mouth = (landmarks["mouth_left"] + landmarks["mouth_right"]) / 2
        offset = (points - mouth) / (0.028, 0.011, 0.05)
        color[face[(offset**2).sum(-1) < 1]] = self.lips

    def _beard_density(
        self, template: BodyTemplate, points: Float[np.ndarray, "points 3"]
    ) -> Float[np.ndarray, " points"]:
        """Density of the beard, 0…1."""
        nose, ear = template.landmarks["nose"], template.landmarks["left_ear"]
        below = (nose[1] - 0.012 - points[:, 1]) / 0.01
        front = (points[:, 2] - ear[2]) / 0.01
        return np.minimum(below, front).clip(0, 1) * (points[:, 1] > nose[1] - 0.1)


def sample_appearance(hat: Fabric | None, rng: np.random.Generator) -> Appearance:
    """Random appearance; skin tones are uniform from light to dark."""
    tone = rng.uniform(0, len(TONES) - 1)
    low = int(min(tone, len(TONES) - 2))
    skin = TONES[low] + (tone - low) * (TONES[low + 1] - TONES[low])
    skin = skin * np.exp(rng.normal(0, 0.06, 3))
    dark = rng.random() < 0.5 + 0.06 * tone
    hair = HAIR_COLORS[rng.integers(3 if dark else len(HAIR_COLORS))] * rng.uniform(0.7, 1.3)
    height = rng.uniform(0.006, 0.03) if rng.random() < 0.8 else rng.uniform(0.03, 0.07)
    bald = rng.random() < 0.08
    return Appearance(
        skin=skin,
        hair=hair,
        lips=skin * np.array([1.0, rng.uniform(0.5, 0.8), rng.uniform(0.5, 0.8)]),
        iris=linear(rng.uniform(0.05, 0.4, 3).astype(np.float32)),
        noise=Noise(rng),
        hair_height=rng.uniform(0.012, 0.035) if hat is not None else 0.0 if bald else height,
        hairline=rng.uniform(-0.03, 0.03) if hat is not None else rng.normal(0, 0.012),
        nape=rng.uniform(-0.02, 0.06) if hat is not None else rng.uniform(0.0, 0.09),
        beard=rng.uniform(0.3, 1) if rng.random() < 0.22 else 0.0,
        hat=hat,
        glasses=float(rng.choice((0, 0, 0, 0, 0.3, 1))),
    )
