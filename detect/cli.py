"""The `detect` command line: thin over `detect.extract_and_write`, `detect.evaluate` and the like."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from detect.formats import FOLDER_FORMATS, FORMATS
from distmap.common.commands import SIZE_LIMIT, SOURCE, CommandGroup
from distmap.common.extras import need

if TYPE_CHECKING:
    from detect.calibration import CalibrationReport
    from detect.extraction import ExtractionConfig, PictureMap, ThresholdRule
    from detect.formats.geo import Georeference
    from detect.tuning import TunedScore
    from distmap.common.detection_settings import DetectionSettings, Unit


FORMAT = click.Choice(FORMATS)
IGNORE = click.option(
    "--ignore",
    type=int,
    metavar="VALUE",
    help="Number in masks of pixels of which nothing is known, such as 255 for the border in Pascal VOC.",
)
USUAL_PIXEL_RATE = 0.003  # of false alarms


@click.group(cls=CommandGroup)
def main() -> None:
    """From maps to masks, boxes and annotation files; thresholds without labels; scores."""


@main.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("images", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="File to write; a folder for some formats.")
@click.option("--format", "target_format", type=FORMAT, metavar="NAME", default="coco", show_default=True)
@click.option("--maps", type=click.Path(path_type=Path), help="Folder for the maps, one float32 TIFF a picture.")
@click.option("--masks", type=click.Path(path_type=Path), help="Folder for the masks, one 0/255 PNG a picture.")
@click.option(
    "--overlays", type=click.Path(path_type=Path), help="Folder for the pictures with outlines and boxes, one PNG each."
)
@click.option(
    "--from-maps", type=click.Path(path_type=Path), help="Folder of maps saved earlier, in place of new ones."
)
@click.option(
    "--threshold",
    default="auto",
    show_default=True,
    help="Map value of an object; auto: the calibration's; otsu or triangle: from each map.",
)
@click.option("--false-alarm", type=float, help="Rate of false alarms to aim at, in place of the calibration's.")
@click.option("--min-area", type=click.IntRange(min=0), help="Least area of an object in pixels.")
@click.option(
    "--object-size",
    metavar="auto|PX",
    default="auto",
    show_default=True,
    help="Length x width of a typical object in pixels, such as 35x16, or the side of a square as large; "
    "auto: what was found in the maps of the run.",
)
@click.option("--tuned", is_flag=True, help="With the settings that `detect tune` found.")
@click.option("--set", "pairs", metavar="KEY=VALUE", multiple=True, help="Any setting of the extraction.")
@click.option("--category", default="object", show_default=True, help="What the objects are called.")
@SOURCE
@SIZE_LIMIT
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option("--json", "as_json", is_flag=True, help="Report as one JSON object.")
def extract(
    run: Path,
    images: tuple[Path, ...],
    out: Path,
    target_format: str,
    maps: Path | None,
    masks: Path | None,
    overlays: Path | None,
    from_maps: Path | None,
    category: str,
    source: str,
    device: str,
    as_json: bool,
    **choices: Any,
) -> None:
    """Find objects in IMAGES (files or folders) with the trained RUN: maps, masks, boxes, COCO JSON."""
    from detect.job import extract_and_write
    from distmap.common.files import is_standard_output
    from distmap.common.picture_files import find_pictures
    from distmap.common.progress import shown_progress, tracked

    config = _config(run, source=source, category=category, **choices)
    if out.is_dir() and target_format not in FOLDER_FORMATS:
        raise ValueError(f"--out {out}: is a folder, give the name of a file")
    for option, folder in (("--maps", maps), ("--masks", masks), ("--overlays", overlays)):
        _check_replaces_no_picture(option, folder, images)
    click.echo(_size_note(config), err=True)
    with shown_progress() as progress:
        source_maps = _maps(run, images, from_maps, device, source)
        pictures = extract_and_write(
            tracked(source_maps, "mapping", progress, total=len(find_pictures(images))),
            config,
            out,
            target_format=target_format,
            map_folder=maps,
            mask_folder=masks,
            overlay_folder=overlays,
            picture_files={picture.name: picture.path for picture in find_pictures(images)},
            georeferences=_georeferences(images, target_format),
            progress=progress,
        )
    objects = sum(len(picture.instances) for picture in pictures)
    if as_json:
        report = {"pictures": len(pictures), "objects": objects, "threshold": config.threshold, "out": str(out)}
        click.echo(json.dumps(report), err=is_standard_output(out))
    else:
        used = config.threshold if isinstance(config.threshold, str) else f"{config.threshold:.4g}"
        click.echo(
            f"{objects} objects in {len(pictures)} pictures at threshold {used}: {out}", err=is_standard_output(out)
        )


def _config(
    run: Path,
    *,
    threshold: str,
    false_alarm: float | None,
    min_area: int | None,
    object_size: str,
    tuned: bool,
    pairs: tuple[str, ...],
    source: str,
    category: str,
) -> ExtractionConfig:
    """The run's settings with what was asked for on the command line."""
    from detect.extraction_settings import extraction_config
    from detect.settings import parse_settings
    from detect.tuning import read_tuned
    from distmap.common.detection_settings import read_detection_settings
    from distmap.common.object_size import parse_object_size

    return extraction_config(
        read_detection_settings(run).of_source(source),
        threshold=_threshold(threshold),
        false_alarm=false_alarm,
        min_area=min_area,
        object_size=None if object_size == "auto" else parse_object_size(object_size),
        category=category,
        overrides=(read_tuned(run) if tuned else {}) | parse_settings(pairs),
    )


