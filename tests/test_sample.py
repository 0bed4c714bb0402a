"""The sampler against the written rule, bit for bit, and its draws against the distribution they should have."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from conftest import vectors
from hypothesis import given
from hypothesis import strategies as st
from reference import mask as reference_mask
from reference import sample as reference
from reference import sample_numbers as numbers
from reference.sample import Params

import logitwire as lw

# Block and chunk edges: 16 lanes, 128-wide blocks, chunks of 2,048.
WIDTHS = [1, 2, 7, 15, 16, 17, 127, 128, 129, 2047, 2048, 2049, 5000]
SETTINGS = [
    Params(temperature=t, top_k=k, top_p=p)
    for t, k, p in [
        (0.0, 0, 1.0),
        (1.0, 0, 1.0),
        (0.7, 0, 1.0),
        (1.0, 1, 1.0),
        (0.8, 5, 1.0),
        (1.3, 40, 0.9),
        (1.0, 0, 0.9),
        (0.8, 0, 0.5),
        (2.5, 0, 0.999),
        (1.0, 0, 1e-9),
        (1e-6, 0, 1.0),
        (1e-40, 0, 0.5),
        (1e300, 3, 0.9),
    ]
]


def lw_params(params: Params, **changes: object) -> lw.SamplingParams:
    return lw.SamplingParams(**{**vars(params), **changes})


def rows_of(width: int, seed: int) -> dict[str, np.ndarray]:
    """One row of each awkward kind."""
    rng = np.random.default_rng([width, seed])
    normal = (3 * rng.standard_normal(width)).astype(np.float32)
    return {
        "normal": normal,
        "peaked": np.where(np.arange(width) == rng.integers(width), np.float32(30), normal - np.float32(20)),
        "ties": rng.integers(-2, 3, width).astype(np.float32),
        "constant": np.full(width, 1.5, np.float32),
        "one-hot": np.where(np.arange(width) == rng.integers(width), np.float32(0), np.float32(-np.inf)),
        "mostly -inf": np.where((rng.random(width) < 0.02) | (np.arange(width) == width - 1), normal, -np.inf),
        "subnormal": (rng.integers(-9, 10, width) * 1e-45).astype(np.float32),
        "1e30": (normal * np.float32(1e30)).astype(np.float32),
        "3e38": rng.choice(np.array([3e38, -3e38, 0.0], np.float32), width),
        "signed zeros": rng.choice(np.array([0.0, -0.0], np.float32), width),
        "descending": np.arange(width, 0, -1, dtype=np.float32) / np.float32(8),
        "half precision ties": normal.astype(np.float16).astype(np.float32),
    }


def step_once(
    rows: np.ndarray, params: Sequence[lw.SamplingParams], n_before: int = 0, mask: np.ndarray | None = None
) -> lw.SampleOutput:
    sampler = lw.Sampler(rows.shape[1])
    slots = [sampler.add(p) for p in params]
    flat = np.zeros_like(rows)
    for _ in range(n_before):
        sampler.step(flat, slots)
    return sampler.step(rows, slots, mask=mask)


def assert_row(out: lw.SampleOutput, i: int, want: reference.Drawn, note: object) -> None:
    got = (int(out.tokens[i]), int(out.status[i]), int(out.ranks[i]))
    assert got == (want.token, want.status, want.rank), note
    assert bits(out.logprobs[i]) == bits(want.logprob), note
    n = len(want.top)
    assert out.top_ids[i].tolist() == [t for t, _ in want.top] + [-1] * (out.top_ids.shape[1] - n), note
    assert [bits(x) for x in out.top_logprobs[i][:n]] == [bits(x) for _, x in want.top], note
    assert np.isnan(out.top_logprobs[i][n:]).all(), note


def bits(x: object) -> object:
    """A float32's bits; one answer for every NaN."""
    value = np.float32(x)
    return "nan" if np.isnan(value) else int(value.view(np.uint32))


# -- the reference itself ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", vectors("philox"))
def test_reference_philox_gives_random123s_known_answers(case: dict) -> None:
    output = numbers.philox(tuple(case["counter"]), tuple(case["key"]))
    assert [f"{word:08x}" for word in output] == case["output"]


def test_reference_fma_rounds_once() -> None:
    # Rounded to float64 first, this lands on a tie and goes the wrong way.
    a, b, c = np.float32(2.0**-24 * (1 + 2.0**-15)), np.float32(1 - 2.0**-15), np.float32(1 + 2.0**-23)
    assert np.float32(np.float64(a) * np.float64(b) + np.float64(c)) != numbers.fma_exactly(a, b, c)
    rng = np.random.default_rng(1)
    some = (rng.standard_normal((3, 2000)) * 10.0 ** rng.integers(-5, 5, (3, 2000))).astype(np.float32)
    for x, y, z in [(a, b, c), *some.T]:
        assert numbers.fma(np.array([x]), np.array([y]), z)[0] == numbers.fma_exactly(x, y, z)


