"""The whole job on scenes: a run and GeoTIFFs -> maps, layers and annotations."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import closing, nullcontext, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from detect.detections import DEFAULT_CATEGORY
from detect.detector import extraction_config
from detect.extraction import ExtractionConfig
from distmap.common.detection_settings import read_detection_settings
from distmap.common.files import files_under
from distmap.common.object_size import ObjectSize, describe_objects
from distmap.common.picture_files import PICTURE_SUFFIXES
from distmap.common.progress import Progress, Silent
from pipelines.scenes import outputs
from pipelines.scenes.cluster import connected, default_workers, do_all, local_client
from pipelines.scenes.ground import measure
from pipelines.scenes.job import (
    TILES_IN_MEMORY,
    Job,
    MapperSource,
    TileMemory,
    do_tiles,
    tile_begun,
    tile_shape,
    time_tile,
)
from pipelines.scenes.mapper import RunMapper, run_digest
from pipelines.scenes.outputs import Names
from pipelines.scenes.parts import threshold as fixed_threshold
from pipelines.scenes.source import Scene, open_scene
from pipelines.scenes.windows import Region

MEMORY_MB = 1024
# A cluster is worth what it costs (to begin; blocks of the scene read by several workers) where it saves this much.
WORTH_TIMES, WORTH_SECONDS = 1.5, 10.0
SUFFIXES = PICTURE_SUFFIXES | {".vrt", ".jp2"}


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A scene that is done: how many objects, what was written, and whether an earlier run had done it."""

    scene: Path
    objects: int
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
    object_size: ObjectSize | None = None,
    category: str = DEFAULT_CATEGORY,
    settings: Mapping[str, Any] = MappingProxyType({}),
    stac: bool = False,
    memory_mb: int = MEMORY_MB,
    workers: int | None = None,
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
    object_size
        The typical object, in pixels of the scene; None: that of the run's ``detector.json``, as large as ``window``
        makes it.
    settings
        Any settings of `detect.extraction.ExtractionConfig`, by name; they count more than all else.
    memory_mb
        About how much memory the tiles at work may take, in all processes on this machine together, or in each worker
        of a cluster that is there; beside the programs and the network.
    workers, scheduler
        Tiles are done by a Dask cluster: by that at the address ``scheduler``, or else by a local one of so many
        processes; None: see `pipelines.scenes.cluster.default_workers`, where they are faster than this process. One
        worker is this process itself, as it is where there is but one tile to do.
    resume
        Pass over scenes whose outputs are there and were made with the same run and settings.

    Raises
    ------
    ValueError
        A scene or setting cannot be used. Scenes that can be are done all the same, unless their headers show it.
    FileExistsError
        Outputs are there, and neither ``resume`` nor ``overwrite`` is given; or ``resume`` alone, and they were made
        with another run or other settings, which ``overwrite`` beside it does again.
    """
    run = Path(run)
    progress = progress or Silent()
    detection = read_detection_settings(run)
    mapper = RunMapper(run=run.absolute(), device=device, side=window, digest=run_digest(run))
    if window is not None and window < 16:
        raise ValueError(f"--window {window}: must be 16 or more pixels")
    model = mapper()
    if object_size is None and detection.object_size is not None:
        object_size = detection.object_size.scaled(model.enlargement)
    config = extraction_config(
        detection,
        threshold=threshold,
        false_alarm=false_alarm,
        min_area=min_area,
        object_size=object_size,
        category=category,
        overrides=settings,
    )
    found = find_scenes(scenes, Path(out))
    opened = {name: open_scene(path.absolute(), bands, model.bands) for name, path in found.items()}
    for scene in opened.values():
        model.check(scene)
    if config.object_size is not None:
        progress.say(f"objects: {describe_objects(config.object_size)}")
    elif "object_size" not in settings:
        progress.say(
            f"{run}: does not know how large objects are, so touching ones are not split; "
            f"`detect calibrate {run} --with DIR` finds it, or give --object-size"
        )
    identity = {"run": mapper.digest, "window": model.side}
    return map_scenes(
        opened,
        mapper,
        config,
        out=Path(out),
        identity=identity,
        ending=Ending(category=config.category, stac=stac),
        memory_mb=memory_mb,
        workers=workers,
        scheduler=scheduler,
        gpus=model.gpus,
        resume=resume,
        overwrite=overwrite,
        progress=progress,
    )


def find_scenes(sources: Iterable[str | Path], out: Path | None = None) -> dict[str, Path]:
    """Scenes by the name that their outputs will have: path within the folder given, without suffix.

    Maps that earlier runs have put into ``out``, where it lies in such a folder, are no scenes.

    Raises
    ------
    ValueError
        No such file, a folder without scenes, or two scenes of one name.
    """
    found: dict[str, Path] = {}
    listed: set[Path] = set()
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
            if source.is_dir():
                listed.add(path)
    if out is not None:
        maps = {Names.of(out, name).map.absolute() for name in found}
        found = {name: path for name, path in found.items() if path not in listed or path.absolute() not in maps}
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
    workers: int | None = None,
    scheduler: str | None = None,
    gpus: int = 0,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> list[Finished]:
    """`geotiff` for whatever maps windows.

    ``identity``: what, beside scenes and settings, decides the result. ``gpus``: how many the mapper can use.
    """
    progress = progress or Silent()
    if workers is not None and workers < 1:
        raise ValueError(f"--workers {workers}: must be 1 or more")
    if workers is not None and scheduler is not None:
        raise ValueError("--workers and --scheduler: give one of them, the cluster there has its own workers")
    fixed_threshold(config)  # refuses rules
    identities = {name: _identity(scene, config, identity) for name, scene in scenes.items()}
    finished, todo = _sort(scenes, identities, ending, out, resume, overwrite)
    _say_what_lacks(todo.values(), progress)
    if scheduler is not None:
        team, rooms = 1, [(1, memory_mb)]
    elif workers is not None:
        team, rooms = workers, [(TILES_IN_MEMORY, memory_mb) if workers == 1 else (1, memory_mb // workers)]
    else:
        least_mb = max((TileMemory.of(scene, mapper(), config, 1).least_mb() for scene in todo.values()), default=0)
        team = default_workers(memory_mb, least_mb, gpus)
        # Either may do them, as `_worth` says.
        rooms = [(TILES_IN_MEMORY, memory_mb), (1, memory_mb // team)]
    jobs = {name: _job(scene, mapper, config, out / name, identities[name], rooms) for name, scene in todo.items()}
    made = not out.exists()
    failures: dict[str, Exception] = {}
    try:
        with nullcontext() if scheduler is None else connected(scheduler) as client:
            for name, job in jobs.items():
                if job.begin(identities[name]):
                    progress.say(f"{job.scene.name}: what had been done of it with other settings is done anew")
            if workers is None and scheduler is None:
                team = _worth(jobs.values(), team)
            with closing(_work(jobs, client, team, gpus, progress)) as ended:
                for name, job, failure in ended:
                    try:
                        if failure is not None:
                            raise failure
                        finished.append(_finish(job, Names.of(out, name), ending, identities[name], progress))
                    except ValueError as error:
                        job.clear()
                        failures[name] = error
    finally:
        if made:
            with suppress(OSError):
                out.rmdir()  # where it is empty
    if failures:
        first = next(iter(failures.values()))
        more = f" (and {len(failures) - 1} more scenes failed)" if len(failures) > 1 else ""
        raise ValueError(f"{first}{more}") from first
    return finished


def _identity(scene: Scene, config: ExtractionConfig, identity: Mapping[str, Any]) -> str:
    """What decides a scene's map and objects, as one text: wherever the file lies, its header, size and age."""
    status = scene.path.stat()
    state = {**asdict(scene), "path": scene.name, "size": status.st_size, "changed": status.st_mtime_ns}
    return json.dumps({**identity, "extraction": asdict(config), "scene": state}, sort_keys=True)


