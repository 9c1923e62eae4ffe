"""The ``pipelines`` command line: thin over the calls of the package."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from distmap.common.commands import SOURCE, CommandGroup

if TYPE_CHECKING:
    from pipelines.synthetic_sets import Split

TRUST_VRT = click.option(
    "--trust-vrt", is_flag=True, help="Let VRTs name files that are not below their own folders, and addresses."
)
LEVEL_AUROC = 0.8  # AUROC of a slice's level from which on it is worth a hint


@click.group(cls=CommandGroup)
@click.version_option(package_name="distmap")
def main() -> None:
    """The whole job on one kind of data: prepare the two folders, learn, detect."""


@main.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--split",
    type=click.Choice(["presence", "shape", "effect", "rows"]),
    required=True,
    help="presence: a white rectangle inside a dark shape, or none; shape: a dark circle or rectangle; "
    "effect: VA-GAN's squares added to smoothed noise; rows: one to six touching blocks, or none.",
)
@click.option("--count", type=int, default=500, show_default=True, help="Training pictures of each class.")
@click.option("--image-size", type=int, help="Height and width in pixels.  [default: 64; 112 for effect]")
@click.option("--seed", type=int, default=0, show_default=True, help="The same seed writes the same files.")
def synthetic(folder: Path, split: Split, count: int, image_size: int | None, seed: int) -> None:
    """Write a generated set, with its truth for the test split, into the new folder DIR.

    Pictures go to DIR/{train,test}/{with,without}, true masks to DIR/test/masks. The test split has a fifth as many
    pictures as the training split, 50 of each class at least.
    """
    import pipelines

    pipelines.synthetic(folder, split=split, count=count, image_size=image_size, seed=seed)
    click.echo(f"{folder}: train/ and test/ hold with/ and without/; the truth is in test/masks/", err=True)


@main.command()
@click.argument("run", metavar="RUN", type=click.Path(path_type=Path))
@click.argument("scenes", metavar="SCENE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", metavar="DIR", type=click.Path(path_type=Path), required=True, help="Folder for the results.")
@click.option("--bands", metavar="N,N,...", help="Bands to use, from 1.  [default: those that fit the run]")
@click.option("--window", type=int, metavar="PX", help="Side of what the network sees at once, in pixels of the scene.")
@click.option("--threshold", type=float, help="Instead of the run's own.")
@click.option("--false-alarm", type=float, help="Threshold at this rate of false alarms instead.")
@click.option("--min-area", type=int, metavar="PX", help="Drop smaller objects.")
@click.option(
    "--object-size",
    default="auto",
    show_default=True,
    metavar="auto|PX",
    help="The typical object, in pixels of the scene: 35x16, or 24 for the side of a square; auto: the run's own.",
)
@click.option("--category", default="object", show_default=True, help="What the objects are called.")
@click.option("--set", "pairs", metavar="KEY=VALUE", multiple=True, help="One extraction setting, such as neck=0.8.")
@click.option("--stac", is_flag=True, help="Write a STAC item for each scene too.")
@click.option("--memory", type=int, default=1024, show_default=True, metavar="MB", help="For all tiles at work.")
@click.option(
    "--workers",
    type=int,
    metavar="N",
    help="Dask workers on this machine; 1: this process.  [default: one a core or GPU, as --memory allows]",
)
@click.option("--scheduler", metavar="ADDRESS", help="A Dask cluster to work on, such as tcp://host:8786.")
@SOURCE
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@TRUST_VRT
@click.option("--resume", is_flag=True, help="Pass over scenes that are done with this run and these settings.")
@click.option("--overwrite", is_flag=True, help="Replace results that are there; with --resume, those of others only.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on standard output.")
def geotiff(
    run: Path,
    scenes: tuple[Path, ...],
    out: Path,
    bands: str | None,
    object_size: str,
    pairs: tuple[str, ...],
    memory: int,
    as_json: bool,
    **options: Any,
) -> None:
    """Map scenes of any size and find the objects in them.

    SCENE: GeoTIFFs or other pictures that GDAL reads, or folders of them. DIR gets, for each, a map (cloud-optimised
    GeoTIFF), a GeoPackage in the scene's reference system, GeoJSON in WGS 84 and COCO JSON in pixels. A stopped run
    goes on where it was when it is given again.
    """
    import json

    import pipelines
    from detect.settings import parse_settings
    from distmap.common.object_size import parse_object_size
    from distmap.common.progress import shown_progress

    size = None if object_size == "auto" else parse_object_size(object_size)
    settings = parse_settings(pairs)
    with shown_progress() as progress:
        results = pipelines.geotiff(
            run,
            scenes,
            out=out,
            bands=None if bands is None else _band_numbers(bands),
            object_size=size,
            settings=settings,
            memory_mb=memory,
            progress=progress,
            **options,
        )
    for done in results:
        what = "done earlier" if done.earlier else f"{done.objects} objects"
        click.echo(f"{done.scene.name}: {what}", err=True)
    if as_json:
        summary = [
            {"scene": str(done.scene), "objects": done.objects, "files": list(map(str, done.files))} for done in results
        ]
        click.echo(json.dumps({"scenes": summary}))


@main.command()
@click.argument("scenes", metavar="SCENE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--layer",
    metavar="FILE[:LAYER]",
    type=click.Path(path_type=Path),
    required=True,
    help="Points or polygons; which layer, where several have the field.",
)
@click.option("--field", default="present", show_default=True, help="Says 1 (present) or 0 (absent) of each area.")
@click.option("--patch", type=int, default=64, show_default=True, metavar="PX", help="Side of a patch.")
@click.option("--test", type=float, default=0.2, show_default=True, help="Fraction of the areas for the test split.")
@click.option("--bands", metavar="N,N,...", help="Bands to keep, from 1.  [default: all but alpha]")
@click.option(
    "--max-nodata",
    type=float,
    default=0.1,
    show_default=True,
    help="Fraction of a patch that may hold nothing; it is filled from the nearest pixels.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Decides which areas are for the test split.")
@TRUST_VRT
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on standard output.")
def areas(scenes: tuple[Path, ...], folder: Path, bands: str | None, as_json: bool, **options: Any) -> None:
    """Cut scenes into the two folders of patches, where a layer says that the thing is present or absent.

    Patches go to DIR/{train,test}/{with,without}. A point is one patch around it; a polygon is as many patches as lie
    wholly inside it.
    """
    import json

    import pipelines
    from pipelines.area_patches import describe

    written = pipelines.areas(scenes, folder, bands=None if bands is None else _band_numbers(bands), **options)
    for split, counts in written.counts.items():
        click.echo(f"{folder / split}: {_folders(counts, 'patches')}", err=True)
    for what, counted in (("patches dropped", written.dropped), ("areas without a patch", written.without_patch)):
        for line in describe(counted, what, options["patch"], options["max_nodata"]):
            click.echo(line, err=True)
    if written.filled:
        click.echo(f"{written.filled} patches have pixels that hold nothing, filled from the nearest ones", err=True)
    if as_json:
        report = {"patches": written.counts, "areas_without_patch": written.areas_without_patch}
        reasons = {"dropped": written.dropped, "without_patch": written.without_patch, "filled": written.filled}
        click.echo(json.dumps({**report, **reasons}))


@main.command()
@click.argument("source", metavar="BRATS_DIR", type=click.Path(path_type=Path))
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--modality",
    metavar="A,B,...",
    default="flair",
    show_default=True,
    help="flair, t1, t1ce or t2; several become bands in this order.",
)
@click.option(
    "--neighbours",
    type=int,
    default=0,
    show_default=True,
    metavar="N",
    help="Slices below, and as many above, that become bands as well.",
)
@click.option("--min-tumour", type=int, default=100, show_default=True, metavar="PX", help="Tumour in a slice WITH.")
@click.option(
    "--min-brain", type=float, default=0.25, show_default=True, help="Brain in a slice, of the most in its case."
)
@click.option(
    "--level-margin",
    type=float,
    default=0.2,
    show_default=True,
    help="How far slices WITHOUT may be from levels where tumours occur, of the way from the lowest to the highest.",
)
@click.option("--hemispheres", is_flag=True, help="Cut slices in the middle; each hemisphere has its own label.")
@click.option(
    "--trust-grid",
    is_flag=True,
    help="The files of a case have the same voxels, even where some of them do not say where they lie.",
)
@click.option("--test", type=float, default=0.2, show_default=True, help="Fraction of the patients for the test split.")
@click.option("--test-cases", metavar="A,B,...", default="", help="Instead: the cases for the test split.")
@click.option("--seed", type=int, default=0, show_default=True, help="Decides which patients are for the test split.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on standard output.")
def brats(source: Path, folder: Path, modality: str, test_cases: str, as_json: bool, **options: Any) -> None:
    """Write axial slices of BraTS cases as the two folders, by the slices' own segmentations.

    BRATS_DIR: any folder above the cases of a BraTS release. Slices go to DIR/{train,test}/{with,without}, the true
    masks of the test split to DIR/test/masks. Cases without segmentation or without a modality are passed over.
    """
    import json

    import pipelines
    from distmap.common.progress import shown_progress

    modalities = _names(modality)
    with shown_progress() as progress:
        written = pipelines.brats(
            source, folder, modality=modalities, test_cases=_names(test_cases), progress=progress, **options
        )
    for split, counts in written.counts.items():
        cases = len(written.cases[split])
        click.echo(f"{folder / split}: {cases} cases, {_folders(counts, 'slices')}", err=True)
    if written.passed_over:
        count, first = len(written.passed_over), written.passed_over[0]
        wanted = "the modality" if len(modalities) == 1 else "one of the modalities"
        click.echo(f"{count} cases passed over for want of a segmentation or {wanted}, such as {first}", err=True)
    if written.level_auroc is not None:
        line = f"the level of a slice alone separates the folders with AUROC {written.level_auroc:.2f}"
        suspicious = written.level_auroc >= LEVEL_AUROC and not options["hemispheres"]
        hint = "; maps may show levels: with --hemispheres there are pictures without at the same ones"
        click.echo(line + (hint if suspicious else ""), err=True)
    if as_json:
        report = {"slices": written.counts, "cases": written.cases, "passed_over": written.passed_over}
        click.echo(json.dumps({**report, "level_auroc": written.level_auroc}))


@main.command()
@click.argument("source", metavar="DOTA_DIR", type=click.Path(path_type=Path))
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--category", required=True, help="As the labels call it, such as small-vehicle.")
@click.option("--patch", type=int, default=64, show_default=True, metavar="PX", help="Side of a patch.")
@click.option("--scale", type=float, default=1.0, show_default=True, help="Shrink the scenes to this first.")
@click.option("--stride", type=int, metavar="PX", help="From one patch to the next.  [default: half a patch]")
@click.option(
    "--inside", type=float, default=0.7, show_default=True, help="Fraction of an object that counts as mostly."
)
@click.option("--exclude", metavar="A,B,...", help="Categories in neither folder.  [default: look-alikes]")
@click.option(
    "--without-per-with", type=float, default=1.0, show_default=True, help="Patches without, at most, for each with."
)
@click.option("--count", type=int, help="Patches in a training folder, at most; a fifth as many for test.")
@click.option("--group", metavar="REGEX", help="Scenes whose REGEX group agrees (a place) are in one split.")
@click.option("--test", type=float, default=0.2, show_default=True, help="Fraction of the groups for the test split.")
@click.option("--test-groups", metavar="A,B,...", default="", help="Instead: the groups for the test split.")
@click.option(
    "--labels",
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Where DOTA_DIR holds several kinds of labels: those to use.",
)
@click.option(
    "--seed", type=int, default=0, show_default=True, help="Decides the splits, and patches where not all go in."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on standard output.")
def dota(source: Path, folder: Path, exclude: str | None, test_groups: str, as_json: bool, **options: Any) -> None:
    """Cut scenes with DOTA labels into patches with an object of a category, and patches without.

    DOTA_DIR: the folder above images/ and labelTxt/. Patches go to DIR/{train,test}/{with,without}; the test split also
    gets their labels (labelTxt/), the whole scenes (scenes/) and theirs (scenes_labelTxt/), of the category alone.
    """
    import json

    import pipelines
    from distmap.common.progress import shown_progress

    with shown_progress() as progress:
        written = pipelines.dota(
            source,
            folder,
            exclude=None if exclude is None else _names(exclude),
            test_groups=_names(test_groups),
            progress=progress,
            **options,
        )
    for split, counts in written.counts.items():
        click.echo(f"{folder / split}: {written.scenes[split]} scenes, {_folders(counts, 'patches')}", err=True)
    if written.without_labels or written.too_small:
        click.echo(
            f"scenes passed over: {written.without_labels} without labels, {written.too_small} smaller than a patch",
            err=True,
        )
    if as_json:
        report = {"patches": written.counts, "scenes": written.scenes, "test_groups": written.test_groups}
        passed_over = {"without_labels": written.without_labels, "too_small": written.too_small}
        click.echo(json.dumps({**report, "passed_over": passed_over}))


@main.command()
@click.argument("source", metavar="CELEBA_DIR", type=click.Path(path_type=Path))
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--attribute", required=True, help="As the list calls it, such as Male or Eyeglasses.")
@click.option(
    "--count", type=int, default=5000, show_default=True, help="In a training folder, at most; a fifth for test."
)
@click.option("--crop", type=int, default=178, show_default=True, metavar="PX", help="Side of the square kept.")
@click.option("--image-size", type=int, metavar="PX", help="Side of what is written.  [default: that of the square]")
@click.option(
    "--test",
    type=float,
    default=0.1,
    show_default=True,
    help="Fraction for the test split, without list_eval_partition.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Decides which pictures, where not all go in.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on standard output.")
def celeba(source: Path, folder: Path, as_json: bool, **options: Any) -> None:
    """Write CelebA's aligned pictures as the two folders: those with an attribute, and those without.

    CELEBA_DIR: the folder with list_attr_celeba.txt (or .csv) and img_align_celeba/, however deep. Pictures go to
    DIR/{train,test}/{with,without}; there is no truth of where an attribute shows.
    """
    import json

    import pipelines
    from distmap.common.progress import shown_progress

    with shown_progress() as progress:
        written = pipelines.celeba(source, folder, progress=progress, **options)
    for split, counts in written.counts.items():
        click.echo(f"{folder / split}: {_folders(counts, 'pictures')}", err=True)
    if written.missing:
        click.echo(f"{written.missing} listed pictures are not there", err=True)
    if not written.partition:
        click.echo("no list_eval_partition: splits by the seed, so a person may be in both", err=True)
    if as_json:
        report = {"pictures": written.counts, "missing": written.missing, "partition": written.partition}
        click.echo(json.dumps(report))


@main.command("self-train")
@click.argument("run", metavar="RUN", type=click.Path(path_type=Path))
@click.argument("with_folder", metavar="WITH", type=click.Path(path_type=Path))
@click.argument("without_folder", metavar="WITHOUT", type=click.Path(path_type=Path))
@click.option("--out", metavar="RUN2", type=click.Path(path_type=Path), required=True, help="Folder of the new run.")
@click.option("--rounds", type=int, default=1, show_default=True, help="Each learns from the maps of the one before.")
@click.option("--set", "settings", metavar="KEY=VALUE", multiple=True, help="One setting, such as student.steps=500.")
@click.option("--time-limit", metavar="TIME", help="For all rounds: 90s, 10m, 1h30m.  [default: until the steps end]")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on standard output.")
def self_train_command(
    run: Path,
    with_folder: Path,
    without_folder: Path,
    out: Path,
    time_limit: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Train a segmentation network on what the maps of RUN are sure of; the new run maps with it.

    WITH and WITHOUT: the folders that RUN was made of. RUN stays as it is.
    """
    import json
    from dataclasses import asdict

    import pipelines
    from distmap.common.progress import shown_progress
    from distmap.config import parse_duration

    try:
        seconds = None if time_limit is None else parse_duration(time_limit)
    except ValueError as error:
        raise ValueError(f"--time-limit: {error}") from error
    with shown_progress() as progress:
        settings = pipelines.self_train(
            run, with_folder, without_folder, out=out, time_limit=seconds, progress=progress, **options
        )
    click.echo(
        f"{out}: threshold {settings.threshold:.4g} takes {settings.false_alarm:.3%} of empty pictures", err=True
    )
    if as_json:
        click.echo(json.dumps({"run": str(out), "detector": asdict(settings)}))


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _folders(counts: dict[str, int], what: str) -> str:
    return f"{counts['with']} {what} with/, {counts['without']} without/"


def _band_numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(number) for number in text.split(","))
    except ValueError:
        raise ValueError(f"--bands {text}: give numbers with commas between them, such as 1,2,3") from None
