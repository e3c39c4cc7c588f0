"""Generator and discriminator of the factory (paper, section 3.1; Karras et al., CVPR 2020)."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fedfactory.factory.convolution import double
from fedfactory.factory.layers import (
    EqualisedConv,
    EqualisedLinear,
    EqualisedPointwise,
    StyledConv,
    ToImage,
    magnify,
    minibatch_deviation,
    normal_weight,
    pixel_norm,
)
from fedfactory.factory.parameters import NetworkParameters

# Mean of the clients' zooms: 2 % larger. Not 0, where bilinear interpolation has a kink: its slope there is none.
_MEAN_ZOOM = 0.02
# Share of the key's embedding in the combination of key and label.
_KEY_SHARE = {"mean": 0.5, "key_dominant": 0.8, "label": 0.0}


class ConditionEmbedding(nn.Module):
    """Embeddings of the label (client and slice position) and of the CLIP key, each pixel-normalised.

    Args:
        p: the architecture.
    """

    def __init__(self, p: NetworkParameters):
        super().__init__()
        self.clients, self.bins, self.width = p.clients, p.position_bins, p.position_width
        self.key_share = _KEY_SHARE[p.weighting]
        self.from_label = EqualisedLinear(p.clients + p.position_bins, p.latent)
        self.from_key = EqualisedLinear(p.key_size, p.latent)

    def label(self, client: Tensor | None, position: Tensor) -> Tensor:
        """Embed client and position, int64 (batch,), as (batch, latent); without a client its one-hot is zero."""
        kind = self.from_label.weight.dtype
        bins = self._bins(position).to(kind)
        clients = bins.new_zeros(len(bins), self.clients) if client is None else F.one_hot(client, self.clients)
        return pixel_norm(self.from_label(torch.cat([clients.to(kind), bins], 1)))

    def _bins(self, position: Tensor) -> Tensor:
        """Positions (batch,) over the bins, (batch, bins) of length one: in one of them, or in a bell around it."""
        if not self.width:
            return F.one_hot(position, self.bins)
        away = torch.arange(self.bins, device=position.device) - position[:, None]
        return F.normalize(torch.exp(-((away / self.width) ** 2) / 2))

    def key(self, key: Tensor) -> Tensor:
        """Embed keys (batch, key_size) as (batch, latent)."""
        return pixel_norm(self.from_key(key))

    def forward(self, client: Tensor, position: Tensor, key: Tensor, use_key: bool = True) -> Tensor:
        """Combine both embeddings (equation 1, or the weighting of the public code) to (batch, latent).

        Args:
            client: int64 (batch,).
            position: slice-position bins, int64 (batch,).
            key: (batch, key_size).
            use_key: without it the label's embedding stands alone.
        """
        label = self.label(client, position)
        return torch.lerp(label, self.key(key), self.key_share) if use_key else label


class Generator(nn.Module):
    """Conditional StyleGAN2 generator of one image channel with skip connections to the image.

    Args:
        p: the architecture.

    Attributes:
        resolutions: 4, 8, ..., image_size.
        n_styles: inputs of a style vector, 2 log2(image_size) - 2.
        feature_type: type of the feature maps; that of the weights if None. Styles and images have the weights' type.
    """

    feature_type: torch.dtype | None = None

    def __init__(self, p: NetworkParameters):
        super().__init__()
        self.latent, self.bins, self.resolutions = p.latent, p.position_bins, p.resolutions
        self.n_styles = 2 * len(p.resolutions)
        # The first convolution of resolution r reads style 2 log2(r) - 5; what is below never sees the client.
        self.shared_styles = 0
        if p.label_reaches == "late":
            self.shared_styles = max(2 * p.resolutions.index(p.late_from) - 1, 0)
        self.condition = ConditionEmbedding(p)
        widths = [2 * p.latent] + [p.latent] * p.mapping_layers
        self.mapping = nn.Sequential(
            *(
                EqualisedLinear(a, b, rate=p.mapping_rate, activation=True)
                for a, b in zip(widths, widths[1:], strict=False)
            )
        )
        channels = [p.channels[r] for r in p.resolutions]
        self.constant = normal_weight(1, channels[0], 4, 4)
        convs = [StyledConv(channels[0], channels[0], p.latent, p.noise)]
        for before, after in zip(channels, channels[1:], strict=False):
            convs.append(StyledConv(before, after, p.latent, p.noise, up=True))
            convs.append(StyledConv(after, after, p.latent, p.noise))
        self.convs = nn.ModuleList(convs)
        self.to_images = nn.ModuleList(ToImage(c, p.latent) for c in channels)
        self.zoom = nn.Parameter(torch.zeros(p.clients)) if p.client_zoom else None

    def zooms(self) -> Tensor | None:
        """Logarithms of all clients' magnifications, (clients,); None if they have none of their own.

        Their mean stays what it is: the anatomy could as well be learned smaller and magnified more for all, and would
        have fewer pixels.
        """
        return None if self.zoom is None else self.zoom - self.zoom.mean() + _MEAN_ZOOM

    def zoom_of(self, client: Tensor) -> Tensor | None:
        """Logarithm of the clients' magnification, (batch,) for int64 (batch,); None if they have none of their own."""
        zooms = self.zooms()
        return None if zooms is None else zooms[client]

    def styles(self, z: Tensor, client: Tensor, position: Tensor, key: Tensor, use_key: bool = True) -> Tensor:
        """Map latents and conditions to one style vector for each style input.

        Args:
            z: (batch, latent), of a standard normal distribution.
            client: int64 (batch,).
            position: slice-position bins, int64 (batch,).
            key: (batch, key_size).
            use_key: whether the key takes part in the condition.

        Returns:
            (batch, n_styles, latent). With ``label_reaches: late`` the first ones depend on z and position only.
        """
        z = pixel_norm(z)
        late = self._map(z, self.condition(client, position, key, use_key))
        if not self.shared_styles:
            return late.expand(-1, self.n_styles, -1)
        early = self._map(z, self.condition.label(None, position))
        return torch.cat(
            [early.expand(-1, self.shared_styles, -1), late.expand(-1, self.n_styles - self.shared_styles, -1)], 1
        )

    def synthesise(
        self,
        styles: Tensor,
        noise: Sequence[Tensor] | None = None,
        features: bool = False,
        edit: Callable[[int, Tensor], Tensor] | None = None,
        zoom: Tensor | float | None = None,
    ) -> Any:
        """Render styles.

        Args:
            styles: (batch, n_styles, latent).
            noise: for each styled convolution (batch or 1, 1, height, width); otherwise torch's global generator draws.
            features: whether to return the feature maps too.
            edit: receives the index of a styled convolution and its feature maps, returns what replaces them.
            zoom: of the client, (batch,) as by :meth:`zoom_of`, or one for all: magnifies what is shared before the
                client's own layers.

        Returns:
            Images (batch, 1, image_size, image_size), about in [-1, 1]. With ``features`` also a list of the (edited)
            feature maps (batch, channels, height, width), one for each styled convolution: two for each resolution, but
            one for 4 x 4.
        """
        w = styles.unbind(1)
        drawn: Sequence[Tensor | None] = [None] * len(self.convs) if noise is None else noise
        x = self.constant.to(self.feature_type or self.constant.dtype).expand(len(styles), -1, -1, -1)
        image: Any = None
        maps: list[Tensor] = []
        for i, conv in enumerate(self.convs):
            if zoom is not None and i == self.shared_styles:
                x, image = magnify(x, zoom), magnify(image, zoom)
            x = conv(x, w[i], drawn[i])
            if edit is not None:
                x = edit(i, x)
            maps.append(x) if features else None
            if i % 2 == 0:
                rendered = self.to_images[i // 2](x, w[i + 1])
                image = rendered if image is None else double(image) + rendered
        return (image, maps) if features else image

    def forward(
        self,
        z: Tensor,
        client: Tensor,
        position: Tensor,
        key: Tensor,
        mix: tuple[Tensor, Tensor | int] | None = None,
        use_key: bool = True,
    ) -> Tensor:
        """Generate images.

        Args:
            z: (batch, latent), of a standard normal distribution.
            client: int64 (batch,).
            position: slice-position bins, int64 (batch,).
            key: (batch, key_size).
            mix: style mixing: a second z and the index, one for all or int64 (batch,), of the first style made from it.
            use_key: whether the key takes part in the condition.

        Returns:
            Images (batch, 1, image_size, image_size), about in [-1, 1].
        """
        styles = self.styles(z, client, position, key, use_key)
        if mix is not None:
            styles = self.mix(styles, self.styles(mix[0], client, position, key, use_key), mix[1])
        return self.synthesise(styles, zoom=self.zoom_of(client))

    def mix(self, styles: Tensor, others: Tensor, crossover: Tensor | int) -> Tensor:
        """Take styles up to an index, the others from there on; both are (batch, n_styles, latent)."""
        index = torch.arange(self.n_styles, device=styles.device)[:, None]
        crossover = crossover.view(-1, 1, 1) if isinstance(crossover, Tensor) else crossover
        return torch.where(index < crossover, styles, others)

    @torch.no_grad()
    def mean_latent(self, n: int, client: int, key: Tensor, generator: torch.Generator) -> Tensor:
        """Estimate the mean styles of a client by sampling z and positions.

        Args:
            n: number of samples.
            client: index of the client.
            key: its key, (key_size,).
            generator: a generator of random numbers on the CPU.

        Returns:
            (n_styles, latent).
        """
        device = key.device
        z = torch.randn(n, self.latent, generator=generator).to(device)
        position = torch.randint(self.bins, (n,), generator=generator).to(device)
        clients = torch.full((n,), client, device=device)
        return self.styles(z, clients, position, key.expand(n, -1)).mean(0)

    def _map(self, z: Tensor, condition: Tensor) -> Tensor:
        """Map z and condition, (batch, latent) each, to w (batch, 1, latent)."""
        return self.mapping(torch.cat([z, condition], 1))[:, None]


class ResidualBlock(nn.Module):
    """Two convolutions and a skip connection that halve the image.

    Args:
        inputs: channels that come in.
        outputs: channels that go out.
    """

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        # Both branches carry 1 / sqrt(2), so that their sum keeps the variance.
        self.first = EqualisedConv(inputs, inputs)
        self.second = EqualisedConv(inputs, outputs, down=True, gain=0.5**0.5)
        self.skip = EqualisedPointwise(inputs, outputs, down=True, gain=0.5**0.5)

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, inputs, height, width) to (batch, outputs, height / 2, width / 2)."""
        return self.second(self.first(x)) + self.skip(x)


class Discriminator(nn.Module):
    """Residual StyleGAN2 discriminator, conditioned by projection (Miyato and Koyama, ICLR 2018).

    Args:
        p: the architecture.

    Attributes:
        feature_type: type of the feature maps; that of the images if None.
    """

    feature_type: torch.dtype | None = None

    def __init__(self, p: NetworkParameters):
        super().__init__()
        channels = [p.channels[r] for r in reversed(p.resolutions)]
        self.condition = ConditionEmbedding(p)
        self.from_image = EqualisedPointwise(1, channels[0], activation=True)
        self.blocks = nn.Sequential(*(ResidualBlock(a, b) for a, b in zip(channels, channels[1:], strict=False)))
        self.conv = EqualisedConv(channels[-1] + 1, channels[-1])
        self.head = nn.Sequential(
            EqualisedLinear(channels[-1] * 16, channels[-1], activation=True), EqualisedLinear(channels[-1], p.latent)
        )

    def forward(
        self,
        images: Tensor,
        client: Tensor,
        position: Tensor,
        key: Tensor,
        use_key: bool = True,
        parts: int = 1,
    ) -> Tensor:
        """Judge images.

        Args:
            images: (batch, 1, image_size, image_size).
            client: int64 (batch,).
            position: slice-position bins, int64 (batch,).
            key: (batch, key_size).
            use_key: whether the key takes part in the projection.
            parts: number of equal parts of the batch that must not see one another (real and generated images judged
                in one pass, which is faster than two).

        Returns:
            Logits (batch,): high for what looks real.
        """
        x = self.blocks(self.from_image(images.to(self.feature_type or images.dtype))).to(images.dtype)
        x = torch.cat([minibatch_deviation(part) for part in x.chunk(parts)])
        x = self.head(self.conv(x).flatten(1))
        condition = self.condition.label(client, position)
        if use_key:
            condition = condition + self.condition.key(key)
        return (x * condition).sum(1) / x.shape[1] ** 0.5


class FactoryModel(nn.Module):
    """Generator and discriminator: the module whose state dict travels in federated learning.

    Args:
        p: the architecture.
    """

    def __init__(self, p: NetworkParameters):
        super().__init__()
        self.generator = Generator(p)
        self.discriminator = Discriminator(p)

    def compute_in(self, feature_type: torch.dtype) -> None:
        """Choose the type of the feature maps; weights, styles, images and logits stay as they are."""
        self.generator.feature_type = self.discriminator.feature_type = feature_type
