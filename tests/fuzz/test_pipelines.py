"""The same for the commands that make the two folders, and for scenes."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from pipelines.cli import main
from tests.fuzz import corpus
from tests.fuzz.harness import Case, Mutate, mutate_one, tried

PLACE = from_origin(500_000, 5_000_000, 1, 1)
OPTIONS: dict[str, tuple[Any, ...]] = {
    "brats": ("--min-tumour", 5),
    "dota": ("--category", "car", "--patch", 32),
    "celeba": ("--attribute", "Male", "--crop", 32),
    "areas": ("--patch", 32, "--test", 0),
    "geotiff": ("--workers", 1),
}
BY_SUFFIX: dict[str, Mutate] = {".txt": corpus.text_bytes, ".geojson": corpus.json_bytes, ".json": corpus.json_bytes}


def scene(path: Path) -> None:
    grey_HW = np.random.default_rng(0).integers(60, 120, (96, 96), dtype=np.uint8)
    grey_HW[20:28, 20:28] = 250
    with rasterio.open(
        path, "w", driver="GTiff", height=96, width=96, count=1, dtype="uint8", crs="EPSG:32633", transform=PLACE
    ) as target:
        target.write(grey_HW, 1)


def brats(folder: Path) -> None:
    import nibabel

    rng = np.random.default_rng(0)
    for number in range(3):
        case = folder / f"case_{number}"
        case.mkdir(parents=True)
        scan = np.zeros((16, 18, 8), np.int16)
        scan[3:13, 3:15, 1:7] = rng.integers(100, 200, (10, 12, 6))
        labels = np.zeros_like(scan)
        labels[5:9, 6:10, 2:4] = 1
        for kind, values in (("flair", scan), ("seg", labels)):
            image = nibabel.Nifti1Image(values, np.diag([-1.0, -1, 1, 1]))  # type: ignore[no-untyped-call]
            nibabel.save(image, case / f"{case.name}_{kind}.nii")


def dota(folder: Path) -> None:
    for name in ("images", "labelTxt"):
        (folder / name).mkdir(parents=True)
    for number in range(3):
        picture = np.random.default_rng(number).integers(60, 120, (64, 64, 3), dtype=np.uint8)
        assert cv2.imwrite(str(folder / "images" / f"P{number}.png"), picture)
        (folder / "labelTxt" / f"P{number}.txt").write_text(
            "4 6 20 6 20 16 4 16 car 0\n50 50 60 50 60 60 50 60 bus 1\n"
        )


def celeba(folder: Path) -> None:
    (folder / "img_align_celeba").mkdir(parents=True)
    names = [f"{number:06}.jpg" for number in range(8)]
    for name in names:
        assert cv2.imwrite(str(folder / "img_align_celeba" / name), np.full((218, 178, 3), 99, np.uint8))
    rows = "".join(f"{name} {1 if index % 2 else -1}  1\n" for index, name in enumerate(names))
    (folder / "list_attr_celeba.txt").write_text(f"{len(names)}\nMale Young\n{rows}")
    (folder / "list_eval_partition.txt").write_text(
        "".join(f"{name} {index // 4}\n" for index, name in enumerate(names))
    )


def areas(folder: Path) -> None:
    folder.mkdir()
    scene(folder / "town.tif")
    features = []
    for present, (left, top) in ((1, (0, 0)), (0, (60, 60))):
        ring = [PLACE @ (left + x, top + y) for x, y in ((0, 0), (34, 0), (34, 34), (0, 34), (0, 0))]
        shape = {"type": "Polygon", "coordinates": [ring]}
        features.append({"type": "Feature", "properties": {"present": present}, "geometry": shape})
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32633"}}
    layer = {"type": "FeatureCollection", "crs": crs, "features": features}
    (folder / "areas.geojson").write_text(json.dumps(layer))


def geotiff(folder: Path) -> None:
    folder.mkdir()
    scene(folder / "town.tif")


@pytest.mark.parametrize("command", OPTIONS)
def test_pipelines(command: str, originals: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    {"brats": brats, "dota": dota, "celeba": celeba, "areas": areas, "geotiff": geotiff}[command](source)

    def make(folder: Path, rng: random.Random) -> Case:
        inside = shutil.copytree(source, folder / "in" / "source")
        file = rng.choice(sorted(path for path in inside.rglob("*") if path.is_file()))
        mutate_one(file, BY_SUFFIX.get(file.suffix, corpus.damaged), rng)
        out = folder / "out" / "set"
        arguments: tuple[Any, ...] = (inside, out)
        if command == "areas":
            arguments = (inside / "town.tif", out, "--layer", inside / "areas.geojson")
        elif command == "geotiff":
            arguments = (originals / "run", inside / "town.tif", "--out", out)
        return Case(place=folder, main=main, arguments=(command, *arguments, *OPTIONS[command]))

    assert make_valid(command, source, originals, tmp_path) == 0
    assert not (faults := tried(16, tmp_path, make)), "\n\n".join(faults)


def make_valid(command: str, source: Path, originals: Path, tmp_path: Path) -> int:
    """The exit status where nothing is damaged, so that what is tried is near to what works."""
    from click.testing import CliRunner

    arguments: tuple[Any, ...] = (source, tmp_path / "valid")
    if command == "areas":
        arguments = (source / "town.tif", tmp_path / "valid", "--layer", source / "areas.geojson")
    elif command == "geotiff":
        arguments = (originals / "run", source / "town.tif", "--out", tmp_path / "valid")
    return CliRunner().invoke(main, [command, *map(str, (*arguments, *OPTIONS[command]))]).exit_code