def test_reference_exp2_is_an_exponential() -> None:
    t = -(np.arange(130_000, dtype=np.float32) / np.float32(1024))
    got = numbers.exp2(t)
    inside = t > -126
    assert np.abs(got[inside] / np.exp2(t[inside].astype(np.float64)) - 1).max() < 2.2e-7
    assert (got[~inside] == 0).all()
    assert got[0] == 1.0
    assert got.max() == 1.0


def test_uniform_is_never_0_or_1() -> None:
    values = [reference.uniform(seed, step, 0) for seed, step in product(range(50), range(50))]
    assert 0 < min(values) < 0.002 < 0.998 < max(values) < 1
    assert (0.5 * 2.0**-52) > 0
    assert (2**52 - 1 + 0.5) * 2.0**-52 < 1
    # Seed, step and choice 0 are the first known answer: its upper 52 bits, and a half.
    assert Fraction(reference.uniform(0, 0, 0)) == Fraction(2 * (0x6627E8D5E169C58D >> 12) + 1, 2**53)


# -- bit for bit -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", WIDTHS)
def test_every_row_and_setting_at_block_edges(width: int) -> None:
    kinds = list(rows_of(width, 0).items())
    if width > 2049:
        kinds = kinds[::3]
    for number, params in enumerate(SETTINGS):
        settings = [
            Params(**{**vars(params), "seed": 1000 * number + i, "logprobs": [None, 0, 5][(i + number) % 3]})
            for i in range(len(kinds))
        ]
        out = step_once(np.stack([row for _, row in kinds]), [lw_params(p) for p in settings])
        for i, (kind, row) in enumerate(kinds):
            assert_row(out, i, reference.sample(row, settings[i], 0), (width, kind, settings[i]))


def test_every_bit_of_a_weight_shows() -> None:
    """The tokens are in two chunks, so Z is 1 + w in float64, and the log-probability of the first, about -w, has every
    bit of w: one unit in the last place of the least coefficient of exp2 shows among 100,000 of them.
    """
    rng = np.random.default_rng(21)
    halves = (
        rng.integers(1, 12, 100_000) + 0.5 + 0.05 * (rng.random(100_000) - 0.5)
    )  # where the polynomial works hardest
    x = -np.concatenate([halves * math.log(2), rng.random(2000) * 16, np.arange(96) / 8]).astype(np.float32)
    weights = numbers.exp2(x * numbers.scale(1.0)).tolist()
    want = np.array([-math.log(1.0 + w) for w in weights]).astype(np.float32)
    sampler = lw.Sampler(2049)
    slots = [sampler.add(lw.SamplingParams(temperature=0, logprobs=0)) for _ in range(512)]
    rows = np.full((512, 2049), -np.inf, np.float32)
    rows[:, 0] = 0
    got = []
    for start in range(0, len(x), 512):
        some = x[start : start + 512]
        rows[: len(some), 2048] = some
        got.append(sampler.step(rows[: len(some)], slots[: len(some)]).logprobs)
    assert np.array_equal(np.concatenate(got), want)


def test_the_nucleus_is_counted_in_whole_units_of_2_to_the_minus_40() -> None:
    """A thousand weights of about three quarters of a unit come to nothing, where rounded they would come to 1,000."""
    row = np.full(4096, -np.inf, np.float32)
    row[0], row[2048:3048] = 0, -41 * math.log(2) + math.log(1.5)
    for extra in (300, 600):
        params = Params(top_p=(2**40 + extra) / (2**40 + 750))
        sampler, got = lw.Sampler(4096), row.copy()
        sampler.apply(got[None], [sampler.add(lw_params(params))])
        assert np.isfinite(got).sum() == 1001
        assert np.array_equal(got, reference.apply(row, params))


def test_a_stream_of_steps_and_choices() -> None:
    """The step counter, the seed's high half and the choice all reach the random number."""
    rng = np.random.default_rng(5)
    settings = [Params(seed=seed, choice=choice) for seed in (0, 1, 2**32, 2**64 - 1) for choice in (0, 1, 7, 2**31)]
    sampler = lw.Sampler(50)
    slots = [sampler.add(lw_params(p)) for p in settings]
    seen = []
    for step in range(20):
        row = rng.standard_normal(50).astype(np.float32)
        out = sampler.step(np.stack([row] * len(slots)), slots)
        assert out.tokens.tolist() == [reference.draw(row, p, step)[0] for p in settings]
        seen.append(out.tokens.tolist())
    assert len({tuple(column) for column in zip(*seen, strict=True)}) == len(settings)


def test_only_a_row_that_gives_a_token_counts_a_step() -> None:
    sampler = lw.Sampler(64)
    params = Params(seed=9)
    slot = sampler.add(lw_params(params))
    row, bad = np.linspace(0, 1, 64, dtype=np.float32), np.full(64, np.nan, np.float32)
    empty = np.full(64, -np.inf, np.float32)
    infinite = np.where(np.arange(64) % 2 == 0, np.float32(np.inf), row)
    steps = [row, bad, row, empty, row, infinite, row]
    got = [int(sampler.step(r[None], [slot]).tokens[0]) for r in steps]
    counts = [0, None, 1, None, 2, 3, 4]
    assert got == [-1 if n is None else reference.draw(r, params, n)[0] for r, n in zip(steps, counts, strict=True)]


