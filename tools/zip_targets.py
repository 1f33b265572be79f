"""Targets of the zips: systems and Pythons of Blender, with the tags and markers that pip uses."""

from dataclasses import dataclass
from functools import cached_property

from packaging.tags import Tag, compatible_tags, cpython_tags, mac_platforms

SYSTEMS = ("linux-x64", "windows-x64", "macos-arm64")  # as Blender's manifests name them
PYTHONS = ((3, 11), (3, 13))  # of Blender 4.2 to 5.0, and of 5.1 and later
SECOND_PYTHON = "5.1.0"  # first Blender with the second Python
OLDEST_MACOS = (14, 0)  # that the wheels of SciPy, ONNX Runtime and PyTorch ask for
_MANYLINUX = (28, 27, 26, 24, 17, 12, 5)  # minor versions of glibc, newest first
_ENVIRONMENTS = {
    "linux-x64": ("linux", "Linux", "posix", "x86_64"),
    "windows-x64": ("win32", "Windows", "nt", "AMD64"),
    "macos-arm64": ("darwin", "Darwin", "posix", "arm64"),
}


@dataclass(frozen=True, kw_only=True)
class Target:
    """One system with one Python."""

    system: str  # one of SYSTEMS
    python: tuple[int, int]  # one of PYTHONS

    @property
    def name(self) -> str:
        """Ending of the zip's name: the system and the Blenders it is for.

        Example:
            >>> Target(system="linux-x64", python=(3, 11)).name
            'linux-x64-blender-4.2-to-5.0'
        """
        blenders = "4.2-to-5.0" if self.python == PYTHONS[0] else "5.1-and-later"
        return f"{self.system}-blender-{blenders}"

    @property
    def abi(self) -> str:
        """Tag of the Python's own binary interface."""
        return f"cp{self.python[0]}{self.python[1]}"

    @cached_property
    def platforms(self) -> tuple[str, ...]:
        """Tags of the platforms whose wheels run here, the best first."""
        if self.system == "windows-x64":
            return ("win_amd64",)
        if self.system == "macos-arm64":
            return tuple(mac_platforms(OLDEST_MACOS, "arm64"))
        new = tuple(f"manylinux_2_{minor}_x86_64" for minor in _MANYLINUX)
        return (*new, "manylinux2014_x86_64", "manylinux1_x86_64", "linux_x86_64")

    @cached_property
    def tags(self) -> frozenset[Tag]:
        """Tags of all wheels that run here."""
        own = cpython_tags(self.python, [self.abi], self.platforms)
        return frozenset([*own, *compatible_tags(self.python, self.abi, self.platforms)])

    @property
    def environment(self) -> dict[str, str]:
        """Values of the markers in requirements."""
        platform, system, os_name, machine = _ENVIRONMENTS[self.system]
        version = ".".join(map(str, self.python))
        return {
            "sys_platform": platform,
            "platform_system": system,
            "os_name": os_name,
            "platform_machine": machine,
            "python_version": version,
            "python_full_version": f"{version}.0",
            "implementation_name": "cpython",
            "platform_python_implementation": "CPython",
            "extra": "",
        }

    @property
    def extension_suffixes(self) -> tuple[str, ...]:
        """Ends of the names of compiled modules that are imported here."""
        if self.system == "windows-x64":
            return (f".{self.abi}-win_amd64.pyd", ".pyd")
        version = f"{self.python[0]}{self.python[1]}"
        kind = "darwin" if self.system == "macos-arm64" else "x86_64-linux-gnu"
        return (f".cpython-{version}-{kind}.so", ".abi3.so", ".so")


TARGETS = tuple(Target(system=system, python=python) for system in SYSTEMS for python in PYTHONS)
