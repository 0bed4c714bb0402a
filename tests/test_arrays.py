"""What counts as an array of logits: the same answer from every kind, and a typed error for what is not one."""

from __future__ import annotations

import array
import gc
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import logitwire as lw

B, V = 5, 300
SEEDS = range(B)


def logits(dtype: type = np.float32) -> np.ndarray:
    return (3 * np.random.default_rng(1).standard_normal((B, V))).astype(dtype)


def step(rows: Any, n_rows: int = B, width: int = V) -> list[tuple[int, float]]:
    sampler = lw.Sampler(width)
    slots = [sampler.add(lw.SamplingParams(seed=i, top_p=0.9, logprobs=0)) for i in range(n_rows)]
    out = sampler.step(rows, slots)
    return list(zip(out.tokens.tolist(), out.logprobs.tolist(), strict=True))


class Dlpack:
    """Only `__dlpack__` and `__dlpack_device__` of another array, as mlx, jax and others have them."""

    def __init__(self, owner: Any, *, versioned: bool = True, device: tuple[int, int] | None = None) -> None:
        self.owner, self.versioned, self.device = owner, versioned, device

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.device or self.owner.__dlpack_device__()

    def __dlpack__(self, **options: Any) -> Any:
        if self.versioned:
            return self.owner.__dlpack__(**options)
        if "max_version" in options:
            raise TypeError("an old producer: __dlpack__() got an unexpected keyword argument 'max_version'")
        return self.owner.__dlpack__()


def readonly(rows: np.ndarray) -> np.ndarray:
    rows = rows.copy()
    rows.flags.writeable = False
    return rows


def in_wider_rows(rows: np.ndarray) -> np.ndarray:
    wide = np.full((len(rows), rows.shape[1] + 13), np.nan, rows.dtype)
    wide[:, 7:-6] = rows
    return wide[:, 7:-6]


def every_other_row(rows: np.ndarray) -> np.ndarray:
    tall = np.full((2 * len(rows), rows.shape[1]), np.nan, rows.dtype)
    tall[::2] = rows
    return tall[::2]


KINDS: dict[str, Callable[[np.ndarray], Any]] = {
    "numpy": lambda rows: rows,
    "read-only": readonly,
    "part of wider rows": in_wider_rows,
    "every other row": every_other_row,
    "read-only and strided": lambda rows: readonly(np.repeat(rows, 2, axis=0))[::2],
    "dlpack": Dlpack,
    "legacy dlpack": lambda rows: Dlpack(rows, versioned=False),
    "legacy dlpack, strided": lambda rows: Dlpack(in_wider_rows(rows), versioned=False),
    "memoryview": memoryview,
    "memoryview of bytes": lambda rows: memoryview(rows.tobytes()).cast(rows.dtype.char, rows.shape),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_every_kind_of_array_gives_the_same(kind: str, dtype: type) -> None:
    if kind == "memoryview of bytes" and dtype is np.float16:
        pytest.skip("memoryview.cast knows no half precision")
    rows = logits(dtype)
    assert step(KINDS[kind](rows)) == step(rows.astype(np.float32))


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("kind", ["contiguous", "strided", "dlpack", "legacy dlpack", "requires grad is detached"])
def test_torch(kind: str, dtype: str) -> None:
    torch = pytest.importorskip("torch")
    rows = torch.from_numpy(logits()).to(getattr(torch, dtype))
    want = step(rows.to(torch.float32).numpy())
    if kind == "strided":
        wide = torch.full((2 * B, V + 9), float("nan"), dtype=rows.dtype)
        wide[::2, 4:-5] = rows
        rows = wide[::2, 4:-5]
    made = {"dlpack": Dlpack, "legacy dlpack": lambda r: Dlpack(r, versioned=False)}.get(kind, lambda r: r)(rows)
    assert step(made) == want


def test_torch_in_inference_mode() -> None:
    torch = pytest.importorskip("torch")
    with torch.inference_mode():
        rows = torch.from_numpy(logits()) + 0
        assert step(rows) == step(rows.numpy().copy())


def test_torch_that_requires_grad_says_so() -> None:
    torch = pytest.importorskip("torch")
    rows = torch.from_numpy(logits()).requires_grad_()
    with pytest.raises(lw.ArrayError, match=r"grad") as caught:
        step(rows)
    assert "detach" in caught.value.hint


def test_one_row_without_a_batch() -> None:
    row = logits()[0]
    assert step(row, 1) == step(row[None], 1)
    assert step(array.array("f", row.tolist()), 1) == step(row[None], 1)
    assert step(memoryview(row.tobytes()).cast("f"), 1) == step(row[None], 1)


def test_the_same_row_for_all_by_a_stride_of_zero() -> None:
    row = logits()[0]
    assert step(np.broadcast_to(row, (B, V))) == step(np.tile(row, (B, 1)))


def test_fortran_order_of_one_row() -> None:
    """A single row is adjacent whatever the strides of the batch say."""
    row = np.asfortranarray(logits()[:1])
    assert step(row, 1) == step(logits()[:1], 1)


def test_rows_from_last_to_first() -> None:
    rows = logits()
    assert step(rows[::-1]) == step(rows[::-1].copy())


def test_an_address_that_is_not_aligned() -> None:
    data = b"\0" + logits().tobytes()
    with pytest.raises(lw.ArrayError, match="aligned"):
        step(np.frombuffer(data, np.float32, offset=1).reshape(B, V))


@pytest.mark.parametrize("shape", [(1 << 20, V), (1 << 20, 0), (1 << 40, V), (1 << 40, 0)])
def test_more_rows_than_anyone_has_cost_nothing(shape: tuple[int, int]) -> None:
    """A view may claim any number of rows: they are counted before anything is made of them."""
    with pytest.raises((lw.ArrayError, lw.LimitError)):
        step(np.broadcast_to(np.zeros(shape[1], np.float32), shape))


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param(np.zeros((B, 2 * V), np.float32)[:, ::2], id="every other element"),
        pytest.param(np.zeros((B, V), np.float32)[:, ::-1], id="elements backwards"),
        pytest.param(np.zeros((V, B), np.float32).T, id="transposed"),
        pytest.param(np.asfortranarray(np.zeros((B, V), np.float32)), id="fortran order"),
        pytest.param(np.broadcast_to(np.float32(0), (B, V)), id="one element for all"),
    ],
)
def test_elements_of_a_row_that_are_not_adjacent(rows: np.ndarray) -> None:
    with pytest.raises(lw.ArrayError, match=r"adjacent|contiguous|stride") as caught:
        step(rows)
    assert caught.value.hint