def test_greedy_takes_the_lowest_id_among_equals_and_counts_steps() -> None:
    row = np.array([0, 2, 1, 2, 2], np.float32)
    out = step_once(row[None], [lw.SamplingParams(temperature=0, top_k=3, top_p=0.1)])
    assert out.tokens.tolist() == [1]


params_strategy = st.builds(
    Params,
    temperature=st.sampled_from([0.0, 1e-40, 1e-6, 0.3, 0.8, 1.0, 1.7, 50.0]) | st.floats(1e-3, 10),
    top_k=st.sampled_from([0, 1, 2, 3, 50, 10**9]),
    top_p=st.sampled_from([1.0, 0.999, 0.9, 0.5, 0.1, 1e-12]) | st.floats(1e-6, 1.0),
    seed=st.integers(0, 2**64 - 1),
    choice=st.integers(0, 2**31),
    logprobs=st.none() | st.integers(0, 20),
)
logit = st.sampled_from([0.0, -0.0, 1.0, -np.inf, 3e38, -3e38, 1e-45, 88.0, -104.0]) | st.floats(
    width=32, allow_nan=False, allow_infinity=False
)
hostile = st.sampled_from([np.nan, np.inf]) | logit


@given(st.lists(logit, min_size=1, max_size=70), params_strategy, st.randoms(use_true_random=False), st.booleans())
def test_any_row_any_params_any_mask(values: list[float], params: Params, rng: object, masked: bool) -> None:
    row = np.array(values, np.float32)
    allowed = np.array([rng.random() < 0.7 for _ in row]) if masked else np.ones(len(row), bool)  # type: ignore[attr-defined]
    mask = reference_mask.pack(allowed)[None] if masked else None
    out = step_once(row[None], [lw_params(params)], mask=mask)
    assert_row(out, 0, reference.sample(row, params, 0, allowed), None)


@given(st.lists(st.tuples(hostile, st.booleans()), min_size=1, max_size=40), params_strategy)
def test_nan_and_infinite_rows(values: list[tuple[float, bool]], params: Params) -> None:
    row, allowed = np.array([x for x, _ in values], np.float32), np.array([bit for _, bit in values])
    assert_row(step_once(row[None], [lw_params(params)]), 0, reference.sample(row, params, 0), None)
    out = step_once(row[None], [lw_params(params)], mask=reference_mask.pack(allowed)[None])
    assert_row(out, 0, reference.sample(row, params, 0, allowed), None)


def test_large_vocabulary() -> None:
    rng = np.random.default_rng(8)
    row = (4 * rng.standard_normal(128_256)).astype(np.float32)
    settings = [
        Params(seed=1, logprobs=5),
        Params(seed=2, top_p=0.9),
        Params(seed=3, top_k=50, top_p=0.9, temperature=0.8),
    ]
    out = step_once(np.stack([row] * 3), [lw_params(p) for p in settings])
    for i, params in enumerate(settings):
        assert_row(out, i, reference.sample(row, params, 0), params)


# -- statuses ----------------------------------------------------------------------------------------------------------


def test_a_bad_row_leaves_its_neighbours_alone() -> None:
    rng = np.random.default_rng(2)
    good = rng.standard_normal((3, 300)).astype(np.float32)
    nan, inf, empty = good[0].copy(), good[0].copy(), np.full(300, -np.inf, np.float32)
    nan[77] = np.nan
    inf[[5, 200]] = np.inf
    params = [lw.SamplingParams(seed=i, top_p=0.9, logprobs=2) for i in range(6)]
    mixed = step_once(np.stack([good[0], nan, good[1], inf, empty, good[2]]), params)
    alone = step_once(good, [params[0], params[2], params[5]])
    assert mixed.status.tolist() == [0, 2, 0, 1, 3, 0]
    assert mixed.tokens[[0, 2, 5]].tolist() == alone.tokens.tolist()
    assert mixed.logprobs[[0, 2, 5]].tolist() == alone.logprobs.tolist()
    assert mixed.tokens[1] == mixed.tokens[4] == -1
    assert mixed.tokens[3] in (5, 200)
    assert [lw.RowStatus(s).name for s in mixed.status] == ["OK", "NAN", "OK", "INF", "EMPTY", "OK"]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_nan_under_the_mask_does_no_harm(temperature: float) -> None:
    row = np.array([np.nan, 1.0, 2.0, np.nan], np.float32)
    allowed = np.array([False, True, True, False])
    mask = reference_mask.pack(allowed)[None]
    params = Params(temperature=temperature, seed=3, logprobs=4)
    assert_row(step_once(row[None], [lw_params(params)], mask=mask), 0, reference.sample(row, params, 0, allowed), None)