def _size_note(config: ExtractionConfig) -> str:
    """One line on the size of objects and what follows from it."""
    from distmap.common.object_size import describe_objects

    if config.object_size is None:
        return (
            "objects: the run does not know how large they are, so none is split; "
            "`detect calibrate RUN --with DIR` finds it, --object-size says it"
        )
    return f"objects: {describe_objects(config.object_size)}"


def _maps(
    run: Path, images: tuple[Path, ...], from_maps: Path | None, device: str, source: str
) -> Iterable[PictureMap]:
    """Maps that were saved, or else those that the run makes."""
    if from_maps is not None:
        from detect.saved_maps import saved_maps

        return saved_maps(from_maps, images)
    import distmap

    return distmap.load(run, device=device, source=source).maps(list(images))


def _georeferences(images: Iterable[Path], target_format: str) -> dict[str, Georeference]:
    """Where the pictures lie, by name, for formats that say it."""
    from detect.formats.geo import read_georeferences

    places: dict[str, Georeference] = {}
    if target_format in ("geojson", "gpkg"):
        for source in images:
            places |= read_georeferences(source)
    return places


def _check_replaces_no_picture(option: str, folder: Path | None, images: Iterable[Path]) -> None:
    if folder is None:
        return
    if folder.resolve() in {(image if image.is_dir() else image.parent).resolve() for image in images}:
        raise ValueError(f"{option} {folder}: holds the pictures themselves, which could be replaced; name another")


def _threshold(text: str) -> float | ThresholdRule | None:
    if text == "auto":
        return None
    if text in ("otsu", "triangle"):
        return cast("ThresholdRule", text)
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"--threshold {text}: give auto, otsu, triangle or a number above 0") from None


@main.command()
@click.argument("annotations", type=click.Path(path_type=Path))
@click.argument("truth", type=click.Path(path_type=Path))
@click.option("--maps", type=click.Path(path_type=Path), help="Folder of maps, for the scores that need them.")
@click.option(
    "--group", metavar="REGEX", help="Pictures whose group agrees (a patient, a scene) are one for dice_per_group."
)
@click.option("--category", "categories", multiple=True, help="Score this category only; may be given again.")
@click.option("--all-categories", is_flag=True, help="Count true objects of categories that were not looked for, too.")
@click.option("--images", type=click.Path(path_type=Path), help="Folder of the pictures, for formats without sizes.")
@IGNORE
@SIZE_LIMIT
@click.option("--curves", type=click.Path(path_type=Path), help="Folder for the curves, as JSON and PNG.")
@click.option("--bootstrap", type=click.IntRange(min=0), default=1000, show_default=True, help="Draws for intervals.")
@click.option("--json", "as_json", is_flag=True, help="All scores as one JSON object.")
def evaluate(
    annotations: Path,
    truth: Path,
    maps: Path | None,
    group: str | None,
    categories: tuple[str, ...],
    all_categories: bool,
    images: Path | None,
    ignore: int | None,
    curves: Path | None,
    bootstrap: int,
    as_json: bool,
) -> None:
    """Score ANNOTATIONS (any format) against TRUTH: a folder of masks, a COCO JSON, or a DOTA labelTxt folder."""
    from detect.evaluation import evaluate as evaluate_objects

    if curves is not None:
        need("matplotlib", extra="report")  # before the scores, which may take minutes
    scores = evaluate_objects(
        annotations,
        truth,
        maps=maps,
        group=group,
        categories=categories,
        all_categories=all_categories,
        images=images,
        ignore=ignore,
        bootstrap=bootstrap,
    )
    if curves is not None:
        from detect.scores.curves import write_curves

        write_curves(curves, scores.curves)
    if as_json:
        click.echo(json.dumps(scores.to_dict(), allow_nan=False))
        return
    from rich.console import Console

    from detect.tables import category_table, left_out, score_table

    console = Console()
    console.print(score_table(scores))
    if table := category_table(scores):
        console.print(table)
    if note := left_out(scores):
        click.echo(note)


