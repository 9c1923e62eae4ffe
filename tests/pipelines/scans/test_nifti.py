"""NIfTI files: the grid that they lie on, and what differs between two."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipelines.scans.cases import Case
from pipelines.scans.volumes import read_volume
from tests.pipelines.scans.conftest import (
    DEPTH,
    WIDTH,
    brain,
    invoke,
    tumour,
    write_volume,
)


class TestOneGrid:
    def case(self, folder: Path, scan: NDArray[Any], segmentation: NDArray[Any]) -> Case:
        folder.mkdir(exist_ok=True)
        return Case(
            name="a",
            pictures=(write_volume(folder / "a_flair.nii", brain(), scan),),
            segmentation=write_volume(folder / "a_seg.nii", tumour(8, 11), segmentation),
        )

    @pytest.mark.parametrize(
        ("origin", "segmentation", "difference"),
        [
            ((0, DEPTH - 1, 0), np.eye(4), "origin 0 0 0 mm, not 0 29 0 mm"),
            ((WIDTH - 1, DEPTH - 1, 0), np.eye(4), "axes 1 0 0 0 1 0 0 0 1, not -1 0 0 0 -1 0 0 0 1"),
            ((0, 29, 0), [[-1, 0, 0, 0], [0, -1, 0, 29], [0, 0, 1, 1], [0, 0, 0, 1]], "origin 0 29 1 mm"),
            ((0, 29, 0), [[-1, 0, 0, 0], [0, -1, 0, 29], [0, 0, 1.05, 0], [0, 0, 0, 1]], "spacing 1 1 1.05 mm"),
            ((0, 29, 0), [[-1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0.5], [0, 0, 0, 1]], "axes -1 0 0 0 1 0 0 0 1"),
        ],
    )
    def test_differences_are_named(
        self, tmp_path: Path, origin: tuple[float, ...], segmentation: Any, difference: str
    ) -> None:
        scan = np.diag([-1.0, -1, 1, 1])
        scan[:3, 3] = origin
        case = self.case(tmp_path, scan, np.array(segmentation, float))
        with pytest.raises(ValueError, match=r"a_seg\.nii: does not lie on the grid of a_flair\.nii") as caught:
            read_volume(case)
        assert difference in str(caught.value)

    def test_an_identity_is_taken_on_trust_alone(self, tmp_path: Path) -> None:
        scan = np.diag([-1.0, -1, 1, 1])
        scan[1, 3] = DEPTH - 1
        expected = read_volume(self.case(tmp_path, scan, scan))
        for affines in ((scan, np.eye(4)), (np.eye(4), scan)):
            case = self.case(tmp_path, *affines)
            with pytest.raises(ValueError, match=r"does not say where it lies: .*--trust-grid"):
                read_volume(case)
            found = read_volume(case, trust_grid=True)
            np.testing.assert_array_equal(found.picture_ZHWC[..., 0], expected.picture_ZHWC[..., 0])
            np.testing.assert_array_equal(found.tumour_ZHW, expected.tumour_ZHW)

    def test_trust_does_not_reach_other_shapes_or_places(self, tmp_path: Path) -> None:
        scan, moved = np.diag([-1.0, -1, 1, 1]), np.diag([-1.0, -1, 1, 1])
        moved[2, 3] = 3
        with pytest.raises(ValueError, match="resample"):
            read_volume(self.case(tmp_path, scan, moved), trust_grid=True)
        case = self.case(tmp_path, scan, np.eye(4))
        write_volume(case.segmentation, tumour(8, 11)[1:], np.eye(4))
        with pytest.raises(ValueError, match="shape 23 x 30 x 20, not 24 x 30 x 20"):
            read_volume(case, trust_grid=True)

    def test_a_code_of_0_beside_another(self, tmp_path: Path) -> None:
        scan = np.diag([-1.0, -1, 1, 1])
        scan[:3, 3] = 11.5, 14.5, -9.5  # where files without a code are put, but for its turn
        case = self.case(tmp_path, scan, scan)
        content = bytearray(case.segmentation.read_bytes())
        content[252:256] = bytes(4)
        case.segmentation.write_bytes(content)
        with pytest.raises(ValueError, match="qform and sform codes 0 0, not 0 2"):
            read_volume(case)

    def test_the_command_has_the_option(self, tmp_path: Path) -> None:
        scan = np.diag([-1.0, -1, 1, 1])
        scan[1, 3] = DEPTH - 1
        for name in ("a", "b"):
            write_volume(tmp_path / f"{name}_flair.nii", brain(), scan)
            write_volume(tmp_path / f"{name}_seg.nii", tumour(8, 11), np.eye(4))
        result = invoke(tmp_path, tmp_path / "set")
        assert result.exit_code == 2
        assert "--trust-grid" in result.stderr
        assert invoke(tmp_path, tmp_path / "set", "--trust-grid").exit_code == 0

    def test_trust_of_three(self, tmp_path: Path) -> None:
        scan = np.diag([-1.0, -1, 1, 1])
        scan[1, 3] = DEPTH - 1
        case = self.case(tmp_path, np.eye(4), np.eye(4))
        placed = write_volume(tmp_path / "a_t2.nii", 2 * brain(), scan)
        expected = read_volume(self.case(tmp_path / "placed", scan, scan))
        found = read_volume(replace(case, pictures=(*case.pictures, placed)), trust_grid=True)
        for band in (0, 1):
            np.testing.assert_array_equal(found.picture_ZHWC[..., band], expected.picture_ZHWC[..., 0])
        np.testing.assert_array_equal(found.tumour_ZHW, expected.tumour_ZHW)

    def test_trust_ends_where_two_orders_are_there(self, tmp_path: Path) -> None:
        # The same places, stored the other way round: nobody knows which of the two the third follows.
        forth, back = np.diag([-1.0, -1, 1, 1]), np.diag([-1.0, 1, 1, 1])
        forth[1, 3] = DEPTH - 1
        case = self.case(tmp_path, forth, back)
        read_volume(case)
        lost = write_volume(tmp_path / "a_t2.nii", brain(), np.eye(4))
        with pytest.raises(ValueError, match=r"a_t2\.nii: does not lie on the grid of a_flair\.nii"):
            read_volume(replace(case, pictures=(*case.pictures, lost)), trust_grid=True)