def test_infinity_draws_evenly_and_greedy_takes_the_lowest() -> None:
    row = np.zeros(40, np.float32)
    row[[3, 9, 30]] = np.inf
    n = 3000
    out = step_once(np.stack([row] * n), [lw.SamplingParams(seed=i, top_k=1, top_p=0.1) for i in range(n)])
    assert set(out.status.tolist()) == {1}
    counts = np.bincount(out.tokens, minlength=40)
    assert counts[[3, 9, 30]].sum() == n
    assert counts[[3, 9, 30]].min() > 900
    assert step_once(row[None], [lw.SamplingParams(temperature=0)]).tokens.tolist() == [3]


def test_a_masked_infinity_is_not_drawn() -> None:
    row = np.array([0, np.inf, 1, 2], np.float32)
    allowed = np.array([True, False, True, False])
    params = Params(seed=1, logprobs=1)
    out = step_once(row[None], [lw_params(params)], mask=reference_mask.pack(allowed)[None])
    assert out.status.tolist() == [0]
    assert_row(out, 0, reference.sample(row, params, 0, allowed), None)


# -- ids that do not exist ---------------------------------------------------------------------------------------------


def test_padded_and_missing_ids_are_never_drawn() -> None:
    vocab = lw.Vocab.from_bytes([b"a", None, b"b"])
    sampler = lw.Sampler(8, vocab=vocab)
    slots = [sampler.add(lw.SamplingParams(seed=i)) for i in range(300)]
    row = np.array([0, 50, 0, 50, 50, 50, 50, 50], np.float32)
    out = sampler.step(np.stack([row] * 300), slots)
    assert set(out.tokens.tolist()) == {0, 2}
    exists = np.isin(np.arange(8), [0, 2])
    assert out.tokens.tolist() == [reference.draw(row, Params(seed=i), 0, exists)[0] for i in range(300)]


def test_the_model_s_own_row_includes_its_padding() -> None:
    """Log-probabilities are those of the row as the model made it."""
    sampler = lw.Sampler(6, vocab=lw.Vocab.from_bytes([b"a", b"b"]))
    params = Params(temperature=0, logprobs=3)
    row = np.array([1, 2, 9, 8, 7, 6], np.float32)
    out = sampler.step(row[None], [sampler.add(lw_params(params))])
    want = reference.sample(row, params, 0, np.array([True, True, False, False, False, False]))
    assert (out.tokens.tolist(), out.ranks.tolist()) == ([want.token], [want.rank])
    assert bits(out.logprobs[0]) == bits(want.logprob)


def test_what_the_vocabulary_lacks_is_not_among_the_most_likely() -> None:
    sampler = lw.Sampler(6, vocab=lw.Vocab.from_bytes([b"a", b"b"]))
    row = np.array([1, 2, 9, 8, 7, 6], np.float32)
    out = sampler.step(row[None], [sampler.add(lw.SamplingParams(temperature=0, logprobs=3))])
    assert out.top_ids.tolist() == [[1, 0, -1]]
    assert bits(out.top_logprobs[0][0]) == bits(out.logprobs[0])


def test_padding_may_be_nan_or_infinite() -> None:
    sampler = lw.Sampler(4, vocab=lw.Vocab.from_bytes([b"a", b"b"]))
    out = sampler.step(np.array([[1, 2, np.nan, np.inf]], np.float32), [sampler.add(lw.SamplingParams(temperature=0))])
    assert (out.tokens.tolist(), out.status.tolist()) == ([1], [0])


def test_a_vocabulary_larger_than_the_logits() -> None:
    with pytest.raises(lw.VocabError):
        lw.Sampler(2, vocab=lw.Vocab.from_bytes([b"a", b"b", b"c"]))


# -- invariance --------------------------------------------------------------------------------------------------------


def test_the_token_does_not_depend_on_the_batch() -> None:
    """5,000 draws: alone, in batches of other sizes, at other positions, among other neighbours."""
    rng = np.random.default_rng(4)
    rows = (3 * rng.standard_normal((40, 700))).astype(np.float32)
    rows[7, 3], rows[21] = np.nan, -np.inf
    settings = [
        lw.SamplingParams(
            temperature=float(rng.choice([0, 0.7, 1.0, 1.5])),
            top_k=int(rng.choice([0, 5, 50])),
            top_p=float(rng.choice([1.0, 0.9, 0.4])),
            seed=int(rng.integers(2**63)),
            logprobs=int(rng.integers(6)),
        )
        for _ in range(40)
    ]
    n_steps = 25

    def tokens(groups: list[list[int]]) -> list[list[int]]:
        """Row by row, what each step drew, when the rows are stepped in these groups."""
        sampler = lw.Sampler(700)
        slots = [sampler.add(p) for p in settings]
        drawn: list[list[int]] = [[] for _ in settings]
        for step in range(n_steps):
            for group in groups:
                out = sampler.step(np.roll(rows, step, axis=1)[group], [slots[i] for i in group])
                for i, token, logprob in zip(group, out.tokens.tolist(), out.logprobs, strict=True):
                    drawn[i] += [token, bits(logprob)]
        return drawn

    alone = tokens([[i] for i in range(40)])
    order = rng.permutation(40).tolist()
    assert tokens([list(range(40))]) == alone
    assert tokens([order]) == alone
    assert tokens([order[:1], order[1:4], order[4:20], order[20:]]) == alone
    assert tokens([list(range(39, -1, -1))]) == alone


