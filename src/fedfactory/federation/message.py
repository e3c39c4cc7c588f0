"""What may cross a client's border, and its form on the wire.

A message holds fields, for instance model weights, a CLIP key or a client's name. Each field has one form that the
federation fixes beforehand, so that nothing else fits into it; which fields there are, the ``client.py`` of each
federation says. On the wire the arrays of a field are their raw bytes in
the order of their names: reading them executes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fedfactory.errors import FedFactoryError

CLIENT, WEIGHTS, FAILURE = "client", "weights", "failure"
"""Fields of every federation: a client's name, the model's weights, and the sentence of a client that failed."""
_FAILED = re.compile(r"its part failed \([A-Za-z_]\w*\); the client's own log says more")


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
    """All that a client of a federation may send or receive.

    Attributes:
        clients: names of the clients.
        fields: name of a field -> forms of its arrays, in the order of their names. Two more hold text: ``client``
            one of the names, ``failure`` what :func:`failure_of` gives.
    """

    clients: tuple[str, ...]
    fields: Mapping[str, tuple[Form, ...]]

    @classmethod
    def of(cls, clients: tuple[str, ...], **fields: Mapping[str, Tensor] | Tensor) -> Allowlist:
        """The allowlist of a federation whose messages look like these: a field's arrays, or its only one."""
        forms = {
            field: tuple(form_of(name, array) for name, array in sorted(arrays_of(field, value).items()))
            for field, value in fields.items()
        }
        return cls(clients, forms)

    @property
    def weights(self) -> tuple[Form, ...]:
        """Forms of the model's parameters and buffers."""
        return self.fields[WEIGHTS]

    def check(self, message: Mapping[str, Any]) -> None:
        """Refuse what is not on the list.

        Raises:
            FedFactoryError: a field, array, shape, type or client name that the federation does not exchange.
        """
        for field, value in message.items():
            if field in self.fields:
                self._check_arrays(field, arrays_of(field, value))
            elif field == FAILURE:
                if not is_failure(value):
                    raise _refused("a failure told in other words than the fixed ones")
            elif field != CLIENT:
                raise _refused(f"'{field}'; only {', '.join(sorted([CLIENT, *self.fields]))} may")
            elif value not in self.clients:
                raise _refused(f"the client name {value!r}; known are {', '.join(self.clients)}")

    def _check_arrays(self, field: str, arrays: Mapping[str, Tensor]) -> None:
        expected = {form.name: form for form in self.fields[field]}
        for name in sorted({*arrays, *expected}):
            shown = field if name == field else f"{field}.{name}"
            if name not in expected:
                raise _refused(f"'{shown}', which is no part of '{field}'")
            if name not in arrays:
                raise _refused(f"'{field}' without '{name}'")
            if (found := form_of(name, arrays[name])) != expected[name]:
                raise _refused(
                    f"'{shown}' as {found.dtype} {found.shape}; it is {expected[name].dtype} {expected[name].shape}"
                )


def arrays_of(field: str, value: Mapping[str, Tensor] | Tensor) -> Mapping[str, Tensor]:
    """Arrays of a field by name; the only one of a field has the field's name."""
    return value if isinstance(value, Mapping) else {field: value}


def form_of(name: str, value: Any) -> Form:
    """Form of a tensor.

    Raises:
        FedFactoryError: it is no tensor.
    """
    if not hasattr(value, "dtype") or not hasattr(value, "shape"):
        raise _refused(f"'{name}', a {type(value).__name__} instead of an array")
    return Form(name, tuple(value.shape), str(value.dtype).removeprefix("torch."))


def size_of(forms: tuple[Form, ...]) -> int:
    """Bytes of a field on the wire."""
    return sum(form.count() * np.dtype(form.dtype).itemsize for form in forms)


def pack(arrays: Mapping[str, Tensor]) -> bytes:
    """Raw bytes of all arrays in the order of their names."""
    return b"".join(arrays[name].detach().cpu().contiguous().numpy().tobytes() for name in sorted(arrays))


def unpack(data: bytes, forms: tuple[Form, ...]) -> dict[str, Tensor]:
    """The inverse of :func:`pack`.

    Raises:
        FedFactoryError: the bytes do not fill the forms.
    """
    expected = size_of(forms)
    if len(data) != expected:
        raise FedFactoryError(f"a message of {len(data)} bytes came in where {expected} bytes are expected")
    # One writable copy for all: the arrays are views of it.
    buffer, arrays, start = bytearray(data), {}, 0
    for form in forms:
        array = np.frombuffer(buffer, form.dtype, form.count(), start).reshape(form.shape)
        arrays[form.name] = torch.from_numpy(array if array.flags.aligned else array.copy())
        start += array.nbytes
    return arrays


def failure_of(error: BaseException) -> str:
    """What leaves a client that fails: a fixed sentence and the kind of the error, nothing of its text."""
    return f"its part failed ({type(error).__name__}); the client's own log says more"


def is_failure(value: object) -> bool:
    """Whether something is a sentence as :func:`failure_of` gives them."""
    return isinstance(value, str) and _FAILED.fullmatch(value) is not None


def _refused(what: str) -> FedFactoryError:
    return FedFactoryError(f"a client's border refused {what}")