@main.command()
@click.argument("source", metavar="IN", type=click.Path(path_type=Path))
@click.argument("target", metavar="OUT", type=click.Path(path_type=Path))
@click.option(
    "--from", "source_format", type=FORMAT, metavar="NAME", help="Format of IN; else it is told by the content."
)
@click.option("--format", "--to", "target_format", type=FORMAT, metavar="NAME", help="Format of OUT; else its suffix.")
@click.option("--images", type=click.Path(path_type=Path), help="Folder of the pictures, for sizes and georeferences.")
@click.option(
    "--pictures",
    type=click.Path(path_type=Path),
    help="COCO JSON that numbers the pictures and categories of a results list, or of what is written.",
)
@click.option("--categories", metavar="A,B,C|FILE", help="The categories to write, in this order; others are left out.")
@click.option("--strict", is_flag=True, help="Refuse to leave anything out.")
@click.option("--overwrite", is_flag=True, help="Replace files of the folder OUT that say something else.")
@IGNORE
@SIZE_LIMIT
@click.option("--json", "as_json", is_flag=True, help="Report as one JSON object.")
def convert(
    source: Path,
    target: Path,
    source_format: str | None,
    target_format: str | None,
    images: Path | None,
    pictures: Path | None,
    categories: str | None,
    strict: bool,
    overwrite: bool,
    ignore: int | None,
    as_json: bool,
) -> None:
    """Convert annotations IN to OUT, between any two formats.

    Formats: coco, coco-results, dota, dota-task1, dota-task2, yolo, yolo-obb, yolo-seg, label-studio, masks, geojson,
    gpkg.
    IN may be FILE.gpkg:LAYER where a GeoPackage has several.
    """
    from detect.conversion import convert as convert_annotations
    from detect.conversion import format_of_target
    from detect.losses import describe, without_place
    from distmap.common.files import is_standard_output

    wanted = target_format or format_of_target(target)
    found = convert_annotations(
        source,
        target,
        source_format=source_format,
        target_format=wanted,
        images=images,
        pictures=pictures,
        categories=categories,
        strict=strict,
        overwrite=overwrite,
        ignore=ignore,
    )
    objects = sum(len(picture.instances) for picture in found)
    lost = without_place(found, wanted)
    if as_json:
        content: dict[str, Any] = {"pictures": len(found), "objects": objects, "out": str(target)}
        content |= {"left_out": dict(found.left_out), "without_place": lost}
        click.echo(json.dumps(content), err=is_standard_output(target))
    else:
        aside = is_standard_output(target)
        click.echo(f"{objects} objects in {len(found)} pictures: {target}", err=aside)
        no_place = f"; {wanted} has no place for {describe(lost)}" if lost else ""
        click.echo(f"left out: {describe(found.left_out)}{no_place}", err=aside)