def test_slots_that_rest_and_slots_reused() -> None:
    rng = np.random.default_rng(6)
    row = rng.standard_normal(100).astype(np.float32)
    sampler = lw.Sampler(100)
    a, b = sampler.add(lw.SamplingParams(seed=1)), sampler.add(lw.SamplingParams(seed=2))
    assert a != b
    first = sampler.step(np.stack([row, row]), [b, a]).tokens.tolist()
    assert first == [reference.draw(row, Params(seed=s), 0)[0] for s in (2, 1)]
    sampler.step(row[None], [b])
    sampler.remove(b)
    c = sampler.add(lw.SamplingParams(seed=3))
    assert c != a
    out = sampler.step(np.stack([row, row]), [a, c]).tokens.tolist()
    assert out == [reference.draw(row, Params(seed=1), 1)[0], reference.draw(row, Params(seed=3), 0)[0]]


def test_outputs_stay_as_they_were() -> None:
    sampler = lw.Sampler(10)
    slot = sampler.add(lw.SamplingParams(seed=1, logprobs=2))
    row = np.arange(10, dtype=np.float32)
    out = sampler.step(row[None], [slot])
    before = [getattr(out, name).copy() for name in ("tokens", "logprobs", "top_ids")]
    for _ in range(5):
        sampler.step(row[None] * -1, [slot])
    assert all(
        np.array_equal(now, then) for now, then in zip((out.tokens, out.logprobs, out.top_ids), before, strict=True)
    )


# -- columns -----------------------------------------------------------------------------------------------------------


def test_columns_have_the_types_and_shapes_documented() -> None:
    rows = np.zeros((3, 9), np.float32)
    out = step_once(rows, [lw.SamplingParams(seed=i, logprobs=n) for i, n in enumerate((None, 2, 0))])
    shapes = {
        name: getattr(out, name).shape for name in ("tokens", "status", "logprobs", "ranks", "top_ids", "top_logprobs")
    }
    assert shapes == {
        "tokens": (3,),
        "status": (3,),
        "logprobs": (3,),
        "ranks": (3,),
        "top_ids": (3, 2),
        "top_logprobs": (3, 2),
    }
    types = [getattr(out, name).dtype for name in shapes]
    assert types == [np.int32, np.uint8, np.float32, np.int32, np.int32, np.float32]
    assert np.isnan(out.logprobs[0])
    assert (out.ranks[0], out.ranks[1]) == (0, 1)


def test_an_empty_batch_gives_empty_columns() -> None:
    out = lw.Sampler(9).step(np.zeros((0, 9), np.float32), [])
    assert out.tokens.shape == (0,)
    assert out.top_ids.shape[0] == 0


def test_more_top_logprobs_than_tokens() -> None:
    params = Params(temperature=0, logprobs=20)
    row = np.array([1, 3, 2], np.float32)
    assert_row(step_once(row[None], [lw_params(params)]), 0, reference.sample(row, params, 0), None)


# -- slots and parameters ----------------------------------------------------------------------------------------------


def test_slot_errors_change_nothing() -> None:
    sampler = lw.Sampler(5)
    slot = sampler.add(lw.SamplingParams(seed=1))
    row = np.arange(5, dtype=np.float32)
    for slots in ([slot, slot], [slot, slot + 1], [slot, -1], [slot, 2**40]):
        with pytest.raises(lw.SlotError):
            sampler.step(np.stack([row, row]), slots)
    with pytest.raises(lw.ArrayError):
        sampler.step(np.stack([row, row]), [slot])
    assert sampler.step(row[None], [slot]).tokens.tolist() == [reference.draw(row, Params(seed=1), 0)[0]]
    sampler.remove(slot)
    with pytest.raises(lw.SlotError) as caught:
        sampler.remove(slot)
    assert caught.value.slot == slot
    with pytest.raises(lw.SlotError):
        sampler.step(row[None], [slot])
    with pytest.raises(lw.SlotError):
        sampler.remove(99)


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("temperature", [-0.1, float("nan"), float("inf"), float("-inf")]),
        ("top_k", [-1]),
        ("top_p", [0.0, -0.1, 1.0000001, float("nan")]),
        ("seed", [-1, 2**64]),
        ("choice", [-1]),
        ("logprobs", [-1, 21]),
    ],
)
def test_a_parameter_out_of_range_names_itself(field: str, values: list[object]) -> None:
    for value in values:
        with pytest.raises(lw.ParameterError) as caught:
            lw.SamplingParams(**{field: value})
        error = caught.value
        assert field in str(error)
        if not isinstance(error, lw.LimitError):
            assert error.field == field
            assert error.expected


