"""Existing results: the choices of what becomes of a clip's previous result."""

from enum import StrEnum


class Existing(StrEnum):
    """What becomes of the previous result."""

    AUTO = "AUTO"  # ALL if the user has changed nothing, else MOTION or, if that fails, ADD
    ADD = "ADD"  # it is kept, and the new one is added beside it
    MOTION = "MOTION"  # it is kept and gets the new motion
    ALL = "ALL"  # it is removed


EXISTING = (  # items of Blender's enumerations
    (
        Existing.AUTO.value,
        "Keep My Changes",
        (
            "Replace an untouched result. Keep one that you have changed: replace its motion only, "
            "or add a second collection if the people differ"
        ),
    ),
    (
        Existing.ADD.value,
        "Add Beside",
        "Keep the previous result and add a second collection",
    ),
    (
        Existing.MOTION.value,
        "Replace Motion Only",
        "Keep the characters with all your changes, and give them the new motion",
    ),
    (
        Existing.ALL.value,
        "Replace All",
        "Remove the previous result with all your changes",
    ),
)
