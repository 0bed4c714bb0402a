"""Every processor and profile against the written rule, bit for bit, and against transformers and llama.cpp."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference import mask as reference_mask
from reference import sample as reference
from reference.sample import History, Params
from reference.sample_processors import green_list
from test_sample import WIDTHS, assert_row, bits, g_test, logit, lw_params, rows_of

import logitwire as lw

# Each cut, gently and hard.
CUTS: list[dict[str, Any]] = [
    {"top_k": 3},
    {"top_k": 40},
    {"top_p": 0.9},
    {"top_p": 0.3},
    {"min_p": 0.05},
    {"min_p": 1.0},
    {"min_p": 1e-30},
    {"typical_p": 0.95},
    {"typical_p": 0.2},
    {"tfz": 0.95},
    {"tfz": 0.3},
    {"top_n_sigma": 1.0},
    {"top_n_sigma": 0.1},
    {"epsilon_cutoff": 3e-4},
    {"epsilon_cutoff": 0.9},
    {"eta_cutoff": 2e-3},
    {"eta_cutoff": 0.5},
    {"xtc_probability": 1.0, "xtc_threshold": 0.1},
    {"xtc_probability": 0.5, "xtc_threshold": 0.0},
    {"dynatemp_range": 0.5},
    {"dynatemp_range": 3.0, "dynatemp_exponent": 0.3},
    {"mirostat": 1},
    {"mirostat": 1, "mirostat_tau": 1.0, "mirostat_eta": 0.9},
    {"mirostat": 2},
    {"mirostat": 2, "mirostat_tau": 0.5},
]
EDITS: list[dict[str, Any]] = [
    {"repetition_penalty": 1.3},
    {"repetition_penalty": 0.8, "repetition_counts": "output"},
    {"frequency_penalty": 0.7},
    {"presence_penalty": -1.5, "frequency_counts": "all"},
    {"repetition_penalty": 1.1, "frequency_penalty": 0.1, "presence_penalty": 0.1, "penalty_last_n": 9},
    {"repetition_penalty": 1.1, "penalty_last_n": 0},
    {"dry_multiplier": 0.8},
    {"dry_multiplier": 2.0, "dry_base": 3.0, "dry_allowed_length": 1, "dry_last_n": 20, "dry_breakers": (3,)},
    {"dry_multiplier": 1.0, "dry_allowed_length": 0},
    {"logit_bias": {0: 5.0, 1: -math.inf, 5: -100.0}},
    {"bad_words": ((2,), (0, 1), (1, 1, 0))},
    {"watermark": "kgw"},
    {"watermark": "philox", "watermark_gamma": 0.5, "watermark_key": 2**63 + 5},
]
ALONE = {"default": CUTS + EDITS}
PROFILES: dict[str, list[dict[str, Any]]] = {
    "default": [
        {"temperature": 0.7, "top_k": 30, "top_p": 0.95, "min_p": 0.02},
        {"temperature": 1.4, "typical_p": 0.9, "tfz": 0.97, "epsilon_cutoff": 1e-3, "eta_cutoff": 1e-3},
        {"top_n_sigma": 2.0, "temperature": 2.0, "xtc_probability": 0.5, "min_p": 0.01},
        {
            "repetition_penalty": 1.2,
            "dry_multiplier": 1.0,
            "frequency_penalty": 0.3,
            "watermark": "philox",
            "top_p": 0.8,
        },
        {"mirostat": 2, "temperature": 0.8, "top_k": 3},
    ],
    "vllm": [
        {"top_k": 4},
        {"temperature": 0.7, "min_p": 0.1, "top_k": 20, "top_p": 0.9},
        {"repetition_penalty": 1.2, "frequency_penalty": 0.5, "presence_penalty": 0.2, "logit_bias": {0: 1.0}},
    ],
    "tgi": [
        {"top_k": 4},
        {"typical_p": 0.6},
        {"temperature": 0.7, "top_k": 20, "top_p": 0.9, "typical_p": 0.9, "repetition_penalty": 1.2},
        {"watermark": "kgw", "frequency_penalty": 0.5, "top_p": 0.9},
    ],
    "hf": [
        {"top_k": 4},
        {"typical_p": 0.6},
        {"temperature": 0.7, "top_k": 20, "top_p": 0.9, "min_p": 0.05, "typical_p": 0.9},
        {"epsilon_cutoff": 1e-3, "eta_cutoff": 1e-2, "temperature": 1.3},
        {"watermark": "kgw", "temperature": 0.6, "top_k": 10, "repetition_penalty": 1.1},
        {"watermark": "philox", "temperature": 0.6},
        {"watermark": "philox", "temperature": 0.0},
    ],
    "llama.cpp": [
        {"top_k": 4},
        {"typical_p": 0.5},
        {"temperature": 0.5, "top_k": 40, "top_p": 0.9, "min_p": 0.05, "typical_p": 0.9},
        {"top_n_sigma": 1.5, "temperature": 1.5, "xtc_probability": 0.5},
        {"repetition_penalty": 1.1, "frequency_penalty": 0.2, "presence_penalty": 0.1, "dry_multiplier": 0.8},
        {"temperature": 0.7, "dynatemp_range": 0.6},
        {"mirostat": 1, "repetition_penalty": 2.0, "temperature": 0.8},
    ],
}
CASES = [(None, case) for case in CUTS + EDITS] + [(order, case) for order in PROFILES for case in PROFILES[order]]
LISTS = [
    ["temperature", "xtc", "top_k"],
    ["typical_p", "top_p", "temperature", "watermark", "min_p"],
    ["dry", "presence_penalty", "repetition_penalty", "tfz", "top_n_sigma"],
]


def step(row: np.ndarray, params: Params, history: History, n_before: int = 0) -> lw.SampleOutput:
    """The row, after steps that made the output, which are drawn from rows with one possible token."""
    sampler = lw.Sampler(len(row))
    slot = sampler.add(lw_params(params), history.prompt)
    for token in history.output:
        mask = reference_mask.pack(np.arange(len(row)) == token)[None]
        sampler.step(np.zeros((1, len(row)), np.float32), [slot], mask=mask)
    return sampler.step(row[None], [slot])


def history_of(rng: np.random.Generator, width: int) -> History:
    tokens = rng.integers(0, min(width, 6), 60).tolist()
    return History(prompt=tokens[:40], output=tokens[40:])


@pytest.mark.parametrize("number", range(len(CASES)), ids=lambda i: f"{CASES[i][0] or ''}{CASES[i][1]}")
def test_every_processor_and_profile_on_awkward_rows(number: int) -> None:
    order, case = CASES[number]
    n_drawn = 0
    for width in WIDTHS:
        rng = np.random.default_rng([number, width])
        kinds = list(rows_of(width, number).items())
        for i, (kind, row) in enumerate(kinds if width < 300 else kinds[number % 4 :: 4]):
            params = Params(
                **case, order=order, seed=i, logprobs=[None, 3][i % 2], logprobs_mode=["raw", "processed"][i % 4 // 2]
            )
            if any(id >= width for id in [*params.logit_bias, *params.dry_breakers, *np.ravel([2, 1])]):
                continue
            history = history_of(rng, width) if case.keys() & {k for edit in EDITS for k in edit} else History()
            if case.keys() & {"logit_bias", "bad_words", "mirostat"}:
                # What makes an output token for the others does not for what bans, and mirostat would learn from it.
                history = History(prompt=history.all())
            want = reference.sample(row, params, len(history.output), history=history)
            assert_row(step(row, params, history), 0, want, (width, kind, params))
            n_drawn += want.token >= 0
    assert n_drawn > 40


def test_mirostat_learns_what_the_rule_says() -> None:
    rng = np.random.default_rng(3)
    for params in (Params(mirostat=v, mirostat_tau=tau, seed=v, temperature=0.9) for v in (1, 2) for tau in (1.0, 4.0)):
        sampler = lw.Sampler(700)
        slot, mu = sampler.add(lw_params(params)), None
        for number in range(30):
            row = (2 * rng.standard_normal(700)).astype(np.float32)
            want = reference.sample(row, params, number, mu=mu)
            assert_row(sampler.step(row[None], [slot]), 0, want, (number, params))
            mu = want.mu


orders = st.sampled_from([None, "default", *LISTS])
params_strategy = st.builds(
    Params,
    temperature=st.sampled_from([0.0, 1e-6, 0.3, 1.0, 1.7, 50.0]),
    dynatemp_range=st.sampled_from([0.0, 0.0, 0.5, 2.0]),
    top_k=st.sampled_from([0, 1, 3, 50]),
    top_p=st.sampled_from([1.0, 0.999, 0.9, 0.5, 1e-12]),
    min_p=st.sampled_from([0.0, 0.01, 0.5, 1.0]),
    typical_p=st.sampled_from([1.0, 1.0, 0.9, 0.3]),
    tfz=st.sampled_from([1.0, 1.0, 0.9, 0.2]),
    top_n_sigma=st.sampled_from([0.0, 0.0, 1.0, 3.0]),
    epsilon_cutoff=st.sampled_from([0.0, 0.0, 0.01, 0.4]),
    eta_cutoff=st.sampled_from([0.0, 0.0, 0.01, 0.4]),
    xtc_probability=st.sampled_from([0.0, 0.0, 0.5, 1.0]),
    xtc_threshold=st.sampled_from([0.0, 0.1, 0.4]),
    mirostat=st.sampled_from([0, 0, 0, 0, 1, 2]),
    mirostat_tau=st.sampled_from([0.0, 0.5, 5.0, 600.0]),
    repetition_penalty=st.sampled_from([1.0, 1.3, 1e-30, 1e30]),
    frequency_penalty=st.sampled_from([0.0, 0.7, -2.0]),
    presence_penalty=st.sampled_from([0.0, 2.0]),
    penalty_last_n=st.sampled_from([None, 0, 1, 7]),
    dry_multiplier=st.sampled_from([0.0, 0.8, 1e300]),
    dry_base=st.sampled_from([1.0, 1.75, 1e200]),
    dry_allowed_length=st.sampled_from([0, 1, 2, 5]),
    watermark=st.sampled_from([None, None, "kgw", "philox"]),
    seed=st.integers(0, 2**64 - 1),
    logprobs=st.none() | st.integers(0, 20),
    logprobs_mode=st.sampled_from(["raw", "processed"]),
)


@given(
    st.lists(logit | st.sampled_from([np.nan, np.inf]), min_size=3, max_size=60),
    params_strategy,
    st.lists(st.integers(0, 2), max_size=30),
)
def test_any_row_any_processors(values: list[float], params: Params, tokens: list[int]) -> None:
    row = np.array(values, np.float32)
    history = History(prompt=tokens[: len(tokens) // 2], output=tokens[len(tokens) // 2 :])
    mu = None
    if params.mirostat and params.temperature > 0:
        history = History(prompt=history.all())
    want = reference.sample(row, params, len(history.output), history=history, mu=mu)
    assert_row(step(row, params, history), 0, want, None)


@given(
    st.lists(logit, min_size=3, max_size=50), st.sampled_from(LISTS), st.integers(0, 2**32), st.sampled_from([0.5, 1.0])
)
def test_orders_of_the_callers_own(values: list[float], order: list[str], seed: int, temperature: float) -> None:
    row = np.array(values, np.float32)
    some = {
        "temperature": temperature if "temperature" in order else 1.0,
        "xtc_probability": 0.9,
        "top_k": 4,
        "typical_p": 0.8,
        "top_p": 0.9,
        "watermark": "philox",
        "min_p": 0.1,
        "dry_multiplier": 1.0,
        "presence_penalty": 0.5,
        "repetition_penalty": 1.2,
        "tfz": 0.9,
        "top_n_sigma": 2.0,
    }
    fields = {"xtc_probability": "xtc", "dry_multiplier": "dry"}
    named = {name: value for name, value in some.items() if fields.get(name, name) in order}
    params = Params(**named, order=tuple(order), seed=seed)
    history = History(prompt=[0, 1, 2, 0, 1, 2, 0, 1])
    assert_row(step(row, params, history), 0, reference.sample(row, params, 0, history=history), None)


@pytest.mark.parametrize("case", CUTS + EDITS, ids=str)
def test_apply_leaves_what_the_rule_says(case: dict[str, Any]) -> None:
    rng = np.random.default_rng(4)
    for width in (7, 300, 2049):
        for kind, row in rows_of(width, 5).items():
            if kind in ("1e30", "3e38"):
                continue
            params = Params(**case, temperature=0.8)
            history = History(prompt=history_of(rng, width).all())
            sampler, got = lw.Sampler(width), row.copy()
            sampler.apply(got[None], [sampler.add(lw_params(params), history.prompt)])
            want = reference.apply(row, params, history=history)
            if reference.process(row, params, 0, None, history, None)[1] == reference.OK:
                assert [bits(x) for x in got + np.float32(0)] == [bits(x) for x in want + np.float32(0)], (kind, width)


def test_masks_and_candidates_with_processors() -> None:
    rng = np.random.default_rng(8)
    row = rng.integers(-6, 7, 500).astype(np.float32) / np.float32(2)
    ids = rng.permutation(500)[:60].astype(np.int32)
    history = History(prompt=ids[:8].tolist() * 2)
    for number, case in enumerate(CUTS + EDITS):
        if "dry_breakers" in case or "watermark" in case:
            continue
        params = Params(**case, seed=number, logprobs=2)
        lse = np.float32(5.0)
        sampler = lw.Sampler(500)
        slot = sampler.add(lw_params(params), history.prompt)
        got = sampler.step_candidates(ids[None], row[ids][None], np.array([lse]), [slot])
        allowed = np.isin(np.arange(500), ids)
        want = reference.draw(row, params, 0, allowed, history)
        assert (int(got.tokens[0]), int(got.status[0])) == want, params


# -- the distribution --------------------------------------------------------------------------------------------------


def textbook(row: np.ndarray, case: dict[str, Any]) -> np.ndarray:
    """Probabilities in float64 by the papers' words, sharing nothing with the rule; no ties in the row."""
    x = row.astype(np.float64)
    p = np.exp(x - x.max())
    p /= p.sum()
    order = np.argsort(-p)
    surprise = -np.log(p)
    entropy = (p * surprise).sum()
    keep = np.ones(len(p), bool)
    (name, value), *_ = case.items()
    if name == "min_p":
        keep = p >= value * p.max()
    elif name == "typical_p":
        by = np.argsort(np.abs(surprise - entropy))
        n = int(np.searchsorted(np.cumsum(p[by]), value)) + 1
        keep[by[n:]] = False
    elif name == "tfz":
        second = np.abs(np.diff(np.diff(p[order])))
        curve = np.cumsum(second) / second.sum()
        keep[order[1 + int(np.searchsorted(curve, value, side="right")) :]] = False
        keep[order[-1]] = False
    elif name == "top_n_sigma":
        keep = x >= x.max() - value * x.std()
    elif name == "epsilon_cutoff":
        keep = (p >= value) | (p == p.max())
    elif name == "eta_cutoff":
        keep = (p >= min(value, math.sqrt(value) * math.exp(-entropy))) | (p == p.max())
    elif name == "xtc_probability":
        above = [i for i in order if p[i] >= case["xtc_threshold"]]
        keep[above[:-1]] = len(above) < 2
        left = np.where(keep, p, 0)
        return (1 - value) * p + value * left / left.sum()
    elif name == "dynatemp_range":
        even = (entropy / math.log(len(p))) ** case.get("dynatemp_exponent", 1.0)
        low, high = max(0.0, 1 - value), 1 + value
        p = np.exp((x - x.max()) / (low + (high - low) * even))
    elif name == "mirostat":
        keep = (surprise / math.log(2) <= 10.0) | (p == p.max())
    p = np.where(keep, p, 0)
    return p / p.sum()