@pytest.mark.parametrize("shape", [(), (1, B, V), (B, V, 1)])
def test_too_few_or_too_many_dimensions(shape: tuple[int, ...]) -> None:
    with pytest.raises(lw.ArrayError, match=r"dimension|shape"):
        step(np.zeros(shape, np.float32))


@pytest.mark.parametrize("shape", [(B, V - 1), (B, V + 1), (B - 1, V), (B + 1, V), (V,), (0, V), (B, 0), (V, B)])
def test_wrong_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(lw.ArrayError, match=r"\d"):
        step(np.zeros(shape, np.float32))


@pytest.mark.parametrize("dtype", [np.float64, np.int32, np.int8, np.uint16, np.bool_, np.complex64])
@pytest.mark.parametrize("kind", ["numpy", "dlpack"])
def test_a_dtype_that_is_no_logit_names_those_that_are(dtype: type, kind: str) -> None:
    rows = np.zeros((B, V), dtype)
    with pytest.raises(lw.ArrayError) as caught:
        step(rows if kind == "numpy" else Dlpack(rows))
    assert "float32" in f"{caught.value} {caught.value.hint}"
    assert "bfloat16" in f"{caught.value} {caught.value.hint}"


@pytest.mark.parametrize("dtype", [">f4", ">f2"])
def test_the_other_byte_order(dtype: str) -> None:
    with pytest.raises(lw.ArrayError):
        step(np.zeros((B, V), dtype))


@pytest.mark.parametrize("thing", [None, 1.0, "logits", [[0.0] * V] * B, object(), {}, np.float32(1), {"a": 1}])
def test_what_is_no_array(thing: object) -> None:
    with pytest.raises(lw.ArrayError):
        step(thing)


def test_an_object_array_and_a_record_array() -> None:
    for rows in (np.zeros((B, V), object), np.zeros((B, V), [("x", np.float32)])):
        with pytest.raises(lw.ArrayError):
            step(rows)


@pytest.mark.parametrize("versioned", [True, False])
def test_an_array_on_a_gpu_says_where_it_is_and_what_to_do(versioned: bool) -> None:
    class Refuses(Dlpack):
        def __dlpack__(self, **options: Any) -> Any:
            raise AssertionError("asked for a capsule of memory that is not ours to read")

    with pytest.raises(lw.ArrayError, match=r"(?i)cuda|gpu|device") as caught:
        step(Refuses(logits(), versioned=versioned, device=(2, 0)))
    assert caught.value.hint
    assert "cpu" in caught.value.hint.lower()


