"""`pipelines geotiff` from end to end: the command, bad input, stopping and going on, many workers."""

from __future__ import annotations

import errno
import importlib.util
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner, Result
from numpy.typing import NDArray
from torch import Tensor

import distmap
import pipelines
from detect.extraction import ExtractionConfig
from distmap.common.progress import Progress, Silent
from pipelines.cli import main
from pipelines.scenes.cluster import default_workers, local_client
from pipelines.scenes.geotiffs import OutputOptions, SceneResult, map_scenes
from pipelines.scenes.mapper import ModelMapper
from pipelines.scenes.source import open_scene
from pipelines.scenes.windows import Floats
from pipelines.scenes.work import Resources
from tests.pipelines.scenes.conftest import Brightness, WriteScene

CONFIG = ExtractionConfig(threshold=0.6)


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["geotiff", *map(str, arguments)])


def refused(result: Result, *named: str) -> None:
    """One line on standard error and status 2."""
    assert result.exit_code == 2, (result.stdout, result.stderr, result.exception)
    lines = result.stderr.strip().splitlines()
    assert lines[-1].startswith("error: ")
    assert sum(line.startswith("error: ") for line in lines) == 1
    assert not any("Traceback" in line for line in lines)
    for word in named:
        assert word in lines[-1], lines[-1]


def colours(rng: np.random.Generator, height: int = 100, width: int = 120) -> NDArray[np.uint8]:
    pixels = rng.integers(60, 120, (height, width, 3), np.uint8)
    pixels[40:48, 50:58] = 250
    return pixels


def test_writes_everything(tmp_path: Path, write_scene: WriteScene, tiny_run: Path, rng: np.random.Generator) -> None:
    path = write_scene("town/a.tif", colours(rng))
    out = tmp_path / "out"
    options = ("--stac", "--category", "block")
    result = invoke(tiny_run, path, "--out", out, *options, "--json")
    assert result.exit_code == 0, result.stderr
    (summary,) = json.loads(result.stdout)["scenes"]
    assert sorted(path.name for path in out.iterdir()) == sorted(Path(file).name for file in summary["files"])
    assert len(summary["files"]) == 5
    assert summary["objects"] == len(json.loads((out / "a.geojson").read_text())["features"])
    # Given again it must not replace anything unless told to.
    refused(invoke(tiny_run, path, "--out", out, *options), "a_map.tif", "--overwrite")
    again = invoke(tiny_run, path, "--out", out, *options, "--resume", "--json")
    assert (again.exit_code, again.stderr.splitlines()[1:]) == (0, ["a.tif: done earlier"])
    assert json.loads(again.stdout)["scenes"][0]["objects"] == summary["objects"]
    assert invoke(tiny_run, path, "--out", out, "--overwrite").exit_code == 0


def test_maps_of_each_source(
    tmp_path: Path, write_scene: WriteScene, taught_run: Path, rng: np.random.Generator
) -> None:
    path = write_scene("a.tif", colours(rng))
    made = {}
    for source in ("auto", "branch1", "localizer"):
        result = invoke(taught_run, path, "--out", tmp_path / source, "--source", source, "--workers", 1)
        assert result.exit_code == 0, result.stderr
        with rasterio.open(tmp_path / source / "a_map.tif") as file:
            made[source] = file.read(1)
        (expected,) = distmap.load(taught_run, device="cpu", source=source).maps([path])
        np.testing.assert_allclose(made[source], expected.map_HW, atol=1e-4 * expected.map_HW.max())
    assert not np.allclose(made["auto"], made["branch1"])
    # What one source left is not taken for another's.
    command = (taught_run, path, "--out", tmp_path / "auto", "--source", "branch1", "--workers", 1, "--resume")
    refused(invoke(*command), "--overwrite")
    refused(
        invoke(taught_run, path, "--out", tmp_path / "new", "--source", "brunch"), "--source brunch: the run has no"
    )
    assert not (tmp_path / "new").exists()


