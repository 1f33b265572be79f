"""Operators: pin a joint, remove and visit pins, solve the frames around them again."""

import bpy
from bpy.app.translations import pgettext_rpt as rpt_

from .. import preferences
from ..bridge import job, ownership, paths, screen
from . import texts
from .texts import fill

POLL_SECONDS = 0.05  # between two polls of the solver
OUT_OF_REACH = 0.01  # metres that a joint may miss its pin by without a message

_solver = None  # a process that stays between two solves


def person_of(context) -> tuple[object, int] | tuple[None, None]:
    """Return the result that the active armature belongs to, and its person's index."""
    armature = context.object
    if armature is not None and armature.type == "ARMATURE" and ownership.PERSON in armature:
        index = armature[ownership.PERSON]
        for result in context.scene.hund.results:
            if result.characters.get(index) == armature:
                return result, index
    return None, None


def pins_of(result, person: int) -> list[object]:
    """Return the pins of a person, in the order of their frames."""
    return sorted((p for p in result.pins if p.person == person), key=lambda pin: pin.frame)


def is_solving() -> bool:
    """Return whether a solve runs."""
    return HUND_OT_solve_span.is_running


def stop() -> None:
    """End the solver when the extension is disabled."""
    global _solver
    if _solver:
        _solver.close()
        _solver = None


def _start_solver(context):
    """Return the solver; start it if it is not running.

    Raises:
        JobError: it cannot be started.
    """
    global _solver
    from ..bridge.pin_solver import PinSolver  # here: Blender starts faster

    if _solver and not _solver.is_alive:
        stop()
    if _solver is None:
        _solver = PinSolver(preferences.settings(context))
    return _solver


def _poll_person(cls, context) -> bool:
    if person_of(context)[0] is None:
        cls.poll_message_set("Select the armature of a person that was reconstructed")
        return False
    if is_solving():
        cls.poll_message_set("Wait until the span is solved")
        return False
    return True


class HUND_OT_pin(bpy.types.Operator):
    """Pin the active bone where it is posed in this frame"""

    bl_idname = "hund.pin"
    bl_label = "Pin"
    bl_options = {"REGISTER", "UNDO"}

    place: bpy.props.EnumProperty(
        name="Place",
        description="Choose where the bone belongs",
        items=(
            ("POSE", "As Posed", "Use the place of the bone's head as it is posed now"),
            ("CURSOR", "3D Cursor", "Use the place of the 3D cursor"),
        ),
    )

    @classmethod
    def description(cls, context, properties):
        if properties.place == "CURSOR":
            return "Pin the active bone's head to the 3D cursor in this frame"
        return "Pin the active bone's head where it is posed now in this frame"

    @classmethod
    def poll(cls, context):
        if not _poll_person(cls, context):
            return False
        if context.mode != "POSE" or context.active_pose_bone is None:
            cls.poll_message_set("Select a bone in Pose Mode, such as a hand or a foot")
            return False
        if person_of(context)[0].show_descent:
            cls.poll_message_set("Switch off Preview Stages first")
            return False
        return True

    def execute(self, context):
        from ..bridge import pins

        result, person = person_of(context)
        armature, bone = context.object, context.active_pose_bone
        joint = pins.joint_of(bone)
        if joint is None:
            text = rpt_("{bone} cannot be pinned: select a bone of the body, such as a hand.")
            self.report({"ERROR"}, fill(text, bone=bone.name))
            return {"CANCELLED"}
        frame = context.scene.frame_current
        same = [p for p in result.pins if (p.person, p.joint, p.frame) == (person, joint, frame)]
        pin = same[0] if same else result.pins.add()
        pin.name, pin.frame, pin.person, pin.joint = bone.name, frame, person, joint
        if self.place == "CURSOR":
            pin.place = pins.in_armature(armature, context.scene.cursor.location)
        else:
            pin.place = pins.place_of(armature, joint)
        pin.is_solved = False
        result.active_pin = list(result.pins).index(pin)
        if not bpy.app.background:
            screen.redraw_resized()  # the list has grown
        if not bpy.app.background and preferences.unavailable_reason(context) is None:
            try:
                _start_solver(context)  # meanwhile the animator goes on
            except job.JobError as error:
                self.report({"WARNING"}, str(error))
        return {"FINISHED"}


class HUND_OT_remove_pin(bpy.types.Operator):
    """Remove this pin; the motion that was solved around it stays"""

    bl_idname = "hund.remove_pin"
    bl_label = "Remove Pin"
    bl_options = {"UNDO"}

    index: bpy.props.IntProperty(options={"HIDDEN", "SKIP_SAVE"}, default=-1)

    @classmethod
    def poll(cls, context):
        return _poll_person(cls, context)

    def execute(self, context):
        result, _ = person_of(context)
        index = result.active_pin if self.index < 0 else self.index
        if not 0 <= index < len(result.pins):
            self.report({"ERROR"}, "There is no pin to remove: choose one in the list.")
            return {"CANCELLED"}
        result.pins.remove(index)
        result.active_pin = min(result.active_pin, max(len(result.pins) - 1, 0))
        if not bpy.app.background:
            screen.redraw_resized()
        return {"FINISHED"}


