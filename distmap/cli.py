"""The ``distmap`` command line: thin over the calls of the package."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import click

from distmap.common.commands import SIZE_LIMIT, SOURCE, CommandGroup

DEVICE = click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
AS_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")


@click.group(cls=CommandGroup)
@click.version_option(package_name="distmap")
def main() -> None:
    """Learn from two folders of pictures what tells them apart, and map it."""


def _duration(_context: click.Context, _option: click.Parameter, value: str | None) -> float | None:
    if value is None:
        return None
    if value.lower() == "none":
        return math.inf
    from distmap.config import parse_duration

    try:
        return parse_duration(value)
    except ValueError as error:
        raise ValueError(f"--time-limit: {error}") from error


@main.command()
@click.argument("with_folder", metavar="WITH", type=click.Path(path_type=Path))
@click.argument("without_folder", metavar="WITHOUT", type=click.Path(path_type=Path))
@click.option("--run", required=True, type=click.Path(path_type=Path), help="Folder to write the run to.")
@click.option("--preset", default="quick", show_default=True, help="See `distmap presets`.")
@click.option("--method", help="How to learn the distinction; see `distmap methods`.  [default: branched-gan]")
@click.option(
    "--config", "config_file", type=click.Path(path_type=Path), help="YAML file of settings, over the preset."
)
@click.option("--set", "settings", metavar="KEY=VALUE", multiple=True, help="One setting, such as losses.sparsity=1.")
@click.option("--image-size", type=int, help="Side of the square that the network sees, in pixels.")
@click.option(
    "--time-limit",
    metavar="TIME",
    callback=_duration,
    help="For the whole fit: 90s, 10m, 1h30m; none: no limit.  [default: the preset's]",
)
@click.option("--steps", type=int, help="Training steps, unless the time is up before.")
@click.option("--seed", type=int, help="The same seed gives the same run.")
@DEVICE
@click.option("--group", metavar="REGEX", help="Files whose REGEX group agrees (a patient, a scene) stay together.")
@SIZE_LIMIT
@click.option("--resume", is_flag=True, help="Go on where an interrupted run stopped.")
@click.option("--overwrite", is_flag=True, help="Replace an existing run.")
def fit(
    with_folder: Path,
    without_folder: Path,
    run: Path,
    preset: str,
    method: str | None,
    config_file: Path | None,
    settings: tuple[str, ...],
    image_size: int | None,
    time_limit: float | None,
    steps: int | None,
    seed: int | None,
    device: str,
    group: str | None,
    resume: bool,
    overwrite: bool,
) -> None:
    """Learn from two folders: pictures WITH the thing and pictures WITHOUT it."""
    if resume and overwrite:
        raise ValueError("--resume and --overwrite: give one or the other")
    import distmap
    from distmap.common.progress import shown_progress

    overrides: dict[str, Any] = {
        key: value for key, value in (("image_size", image_size), ("seed", seed)) if value is not None
    }
    duration: dict[str, float | None] = {} if steps is None else {"steps": steps}
    if time_limit is not None:
        duration["time_limit"] = None if time_limit == math.inf else time_limit
    if duration:
        overrides["training"] = duration
    if group is not None:
        overrides["data"] = {"group": group}
    with shown_progress() as progress:
        distmap.fit(
            with_folder,
            without_folder,
            run=run,
            preset=preset,
            method=method,
            config=config_file,
            settings=settings,
            overrides=overrides,
            device=device,
            resume=resume,
            overwrite=overwrite,
            progress=progress,
        )


def _size(_context: click.Context, _option: click.Parameter, value: str | None) -> tuple[int, int] | None:
    if value is None:
        return None
    height, _, width = value.lower().partition("x")
    if not (height.isdigit() and width.isdigit() and int(height) and int(width)):
        raise ValueError(f"--size {value}: give height and width in pixels, such as 224x224")
    return int(height), int(width)


@main.command("map")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder for the maps.")
@click.option("--preview", is_flag=True, help="Also a PNG of picture and map beside each map.")
@SOURCE
@SIZE_LIMIT
@DEVICE
def map_command(run: Path, images: tuple[Path, ...], out: Path, preview: bool, source: str, device: str) -> None:
    """Write one float32 TIFF a picture, same height and width; + is what only pictures WITH hold."""
    import distmap
    from distmap.common.progress import shown_progress
    from distmap.inference.map_files import write_maps

    with shown_progress() as progress:
        write_maps(distmap.load(run, device, source), images, out, preview=preview, progress=progress)


@main.command()
@click.argument("run", type=click.Path(path_type=Path))
@AS_JSON
def info(run: Path, as_json: bool) -> None:
    """Say what was trained, on what, and how well it explains its validation pictures."""
    from distmap.describe import describe_run, format_description

    description = describe_run(run)
    click.echo(json.dumps(description) if as_json else format_description(description))


@main.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--format", "format_", type=click.Choice(["onnx"]), required=True, help="What to write.")
@click.option("--out", metavar="FILE", type=click.Path(path_type=Path), help="[default: RUN/map.onnx]")
@click.option("--size", metavar="HxW", callback=_size, help="Of the pictures, in pixels.  [default: the network's own]")
@AS_JSON
def export(run: Path, format_: str, out: Path | None, size: tuple[int, int] | None, as_json: bool) -> None:
    """Write the map as one graph for other programs, such as those built on ONNX Runtime."""
    import distmap

    written = distmap.export(run, out=out, format=format_, size=size)
    click.echo(f"{written}: from pictures in [-1, 1] to maps; its metadata says the rest", err=True)
    if as_json:
        click.echo(json.dumps({"file": str(written)}))


@main.command()
@click.option("--method", help="Whose settings to list.  [default: branched-gan]")
@AS_JSON
def presets(method: str | None, as_json: bool) -> None:
    """List the presets, and every setting with the value that `quick` gives it."""
    from distmap.config import PRESETS, resolve, to_yaml

    if as_json:
        click.echo(json.dumps({name: resolve(preset=name, method=method).to_dict() for name in PRESETS}))
        return
    settings = to_yaml(resolve(preset="quick", method=method))
    for name, (purpose, _) in PRESETS.items():
        click.echo(f"{name:12} {purpose}")
    click.echo("\nSettings, for --set SECTION.KEY=VALUE or --config FILE.yaml:\n")
    click.echo(settings)


@main.command()
@AS_JSON
def methods(as_json: bool) -> None:
    """List the methods: name, paper, family, what each needs."""
    from distmap.methods.registry import list_methods

    facts = ("name", "paper", "family", "needs", "summary")
    listed = [{fact: getattr(method, fact) for fact in facts} for method in list_methods()]
    if as_json:
        click.echo(json.dumps(listed))
        return
    for entry in listed:
        click.echo(f"{entry['name']:16} {entry['summary']}")
        click.echo(f"{'':16} {entry['family']}; needs {entry['needs']}")
        click.echo(f"{'':16} paper: {entry['paper']}")
