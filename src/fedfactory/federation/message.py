"""What may cross a site's border, and its form on the wire.

A message holds model weights, a CLIP key or a client's name; each kind has one shape that the model fixes beforehand,
so that nothing else fits into it. On the wire weights are their raw bytes in the order of their names: reading them
executes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fedfactory.errors import FedFactoryError

if TYPE_CHECKING:
    from torch import Tensor

FIELDS = ("client", "key", "weights")


@dataclass(frozen=True)
class Form:
    """Name, shape and type of an array that crosses."""

    name: str
    shape: tuple[int, ...]
    dtype: str

    def count(self) -> int:
        """Number of values."""
        return int(np.prod(self.shape, dtype=np.int64))


@dataclass(frozen=True)
class Allowlist:
    """All that a site of this federation may send or receive.

    Attributes:
        clients: names of the clients.
        key_size: length of the CLIP key.
        weights: forms of the model's parameters and buffers, in the order of their names.
    """

    clients: tuple[str, ...]
    key_size: int
    weights: tuple[Form, ...]

    @classmethod
    def of(cls, clients: tuple[str, ...], key_size: int, weights: Mapping[str, Tensor]) -> Allowlist:
        """The allowlist of a model."""
        return cls(clients, key_size, tuple(form_of(name, weights[name]) for name in sorted(weights)))

    def check(self, message: Mapping[str, Any]) -> None:
        """Refuse what is not on the list.

        Raises:
            FedFactoryError: a field, array, shape, type or client name that the federation does not exchange.
        """
        for field, value in message.items():
            if field == "weights":
                self._check_weights(value)
            elif field == "key":
                self._check_key(value)
            elif field != "client":
                raise _refused(f"'{field}'; only {', '.join(FIELDS)} may")
            elif value not in self.clients:
                raise _refused(f"the client name {value!r}; known are {', '.join(self.clients)}")

    def _check_weights(self, weights: Mapping[str, Tensor]) -> None:
        expected = {form.name: form for form in self.weights}
        for name in sorted({*weights, *expected}):
            if name not in expected:
                raise _refused(f"'weights.{name}', which is no parameter of the model")
            if name not in weights:
                raise _refused(f"weights without '{name}'")
            if (found := form_of(name, weights[name])) != expected[name]:
                raise _refused(
                    f"'weights.{name}' as {found.dtype} {found.shape}; the model has {expected[name].dtype} "
                    f"{expected[name].shape}"
                )

    def _check_key(self, key: Tensor) -> None:
        found = form_of("key", key)
        if found != Form("key", (self.key_size,), "float32"):
            raise _refused(f"a key as {found.dtype} {found.shape}; it is float32 ({self.key_size},)")


def form_of(name: str, value: Any) -> Form:
    """Form of a tensor.

    Raises:
        FedFactoryError: it is no tensor.
    """
    if not hasattr(value, "dtype") or not hasattr(value, "shape"):
        raise _refused(f"'{name}', a {type(value).__name__} instead of an array")
    return Form(name, tuple(value.shape), str(value.dtype).removeprefix("torch."))


def pack(weights: Mapping[str, Tensor]) -> bytes:
    """Raw bytes of all weights in the order of their names."""
    return b"".join(weights[name].detach().cpu().contiguous().numpy().tobytes() for name in sorted(weights))


def unpack(data: bytes, forms: tuple[Form, ...]) -> dict[str, Tensor]:
    """The inverse of :func:`pack`.

    Raises:
        FedFactoryError: the bytes do not fill the forms.
    """
    import torch

    expected = sum(form.count() * np.dtype(form.dtype).itemsize for form in forms)
    if len(data) != expected:
        raise FedFactoryError(f"a message of {len(data)} bytes came in where the model's weights are {expected} bytes")
    # One writable copy for all: the arrays are views of it.
    buffer, weights, start = bytearray(data), {}, 0
    for form in forms:
        array = np.frombuffer(buffer, form.dtype, form.count(), start).reshape(form.shape)
        weights[form.name] = torch.from_numpy(array if array.flags.aligned else array.copy())
        start += array.nbytes
    return weights


def _refused(what: str) -> FedFactoryError:
    return FedFactoryError(f"a site's border refused {what}")