def _made_with(identity: str, ending: Ending) -> str:
    """Tells outputs of one scene from those of another run, other settings or another state of the scene."""
    return hashlib.sha256(f"{identity}{json.dumps(asdict(ending))}".encode()).hexdigest()


def _sort(
    scenes: Mapping[str, Scene],
    identities: Mapping[str, str],
    ending: Ending,
    out: Path,
    resume: bool,
    overwrite: bool,
) -> tuple[list[Finished], dict[str, Scene]]:
    """Scenes that are done, and those to do."""
    finished: list[Finished] = []
    todo: dict[str, Scene] = {}
    if out.exists() and not out.is_dir():
        raise FileExistsError(f"{out} is a file: choose another folder")
    paths = {scene.path.resolve() for scene in scenes.values()}
    for name, scene in scenes.items():
        names = Names.of(out, name)
        there = tuple(path for path in names.all() if path.exists())
        for path in there:
            if path.resolve() in paths:
                raise ValueError(f"{path}: would be replaced by an output of {scene.name}; choose another --out")
        if there and not (resume or overwrite):
            raise FileExistsError(f"{there[0]} exists already: choose another --out, or give --resume or --overwrite")
        if resume and names.coco in there:
            made_with, objects = outputs.origin(names.coco)
            if made_with == _made_with(identities[name], ending):
                finished.append(Finished(scene=scene.path, objects=objects, files=there, earlier=True))
                continue
            if not overwrite:
                raise FileExistsError(
                    f"{names.coco}: made with another run, other settings or another state of {scene.name}; "
                    "choose another --out, or give --overwrite too, which does such scenes again"
                )
        todo[name] = scene
    return finished, todo