@main.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("without", type=click.Path(path_type=Path), required=False)
@click.option(
    "--false-alarm", type=float, help="Rate to aim at.  [default: 0.003 of the pixels, or the run's own of objects]"
)
@click.option("--unit", type=click.Choice(["pixel", "object"]), help="Rate of pixels, or of objects in a picture.")
@click.option(
    "--with", "with_folder", type=click.Path(path_type=Path), help="Pictures that hold objects: how large are they?"
)
@click.option(
    "--group", metavar="REGEX", help="Pictures whose group agrees (a patient, a scene) are held out together."
)
@SIZE_LIMIT
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option("--json", "as_json", is_flag=True, help="Report as one JSON object.")
def calibrate(
    run: Path,
    without: Path | None,
    false_alarm: float | None,
    unit: Unit | None,
    with_folder: Path | None,
    group: str | None,
    device: str,
    as_json: bool,
) -> None:
    """Set the threshold of RUN from pictures that hold nothing (the folder WITHOUT); without a folder, show it.

    With --with, how large objects are is found anew, too. Give pictures that training never saw.
    """
    from detect.tables import calibration_table
    from distmap.common.detection_settings import read_detection_settings, write_detection_settings
    from distmap.common.locks import locked
    from distmap.common.object_size import describe_objects, find_object_size

    if without is None and with_folder is None:
        current = read_detection_settings(run)
        content = dataclasses.asdict(current)
        click.echo(json.dumps(content) if as_json else _describe(current))
        return
    with locked(run, "RUN"):
        current = read_detection_settings(run)
        having = [] if with_folder is None else [item.map_HW for item in _mapped(run, with_folder, device)]
        if having:
            # Where objects are counted their size counts.
            current = dataclasses.replace(current, object_size=find_object_size(having, current.threshold))
        report = None if without is None else _calibrated(run, current, without, false_alarm, unit, group, device)
        settings = current if report is None else report.settings
        if having:
            settings = dataclasses.replace(settings, object_size=find_object_size(having, settings.threshold))
        write_detection_settings(run, settings)
    if as_json:
        content = {"detector": dataclasses.asdict(settings)}
        click.echo(json.dumps((report.to_dict() if report else {}) | content, allow_nan=False))
        return
    click.echo(f"objects: {describe_objects(settings.object_size)}")
    if report is not None:
        from rich.console import Console

        Console().print(calibration_table(report))


def _mapped(run: Path, folder: Path, device: str) -> list[PictureMap]:
    import distmap
    from distmap.common.picture_files import find_pictures
    from distmap.common.progress import shown_progress, tracked

    model, total = distmap.load(run, device=device), len(find_pictures([folder]))
    with shown_progress() as progress:
        return list(tracked(model.maps([folder]), "mapping", progress, total=total))


def _calibrated(
    run: Path,
    current: DetectionSettings,
    without: Path,
    false_alarm: float | None,
    unit: Unit | None,
    group: str | None,
    device: str,
) -> CalibrationReport:
    from detect.calibration import calibrate as calibrate_maps
    from detect.evaluation import group_of

    if unit is not None and unit != current.unit and false_alarm is None:
        raise ValueError(f"--unit {unit}: the run's rate is one of {current.unit}s, give --false-alarm too")
    mapped = _mapped(run, without, device)
    return calibrate_maps(
        [item.map_HW for item in mapped],
        false_alarm=_usual_rate(current) if false_alarm is None else false_alarm,
        unit=unit or current.unit,
        settings=current,
        groups=None if group is None else [group_of(item.name, group) for item in mapped],
    )