@pytest.mark.parametrize("value", ["1", None, [1]])
@pytest.mark.parametrize("field", ["temperature", "top_k", "top_p"])
def test_a_parameter_of_another_type(field: str, value: object) -> None:
    with pytest.raises(lw.ParameterError, match=field):
        lw.SamplingParams(**{field: value})


def test_unknown_parameters_and_orders_are_refused() -> None:
    with pytest.raises(TypeError):
        lw.SamplingParams(minimum_p=0.1)
    with pytest.raises(TypeError):
        lw.SamplingParams(0.5)
    with pytest.raises(lw.ParameterError, match="order"):
        lw.Sampler(5, order="beam")
    with pytest.raises(lw.ParameterError):
        lw.Sampler(0)


def test_params_compare_pickle_and_read_back() -> None:
    import pickle

    params = lw.SamplingParams(temperature=0.25, top_k=3, top_p=0.5, seed=2**64 - 1, choice=4, logprobs=20)
    assert (params.temperature, params.top_k, params.top_p) == (0.25, 3, 0.5)
    assert (params.seed, params.choice, params.logprobs) == (2**64 - 1, 4, 20)
    again = pickle.loads(pickle.dumps(params))  # noqa: S301 - our own bytes
    assert again == params
    assert hash(again) == hash(params)
    assert params != lw.SamplingParams(temperature=0.25, top_k=3, top_p=0.5, seed=2**64 - 1, choice=5, logprobs=20)
    with pytest.raises(AttributeError):
        params.seed = 1


def test_a_seed_is_drawn_and_can_be_used_again() -> None:
    seeds = [lw.SamplingParams().seed for _ in range(100)]
    assert len(set(seeds)) == 100
    assert all(0 <= seed < 2**64 for seed in seeds)
    assert max(seeds) > 2**40


@pytest.mark.parametrize("token_id", [-1, 5, 2**31, 2**40])
def test_prompt_ids_outside(token_id: int) -> None:
    with pytest.raises(lw.TokenIdError) as caught:
        lw.Sampler(5).add(lw.SamplingParams(), [0, token_id])
    assert caught.value.token_id == token_id


# -- apply -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [1, 17, 300, 2049])
def test_apply_leaves_what_the_rule_says(width: int) -> None:
    kinds = [k for k in rows_of(width, 3).items() if k[0] not in ("1e30", "3e38")]
    for params in SETTINGS:
        if params.temperature not in (1e-40, 1e300):
            sampler = lw.Sampler(width)
            got = np.stack([row for _, row in kinds])
            sampler.apply(got, [sampler.add(lw_params(params)) for _ in kinds])
            for i, (kind, row) in enumerate(kinds):
                assert np.array_equal(got[i], reference.apply(row, params)), (width, kind, params)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("temperature", [1e-4, 1e-38, 1e-50])
def test_apply_never_overflows(temperature: float, dtype: type) -> None:
    row = np.array([[0, 20, 10, 20, -5]], dtype)
    sampler = lw.Sampler(5)
    sampler.apply(row, [sampler.add(lw.SamplingParams(temperature=temperature, top_k=4))])
    if temperature > 1e-10 and dtype is np.float32:
        assert row[0, 1] == row[0, 3] == np.float32(20) / np.float32(temperature)
    else:
        assert row[0, 1] == row[0, 3] == 0
    assert np.isfinite(row[0, :4]).all()
    assert row[0, 4] == -np.inf
    assert row[0, 2] < row[0, 1]


@pytest.mark.parametrize(
    ("temperature", "want"), [(0.0, [-np.inf, 0, -np.inf, -np.inf]), (1.0, [-np.inf, 0, -np.inf, 0])]
)
def test_apply_to_infinite_logits_keeps_those(temperature: float, want: list[float]) -> None:
    sampler = lw.Sampler(4)
    row = np.array([[1, np.inf, 2, np.inf]], np.float32)
    sampler.apply(row, [sampler.add(lw.SamplingParams(temperature=temperature))])
    assert row.tolist() == [want]


def test_an_infinite_candidate_is_as_likely_as_in_a_full_row() -> None:
    sampler = lw.Sampler(4)
    row = np.array([[1, np.inf, 2, 0]], np.float32)
    params = lw.SamplingParams(seed=1, logprobs=2)
    dense = sampler.step(row, [sampler.add(params)])
    ids, lse = np.arange(4, dtype=np.int32)[None], np.array([np.inf], np.float32)
    few = sampler.step_candidates(ids, row, lse, [sampler.add(params)])
    assert few.logprobs.tolist() == dense.logprobs.tolist() == [0.0]


