"""Writes small GGUF version 3 files for tests: metadata, and tensors as F32, F16, Q8_0, Q4_0 or Q4_1. It reads nothing.

Layout (little-endian): magic, version u32, tensor count u64, key count u64; each key: name, type u32, value; each
tensor:
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

ALIGNMENT = 32
TENSOR_TYPES = {"F32": 0, "F16": 1, "Q4_0": 2, "Q4_1": 3, "Q8_0": 8}


class Quantized:
    """A tensor as it will be in the file, and what the file's bytes then stand for."""

    def __init__(self, array: NDArray[Any], type_: str) -> None:
        self.type = type_
        self.shape = array.shape
        if type_ == "F32":
            stored = array.astype("<f4")
            self.data, self.values = stored.tobytes(), stored.astype(np.float64)
        elif type_ == "F16":
            stored = array.astype("<f2")
            self.data, self.values = stored.tobytes(), stored.astype(np.float64)
        else:
            quantize = {"Q8_0": _q8_0, "Q4_0": _q4_0, "Q4_1": _q4_1}[type_]
            blocks = [quantize(block) for block in array.astype(np.float64).reshape(-1, 32)]
            self.data = b"".join(data for data, _ in blocks)
            self.values = np.concatenate([values for _, values in blocks]).reshape(array.shape)


def _half(value: float) -> float:
    return float(np.float16(value))


def _q8_0(block: NDArray[np.float64]) -> tuple[bytes, NDArray[np.float64]]:
    """scale f16, 32 x i8: value = scale * q."""
    scale = _half(np.abs(block).max() / 127)
    q = np.clip(np.rint(block / scale), -127, 127) if scale else np.zeros(32)
    return struct.pack("<e32b", scale, *q.astype(int)), scale * q


def _q4_0(block: NDArray[np.float64]) -> tuple[bytes, NDArray[np.float64]]:
    """scale f16, 16 bytes: value = scale * (q - 8); low halves are the first 16 values, high halves the last 16."""
    scale = _half(np.abs(block).max() / 7)
    q = np.clip(np.rint(block / scale) + 8, 0, 15) if scale else np.full(32, 8.0)
    return struct.pack("<e", scale) + _nibbles(q), scale * (q - 8)


def _q4_1(block: NDArray[np.float64]) -> tuple[bytes, NDArray[np.float64]]:
    """scale f16, least f16, 16 bytes: value = scale * q + least; halves as in Q4_0."""
    least = _half(block.min())
    scale = _half((block.max() - least) / 15)
    q = np.clip(np.rint((block - least) / scale), 0, 15) if scale else np.zeros(32)
    return struct.pack("<ee", scale, least) + _nibbles(q), scale * q + least


def _nibbles(q: NDArray[np.float64]) -> bytes:
    low, high = q[:16].astype(int), q[16:].astype(int)
    return bytes(int(a) | int(b) << 4 for a, b in zip(low, high, strict=True))


def _string(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _typed(value: Any) -> tuple[int, bytes]:
    if isinstance(value, bool):
        return 7, struct.pack("<?", value)
    if isinstance(value, int):
        return (4, struct.pack("<I", value)) if 0 <= value < 1 << 32 else (11, struct.pack("<q", value))
    if isinstance(value, float):
        return 6, struct.pack("<f", value)
    if isinstance(value, str):
        return 8, _string(value)
    if isinstance(value, np.ndarray):
        assert value.dtype == np.int32
        return 9, struct.pack("<IQ", 5, len(value)) + value.tobytes()
    items = [_typed(item) for item in value]
    kind = items[0][0] if items else 4
    return 9, struct.pack("<IQ", kind, len(items)) + b"".join(data for _, data in items)


def write(metadata: Mapping[str, Any], tensors: Mapping[str, Quantized]) -> bytes:
    """The whole file."""
    head = [b"GGUF", struct.pack("<IQQ", 3, len(tensors), len(metadata))]
    for key, value in metadata.items():
        kind, data = _typed(value)
        head.append(_string(key) + struct.pack("<I", kind) + data)
    body: list[bytes] = []
    offset = 0
    for name, tensor in tensors.items():
        dimensions: Sequence[int] = tensor.shape[::-1]
        head.append(
            _string(name)
            + struct.pack(f"<I{len(dimensions)}QIQ", len(dimensions), *dimensions, TENSOR_TYPES[tensor.type], offset)
        )
        padded = tensor.data + bytes(-len(tensor.data) % ALIGNMENT)
        body.append(padded)
        offset += len(padded)
    header = b"".join(head)
    return header + bytes(-len(header) % ALIGNMENT) + b"".join(body)
