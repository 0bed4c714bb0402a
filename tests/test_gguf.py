"""Gguf through Python: what a file holds, and hostile bytes that must end in a typed error with their offset."""

from __future__ import annotations

import mmap
import random
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference import gguf as writer

import logitwire as lw

U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 = range(13)
FORMATS = {U8: "B", I8: "b", U16: "H", I16: "h", U32: "I", I32: "i", F32: "f", BOOL: "?", U64: "Q", I64: "q", F64: "d"}


def string(text: str | bytes) -> bytes:
    data = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(data)) + data


def scalar(kind: int, value: Any) -> bytes:
    return string(value) if kind == STRING else struct.pack("<" + FORMATS[kind], value)


def entry(key: str | bytes, kind: int, value: bytes) -> bytes:
    return string(key) + struct.pack("<I", kind) + value


def array(kind: int, values: list[Any]) -> bytes:
    return struct.pack("<IQ", kind, len(values)) + b"".join(scalar(kind, value) for value in values)


def info(name: str | bytes, dims: list[int], kind: int, offset: int) -> bytes:
    return string(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, kind, offset)


def build(
    entries: list[bytes] = (),
    infos: list[bytes] = (),
    data: bytes = b"",
    *,
    version: int = 3,
    magic: bytes = b"GGUF",
    n_entries: int | None = None,
    n_tensors: int | None = None,
    alignment: int = 32,
) -> bytes:
    n_entries = len(entries) if n_entries is None else n_entries
    n_tensors = len(infos) if n_tensors is None else n_tensors
    head = magic + struct.pack("<IQQ", version, n_tensors, n_entries) + b"".join([*entries, *infos])
    return head + bytes(-len(head) % alignment) + data


def quantized_file() -> tuple[bytes, dict[str, writer.Quantized]]:
    rng = np.random.default_rng(0)
    tensors = {
        f"{kind}.{'x'.join(map(str, shape))}": writer.Quantized(rng.standard_normal(shape), kind)
        for kind in writer.TENSOR_TYPES
        for shape in [(32,), (3, 64), (2, 3, 32)]
    }
    return writer.write({"general.architecture": "llama", "n": 7}, tensors), tensors


# -- what is right -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [2, 3])
def test_metadata_of_every_type(version: int) -> None:
    values = {
        U8: 200, I8: -100, U16: 60_000, I16: -30_000, U32: 4_000_000_000, I32: -2_000_000_000, F32: 0.5, BOOL: True,
        STRING: "naïve 你好 \0", U64: 2**64 - 1, I64: -(2**63), F64: 1e-300,
    }  # fmt: skip
    entries = [entry(f"k{kind}", kind, scalar(kind, value)) for kind, value in values.items()]
    entries += [entry(f"a{kind}", ARRAY, array(kind, [value] * 3)) for kind, value in values.items()]
    entries += [entry("empty", ARRAY, array(U32, [])), entry("", STRING, string(""))]
    meta = lw.Gguf(build(entries, version=version)).metadata
    for kind, value in values.items():
        assert meta[f"k{kind}"] == value
        assert type(meta[f"k{kind}"]) is type(value)
        assert meta[f"a{kind}"] == [value] * 3
    assert (meta["empty"], meta[""]) == ([], "")
    assert next(iter(meta)) == "k0"


def test_tensors_of_every_type() -> None:
    data, tensors = quantized_file()
    gguf = lw.Gguf(data)
    assert set(gguf.tensors) == set(tensors)
    for name, tensor in tensors.items():
        found = gguf.tensors[name]
        assert (found.shape, found.type, found.nbytes) == (tensor.shape, tensor.type, len(tensor.data))
        assert data[found.offset : found.offset + found.nbytes] == tensor.data
        got = gguf.dequantize(name)
        assert (got.dtype, got.shape) == (np.float32, tensor.shape)
        # One rounding in float32 may differ from the writer's float64.
        assert np.allclose(got, tensor.values, rtol=2e-7, atol=0)


