"""The stop matcher against a reference that searches all text again at every piece."""

from __future__ import annotations

import random
from typing import Any, Literal

import pytest
from conftest import vectors
from hypothesis import example, given
from hypothesis import strategies as st
from reference import stop as reference

import logitwire as lw

CASES = [pytest.param(case, id=case["name"]) for case in vectors("stop")]


def run(matcher: Any, pieces: list[str], n_unarmed: int = 0) -> tuple[list[tuple[str, str | None]], str]:
    fed = [matcher.feed(piece, armed=number >= n_unarmed) for number, piece in enumerate(pieces)]
    return fed, matcher.finish()


def outcome(fed: list[tuple[str, str | None]], rest: str) -> tuple[str, str | None]:
    """All the text shown, and the stop."""
    return "".join(text for text, _ in fed) + rest, next((stop for _, stop in fed if stop is not None), None)


def cuts(text: str, rng: random.Random) -> list[str]:
    at = sorted(rng.randint(0, len(text)) for _ in range(rng.randint(0, 6)))
    return [text[i:j] for i, j in zip([0, *at], [*at, len(text)], strict=True)]


@pytest.mark.parametrize("case", CASES)
def test_reference_gives_the_vectors(case: dict) -> None:
    got = reference.at_once(case["text"], case["stops"], include_stop=case["include_stop"])
    assert got == (case["shown"], case["stop"])