TEXTBOOK: list[dict[str, Any]] = [
    {"min_p": 0.05},
    {"typical_p": 0.8},
    {"tfz": 0.95},
    {"top_n_sigma": 1.0},
    {"epsilon_cutoff": 0.005},
    {"eta_cutoff": 0.02},
    {"xtc_probability": 0.6, "xtc_threshold": 0.08},
    {"dynatemp_range": 0.5, "dynatemp_exponent": 0.7},
    {"mirostat": 2},
]


def test_draws_have_the_textbooks_distribution() -> None:
    n, values = 20_000, []
    for number, case in enumerate(TEXTBOOK):
        for width in (60, 400):
            row = (2 * np.random.default_rng([number, width]).standard_normal(width)).astype(np.float32)
            sampler = lw.Sampler(width)
            slots = [sampler.add(lw.SamplingParams(**case, seed=10**6 * number + i)) for i in range(n)]
            counts = np.bincount(sampler.step(np.broadcast_to(row, (n, width)).copy(), slots).tokens, minlength=width)
            values.append(g_test(counts, textbook(row, case)))
    assert min(values) > 1e-4 / len(values)
    assert 0.25 < sum(values) / len(values) < 0.75


def test_the_textbook_test_sees_a_cut_off_by_one() -> None:
    """Power: with one more or one less token in the set the same test fails."""
    row = (2 * np.random.default_rng(1).standard_normal(60)).astype(np.float32)
    p = textbook(row, {"typical_p": 0.8})
    counts = np.random.default_rng(2).multinomial(20_000, p)
    least = np.where(p == p[p > 0].min(), 0, p)
    with pytest.raises(AssertionError, match="outside the support"):
        g_test(counts, least / least.sum())
    more = p.copy()
    more[np.flatnonzero(p == 0)[0]] = p[p > 0].min()
    assert g_test(counts, more / more.sum()) < 1e-4


