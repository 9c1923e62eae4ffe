"""From map to objects: every step against a hand-worked case or the library that defines it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import scipy.ndimage
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from skimage.filters import apply_hysteresis_threshold, threshold_otsu, threshold_triangle

from detect.detections import Detections, Instance
from detect.extraction import (
    ExtractionConfig,
    ThresholdRule,
    close_gaps,
    components,
    extract,
    fill_holes,
    find_objects,
    find_threshold,
    normalise,
    one_by_one,
    open_thin,
    outlined,
    score,
    smooth,
    without_halo,
)
from detect.masks import Mask
from distmap.common.confidence import as_probabilities, soft_dice_confidence
from distmap.common.object_size import ObjectSize

masks = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=15))


@dataclass(frozen=True)
class PictureMap:
    name: str
    map_HW: NDArray[np.float32]
    scores: dict[str, float] = field(default_factory=dict)


def a_map() -> NDArray[np.float32]:
    """Two blocks on nothing: 3 x 2 of 0.9 at (4, 5), 6 x 1 of 0.6 at (10, 12)."""
    map_HW = np.zeros((20, 24), np.float32)
    map_HW[5:7, 4:7] = 0.9
    map_HW[12, 10:16] = 0.6
    return map_HW


def test_blocks_become_objects_with_exact_boxes() -> None:
    objects = find_objects(a_map(), ExtractionConfig(threshold=0.5, score="peak", category="car"))
    assert [item.bbox for item in objects] == [(4, 5, 3, 2), (10, 12, 6, 1)]
    assert [item.area for item in objects] == [6, 6]
    assert [item.category for item in objects] == ["car", "car"]
    assert objects[0].score == pytest.approx(0.9 / 1.4)
    assert objects[1].score == pytest.approx(0.6 / 1.1)


def test_the_threshold_itself_belongs_to_the_object() -> None:
    map_HW = np.full((2, 2), 0.5, np.float32)
    assert len(find_objects(map_HW, ExtractionConfig(threshold=0.5))) == 1
    assert not find_objects(map_HW, ExtractionConfig(threshold=0.5001))


def test_an_empty_map_has_no_object() -> None:
    assert find_objects(np.zeros((5, 5), np.float32), ExtractionConfig(threshold=0.1)) == ()


def test_area_limits_and_border() -> None:
    map_HW = np.zeros((10, 10), np.float32)
    map_HW[0, 0] = map_HW[4:6, 4:6] = map_HW[8, 1:9] = 1
    areas = [item.area for item in find_objects(map_HW, ExtractionConfig(threshold=0.5, min_area=2, max_area=7))]
    assert areas == [4]
    boxes = [item.bbox for item in find_objects(map_HW, ExtractionConfig(threshold=0.5, drop_border=True))]
    assert boxes == [(1, 8, 8, 1), (4, 4, 2, 2)]


@given(hnp.arrays(np.float32, (9, 9), elements=st.floats(0, 1, width=32)))
def test_hysteresis_is_that_of_scikit_image(map_HW: NDArray[np.float32]) -> None:
    config = ExtractionConfig(threshold=0.75, low_threshold=0.5, connectivity=4)
    found = Detections(name="a", height=9, width=9, instances=find_objects(map_HW, config)).union_mask()
    # scikit-image compares with >, we with >=.
    just_below = np.nextafter([0.5, 0.75], 0)
    expected = apply_hysteresis_threshold(map_HW, *just_below)  # type: ignore[no-untyped-call]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("sigma", [0.5, 1.0, 2.3])
def test_smoothing_is_that_of_scipy(rng: np.random.Generator, sigma: float) -> None:
    map_HW = rng.random((31, 17), dtype=np.float32)
    np.testing.assert_allclose(smooth(map_HW, sigma), scipy.ndimage.gaussian_filter(map_HW, sigma), atol=2e-6)


@given(masks, st.sampled_from([4, 8]))
def test_components_are_those_of_scipy(mask: NDArray[np.bool_], connectivity: int) -> None:
    structure = scipy.ndimage.generate_binary_structure(2, 1 if connectivity == 4 else 2)
    labels, count = scipy.ndimage.label(mask, structure)
    found = components(mask, 4 if connectivity == 4 else 8)
    assert len(found) == count
    canvas = np.zeros(mask.shape, int)
    for part in found:
        part.draw(canvas, labels[part.y :, part.x :][: part.crop_HW.shape[0], : part.crop_HW.shape[1]][part.crop_HW][0])
    np.testing.assert_array_equal(canvas, labels)


@given(masks)
def test_filling_all_holes_is_that_of_scipy(mask: NDArray[np.bool_]) -> None:
    np.testing.assert_array_equal(fill_holes(mask, mask.size), scipy.ndimage.binary_fill_holes(mask))


def test_large_holes_stay() -> None:
    mask = np.ones((9, 9), bool)
    mask[1, 1] = mask[4:7, 4:7] = False
    filled = fill_holes(mask, 4)
    assert filled[1, 1]
    assert not filled[5, 5]


def test_closing_joins_and_opening_cuts() -> None:
    mask = np.zeros((11, 20), bool)
    mask[3:8, 3:8] = mask[3:8, 9:14] = True
    assert len(components(close_gaps(mask, 1))) == 1
    bridged = np.zeros((11, 20), bool)
    bridged[3:8, 3:8] = bridged[3:8, 11:16] = bridged[5, 8:11] = True
    assert len(components(bridged)) == 1
    assert len(components(open_thin(bridged, 1))) == 2
    np.testing.assert_array_equal(open_thin(mask, 0), mask)


def test_closing_keeps_what_touches_the_border() -> None:
    mask = np.zeros((8, 8), bool)
    mask[0:2, 3:6] = True
    np.testing.assert_array_equal(close_gaps(mask, 2), mask)


def test_scores_lie_between_half_and_one_and_order_by_their_rule() -> None:
    small, large = np.array([0.8]), np.full(100, 0.6)
    assert score(np.array([0.5]), 0.5, "peak") == 0.5
    assert score(small, 0.5, "peak") > score(large, 0.5, "peak")
    assert score(small, 0.5, "mean") > score(large, 0.5, "mean")
    assert score(small, 0.5, "mass") < score(large, 0.5, "mass") == pytest.approx(6 / 6.5)


def test_mass_is_measured_by_the_typical_object() -> None:
    """A typical object that just reaches the threshold has 0.5, and so has a quarter of one at twice the threshold."""
    size = ObjectSize(area=100, length=20, width=5)
    assert score(np.full(100, 0.3), 0.3, "mass", size) == pytest.approx(0.5)
    assert score(np.full(25, 0.6), 0.3, "mass", size) == pytest.approx(0.5)
    assert score(np.full(400, 0.3), 0.3, "mass", size) == pytest.approx(2 / 3)
    assert score(np.full(25, 0.3), 0.3, "mass", size) == pytest.approx(1 / 3)
    assert score(np.array([0.3]), 0.3) == pytest.approx(0.5), "without a size a pixel is the measure"
    for rule in ("peak", "mean"):
        assert score(np.full(25, 0.3), 0.3, rule, size) == pytest.approx(0.5)
    map_HW = np.zeros((30, 30), np.float32)
    map_HW[2:7, 4:24], map_HW[20:25, 5:10] = 0.3, 0.6
    config = ExtractionConfig(threshold=0.3, object_size=size)
    assert [item.score for item in find_objects(map_HW, config)] == pytest.approx([0.5, 0.5])


def test_a_halo_by_hand() -> None:
    """The mean of the eight pixels is 2.5, so that half of it leaves out the two ones."""
    values_HW = np.array([[9, 1, 3, 3], [1, 4, 3, 3], [9, 2, 9, 9]], np.float32)
    mask = Mask(x=5, y=7, crop_HW=np.array([[0, 1, 1, 1], [1, 1, 1, 1], [0, 1, 0, 0]], bool))
    assert values_HW[mask.crop_HW].mean() == 2.5
    kept = without_halo(mask, values_HW, 0.5)
    assert list(kept.box) == [6, 7, 3, 3]
    assert kept.crop_HW.astype(int).tolist() == [[0, 1, 1], [1, 1, 1], [1, 0, 0]]
    assert without_halo(mask, values_HW, 0.8).area == 6, "what is just so much of the mean stays"
    assert without_halo(mask, values_HW, 0.81).area == 5
    assert without_halo(mask, values_HW, 0) is mask


def test_halos_are_left_out_of_strong_objects_alone() -> None:
    """A strong block and a faint one, both with a wide border of 0.15; the threshold is there for the faint one."""
    map_HW = np.zeros((30, 60), np.float32)
    map_HW[5:21, 5:21], map_HW[5:21, 35:51] = 0.15, 0.15
    map_HW[8:18, 8:18], map_HW[8:18, 38:48] = 2.0, 0.3
    config = ExtractionConfig(threshold=0.1, halo=0.3)
    assert sorted(item.bbox for item in find_objects(map_HW, config)) == [(8, 8, 10, 10), (35, 5, 16, 16)]
    without = replace(config, halo=0.0)
    assert sorted(item.bbox for item in find_objects(map_HW, without)) == [(5, 5, 16, 16), (35, 5, 16, 16)]
    with_halo = 16 * 16
    assert len(find_objects(map_HW, replace(config, min_area=with_halo))) == 2, "the halo counts in the area"
    assert not find_objects(map_HW, replace(config, min_area=with_halo + 1))


def test_what_a_halo_hid_is_split() -> None:
    """Two blocks of 10 x 10, a neck of 4 x 2 pixels between them, within a halo in whose outline there is no neck."""
    map_HW = np.zeros((30, 50), np.float32)
    map_HW[3:27, 3:44] = 0.15
    map_HW[10:20, 10:20] = map_HW[10:20, 22:32] = map_HW[13:17, 20:22] = 2
    size = ObjectSize(area=100, length=10, width=10)
    config = ExtractionConfig(threshold=0.1, object_size=size, halo=0.45)
    (whole,) = one_by_one(components(map_HW >= 0.1), lambda mask: mask.window(map_HW), config)
    parts = outlined(whole, whole.window(map_HW), config)
    assert [list(part.box) for part in parts] == [[10, 10, 11, 10], [21, 10, 11, 10]]
    assert [part.area for part in parts] == [104, 104]
    assert sorted(item.bbox for item in find_objects(map_HW, config)) == [(10, 10, 11, 10), (21, 10, 11, 10)]
    unsplit = without_halo(whole, whole.window(map_HW), 0.45)
    assert unsplit.area == 208
    for other in (replace(config, neck=0.0), replace(config, object_size=None), replace(config, min_area=105)):
        assert [part.area for part in outlined(whole, whole.window(map_HW), other)] == [208]
    assert outlined(whole, whole.window(map_HW), replace(config, halo=0.0)) == [whole], "no halo hides anything"


def test_what_is_too_small_is_no_part() -> None:
    """A block, a bridge and a smaller block of 8 x 6 pixels, which has 56 with half of the bridge."""
    map_HW = np.zeros((30, 50), np.float32)
    map_HW[3:27, 3:44] = 0.15
    map_HW[10:20, 10:20] = map_HW[12:18, 24:32] = map_HW[13:17, 20:24] = 2
    size = ObjectSize(area=100, length=10, width=10)
    config = ExtractionConfig(threshold=0.1, object_size=size, halo=0.45)
    (whole,) = components(map_HW >= 0.1)
    assert [part.area for part in outlined(whole, whole.window(map_HW), config)] == [108, 56]
    (part,) = outlined(whole, whole.window(map_HW), replace(config, min_area=57))
    assert part.area == 108


def test_splitting_and_joining_need_a_size() -> None:
    """Two blocks that touch at a neck, and two halves of one a pixel apart."""
    map_HW = np.zeros((30, 30), np.float32)
    map_HW[2:12, 2:12] = map_HW[6:8, 12] = map_HW[2:12, 13:23] = 1
    map_HW[16:20, 2:12] = map_HW[21:26, 2:12] = 1
    size = ObjectSize(area=100, length=10, width=10)
    config = ExtractionConfig(threshold=0.5, join_gap=3.0)
    assert len(find_objects(map_HW, config)) == 3
    sized = replace(config, object_size=size)
    boxes = sorted(item.bbox for item in find_objects(map_HW, sized))
    assert len(boxes) == 3
    assert list(boxes[1]) == [2, 16, 10, 10]
    assert [boxes[0][0], boxes[2][0] + boxes[2][2]] == [2, 23]
    assert len(find_objects(map_HW, replace(sized, neck=0.0))) == 2
    assert len(find_objects(map_HW, replace(sized, join_gap=0.0))) == 4
    masks = components(map_HW > 0)
    assert one_by_one(masks, lambda mask: mask.window(map_HW), config) == masks


def test_pictures_keep_name_size_and_model_scores() -> None:
    [picture] = extract([PictureMap("sub/a b.png", a_map(), {"residual": 0.1})], ExtractionConfig(threshold=0.5))
    assert (picture.name, picture.height, picture.width) == ("sub/a b.png", 20, 24)
    assert picture.model == {"residual": 0.1}
    assert picture.union_mask().sum() == 12


def only(map_HW: NDArray[np.float32], config: ExtractionConfig, **scores: float) -> Detections:
    [picture] = extract([PictureMap("a.png", map_HW, scores)], config)
    return picture


def test_a_confidence_by_hand() -> None:
    """m / (m + 0.5) is 9/14 on six pixels and 6/11 on the other six."""
    inside = 6 * 9 / 14 + 6 * 6 / 11
    found = only(a_map(), ExtractionConfig(threshold=0.5))
    assert found.confidence == pytest.approx(2 * inside / (inside + 12))
    of_the_larger = only(a_map(), ExtractionConfig(threshold=0.7))
    inside, outside = 6 * 9 / 16, 6 * 6 / 13
    assert of_the_larger.confidence == pytest.approx(2 * inside / (inside + outside + 6))
    none = only(a_map(), ExtractionConfig(threshold=1.8))
    assert none.confidence == pytest.approx(1 - 0.9 / 2.7), "how sure it is that nothing is there"
    assert only(np.zeros((5, 5), np.float32), ExtractionConfig(threshold=0.5)).confidence == 1


def test_a_confidence_is_that_of_the_masks_as_they_are_cleaned() -> None:
    config = ExtractionConfig(threshold=0.3, low_threshold=0.1, smoothing=1, close_radius=2, min_area=10)
    found = only(a_map(), config)
    assert found.union_mask().sum() > 0
    probability_HW = as_probabilities(smooth(a_map(), 1), 0.1)
    assert found.confidence == soft_dice_confidence(probability_HW, found.union_mask())
    dropped = only(a_map(), ExtractionConfig(threshold=0.5, min_area=50))
    assert dropped.confidence == pytest.approx(0.5 / 1.4), "what was dropped leaves a doubt"


def test_a_map_of_probabilities_is_taken_as_it_is() -> None:
    found = only(a_map(), ExtractionConfig(threshold=0.2, probabilities=True))
    assert found.confidence == pytest.approx(2 * 9.0 / (9.0 + 12))
    assert only(a_map() * 2, ExtractionConfig(threshold=0.2, probabilities=True)).confidence == 1


@pytest.mark.parametrize(("value", "expected"), [(-1.0, 1.0), (0.0, 1.0), (0.7, 0.5)])
def test_a_map_without_contrast_has_a_confidence(value: float, expected: float) -> None:
    assert only(np.full((4, 4), value, np.float32), ExtractionConfig(threshold="otsu")).confidence == expected


def test_the_confidence_of_the_model_counts_more() -> None:
    found = only(a_map(), ExtractionConfig(threshold=0.5), confidence=0.0, psnr_with=30.0)
    assert (found.confidence, found.model) == (0.0, {"psnr_with": 30.0})
    for wrong in (1.01, -0.1, float("nan")):
        with pytest.raises(ValueError, match=rf"a\.png: confidence {wrong} is not within 0\.\.1"):
            only(a_map(), ExtractionConfig(threshold=0.5), confidence=wrong)


def test_two_pictures_of_one_name_are_refused() -> None:
    maps = [PictureMap("a.png", a_map()), PictureMap("a.png", a_map())]
    with pytest.raises(ValueError, match=r"a\.png: two pictures have this name"):
        list(extract(maps, ExtractionConfig(threshold=0.5)))


def test_a_map_that_is_not_finite_is_refused() -> None:
    map_HW = a_map()
    map_HW[0, 0] = np.nan
    with pytest.raises(ValueError, match=r"b\.png: the map holds values that are not finite"):
        list(extract([PictureMap("b.png", map_HW)], ExtractionConfig(threshold=0.5)))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"threshold": 0.0}, "threshold 0.0"),
        ({"threshold": float("nan")}, "threshold nan"),
        ({"threshold": 0.5, "low_threshold": 0.6}, "low threshold 0.6"),
        ({"threshold": 0.5, "smoothing": -1}, "smoothing is -1"),
        ({"threshold": 0.5, "min_area": 5, "max_area": 4}, "max_area 4"),
        ({"threshold": 0.5, "connectivity": 6}, "connectivity is 6"),
        ({"threshold": 0.5, "neck": 1.01}, "neck is 1.01, it must be from 0 to 1"),
        ({"threshold": 0.5, "neck": -0.1}, "neck is -0.1"),
        ({"threshold": 0.5, "neck": float("nan")}, "neck is nan"),
        ({"threshold": 0.5, "halo": 1.0}, "halo is 1.0, it must be at least 0 and less than 1"),
        ({"threshold": 0.5, "halo": -0.1}, "halo is -0.1"),
        ({"threshold": 0.5, "join_gap": -1.0}, "join_gap is -1.0"),
        ({"threshold": 0.5, "join_gap": float("inf")}, "join_gap is inf"),
        ({"threshold": 0.5, "close_radius": float("nan")}, "close_radius is nan"),
        ({"threshold": 0.5, "max_hole": -1}, "max_hole is -1"),
        ({"threshold": 0.5, "score": "best"}, "score 'best' is none of peak, mean, mass"),
    ],
)
def test_settings_outside_their_range_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ExtractionConfig(**settings)


def test_an_object_needs_a_shape_and_sound_numbers() -> None:
    with pytest.raises(ValueError, match="needs a mask, a box"):
        Instance()
    with pytest.raises(ValueError, match="width >= 0"):
        Instance(box=(0, 0, -1, 2))
    with pytest.raises(ValueError, match=r"score 1\.5"):
        Instance(box=(0, 0, 1, 2), score=1.5)
    with pytest.raises(ValueError, match="outside the 4 x 3 picture"):
        Detections(
            name="a", height=3, width=4, instances=(Instance(mask=Mask(x=3, y=2, crop_HW=np.ones((2, 1), bool))),)
        )


def test_shapes_derive_from_each_other() -> None:
    boxed = Instance(box=(1, 2, 3, 4))
    assert boxed.obb.tolist() == [[1, 2], [4, 2], [4, 6], [1, 6]]
    assert boxed.area == 12
    turned = Instance(corners_42=np.array([[2.0, 0], [4, 2], [2, 4], [0, 2]]))
    assert turned.area == 8
    assert list(turned.bbox) == [0, 0, 4, 4]
    assert list(turned.centre) == [2, 2]


@pytest.mark.parametrize("rule", ["otsu", "triangle"])
def test_automatic_thresholds_are_those_of_scikit_image(rng: np.random.Generator, rule: ThresholdRule) -> None:
    map_HW = np.abs(rng.normal(0, 0.1, (40, 40))).astype(np.float32)
    map_HW[10:20, 10:20] += 1
    map_HW[30:, 30:] = -1
    threshold = find_threshold(map_HW, rule)
    method: Callable[..., float] = threshold_otsu if rule == "otsu" else threshold_triangle
    assert threshold == pytest.approx(method(map_HW[map_HW > 0]), rel=1e-6)
    objects = find_objects(map_HW, ExtractionConfig(threshold=rule, min_area=20))
    assert (10, 10, 10, 10) in [item.bbox for item in objects] or rule == "triangle"


def test_maps_without_contrast_have_no_threshold() -> None:
    for value in (-1, 0, 1):
        assert find_threshold(np.full((4, 4), value, np.float32), "otsu") is None
        assert find_objects(np.full((4, 4), value, np.float32), ExtractionConfig(threshold="otsu")) == ()
    with pytest.raises(ValueError, match="threshold 'best' is no number"):
        ExtractionConfig(threshold="best")  # type: ignore[arg-type]


def test_heat_maps_of_any_range_are_brought_to_0_1() -> None:
    heat = np.array([[0, 64, 128, 255]], np.uint8)
    np.testing.assert_allclose(normalise(heat, 64, 128), [[0, 0, 1, 1]])
    np.testing.assert_allclose(normalise(heat, 0, 255), heat / 255, atol=1e-6)
    [item] = find_objects(heat, ExtractionConfig(threshold=0.5, value_range=(0, 255)))
    assert list(item.bbox) == [2, 0, 2, 1]
    with pytest.raises(ValueError, match=r"range 1\.\.1 is empty"):
        normalise(heat, 1, 1)
