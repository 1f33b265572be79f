"""Panels: what they draw in every mode, state and language, and that no text is cut off."""

import importlib
import re
import sys
from pathlib import Path

import blf
import bpy
import pytest
from conftest import MODULE
from drawing import RecordingLayout, draw

PANELS = ("source", "solve", "scene", "result", "confidence", "export", "advanced")
MODULES = {"scene": "solve", "confidence": "correct"}  # panels in the file of another


def module(name):
    return importlib.import_module(f"{MODULE}.{name}")


def panel_of(name):
    return getattr(module(f"panels.{MODULES.get(name, name)}"), f"HUND_PT_{name}")


@pytest.fixture
def enabled():
    bpy.ops.preferences.addon_enable(module=MODULE)
    preferences = bpy.context.preferences.addons[MODULE].preferences
    preferences.interpreter = sys.executable
    yield preferences
    if MODULE in bpy.context.preferences.addons:
        bpy.ops.preferences.addon_disable(module=MODULE)


@pytest.fixture
def result(enabled, tmp_path):
    """A result in the scene, loaded from a file, without a clip."""
    from synthetic_people import build_reconstruction

    build_reconstruction(people=1, frames=4).save(tmp_path / "walk.npz")
    bpy.ops.hund.load(filepath=str(tmp_path / "walk.npz"))
    return bpy.context.scene.hund.results[0]


@pytest.fixture
def card(monkeypatch):
    """A clip's card, as if it had been read."""
    cards = module("bridge.clip_card")
    read = {}
    monkeypatch.setattr(cards, "get", lambda path, settings: read.get("card"))
    bpy.context.scene.hund.clip = __file__

    def show(**properties):
        read["card"] = cards.Card(**properties)
        return read["card"]

    return show


def status(**changes):
    job = module("bridge.job")
    values = {
        "clip": "walk.mp4",
        "position": 1,
        "clips": 1,
        "stage": "detect",
        "person": "",
        "done": 3,
        "total": 10,
        "fraction": 0.3,
        "seconds_left": 63.0,
        "stopping": False,
        "finishing": False,
    }
    return job.Status(**{**values, **changes})


@pytest.mark.parametrize("mode", ["OBJECT", "EDIT", "SCULPT", "WEIGHT_PAINT"])
def test_panels_are_drawn_in_every_mode(enabled, mode):
    mesh = bpy.data.objects.new("User Mesh", bpy.data.meshes.new("User Mesh"))
    bpy.context.scene.collection.objects.link(mesh)
    bpy.context.view_layer.objects.active = mesh
    bpy.ops.object.mode_set(mode=mode)
    assert bpy.context.mode.startswith(mode.split("_")[0]) or mode == "WEIGHT_PAINT"
    assert "clip" in draw(panel_of("source"), bpy.context).properties
    assert "hund.reconstruct" in draw(panel_of("solve"), bpy.context).operators
    assert "hund.load" in draw(panel_of("result"), bpy.context).operators


def test_research_is_apart_from_the_animators_buttons(result):
    result.stages = 5
    assert "DEFAULT_CLOSED" in panel_of("advanced").bl_options
    research = {"method", "adapt", "adapt_seconds", "device", "show_descent", "stage"}
    assert set(draw(panel_of("advanced"), bpy.context).properties) == research
    for name in set(PANELS) - {"advanced"}:
        assert not research & set(draw(panel_of(name), bpy.context).properties)


def test_every_property_of_the_scene_is_drawn_once(result, card):
    card(width=64, height=48, fps=30.0, frames=10)
    bpy.context.scene.hund.export_format = "glb"
    result.clip = bpy.context.scene.hund.clip
    drawn = [name for panel in PANELS for name in draw(panel_of(panel), bpy.context).properties]
    properties = bpy.context.scene.hund.bl_rna.properties
    known = set(type(bpy.context.scene.hund).__annotations__)
    known = {name for name in known if properties[name].type not in {"POINTER", "COLLECTION"}}
    assert known <= set(drawn)
    assert sorted(name for name in drawn if name in known) == sorted(known)


def test_without_an_interpreter_the_panel_leads_to_the_preferences(enabled):
    enabled.interpreter = ""
    layout = draw(panel_of("solve"), bpy.context)
    assert layout.operators == ["hund.open_preferences"]
    assert "PyTorch" in " ".join(layout.texts)


def test_reason_stands_below_the_disabled_button(enabled):
    layout = draw(panel_of("solve"), bpy.context)
    names = [name for name, *_ in layout.calls]
    assert layout.texts[-1] == "Choose a clip first"
    assert names.index("operator") < len(names) - 1


def test_card_tells_length_rate_and_size(enabled, card):
    card(width=1920, height=1080, fps=30000 / 1001, frames=299)
    texts = draw(panel_of("source"), bpy.context).texts
    assert "299 frames" in texts and "29.97 per second" in texts
    assert "1920 × 1080 px" in texts and "10.0 s" in texts


def test_card_of_a_picture_and_of_a_clip_that_cannot_be_read(enabled, card):
    card(width=64, height=48, fps=30.0, frames=1)
    assert "Picture" in draw(panel_of("source"), bpy.context).texts
    card(error="song.mp3 has no video: choose a video or pictures.")
    assert "no video" in " ".join(draw(panel_of("source"), bpy.context).texts)