def _say_what_lacks(scenes: Iterable[Scene], progress: Progress) -> None:
    plain = [scene.name for scene in scenes if scene.crs is None]
    if plain:
        others = f" and {len(plain) - 1} more" if len(plain) > 1 else ""
        progress.say(
            f"{plain[0]}{others}: no reference system, so no metres, GeoJSON or STAC item; "
            "coordinates are those of the file's transform, or else pixels"
        )


def _job(
    scene: Scene,
    mapper: MapperSource,
    config: ExtractionConfig,
    place: Path,
    identity: str,
    rooms: Iterable[tuple[int, int]],
) -> Job:
    """``rooms``: how many tiles at once must find room in how much memory, MB."""
    shapes = [
        tile_shape(scene, TileMemory.of(scene, mapper(), config, at_once), memory_mb) for at_once, memory_mb in rooms
    ]
    tile_HW = min(height for height, _ in shapes), min(width for _, width in shapes)
    folder = place.with_name(f".{place.name}.unfinished").absolute()
    # What is done goes on with its own tiles, where they are no larger than they may be.
    begun_HW = tile_begun(folder, identity)
    if begun_HW is not None and begun_HW[0] * begun_HW[1] <= tile_HW[0] * tile_HW[1]:
        tile_HW = begun_HW
    return Job(scene=scene, mapper=mapper, extraction=config, folder=folder, tile_HW=tile_HW)


def _worth(jobs: Iterable[Job], workers: int) -> int:
    """``workers``, or 1 where a cluster of them would not be faster than this process.

    One or two tiles are done in this process to see what takes how long; the first has to warm up. This process reads,
    maps and keeps at one time, so the longest of these counts; workers do one after the other, each for itself.
    """
    left = [(job, tile) for job in jobs for tile in job.remaining()]
    if workers == 1 or len(left) < 2:
        return 1
    stages: tuple[float, ...] = (math.inf,) * 3
    for job, tile in left[:2]:
        try:
            stages = tuple(map(min, stages, time_tile(job, tile)))
        except ValueError:  # it will come up again
            return 1
        if max(stages) > WORTH_SECONDS:  # warming up is little beside it
            break
    here, there = max(stages), sum(stages) / workers
    return workers if here > WORTH_TIMES * there and (here - there) * (len(left) - 1) > WORTH_SECONDS else 1


def _work(
    jobs: Mapping[str, Job], client: Any, workers: int, gpus: int, progress: Progress
) -> Generator[tuple[str, Job, Exception | None], None, None]:
    """Do all tiles; gives (name, job, what went wrong) once a scene's are done or cannot be.

    ``client``: of a cluster that is there; None: ``workers`` processes of this machine.
    """
    remaining = {name: job.remaining() for name, job in jobs.items()}
    total, done = sum(map(len, remaining.values())), 0
    if client is None and min(workers, total) <= 1:
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
    names = {job.folder: name for name, job in jobs.items()}
    left = {name: len(tiles) for name, tiles in remaining.items()}
    failed: dict[str, Exception] = {}
    work: list[tuple[Job, Region]] = [(jobs[name], tile) for name, tiles in remaining.items() for tile in tiles]
    for name in [name for name, count in left.items() if count == 0]:
        yield name, jobs[name], None
    with local_client(min(workers, total), gpus) if client is None else nullcontext(client) as client:
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


def _finish(job: Job, names: Names, ending: Ending, identity: str, progress: Progress) -> Finished:
    """Write a scene's outputs beside its tiles, then move them to their names."""
    objects, valid = job.objects()
    scene = job.scene
    if valid == 0:
        raise ValueError(f"{scene.path}: holds nothing but nodata; leave it out")
    if objects.unsplit:
        progress.say(f"{scene.name}: {objects.unsplit} objects are too large to be split where they touch; left whole")
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
    outputs.write_coco(ready.coco, objects, scene, ending.category, _made_with(identity, ending))
    written = []
    # The COCO file goes first and comes last: it says that the scene is done.
    names.coco.unlink(missing_ok=True)
    for part in ("map", "gpkg", "geojson", "stac", "coco"):
        source, target = getattr(ready, part), getattr(names, part)
        if source.exists():
            source.replace(target)
            written.append(target)
        else:
            target.unlink(missing_ok=True)
    job.clear()
    return Finished(scene=scene.path, objects=len(objects), files=tuple(written))
