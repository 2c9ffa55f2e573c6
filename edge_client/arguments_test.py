from __future__ import annotations

import argparse
from typing import Any, Callable

import pytest

from edge_client.arguments import number, whole


@pytest.mark.parametrize(
    ("read", "text", "value"),
    [(whole(0), "0", 0), (whole(1), "12", 12), (number(), "-1e3", -1000.0), (number(least=0, most=2), "2", 2.0)],
)
def test_numbers(read: Callable[[str], Any], text: str, value: float) -> None:
    assert read(text) == value


@pytest.mark.parametrize(
    ("read", "text", "words"),
    [
        (whole(1), "0", "'0' is not a whole number of at least 1"),
        (whole(0), "-1", "'-1' is not a whole number of at least 0"),
        (whole(0), "1.5", "'1.5' is not a whole number of at least 0"),
        (number(), "many", "'many' is not a number"),
        (number(), "inf", "'inf' is not a number"),
        (number(above=0), "0", "'0' is not a number above 0"),
        (number(least=0), "nan", "'nan' is not a number of at least 0"),
        (number(above=0, most=150), "151", "'151' is not a number above 0 and of at most 150"),
    ],
)
def test_what_is_none_is_said_in_words(read: Callable[[str], Any], text: str, words: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError) as refusal:
        read(text)
    assert str(refusal.value) == words