class HUND_OT_go_to_pin(bpy.types.Operator):
    """Go to the frame of this pin and select its bone"""

    bl_idname = "hund.go_to_pin"
    bl_label = "Go to Pin"
    bl_options = {"UNDO"}

    index: bpy.props.IntProperty(options={"HIDDEN", "SKIP_SAVE"})

    @classmethod
    def poll(cls, context):
        return _poll_person(cls, context)

    def execute(self, context):
        from ..bridge import selection

        result, _ = person_of(context)
        if not 0 <= self.index < len(result.pins):
            self.report({"ERROR"}, "There is no such pin: choose one in the list.")
            return {"CANCELLED"}
        pin = result.pins[self.index]
        result.active_pin = self.index
        context.scene.frame_set(pin.frame)
        armature = result.characters.get(pin.person)
        if armature:
            selection.activate_joint(armature, pin.joint)
        return {"FINISHED"}


class HUND_OT_solve_span(bpy.types.Operator):
    """Solve the frames around the active person's new pins again; all other frames stay"""

    bl_idname = "hund.solve_span"
    bl_label = "Solve Span"
    bl_options = {"REGISTER", "UNDO"}

    is_running = False

    @classmethod
    def poll(cls, context):
        if not _poll_person(cls, context):
            return False
        if not pins_of(*person_of(context)):
            cls.poll_message_set("Pin a bone first")
            return False
        if reason := preferences.unavailable_reason(context):
            cls.poll_message_set(reason)
            return False
        return True

    def execute(self, context):
        """Solve and wait for the answer."""
        try:
            self._send(context)
            return self._finish(context, _solver.wait())
        except job.JobError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}

    def invoke(self, context, event):
        """Solve in the background; without a window, wait."""
        if bpy.app.background:
            return self.execute(context)
        try:
            self._send(context)
        except job.JobError as error:
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        HUND_OT_solve_span.is_running = True
        self._scene = context.scene.name
        self._timer = context.window_manager.event_timer_add(POLL_SECONDS, window=context.window)
        context.window_manager.modal_handler_add(self)
        screen.redraw()
        return {"RUNNING_MODAL"}

    def modal(self, context, event):
        if event.type == "ESC" and event.value == "PRESS":
            stop()
            self._end(context)
            self.report({"INFO"}, "Cancelled: nothing was changed.")
            return {"CANCELLED"}
        if event.type != "TIMER":
            return {"PASS_THROUGH"}
        try:
            answer = _solver.poll() if _solver else None
            if answer is None and _solver:
                return {"PASS_THROUGH"}
            self._end(context)
            if answer is None or bpy.data.scenes.get(self._scene) != context.scene:
                return {"CANCELLED"}
            return self._finish(context, answer)
        except job.JobError as error:
            self._end(context)
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}

    def cancel(self, context):
        """Drop the answer after another file was opened."""
        stop()
        HUND_OT_solve_span.is_running = False

    def _send(self, context):
        """Send the pins of the active person.

        Raises:
            JobError: the file or the motion cannot be used, or the backend cannot be started.
        """
        from ..bridge import pins

        result, self._person = person_of(context)
        self._result, chosen = result.name, self._chosen(result)
        clip = pins.open_clip(paths.resolve(result.filepath), result.fps, result.start)
        asked = [pins.Pin(pin.frame, pin.joint, tuple(pin.place)) for pin in chosen]
        self._asked = pins.request(context.object, self._person, asked, clip)
        self._keys = {(pin.joint, pin.frame) for pin in chosen}
        _start_solver(context).send(self._asked)

    def _chosen(self, result) -> list[object]:
        """Return the new pins with all that are near, or the active one if none is new."""
        own = pins_of(result, self._person)
        new = [pin for pin in own if not pin.is_solved]
        if not new:
            active = (
                result.pins[result.active_pin] if result.active_pin < len(result.pins) else None
            )
            new = [active] if active in own else own
        reach = 2 * result.fps  # seconds in which spans may touch
        return [p for p in own if any(abs(p.frame - other.frame) < reach for other in new)]

    def _finish(self, context, answer):
        from ..bridge import pins

        result = context.scene.hund.results.get(self._result)
        armature = result.characters.get(self._person) if result else None
        if armature is None:
            self.report({"ERROR"}, "The person is gone: nothing was changed.")
            return {"CANCELLED"}
        frames = pins.apply(armature, self._asked, answer)
        for pin in result.pins:
            if pin.person == self._person and (pin.joint, pin.frame) in self._keys:
                pin.is_solved = True
        context.scene.frame_set(context.scene.frame_current)
        worst = float(answer["misses"].max(initial=0))
        text = fill(rpt_("Solved {frames} again."), frames=texts.frames(frames))
        if worst > OUT_OF_REACH:
            text += " " + fill(
                rpt_("A pin is out of reach by {millimeters} mm."), millimeters=round(1000 * worst)
            )
        self.report({"INFO"}, text)
        return {"FINISHED"}

    def _end(self, context):
        HUND_OT_solve_span.is_running = False
        context.window_manager.event_timer_remove(self._timer)
        screen.redraw()


CLASSES = (HUND_OT_pin, HUND_OT_remove_pin, HUND_OT_go_to_pin, HUND_OT_solve_span)
