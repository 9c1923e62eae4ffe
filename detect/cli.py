"""The `detect` command line: thin over `detect.extract` and `detect.evaluate`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from distmap.commands import CommandGroup

if TYPE_CHECKING:
    from detect.extraction import PictureMap


@click.group(cls=CommandGroup)
def main() -> None:
    """From maps to masks, boxes and annotation files; thresholds without labels; scores."""


@main.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("images", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="COCO JSON to write.")
@click.option("--maps", type=click.Path(path_type=Path), help="Folder for the maps, one float32 TIFF a picture.")
@click.option("--masks", type=click.Path(path_type=Path), help="Folder for the masks, one 0/255 PNG a picture.")
@click.option(
    "--threshold", default="auto", show_default=True, help="Map value of an object, or auto: the calibration's."
)
@click.option("--false-alarm", type=float, help="Rate of false alarms to aim at, in place of the calibration's.")
@click.option("--min-area", type=click.IntRange(min=0), help="Least area of an object in pixels.")
@click.option("--category", default="object", show_default=True, help="What the objects are called.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option("--json", "as_json", is_flag=True, help="Report as one JSON object.")
def extract(
    run: Path,
    images: tuple[Path, ...],
    out: Path,
    maps: Path | None,
    masks: Path | None,
    threshold: str,
    false_alarm: float | None,
    min_area: int | None,
    category: str,
    device: str,
    as_json: bool,
) -> None:
    """Find objects in IMAGES (files or folders) with the trained RUN: maps, masks, boxes, COCO JSON."""
    from detect.detector import read_detector
    from detect.extraction import extract as extract_objects
    from detect.files import whole_folder, without_suffix, write_map, write_mask
    from detect.formats import coco
    from detect.progress import progress

    detector = read_detector(run / "detector.json")
    config = detector.config(
        threshold=_threshold(threshold), false_alarm=false_alarm, min_area=min_area, category=category
    )
    _refuse_folder(out)

    import distmap

    model = distmap.load(run, device=device)
    with ExitStack() as stack:
        map_folder = None if maps is None else stack.enter_context(whole_folder(maps))
        mask_folder = None if masks is None else stack.enter_context(whole_folder(masks))

        def kept(items: Iterable[PictureMap]) -> Iterator[PictureMap]:
            for item in items:
                if map_folder is not None:
                    write_map(map_folder / f"{without_suffix(item.name)}.tiff", item.map_HW)
                yield item

        pictures = []
        for picture in extract_objects(kept(progress(model.maps(list(images)), "pictures")), config):
            if mask_folder is not None:
                write_mask(mask_folder / f"{without_suffix(picture.name)}.png", picture.union_mask())
            pictures.append(picture)
        coco.write(out, pictures, categories=[category])
    objects = sum(len(picture.instances) for picture in pictures)
    if as_json:
        report = {"pictures": len(pictures), "objects": objects, "threshold": config.threshold, "out": str(out)}
        click.echo(json.dumps(report))
    else:
        click.echo(f"{objects} objects in {len(pictures)} pictures at threshold {config.threshold:.4g}: {out}")


def _threshold(text: str) -> float | None:
    if text == "auto":
        return None
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"--threshold {text}: give auto or a number above 0") from None


def _refuse_folder(out: Path) -> None:
    if out.is_dir():
        raise ValueError(f"--out {out}: is a folder, give the name of a file")


@main.command()
@click.argument("annotations", type=click.Path(path_type=Path))
@click.argument("truth", type=click.Path(path_type=Path))
@click.option("--maps", type=click.Path(path_type=Path), help="Folder of maps, for the scores that need them.")
@click.option(
    "--group", metavar="REGEX", help="Pictures whose group agrees (a patient, a scene) are one for dice_per_group."
)
@click.option("--category", "categories", multiple=True, help="Score against the truth of this category only.")
@click.option("--json", "as_json", is_flag=True, help="All scores as one JSON object.")
def evaluate(
    annotations: Path,
    truth: Path,
    maps: Path | None,
    group: str | None,
    categories: tuple[str, ...],
    as_json: bool,
) -> None:
    """Score ANNOTATIONS (COCO JSON) against TRUTH: a folder of masks, a COCO JSON, or a DOTA labelTxt folder."""
    from detect.evaluation import evaluate as evaluate_objects

    scores = evaluate_objects(annotations, truth, maps=maps, group=group, categories=categories)
    if as_json:
        click.echo(json.dumps(scores.to_dict(), allow_nan=False))
        return
    from rich.console import Console

    from detect.tables import score_table

    Console().print(score_table(scores))


if __name__ == "__main__":
    main()
