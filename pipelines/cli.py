"""The ``pipelines`` command line: thin over the calls of the package."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from distmap.commands import CommandGroup

if TYPE_CHECKING:
    from pipelines.synthetic_sets import Split


@click.group(cls=CommandGroup)
@click.version_option(package_name="distmap")
def main() -> None:
    """The whole job on one kind of data: prepare the two folders, learn, detect."""


@main.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--split",
    type=click.Choice(["presence", "shape", "effect"]),
    required=True,
    help="presence: a white rectangle inside a dark shape, or none; shape: a dark circle or rectangle; "
    "effect: VA-GAN's squares added to smoothed noise.",
)
@click.option("--count", type=int, default=500, show_default=True, help="Training pictures of each class.")
@click.option("--image-size", type=int, help="Height and width in pixels.  [default: 64; 112 for effect]")
@click.option("--seed", type=int, default=0, show_default=True, help="The same seed writes the same files.")
def synthetic(folder: Path, split: Split, count: int, image_size: int | None, seed: int) -> None:
    """Write a generated set, with its truth for the test half, into the new folder DIR.

    Pictures go to DIR/{train,test}/{with,without}, true masks to DIR/test/masks. The test half has a fifth as many
    pictures as the training half, 50 of each class at least.
    """
    import pipelines

    pipelines.synthetic(folder, split=split, count=count, image_size=image_size, seed=seed)
    click.echo(f"{folder}: train/ and test/ hold with/ and without/; the truth is in test/masks/", err=True)
