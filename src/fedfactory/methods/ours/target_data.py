"""A target's own data as its adaptation reads them, beside what the source shares."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from fedfactory.data.deformation import deformed
from fedfactory.data.store import ClientView
from fedfactory.errors import FedFactoryError
from fedfactory.methods.ours.branch import SegmentationBranch
from fedfactory.methods.ours.encoder import SOURCE
from fedfactory.methods.ours.field_of_view import FieldOfView
from fedfactory.methods.ours.model import Stored
from fedfactory.methods.ours.parameters import TargetParameters
from fedfactory.methods.ours.rendering import Look
from fedfactory.methods.ours.samples import Samples, rendered, slices_of, stack
from fedfactory.methods.ours.synthetic import SyntheticSet
from fedfactory.methods.ours.translator import Translator


@dataclass(frozen=True)
class TargetData:
    """What an adaptation may see.

    Attributes:
        source: source images with S_s's labels (synthetic ones, unless a control takes real ones).
        pairs: the same synthetic images with the target's look, in the order of ``source``; None without factory pairs.
        labelled: slices of M_t; None at zero labels.
        unlabelled: the target's training images.
        frame: from the target's field of view to the source's.
        size: edge of the labels.
        classes: foreground classes.
    """

    source: Samples
    pairs: Samples | None
    labelled: Samples | None
    unlabelled: Samples
    frame: FieldOfView
    size: int
    classes: int


@dataclass(frozen=True)
class TargetClient:
    """A target, and what the source shares with it.

    Attributes:
        view: the target's store.
        source: the source branch.
        synthetic: the synthetic source set.
        look: of the target.
        p: parameters of the adaptation.
        seed: of the deformed copies.
        centralised: the source's store, for the control ``source_samples: real`` alone.
    """

    view: ClientView
    source: Stored
    synthetic: SyntheticSet
    look: Look
    p: TargetParameters
    seed: int
    centralised: ClientView | None = None

    def __post_init__(self) -> None:
        """Refuse a target that segments something else."""
        if self.view.classes != self.source.architecture.classes:
            raise FedFactoryError(
                f"{self.view.folder} has the classes {', '.join(self.view.classes)}, the source branch segments "
                f"{', '.join(self.source.architecture.classes)}; take the source branch of the same setup"
            )

    @property
    def frame(self) -> FieldOfView:
        """From the target's field of view to the source's."""
        if self.p.field_of_view == "as_is":
            return FieldOfView(0.0)
        return FieldOfView.of(self.source.architecture.zoom - self.look.zoom)

    def data(self) -> TargetData:
        """Bring everything into the source's field of view and the encoder's size.

        Raises:
            FedFactoryError: no M_t, or a class that M_t does not show.
        """
        size, p, frame = self.source.architecture.encoder.image_size, self.p, self.frame
        classes, device = len(self.view.classes), self.source.factory.device
        unlabelled = stack(volume.images for volume in self.view.unlabelled_images("train"))
        labelled = None
        if p.labelled_slices != 0:
            labelled = slices_of(*self._copies, classes, frame, size, device)
        return TargetData(
            source=self._source_samples,
            pairs=self._counterparts if p.batch.pairs else None,
            labelled=labelled,
            unlabelled=slices_of(unlabelled, None, classes, frame, size, device),
            frame=frame,
            size=unlabelled.shape[-1],
            classes=classes,
        )

    @cached_property
    def few_shot(self) -> tuple[np.ndarray, np.ndarray]:
        """Images and labels of M_t, as many as the method declares."""
        volume = self.view.few_shot()
        images, labels = volume.images, volume.labels
        missing = [name for value, name in enumerate(self.view.classes, start=1) if not (labels == value).any()]
        if missing:
            raise FedFactoryError(
                f"{self.view.folder}: none of the {len(labels)} labelled slices M_t shows the class "
                f"{', '.join(missing)}; label another slice, or raise 'few_shot.slices'"
            )
        return images, labels

    @cached_property
    def _copies(self) -> tuple[np.ndarray, np.ndarray | None]:
        """M_t as it is and deformed."""
        images, labels = self.few_shot
        return deformed(images, self.p.copies, self.seed, labels)

    @cached_property
    def _source_samples(self) -> Samples:
        size = self.source.architecture.encoder.image_size
        classes, device = len(self.view.classes), self.source.factory.device
        if self.centralised is None:
            return rendered(self.synthetic.images, self.synthetic.labels, size, device)
        volumes = self.centralised.labelled_volumes("train")
        images, labels = stack(v.images for v in volumes), stack(v.labels for v in volumes)
        return slices_of(images, labels, classes, FieldOfView(0.0), size, device)

    @cached_property
    def _counterparts(self) -> Samples:
        images = self.synthetic.render_as(self.source.factory, self.look, self.source.architecture.zoom)
        return rendered(images, None, self.source.architecture.encoder.image_size, self.source.factory.device)


def target_networks(
    source: Stored, look: Look, p: TargetParameters, seed: int
) -> tuple[Translator, SegmentationBranch]:
    """E_t (with F) and S_t before the adaptation.

    Args:
        source: the source branch.
        look: of the target.
        p: parameters; ``start`` says whether both start as the source's or as they are drawn.
        seed: of weights that are drawn.
    """
    translator, branch = source.architecture.networks(source.factory, seed)
    if p.start == "source":
        translator.encoder.load_state_dict(source.translator.encoder.state_dict())
        translator.encoder.start_target_as_source()
        branch.load_state_dict(source.branches[SOURCE].state_dict())
    translator.means.copy_(torch.stack([source.translator.means[SOURCE], look.mean(source.factory)]))
    return translator, branch
