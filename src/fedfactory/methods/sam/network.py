"""SAM's network from the package's own modules, and its prompts."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from fedfactory.config.skipped_imports import without
from fedfactory.methods.sam.parameters import ORACLE, Normalisation, Prompt, SamArchitecture
from fedfactory.training.batches import resize

# For the package's own predictor, which is not used here: a second and a half of every job.
with without("torchvision.ops.boxes", "torchvision.transforms.functional"):
    from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer

_NORMALISATION: dict[Normalisation, tuple[list[float], list[float]]] = {
    "imagenet": ([123.675, 116.28, 103.53], [58.395, 57.12, 57.375]),
    "unit": ([0.0] * 3, [255.0] * 3),
}
"""Mean and deviation of the three channels of images in 0..255."""
_GRID = 4
"""Points along each edge of the prompt ``grid``."""


def build(a: SamArchitecture, normalisation: Normalisation = "imagenet") -> Sam:
    """A network with random weights; that of :data:`~fedfactory.methods.sam.parameters.VIT_B` takes the published."""
    edge, (mean, deviation) = a.image_size // a.patch, _NORMALISATION[normalisation]
    sam = Sam(
        image_encoder=ImageEncoderViT(
            img_size=a.image_size,
            patch_size=a.patch,
            embed_dim=a.width,
            depth=a.depth,
            num_heads=a.heads,
            mlp_ratio=4,
            out_chans=a.prompt_width,
            qkv_bias=True,
            norm_layer=partial(nn.LayerNorm, eps=1e-6),
            use_rel_pos=True,
            window_size=a.window,
            global_attn_indexes=a.global_blocks,
        ),
        prompt_encoder=PromptEncoder(
            embed_dim=a.prompt_width,
            image_embedding_size=(edge, edge),
            input_image_size=(a.image_size, a.image_size),
            mask_in_chans=16,
        ),
        mask_decoder=MaskDecoder(
            num_multimask_outputs=3,
            transformer=TwoWayTransformer(depth=2, embedding_dim=a.prompt_width, mlp_dim=a.decoder_mlp, num_heads=8),
            transformer_dim=a.prompt_width,
            iou_head_depth=3,
            iou_head_hidden_dim=a.prompt_width,
        ),
        pixel_mean=mean,
        pixel_std=deviation,
    )
    sam.scales_slices = normalisation == "unit"
    return sam.eval()


def as_read(images: np.ndarray | Tensor, sam: Sam) -> Tensor:
    """Slices (n, S, S) in [-1, 1] as the encoder reads them: (n, 3, s, s), normalised as in its training.

    MedSAM (Ma et al., Nature Communications 2024) was trained on slices that were resized by cubic interpolation and
    then scaled to [0, 1], each by its own darkest and brightest pixel; so it reads them here.
    """
    size = sam.image_encoder.img_size
    grey = torch.as_tensor(np.array(images, dtype=np.float32) if isinstance(images, np.ndarray) else images)[:, None]
    if sam.scales_slices:
        if grey.shape[-1] != size:
            grey = functional.interpolate(grey, (size, size), mode="bicubic", align_corners=False, antialias=True)
        low, high = (limit((1, 2, 3), keepdim=True) for limit in (grey.amin, grey.amax))
        grey = 255 * (grey - low) / (high - low).clamp(min=1e-8)
    else:
        grey = (resize(grey, size) + 1) * 127.5
    return sam.preprocess(grey.expand(-1, 3, -1, -1).to(sam.device))


def box_embeddings(sam: Sam, boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Embed a box for each image: (n, 4) as x0, y0, x1, y1 in pixels of the encoder's images.

    Returns:
        Sparse (n, 2, C) and dense (n, C, s, s) embeddings.
    """
    return sam.prompt_encoder(None, boxes.to(sam.device), None)


def prompt_embeddings(sam: Sam, prompt: Prompt) -> tuple[Tensor, Tensor]:
    """Embed a prompt that is the same for all images.

    Returns:
        Sparse (1, tokens, C) and dense (1, C, s, s) embeddings.
    """
    if prompt == ORACLE:
        raise ValueError("the oracle's boxes differ from image to image; see box_embeddings")
    last, device = sam.image_encoder.img_size - 1, sam.device
    if prompt == "full_box":
        return box_embeddings(sam, torch.tensor([[0.0, 0.0, last, last]]))
    if prompt == "none":
        return sam.prompt_encoder(None, None, None)
    axis = (torch.arange(_GRID, device=device) + 0.5) / _GRID * last
    points = torch.cartesian_prod(axis, axis)[None]
    return sam.prompt_encoder((points, torch.ones(points.shape[:2], device=device)), None, None)


def decode(sam: Sam, decoder: MaskDecoder, embeddings: Tensor, prompt: tuple[Tensor, Tensor], size: int) -> Tensor:
    """Logits of one mask for each image.

    The package's decoder takes one image with many prompts. It adds the embedding of the image to that of each dense
    prompt: with nothing for an image, and both already added, all images go through it together.

    Args:
        sam: the network, for its positional encoding.
        decoder: its mask decoder, or a fine-tuned one.
        embeddings: of images, (n, C, s, s).
        prompt: of :func:`prompt_embeddings` or :func:`box_embeddings`.
        size: edge of the result.

    Returns:
        (n, 1, size, size).
    """
    sparse, dense = prompt
    masks, _ = decoder(
        torch.zeros_like(embeddings[:1]),
        sam.prompt_encoder.get_dense_pe(),
        sparse.expand(len(embeddings), -1, -1),
        embeddings + dense,
        multimask_output=False,
    )
    # Through the encoder's size, as the package does it: at once, other pixels cross zero.
    for edge in (sam.image_encoder.img_size, size):
        if masks.shape[-1] != edge:
            masks = functional.interpolate(masks, (edge, edge), mode="bilinear", align_corners=False)
    return masks


def boxes_of(masks: Tensor, size: int, jitter: float = 0.0, stream: torch.Generator | None = None) -> Tensor:
    """Boxes around masks, in pixels of images with an edge of ``size``.

    Args:
        masks: (n, S, S) bool; an empty mask gets the box of the whole image.
        size: edge of the encoder's images.
        jitter: standard deviation of each side, as a share of the edge.
        stream: of the jitter.

    Returns:
        (n, 4) float32 on the CPU: x0, y0, x1, y1.
    """
    edge, last = masks.shape[-1], size - 1.0
    boxes = []
    # On the CPU, where the jitter is drawn: a GPU has another stream of random numbers.
    for mask in masks.cpu():
        places = mask.nonzero().float()
        if len(places):
            # From the centres of pixels to those of the encoder's.
            (y0, x0), (y1, x1) = ((side + 0.5) * size / edge - 0.5 for side in (places.amin(0), places.amax(0)))
            boxes.append(torch.stack([x0, y0, x1, y1]))
        else:
            boxes.append(torch.tensor([0.0, 0.0, last, last]))
    found = torch.stack(boxes)
    if stream is not None:
        found = found + jitter * size * torch.randn(found.shape, generator=stream)
    return found.clamp(0, last)