def test_apply_draws_nothing() -> None:
    sampler = lw.Sampler(50)
    row = np.linspace(0, 1, 50, dtype=np.float32)
    slot = sampler.add(lw.SamplingParams(seed=5))
    for _ in range(3):
        sampler.apply(row.copy()[None], [slot])
    assert sampler.step(row[None], [slot]).tokens.tolist() == [reference.draw(row, Params(seed=5), 0)[0]]


def test_apply_cuts_ids_the_vocabulary_lacks() -> None:
    sampler = lw.Sampler(4, vocab=lw.Vocab.from_bytes([b"a", None, b"b"]))
    row = np.array([[1, 5, 2, 9]], np.float32)
    sampler.apply(row, [sampler.add(lw.SamplingParams())])
    assert row.tolist() == [[1, -np.inf, 2, -np.inf]]


# -- candidates --------------------------------------------------------------------------------------------------------


def test_candidates_by_the_rule_in_any_order_with_padding() -> None:
    rng = np.random.default_rng(12)
    width, k, n = 5000, 64, 40
    ids = np.stack([rng.permutation(width)[:k] for _ in range(n)]).astype(np.int32)
    logits = rng.integers(-6, 7, (n, k)).astype(np.float32) / np.float32(2)
    lse = (logits.max(axis=1) + rng.random(n)).astype(np.float32)
    ids[::3, rng.integers(k, size=9)] = -1
    settings = [
        Params(temperature=float(rng.choice([0, 0.6, 1])), top_k=int(rng.choice([0, 5, 100])),
               top_p=float(rng.choice([1, 0.8])), seed=i, logprobs=[None, 0, 5][i % 3])
        for i in range(n)
    ]  # fmt: skip
    sampler = lw.Sampler(width)
    out = sampler.step_candidates(ids, logits, lse, [sampler.add(lw_params(p)) for p in settings])
    for i, params in enumerate(settings):
        want = reference.sample_candidates(ids[i], logits[i], lse[i], params, 0, width)
        assert_row(out, i, want, (i, params))


def test_candidates_equal_step_with_top_k() -> None:
    rng = np.random.default_rng(13)
    width, k, n = 3000, 50, 60
    rows = (3 * rng.standard_normal((n, width))).astype(np.float32)
    top = np.argsort(-rows, axis=1, kind="stable")[:, :k].astype(np.int32)
    lse = np.log(np.exp(rows.astype(np.float64)).sum(axis=1)).astype(np.float32)
    params = [
        lw.SamplingParams(seed=i, top_k=int(rng.integers(1, k + 1)), top_p=float(rng.choice([1, 0.7])))
        for i in range(n)
    ]
    dense, reduced = lw.Sampler(width), lw.Sampler(width)
    want = dense.step(rows, [dense.add(p) for p in params])
    got = reduced.step_candidates(top, np.take_along_axis(rows, top, axis=1), lse, [reduced.add(p) for p in params])
    assert got.tokens.tolist() == want.tokens.tolist()


def test_candidates_refused() -> None:
    sampler = lw.Sampler(10)
    slot = sampler.add(lw.SamplingParams(seed=1))
    ids, logits, lse = np.array([[1, 2]], np.int32), np.zeros((1, 2), np.float32), np.ones(1, np.float32)
    with pytest.raises(lw.ArrayError, match=r"twice|duplicate|more than once"):
        sampler.step_candidates(np.array([[2, 2]], np.int32), logits, lse, [slot])
    for bad in (10, 2**31 - 1, -2):
        with pytest.raises(lw.TokenIdError):
            sampler.step_candidates(np.array([[1, bad]], np.int32), logits, lse, [slot])
    with pytest.raises(lw.ArrayError):
        sampler.step_candidates(ids.astype(np.int64), logits, lse, [slot])
    with pytest.raises(lw.ArrayError):
        sampler.step_candidates(ids, np.zeros((1, 3), np.float32), lse, [slot])
    with pytest.raises(lw.ArrayError):
        sampler.step_candidates(ids, logits, np.ones(2, np.float32), [slot])
    with pytest.raises(lw.ArrayError):
        sampler.step_candidates(ids, logits.astype(np.float64), lse, [slot])
    with pytest.raises(lw.SlotError):
        sampler.step_candidates(ids, logits, lse, [slot + 1])
    out = sampler.step_candidates(np.array([[-1, -1]], np.int32), logits, lse, [slot])
    assert (out.tokens.tolist(), out.status.tolist()) == ([-1], [3])


# -- distribution ------------------------------------------------------------------------------------------------------

N_DRAWS = 8000
STATISTICAL = [
    Params(temperature=1.0),
    Params(temperature=0.6),
    Params(temperature=1.8, top_k=12),
    Params(temperature=1.0, top_p=0.85),
    Params(temperature=0.8, top_k=30, top_p=0.9),
]


def statistical_rows() -> list[np.ndarray]:
    rng = np.random.default_rng(77)
    return [
        (1.5 * rng.standard_normal(40)).astype(np.float32),
        np.linspace(0, 4, 9, dtype=np.float32),
        (2.5 * rng.standard_normal(257)).astype(np.float32),
    ]


