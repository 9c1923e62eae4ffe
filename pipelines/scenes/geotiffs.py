"""The whole job on scenes: a run and GeoTIFFs -> maps, layers and annotations."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from detect.detections import DEFAULT_CATEGORY
from detect.extraction import ExtractionConfig
from detect.extraction_settings import extraction_config
from distmap.common.detection_settings import read_detection_settings
from distmap.common.extras import need
from distmap.common.files import files_under, move_file
from distmap.common.locks import locked
from distmap.common.object_size import ObjectSize, describe_objects
from distmap.common.picture_files import PICTURE_SUFFIXES
from distmap.common.progress import Progress, Silent
from pipelines.scenes import outputs
from pipelines.scenes.geodesy import measure
from pipelines.scenes.job import Job, MapperSource, TileMemory, started_tile, tile_shape
from pipelines.scenes.mapper import ModelMapper, RunMapper, run_digest
from pipelines.scenes.outputs import Names
from pipelines.scenes.parts import threshold as fixed_threshold
from pipelines.scenes.source import Scene, open_scene
from pipelines.scenes.work import MEMORY_MB, MemoryLimit, Resources, do_jobs, plan, should_parallelise

SMALLEST_WINDOW = 16
SUFFIXES = PICTURE_SUFFIXES | {".vrt", ".jp2"}


@dataclass(frozen=True, kw_only=True)
class SceneResult:
    """A scene that is done: how many objects, what was written, and whether an earlier run had done it."""

    scene: Path
    objects: int
    files: tuple[Path, ...]
    earlier: bool = False


@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """What is written of a scene whose tiles are done."""

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
    source: str = "auto",
    device: str = "auto",
    trust_vrt: bool = False,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> list[SceneResult]:
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
    source
        What the maps are of; see `distmap.load`.
    trust_vrt
        Whether VRTs may name files that are not below their own folders, and addresses.
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
    run, out = Path(run), Path(out)
    progress = progress or Silent()
    resources = Resources(memory_mb=memory_mb, workers=workers, scheduler=scheduler)
    detection = read_detection_settings(run).of_source(source)
    mapper = RunMapper(run=run.absolute(), device=device, side=window, digest=run_digest(run), source=source)
    if window is not None and window < SMALLEST_WINDOW:
        raise ValueError(f"--window {window}: must be {SMALLEST_WINDOW} or more pixels")
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
    opened = _open(find_scenes(scenes, out), bands, model, trust_vrt)
    if config.object_size is not None or "object_size" not in settings:
        progress.say(_size_note(config.object_size, run))
    return map_scenes(
        opened,
        mapper,
        config,
        out=out,
        identity={"run": mapper.digest, "window": model.side, "source": source},
        options=OutputOptions(category=config.category, stac=stac),
        resources=dataclasses.replace(resources, gpus=model.gpus),
        resume=resume,
        overwrite=overwrite,
        progress=progress,
    )


def _open(
    found: Mapping[str, Path], bands: Sequence[int] | None, model: ModelMapper, trust_vrt: bool
) -> dict[str, Scene]:
    """Scenes that the model can map."""
    opened = {
        name: open_scene(path.absolute(), bands, model.bands, trust_vrt=trust_vrt) for name, path in found.items()
    }
    for scene in opened.values():
        model.check(scene)
    return opened


def _size_note(size: ObjectSize | None, run: Path) -> str:
    if size is not None:
        return f"objects: {describe_objects(size)}"
    return (
        f"{run}: does not know how large objects are, so touching ones are not split; "
        f"`detect calibrate {run} --with DIR` finds it, or give --object-size"
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
    options: OutputOptions,
    resources: Resources,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> list[SceneResult]:
    """`geotiff` for whatever maps windows.

    ``identity``: what, beside scenes and settings, decides the result.

    Raises
    ------
    ValueError, FileExistsError
        See `geotiff`; or another command is writing to ``out``.
    """
    need("pyogrio", extra="scenes")  # before the first tile, not after the last
    fixed_threshold(config)  # refuses rules
    if out.exists() and not out.is_dir():
        raise FileExistsError(f"{out} is a file: choose another folder")
    with locked(out, "--out"):
        return _map_scenes(
            scenes, mapper, config, out, identity, options, resources, resume, overwrite, progress or Silent()
        )


def _map_scenes(
    scenes: Mapping[str, Scene],
    mapper: MapperSource,
    config: ExtractionConfig,
    out: Path,
    identity: Mapping[str, Any],
    options: OutputOptions,
    resources: Resources,
    resume: bool,
    overwrite: bool,
    progress: Progress,
) -> list[SceneResult]:
    identities = {name: _identity(scene, config, identity) for name, scene in scenes.items()}
    results, todo = _sort(scenes, identities, options, out, resume, overwrite)
    _say_what_lacks(todo.values(), progress)
    workers, limits = plan(todo.values(), mapper, config, resources)
    jobs = {name: _job(scene, mapper, config, out / name, identities[name], limits) for name, scene in todo.items()}
    failures: dict[str, Exception] = {}
    with _removed_if_empty(out), resources.client() as client:
        for name, job in jobs.items():
            if job.start(identities[name]):
                progress.say(f"{job.scene.name}: what had been done of it with other settings is done anew")
            damaged = job.drop_damaged()
            if damaged:
                progress.say(f"{job.scene.name}: {damaged} of its finished tiles are damaged, and done again")
        if resources.automatic and not should_parallelise(jobs.values(), workers):
            workers = 1
        with closing(do_jobs(jobs, client, workers, resources.gpus, progress)) as ended:
            for name, job, failure in ended:
                try:
                    if failure is not None:
                        raise failure
                    results.append(_finish(job, Names.of(out, name), options, identities[name], progress))
                except ValueError as error:
                    job.clear()
                    failures[name] = error
    if failures:
        first = next(iter(failures.values()))
        more = f" (and {len(failures) - 1} more scenes failed)" if len(failures) > 1 else ""
        raise ValueError(f"{first}{more}") from first
    return results


@contextmanager
def _removed_if_empty(folder: Path) -> Iterator[None]:
    """Leave no empty folder behind where there was none."""
    made = not folder.exists()
    try:
        yield
    finally:
        if made:
            with suppress(OSError):
                folder.rmdir()


def _identity(scene: Scene, config: ExtractionConfig, identity: Mapping[str, Any]) -> str:
    """What decides a scene's map and objects, as one text: wherever the file lies, its header, size and age."""
    status = scene.path.stat()
    state = {**asdict(scene), "path": scene.name, "size": status.st_size, "changed": status.st_mtime_ns}
    return json.dumps({**identity, "extraction": asdict(config), "scene": state}, sort_keys=True)


