"""Writing maps to files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tifffile

from distmap.common.files import filling, replacing
from distmap.common.output_names import output_path
from distmap.common.picture_files import PictureError, find_pictures
from distmap.common.pictures import read_filled_picture
from distmap.common.progress import Progress, Silent
from distmap.inference.model import DistinctionModel


def write_maps(
    model: DistinctionModel,
    sources: Sequence[str | Path],
    out: str | Path,
    *,
    preview: bool = False,
    progress: Progress | None = None,
) -> list[Path]:
    """Write the map of every picture in files and folders as float32 TIFF, ``OUT/<name of the picture>.tiff``.

    Names keep their sub-folders. With ``preview`` a PNG of picture and map stands beside each. Returns the TIFFs.

    Raises
    ------
    PictureError
        A picture cannot be used, two pictures would give the same file, or a file would replace one of the pictures.
        Nothing is written then.
    ValueError
        No file can have a picture's name, see `distmap.common.output_names`.
    """
    from distmap.inference.image_grid import Cell, map_cell, show_picture, write_grid

    progress = progress or Silent()
    out = Path(out)
    files = find_pictures(sources)
    names = [output_path(Path(), file.name, ".tiff") for file in files]
    seen: dict[Path, Path] = {}
    pictures = {file.path.resolve() for file in files}
    for file, name in zip(files, names, strict=True):
        for written in (name, name.with_suffix(".png")) if preview else (name,):
            if (out / written).resolve() in pictures:
                raise PictureError(f"--out {out}: {out / written} would replace a picture; name another folder")
        if name in seen:
            raise PictureError(f"{file.path}: its map would have the name of that of {seen[name]}; rename one")
        seen[name] = file.path
    with filling(out, "--out") as folder:
        maps = model.map_files(files, explained=False)
        for index, (file, name, result) in enumerate(zip(files, names, maps, strict=True)):
            progress.update("mapping", index / len(files), {})
            target = folder / name
            with replacing(target) as unfinished:
                tifffile.imwrite(unfinished, result.map_HW)
            if preview:
                shown = show_picture(model.scaling.apply(read_filled_picture(file.path)))
                peak = float(np.abs(result.map_HW).max())
                row = [Cell(caption=file.name, pixels_HWC=shown), map_cell(result.map_HW, peak)]
                write_grid(target.with_suffix(".png"), [row], zoom=1)
    return [out / name for name in names]