def g_test(counts: np.ndarray, p: np.ndarray) -> float:
    """p-value of Woolf's G-test; cells with an expected count below 5 are pooled."""
    assert counts[p == 0].sum() == 0, "a token outside the support was drawn"
    expected = p * counts.sum()
    small = expected < 5
    seen = np.append(counts[~small], counts[small].sum())
    want = np.append(expected[~small], expected[small].sum())
    seen, want = seen[want > 0], want[want > 0]
    g = 2 * sum(o * math.log(o / e) for o, e in zip(seen, want, strict=True) if o > 0)
    k = len(want) - 1
    if k == 0:
        return 1.0
    # Wilson and Hilferty (1931): the cube root of chi-squared over k is nearly normal.
    z = ((g / k) ** (1 / 3) - (1 - 2 / (9 * k))) / math.sqrt(2 / (9 * k))
    return 0.5 * math.erfc(z / math.sqrt(2))


def drawn_counts(row: np.ndarray, params: Params, first_seed: int) -> np.ndarray:
    """Half from many seeds at step 0, half from many steps of a few seeds: people use small consecutive seeds."""
    seeds = [lw_params(params, seed=first_seed + i) for i in range(N_DRAWS // 2)]
    tokens = step_once(np.tile(row, (len(seeds), 1)), seeds).tokens.tolist()
    sampler = lw.Sampler(len(row))
    slots = [sampler.add(lw_params(params, seed=first_seed + N_DRAWS + i)) for i in range(100)]
    for _ in range(N_DRAWS // 200):
        tokens += sampler.step(np.tile(row, (100, 1)), slots).tokens.tolist()
    return np.bincount(tokens, minlength=len(row))


def test_draws_have_the_distribution_they_should() -> None:
    values = [
        g_test(drawn_counts(row, params, 10**6 * i + 10**5 * j), reference.probabilities(row, params))
        for i, row in enumerate(statistical_rows())
        for j, params in enumerate(STATISTICAL)
    ]
    assert min(values) > 1e-4 / len(values)
    assert 0.25 < sum(values) / len(values) < 0.75  # too good would be wrong as well: a uniform used twice


def sharpened(p: np.ndarray) -> np.ndarray:
    return p**1.02 / (p**1.02).sum()


def flattened(p: np.ndarray) -> np.ndarray:
    return p**0.98 / (p**0.98).sum()


@pytest.mark.parametrize("sabotage", [sharpened, flattened])
def test_the_statistical_test_sees_two_per_cent(sabotage: Callable[[np.ndarray], np.ndarray]) -> None:
    """Power: drawn from p ** 1.02, the same test must fail."""
    row = np.linspace(0, 12, 40, dtype=np.float32)
    p = reference.probabilities(row, Params())
    counts = np.random.default_rng(0).multinomial(300_000, sabotage(p))
    assert g_test(counts, p) < 1e-4 / 15
    assert g_test(np.random.default_rng(0).multinomial(300_000, p), p) > 1e-4


def test_the_real_sampler_passes_where_the_sabotaged_fails() -> None:
    """The same row and as many draws as the power check above."""
    row = np.linspace(0, 12, 40, dtype=np.float32)
    sampler = lw.Sampler(40)
    slots = [sampler.add(lw.SamplingParams(seed=i)) for i in range(3000)]
    rows = np.tile(row, (3000, 1))
    counts = sum(np.bincount(sampler.step(rows, slots).tokens, minlength=40) for _ in range(100))
    assert g_test(counts, reference.probabilities(row, Params())) > 1e-4


def test_an_off_by_one_nucleus_is_seen() -> None:
    row = statistical_rows()[1]
    params = Params(top_p=0.85)
    counts = drawn_counts(row, params, 5)
    p = reference.probabilities(row, params)
    one_less = np.where(p == p[p > 0].min(), 0, p)
    with pytest.raises(AssertionError, match="outside the support"):
        g_test(counts, one_less / one_less.sum())


def test_neighbouring_seeds_steps_and_choices_are_independent() -> None:
    """No correlation between the uniforms behind neighbouring draws: a row of 256 equal logits shows 8 bits of each."""
    row = np.zeros(256, np.float32)
    n = 2000

    def stream(**fixed: object) -> np.ndarray:
        return np.array(
            step_once(np.tile(row, (n, 1)), [lw.SamplingParams(**{**fixed, "seed": i}) for i in range(n)]).tokens
        )

    base, choice = stream(choice=0), stream(choice=1)
    sampler = lw.Sampler(256)
    slots = [sampler.add(lw.SamplingParams(seed=i)) for i in range(n)]
    rows = np.tile(row, (n, 1))
    step0, step1 = sampler.step(rows, slots).tokens, sampler.step(rows, slots).tokens
    assert step0.tolist() == base.tolist()
    for a, b in [(base[:-1], base[1:]), (base, choice), (step0, step1)]:
        assert abs(np.corrcoef(a, b)[0, 1]) < 4 / math.sqrt(n)
