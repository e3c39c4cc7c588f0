"""A target's own data as its adaptation reads them, beside what the source shares."""

from __future__ import annotations

import numpy as np
import torch

from fedfactory.adaptation.branch import SegmentationBranch
from fedfactory.adaptation.encoder import SOURCE
from fedfactory.adaptation.frame import Frame, frame_between
from fedfactory.adaptation.look import Look
from fedfactory.adaptation.model import Stored
from fedfactory.adaptation.parameters import TargetParameters
from fedfactory.adaptation.samples import Samples, rendered, slices_of, stack
from fedfactory.adaptation.synthetic import SyntheticSet
from fedfactory.adaptation.target import TargetData
from fedfactory.adaptation.translator import Translator
from fedfactory.data.store import ClientView
from fedfactory.errors import FedFactoryError


def target_data(
    view: ClientView,
    source: Stored,
    synthetic: SyntheticSet,
    look: Look,
    p: TargetParameters,
    centralised: ClientView | None = None,
) -> TargetData:
    """Bring everything into the source's field of view and the encoder's size.

    Args:
        view: the target's store.
        source: the source branch.
        synthetic: the synthetic source set.
        look: of the target.
        p: parameters of the adaptation.
        centralised: the source's store, for the control ``source_samples: real`` alone.

    Raises:
        FedFactoryError: other classes than the source's, no M_t, or a class that M_t does not show.
    """
    architecture, device = source.architecture, source.factory.device
    if view.classes != architecture.classes:
        raise FedFactoryError(
            f"{view.folder} has the classes {', '.join(view.classes)}, the source branch segments "
            f"{', '.join(architecture.classes)}; take the source branch of the same setup"
        )
    frame, classes = frame_between(look.zoom, architecture.zoom), len(view.classes)
    sizes = architecture.encoder.image_size, source.translator.size
    unlabelled = stack(volume.images for volume in view.unlabelled_images("train"))
    labelled = None
    if p.labelled_slices != 0:
        images, labels = _few_shot(view, p.labelled_slices)
        labelled = slices_of(images, labels, classes, frame, *sizes, p.copies, 0, device)
    pairs = None
    if p.batch.pairs:
        pairs = rendered(synthetic.render_as(source.factory, look, architecture.zoom), None, classes, sizes[0], device)
    return TargetData(
        source=_source_samples(synthetic, centralised, classes, sizes, device),
        pairs=pairs,
        labelled=labelled,
        unlabelled=slices_of(unlabelled, None, classes, frame, *sizes, 1, 0, device),
        validation=view.labelled_volumes("validation") if p.validation == "full" else (),
        frame=frame,
        size=unlabelled.shape[-1],
        classes=classes,
    )


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


def _few_shot(view: ClientView, count: int | None) -> tuple[np.ndarray, np.ndarray]:
    volume = view.few_shot()
    if count is not None and count > len(volume.images):
        raise FedFactoryError(
            f"{view.folder}: M_t has {len(volume.images)} slices, 'labelled_slices' asks for {count}; raise "
            "'few_shot.slices'"
        )
    images, labels = volume.images[:count], volume.labels[:count]
    missing = [name for value, name in enumerate(view.classes, start=1) if not (labels == value).any()]
    if missing:
        raise FedFactoryError(
            f"{view.folder}: none of the {len(labels)} labelled slices M_t shows the class {', '.join(missing)}; label "
            "another slice, or raise 'few_shot.slices'"
        )
    return images, labels


def _source_samples(
    synthetic: SyntheticSet, centralised: ClientView | None, classes: int, sizes: tuple[int, int], device: str
) -> Samples:
    if centralised is None:
        return rendered(synthetic.images, synthetic.labels, classes, sizes[0], device)
    volumes = centralised.labelled_volumes("train")
    images, labels = stack(v.images for v in volumes), stack(v.labels for v in volumes)
    return slices_of(images, labels, classes, Frame(0.0), *sizes, 1, 0, device)