def test_bfloat16_and_wide_values() -> None:
    words = np.array([0x3F80, 0xC000, 0x7F80, 0x0001, 0x8000, 0x7FC0], np.uint16)
    half = np.array([1, -2, np.inf, 6e-8, 65504, np.nan], np.float16)
    data = words.tobytes().ljust(32, b"\0") + half.tobytes()
    gguf = lw.Gguf(build([], [info("b", [6], 30, 0), info("h", [6], 1, 32)], data))
    assert gguf.tensors["b"].type == "BF16"
    assert np.array_equal(gguf.dequantize("b"), (words.astype(np.uint32) << 16).view(np.float32), equal_nan=True)
    assert np.array_equal(gguf.dequantize("h"), half.astype(np.float32), equal_nan=True)


def test_alignment_and_padding() -> None:
    values = np.arange(4, dtype=np.float32)
    file = build(
        [entry("general.alignment", U32, scalar(U32, 64))],
        [info("t", [4], 0, 64)],
        bytes(64) + values.tobytes(),
        alignment=64,
    )
    gguf = lw.Gguf(file)
    assert gguf.tensors["t"].offset % 64 == 0
    assert gguf.dequantize("t").tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, lambda b: np.frombuffer(b, np.uint8)])
def test_any_buffer(kind: Any) -> None:
    data, tensors = quantized_file()
    gguf = lw.Gguf(kind(data))
    assert np.allclose(gguf.dequantize("Q4_1.3x64"), tensors["Q4_1.3x64"].values, rtol=2e-7)


