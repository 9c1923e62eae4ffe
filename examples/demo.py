"""The whole way on generated pictures: two folders, a run, masks and boxes, scores, and a sheet to look at.

    python examples/demo.py [--time-limit 6m]

Runs the commands that anybody would type, and prints each before it runs. The folder ``demo`` in the project's root is
made afresh every time.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent
CELL = 128  # side of a picture on the sheet, pixels
LABELS = 96  # width of the column of labels, pixels


def run(*words: str | Path) -> None:
    """Print and run a command that is installed beside this Python; end with its status when it fails."""
    command = [str(word) for word in words]
    print(f"\n$ {shlex.join(command)}", flush=True)
    finished = subprocess.run([Path(sys.executable).with_name(command[0]), *command[1:]], check=False)
    if finished.returncode:
        sys.exit(finished.returncode)


def read(path: Path) -> NDArray[np.generic]:
    """Read a picture as it is stored, H x W or H x W x 3 in OpenCV's order."""
    picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if picture is None:
        sys.exit(f"error: {path} is missing or no picture")
    return picture


def grey(picture_HW: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Show an 8-bit grey picture or mask as it is."""
    return np.stack([picture_HW.astype(np.uint8)] * 3, axis=-1)


def red_and_blue(map_HW: NDArray[np.generic], limit: float) -> NDArray[np.uint8]:
    """Show a map: white is 0, full red ``limit`` (only in WITH), full blue ``-limit``."""
    strength_HW = np.clip(map_HW.astype(np.float64) / limit, -1, 1)
    fading_HW = 1 - np.abs(strength_HW)
    bgr = np.stack([np.where(strength_HW > 0, fading_HW, 1), fading_HW, np.where(strength_HW < 0, fading_HW, 1)], -1)
    pixels: NDArray[np.uint8] = np.rint(255 * bgr).astype(np.uint8)
    return pixels


def sheet(folder: Path, *, with_pictures: int = 6, without_pictures: int = 2) -> NDArray[np.uint8]:
    """Lay out the first test pictures of both classes above their maps, the masks found and the true masks."""
    test = folder / "data" / "test"
    pictures = sorted((test / "with").iterdir())[:with_pictures]
    pictures += sorted((test / "without").iterdir())[:without_pictures]
    maps = [read(folder / "maps" / f"{path.stem}.tiff") for path in pictures]
    limit = max(float(np.abs(map_HW).max()) for map_HW in maps) or 1.0
    rows = {
        "picture": [grey(read(path)) for path in pictures],
        "map": [red_and_blue(map_HW, limit) for map_HW in maps],
        "found": [grey(read(folder / "masks" / f"{path.stem}.png")) for path in pictures],
        "truth": [grey(read(test / "masks" / f"{path.stem}.png")) for path in pictures],
    }
    strips = []
    for label, cells in rows.items():
        strip = np.full((CELL + 4, LABELS + len(cells) * (CELL + 4), 3), 255, dtype=np.uint8)
        cv2.putText(strip, label, (8, CELL // 2), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (0, 0, 0), 1, cv2.LINE_AA)
        for number, cell in enumerate(cells):
            left = LABELS + number * (CELL + 4)
            strip[:CELL, left : left + CELL] = cv2.resize(cell, (CELL, CELL), interpolation=cv2.INTER_NEAREST)
        strips.append(strip)
    return np.vstack(strips)


def main() -> None:
    """Make the set, fit, extract, evaluate and draw the sheet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--time-limit", default="6m", help="time for learning (default: 6m)")
    options = parser.parse_args()

    os.chdir(ROOT)
    folder = Path("demo")
    data, test = folder / "data", folder / "data" / "test"
    annotations, maps = folder / "annotations.json", folder / "maps"
    shutil.rmtree(folder, ignore_errors=True)

    run("pipelines", "synthetic", data, "--split", "presence", "--image-size", "64")
    train = data / "train"
    run(
        *("distmap", "fit", train / "with", train / "without", "--run", folder / "run"),
        *("--preset", "quick", "--time-limit", options.time_limit),
    )
    run(
        *("detect", "extract", folder / "run", test / "with", test / "without"),
        *("--out", annotations, "--maps", maps, "--masks", folder / "masks"),
    )
    run("detect", "evaluate", annotations, test / "masks", "--maps", maps)

    picture = folder / "sheet.png"
    if not cv2.imwrite(str(picture), sheet(folder)):
        sys.exit(f"error: cannot write {picture}")
    found = len(json.loads(annotations.read_text())["annotations"])
    print(f"\n{found} objects found; {picture} shows pictures, maps, masks found and true masks one below the other.")


if __name__ == "__main__":
    main()