@pytest.mark.parametrize("device", [(3, 0), (11, 0)], ids=["pinned for cuda", "pinned for rocm"])
def test_pinned_host_memory_is_on_the_cpu(device: tuple[int, int]) -> None:
    """What `tensor.to("cpu", non_blocking=True)` of a server fills says kDLCUDAHost, and is read like any other."""
    assert step(Dlpack(logits(), device=device)) == step(logits())


def test_a_tensor_without_data() -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(lw.ArrayError):
        step(torch.zeros((B, V), device="meta"))


def test_what_dlpack_raises_is_not_hidden() -> None:
    class Broken(Dlpack):
        def __dlpack__(self, **options: Any) -> Any:
            raise RuntimeError("the array is gone")

    with pytest.raises(lw.ArrayError, match="the array is gone"):
        step(Broken(logits()))


@pytest.mark.parametrize("capsule", [None, 5, "capsule", object()])
def test_dlpack_that_returns_no_capsule(capsule: object) -> None:
    class Odd(Dlpack):
        def __dlpack__(self, **options: Any) -> Any:
            return capsule

    with pytest.raises(lw.ArrayError):
        step(Odd(logits()))


def test_a_capsule_used_before_is_refused() -> None:
    rows = logits()
    used = rows.__dlpack__()
    np.from_dlpack(Capsule(used))

    with pytest.raises(lw.ArrayError):
        step(Capsule(used))


class Capsule:
    def __init__(self, capsule: Any) -> None:
        self.capsule = capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)

    def __dlpack__(self, **options: Any) -> Any:
        return self.capsule


@pytest.mark.parametrize("versioned", [True, False])
def test_memory_is_given_back(versioned: bool) -> None:
    """The capsule's deleter runs once the step is over, and after an error as well."""

    class Owner(np.ndarray):
        pass

    for width in (V, V + 1):
        rows = np.zeros((B, width), np.float32).view(Owner)
        gone = weakref.ref(rows)
        try:
            step(Dlpack(rows, versioned=versioned))
        except lw.ArrayError:
            assert width == V + 1
        del rows
        gc.collect()
        assert gone() is None


def test_a_buffer_can_be_resized_after_a_step() -> None:
    data = bytearray(logits()[0].tobytes())
    step(memoryview(data).cast("f"), 1)
    gc.collect()
    data.append(0)  # BufferError if an export were left open


def test_apply_writes_through_every_kind() -> None:
    for kind, made in KINDS.items():
        if "read-only" in kind or kind == "memoryview of bytes":
            continue
        rows = logits()
        given = made(rows)
        sampler = lw.Sampler(V)
        sampler.apply(given, [sampler.add(lw.SamplingParams(temperature=0)) for _ in SEEDS])
        seen = given.owner if isinstance(given, Dlpack) else np.asarray(given)
        assert (np.isfinite(seen).sum(axis=1) == 1).all(), kind


def test_apply_rounds_to_the_dtype_of_the_row() -> None:
    torch = pytest.importorskip("torch")
    for dtype in (torch.float16, torch.bfloat16):
        rows = torch.from_numpy(logits()).to(dtype)
        want = (rows.float() / torch.tensor(0.7)).to(dtype)
        sampler = lw.Sampler(V)
        sampler.apply(rows, [sampler.add(lw.SamplingParams(temperature=0.7)) for _ in SEEDS])
        assert torch.equal(rows, want)


@pytest.mark.parametrize("kind", ["read-only", "read-only and strided", "memoryview of bytes"])
def test_apply_refuses_a_read_only_target(kind: str) -> None:
    sampler = lw.Sampler(V)
    slots = [sampler.add(lw.SamplingParams()) for _ in SEEDS]
    with pytest.raises(lw.ArrayError, match=r"(?i)read-only|writ"):
        sampler.apply(KINDS[kind](logits()), slots)


def test_apply_refuses_before_it_writes() -> None:
    rows = logits()
    before = rows.copy()
    sampler = lw.Sampler(V)
    slot = sampler.add(lw.SamplingParams(temperature=0.5))
    for slots in ([slot] * B, [slot], [slot, 1, 2, 3, 4]):
        with pytest.raises((lw.SlotError, lw.ArrayError)):
            sampler.apply(rows, slots)
    assert np.array_equal(rows, before)


def test_apply_refuses_rows_that_share_memory() -> None:
    """Written in place, one row must not be another."""
    row = np.zeros(V, np.float32)
    same = np.lib.stride_tricks.as_strided(row, (B, V), (0, 4))
    sampler = lw.Sampler(V)
    slots = [sampler.add(lw.SamplingParams(temperature=0.5)) for _ in SEEDS]
    with pytest.raises(lw.ArrayError, match=r"overlap|stride|share"):
        sampler.apply(same, slots)