def test_watermarks_favour_the_same_green_tokens() -> None:
    n, row = 20_000, np.zeros((1, 64), np.float32)
    for scheme in ("kgw", "philox"):
        params = Params(watermark=scheme, watermark_delta=1.0, watermark_gamma=0.25)
        green = green_list(params, 7, 64)
        p = np.where(green, math.e, 1.0)
        sampler = lw.Sampler(64)
        slots = [sampler.add(lw_params(params, seed=i), [7]) for i in range(n)]
        counts = np.bincount(sampler.step(np.tile(row, (n, 1)), slots).tokens, minlength=64)
        assert g_test(counts, p / p.sum()) > 1e-4


# -- other libraries ---------------------------------------------------------------------------------------------------


def applied(row: np.ndarray, fields: dict[str, Any], prompt: list[int]) -> np.ndarray:
    sampler, got = lw.Sampler(len(row)), row.copy()
    sampler.apply(got[None], [sampler.add(lw.SamplingParams(**fields), prompt)])
    return got


def same_but_at_the_cut(ours: np.ndarray, theirs: np.ndarray) -> None:
    """The kept sets differ by at most one token, whose sum rounds the other way; what both keep is equal."""
    assert (np.isfinite(ours) != np.isfinite(theirs)).sum() <= 1
    both = np.isfinite(ours) & np.isfinite(theirs)
    assert both.any()
    np.testing.assert_allclose(ours[both], theirs[both], rtol=2e-6, atol=1e-6)