def test_resume_passes_over_what_is_the_same(
    tmp_path: Path, write_scene: WriteScene, tiny_run: Path, rng: np.random.Generator
) -> None:
    """Another run, other settings or a changed scene: refused in one line, done again where that is allowed."""
    paths = [write_scene(f"{name}.tif", colours(rng)) for name in "ab"]
    work = tmp_path / "run"
    shutil.copytree(tiny_run, work)
    command = (work, *paths, "--out", tmp_path / "out", "--resume")
    assert invoke(*command).exit_code == 0
    assert invoke(*command).stderr.splitlines()[1:] == ["a.tif: done earlier", "b.tif: done earlier"]
    before = files_of(tmp_path / "out")
    for changed in (
        ("--threshold", "0.3"),
        ("--category", "car"),
        ("--stac",),
        ("--bands", "3,2,1"),
        ("--window", 48),
        ("--object-size", "9x7"),
        ("--set", "neck=0.5"),
        ("--set", "score=peak", "--set", "max_hole=3"),
    ):
        refused(invoke(*command, *changed), "a_coco.json", "--overwrite")
    write_scene("b.tif", colours(rng))
    refused(invoke(*command), "b_coco.json", "b.tif")
    assert files_of(tmp_path / "out") == before
    again = invoke(*command, "--overwrite")
    assert again.exit_code == 0
    assert "a.tif: done earlier\n" in again.stderr
    assert "b.tif: done earlier" not in again.stderr
    after = files_of(tmp_path / "out")
    assert {name for name in after if after[name] != before[name]} == {
        "b.geojson", "b.gpkg", "b_coco.json", "b_map.tif",
    }  # fmt: skip
    with (work / "config.yaml").open("a") as file:
        file.write("# changed\n")
    refused(invoke(*command), "a_coco.json", "another run")


def run_that_knows(tmp_path: Path, tiny_run: Path, object_size: dict[str, float] | None) -> Path:
    """A copy of the run, with this typical object in its detector.json."""
    work = tmp_path / "run"
    shutil.copytree(tiny_run, work)
    detector = json.loads((work / "detector.json").read_text())
    (work / "detector.json").write_text(json.dumps(detector | {"object_size": object_size}))
    return work


@pytest.mark.parametrize(
    ("options", "expected", "min_area"),
    [
        ((), "8 x 6", 12),
        (("--window", 32), "8 x 6", 12),
        (("--window", 48), "12 x 9", 27),
        (("--window", 48, "--object-size", "10x4"), "10 x 4", 10),
        (("--object-size", "12"), "12 x 12", 36),
        (("--object-size", "12", "--set", "object_size=14x12", "--set", "min_area=5"), "14 x 12", 5),
    ],
    ids=str,
)
def test_how_large_objects_are(
    tmp_path: Path,
    write_scene: WriteScene,
    tiny_run: Path,
    rng: np.random.Generator,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[object, ...],
    expected: str,
    min_area: int,
) -> None:
    """The run knows it in pixels of its own pictures, of 32 x 32; who says it means pixels of the scene."""
    used: list[ExtractionConfig] = []

    def note(*arguments: Any, **others: Any) -> list[Any]:
        used.append(arguments[2])
        return map_scenes(*arguments, **others)

    monkeypatch.setattr("pipelines.scenes.geotiffs.map_scenes", note)
    work = run_that_knows(tmp_path, tiny_run, {"area": 48, "length": 8, "width": 6, "spread": 2, "objects": 20})
    scenes = [write_scene(f"{name}.tif", colours(rng)) for name in "ab"]
    result = invoke(work, *scenes, "--out", tmp_path / "out", *options)
    assert result.exit_code == 0, result.stderr
    assert result.stderr.count("objects: ") == 1
    assert f"objects: about {expected} pixels\n" in result.stderr
    (config,) = used
    assert config.object_size is not None
    assert f"{config.object_size.length:g} x {config.object_size.width:g}" == expected
    assert config.min_area == min_area


def test_a_run_that_does_not_know_how_large_objects_are(
    tmp_path: Path, write_scene: WriteScene, tiny_run: Path, rng: np.random.Generator
) -> None:
    command = (run_that_knows(tmp_path, tiny_run, None), write_scene("a.tif", colours(rng)), "--out", tmp_path / "out")
    hint = invoke(*command).stderr.splitlines()[0]
    assert "detect calibrate" in hint
    assert "--object-size" in hint
    lines = invoke(*command, "--overwrite", "--object-size", 8).stderr.splitlines()
    assert lines[0] == "objects: about 8 x 8 pixels"
    assert not any("calibrate" in line for line in lines)
    # Who says that there is none needs no hint.
    assert "calibrate" not in invoke(*command, "--overwrite", "--set", "object_size=none").stderr