def test_a_mapped_file_outlives_its_handles(tmp_path: Path) -> None:
    data, tensors = quantized_file()
    path = tmp_path / "m.gguf"
    path.write_bytes(data)
    with path.open("rb") as file:
        gguf = lw.Gguf(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    assert np.allclose(gguf.dequantize("Q8_0.32"), tensors["Q8_0.32"].values, rtol=2e-7)


def test_what_is_no_buffer() -> None:
    for wrong in (None, "GGUF", 5, [1], Path("x")):
        with pytest.raises(TypeError):
            lw.Gguf(wrong)


def test_a_type_not_decoded_is_listed_and_its_neighbours_read() -> None:
    values = np.arange(8, dtype=np.float32)
    gguf = lw.Gguf(build([], [info("k", [256], 14, 0), info("f", [8], 0, 224)], bytes(224) + values.tobytes()))
    assert gguf.tensors["k"].type == "type 14"
    assert gguf.dequantize("f").tolist() == values.tolist()
    with pytest.raises(lw.ModelFileError, match="Q6_K"):
        gguf.dequantize("k")
    with pytest.raises(KeyError):
        gguf.dequantize("nope")


def test_smollm2(smollm2_path: Path) -> None:
    with smollm2_path.open("rb") as file:
        gguf = lw.Gguf(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    assert len(gguf.tensors) == 272
    assert gguf.metadata["general.architecture"] == "llama"
    assert len(gguf.metadata["tokenizer.ggml.tokens"]) == 49_152
    assert gguf.tensors["token_embd.weight"].shape == (49_152, 576)
    norm = gguf.dequantize("output_norm.weight")
    assert norm.shape == (576,)
    assert np.isfinite(norm).all()


# -- what is hostile ---------------------------------------------------------------------------------------------------

HUGE = 2**63
F32_DATA = bytes(64)
HOSTILE = {
    "empty": b"",
    "magic only": b"GGUF",
    "another magic": build(magic=b"GGML"),
    "version 1": build(version=1),
    "version 4": build(version=4),
    "big-endian version": build(version=3 << 24),
    "counts that promise everything": build(n_entries=2**64 - 1, n_tensors=2**64 - 1),
    "many entries, no bytes": build(n_entries=60_000),
    "many tensors, no bytes": build(n_tensors=60_000),
    "key longer than the file": build([struct.pack("<Q", HUGE) + b"k"]),
    "key length that wraps": build([struct.pack("<Q", 2**64 - 8) + b"k"]),
    "key is not utf-8": build([entry(b"\xff\xfe", U32, scalar(U32, 1))]),
    "value is not utf-8": build([entry("k", STRING, string(b"\xc3"))]),
    "key twice": build([entry("k", U32, scalar(U32, 1))] * 2),
    "unknown value type": build([entry("k", 13, scalar(U32, 1))]),
    "value type of all ones": build([entry("k", 2**32 - 1, scalar(U32, 1))]),
    "bool of 2": build([entry("k", BOOL, b"\x02")]),
    "array longer than the file": build([entry("k", ARRAY, struct.pack("<IQ", U32, HUGE))]),
    "array length that wraps": build([entry("k", ARRAY, struct.pack("<IQ", U64, 2**61 + 1) + bytes(8))]),
    "array of unknown type": build([entry("k", ARRAY, struct.pack("<IQ", 99, 1) + bytes(8))]),
    "array of strings longer than the file": build([entry("k", ARRAY, struct.pack("<IQ", STRING, 2**40) + bytes(64))]),
    "array of arrays": build([entry("k", ARRAY, struct.pack("<IQ", ARRAY, 1) + array(U32, [1]))]),
    "arrays a thousand deep": build([entry("k", ARRAY, struct.pack("<IQ", ARRAY, 1) * 1000 + array(U32, [1]))]),
    "alignment 0": build([entry("general.alignment", U32, scalar(U32, 0))], [info("t", [4], 0, 0)], F32_DATA),
    "alignment 3": build([entry("general.alignment", U32, scalar(U32, 3))], [info("t", [4], 0, 0)], F32_DATA),
    "alignment 2**31": build([entry("general.alignment", U32, scalar(U32, 2**31))], [info("t", [4], 0, 0)], F32_DATA),
    "alignment is text": build([entry("general.alignment", STRING, string("32"))], [info("t", [4], 0, 0)], F32_DATA),
    "tensor twice": build([], [info("t", [4], 0, 0), info("t", [4], 0, 32)], F32_DATA),
    "tensor name is not utf-8": build([], [info(b"\xff", [4], 0, 0)], F32_DATA),
    "tensor past the end": build([], [info("t", [17], 0, 0)], F32_DATA),
    "tensor offset past the end": build([], [info("t", [4], 0, 64)], F32_DATA),
    "tensor offset that wraps": build([], [info("t", [4], 0, 2**64 - 32)], F32_DATA),
    "tensor offset not aligned": build([], [info("t", [4], 0, 4)], F32_DATA),
    "dimensions that overflow": build([], [info("t", [2**32, 2**32], 0, 0)], F32_DATA),
    "dimensions that overflow to 4": build([], [info("t", [2**62 + 1, 4], 0, 0)], F32_DATA),
    "bytes that overflow": build([], [info("t", [2**62], 0, 0)], F32_DATA),
    "too many dimensions": build([], [info("t", [1, 1, 1, 1, 1], 0, 0)], F32_DATA),
    "dimensions without end": build([], [string("t") + struct.pack("<I", 2**32 - 1) + bytes(64)], F32_DATA),
    "rows that are no whole blocks": build([], [info("t", [31], 2, 0)], F32_DATA),
    "rows that are no whole blocks together": build([], [info("t", [16, 2], 2, 0)], F32_DATA),
    "unknown type past the end": build([], [info("t", [4], 77, 2**40)], F32_DATA),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files(name: str) -> None:
    with pytest.raises((lw.ModelFileError, lw.LimitError)) as caught:
        lw.Gguf(HOSTILE[name])
    if isinstance(caught.value, lw.ModelFileError):
        assert isinstance(caught.value.offset, int)
        assert str(caught.value.offset) in str(caught.value)


def test_the_same_files_without_their_fault_are_fine() -> None:
    """What the hostile ones are bent from; without this they might fail for another reason."""
    lw.Gguf(build())
    lw.Gguf(build([entry("k", BOOL, b"\x01"), entry("l", ARRAY, array(U64, [1]))]))
    lw.Gguf(build([], [info("t", [16], 0, 0)], F32_DATA))
    lw.Gguf(build([], [info("t", [4], 0, 32)], F32_DATA))
    lw.Gguf(build([], [info("t", [4, 1, 1, 1], 0, 0)], F32_DATA))
    lw.Gguf(build([], [info("t", [32], 2, 0)], F32_DATA))
    lw.Gguf(build([entry("general.alignment", U32, scalar(U32, 32))], [info("t", [4], 0, 0)], F32_DATA))


def test_every_truncation() -> None:
    data, _ = quantized_file()
    for n in [*range(min(len(data), 900)), *range(900, len(data) - 32, 131), len(data) - 33]:
        with pytest.raises(lw.ModelFileError):
            lw.Gguf(data[:n])


def test_random_damage_is_an_error_or_a_file() -> None:
    """Whatever a few bytes do to a header, every tensor is read or refused."""
    rng = random.Random(1)
    data, _ = quantized_file()
    n_read = 0
    for _ in range(3000):
        damaged = bytearray(data)
        for _ in range(rng.randint(1, 3)):
            damaged[rng.randrange(900)] = rng.choice([0, 1, 2, 127, 128, 255, rng.randrange(256)])
        try:
            gguf = lw.Gguf(damaged)
        except (lw.ModelFileError, lw.LimitError):
            continue
        for name, tensor in gguf.tensors.items():
            if np.prod(tensor.shape, dtype=float) < 1e6:
                try:
                    gguf.dequantize(name)
                except lw.ModelFileError:
                    continue
                n_read += 1
    assert n_read > 1000


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    for start in (b"", b"GGUF\x03\0\0\0", b"GGUF\x03\0\0\0\x01\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0"):
        try:
            lw.Gguf(start + data)
        except (lw.ModelFileError, lw.LimitError):
            continue


@pytest.mark.parametrize("dims", [[2**40], [2**31, 2**10], [0, 2**60], [2**62]])
def test_a_tensor_that_cannot_be_decoded_takes_no_memory(dims: list[int]) -> None:
    """In its own process: an allocation of terabytes would end it."""
    code = f"""
import logitwire as lw
try:
    gguf = lw.Gguf({build([], [info("t", dims, 14, 0)], F32_DATA)!r})
    gguf.dequantize("t")
except (lw.ModelFileError, lw.LimitError):
    print("refused")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (0, "refused\n"), done.stderr[-500:]


def test_a_tokenizer_in_a_file_that_has_none() -> None:
    with pytest.raises((lw.ModelFileError, lw.TokenizerError)):
        lw.Tokenizer.from_gguf(lw.Gguf(build()))


TOKENIZER = {
    "tokenizer.ggml.model": "gpt2",
    "tokenizer.ggml.pre": "smollm",
    "tokenizer.ggml.tokens": ["a", "b", "ab", "<e>"],
    "tokenizer.ggml.token_type": [1, 1, 1, 3],
    "tokenizer.ggml.merges": ["a b"],
    "tokenizer.ggml.eos_token_id": 3,
}


def tokenizer_file(**changes: Any) -> lw.Gguf:
    meta = {**TOKENIZER, **{f"tokenizer.ggml.{key}": value for key, value in changes.items()}}
    entries = []
    for key, value in meta.items():
        if isinstance(value, str):
            entries.append(entry(key, STRING, string(value)))
        elif isinstance(value, int):
            entries.append(entry(key, U32, scalar(U32, value)))
        elif value is not None:
            entries.append(entry(key, ARRAY, array(STRING if isinstance(value[0], str) else I32, value)))
    return lw.Gguf(build(entries))


def test_a_tokenizer_in_a_file() -> None:
    tokenizer = lw.Tokenizer.from_gguf(tokenizer_file())
    assert tokenizer.encode("aab<e>", allow_special=True) == [0, 2, 3]
    assert (tokenizer.eos_ids, tokenizer.vocab.special_ids, tokenizer.bos_id) == ([3], [3], None)


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "llama"},
        {"model": 5},
        {"model": None},
        {"pre": "qwen1"},
        {"tokens": None},
        {"tokens": ["a", "a", "ab", "<e>"]},
        {"token_type": [1, 1]},
        {"token_type": None},
        {"merges": ["ab"]},
        {"merges": ["x y"]},
        {"merges": None},
        {"eos_token_id": 4},
        {"bos_token_id": 2**32 - 1},
    ],
    ids=str,
)
def test_a_tokenizer_in_a_file_that_does_not_fit(changes: dict[str, Any]) -> None:
    with pytest.raises((lw.ModelFileError, lw.TokenizerError)):
        lw.Tokenizer.from_gguf(tokenizer_file(**changes))
