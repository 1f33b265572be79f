"""Batch command without a window: reconstructs clips, writes their scenes and a report."""

import argparse
import dataclasses
import json
import logging
import signal
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import bpy

from ..hund_backend import options
from ..hund_backend.atomic_write import write_file
from ..hund_backend.errors import ExitCode, HundError
from ..hund_backend.reconstruction import Reconstruction
from ..hund_backend.sources import clip_name
from . import (
    backdrop,
    bone_styles,
    clip_assets,
    clips,
    export_copies,
    exports,
    influences,
    job,
    paths,
    rest_pose,
    scene,
)
from .retarget import apply, rig_files

log = logging.getLogger(__name__)

REPORT = "hund_report.json"
TWIST_BONES = ("idle", "deform", "none")


def main(
    arguments: list[str],
    settings: job.Settings,
    *,
    device: str | None = None,
    presets_folder: Path | None = None,
) -> int:
    """Run `blender --background --command hund …`.

    Args:
        arguments: of the command line, without the name of the program.
        settings: for starting the backend; the arguments override them.
        device: default of `--device`.
        presets_folder: with the user's presets of rigs.

    Returns:
        The highest exit code of a clip: 0 done, 2 bad input, 3 nobody found, 130 cancelled.
    """
    try:
        args = _parser(device or options.DEFAULT_DEVICE).parse_args(arguments)
        args.rig = [rig_files.parse(text) for text in args.rig]
        rig_files.check(args.rig)
    except SystemExit as error:  # Blender would report it as an error of its own
        return int(error.code or 0)
    except HundError as error:  # of `paths.resolve` and `rig_files.parse`
        log.error("%s", error)
        return error.exit_code
    args.output = args.output.absolute()  # Blender may resolve relative paths otherwise
    if args.interpreter:
        settings = dataclasses.replace(settings, interpreter=args.interpreter)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # Blender's own ignores Ctrl-C
    batch = Batch(args, presets_folder)
    try:
        args.output.mkdir(parents=True, exist_ok=True)
        batch.run(settings)
    except KeyboardInterrupt:
        batch.mark_cancelled()
    except (HundError, OSError) as error:
        log.error("%s", error)
        return ExitCode.BAD_INPUT
    return batch.exit_code


