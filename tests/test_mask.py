"""apply_mask against one token at a time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference import mask as reference

import logitwire as lw

WIDTHS = [1, 2, 31, 32, 33, 63, 64, 65, 127, 128, 129, 1000]


@given(st.lists(st.booleans(), min_size=1, max_size=200))
def test_reference_pack_and_unpack_are_inverse(bits: list[bool]) -> None:
    allowed = np.array(bits)
    assert reference.unpack(reference.pack(allowed), len(allowed)).tolist() == bits
    assert len(reference.pack(allowed)) == reference.n_words(len(allowed))


def test_reference_bit_order() -> None:
    assert reference.pack(np.arange(64) == 33).tolist() == [0, 2]
    assert reference.pack(np.arange(32) == 31).tolist() == [-(2**31)]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_random_masks(width: int, dtype: type) -> None:
    rng = np.random.default_rng(width)
    logits = rng.standard_normal((6, width)).astype(dtype)
    allowed = rng.random((6, width)) < rng.choice([0.02, 0.5, 0.98], (6, 1))
    allowed[0], allowed[1] = True, False
    mask = np.stack([reference.pack(row) for row in allowed])
    got = logits.copy()
    assert lw.apply_mask(got, mask) is None
    assert np.array_equal(got, np.stack([reference.apply_mask(*pair) for pair in zip(logits, mask, strict=True)]))
    assert np.array_equal(got == -np.inf, ~allowed)


def test_one_row_each_way() -> None:
    row = np.array([1, 2, 3], np.float32)
    lw.apply_mask(row, np.array([0b101], np.int32))
    assert row.tolist() == [1, -np.inf, 3]
    rows = np.array([[1, 2, 3]], np.float32)
    lw.apply_mask(rows, np.array([0b011], np.int32))
    assert rows.tolist() == [[1, 2, -np.inf]]


def test_bits_past_the_vocabulary_are_nobody_s() -> None:
    row = np.array([1, 2, 3], np.float32)
    lw.apply_mask(row, np.array([-1], np.int32))
    assert row.tolist() == [1, 2, 3]


def test_nan_and_infinity_are_masked_and_kept_like_any_other() -> None:
    row = np.array([np.nan, np.inf, np.nan, np.inf], np.float32)
    lw.apply_mask(row, np.array([0b1100], np.int32))
    assert row[:2].tolist() == [-np.inf, -np.inf]
    assert np.isnan(row[2])
    assert row[3] == np.inf


@pytest.mark.parametrize(
    ("logits", "mask"),
    [
        pytest.param((2, 33), (2, 1), id="too few words"),
        pytest.param((2, 33), (2, 3), id="too many words"),
        pytest.param((2, 33), (3, 2), id="more masks than rows"),
        pytest.param((2, 33), (1, 2), id="fewer masks than rows"),
        pytest.param((2, 33), (2,), id="one mask for two rows"),
        pytest.param((2, 2, 33), (2, 2, 2), id="three dimensions"),
    ],
)
def test_shapes_that_do_not_fit(logits: tuple[int, ...], mask: tuple[int, ...]) -> None:
    array = np.zeros(logits, np.float32)
    with pytest.raises(lw.ArrayError):
        lw.apply_mask(array, np.zeros(mask, np.int32))
    assert not np.isinf(array).any()


@pytest.mark.parametrize("dtype", [np.int64, np.int16, np.uint8, np.float32, np.bool_])
def test_mask_dtypes_that_do_not_fit(dtype: type) -> None:
    with pytest.raises(lw.ArrayError):
        lw.apply_mask(np.zeros((1, 3), np.float32), np.ones((1, 1), dtype))


def test_read_only_logits() -> None:
    row = np.zeros((1, 3), np.float32)
    row.flags.writeable = False
    with pytest.raises(lw.ArrayError, match=r"read-only|writ"):
        lw.apply_mask(row, np.zeros((1, 1), np.int32))


def test_a_read_only_mask_will_do() -> None:
    mask = np.array([[0b10]], np.int32)
    mask.flags.writeable = False
    row = np.zeros((1, 2), np.float32)
    lw.apply_mask(row, mask)
    assert row.tolist() == [[-np.inf, 0]]


def test_strided_rows_and_strided_masks() -> None:
    logits, mask = np.ones((6, 80), np.float32), np.zeros((6, 5), np.int32)
    mask[::2, :2] = reference.pack(np.arange(40) % 2 == 0)
    lw.apply_mask(logits[::2, 10:50], mask[::2, :2])
    expected = np.ones((6, 80), np.float32)
    expected[::2, 11:50:2] = -np.inf
    assert np.array_equal(logits, expected)


def test_torch_in_place() -> None:
    torch = pytest.importorskip("torch")
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        rows = torch.arange(8, dtype=dtype).reshape(2, 4)
        lw.apply_mask(rows, torch.tensor([[0b0110], [0b1001]], dtype=torch.int32))
        inf = float("inf")
        assert rows.tolist() == [[-inf, 1, 2, -inf], [4, -inf, -inf, 7]]
