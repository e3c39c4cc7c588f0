"""nnU-Net's planning and preprocessing in this process. Imports nnunetv2: import it late, in `nnunet_environment`."""

from __future__ import annotations

import os
from typing import Any
from unittest import mock

from nnunetv2.experiment_planning.dataset_fingerprint import fingerprint_extractor
from nnunetv2.experiment_planning.experiment_planners.default_experiment_planner import ExperimentPlanner
from nnunetv2.preprocessing.preprocessors import default_preprocessor
from nnunetv2.utilities import utils

from fedfactory.methods.nnunet.environment import serial_pools


class Planner2d(ExperimentPlanner):
    """The stock planner, reduced to the 2D configuration that the benchmark uses.

    The 3D configurations are dropped before their cost arises: planning them builds 3D networks in a loop.
    """

    def get_plans_for_configuration(
        self, spacing: Any, median_shape: Any, data_identifier: str, approximate_n_voxels_dataset: float, _cache: dict
    ) -> dict:
        """Stock for 2D; for 3D the two entries that plan_experiment reads (a patch as large as the image)."""
        if len(spacing) == 3:
            return {"patch_size": median_shape, "spacing": spacing}
        return super().get_plans_for_configuration(
            spacing, median_shape, data_identifier, approximate_n_voxels_dataset, _cache
        )

    def save_plans(self, plans: dict) -> None:
        """Save the 2D configuration, under the name of the planner that made it."""
        plans["configurations"] = {"2d": plans["configurations"]["2d"]}
        plans["experiment_planner_used"] = ExperimentPlanner.__name__
        super().save_plans(plans)


def fingerprint_and_plan(dataset: str, plans_name: str, voxels: int) -> None:
    """Write dataset_fingerprint.json and the plans of a raw dataset.

    Args:
        dataset: folder name in `nnUNet_raw`.
        plans_name: file name of the plans, without ending.
        voxels: number of voxels of the dataset.
    """
    with serial_pools(fingerprint_extractor, utils):
        extractor = fingerprint_extractor.DatasetFingerprintExtractor(dataset, num_processes=1)
        extractor.show_progress_bar = False
        # nnU-Net draws 100 million intensities with replacement, whatever there is: 10 s and 1 GB for a small dataset.
        # They only describe the dataset, since z-scores are taken per case.
        extractor.num_foreground_voxels_for_intensitystats = min(
            extractor.num_foreground_voxels_for_intensitystats, voxels
        )
        extractor.run(overwrite_existing=True)
    # The planner sets torch's thread count to this number, and 0 is not allowed there.
    with serial_pools(utils), mock.patch.dict(os.environ, {"nnUNet_n_proc_DA": "1"}):
        Planner2d(dataset, plans_name=plans_name).plan_experiment()


def preprocess(dataset: str, plans_name: str, configuration: str) -> None:
    """Preprocess all cases of a raw dataset with the plans that lie in its preprocessed folder."""
    with serial_pools(default_preprocessor, utils):
        preprocessor = default_preprocessor.DefaultPreprocessor(verbose=False)
        preprocessor.show_progress_bar = False
        preprocessor.run(dataset, configuration, plans_name, num_processes=1)