class Batch:
    """Clips of one command, each with its status."""

    def __init__(self, args: argparse.Namespace, presets_folder: Path | None = None) -> None:
        self.args = args
        self._presets_folder = presets_folder
        self.entries: dict[Path, dict[str, Any]] = {
            clip: {"clip": str(clip), "status": "waiting"} for clip in args.clips
        }
        self._clip_start = time.monotonic()

    @property
    def exit_code(self) -> int:
        """Highest exit code of a clip."""
        return max(entry.get("exit_code", 0) for entry in self.entries.values())

    def run(self, settings: job.Settings) -> None:
        """Reconstruct every clip and write its scenes."""
        self.write_report()
        names = Counter(clip_name(clip) for clip in self.entries)
        request = {
            name: value
            for name, value in vars(self.args).items()
            if name in options.REQUEST_OPTIONS and value is not None
        }
        tasks = []
        for clip in self.entries:
            if names[clip_name(clip)] > 1:
                message = "Another clip has the same name: rename one, or use another --output."
                self._record(clip, "failed", message=message, exit_code=ExitCode.BAD_INPUT)
            else:
                tasks.append(job.Task(clip=clip, output=self.args.output, options=request))
        job.run(tasks, settings, self.handle_outcome, self.show_status)

    def handle_outcome(self, outcome: job.Outcome) -> None:
        """Write the scenes of a reconstructed clip, or record its error."""
        clip = outcome.task.clip
        if outcome.error:
            code = outcome.error.exit_code
            self._record(clip, "failed", message=str(outcome.error), exit_code=code)
            return
        try:
            files, people, skipped = self._write_scenes(clip, outcome)
        except HundError as error:
            self._record(clip, "failed", message=str(error), exit_code=error.exit_code)
        else:
            status = "skipped" if skipped else "done"
            self._record(clip, status, files=[str(file) for file in files], people=people)

    def show_status(self, status: job.Status) -> None:
        """Show the progress on a terminal."""
        if sys.stderr.isatty():
            total = f"/{status.total}" if status.total else ""
            line = f"{status.clip}: {status.stage} {status.done}{total}"
            print(f"\r{line:<70}", end="\r", file=sys.stderr, flush=True)

    def mark_cancelled(self) -> None:
        """Mark the clips that are not done as cancelled, after Ctrl-C."""
        for clip, entry in self.entries.items():
            if entry["status"] == "waiting":
                self._record(clip, "cancelled", exit_code=ExitCode.CANCELLED)

    def write_report(self) -> None:
        """Write the status of all clips to the report file."""
        content = {"exit_code": self.exit_code, "clips": list(self.entries.values())}
        text = json.dumps(content, indent=2, ensure_ascii=False)
        write_file(self.args.output / REPORT, text.encode())

    def _write_scenes(self, clip: Path, outcome: job.Outcome) -> tuple[list[Path], int, bool]:
        """Return the files of a clip, its number of people, and whether all files existed."""
        reconstruction = job.load(outcome.path)
        people, name, folder = len(reconstruction.track_ids), outcome.path.stem, self.args.output
        files = [outcome.path]
        missing = []
        for file_format in dict.fromkeys(self.args.format):
            targets = exports.files(folder, name, file_format, people)
            if outcome.skipped and all(target.is_file() for target in targets):
                files += targets
            else:
                missing.append(file_format)
        if not missing:
            return files, people, outcome.skipped
        bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
        written = scene.write(
            bpy.context,
            reconstruction,
            clip=clip,
            start_frame=self.args.start_frame,
            use_subframes=self.args.subframes,
            behind=self.args.backdrop,
            use_twist=self.args.twist_bones == "deform",
            rest=self.args.rest_pose,
            one_action=self.args.one_action,
        )
        exported = written.people
        if self.args.rig:
            controls = self.args.rig_controls.upper()
            options = apply.Options(
                controls=controls, key_switches=True, keep_hands=self.args.keep_hand_contacts
            )
            exported = rig_files.animate(
                written, reconstruction, self.args.rig, self._presets_folder, options
            )
        self._finish_clips(clip, reconstruction, written, exported)
        twist = "off" if self.args.twist_bones == "none" else export_copies.FROM_SCENE
        form = export_copies.Form(twist=twist, target=self.args.engine)
        for file_format in missing:
            files += exports.export(
                exported,
                folder,
                name,
                file_format,
                glb_influences=self.args.glb_influences,
                names=self.args.bone_names,
                form=form,
            )
        return files, people, False

    def _finish_clips(
        self,
        clip: Path,
        reconstruction: Reconstruction,
        written: scene.WrittenScene,
        armatures: Sequence[bpy.types.Object],
    ) -> None:
        """Make assets and strips of the motions, if requested."""
        numbers = reconstruction.frame_numbers
        origin = clip_assets.Origin(
            clip=clip.name,
            frames=(int(numbers[0]), int(numbers[-1])),
            fps=reconstruction.fps,
            confidence=written.confidence,
            provenance=reconstruction.provenance,
        )
        for armature in armatures if self.args.assets else ():
            clip_assets.mark_action(bpy.context, armature, origin)
        if self.args.nla:
            clips.push_to_nla(clips.animated_objects(armatures))

    def _record(self, clip: Path, status: str, **details: Any) -> None:  # noqa: ANN401 - JSON
        seconds = round(time.monotonic() - self._clip_start, 2)
        self._clip_start = time.monotonic()
        self.entries[clip] = {"clip": str(clip), "status": status, "seconds": seconds, **details}
        message = f": {details['message']}" if details.get("message") else ""
        print(f"{clip.name}: {status}{message}")
        self.write_report()