@pytest.mark.parametrize("slots", [[0.5], ["0"], [None], "0", 0, None])
def test_slots_of_another_type(slots: object) -> None:
    sampler = lw.Sampler(V)
    sampler.add(lw.SamplingParams())
    with pytest.raises(TypeError):
        sampler.step(logits()[:1], slots)


def test_slots_as_numpy_and_tuple() -> None:
    sampler = lw.Sampler(V)
    slots = [sampler.add(lw.SamplingParams(temperature=0)) for _ in SEEDS]
    rows = logits()
    want = rows.argmax(axis=1).tolist()
    assert sampler.step(rows, tuple(slots)).tokens.tolist() == want
    assert sampler.step(rows, np.array(slots)).tokens.tolist() == want


@pytest.mark.parametrize("shape", [(B, 9), (B, 11), (B - 1, 10), (10,), (1, 10)])
def test_masks_of_a_wrong_shape(shape: tuple[int, ...]) -> None:
    sampler = lw.Sampler(V)
    slots = [sampler.add(lw.SamplingParams()) for _ in SEEDS]
    with pytest.raises(lw.ArrayError, match="mask"):
        sampler.step(logits(), slots, mask=np.full(shape, -1, np.int32))


def test_a_mask_of_another_dtype() -> None:
    sampler = lw.Sampler(V)
    slots = [sampler.add(lw.SamplingParams()) for _ in SEEDS]
    with pytest.raises(lw.ArrayError, match="int32"):
        sampler.step(logits(), slots, mask=np.full((B, 10), -1, np.int64))


def test_a_mask_from_torch_or_strided() -> None:
    torch = pytest.importorskip("torch")
    sampler = lw.Sampler(V)
    slots = [sampler.add(lw.SamplingParams(temperature=0)) for _ in SEEDS]
    mask = np.zeros((2 * B, 10), np.int32)
    mask[::2, 3] = 1 << 5
    for given in (mask[::2], torch.from_numpy(mask)[::2], torch.from_numpy(mask[::2].copy())):
        assert sampler.step(logits(), slots, mask=given).tokens.tolist() == [101] * B


def test_more_mask_rows_than_anyone_has_cost_nothing() -> None:
    mask = np.broadcast_to(np.zeros(1, np.int32), (1 << 40, 1))
    with pytest.raises(lw.LimitError) as caught:
        lw.apply_mask(np.zeros((1, 32), np.float32), mask)
    assert caught.value.limit == "batch_rows"


def given_through_its_table(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A mask of torch whose class has no `__dlpack__`: only the table of C functions is left."""
    torch = pytest.importorskip("torch")
    if not hasattr(torch.Tensor, "__dlpack_c_exchange_api__"):
        pytest.skip("this torch has no table of DLPack functions")
    monkeypatch.delattr(torch.Tensor, "__dlpack__")
    return torch


def test_a_mask_of_torch_comes_without_a_call_of_python(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = given_through_its_table(monkeypatch)
    array = np.zeros((2 * B, (V + 31) // 32), np.int32)
    array[::2] = np.random.default_rng(2).integers(-(2**31), 2**31, (B, (V + 31) // 32))
    want = logits()
    lw.apply_mask(want, array[::2])
    rows = logits()
    lw.apply_mask(rows, torch.from_numpy(array)[::2])
    assert np.array_equal(rows, want)
    # The tensor was given back.
    kept = weakref.ref(array)
    del array
    gc.collect()
    assert kept() is None


def test_what_the_table_refuses_is_asked_of_dlpack() -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(ValueError, match=r"mask: it (lies on another device|refuses)"):
        lw.apply_mask(logits(), torch.zeros((B, (V + 31) // 32), dtype=torch.int32, device="meta"))
    with pytest.raises(ValueError, match="mask: expected dtype int32, got f32"):
        lw.apply_mask(logits(), torch.zeros((B, (V + 31) // 32)))
    with pytest.raises(ValueError, match="mask: it refuses to be exported"):
        lw.apply_mask(logits(), torch.zeros((B, (V + 31) // 32), requires_grad=True))


@pytest.mark.parametrize("table", [None, 7, "capsule"])
def test_a_class_with_something_else_for_a_table(table: object) -> None:
    class Other(Dlpack):
        __dlpack_c_exchange_api__ = logits().__dlpack__() if table == "capsule" else table

    mask = np.full((B, (V + 31) // 32), 0x55555555, np.int32)
    rows, want = logits(), logits()
    lw.apply_mask(rows, Other(mask))
    lw.apply_mask(want, mask)
    assert np.array_equal(rows, want)
