"""Generated sets whose truth is known exactly: ``presence``, ``shape``, ``effect`` and ``rows``.

All lengths are in pixels. A picture depends on the seed, its split (train, test), its class and its number alone, so a
larger set holds the smaller one of the same seed.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from detect.detections import Detections, Instance
from detect.formats import dota as label_txt
from pipelines.sets import CLASSES, SPLITS, new_set, write_picture

Split: TypeAlias = Literal["presence", "shape", "effect", "rows"]
Mask: TypeAlias = NDArray[np.bool_]
Floats: TypeAlias = NDArray[np.float64]

MIN_IMAGE_SIZE, MAX_IMAGE_SIZE = 32, 4096
MIN_TEST_PICTURES = 50

DARK, WHITE = 32, 224  # grey levels of the drawn shapes
ATTEMPTS = 200  # at placing a rectangle before it shrinks
LONGEST_ROW = 6  # blocks
BRIGHTEST, DIMMEST = 240, 190  # grey levels of the blocks in a row
RIM = 40  # grey levels by which a block's rim is darker
RIM_WIDTH = 0.15  # of a block's side
OUT_OF_LINE = 0.12  # of a block's side, by which it may stand off the row's middle
BACKGROUND_MEAN, BACKGROUND_STD = 128.0, 20.0


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One generated picture and what is known of it, all of one height and width."""

    picture_HW: NDArray[np.uint8] | NDArray[np.float32]
    mask_HW: Mask  # what differs between the classes; empty for WITHOUT
    effect_HW: NDArray[np.float32] | None = None  # the picture less the same picture without the thing
    shape_HW: Mask | None = None  # the dark shape, where it is there in both classes and says which
    corners_N42: Floats | None = None  # (x, y) of objects that touch, so that the mask does not separate them