@main.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--maps", type=click.Path(path_type=Path), required=True, help="Folder of maps saved earlier.")
@click.option("--truth", type=click.Path(path_type=Path), required=True, help="As `detect evaluate` takes it.")
@click.option(
    "--score",
    type=click.Choice(["ap50", "ap25", "centre_f1", "dice"]),
    default="ap50",
    show_default=True,
    help="What to tune for.",
)
@click.option("--group", metavar="REGEX", help="Pictures whose group agrees are held out together.")
@click.option("--category", default="object", show_default=True, help="Objects of the truth to tune for.")
@SIZE_LIMIT
@click.option("--json", "as_json", is_flag=True, help="Report as one JSON object.")
def tune(
    run: Path, maps: Path, truth: Path, score: TunedScore, group: str | None, category: str, as_json: bool
) -> None:
    """Find the extraction settings of RUN that do best on a little truth; `detect extract --tuned` takes them.

    They are written beside the label-free settings (RUN/tuned.json), which stay as they are.
    """
    from detect.evaluation import group_of
    from detect.rasters import read_map
    from detect.truth import read_truth
    from detect.tuning import TUNED
    from detect.tuning import tune as tune_settings
    from distmap.common.detection_settings import read_detection_settings
    from distmap.common.files import files_by_name
    from distmap.common.locks import locked
    from distmap.common.picture_files import PICTURE_SUFFIXES

    settings = read_detection_settings(run)
    found = {name: read_map(file) for name, file in files_by_name(maps, PICTURE_SUFFIXES).items()}
    if not found:
        raise ValueError(f"--maps {maps}: holds no map; `detect extract --maps` writes them")
    with locked(run, "RUN"):
        tuning = tune_settings(
            found,
            read_truth(truth, {name: (map_HW.shape[0], map_HW.shape[1]) for name, map_HW in found.items()}),
            settings,
            score=score,
            groups=None if group is None else [group_of(name, group) for name in found],
            category=category,
            tell=lambda line: click.echo(line, err=True),
        )
        tuning.write(run)
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(tuning)))
        return
    held_out = "-" if tuning.held_out is None else f"{tuning.held_out:.3f}"
    click.echo(f"settings: {' '.join(tuning.settings) or 'the label-free ones are best'}")
    click.echo(
        f"{score}: {tuning.label_free:.3f} label-free, {tuning.tuned:.3f} tuned (in hindsight), "
        f"{held_out} tuned on either half and scored on the other; {tuning.pictures} pictures"
    )
    click.echo(f"{run / TUNED}: `detect extract --tuned` takes them")


@main.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("images", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The page, one HTML file.")
@click.option(
    "--truth", type=click.Path(path_type=Path), help="As `detect evaluate` takes it, for scores and outlines."
)
@click.option(
    "--from-maps", type=click.Path(path_type=Path), help="Folder of maps saved earlier, in place of new ones."
)
@click.option("--group", metavar="REGEX", help="Pictures whose group agrees (a patient, a scene) are one in intervals.")
@IGNORE
@click.option("--category", default="object", show_default=True, help="What the objects are called.")
@SIZE_LIMIT
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option("--json", "as_json", is_flag=True, help="Report as one JSON object.")
def report(
    run: Path,
    images: tuple[Path, ...],
    out: Path,
    truth: Path | None,
    from_maps: Path | None,
    group: str | None,
    ignore: int | None,
    category: str,
    device: str,
    as_json: bool,
) -> None:
    """Write one HTML page of what RUN finds in IMAGES: maps, masks and boxes at a threshold that moves, and scores.

    It opens in any browser and asks for nothing from the network.
    """
    from detect.report.writing import write_report
    from distmap.common.files import is_standard_output
    from distmap.common.picture_files import find_pictures
    from distmap.common.progress import shown_progress

    command = ["detect", "extract", run, *images, "--out", "annotations.json"]
    command += [] if from_maps is None else ["--from-maps", from_maps]
    command += [] if category == "object" else ["--category", category]
    with shown_progress() as progress:
        made = write_report(
            run,
            _maps(run, images, from_maps, device, "auto"),
            {picture.name: picture.path for picture in find_pictures(images)},
            out,
            truth=truth,
            group=group,
            ignore=ignore,
            category=category,
            command=[str(word) for word in command],
            progress=progress,
        )
    if as_json:
        content = {"pictures": made.pictures, "objects": made.objects, "threshold": made.threshold, "out": str(out)}
        content["scores"] = None if made.scores is None else made.scores.to_dict()
        click.echo(json.dumps(content, allow_nan=False), err=is_standard_output(out))
    else:
        click.echo(
            f"{made.objects} objects in {made.pictures} pictures at threshold {made.threshold:.4g}; open in a browser: "
            f"{out}",
            err=is_standard_output(out),
        )


def _usual_rate(current: DetectionSettings) -> float:
    return current.false_alarm if current.unit == "object" else USUAL_PIXEL_RATE


def _describe(settings: DetectionSettings) -> str:
    from distmap.common.object_size import describe_objects

    unit = "of the pixels" if settings.unit == "pixel" else "objects a picture"
    rate = f"{settings.false_alarm:g} {unit}"
    threshold = f"threshold {settings.threshold:.6g}: false alarms {rate}, from {settings.pictures} pictures without"
    return f"{threshold}\nobjects: {describe_objects(settings.object_size)}"


if __name__ == "__main__":
    main()
