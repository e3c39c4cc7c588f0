"""A target's step written the straightforward way, each difference alone and all together, with the same weights."""

import copy
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.adaptation_cases import Case
from benchmarks.textbook_stylegan2 import BlurForm, TextbookGenerator, upfirdn
from fedfactory.factory.layers import magnify
from fedfactory.methods.ours import target
from fedfactory.methods.ours.branch import SegmentationBranch
from fedfactory.methods.ours.encoder import SOURCE
from fedfactory.methods.ours.losses import content_share
from fedfactory.training.batches import resize
from fedfactory.training.loop import Losses

# Of losses and gradients in double precision; in single precision a maximum or a kink may go the other way.
TOLERANCE = 1e-9
FORMS: tuple[BlurForm, ...] = ("reshaped", "grouped")


class EnlargingBranch(nn.Module):
    """The branch that enlarges all maps, joins them, and then applies its first layer; with weights of ours."""

    def __init__(self, source: SegmentationBranch):
        super().__init__()
        weights = torch.cat([layer.weight.detach() for layer in source.layers], 1)
        self.first = nn.Conv2d(weights.shape[1], weights.shape[0], 1, dtype=weights.dtype)
        with torch.no_grad():
            self.first.weight.copy_(weights)
            self.first.bias.copy_(source.layers[0].bias)
        self.classifier = copy.deepcopy(source.classifier)

    def forward(self, maps: Sequence[Tensor], size: int) -> Tensor:
        """Classify maps as logits (batch, classes + 1, size, size)."""
        maps = [F.interpolate(x, (size, size), mode="bilinear", align_corners=False) for x in maps]
        return self.classifier(self.first(torch.cat(maps, 1)))


class ApartStep(target.Step):
    """The target's step with passes of factory and LPIPS for each domain."""

    def losses(self, step: int, stream: torch.Generator) -> Losses:
        """The same terms."""
        batches, inter, terms = self.draw(stream), step % 2 == 1, Counter()
        ramp = content_share(step, self.p.schedule)
        count, nothing = sum(len(batch.images) for batch in batches), replace(batches[0], labels=None)
        for domain, batch in enumerate(batches):
            label, own = 1 - domain if inter else domain, len(batch.images)
            found = self.translator.decode(self.translator.encode(batch.images, domain), label, ramp)
            # The domains before have no images here.
            terms.update(self.segmentation(found, [nothing] * domain + [batch], [0] * domain + [own], inter))
            if not inter:
                terms["reconstruction"] += self.reconstruction(found.image, batch.images) * own / count
                continue
            if batch.paired:
                terms["translation"] += self.reconstruction(found.image[batch.paired], batch.counterparts) / 2
            if self.p.weights.cycle:
                back = resize(found.image.detach(), self.translator.encoder.size)
                cycle = self.translator.decode(self.translator.encode(back, label), domain, ramp)
                share = self.p.weights.cycle * own / count
                terms["cycle"] += self.reconstruction(cycle.image, batch.images) * share
        return terms


class TextbookFactory(TextbookGenerator):
    """The textbook generator, which also hands its feature maps out and takes others back."""

    def synthesise(
        self,
        styles: Tensor,
        noise: Sequence[Tensor] | None = None,
        features: bool = True,
        edit: Callable[[int, Tensor], Tensor] | None = None,
        zoom: Tensor | float | None = None,
    ) -> tuple[Tensor, list[Tensor]]:
        """As :meth:`fedfactory.factory.networks.Generator.synthesise`, with ``features``; the zoom is ours."""
        x, image, maps = self.constant.repeat(len(styles), 1, 1, 1), None, []
        for i, conv in enumerate(self.convs):
            if zoom is not None and i == self.shared_styles:
                x, image = magnify(x, zoom), magnify(image, zoom)
            x = edit(i, conv(x, styles[:, i], None if noise is None else noise[i]))
            maps.append(x)
            if i % 2 == 0:
                rendered = self.to_images[i // 2](x, styles[:, i + 1])
                image = rendered if image is None else upfirdn(image, 2, 1, (2, 1), 4, self.form) + rendered
        return image, maps


@dataclass(frozen=True)
class Variant:
    """Which parts are written the straightforward way.

    Attributes:
        enlarge: the branches enlarge and join all maps.
        apart: domains pass factory and LPIPS one by one.
        factory: form of the textbook factory's blur; None for ours.
        plain_order: the encoder computes in NCHW order.
        fill: torch fills new memory, its default with deterministic algorithms.
    """

    enlarge: bool = False
    apart: bool = False
    factory: BlurForm | None = None
    plain_order: bool = False
    fill: bool = False


VARIANTS = {
    "ours": Variant(),
    "a: branch enlarges and joins all maps": Variant(enlarge=True),
    "b: domains one by one": Variant(apart=True),
    **{f"c: textbook factory, blur {form}": Variant(factory=form) for form in FORMS},
    "d: encoder in NCHW order": Variant(plain_order=True),
    "e: new memory is filled": Variant(fill=True),
    **{f"all, blur {form}": Variant(True, True, form, True, True) for form in FORMS},
}


class VariantCase(Case):
    """A case with other networks and another step, of equal weights.

    Args:
        case: whose weights and data it takes.
        variant: what is different.
    """

    def __init__(self, case: Case, variant: Variant):
        self.scale, self.data, self.perceptual, self.fill = case.scale, case.data, case.perceptual, variant.fill
        self.step_class = ApartStep if variant.apart else target.Step
        self.translator, (generator,) = copy.deepcopy(case.translator), case.translator._generator
        if variant.factory:
            own = TextbookFactory(self.scale.factory.network, variant.factory).to(generator.constant.dtype)
            own.load_state_dict(generator.state_dict())
            generator = own.requires_grad_(False).eval()
        self.translator._generator = (generator,)
        if variant.plain_order:
            # Copies: what has one pixel or channel counts as being in both orders.
            for parameter in self.translator.encoder.parameters():
                parameter.data = parameter.data.clone(memory_format=torch.contiguous_format)
            self.translator.encoder.stem.register_forward_pre_hook(
                lambda _, given: given[0].clone(memory_format=torch.contiguous_format)
            )
        make = EnlargingBranch if variant.enlarge else copy.deepcopy
        self.branches = {domain: make(branch) for domain, branch in case.branches.items()}
        self.branches[SOURCE].requires_grad_(False).eval()

    def step(self, kind: str) -> Losses:
        """Forward and backward."""
        memory: Any = torch.utils.deterministic
        memory.fill_uninitialized_memory = self.fill
        try:
            return super().step(kind)
        finally:
            memory.fill_uninitialized_memory = False


def difference(ours: Case, other: Case, kind: str, tolerance: float) -> float:
    """Check that two steps are equal.

    Returns:
        The largest relative difference of a loss, or of the gradient of all the encoder's weights together.

    Raises:
        SystemExit: it is above the tolerance.
    """
    wanted, found = ours.step(kind), other.step(kind)
    differences = [abs(float(found[name].detach() / wanted[name].detach() - 1)) for name in wanted]
    gradients = [
        torch.cat([p.grad.flatten() for p in case.translator.encoder.parameters() if p.grad is not None])
        for case in (ours, other)
    ]
    differences.append(float((gradients[1] - gradients[0]).norm() / gradients[0].norm()))
    if not max(differences) <= tolerance or found.keys() != wanted.keys():
        raise SystemExit(f"{kind}: losses or gradients differ by {max(differences):.1e}")
    return max(differences)