def synthetic(
    folder: str | Path, *, split: Split, count: int = 500, image_size: int | None = None, seed: int = 0
) -> Path:
    """Write a generated set with its truth into a new folder.

    Layout: ``{train,test}/{with,without}/<stem>.png`` (``.tif`` for ``effect``), the stems unique in the set;
    ``test/masks/<stem>.png`` (uint8, 0 or 255) for every test picture, empty for those without;
    ``test/effects/<stem>.tif`` (float32, in the picture's grey levels) for all but ``shape``: the picture
    less the same picture without the thing; ``test/shapes/<stem>.png`` (uint8, 0 or 255) for ``shape``: the dark shape
    of either class; ``test/labelTxt/<stem>.txt`` for ``rows``: the oriented box of each block (DOTA). Everything is
    written beside ``folder`` first and moved there when it is complete.

    Parameters
    ----------
    folder
        New or empty.
    split
        ``presence``: a dark rectangle or circle on smoothed noise, with a white rectangle inside it or without.
        ``shape``: a dark circle (with) or rectangle (without) of equal areas on smoothed noise.
        ``effect``: that of VA-GAN (Baumgartner et al., CVPR 2018), squares added to smoothed noise.
        ``rows``: a dark bar on smoothed noise, with a row of one to six touching blocks on it or without.
    count
        Training pictures of each class, >= 1. The test split has a fifth as many, 50 of each class at least.
    image_size
        Height and width in pixels, 32 to 4096; by default 64, and 112 for ``effect``. Lengths grow with it.
    seed
        >= 0; the same seed writes the same files.

    Returns
    -------
    Path
        ``folder``.

    Raises
    ------
    ValueError
        An argument is out of its range.
    FileExistsError
        ``folder`` is a file or holds something already.
    """
    size = _checked_size(split, count, image_size, seed)
    folder = Path(folder)
    with new_set(folder) as unfinished:
        for name, pictures in zip(SPLITS, (count, max(MIN_TEST_PICTURES, count // 5)), strict=True):
            for class_name in CLASSES:
                for number in range(pictures):
                    sample = _draw(split, size, seed, name, class_name, number)
                    stem = f"{class_name}_{number:05d}"
                    _write(sample, unfinished / name, class_name, stem, truth=name == "test")
    return folder


def _checked_size(split: Split, count: int, image_size: int | None, seed: int) -> int:
    """Height and width of the pictures; raises ValueError where an argument is out of its range."""
    if split not in get_args(Split):
        raise ValueError(f"unknown split {split!r}: choose one of {', '.join(get_args(Split))}")
    if count < 1:
        raise ValueError(f"count must be 1 or more, not {count}")
    if seed < 0:
        raise ValueError(f"seed must be 0 or more, not {seed}")
    size = _GENERATORS[split][1] if image_size is None else image_size
    if not MIN_IMAGE_SIZE <= size <= MAX_IMAGE_SIZE:
        raise ValueError(f"image size must be from {MIN_IMAGE_SIZE} to {MAX_IMAGE_SIZE} pixels, not {size}")
    return size


def _draw(split: Split, size: int, seed: int, name: str, class_name: str, number: int) -> Sample:
    """``name``: that of the split, train or test, that the picture is for."""
    generate, _ = _GENERATORS[split]
    label = CLASSES.index(class_name)
    entropy = (seed, get_args(Split).index(split), SPLITS.index(name), label, number)
    return generate(np.random.default_rng(entropy), size, bool(label))


def presence(rng: np.random.Generator, size: int, has_thing: bool) -> Sample:
    """Draw a dark rectangle or circle on smoothed noise and, where ``has_thing``, a white rectangle inside it.

    The dark shape is as likely a circle as a rectangle, its sides (the diameter) from 1/4 to 1/2 of ``size``, anywhere
    in the picture. The white rectangle's sides are 0.3 to 0.6 of the dark shape's, so it fits into either.
    """
    background_HW = _background(rng, size)
    round_shape = rng.random() < 0.5
    half_2 = rng.uniform(size / 8, size / 4, 2)
    if round_shape:
        half_2[1] = half_2[0]
    centre_2 = rng.uniform(half_2, size - half_2)
    dark_HW = (ellipse if round_shape else rectangle)(size, centre_2, half_2)
    without_HW = _to_uint8(np.where(dark_HW, DARK, background_HW))

    white_HW = np.zeros_like(dark_HW)
    if has_thing:
        inner_2 = half_2 * rng.uniform(0.3, 0.6, 2)
        # A rim of the dark shape stays all around: the rectangle widened by a pixel must fit. In small circles one
        # that does not fit anywhere is drawn now and then; it shrinks until it does.
        for attempt in itertools.count(1):
            inner_centre_2 = centre_2 + rng.uniform(-1, 1, 2) * (half_2 - inner_2)
            if not (rectangle(size, inner_centre_2, inner_2 + 1) & ~dark_HW).any():
                break
            if attempt % ATTEMPTS == 0:
                inner_2 = 0.9 * inner_2
        white_HW = rectangle(size, inner_centre_2, inner_2)
    picture_HW = np.where(white_HW, np.uint8(WHITE), without_HW)
    effect_HW = picture_HW.astype(np.float32) - without_HW
    return Sample(picture_HW=picture_HW, mask_HW=white_HW, effect_HW=effect_HW)


def shape(rng: np.random.Generator, size: int, has_thing: bool) -> Sample:
    """Draw a dark circle (``has_thing``) or rectangle on smoothed noise.

    Area (that of a circle 1/4 to 1/2 of ``size`` wide) and centre come from the same distribution for both, so neither
    tells the class. Rectangles are up to twice as long as wide, upright or lying.
    """
    background_HW = _background(rng, size)
    radius = rng.uniform(size / 8, size / 4)
    side = radius * np.sqrt(np.pi)  # of the square of equal area
    margin = side / np.sqrt(2)  # half the length of the longest rectangle of that area
    centre_2 = rng.uniform(margin, size - margin, 2)
    if has_thing:
        dark_HW = ellipse(size, centre_2, np.array([radius, radius]))
    else:
        stretch = 2 ** rng.uniform(-0.5, 0.5)
        dark_HW = rectangle(size, centre_2, side / 2 * np.array([stretch, 1 / stretch]))
    picture_HW = _to_uint8(np.where(dark_HW, DARK, background_HW))
    return Sample(picture_HW=picture_HW, mask_HW=dark_HW & has_thing, shape_HW=dark_HW)


def effect(rng: np.random.Generator, size: int, has_thing: bool) -> Sample:
    """Draw VA-GAN's synthetic picture: smoothed noise of mean 0 and standard deviation 50, float32.

    Class 1 (``has_thing``) adds 100 on a 20 x 20 square in the centre and on a second one, half of the time in the
    upper left and half of the time in the lower right quadrant, moved by up to 5 pixels along each axis. These lengths
    and the noise's sigma of 2.5 are for 112 x 112 and grow with ``size``. Float values are kept, since 8 bits would cut
    off what lies beyond 2.5 standard deviations.
    """
    scale = size / 112
    picture_HW = smoothed_noise(rng, size, sigma=2.5 * scale, std=50.0)
    mask_HW = np.zeros((size, size), dtype=np.bool_)
    if has_thing:
        width, jitter = round(20 * scale), round(5 * scale)
        quadrant = size // 4 if rng.random() < 0.5 else size - size // 4
        moved_2 = quadrant + rng.integers(-jitter, jitter, 2, endpoint=True)
        for row, column in ((size // 2, size // 2), moved_2):
            top, left = row - width // 2, column - width // 2
            mask_HW[top : top + width, left : left + width] = True
    effect_HW = np.where(mask_HW, np.float32(100), np.float32(0))
    return Sample(picture_HW=picture_HW.astype(np.float32) + effect_HW, mask_HW=mask_HW, effect_HW=effect_HW)


def rows(rng: np.random.Generator, size: int, has_thing: bool) -> Sample:
    """Draw a dark bar on smoothed noise and, where ``has_thing``, a row of one to six blocks on it.

    Blocks are squares of a tenth of ``size`` that touch their neighbours, each of a brightness of its own, a little out
    of line, and with a rim that is darker. Bar and row have any direction.
    """
    block = size / 10
    direction = rng.uniform(0, np.pi)
    count = int(rng.integers(1, LONGEST_ROW, endpoint=True))
    half_bar_2 = np.array([(LONGEST_ROW / 2 + 0.25) * block, 0.8 * block])
    # Within the picture whatever the direction.
    margin_2 = np.abs(_turned(np.array([half_bar_2, half_bar_2 * (1, -1)]), direction)).max(axis=0)
    centre_2 = rng.uniform(np.minimum(margin_2, size / 2), np.maximum(size - margin_2, size / 2))
    bar_HW = _turned_rectangle(size, centre_2, half_bar_2, direction)
    without_HW = _to_uint8(np.where(bar_HW, DARK, _background(rng, size)))

    picture_HW, mask_HW = without_HW.copy(), np.zeros((size, size), np.bool_)
    corners_N42 = np.empty((count if has_thing else 0, 4, 2))
    slack = (LONGEST_ROW - count) / 2 * block
    first = rng.uniform(-slack, slack) - (count - 1) / 2 * block
    for index in range(len(corners_N42)):
        along_across = np.array([first + index * block, rng.uniform(-OUT_OF_LINE, OUT_OF_LINE) * block])
        middle_2 = centre_2 + _turned(along_across, direction)
        level = int(rng.integers(DIMMEST, BRIGHTEST, endpoint=True))
        half_2 = np.array([block / 2, block / 2])
        block_HW = _turned_rectangle(size, middle_2, half_2, direction)
        picture_HW[block_HW] = level - RIM
        picture_HW[_turned_rectangle(size, middle_2, (1 - 2 * RIM_WIDTH) * half_2, direction)] = level
        mask_HW |= block_HW
        around_42 = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half_2
        corners_N42[index] = (middle_2 + _turned(around_42, direction))[:, ::-1]
    effect_HW = picture_HW.astype(np.float32) - without_HW
    return Sample(picture_HW=picture_HW, mask_HW=mask_HW, effect_HW=effect_HW, corners_N42=corners_N42)


def _turned(points: Floats, direction: float) -> Floats:
    """Points (along, across) of a direction in radians -> (row, column)."""
    sine, cosine = np.sin(direction), np.cos(direction)
    turned: Floats = points @ np.array([[sine, cosine], [cosine, -sine]])
    return turned


def _turned_rectangle(size: int, centre_2: Floats, half_2: Floats, direction: float) -> Mask:
    """Mark the pixels whose centre lies in a rectangle; ``half_2``: half its sides along a direction and across."""
    rows_H1, columns_1W = _offsets(size, centre_2)
    sine, cosine = np.sin(direction), np.cos(direction)
    along_HW, across_HW = sine * rows_H1 + cosine * columns_1W, cosine * rows_H1 - sine * columns_1W
    inside_HW: Mask = (np.abs(along_HW) <= half_2[0]) & (np.abs(across_HW) <= half_2[1])
    return inside_HW


def smoothed_noise(rng: np.random.Generator, size: int, *, sigma: float, std: float) -> Floats:
    """Blur white noise with a Gaussian of ``sigma`` pixels and bring it to mean 0 and standard deviation ``std``."""
    noise_HW: Floats = ndimage.gaussian_filter(rng.standard_normal((size, size)), sigma, mode="reflect")
    noise_HW -= noise_HW.mean()
    noise_HW *= std / noise_HW.std()
    return noise_HW


def rectangle(size: int, centre_2: Floats, half_2: Floats) -> Mask:
    """Mark the pixels of a square picture whose centre lies in the rectangle; (row, column) from its edge."""
    rows_H1, columns_1W = _offsets(size, centre_2)
    inside_HW: Mask = (np.abs(rows_H1) <= half_2[0]) & (np.abs(columns_1W) <= half_2[1])
    return inside_HW


def ellipse(size: int, centre_2: Floats, half_2: Floats) -> Mask:
    """Mark the pixels of a square picture whose centre lies in the ellipse; (row, column) from its edge."""
    rows_H1, columns_1W = _offsets(size, centre_2)
    inside_HW: Mask = (rows_H1 / half_2[0]) ** 2 + (columns_1W / half_2[1]) ** 2 <= 1
    return inside_HW


def _background(rng: np.random.Generator, size: int) -> Floats:
    return smoothed_noise(rng, size, sigma=size / 32, std=BACKGROUND_STD) + BACKGROUND_MEAN


def _offsets(size: int, centre_2: Floats) -> tuple[Floats, Floats]:
    pixel_centres = np.arange(size) + 0.5
    return pixel_centres[:, None] - centre_2[0], pixel_centres[None, :] - centre_2[1]


def _to_uint8(picture_HW: Floats) -> NDArray[np.uint8]:
    return np.rint(picture_HW).clip(0, 255).astype(np.uint8)


def _write(sample: Sample, folder: Path, class_name: str, stem: str, *, truth: bool) -> None:
    suffix = ".png" if sample.picture_HW.dtype == np.uint8 else ".tif"
    write_picture(folder / class_name / f"{stem}{suffix}", sample.picture_HW)
    if truth:
        write_picture(folder / "masks" / f"{stem}.png", np.where(sample.mask_HW, np.uint8(255), np.uint8(0)))
        if sample.shape_HW is not None:
            write_picture(folder / "shapes" / f"{stem}.png", np.where(sample.shape_HW, np.uint8(255), np.uint8(0)))
        if sample.effect_HW is not None:
            write_picture(folder / "effects" / f"{stem}.tif", sample.effect_HW)
        if sample.corners_N42 is not None:
            height, width = sample.mask_HW.shape
            blocks = tuple(Instance(corners_42=corners_42, category="block") for corners_42 in sample.corners_N42)
            label_txt.write(
                folder / "labelTxt", [Detections(name=f"{stem}{suffix}", height=height, width=width, instances=blocks)]
            )


_Generate: TypeAlias = Callable[[np.random.Generator, int, bool], Sample]
_GENERATORS: dict[Split, tuple[_Generate, int]] = {
    "presence": (presence, 64),
    "shape": (shape, 64),
    "effect": (effect, 112),
    "rows": (rows, 64),
}
