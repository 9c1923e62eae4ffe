"""Maps that were saved earlier, in place of those that a run would make again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from detect.pairing import match_names
from detect.rasters import read_map
from distmap.common.files import files_by_name
from distmap.common.picture_files import PICTURE_SUFFIXES, find_pictures
from distmap.common.pictures import picture_size


@dataclass(frozen=True, kw_only=True)
class SavedMap:
    """A map from a file. What the model said of the picture is not known any more."""

    name: str
    map_HW: NDArray[np.float32]
    scores: dict[str, float] = field(default_factory=dict)


def saved_maps(folder: str | Path, images: Iterable[str | Path]) -> Iterator[SavedMap]:
    """The map of every picture, in the order in which a run would give them.

    Parameters
    ----------
    folder
        As `detect extract --maps` or `distmap map` writes it.
    images
        Pictures and folders of pictures.

    Raises
    ------
    ValueError
        A picture has no map, or one of another size. All names are checked before the first map is read.
    """
    pictures = find_pictures(images)
    files = map_files(folder, [picture.name for picture in pictures])
    for picture in pictures:
        map_HW = read_map(files[picture.name])
        height, width = picture_size(picture.path)
        if map_HW.shape != (height, width):
            size = f"{map_HW.shape[1]} x {map_HW.shape[0]}"
            raise ValueError(f"{files[picture.name]}: the map is {size}, {picture.path} is {width} x {height}")
        yield SavedMap(name=picture.name, map_HW=map_HW)


def map_files(folder: str | Path, names: Iterable[str]) -> dict[str, Path]:
    """The file of each picture's map, by picture name.

    Raises
    ------
    ValueError
        A picture has none.
    """
    folder, names = Path(folder), list(names)
    files = files_by_name(folder, PICTURE_SUFFIXES)
    found = match_names(names, files)
    missing = [name for name in names if name not in found]
    if missing:
        raise ValueError(f"{missing[0]}: has no map in {folder} ({len(missing)} of {len(names)} pictures have none)")
    return found
