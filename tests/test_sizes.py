"""Sizes: what people write is understood, what is shown is short, what Kubernetes gets is enough."""

from __future__ import annotations

import pytest

from womm import sizes
from womm.errors import WommError


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("17", 17),
        ("17B", 17),
        ("500M", 500_000_000),
        ("2.5GB", 2_500_000_000),
        ("2 gb", 2_000_000_000),
        ("4Gi", 4 << 30),
        ("4GiB", 4 << 30),
        ("1k", 1000),
        ("3T", 3 * 10**12),
    ],
)
def test_a_size_is_read_as_it_is_written(text: str, size: int) -> None:
    assert sizes.parse("--share-limit", text) == size


@pytest.mark.parametrize(
    "text", ["", "G", "1x", "-1G", "1,5G", "1.G", "1i", "1 iB", "1e9", "½G", "9" * 16, "1GG"]
)
def test_what_is_no_size_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(WommError, match="--share-limit takes a size, not") as caught:
        sizes.parse("--share-limit", text)
    assert "--share-limit 4G" in caught.value.hint


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (9949, "9.9 kB"),
        (9950, "10 kB"),
        (999_499, "999 kB"),
        (999_500, "1.0 MB"),
        (3_400_000_000, "3.4 GB"),
        (12 * 10**21, "12000 EB"),
    ],
)
def test_a_size_is_shown_in_few_digits(size: int, text: str) -> None:
    assert sizes.shown(size) == text


def test_a_quantity_is_never_less_than_the_size() -> None:
    assert [sizes.quantity(size) for size in (0, 1, 1 << 20, (1 << 20) + 1)] == ["0Mi", "1Mi", "1Mi", "2Mi"]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("500m", 0.5),
        ("2", 2),
        ("1Gi", 1 << 30),
        ("1Ki", 1024),
        ("2k", 2000),
        ("1E", 1e18),
        ("1E3", 1000),
        ("5n", 5e-9),
    ],
)
def test_a_quantity_of_kubernetes_is_a_number(text: str, number: float) -> None:
    assert sizes.amount(text) == pytest.approx(number)


@pytest.mark.parametrize("text", ["", "m", "1x", "1 Gi", "-1", "1gi"])
def test_what_is_no_quantity_has_none(text: str) -> None:
    with pytest.raises(ValueError, match="not a quantity"):
        sizes.amount(text)