def _made_with(identity: str, options: OutputOptions) -> str:
    """Tells outputs of one scene from those of another run, other settings or another state of the scene."""
    return hashlib.sha256(f"{identity}{json.dumps(asdict(options))}".encode()).hexdigest()


def _sort(
    scenes: Mapping[str, Scene],
    identities: Mapping[str, str],
    options: OutputOptions,
    out: Path,
    resume: bool,
    overwrite: bool,
) -> tuple[list[SceneResult], dict[str, Scene]]:
    """Scenes that are done, and those to do."""
    results: list[SceneResult] = []
    todo: dict[str, Scene] = {}
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
            if made_with == _made_with(identities[name], options):
                results.append(SceneResult(scene=scene.path, objects=objects, files=there, earlier=True))
                continue
            if not overwrite:
                raise FileExistsError(
                    f"{names.coco}: made with another run, other settings or another state of {scene.name}; "
                    "choose another --out, or give --overwrite too, which does such scenes again"
                )
        todo[name] = scene
    return results, todo


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
    limits: Iterable[MemoryLimit],
) -> Job:
    """The work on a scene in tiles that keep all memory limits."""
    shapes = [
        tile_shape(scene, TileMemory.of(scene, mapper(), config, limit.tiles), limit.memory_mb) for limit in limits
    ]
    tile_HW = min(height for height, _ in shapes), min(width for _, width in shapes)
    folder = place.with_name(f".{place.name}.unfinished").absolute()
    # What is done goes on with its own tiles, where they are no larger than they may be.
    started_HW = started_tile(folder, identity)
    if started_HW is not None and started_HW[0] * started_HW[1] <= tile_HW[0] * tile_HW[1]:
        tile_HW = started_HW
    return Job(scene=scene, mapper=mapper, extraction=config, folder=folder, tile_HW=tile_HW)


def _finish(job: Job, names: Names, options: OutputOptions, identity: str, progress: Progress) -> SceneResult:
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
    outputs.write_gpkg(ready.gpkg, objects, sizes, scene, options.category)
    if scene.crs is not None:
        outputs.write_geojson(ready.geojson, objects, sizes, scene, options.category)
        if options.stac:
            outputs.write_stac(ready.stac, scene, names)
    outputs.write_coco(ready.coco, objects, scene, options.category, _made_with(identity, options))
    written = []
    # The COCO file goes first and comes last: it says that the scene is done.
    names.coco.unlink(missing_ok=True)
    for part in ("map", "gpkg", "geojson", "stac", "coco"):
        source, target = getattr(ready, part), getattr(names, part)
        if source.exists():
            move_file(source, target)
            written.append(target)
        else:
            target.unlink(missing_ok=True)
    job.clear()
    return SceneResult(scene=scene.path, objects=len(objects), files=tuple(written))
