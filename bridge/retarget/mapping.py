"""Mapping: which bone of a rig has which role, which controls are keyed, and how much was found."""

import dataclasses
from collections.abc import Mapping as MappingType
from dataclasses import dataclass, field

from . import roles


@dataclass(frozen=True, kw_only=True)
class Switch:
    """Property of a pose bone that selects between FK and IK, or belongs to one of them."""

    bone: str
    prop: str  # a custom property, or one of Blender's
    fk: float | None  # None: it does not matter
    ik: float | None

    def value(self, *, use_ik: bool) -> float | None:
        """Return the value that IK or FK needs; None if it does not matter."""
        return self.ik if use_ik else self.fk


@dataclass(frozen=True, kw_only=True)
class IkChain:
    """Controls of a limb's inverse kinematics."""

    end: str  # moves the hand or the foot
    pole: str  # empty without one
    toe: str = ""  # bends the toes of a foot
    twist: str = ""  # turns the forearm or the shin about its own axis


@dataclass(frozen=True, kw_only=True)
class RigMapping:
    """Bones of a rig by their roles.

    Bones give the rest pose; controls are keyed. On a plain skeleton they are the same.
    """

    bones: MappingType[str, str]  # by role
    controls: MappingType[str, str] = field(default_factory=dict)  # where not the bone itself
    followers: MappingType[str, tuple[str, ...]] = field(default_factory=dict)
    """More bones that rotate like a role, such as the small toes."""
    ik: MappingType[str, IkChain] = field(default_factory=dict)  # by `hand.L`, `foot.R`, …
    switches: tuple[Switch, ...] = ()
    preset: str = ""  # its name; empty if the bones were found by their geometry

    @property
    def body_coverage(self) -> float:
        """Share of the body's roles that were found, 0…1."""
        return sum(role in self.bones for role in roles.BODY) / len(roles.BODY)

    @property
    def finger_coverage(self) -> float:
        """Share of the fingers' roles that were found, 0…1."""
        found = sum(role in self.bones for role in roles.FINGER_ROLES)
        return found / len(roles.FINGER_ROLES)

    def control(self, role: str) -> str:
        """Return the bone that is keyed for a role in FK; empty if the rig has none."""
        return self.controls.get(role, "" if self.controls else self.bones.get(role, ""))

    def shared_with(self, source: "RigMapping") -> "RigMapping":
        """Return this mapping with only the roles that the source can move, and the root."""
        chains = {name for name in roles.CHAINS if source.chain(name)}
        kept = {
            role: bone
            for role, bone in self.bones.items()
            if role in source.bones or role == "root" or role.split(".")[0] in chains
        }
        return dataclasses.replace(self, bones=kept)

    def chain(self, name: str) -> list[str]:
        """Return the roles of a chain that were found, from the hips upwards."""
        return [role for role in roles.chain(name) if role in self.bones]