def test_scene_changes_are_told_before_they_are_made(enabled, card):
    scene = bpy.context.scene
    scene.render.fps, scene.frame_end = 24, 250
    card(width=640, height=480, fps=30.0, frames=100)
    scene.hund.use_range, scene.hund.start, scene.hund.end = True, 10, 19
    text = " ".join(draw(panel_of("solve"), bpy.context).texts)
    assert "24 → 30" in text and "1–250 → 1–10" in text and "640 × 480" in text
    scene.hund.match_scene = False
    assert "→" not in " ".join(draw(panel_of("solve"), bpy.context).texts)


@pytest.mark.parametrize("people", [1, 2])
@pytest.mark.parametrize("frames", [1, 2])
def test_numbers_have_singular_and_plural(result, people, frames):
    result.people, result.frames = people, frames
    text = " ".join(draw(panel_of("result"), bpy.context).texts)
    assert f"{people} {'person' if people == 1 else 'people'}" in text
    assert f"{frames} frame{'' if frames == 1 else 's'}" in text


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, ["walk.mp4", "Finding people", "Frame 3 of 10, 1:03 left"]),
        ({"clips": 3, "position": 2}, ["walk.mp4 (2 of 3)"]),
        ({"stage": "pose", "person": "1/2", "seconds_left": None}, ["Posing", "Person 1 of 2"]),
        ({"stage": "pose", "person": "1/1", "seconds_left": None}, ["Posing"]),
        ({"stopping": True}, ["Stopping"]),
    ],
)
def test_progress_is_drawn_in_panel_and_status_bar(enabled, monkeypatch, changes, words):
    reconstruct = module("operators.reconstruct")
    monkeypatch.setattr(reconstruct, "status", lambda: status(**changes))
    layout = draw(panel_of("solve"), bpy.context)
    assert all(word in layout.texts for word in words), layout.texts
    assert layout.operators == ["hund.finish", "hund.cancel"]
    header = type("Header", (), {"layout": RecordingLayout()})()
    module("panels.progress").draw_status_bar(header, bpy.context)
    assert header.layout.operators == ["hund.cancel"]
    assert any(name == "progress" for name, *_ in header.layout.calls)


def test_status_bar_is_empty_without_a_job(enabled):
    header = type("Header", (), {"layout": RecordingLayout()})()
    module("panels.progress").draw_status_bar(header, bpy.context)
    assert not header.layout.calls


TEXTS = [
    "Choose a clip first",
    "one two three four five six seven eight nine ten eleven twelve thirteen",
    "/a/very/long/path/without/any/space/that/does/not/fit/into/one/line/at/all/clip.mp4",
    "人物の動画からアニメーションキャラクターを作成するためのインタープリターを選択してください",
    "اختر مقطع فيديو أولا من فضلك لأن هذا النص أطول من عرض اللوحة الجانبية",
]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("width", [60, 200, 900])
@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_wrapped_text_fits_and_loses_nothing(enabled, text, width, scale):
    wrapped = module("panels.wrapped_text")
    widget = type("Widget", (), {"points": 11})()
    preferences = type("Preferences", (), {})()
    preferences.system = type("System", (), {"ui_scale": scale})()
    preferences.ui_styles = [type("Style", (), {"widget": widget})()]
    region = type("Region", (), {"width": round(width * scale + 60 * scale), "type": "UI"})()
    context = type("Context", (), {"preferences": preferences, "region": region})()
    lines = wrapped.lines(context, text)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    blf.size(0, 11 * scale)
    assert all(blf.dimensions(0, line)[0] <= region.width for line in lines)
    if width == 900:
        assert len(lines) == 1


def pseudo(text):
    """Translate: accents, and a third longer. Fields of a template are kept."""
    accents = str.maketrans("aeiouAEIOU", "àéîõüÀÉÎÕÜ")
    parts = re.split(r"(\{[^}]*\})", text)
    return "".join(part if part[:1] == "{" else part.translate(accents) for part in parts) + " ¿?"


TRANSLATIONS = {
    "accents": pseudo,
    "reordered": lambda text: "".join(reversed(re.split(r"(\{[^}]*\})", text))),
    "fields lost": lambda text: re.sub(r"\{[^}]*\}", "", text),
    "fields broken": lambda text: text.replace("}", ""),
    "other fields": lambda text: text + "{nothing} {0}",
    "percent": lambda text: text + " 100 %",
}


@pytest.mark.parametrize("language", TRANSLATIONS)
def test_panels_are_drawn_in_any_translation(result, card, monkeypatch, language):
    translate = TRANSLATIONS[language]
    for file in Path(module("panels.source").__file__).parents[1].glob("[!_.]*/[!_]*.py"):
        if file.parent.name in {"panels", "operators", "bridge"}:
            loaded = module(f"{file.parent.name}.{file.stem}")
            for name in ("iface_", "rpt_"):
                if hasattr(loaded, name):
                    monkeypatch.setattr(loaded, name, translate)
    card(width=64, height=48, fps=30.0, frames=10)
    result.name, result.stages = "歩く {人} %s مشي", 5
    for name in PANELS:
        draw(panel_of(name), bpy.context)
    texts = draw(panel_of("result"), bpy.context).texts
    assert "歩く {人} %s مشي" in texts  # names are never translated
    reconstruct = module("operators.reconstruct")
    monkeypatch.setattr(reconstruct, "status", lambda: status(clip="歩く {人}.mp4"))
    assert "歩く {人}.mp4" in draw(panel_of("solve"), bpy.context).texts
    setup = module("panels.setup")
    addon = bpy.context.preferences.addons[MODULE]
    setup.draw_preferences(RecordingLayout(), bpy.context, addon.preferences)
