"""The whole job on scenes: a run and GeoTIFFs -> maps, layers and annotations."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from detect.detections import DEFAULT_CATEGORY
from detect.detector import read_detector
from detect.extraction import ExtractionConfig
from detect.files import PICTURE_SUFFIXES, files_under
from distmap.progress import Progress, Silent
from pipelines.scenes import outputs
from pipelines.scenes.ground import measure
from pipelines.scenes.job import Job, MapperSource, do_tiles, tile_shape
from pipelines.scenes.mapper import RunMapper
from pipelines.scenes.outputs import Names
from pipelines.scenes.source import Scene, open_scene
from pipelines.scenes.windows import Region

MEMORY_MB = 1024
SUFFIXES = PICTURE_SUFFIXES | {".vrt", ".jp2"}


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A scene that is done: how many objects, what was written, and whether an earlier run had done it."""

    scene: Path
    objects: int | None
    files: tuple[Path, ...]
    earlier: bool = False


@dataclass(frozen=True, kw_only=True)
class Ending:
    """What becomes of a scene whose tiles are done."""

    category: str = DEFAULT_CATEGORY
    stac: bool = False


def geotiff(
    run: str | Path,
    scenes: Iterable[str | Path],
    *,
    out: str | Path,
    bands: Sequence[int] | None = None,
    window: int | None = None,
    threshold: float | None = None,
    false_alarm: float | None = None,
    min_area: int | None = None,
    category: str = DEFAULT_CATEGORY,
    stac: bool = False,
    memory_mb: int = MEMORY_MB,
    workers: int = 1,
    scheduler: str | None = None,
    device: str = "auto",
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> list[Finished]:
    """Map scenes of any size and find the objects in them.

    For each scene ``out`` gets ``<stem>_map.tif`` (cloud-optimised GeoTIFF, float32, NaN where the scene holds
    nothing), ``<stem>.gpkg`` (layers ``objects`` and ``boxes``, in the scene's reference system), ``<stem>.geojson``
    (WGS 84) and ``<stem>_coco.json`` (pixels). Each appears whole or not at all. What a stopped run had done of a scene
    is used by the next one with the same settings.

    Parameters
    ----------
    scenes
        Files, or folders that are searched recursively. A scene without a reference system gets no GeoJSON, and layers
        in its own coordinates or in pixels.
    bands
        Numbers of the bands to use, from 1; None: see `pipelines.scenes.source.open_scene`.
    window
        Side, in pixels of the scene, of what the network sees at once; None: that of the pictures trained on. Where
        the scene's pixels are half as large as theirs, give twice that.
    threshold, false_alarm, min_area
        As in `detect`; None: what the run's ``detector.json`` says.
    memory_mb
        About how much memory the work on a tile may take, in each process, beside the programs and the network.
    workers, scheduler
        More than one worker: that many processes on this machine; a scheduler: the address of a Dask cluster.
    resume
        Pass over scenes whose outputs are there.

    Raises
    ------
    ValueError
        A scene or setting cannot be used. Scenes that can be are done all the same, unless their headers show it.
    FileExistsError
        Outputs are there, and neither ``resume`` nor ``overwrite`` is given.
    """
    run = Path(run)
    config = read_detector(run / "detector.json").config(
        threshold=threshold, false_alarm=false_alarm, min_area=min_area, category=category
    )
    mapper = RunMapper(run=run.absolute(), device=device, side=window)
    if window is not None and window < 16:
        raise ValueError(f"--window {window}: must be 16 or more pixels")
    model = mapper()
    found = find_scenes(scenes)
    opened = {name: open_scene(path.absolute(), bands, model.bands) for name, path in found.items()}
    for scene in opened.values():
        model.check(scene)
    identity = {"run": _digest(run), "window": model.side, "extraction": asdict(config)}
    return map_scenes(
        opened,
        mapper,
        config,
        out=Path(out),
        identity=identity,
        ending=Ending(category=category, stac=stac),
        memory_mb=memory_mb,
        workers=workers,
        scheduler=scheduler,
        resume=resume,
        overwrite=overwrite,
        progress=progress or Silent(),
    )


def find_scenes(sources: Iterable[str | Path]) -> dict[str, Path]:
    """Scenes by the name that their outputs will have: path within the folder given, without suffix.

    Raises
    ------
    ValueError
        No such file, a folder without scenes, or two scenes of one name.
    """
    found: dict[str, Path] = {}
    for source in map(Path, sources):
        inside = files_under(source, SUFFIXES) if source.is_dir() else [source]
        if not inside:
            raise ValueError(f"{source}: holds no scene ({', '.join(sorted(SUFFIXES))})")
        for path in inside:
            if not path.is_file():
                raise ValueError(f"{path}: no such file or folder")
            name = path.relative_to(source).with_suffix("").as_posix() if source.is_dir() else path.stem
            if name in found:
                raise ValueError(f"{found[name]} and {path}: their outputs would have the same names; rename one")
            found[name] = path
    if not found:
        raise ValueError("no scene is given")
    return found


def map_scenes(
    scenes: Mapping[str, Scene],
    mapper: MapperSource,
    config: ExtractionConfig,
    *,
    out: Path,
    identity: Mapping[str, Any],
    ending: Ending,
    memory_mb: int = MEMORY_MB,
    workers: int = 1,
    scheduler: str | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> list[Finished]:
    """`geotiff` for whatever maps windows. ``identity``: what, beside the scenes, decides the result."""
    progress = progress or Silent()
    if workers < 1:
        raise ValueError(f"--workers {workers}: must be 1 or more")
    finished, jobs = _plan(scenes, mapper, config, out, memory_mb, resume, overwrite)
    plain = [job.scene.name for job in jobs.values() if job.scene.crs is None]
    if plain:
        others = f" and {len(plain) - 1} more" if len(plain) > 1 else ""
        progress.say(
            f"{plain[0]}{others}: no reference system, so no metres and no GeoJSON; "
            "coordinates are those of the file's transform, or else pixels"
        )
    made = not out.exists()
    failures: dict[str, Exception] = {}
    try:
        for job in jobs.values():
            job.begin({**identity, "scene": _state(job.scene)})
        for name, job, failure in _work(jobs, workers, scheduler, progress):
            problem = failure
            if problem is None:
                try:
                    finished.append(_finish(job, Names.of(out, name), ending))
                except ValueError as error:
                    problem = error
            if problem is not None:
                job.clear()
                failures[name] = problem
    finally:
        if made:
            with suppress(OSError):
                out.rmdir()  # where it is empty
    if failures:
        first = next(iter(failures.values()))
        more = f" (and {len(failures) - 1} more scenes failed)" if len(failures) > 1 else ""
        raise ValueError(f"{first}{more}") from first
    return finished


def _plan(
    scenes: Mapping[str, Scene],
    mapper: MapperSource,
    config: ExtractionConfig,
    out: Path,
    memory_mb: int,
    resume: bool,
    overwrite: bool,
) -> tuple[list[Finished], dict[str, Job]]:
    finished: list[Finished] = []
    jobs: dict[str, Job] = {}
    if out.exists() and not out.is_dir():
        raise FileExistsError(f"{out} is a file: choose another folder")
    for name, scene in scenes.items():
        there = [path for path in Names.of(out, name).all() if path.exists()]
        if any(path.samefile(scene.path) for path in there):
            raise ValueError(f"{scene.path}: would be replaced by its own output; choose another --out")
        if resume and Names.of(out, name).coco in there:
            finished.append(Finished(scene=scene.path, objects=None, files=tuple(there), earlier=True))
            continue
        if there and not overwrite and not resume:
            raise FileExistsError(f"{there[0]} exists already: choose another --out, or give --resume or --overwrite")
        place = out / name
        jobs[name] = Job(
            scene=scene,
            mapper=mapper,
            extraction=config,
            folder=place.with_name(f".{place.name}.unfinished").absolute(),
            tile_HW=tile_shape(scene, mapper(), memory_mb),
        )
    return finished, jobs


def _work(
    jobs: Mapping[str, Job], workers: int, scheduler: str | None, progress: Progress
) -> Iterator[tuple[str, Job, Exception | None]]:
    """Do all tiles; gives (name, job, what went wrong) once a scene's are done or cannot be."""
    remaining = {name: job.remaining() for name, job in jobs.items()}
    total, done = sum(map(len, remaining.values())), 0
    if scheduler is None and workers == 1:
        for name, job in jobs.items():
            failure: Exception | None = None
            try:
                for _ in do_tiles(job, remaining[name]):
                    done += 1
                    progress.update("tiles", done / total, {"of": total})
            except ValueError as error:
                failure = error
            yield name, job, failure
        return
    from pipelines.scenes.cluster import dask_client, do_all

    names = {job.folder: name for name, job in jobs.items()}
    left = {name: len(tiles) for name, tiles in remaining.items()}
    failed: dict[str, Exception] = {}
    work: list[tuple[Job, Region]] = [(jobs[name], tile) for name, tiles in remaining.items() for tile in tiles]
    for name in [name for name, count in left.items() if count == 0]:
        yield name, jobs[name], None
    with dask_client(scheduler, workers) as client:
        for job, _, problem in do_all(client, work):
            name = names[job.folder]
            left[name] -= 1
            done += 1
            progress.update("tiles", done / total, {"of": total})
            if problem is not None and not isinstance(problem, ValueError):
                raise problem
            if problem is not None:
                failed.setdefault(name, problem)
            # Only now, since until the last tile ends others may still write into the folder.
            if left[name] == 0:
                yield name, job, failed.get(name)


def _finish(job: Job, names: Names, ending: Ending) -> Finished:
    """Write a scene's outputs beside its tiles, then move them to their names."""
    objects, valid = job.objects()
    scene = job.scene
    if valid == 0:
        raise ValueError(f"{scene.path}: holds nothing but nodata; leave it out")
    ready = Names.of(job.folder / "ready", names.coco.name.removesuffix("_coco.json"))
    ready.coco.parent.mkdir(exist_ok=True)
    for path in ready.all():
        path.unlink(missing_ok=True)
    sizes = measure(objects, scene)
    outputs.write_map(ready.map, job)
    outputs.write_gpkg(ready.gpkg, objects, sizes, scene, ending.category)
    if scene.crs is not None:
        outputs.write_geojson(ready.geojson, objects, sizes, scene, ending.category)
        if ending.stac:
            outputs.write_stac(ready.stac, scene, names)
    outputs.write_coco(ready.coco, objects, scene, ending.category)
    written = []
    # The COCO file comes last: it says that the scene is done.
    for part in ("map", "gpkg", "geojson", "stac", "coco"):
        source, target = getattr(ready, part), getattr(names, part)
        if source.exists():
            source.replace(target)
            written.append(target)
        else:
            target.unlink(missing_ok=True)
    job.clear()
    return Finished(scene=scene.path, objects=len(objects), files=tuple(written))


def _state(scene: Scene) -> dict[str, Any]:
    status = scene.path.stat()
    return {**asdict(scene), "size": status.st_size, "changed": status.st_mtime_ns}


def _digest(run: Path) -> str:
    """Tells one training's weights from another's."""
    with (run / "weights.safetensors").open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
