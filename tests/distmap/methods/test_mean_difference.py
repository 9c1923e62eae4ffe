"""The distance to the mean picture WITHOUT, by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from distmap.data.batches import PictureStore
from distmap.data.folders import list_folders
from distmap.data.scaling import Scaling
from distmap.methods.base import FitContext, Frame
from distmap.methods.mean_difference import DifferenceMapSettings, MeanDifference, MeanDifferenceSettings

MakeFrame = Callable[..., Frame]
SHARP = MeanDifferenceSettings(map=DifferenceMapSettings(smoothing=0.0))


def store_of(folder: Path, with_: list[int], without: list[int]) -> PictureStore:
    """Flat pictures of these values, of which 0 becomes -1 and 200 becomes 1; the first pixel is another."""
    for name, values in (("with", with_), ("without", without)):
        (folder / name).mkdir()
        for number, value in enumerate(values):
            picture = np.full((32, 32, 3), value, np.uint8)
            picture[0, 0] = (0, 100, 200)  # blue, green, red
            cv2.imwrite(str(folder / name / f"{number}.png"), picture)
    scaling = Scaling(low=(0.0,) * 3, high=(200.0,) * 3, dtype="uint8")
    return PictureStore(list_folders(folder / "with", folder / "without", None), scaling, 32, cache_mb=1)


def test_the_mean_is_that_of_pictures_without(tmp_path: Path, make_frame: MakeFrame) -> None:
    store = store_of(tmp_path, [200, 200], [0, 50, 100])  # -1, -0.5 and 0
    method = MeanDifference(SHARP, make_frame(bands=3))
    method.prepare(FitContext(train=store, validation=store))
    mean_CHW = method.predictor().mean_CHW
    torch.testing.assert_close(mean_CHW[:, 1:], torch.full((3, 31, 32), -0.5))
    torch.testing.assert_close(mean_CHW[:, 0, 0], torch.tensor([1.0, 0.0, -1.0]))


def test_the_map_is_the_size_of_the_difference_mean_over_bands(make_frame: MakeFrame) -> None:
    predictor = MeanDifference.new_predictor(SHARP, make_frame(bands=2, side=2))
    predictor.mean_CHW.copy_(torch.tensor([[[0.0, 0.1], [0.2, 0.3]], [[0.0, 0.0], [0.0, 0.0]]]))
    x_BCHW = torch.tensor([[[[0.0, 0.5], [-0.2, 0.3]], [[0.0, 0.2], [0.1, -1.0]]]])
    raw = predictor(x_BCHW)
    torch.testing.assert_close(raw, torch.tensor([[[[0.0, 0.4], [-0.4, 0.0]], [[0.0, 0.2], [0.1, -1.0]]]]))
    assert raw.shape[1] == predictor.raw_channels(2)
    expected = torch.tensor([[[0.0, 0.3], [0.25, 0.5]]])
    torch.testing.assert_close(predictor.coarse_map(raw), expected)
    torch.testing.assert_close(predictor.to_map(raw, x_BCHW), expected)


def test_the_map_is_smoothed(make_frame: MakeFrame, rng: np.random.Generator) -> None:
    settings = MeanDifferenceSettings(map=DifferenceMapSettings(smoothing=1.5))
    predictor = MeanDifference.new_predictor(settings, make_frame())
    raw = rng.uniform(-1, 1, (1, 1, 32, 32)).astype(np.float32)
    found = predictor.coarse_map(torch.from_numpy(raw))[0].numpy()
    np.testing.assert_allclose(found, gaussian_filter(np.abs(raw[0, 0]), 1.5, mode="nearest"), rtol=1e-5)


def test_it_makes_no_steps_and_its_state_holds_the_mean(tmp_path: Path, make_frame: MakeFrame) -> None:
    store = store_of(tmp_path, [200], [0, 100])
    method, again = (MeanDifference(SHARP, make_frame(bands=3)) for _ in range(2))
    method.prepare(FitContext(train=store, validation=store))
    again.load_state_dict(method.state_dict())
    assert torch.equal(again.predictor().mean_CHW, method.predictor().mean_CHW)
    assert again.predictor().mean_CHW.abs().sum() > 0
    assert not MeanDifference.trains
    with pytest.raises(NotImplementedError, match="mean-difference makes no steps"):
        method.step(None, 0.0)  # type: ignore[arg-type]
    assert method.weights() == {}
    assert method.review() == []
