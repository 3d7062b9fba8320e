"""Bytes go where they gain most: each step of a path is smaller in what it gains a byte than the one before it."""

from __future__ import annotations

from itertools import pairwise, product

from hypothesis import given
from hypothesis import strategies as st

from edgeml_compress.ladder.allotment import Option, path

Options = dict[str, list[Option[int]]]
forms = st.lists(st.tuples(st.integers(1, 50), st.floats(0, 1)), min_size=1, max_size=4, unique_by=lambda f: f[0])
networks = st.lists(forms, min_size=1, max_size=3).map(
    lambda of: {f"w{i}": [Option(n, size, error) for n, (size, error) in enumerate(f)] for i, f in enumerate(of)}
)


def weighed(options: Options, allotment: dict[str, int]) -> tuple[float, float]:
    """Return the bytes and the squared error of an allotment."""
    taken = [options[name][form] for name, form in allotment.items()]
    return sum(o.size_bytes for o in taken), sum(o.error**2 for o in taken)


@given(networks)
def test_a_path_goes_from_the_smallest_to_the_most_exact(options: Options) -> None:
    found = [weighed(options, one) for one in path(options)]
    assert path(options).sizes_bytes == [size for size, _ in found]
    assert found[0][0] == sum(min(o.size_bytes for o in forms) for forms in options.values())
    assert abs(found[-1][1] - sum(min(o.error for o in forms) ** 2 for forms in options.values())) < 1e-9
    for before, after in pairwise(found):
        assert after[0] > before[0] and after[1] < before[1] + 1e-12


@given(networks)
def test_no_allotment_is_both_smaller_and_more_exact_than_one_on_the_path(options: Options) -> None:
    everything = [
        weighed(options, dict(zip(options, chosen, strict=True)))
        for chosen in product(*(range(len(forms)) for forms in options.values()))
    ]
    for size, error in (weighed(options, one) for one in path(options)):
        assert not any(s < size - 1e-9 and e < error - 1e-9 for s, e in everything)


def test_of_one_weight_the_half_comes_last() -> None:
    found = path({"w": [Option("int8", 100, 0.1), Option("half", 200, 0.0)]})
    assert list(found) == [{"w": "int8"}, {"w": "half"}] and len(found) == 2
