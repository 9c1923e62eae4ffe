"""The folder of an unfinished scene: damaged tiles are done again; of two commands the second is refused."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detect.extraction import ExtractionConfig
from distmap.common.locks import locked
from distmap.common.progress import Silent
from pipelines.scenes import geotiffs
from pipelines.scenes.geotiffs import OutputOptions, SceneResult, map_scenes
from pipelines.scenes.job import started_tile
from pipelines.scenes.source import open_scene
from pipelines.scenes.work import Resources
from tests.pipelines.scenes.conftest import Brightness, WriteScene

CONFIG = ExtractionConfig(threshold=0.6)


class Told(Silent):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


def run(path: Path, out: Path, progress: Told | None = None, *, overwrite: bool = False) -> list[SceneResult]:
    return map_scenes(
        {path.stem: open_scene(path, None, None)},
        Brightness(weight=0),
        CONFIG,
        out=out,
        identity={},
        options=OutputOptions(),
        resources=Resources(workers=1, memory_mb=40),
        overwrite=overwrite,
        progress=progress,
    )


@pytest.fixture
def scene(write_scene: WriteScene) -> Path:
    pixels = np.random.default_rng(0).integers(0, 120, (520, 600)).astype(np.uint8)
    pixels[500:530, 490:560] = 255
    pixels[40:60, 40:60] = 255
    return write_scene("a.tif", pixels, tiled=True)


@pytest.fixture
def unfinished(scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a scene all of whose tiles are done."""

    def fail(*_: object) -> SceneResult:
        raise OSError("No space left")

    with monkeypatch.context() as patch:
        patch.setattr(geotiffs, "_finish", fail)
        with pytest.raises(OSError, match="No space"):
            run(scene, tmp_path / "out")
    folder = tmp_path / "out" / ".a.unfinished"
    assert len(list(folder.glob("*.npz"))) == len(list(folder.glob("*.tif"))) == 4
    return folder


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _noise(path: Path) -> None:
    path.write_bytes(np.random.default_rng(0).bytes(3000))


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def _gone(path: Path) -> None:
    path.unlink()


def _other_tile(path: Path) -> None:
    """The tile below, which is smaller."""
    path.write_bytes(path.with_name(path.name.replace("0_", "512_", 1)).read_bytes())


def _of_another_version(path: Path) -> None:
    with np.load(path) as file:
        content = {name: file[name] for name in file.files if name != "checksum"}
    np.savez(path, **content)


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        *(
            (name, damage)
            for name in ("0_512.npz", "0_512.tif")
            for damage in (_cut, _empty, _noise, _flip, _other_tile)
        ),
        ("0_512.tif", _gone),
        ("0_512.npz", _of_another_version),
    ],
)
def test_a_damaged_tile_is_done_again(
    scene: Path, unfinished: Path, tmp_path: Path, name: str, damage: Callable[[Path], None]
) -> None:
    damage(unfinished / name)
    told = Told()
    run(scene, tmp_path / "out", told, overwrite=damage is _cut)
    assert told.lines == ["a.tif: 1 of its finished tiles are damaged, and done again"]
    run(scene, tmp_path / "reference")
    for file in ("a.geojson", "a_coco.json", "a_map.tif"):
        assert (tmp_path / "out" / file).read_bytes() == (tmp_path / "reference" / file).read_bytes()
    assert not unfinished.exists()


def test_whole_tiles_are_kept(scene: Path, unfinished: Path, tmp_path: Path) -> None:
    for file in unfinished.glob("*.tif"):
        file.chmod(0o444)
    told = Told()
    run(scene, tmp_path / "out", told)
    assert told.lines == []


@pytest.mark.parametrize("tile", [None, [], [512], [0, 512], [-1, 2], ["a", "b"], 7, [512.5, 512]])
def test_settings_that_make_no_sense(scene: Path, unfinished: Path, tmp_path: Path, tile: Any) -> None:
    content = json.loads((unfinished / "settings.json").read_text())
    (unfinished / "settings.json").write_text(json.dumps({**content, "tile": tile}))
    assert started_tile(unfinished, content["identity"]) is None
    run(scene, tmp_path / "out")
    assert (tmp_path / "out" / "a.gpkg").is_file()


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Another one has the folder."""
    inside, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with locked(folder, "--out"):
            inside.set()
            leave.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    assert inside.wait(60)
    try:
        yield
    finally:
        leave.set()
        thread.join()


def test_the_second_command_is_refused(scene: Path, tmp_path: Path) -> None:
    out = tmp_path / "results" / "out"
    with held(out), pytest.raises(ValueError, match=r"--out .*out: another command is writing there"):
        run(scene, out)
    assert not out.parent.exists()
    with held(tmp_path / "results" / "other"):
        run(scene, out)
    assert [path.name for path in out.parent.iterdir()] == ["out"]
    with held(out), pytest.raises(ValueError, match="another command"):
        run(scene, out, overwrite=True)
    run(scene, out, overwrite=True)