TRANSFORMERS = [
    ("RepetitionPenaltyLogitsProcessor", {"penalty": 1.3}, {"repetition_penalty": 1.3}),
    ("TemperatureLogitsWarper", {"temperature": 0.7}, {"temperature": 0.7}),
    ("TopKLogitsWarper", {"top_k": 9}, {"top_k": 9}),
    ("TopPLogitsWarper", {"top_p": 0.9}, {"top_p": 0.9}),
    ("MinPLogitsWarper", {"min_p": 0.02}, {"min_p": 0.02}),
    ("TypicalLogitsWarper", {"mass": 0.9}, {"typical_p": 0.9}),
    ("EpsilonLogitsWarper", {"epsilon": 0.003}, {"epsilon_cutoff": 0.003}),
    ("EtaLogitsWarper", {"epsilon": 0.01}, {"eta_cutoff": 0.01}),
    ("NoBadWordsLogitsProcessor", {"bad_words_ids": [[3], [1, 4]]}, {"bad_words": [[3], [1, 4]]}),
    (
        "WatermarkLogitsProcessor",
        {"vocab_size": 300, "device": "cpu", "greenlist_ratio": 0.25, "bias": 2.0, "hashing_key": 15485863},
        {"watermark": "kgw"},
    ),
]


@pytest.mark.parametrize("kind", ["normal", "half precision", "ties"])
@pytest.mark.parametrize(("name", "theirs", "ours"), TRANSFORMERS, ids=[name for name, _, _ in TRANSFORMERS])
def test_hf_does_as_transformers(name: str, theirs: dict[str, Any], ours: dict[str, Any], kind: str) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    prompt = [5, 9, 5, 1]
    for seed in range(20):
        row = (2.5 * np.random.default_rng(seed).standard_normal(300)).astype(np.float32)
        if kind == "half precision":
            row = row.astype(np.float16).astype(np.float32)
        if kind == "ties":
            if name in ("TopPLogitsWarper", "TypicalLogitsWarper"):
                pytest.skip("which of those that tie stay, its sort decides")
            row = np.round(row)
        processor = getattr(transformers, name)(**(theirs | ({"eos_token_id": 299} if "BadWords" in name else {})))
        want = processor(torch.tensor([prompt]), torch.from_numpy(row.copy())[None])[0].numpy()
        same_but_at_the_cut(applied(row, {**ours, "order": "hf"}, prompt), want)


