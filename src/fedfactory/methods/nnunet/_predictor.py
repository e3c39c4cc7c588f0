"""nnU-Net's predictor, with several slices in a pass. Imports nnunetv2: import it late, in `nnunet_environment`."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.inference.sliding_window_prediction import compute_gaussian
from torch import Tensor

from fedfactory.errors import FedFactoryError
from fedfactory.training.batches import batch_length


class BenchmarkPredictor(nnUNetPredictor):
    """The stock predictor passes patches one by one, and each mirrored: of small slices most is fixed cost."""

    @torch.inference_mode()
    def _internal_predict_sliding_window_return_logits(
        self, data: Tensor, slicers: Sequence[tuple], do_on_device: bool = True
    ) -> Tensor:
        """Stock: mean of the patches' logits, weighted towards their middles, in half precision.

        Args:
            data: (channels, slices, height, width).
            slicers: where patches lie.
            do_on_device: whether the result lies on the device of the network.

        Returns:
            Logits (classes, slices, height, width).

        Raises:
            FedFactoryError: a logit is too large for half precision.
        """
        place = self.device if do_on_device else torch.device("cpu")
        patch = tuple(self.configuration_manager.patch_size)
        heads, shape = self.label_manager.num_segmentation_heads, data.shape[1:]
        logits = torch.zeros((heads, *shape), dtype=torch.half, device=place)
        weights = torch.zeros(shape, dtype=torch.half, device=place)
        gaussian = compute_gaussian(patch, sigma_scale=1 / 8, value_scaling_factor=10, device=place)
        length = batch_length(len(slicers), math.prod(patch))
        for start in range(0, len(slicers), length):
            part = slicers[start : start + length]
            patches = torch.stack([data[where] for where in part]).to(self.device)
            found = self._internal_maybe_mirror_and_predict(patches).to(place)
            for where, own in zip(part, found, strict=True):
                logits[where] += own * gaussian
                weights[where[1:]] += gaussian
        if torch.isinf(logits.div_(weights)).any():
            raise FedFactoryError("a logit of nnU-Net is not finite in half precision; lower the learning rate")
        return logits