def _parser(device: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="blender --background --command hund",
        description="Turn the people in clips into animated characters.",
    )
    parser.add_argument(
        "clips", nargs="+", type=paths.resolve, metavar="CLIP", help="video or pictures"
    )
    parser.add_argument(
        "--output", type=paths.resolve, required=True, metavar="DIR", help="output folder"
    )
    parser.add_argument(
        "--format",
        nargs="+",
        choices=options.EXPORT_FORMATS,
        default=["blend"],
        help="file formats of the scenes",
    )
    parser.add_argument(
        "--start-frame",
        type=int,
        default=1,
        metavar="F",
        help="frame of the scene that shows the clip's first frame; default: 1",
    )
    parser.add_argument(
        "--subframes",
        action="store_true",
        help="key clips of a varying rate exactly, between frames, instead of on whole frames",
    )
    parser.add_argument(
        "--backdrop",
        choices=backdrop.BACKDROPS,
        default=backdrop.BACKDROPS[0],
        help="what renders show behind the people: the footage, nothing (an alpha channel), or a "
        "gray world; default: footage",
    )
    parser.add_argument(
        "--glb-influences",
        type=int,
        choices=influences.LIMITS,
        default=influences.DEFAULT_LIMIT,
        help="bones that may move a vertex in GLB files; not every program reads 8; default: 4",
    )
    parser.add_argument(
        "--bone-names",
        choices=bone_styles.STYLES,
        default=bone_styles.STYLES[0],
        help="names of bones in exchange files: Blender's Hand.L, GHUM's HandL, or those of "
        "Mixamo, of Unreal's Manny or of Unity's humanoid",
    )
    parser.add_argument(
        "--rest-pose",
        choices=rest_pose.RESTS,
        default=rest_pose.RESTS[0],
        help="rest pose of the people's bones, in the scene and in FBX, GLB and BVH: arms 45 "
        "degrees below the horizontal, horizontal, or straight down; default: A",
    )
    parser.add_argument(
        "--twist-bones",
        choices=TWIST_BONES,
        default=TWIST_BONES[0],
        help="idle: they follow but move no skin; deform: upper arms and forearms twist along "
        "their length; none: exchange files lack them; default: idle",
    )
    parser.add_argument(
        "--engine",
        choices=export_copies.TARGETS,
        default=export_copies.TARGETS[0],
        help="program whose unit and axes FBX files get, without scale and rotation of objects: "
        "centimetres for unreal, metres for unity; default: general",
    )
    parser.add_argument(
        "--one-action",
        action="store_true",
        help="animate all people and cameras by slots of one action (Blender 4.4 and later)",
    )
    parser.add_argument(
        "--nla",
        action="store_true",
        help="put the motion of each person into a strip named after the clip",
    )
    parser.add_argument(
        "--assets",
        action="store_true",
        help="mark the motion of each person as an asset, with a preview picture, in .blend files",
    )
    options.add_device(parser, device)
    options.add_quality(parser)
    options.add_method(parser)
    options.add_hands(parser)
    options.add_adapt(parser)
    options.add_smoothing(parser)
    options.add_face(parser)
    options.add_frames(parser)
    options.add_keep_evidence(parser)
    options.add_overwrite(parser)
    parser.add_argument(
        "--rig",
        action="append",
        default=[],
        metavar="[PERSON=]FILE.blend:ARMATURE",
        help="armature that gets the motion instead of the people's own; repeat it for several "
        "people, in order or with their numbers from 1; the last one without a number is used "
        "for all others",
    )
    parser.add_argument(
        "--rig-controls",
        choices=("fk", "ik"),
        default="fk",
        help="controls of arms and legs that get keys on rigs that have both; default: fk",
    )
    parser.add_argument(
        "--keep-hand-contacts",
        action="store_true",
        help="let hands that touch each other or the body touch on the rig, too",
    )
    parser.add_argument(
        "--interpreter",
        type=paths.resolve,
        metavar="PYTHON",
        help="Python that runs the backend",
    )
    return parser