def test_hf_does_as_a_whole_list_of_transformers() -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    chain = transformers.LogitsProcessorList(
        [
            transformers.RepetitionPenaltyLogitsProcessor(1.2),
            transformers.TemperatureLogitsWarper(0.8),
            transformers.TopKLogitsWarper(60),
            transformers.TopPLogitsWarper(0.95),
            transformers.MinPLogitsWarper(0.01),
            transformers.TypicalLogitsWarper(0.95),
        ]
    )
    fields = {
        "repetition_penalty": 1.2,
        "temperature": 0.8,
        "top_k": 60,
        "top_p": 0.95,
        "min_p": 0.01,
        "typical_p": 0.95,
    }
    for seed in range(40):
        row = (2 * np.random.default_rng(seed).standard_normal(2000)).astype(np.float32)
        want = chain(torch.tensor([[3, 3, 8]]), torch.from_numpy(row.copy())[None])[0].numpy()
        same_but_at_the_cut(applied(row, {**fields, "order": "hf"}, [3, 3, 8]), want)


def llama_chain(row: np.ndarray, fields: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """(ids, logits) that llama.cpp's own chain leaves of a row, by the C functions that xllamacpp's build exports."""
    import ctypes
    import importlib.util
    from pathlib import Path

    class Token(ctypes.Structure):
        _fields_ = (("id", ctypes.c_int32), ("logit", ctypes.c_float), ("p", ctypes.c_float))

    class Tokens(ctypes.Structure):
        _fields_ = (
            ("data", ctypes.POINTER(Token)),
            ("size", ctypes.c_size_t),
            ("selected", ctypes.c_int64),
            ("sorted", ctypes.c_bool),
        )

    spec = importlib.util.find_spec("xllamacpp")
    if spec is None or spec.origin is None:
        pytest.skip("xllamacpp is not installed")
    library = ctypes.CDLL(str(next(Path(spec.origin).parent.glob("*.so"))))
    if not hasattr(library, "llama_sampler_apply"):
        pytest.skip("this build of xllamacpp exports no samplers")
    makers: dict[str, tuple[str, list[Any]]] = {
        "top_n_sigma": ("top_n_sigma", [ctypes.c_float]),
        "top_k": ("top_k", [ctypes.c_int32]),
        "typical_p": ("typical", [ctypes.c_float, ctypes.c_size_t]),
        "top_p": ("top_p", [ctypes.c_float, ctypes.c_size_t]),
        "min_p": ("min_p", [ctypes.c_float, ctypes.c_size_t]),
        "temperature": ("temp", [ctypes.c_float]),
    }
    data = (Token * len(row))(*[Token(i, float(x), 0.0) for i, x in enumerate(row)])
    tokens = Tokens(ctypes.cast(data, ctypes.POINTER(Token)), len(row), -1, False)
    for name in (name for name in makers if name in fields):
        make = getattr(library, "llama_sampler_init_" + makers[name][0])
        make.restype, make.argtypes = ctypes.c_void_p, makers[name][1]
        sampler = ctypes.c_void_p(make(fields[name], *[0] * (len(makers[name][1]) - 1)))
        library.llama_sampler_apply(sampler, ctypes.byref(tokens))
        library.llama_sampler_free(sampler)
    left = [tokens.data[i] for i in range(tokens.size)]
    left = [token for token in left if token.logit > -math.inf]
    return np.array([token.id for token in left]), np.array([token.logit for token in left], np.float32)


@pytest.mark.parametrize(
    "fields",
    [
        {"top_k": 9},
        {"top_p": 0.9},
        {"min_p": 0.03},
        {"typical_p": 0.9},
        {"top_n_sigma": 1.2},
        {"temperature": 0.6},
        {"top_k": 40, "top_p": 0.9, "temperature": 0.5},
        {"top_k": 100, "typical_p": 0.95, "top_p": 0.97, "min_p": 0.01, "temperature": 1.4},
        {"top_n_sigma": 2.0, "top_p": 0.97, "min_p": 0.01, "temperature": 1.4},
    ],
    ids=str,
)
def test_llama_cpp_does_as_llama_cpp(fields: dict[str, Any]) -> None:
    for seed in range(20):
        row = (2.5 * np.random.default_rng(seed).standard_normal(500)).astype(np.float32)
        ids, logits = llama_chain(row, fields)
        want = np.full(500, -np.inf, np.float32)
        want[ids] = logits
        same_but_at_the_cut(applied(row, {**fields, "order": "llama.cpp"}, []), want)


# -- parameters --------------------------------------------------------------------------------------------------------

OUT_OF_RANGE: dict[str, list[object]] = {
    "dynatemp_range": [-0.1, math.inf, "x"],
    "dynatemp_exponent": [-1.0, math.nan],
    "min_p": [-0.1, 1.1, math.nan],
    "typical_p": [0.0, 1.1],
    "tfz": [0.0, -1.0, 2.0],
    "top_n_sigma": [-1.0, math.inf],
    "epsilon_cutoff": [1.0, -0.1],
    "eta_cutoff": [1.0, math.nan],
    "xtc_probability": [-0.1, 1.5],
    "xtc_threshold": [-0.1, 1.5],
    "mirostat": [3, -1],
    "mirostat_tau": [-1.0],
    "mirostat_eta": [-1.0],
    "repetition_penalty": [0.0, -1.0, math.inf, 1e300, 1e-300],
    "frequency_penalty": [2.1, -2.1, math.nan],
    "presence_penalty": [2.1, -2.1],
    "repetition_counts": ["prompt", 1],
    "frequency_counts": ["none"],
    "penalty_last_n": [-1, "all"],
    "dry_multiplier": [-1.0],
    "dry_base": [0.9, math.inf],
    "dry_allowed_length": [-1],
    "dry_last_n": [-1],
    "dry_breakers": [["\n"], [-1]],
    "logit_bias": [{1: math.inf}, {1: math.nan}, {-1: 1.0}, [1], {"a": 1}],
    "bad_words": [[[]], [[-1]], [1], "word"],
    "watermark": ["synthid", 1],
    "watermark_gamma": [0.0, 1.0],
    "watermark_delta": [101.0, math.nan],
    "watermark_key": [-1, 2**64],
    "order": ["beam", ["top_k", "top_k"], ["top_k", "dry"], ["beam"], 3],
    "logprobs_mode": ["logits", None],
}


@pytest.mark.parametrize("field", OUT_OF_RANGE)
def test_what_is_out_of_range_names_itself(field: str) -> None:
    for value in OUT_OF_RANGE[field]:
        with pytest.raises(lw.ParameterError) as caught:
            lw.SamplingParams(**{field: value})
        assert caught.value.field == field, value
        assert caught.value.expected


def test_too_many_ids_are_a_limit() -> None:
    for fields in (
        {"logit_bias": dict.fromkeys(range(65_537), 1.0)},
        {"bad_words": [[1]] * 4097},
        {"bad_words": [[1] * 65_537]},
        {"dry_breakers": range(4097)},
    ):
        with pytest.raises(lw.LimitError):
            lw.SamplingParams(**fields)


def test_what_an_order_lacks_is_refused_and_named() -> None:
    for order, field in [("vllm", {"typical_p": 0.5}), ("tgi", {"min_p": 0.5}), (["top_k"], {"temperature": 0.5}),
                         ("hf", {"xtc_probability": 0.5}), ("llama.cpp", {"watermark": "kgw"})]:  # fmt: skip
        with pytest.raises(lw.ParameterError, match="order"):
            lw.Sampler(9).add(lw.SamplingParams(order=order, **field))
    # The sampler's order counts where the parameters name none.
    with pytest.raises(lw.ParameterError, match="vllm"):
        lw.Sampler(9, order="vllm").add(lw.SamplingParams(tfz=0.5))
    lw.Sampler(9, order="vllm").add(lw.SamplingParams(tfz=0.5, order="default"))
    lw.Sampler(9).add(lw.SamplingParams(order=["top_k"], temperature=0))


def test_ids_of_parameters_must_exist() -> None:
    for field in ({"logit_bias": {9: 1.0}}, {"bad_words": [[1, 9]]}, {"dry_breakers": [9]}):
        with pytest.raises(lw.TokenIdError) as caught:
            lw.Sampler(9).add(lw.SamplingParams(**field))
        assert caught.value.token_id == 9


def test_every_field_reads_back_pickles_and_shows() -> None:
    import pickle

    fields = {
        "logit_bias": {3: -math.inf, 1: 2.0},
        "bad_words": [[1, 2], [3]],
        "dry_breakers": [7, 3],
        "order": ["temperature", "xtc"],
        "watermark": "kgw",
        "watermark_key": 2**64 - 1,
        "repetition_counts": "output",
        "logprobs_mode": "processed",
        "mirostat": 2,
    }
    params = lw.SamplingParams(**fields, seed=1)
    assert params.logit_bias == {3: -math.inf, 1: 2.0}
    assert params.dry_breakers == [3, 7]
    assert {name: getattr(params, name) for name in fields} == {**fields, "dry_breakers": [3, 7]}
    assert pickle.loads(pickle.dumps(params)) == params  # noqa: S301 - our own bytes
    assert params != lw.SamplingParams(**{**fields, "mirostat": 1}, seed=1)
    assert eval(repr(params), {"SamplingParams": lw.SamplingParams, "inf": math.inf}) == params  # noqa: S307
    assert repr(lw.SamplingParams(seed=3, min_p=0.5)) == "SamplingParams(temperature=1.0, min_p=0.5, seed=3)"


# -- kernels -----------------------------------------------------------------------------------------------------------


def test_every_kernel_draws_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(4)
    row = (3 * rng.standard_normal(5003)).astype(np.float32)
    cases = [{"temperature": 0.8}, *CUTS, {"top_p": 0.9999}]
    mask = reference_mask.pack(rng.random(5003) < 0.7)

    def drawn() -> list[list[Any]]:
        sampler = lw.Sampler(5003)
        slots = [sampler.add(lw.SamplingParams(**case, seed=i, logprobs=2)) for i, case in enumerate(cases)]
        found = []
        for array in (row, row.astype(np.float16)):
            for bits_of in (None, np.tile(mask, (len(cases), 1))):
                out = sampler.step(np.tile(array, (len(cases), 1)), slots, mask=bits_of)
                found += [out.tokens.tolist(), out.logprobs.tolist(), out.top_ids.tolist(), out.ranks.tolist()]
        return found

    fastest = drawn()
    monkeypatch.setenv("LOGITWIRE_KERNELS", "scalar")
    assert drawn() == fastest
    monkeypatch.setenv("LOGITWIRE_KERNELS", "mmx")
    with pytest.raises(lw.ParameterError, match="scalar"):
        lw.Sampler(9)


def test_the_token_does_not_depend_on_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    rows = (3 * rng.standard_normal((96, 20_000))).astype(np.float32)
    rows[7, 3], rows[21] = np.nan, -np.inf

    def drawn(threads: int | None) -> list[Any]:
        sampler = lw.Sampler(20_000, threads=threads)
        params = [{**CUTS[i % len(CUTS)], "seed": i, "logprobs": i % 3} for i in range(96)]
        slots = [sampler.add(lw.SamplingParams(**p)) for p in params]
        found = [sampler.step(rows, slots) for _ in range(2)]
        changed = rows.copy()
        sampler.apply(changed, slots)
        columns = [
            np.nan_to_num(x).tolist() for out in found for x in (out.tokens, out.logprobs, out.top_ids, out.ranks)
        ]
        return [*columns, changed.tobytes()]

    alone = drawn(1)
    assert drawn(3) == alone
    monkeypatch.setenv("LOGITWIRE_THREADS", "2")
    assert drawn(None) == alone
    for value in ("0", "many", "257"):
        monkeypatch.setenv("LOGITWIRE_THREADS", value)
        with pytest.raises(lw.ParameterError, match="LOGITWIRE_THREADS"):
            lw.Sampler(9)
    for threads in (0, -1, 257, "2"):
        with pytest.raises(lw.ParameterError, match="threads"):
            lw.Batch(lw.Vocab.from_bytes([b"a"]), threads=threads)
