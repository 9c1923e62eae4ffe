"""The branched GAN in use: reconstructions of a picture as either class, and the distinction map that is made of them.

Shape letters: B batch, N branches, C bands, H height, W width, K raw outputs.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from distmap.data.folders import WITH, WITHOUT
from distmap.inference.predictor import Panel, Predictor
from distmap.inference.refinement import (
    follow_edges,
    gaussian,
    gaussian_reach,
    normalise_locally,
    shrink,
    suppress_halos,
)
from distmap.methods.branched_gan.settings import BranchedGanSettings
from distmap.networks.classifiers import PictureClassifier
from distmap.networks.generators import Generator
from distmap.networks.localizer import Localizer

DATA_RANGE = 2.0  # of pictures in [-1, 1]
WEIGHTED, UNWEIGHTED, BRANCH1, LOCALIZER = "weighted", "unweighted", "branch1", "localizer"


class BranchedGanPredictor(Predictor):
    """Raw outputs, B x (3C + 1) x H x W: x - x̂(0), x - x̂(1), b_1(x, 1) - b_1(x, 0), and the localizer's logit.

    x̂(y) is the sum of the branches under class y. The map is large where the picture holds what only pictures WITH
    have, and zero where branch 1 is the same under both classes: ``r g / (g + gate)`` with ``r = abs(x - x̂(0))`` and
    ``g = abs(b_1(x, 1) - b_1(x, 0))``, both mean over bands. ``r`` gives the shape, the gate drops what is merely
    reconstructed badly. A weighted map is ``p m / (m + gain)`` with the unweighted map m and the localizer's
    probability p: the reconstruction knows what shape, the localizer knows where. ``branch1`` is ``g`` alone,
    ``localizer`` the probability alone.
    """

    kinds: tuple[str, ...] = (WEIGHTED, UNWEIGHTED, BRANCH1, LOCALIZER)

    def __init__(
        self,
        generator: Generator,
        localizer: Localizer | None,
        judge: PictureClassifier | None,
        settings: BranchedGanSettings,
        *,
        side: int,
        bands: int,
    ) -> None:
        if localizer is None:
            self.kinds = (UNWEIGHTED, BRANCH1)
        super().__init__(side)
        if settings.map.kind != "auto":
            self.candidates = (settings.map.kind,)
        else:
            self.candidates = tuple(kind for kind in (WEIGHTED, UNWEIGHTED) if kind in self.kinds)
        self.kind = self.candidates[0]
        self.generator = generator
        self.localizer = localizer
        self.judge = judge
        self.settings = settings.map
        self.bands = bands

    refine_bytes = 200  # means in float64, and what they are made of

    def raw_channels(self, bands: int) -> int:
        """See ``Predictor.raw_channels``."""
        return 3 * bands + 1

    def branches(self, x_BCHW: Tensor, label: int) -> Tensor:
        """Branches b_k(x, label), B x N x C x H x W in [-1, 1]; branch 1 is the first."""
        return self._branches(self.generator.encode(x_BCHW), x_BCHW, label)

    def _branches(self, features: list[Tensor], x_BCHW: Tensor, label: int) -> Tensor:
        # Not len(), which would make the size of the batch a constant of an exported graph.
        labels_B = torch.full((x_BCHW.shape[0],), label, device=x_BCHW.device)
        return self.generator.decompose(features, labels_B)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """See the class."""
        features = self.generator.encode(x_BCHW)
        without = self._branches(features, x_BCHW, WITHOUT)
        with_ = self._branches(features, x_BCHW, WITH)
        outputs = [x_BCHW - without.sum(dim=1), x_BCHW - with_.sum(dim=1), with_[:, 0] - without[:, 0]]
        if self.localizer is not None:
            logits = self.localizer.location_logits(x_BCHW)[:, None]
            outputs.append(F.interpolate(logits, x_BCHW.shape[2:], mode="bilinear"))
        else:
            outputs.append(torch.zeros_like(x_BCHW[:, :1]))
        return torch.cat(outputs, dim=1)

    def distinction(self, raw_BKHW: Tensor, kind: str) -> Tensor:
        """``r g / (g + gate)``, or ``g`` alone, B x H x W, before it is smoothed and weighted."""
        residual = raw_BKHW[:, : self.bands].abs().mean(dim=1)
        change = raw_BKHW[:, 2 * self.bands : 3 * self.bands].abs().mean(dim=1)
        return change if kind == BRANCH1 else residual * change / (change + self.settings.gate)

    def coarse_map(self, raw_BKHW: Tensor, kind: str | None = None) -> Tensor:
        """See the class; edges and contrast are not seen to yet."""
        kind = kind or self.kind
        if kind == LOCALIZER:
            return gaussian(torch.sigmoid(raw_BKHW[:, -1]), self.settings.localizer_smoothing)
        if kind == WEIGHTED:
            return self._weighted(self.coarse_map(raw_BKHW, UNWEIGHTED), self.coarse_map(raw_BKHW, LOCALIZER))
        smooth = gaussian(self.distinction(raw_BKHW, kind), self.settings.smoothing)
        return suppress_halos(smooth, self.settings.halo_suppression, self.settings.halo_radius)

    def _weighted(self, distinction_BHW: Tensor, probability_BHW: Tensor) -> Tensor:
        return probability_BHW * distinction_BHW / (distinction_BHW + self.settings.gain)

    def to_map(
        self,
        raw_BKHW: Tensor,
        picture_BCHW: Tensor,
        scale: float = 1.0,
        *,
        top: float = 0.0,
        left: float = 0.0,
        valid_BHW: Tensor | None = None,
        kind: str | None = None,
    ) -> Tensor:
        """See ``Predictor.to_map``; a weighted map is made of the two others as they are handed out."""

        def of(kind: str) -> Tensor:
            return super(BranchedGanPredictor, self).to_map(
                raw_BKHW, picture_BCHW, scale, top=top, left=left, valid_BHW=valid_BHW, kind=kind
            )

        kind = kind or self.kind
        return self._weighted(of(UNWEIGHTED), of(LOCALIZER)) if kind == WEIGHTED else of(kind)

    def coarse_margin(self) -> int:
        """See ``Predictor.coarse_margin``."""
        settings = self.settings
        halo = settings.halo_radius if settings.halo_suppression else 0
        return max(gaussian_reach(settings.smoothing) + halo, gaussian_reach(settings.localizer_smoothing))

    def refine(
        self,
        map_BHW: Tensor,
        picture_BCHW: Tensor,
        scale: float,
        valid_BHW: Tensor | None = None,
        kind: str | None = None,
    ) -> Tensor:
        """Edges moved to those of the picture, local normalisation, shrinkage; a localizer's map stays as it is."""
        settings = self.settings
        if (kind or self.kind) == LOCALIZER:
            return map_BHW
        moved = follow_edges(
            map_BHW,
            picture_BCHW.mean(dim=1),
            self._edge_radius(scale),
            saturation=settings.saturation,
            softness=settings.edge_softness,
        )
        normalised = normalise_locally(
            moved,
            round(settings.normalisation_radius * scale),
            settings.normalisation,
            mean=settings.normalisation_mean,
            floor=settings.normalisation_floor,
            valid_BHW=valid_BHW,
        )
        return shrink(normalised, settings.shrinkage)

    def refine_margin(self, scale: float) -> int:
        """See ``Predictor.refine_margin``."""
        settings = self.settings
        normalising = round(settings.normalisation_radius * scale) if settings.normalisation else 0
        return 2 * self._edge_radius(scale) + normalising

    def _edge_radius(self, scale: float) -> int:
        """In pixels of the picture; further where pictures are finer than the network, which saw less of them."""
        settings = self.settings
        growth = min(max(scale, 1.0), settings.edge_growth)
        return round(settings.edge_radius * scale * growth) if self.follow_edges else 0

    @torch.no_grad()
    def diagnostics(self, picture_CHW: Tensor, raw_KHW: Tensor) -> dict[str, float]:
        """``psnr_with``, ``psnr_without``: reconstructed as that class against itself, in dB. ``residual``: mean
        absolute difference of the picture and the better of its two sums of branches. ``flips_to_with``,
        ``flips_to_without``: 1 where the judge takes the reconstruction for that class, else 0 (pictures no larger than
        one window).
        """
        scores: dict[str, float] = {}
        errors = []
        for label, name in ((WITHOUT, "without"), (WITH, "with")):
            difference_CHW = raw_KHW[label * self.bands : (label + 1) * self.bands]
            mse = max(float(difference_CHW.square().mean()), 1e-12)
            scores[f"psnr_{name}"] = 10 * float(torch.log10(torch.tensor(DATA_RANGE**2 / mse, dtype=torch.float64)))
            errors.append(float(difference_CHW.abs().mean()))
            verdict = self._verdict(picture_CHW - difference_CHW)
            if verdict is not None:
                scores[f"flips_to_{name}"] = float(verdict == label)
        scores["residual"] = min(errors)
        return scores

    def _verdict(self, reconstructed_CHW: Tensor) -> int | None:
        """The class that the judge sees, or None where there is no judge or the picture is larger than its window."""
        below, right = (self.side - length for length in reconstructed_CHW.shape[1:])
        if self.judge is None or min(below, right) < 0:
            return None
        x_BCHW = F.pad(reconstructed_CHW[None], (0, right, 0, below), mode="replicate")
        return int(self.judge(x_BCHW).argmax(dim=1).item())

    @torch.no_grad()
    def panels(self, picture_CHW: Tensor, label: int) -> list[Panel]:
        """The branches under the other class, and their sum, the counterfactual."""
        branches_NCHW = self.branches(picture_CHW[None], 1 - label)[0]
        named = [Panel(title=f"branch {k}", picture_CHW=branch) for k, branch in enumerate(branches_NCHW, start=1)]
        return [*named, Panel(title="counterfactual", picture_CHW=branches_NCHW.sum(dim=0))]