@pytest.mark.parametrize("case", CASES)
def test_every_split_in_three(case: dict) -> None:
    text = case["text"]
    edges = range(len(text) + 1) if len(text) <= 60 else sorted({0, 1, 2, len(text) // 2, len(text) - 1, len(text)})
    matcher = lw.StopMatcher(case["stops"], include_stop=case["include_stop"])
    for i in edges:
        for j in edges:
            if i <= j:
                fed, rest = run(matcher, [text[:i], text[i:j], text[j:]])
                assert outcome(fed, rest) == (case["shown"], case["stop"]), (i, j)


@pytest.mark.parametrize("case", CASES)
def test_one_character_at_a_time(case: dict) -> None:
    matcher = lw.StopMatcher(case["stops"], include_stop=case["include_stop"])
    assert outcome(*run(matcher, list(case["text"]))) == (case["shown"], case["stop"])


@pytest.mark.parametrize("stop_tie", ["longest", "list"])
@pytest.mark.parametrize("include_stop", [False, True])
def test_random_streams_piece_by_piece(include_stop: bool, stop_tie: Literal["longest", "list"]) -> None:
    """8,000 streams each over small alphabets, half with a minimum: every piece, every hold-back, every stop."""
    rng = random.Random(f"{include_stop} {stop_tie}")
    n_stopped = n_held = n_tied = n_put_off = 0
    for number in range(8_000):
        alphabet = rng.choice(["ab", "abc", "aé", "é\u00e8a", "\U0001f600\U0001f601b"])
        stops = [
            "".join(rng.choice(alphabet) for _ in range(rng.randint(1, rng.choice([1, 2, 3, 6]))))
            for _ in range(rng.randint(0, 4))
        ]
        stops += [stop[1:] for stop in stops if len(stop) > 1 and rng.random() < 0.2]  # that end together
        rng.shuffle(stops)
        pieces = cuts("".join(rng.choice(alphabet) for _ in range(rng.randint(0, 14))), rng)
        n_unarmed = rng.choice([0, rng.randint(0, len(pieces))])
        options: dict[str, Any] = {"include_stop": include_stop, "stop_tie": stop_tie}
        matcher, expected = (kind(stops, **options) for kind in (lw.StopMatcher, reference.StopMatcher))
        got, want = run(matcher, pieces, n_unarmed), run(expected, pieces, n_unarmed)
        assert got == want, (number, stops, pieces, n_unarmed)
        text, minimum = "".join(pieces), len("".join(pieces[:n_unarmed]))
        assert outcome(*want) == reference.at_once(text, stops, minimum=minimum, **options)
        n_stopped += outcome(*want)[1] is not None
        n_held += want[1] != ""
        other = {"longest": "list", "list": "longest"}[stop_tie]
        n_tied += outcome(*want)[1] != reference.at_once(text, stops, minimum=minimum, stop_tie=other)[1]
        n_put_off += outcome(*want)[0] != reference.at_once(text, stops, **options)[0]
    assert n_stopped > 2000
    assert (n_held > 500) is not include_stop
    assert n_tied > 100
    assert n_put_off > 500


@given(
    st.lists(st.text(min_size=1, max_size=5), max_size=4),
    st.lists(st.text(max_size=6), max_size=8),
    st.booleans(),
    st.sampled_from(["longest", "list"]),
    st.integers(0, 12),
    st.randoms(use_true_random=False),
)
@example(["\ufffd"], ["a", "\ufffd"], False, "longest", 0, random.Random(0))
def test_any_text(
    stops: list[str],
    pieces: list[str],
    include_stop: bool,
    stop_tie: Literal["longest", "list"],
    n_unarmed: int,
    rng: random.Random,
) -> None:
    if stops:  # text that has to do with the stops: pieces of them between the pieces
        for _ in range(4):
            stop = rng.choice(stops)
            pieces.insert(rng.randint(0, len(pieces)), stop[: rng.randint(0, len(stop))])
    options: dict[str, Any] = {"include_stop": include_stop, "stop_tie": stop_tie}
    matcher, expected = (kind(stops, **options) for kind in (lw.StopMatcher, reference.StopMatcher))
    assert run(matcher, pieces, n_unarmed) == run(expected, pieces, n_unarmed)


@given(st.lists(st.tuples(st.text("ab", max_size=3), st.booleans()), max_size=8), st.booleans())
def test_armed_and_not_by_turns(pieces: list[tuple[str, bool]], include_stop: bool) -> None:
    stops = ["ab", "bab", "aaa", "b"]
    matcher, expected = (kind(stops, include_stop=include_stop) for kind in (lw.StopMatcher, reference.StopMatcher))
    for piece, armed in pieces:
        assert matcher.feed(piece, armed=armed) == expected.feed(piece, armed=armed)
    assert matcher.finish() == expected.finish()


@pytest.mark.parametrize("case", CASES)
def test_the_minimum_at_every_character(case: dict) -> None:
    text, stops = case["text"][:60], case["stops"]
    for n_unarmed in range(len(text) + 1):
        matcher = lw.StopMatcher(stops, include_stop=case["include_stop"])
        want = reference.at_once(text, stops, include_stop=case["include_stop"], minimum=n_unarmed)
        assert outcome(*run(matcher, list(text), n_unarmed)) == want, n_unarmed


def test_including_the_stop_holds_nothing_back() -> None:
    matcher = lw.StopMatcher(["abc"], include_stop=True)
    assert [matcher.feed(c) for c in "xabcy"] == [("x", None), ("a", None), ("b", None), ("c", "abc"), ("", None)]


def test_held_is_exactly_what_may_become_a_stop() -> None:
    matcher = lw.StopMatcher(["ababc", "\n\n"])
    assert matcher.feed("abab") == ("", None)
    assert matcher.feed("ab") == ("ab", None)  # "abab" is still a proper prefix, the first "ab" no longer
    assert matcher.feed("x\n") == ("ababx", None)
    assert matcher.finish() == "\n"


def test_after_a_match_nothing_comes_until_reset() -> None:
    matcher = lw.StopMatcher(["b"])
    assert matcher.feed("abab") == ("a", "b")
    assert matcher.feed("more b") == ("", None)
    assert matcher.finish() == ""
    assert matcher.feed("cb") == ("c", "b")  # finish() made it new
    matcher.reset()
    assert matcher.feed("d") == ("d", None)


def test_reset_forgets_what_is_held() -> None:
    matcher = lw.StopMatcher(["ab"])
    assert matcher.feed("a") == ("", None)
    matcher.reset()
    assert matcher.feed("b") == ("b", None)
    assert matcher.finish() == ""


def test_the_first_of_equal_stops_is_reported_as_text() -> None:
    assert lw.StopMatcher(["x", "x"]).feed("x") == ("", "x")


def test_ties() -> None:
    for stops, longest, first in (
        (["c", "abc", "bc"], ("x", "abc"), ("xab", "c")),
        (["bc", "abc", "c"], ("x", "abc"), ("xa", "bc")),
        (["bc", "xabcd", "abc"], ("x", "abc"), ("xa", "bc")),  # only of those that end first
    ):
        assert lw.StopMatcher(stops).feed("xabcd") == longest
        assert lw.StopMatcher(stops, stop_tie="longest").feed("xabcd") == longest
        assert lw.StopMatcher(stops, stop_tie="list").feed("xabcd") == first
    with pytest.raises(lw.ParameterError, match="stop_tie") as caught:
        lw.StopMatcher(["x"], stop_tie="first")  # type: ignore[arg-type]
    assert caught.value.field == "stop_tie"


def test_a_stop_that_ends_while_not_armed_is_text() -> None:
    matcher = lw.StopMatcher(["END", "D!"])
    assert matcher.feed("the END, an E", armed=False) == ("the END, an ", None)
    assert matcher.feed("N", armed=False) == ("", None)
    assert matcher.feed("D") == ("", "END")  # it began there and ends here
    matcher.reset()
    assert matcher.feed("the END", armed=False) == ("the EN", None)  # the D may become another
    assert matcher.feed("!") == ("", "D!")


def test_a_copy_goes_its_own_way() -> None:
    matcher = lw.StopMatcher(["abc"])
    matcher.feed("xab")
    other = matcher.copy()
    assert matcher.feed("c") == ("", "abc")
    assert other.feed("d") == ("abd", None)
    assert matcher.copy().feed("more") == ("", None)
    assert (other.finish(), matcher.finish()) == ("", "")


def test_the_stops_can_be_read() -> None:
    stops = ["END", "€", "END"]
    matcher = lw.StopMatcher(stops)
    assert matcher.stops == matcher.copy().stops == stops
    matcher.stops.clear()
    assert matcher.stops == stops
    assert lw.StopMatcher([]).stops == []


def test_half_a_surrogate_pair_is_refused() -> None:
    with pytest.raises(UnicodeEncodeError):
        lw.StopMatcher(["x"]).feed("\ud800")
    with pytest.raises(UnicodeEncodeError):
        lw.StopMatcher(["\ud800"])


@pytest.mark.parametrize("stops", [[""], ["a", ""], ["", "a"]])
def test_an_empty_stop_is_refused(stops: list[str]) -> None:
    with pytest.raises(lw.ParameterError, match="empty"):
        lw.StopMatcher(stops)


def test_limits() -> None:
    lw.StopMatcher([f"stop {i}" for i in range(16)])
    with pytest.raises(lw.LimitError) as caught:
        lw.StopMatcher([f"stop {i}" for i in range(17)])
    assert (caught.value.got, caught.value.maximum) == (17, 16)
    lw.StopMatcher(["é" * 512])
    with pytest.raises(lw.LimitError) as caught:
        lw.StopMatcher(["é" * 512 + "x"])
    assert (caught.value.got, caught.value.maximum) == (1025, 1024)


def test_one_string_is_not_a_list_of_its_letters() -> None:
    with pytest.raises(TypeError):
        lw.StopMatcher("END")


def test_the_largest_allowed_automaton() -> None:
    stops = ["ab" * 511 + "a" + letter for letter in "cdefghijklmnopqr"]
    matcher = lw.StopMatcher(stops)
    fed, rest = run(matcher, ["ab" * 400, "ab" * 400, "a" + "r" + "tail"])
    assert outcome(fed, rest) == ("ab" * 289, stops[-1])
