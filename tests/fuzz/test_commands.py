"""Whatever stands in a file, a command does its work or says in one line what is wrong, and harms nothing.

`make test` tries a few hundred inputs; `make fuzz` many more.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from detect.cli import main as detect_main
from detect.formats import FOLDER_FORMATS, FORMATS
from distmap.cli import main as distmap_main
from tests.fuzz import corpus
from tests.fuzz.harness import Case, Mutate, mutate_one, tried

RUN_FILES: Mapping[str, Mutate] = {
    "config.yaml": corpus.yaml_bytes,
    "detector.json": corpus.json_bytes,
    "dataset.json": corpus.json_bytes,
    "metrics.jsonl": corpus.json_lines,
    "tuned.json": corpus.json_bytes,
    "weights.safetensors": corpus.damaged,
    "state/latest.pt": corpus.damaged,
}
READ_BY: Mapping[str, tuple[str, ...]] = {
    "config.yaml": ("info", "map", "extract", "resume", "config", "report"),
    "detector.json": ("info", "map", "extract", "saved", "calibrate", "report"),
    "dataset.json": ("info", "map", "extract", "resume", "report"),
    "metrics.jsonl": ("info", "report"),
    "tuned.json": ("tuned",),
    "weights.safetensors": ("map", "extract", "info"),
    "state/latest.pt": ("resume",),
}
ANNOTATIONS: Mapping[str, Mutate] = {
    "coco": corpus.json_bytes,
    "coco-results": corpus.json_bytes,
    "label-studio": corpus.json_bytes,
    "geojson": corpus.json_bytes,
    "gpkg": corpus.damaged,
    "dota": corpus.text_bytes,
    "dota-task1": corpus.text_bytes,
    "dota-task2": corpus.text_bytes,
    "yolo": corpus.text_bytes,
    "yolo-obb": corpus.text_bytes,
    "masks": corpus.damaged,
}


@pytest.mark.parametrize("kind", ANNOTATIONS)
def test_annotations(kind: str, originals: Path, tmp_path: Path) -> None:
    name = next(path.name for path in originals.iterdir() if path.name in (kind, f"{kind}.{kind}", f"{kind}.json"))

    def make(folder: Path, rng: random.Random) -> Case:
        source = folder / "in" / name
        original = originals / name
        shutil.copytree(original, source) if original.is_dir() else shutil.copyfile(original, source)
        mutate_one(source, ANNOTATIONS[kind], rng)
        pictures: tuple[object, ...] = ("--pictures", originals / "coco.json") if kind == "coco-results" else ()
        images: tuple[object, ...] = (
            ("--images", originals / "pictures") if kind in FOLDER_FORMATS or rng.random() < 0.2 else ()
        )
        told: tuple[object, ...] = ("--from", kind) if kind in FOLDER_FORMATS or rng.random() < 0.5 else ()
        if kind in ("coco", "dota", "masks", "yolo", "geojson") and rng.random() < 0.4:
            sides = [source, originals / "coco.json"]
            if (kind == "coco" and rng.random() < 0.5) or kind in ("dota", "masks"):
                sides.reverse()
            return Case(place=folder, main=detect_main, arguments=("evaluate", *sides, *images, "--bootstrap", 5))
        target = rng.choice(FORMATS)
        arguments = ("convert", source, folder / "out" / "result", "--format", target, *told, *pictures, *images)
        return Case(place=folder, main=detect_main, arguments=arguments)

    assert not (faults := tried(30, tmp_path, make)), "\n\n".join(faults)


@pytest.mark.parametrize("name", RUN_FILES)
def test_files_of_a_run(name: str, originals: Path, tmp_path: Path) -> None:
    def make(folder: Path, rng: random.Random) -> Case:
        run, out = shutil.copytree(originals / "run", folder / "in" / "run"), folder / "out"
        found, maps = out / "found.json", originals / "maps"
        mutate_one(run / name, RUN_FILES[name], rng)
        images, halves = originals / "pictures", (originals / "with", originals / "without")
        command = rng.choice(READ_BY[name])
        detect: dict[str, tuple[Any, ...]] = {
            "extract": ("extract", run, images, "--out", found, "--device", "cpu"),
            "saved": ("extract", run, images, "--from-maps", maps, "--out", found),
            "tuned": ("extract", run, images, "--tuned", "--from-maps", maps, "--out", found),
            "calibrate": ("calibrate", run, "--false-alarm", 0.01),
            "report": ("report", run, images, "--from-maps", maps, "--out", out / "report.html"),
        }
        if command in detect:
            return Case(place=folder, main=detect_main, arguments=detect[command])
        distmap: dict[str, tuple[Any, ...]] = {
            "info": ("info", run),
            "map": ("map", run, images, "--out", out / "maps", "--device", "cpu"),
            "resume": ("fit", *halves, "--run", run, "--resume", "--device", "cpu"),
            "config": ("fit", *halves, "--run", run, "--config", run / "config.yaml"),
        }
        return Case(place=folder, main=distmap_main, arguments=distmap[command], writes_run=command == "resume")

    assert not (faults := tried(20, tmp_path, make)), "\n\n".join(faults)


@pytest.mark.parametrize("what", ["pictures", "maps", "truth"])
def test_pictures(what: str, originals: Path, tmp_path: Path) -> None:
    def make(folder: Path, rng: random.Random) -> Case:
        out = folder / "out"
        source = shutil.copytree(originals / ("masks" if what == "truth" else what), folder / "in" / what)
        mutate_one(source, corpus.damaged, rng)
        run, images = originals / "run", originals / "pictures"
        if what == "truth":
            arguments: tuple[Any, ...] = ("evaluate", originals / "coco.json", source, "--bootstrap", 5)
        elif what == "maps":
            command, written = rng.choice((("extract", "found.json"), ("report", "report.html")))
            arguments = (command, run, images, "--from-maps", source, "--out", out / written)
        elif rng.random() < 0.5:
            arguments = ("map", run, source, "--out", out / "m", "--device", "cpu")
            return Case(place=folder, main=distmap_main, arguments=arguments)
        else:
            out_options = ("--out", out / "found.json", "--masks", out / "masks")
            arguments = ("extract", run, source, *out_options, "--device", "cpu")
        return Case(place=folder, main=detect_main, arguments=arguments)

    assert not (faults := tried(16, tmp_path, make)), "\n\n".join(faults)


def test_settings(originals: Path, tmp_path: Path) -> None:
    """Nothing is trained: one picture of each class is too few, which is said once the settings are found good."""
    from distmap.config import setting_keys

    keys = setting_keys()

    def make(folder: Path, rng: random.Random) -> Case:
        for name in ("with", "without"):
            (folder / "in" / name).mkdir()
            shutil.copy(originals / name / "0.png", folder / "in" / name)
        chosen = rng.choice(keys)
        setting = f"{chosen}={rng.choice((*corpus.WORDS, '1000000', '5000', '100000'))}".replace("\x00", "")
        halves = (folder / "in" / "with", folder / "in" / "without")
        arguments = ("fit", *halves, "--run", folder / "out" / "run", "--set", setting)
        return Case(place=folder, main=distmap_main, arguments=arguments, reads_files=False)

    assert not (faults := tried(60, tmp_path, make)), "\n\n".join(faults)


def test_settings_of_the_extraction(originals: Path, tmp_path: Path) -> None:
    from detect.settings import SETTINGS

    def make(folder: Path, rng: random.Random) -> Case:
        value = rng.choice((*corpus.WORDS, "5000", "100000", "700", "(1, 2)", "1,2", "1e6x1e6", "3x99999")).replace(
            "\x00", ""
        )
        option = rng.choice(("--set", "--set", "--set", "--threshold", "--object-size", "--false-alarm", "--min-area"))
        given = f"{rng.choice(SETTINGS)}={value}" if option == "--set" else value
        arguments = (
            "extract", originals / "run", originals / "pictures", "--from-maps", originals / "maps",
            "--out", folder / "out" / "found.json", f"{option}={given}",
        )  # fmt: skip
        return Case(place=folder, main=detect_main, arguments=arguments, reads_files=False)

    assert not (faults := tried(60, tmp_path, make)), "\n\n".join(faults)


def test_tuning_and_export(originals: Path, tmp_path: Path) -> None:
    def make(folder: Path, rng: random.Random) -> Case:
        run = shutil.copytree(originals / "run", folder / "in" / "run")
        maps = shutil.copytree(originals / "maps", folder / "in" / "maps")
        truth = shutil.copy(originals / "coco.json", folder / "in" / "truth.json")
        what = rng.choice(("maps", "truth", "detector", "weights"))
        if what == "weights":  # a whole one takes seconds to export
            mutate_one(run / "weights.safetensors", lambda content, rng: content[: rng.randrange(len(content))], rng)
            arguments: tuple[Any, ...] = ("export", run, "--format", "onnx", "--out", folder / "out" / "map.onnx")
            return Case(place=folder, main=distmap_main, arguments=arguments)
        changed = {"maps": maps, "truth": Path(truth), "detector": run / "detector.json"}[what]
        mutate_one(changed, corpus.damaged if what == "maps" else corpus.json_bytes, rng)
        arguments = ("tune", run, "--maps", maps, "--truth", truth)
        return Case(place=folder, main=detect_main, arguments=arguments)

    assert not (faults := tried(16, tmp_path, make)), "\n\n".join(faults)