def test_category_as_a_setting(
    tmp_path: Path, write_scene: WriteScene, tiny_run: Path, rng: np.random.Generator
) -> None:
    result = invoke(tiny_run, write_scene("a.tif", colours(rng)), "--out", tmp_path / "out", "--set", "category=block")
    assert result.exit_code == 0, result.stderr
    categories = json.loads((tmp_path / "out" / "a_coco.json").read_text())["categories"]
    assert [category["name"] for category in categories] == ["block"]


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_folder_of_pictures(tmp_path: Path, tiny_run: Path, rng: np.random.Generator) -> None:
    """Ordinary pictures go the same way: no metres, no GeoJSON, and that is said once."""
    import cv2

    for name in ("a.png", "sub/b.jpg"):
        (tmp_path / "pictures" / name).parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(tmp_path / "pictures" / name), colours(rng))
    result = invoke(tiny_run, tmp_path / "pictures", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.stderr
    assert result.stderr.count("no reference system") == 1
    written = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*"))
    assert written == ["a.gpkg", "a_coco.json", "a_map.tif", "sub/b.gpkg", "sub/b_coco.json", "sub/b_map.tif"]


def test_scene_smaller_than_a_window(
    tmp_path: Path, write_scene: WriteScene, tiny_run: Path, rng: np.random.Generator
) -> None:
    path = write_scene("small.tif", colours(rng)[:9, :7])
    assert invoke(tiny_run, path, "--out", tmp_path / "out").exit_code == 0
    with rasterio.open(tmp_path / "out" / "small_map.tif") as file:
        assert file.shape == (9, 7)
        assert np.isfinite(file.read(1)).all()


def test_chosen_bands(tmp_path: Path, write_scene: WriteScene, tiny_run: Path, rng: np.random.Generator) -> None:
    pixels = colours(rng)
    wide = np.dstack([np.zeros_like(pixels), pixels])
    plain, six = write_scene("plain.tif", pixels), write_scene("six.tif", wide)
    assert invoke(tiny_run, plain, "--out", tmp_path / "out").exit_code == 0
    assert invoke(tiny_run, six, "--out", tmp_path / "out", "--bands", "4,5,6").exit_code == 0
    maps = []
    for name in ("plain", "six"):
        with rasterio.open(tmp_path / "out" / f"{name}_map.tif") as file:
            maps.append(file.read(1))
    np.testing.assert_array_equal(*maps)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--bands", "1,two"), "--bands"),
        (("--bands", "1,2,9"), "no band 9"),
        (("--bands", "1"), "trained on 3"),
        (("--window", 3), "--window"),
        (("--memory", 1), "--memory"),
        (("--workers", 0), "--workers"),
        (("--workers", 2, "--scheduler", "tcp://127.0.0.1:1"), "--workers and --scheduler"),
        (("--threshold", "-1"), "threshold"),
        (("--object-size", "large"), "object size 'large'"),
        (("--set", "nek=0.5"), "did you mean 'neck'?"),
        (("--set", "neck=2"), "neck is 2"),
        (("--scheduler", "tcp://127.0.0.1:1"), "--scheduler"),
        (("--colour", "red"), "--colour"),
    ],
)
def test_wrong_option(
    tmp_path: Path,
    write_scene: WriteScene,
    tiny_run: Path,
    rng: np.random.Generator,
    options: tuple[object, ...],
    named: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pipelines.scenes.cluster.PATIENCE", "1s")
    path = write_scene("a.tif", colours(rng))
    refused(invoke(tiny_run, path, "--out", tmp_path / "out", *options), named)
    assert not [file for file in (tmp_path / "out").glob("*") if not file.name.startswith(".")]


LOCAL = 'LOCAL_CS["somewhere",UNIT["metre",1]]'


@pytest.mark.parametrize(
    ("profile", "change", "named"),
    [
        ({"crs": LOCAL}, None, "reference system"),
        ({"nodata": 0}, lambda pixels: pixels * 0, "nodata"),
        ({}, lambda pixels: pixels[..., :2], "trained on 3"),
        ({}, lambda pixels: pixels.astype(np.uint16), "uint16"),
        ({}, lambda pixels: pixels.astype(np.complex64), "complex64"),
    ],
    ids=["unknown CRS", "all nodata", "too few bands", "another type", "complex"],
)
def test_scene_that_cannot_be_used(
    tmp_path: Path,
    write_scene: WriteScene,
    tiny_run: Path,
    rng: np.random.Generator,
    profile: dict[str, Any],
    change: Any,
    named: str,
) -> None:
    pixels = colours(rng)
    path = write_scene("bad.tif", change(pixels) if change else pixels, **profile)
    refused(invoke(tiny_run, path, "--out", tmp_path / "out"), "bad.tif", named)
    assert not (tmp_path / "out").exists()


def test_truncated_file(tmp_path: Path, write_scene: WriteScene, tiny_run: Path, rng: np.random.Generator) -> None:
    """The other scenes are done all the same; nothing of the damaged one is left."""
    good, bad = write_scene("good.tif", colours(rng)), write_scene("bad.tif", colours(rng), tiled=False)
    bad.write_bytes(bad.read_bytes()[:20_000])
    refused(invoke(tiny_run, bad, good, "--out", tmp_path / "out"), "bad.tif", "cut short")
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["good.geojson", "good.gpkg", "good_coco.json", "good_map.tif"]


def test_truncated_png(tmp_path: Path, tiny_run: Path, rng: np.random.Generator) -> None:
    import cv2

    path = tmp_path / "cut.png"
    assert cv2.imwrite(str(path), colours(rng))
    path.write_bytes(path.read_bytes()[:20_000])
    refused(invoke(tiny_run, path, "--out", tmp_path / "out"), "cut.png", "cut short")
    assert not (tmp_path / "out").exists()


def test_maps_among_the_scenes(
    tmp_path: Path, write_scene: WriteScene, tiny_run: Path, rng: np.random.Generator
) -> None:
    """Where the results go into the folder of the scenes they are no scenes the next time, and replace none."""
    write_scene("town/a.tif", colours(rng))
    command = (tiny_run, tmp_path / "town", "--out", tmp_path / "town", "--resume")
    assert invoke(*command).exit_code == 0
    assert invoke(*command).stderr.splitlines()[1:] == ["a.tif: done earlier"]
    own = write_scene("town/b_map.tif", colours(rng))
    scenes = (write_scene("town/b.tif", colours(rng)), own)
    refused(invoke(tiny_run, *scenes, "--out", tmp_path / "town", "--overwrite"), "b_map.tif", "another --out")


def test_two_scenes_of_one_name(tmp_path: Path, write_scene: WriteScene, tiny_run: Path) -> None:
    scenes = [write_scene(name, np.zeros((9, 9, 3), np.uint8)) for name in ("x/a.tif", "y/a.tif")]
    refused(invoke(tiny_run, *scenes, "--out", tmp_path / "out"), "x/a.tif", "y/a.tif")


def test_no_run_and_no_scene(tmp_path: Path, tiny_run: Path) -> None:
    refused(invoke(tmp_path, tmp_path, "--out", tmp_path / "out"), "detector.json")
    refused(invoke(tiny_run, tmp_path / "gone.tif", "--out", tmp_path / "out"), "gone.tif")
    (tmp_path / "empty").mkdir()
    refused(invoke(tiny_run, tmp_path / "empty", "--out", tmp_path / "out"), "holds no scene")


@pytest.mark.parametrize("room", [3_000, 30_000, 100_000])
def test_disk_is_full(
    tmp_path: Path, write_scene: WriteScene, tiny_run: Path, rng: np.random.Generator, room: int
) -> None:
    """No file may grow beyond ``room``, which is how a full disk looks to a program that writes one."""
    path = write_scene("a.tif", colours(rng, 260, 260))
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
    try:
        result = invoke(tiny_run, path, "--out", tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    refused(result)
    assert not [file for file in (tmp_path / "out").glob("*") if not file.name.startswith(".")]
    # With room again the run goes on and ends.
    assert invoke(tiny_run, path, "--out", tmp_path / "out").exit_code == 0
    assert len(list((tmp_path / "out").iterdir())) == 4


@dataclass(frozen=True, kw_only=True)
class Slow(Brightness):
    """Takes its time, notes in ``log`` which process mapped, and fails after so many batches."""

    log: Path
    seconds: float = 0.0
    fail_after: int | None = None

    def __call__(self) -> Slow:
        return self

    def see(self, x_BCHW: Tensor) -> Tensor:
        time.sleep(self.seconds)
        with self.log.open("a") as file:
            file.write(f"{os.getpid()}\n")
        if self.fail_after is not None and len(self.log.read_text().splitlines()) > self.fail_after:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().see(x_BCHW)


def run(
    path: Path, out: Path, mapper: Brightness, progress: Progress | None = None, **resources: Any
) -> list[SceneResult]:
    return map_scenes(
        {path.stem: open_scene(path, None, None)},
        mapper,
        CONFIG,
        out=out,
        identity={},
        options=OutputOptions(),
        resources=Resources(**resources),
        progress=progress,
    )


def results(out: Path) -> dict[str, bytes]:
    """What must not differ between two ways of doing a scene."""
    names = sorted(path.name for path in out.iterdir())
    assert names == ["a.geojson", "a.gpkg", "a_coco.json", "a_map.tif"]
    return {name: (out / name).read_bytes() for name in names if not name.endswith("gpkg")}


def scattered(rng: np.random.Generator, side: int) -> NDArray[np.uint8]:
    from scipy.ndimage import gaussian_filter

    noise = gaussian_filter(rng.standard_normal((side, side)), 6)
    return np.asarray(np.clip(110 + 40 * noise / noise.std(), 0, 255), np.uint8)


def test_a_stopped_run_goes_on(tmp_path: Path, write_scene: WriteScene, rng: np.random.Generator) -> None:
    path = write_scene("a.tif", scattered(rng, 1200), tiled=True)
    logs = [tmp_path / "first", tmp_path / "second", tmp_path / "whole"]
    with pytest.raises(OSError, match="No space"):
        run(path, tmp_path / "out", Slow(log=logs[0], fail_after=150), memory_mb=40, workers=1)
    kept = list((tmp_path / "out" / ".a.unfinished").glob("*.npz"))
    assert 0 < len(kept) < 9
    assert len(list((tmp_path / "out").iterdir())) == 1
    run(path, tmp_path / "out", Slow(log=logs[1]), memory_mb=40)
    run(path, tmp_path / "reference", Slow(log=logs[2]), memory_mb=40)
    assert results(tmp_path / "out") == results(tmp_path / "reference")
    batches = [len(log.read_text().splitlines()) for log in logs]
    assert batches[1] < batches[2] - 100


def test_a_stopped_run_goes_on_with_its_own_tiles(
    tmp_path: Path, write_scene: WriteScene, rng: np.random.Generator
) -> None:
    """More memory would allow larger tiles, but those that are done are kept; less does not hold them."""
    path = write_scene("a.tif", scattered(rng, 1200), tiled=True)
    said: list[str] = []

    class Told(Silent):
        def say(self, line: str) -> None:
            said.append(line)

    def stop_and_go_on(name: str, fail_after: int, memory_mb: int, then_mb: int) -> int:
        logs = [tmp_path / f"{name} first", tmp_path / f"{name} second"]
        with pytest.raises(OSError, match="No space"):
            run(path, tmp_path / name, Slow(log=logs[0], fail_after=fail_after), memory_mb=memory_mb, workers=1)
        assert list((tmp_path / name / ".a.unfinished").glob("*.npz"))
        run(path, tmp_path / name, Slow(log=logs[1]), memory_mb=then_mb, workers=1, progress=Told())
        return len(logs[1].read_text().splitlines())

    batches = stop_and_go_on("more", 150, memory_mb=40, then_mb=1000)
    assert said == []
    run(path, tmp_path / "reference", Slow(log=tmp_path / "whole"), memory_mb=40, workers=1)
    assert results(tmp_path / "more") == results(tmp_path / "reference")
    assert batches < len((tmp_path / "whole").read_text().splitlines()) - 100
    stop_and_go_on("less", 320, memory_mb=100, then_mb=40)
    assert said == ["a.tif: what had been done of it with other settings is done anew"]
    assert results(tmp_path / "less") == results(tmp_path / "reference")


def test_what_other_settings_had_done_is_not_used(
    tmp_path: Path, write_scene: WriteScene, rng: np.random.Generator
) -> None:
    path = write_scene("a.tif", scattered(rng, 1200), tiled=True)
    log = tmp_path / "log"
    with pytest.raises(OSError, match="No space"):
        run(path, tmp_path / "out", Slow(log=log, fail_after=150), memory_mb=40, workers=1)
    write_scene("a.tif", scattered(rng, 1200), tiled=True)
    run(path, tmp_path / "out", Brightness(), memory_mb=40)
    run(path, tmp_path / "reference", Brightness(), memory_mb=40)
    assert results(tmp_path / "out") == results(tmp_path / "reference")


def test_a_killed_worker_is_replaced(tmp_path: Path, write_scene: WriteScene, rng: np.random.Generator) -> None:
    """A real local cluster, one of whose workers is killed while it maps."""
    path = write_scene("a.tif", scattered(rng, 1500), tiled=True)
    log = tmp_path / "log"
    killed: list[int] = []

    def kill() -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not killed:
            time.sleep(0.05)
            lines = log.read_text().splitlines() if log.exists() else []
            if len(lines) > 60:
                os.kill(int(lines[-1]), signal.SIGKILL)
                killed.append(int(lines[-1]))

    killer = threading.Thread(target=kill)
    killer.start()
    run(path, tmp_path / "out", Slow(log=log, seconds=0.01), memory_mb=40, workers=2)
    killer.join()
    assert killed
    painters = {int(line) for line in log.read_text().splitlines()}
    assert len(painters) == 3
    run(path, tmp_path / "reference", Brightness(), memory_mb=40)
    assert results(tmp_path / "out") == results(tmp_path / "reference")


@pytest.mark.parametrize(
    ("seconds", "times", "processes"),
    [(1000.0, 0.0, 1), (0.0, 2.0, 1), (0.0, 0.0, 3)],
    ids=["short work", "faster in one", "long work"],
)
def test_a_cluster_by_default_where_it_saves_time(
    tmp_path: Path,
    write_scene: WriteScene,
    rng: np.random.Generator,
    monkeypatch: pytest.MonkeyPatch,
    seconds: float,
    times: float,
    processes: int,
) -> None:
    """The first tiles are done here, to see how long they take; what follows, where that saves time, by others."""
    monkeypatch.setattr("pipelines.scenes.work.default_workers", lambda *_: 2)
    monkeypatch.setattr("pipelines.scenes.work.LEAST_SECONDS_SAVED", seconds)
    monkeypatch.setattr("pipelines.scenes.work.LEAST_SPEEDUP", times)
    path = write_scene("a.tif", scattered(rng, 1500), tiled=True)
    log = tmp_path / "log"
    run(path, tmp_path / "out", Slow(log=log, seconds=0.01), memory_mb=40)
    painters = [int(line) for line in log.read_text().splitlines()]
    assert painters[0] == os.getpid()
    assert len(set(painters)) == processes
    run(path, tmp_path / "reference", Brightness(), memory_mb=40, workers=1)
    assert results(tmp_path / "out") == results(tmp_path / "reference")


def test_damaged_scene_on_a_cluster(tmp_path: Path, write_scene: WriteScene, rng: np.random.Generator) -> None:
    path = write_scene("a.tif", scattered(rng, 1200), tiled=True)
    path.write_bytes(path.read_bytes()[:900_000])
    with pytest.raises(ValueError, match=r"a\.tif.*cut short"):
        run(path, tmp_path / "out", Brightness(), memory_mb=40, workers=2)
    assert not (tmp_path / "out").exists()


@dataclass(frozen=True, kw_only=True)
class Broken(Brightness):
    """Cannot use what it is given, and notes that it was asked."""

    log: Path

    def __call__(self) -> Broken:
        return self

    def see(self, x_BCHW: Tensor) -> Tensor:
        with self.log.open("a") as file:
            file.write("asked\n")
        raise ValueError("a.tif: damaged")


def test_a_cluster_gives_up_a_scene_that_cannot_be_done(
    tmp_path: Path, write_scene: WriteScene, rng: np.random.Generator
) -> None:
    path = write_scene("a.tif", scattered(rng, 2000), tiled=True)
    with pytest.raises(ValueError, match=r"a\.tif: damaged"):
        run(path, tmp_path / "out", Broken(log=tmp_path / "log"), memory_mb=40, workers=2)
    assert len((tmp_path / "log").read_text().splitlines()) < 16  # tiles
    assert not (tmp_path / "out").exists()


def test_failure_ends_the_cluster(
    tmp_path: Path, write_scene: WriteScene, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    import psutil  # type: ignore[import-untyped]

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    path = write_scene("a.tif", scattered(rng, 1200), tiled=True)
    before = psutil.Process().children()
    monkeypatch.setattr("pipelines.scenes.outputs.write_map", fail)
    with pytest.raises(OSError, match="No space") as caught:
        run(path, tmp_path / "out", Brightness(), memory_mb=40, workers=2)
    assert len(psutil.Process().children()) <= len(before) + 1  # Python's own resource tracker
    monkeypatch.undo()
    assert caught.value.errno == errno.ENOSPC
    run(path, tmp_path / "out", Brightness(), memory_mb=40, workers=1)
    assert len(results(tmp_path / "out")) == 3


SCRIPT = """
import os, sys, time
from dataclasses import dataclass
from pathlib import Path
import numpy as np
from detect.extraction import ExtractionConfig
from distmap.inference.sliding_window import half_overlapping
from pipelines.scenes.geotiffs import OutputOptions, map_scenes
from pipelines.scenes.source import open_scene
from pipelines.scenes.work import Resources


@dataclass(frozen=True)
class Mapper:
    log: Path
    seconds: float

    def __call__(self):
        return self

    def windows(self, height, width):
        return half_overlapping(32, 32)

    def margin(self, windows):
        return 0

    def bytes_per_pixel(self, windows):
        return 8.0

    def maps(self, canvases):
        time.sleep(self.seconds)
        with self.log.open("a") as file:
            print(os.getpid(), os.environ["OMP_NUM_THREADS"], file=file)
        return [canvas.pixels_HWC[canvas.inner][..., 0] / np.float32(255) for canvas in canvases]


scene, folder = Path(sys.argv[1]), Path(sys.argv[2])
map_scenes({"a": open_scene(scene, None, None)}, Mapper(folder / "log", float(sys.argv[3])),
           ExtractionConfig(threshold=0.6), out=folder / "out", identity={}, options=OutputOptions(),
           resources=Resources(memory_mb=40, workers=2))
print(os.getpid(), os.environ.get("OMP_NUM_THREADS"))
"""


def script(tmp_path: Path, scene: Path, seconds: float) -> subprocess.Popen[str]:
    """Scenes on a cluster of two from a script that does not care for ``__name__``."""
    (tmp_path / "script.py").write_text(SCRIPT)
    root = Path(__file__).resolve().parents[3]
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", str(tmp_path / "script.py"), str(scene), str(tmp_path), str(seconds)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path, start_new_session=True,
        env=environment | {"PYTHONPATH": str(root)},
        # Where the tests run in the background of a shell, interrupts are ignored, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip


def test_from_a_script(tmp_path: Path, write_scene: WriteScene, rng: np.random.Generator) -> None:
    path = write_scene("a.tif", scattered(rng, 1200), tiled=True)
    process = script(tmp_path, path, 0)
    stdout, stderr = process.communicate(timeout=300)
    assert (process.returncode, stderr) == (0, "")
    assert stdout.split() == [str(process.pid), "None"]
    painters = {tuple(line.split()) for line in (tmp_path / "log").read_text().splitlines()}
    from dask.system import cpu_count

    assert len(painters) == 2
    assert str(process.pid) not in {number for number, _ in painters}
    assert {threads for _, threads in painters} == {str(max(1, cpu_count() // 2))}


def is_there(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_ctrl_c_ends_the_cluster(tmp_path: Path, write_scene: WriteScene, rng: np.random.Generator) -> None:
    """A terminal sends it to all processes; none is left, and what is done stays."""
    path = write_scene("a.tif", scattered(rng, 1200), tiled=True)
    process = script(tmp_path, path, 0.05)
    unfinished = tmp_path / "out" / ".a.unfinished"
    deadline = time.monotonic() + 200
    while not list(unfinished.glob("*.npz")) and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=100)
    assert stderr.splitlines()[-1] == "KeyboardInterrupt"
    assert stderr.count("Traceback") == 1
    assert list(unfinished.glob("*.npz"))
    deadline = time.monotonic() + 20  # the last ones end in a moment
    while is_there(process.pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not is_there(process.pid)


@pytest.mark.parametrize(
    ("memory_mb", "least_mb", "gpus", "cores", "machine_mb", "expected"),
    [
        (1024, 10, 0, 2, 64_000, 2),
        (1024, 10, 0, 64, 64_000, 4),
        (512, 10, 0, 64, 64_000, 2),
        (100, 10, 0, 64, 64_000, 1),
        (1024, 600, 0, 64, 64_000, 1),
        (8192, 10, 1, 64, 64_000, 1),
        (8192, 10, 4, 64, 64_000, 4),
        (8192, 10, 0, 64, 1, 1),
    ],
)
def test_workers_that_suit_the_machine(
    monkeypatch: pytest.MonkeyPatch,
    memory_mb: int,
    least_mb: int,
    gpus: int,
    cores: int,
    machine_mb: int,
    expected: int,
) -> None:
    monkeypatch.setattr("dask.system.cpu_count", lambda: cores)
    monkeypatch.setattr("distributed.system.MEMORY_LIMIT", machine_mb * 2**20)
    monkeypatch.setattr("resource.getrusage", lambda _: SimpleNamespace(ru_maxrss=500 * 2**10))
    assert default_workers(memory_mb, least_mb, gpus) == expected


def test_pyogrio_is_needed_before_anything_is_done(
    tmp_path: Path, write_scene: WriteScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_scene("a.tif", np.full((60, 70), 200, np.uint8))
    monkeypatch.setitem(sys.modules, "pyogrio", None)
    with pytest.raises(ValueError, match=r"^needs pyogrio; install it with pip install 'distmap\[scenes\]'$"):
        run(path, tmp_path / "out", Brightness(), workers=1)
    assert not (tmp_path / "out").exists()


def test_a_gpu_for_each_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    with local_client(2, gpus=2) as client:
        assert sorted(client.run(os.getenv, "CUDA_VISIBLE_DEVICES").values()) == ["0", "1"]


def test_memory_does_not_grow_with_the_scene(tmp_path: Path) -> None:
    code = """
import resource, sys
from pathlib import Path
import numpy as np, rasterio
from detect.extraction import ExtractionConfig
from distmap.inference.sliding_window import half_overlapping
from pipelines.scenes.geotiffs import OutputOptions, map_scenes
from pipelines.scenes.source import open_scene
from pipelines.scenes.work import Resources
from tests.pipelines.scenes.conftest import Brightness
folder, side = Path(sys.argv[1]), int(sys.argv[2])
path = folder / f"{side}.tif"
with rasterio.open(path, "w", driver="GTiff", height=side, width=side, count=3, dtype="uint8", tiled=True) as file:
    for _, window in file.block_windows(1):
        block = np.zeros((3, window.height, window.width), np.uint8)
        block[:, 100:120, 100:130] = 255
        file.write(block, window=window)
scene = open_scene(path, None, None)
map_scenes({path.stem: scene}, Brightness(side=128), ExtractionConfig(threshold=0.6), out=folder / "out", identity={},
           options=OutputOptions(), resources=Resources(memory_mb=64))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""
    peaks = []
    for side in (1100, 3300):
        answer = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code, str(tmp_path), str(side)],
            capture_output=True, text=True, check=True, cwd=Path(__file__).resolve().parents[3],
        )  # fmt: skip
        peaks.append(int(answer.stdout))
    assert peaks[1] < peaks[0] + 150, peaks


def test_call_is_public() -> None:
    assert pipelines.geotiff.__module__ == "pipelines.scenes.geotiffs"


def test_example(
    tmp_path: Path,
    write_scene: WriteScene,
    tiny_run: Path,
    rng: np.random.Generator,
    root: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    spec = importlib.util.spec_from_file_location("example", root / "examples" / "scene_to_geopackage.py")
    assert spec is not None
    assert spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    path = write_scene("town.tif", colours(rng))
    example.main([str(tiny_run), str(path), "--out", str(tmp_path / "layers")])
    lines = capsys.readouterr().out.splitlines()
    assert "town.gpkg" in lines[0]
    assert lines[1].startswith("area_m2 ")


def test_a_cluster_that_is_there(tmp_path: Path, write_scene: WriteScene, rng: np.random.Generator) -> None:
    from distributed import LocalCluster

    scenes = {
        name: open_scene(write_scene(f"{name}.tif", scattered(rng, 700)), None, None) for name in ("a", "b", "sub/c")
    }
    with LocalCluster(n_workers=1, processes=False, dashboard_address=":0") as cluster:  # type: ignore[no-untyped-call]
        done = map_scenes(
            scenes,
            Brightness(),
            CONFIG,
            out=tmp_path / "out",
            identity={},
            options=OutputOptions(),
            resources=Resources(memory_mb=40, scheduler=cluster.scheduler_address),
        )
    assert sorted(item.scene.name for item in done) == ["a.tif", "b.tif", "c.tif"]
    for name, scene in scenes.items():
        run(scene.path, tmp_path / name, Brightness())
        for suffix in ("_map.tif", "_coco.json"):
            reference = (tmp_path / name / f"{scene.path.stem}{suffix}").read_bytes()
            assert (tmp_path / "out" / f"{name}{suffix}").read_bytes() == reference


def test_ctrl_c(
    tmp_path: Path, write_scene: WriteScene, tiny_run: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> list[Floats]:
        raise KeyboardInterrupt

    path = write_scene("a.tif", colours(rng))
    with monkeypatch.context() as patched:
        patched.setattr(ModelMapper, "maps", stop)
        result = invoke(tiny_run, path, "--out", tmp_path / "out", "--device", "cpu")
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (130, "stopped")
    assert [file.name for file in (tmp_path / "out").iterdir()] == [".a.unfinished"]
    assert invoke(tiny_run, path, "--out", tmp_path / "out", "--device", "cpu").exit_code == 0
    assert len(list((tmp_path / "out").iterdir())) == 4
