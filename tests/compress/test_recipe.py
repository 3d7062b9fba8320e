"""Recipes are data: printed, read again, and refused with the place of what is wrong."""

from __future__ import annotations

import dataclasses

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeml_compress.candidates import recipes, static_int8
from edgeml_compress.observers import observer_names
from edgeml_compress.passes import find_pass, pass_names, quantize_weights
from edgeml_compress.recipe import Recipe, Step
from edgeml_targets.contract.errors import EdgemlError

steps = st.sampled_from(pass_names()).map(lambda name: Step(name, find_pass(name).params()))
weighed = st.builds(quantize_weights.Params, st.none() | st.integers(2, 8), st.integers(0, 10**6))
names = st.text(st.characters(codec="utf-8"), max_size=20)


@given(names, st.lists(steps | weighed.map(lambda p: Step("quantize_weights", p)), max_size=5))
def test_a_recipe_survives_being_printed(name: str, of: list[Step]) -> None:
    recipe = Recipe(name, tuple(of))
    assert Recipe.from_toml(recipe.to_toml(), where="r.toml") == recipe


@pytest.mark.parametrize("observer", observer_names())
def test_every_default_candidate_survives_being_printed(observer: str) -> None:
    for recipe in recipes(static_int8(observer)):
        assert Recipe.from_toml(recipe.to_toml(), where="r.toml") == recipe


@pytest.mark.parametrize("name", pass_names())
def test_every_parameter_of_every_pass_has_a_default_that_is_allowed(name: str) -> None:
    params = find_pass(name).params
    assert pydantic.TypeAdapter(params).validate_python(dataclasses.asdict(params())) == params()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name = ", r"^r\.toml: no TOML"),
        ("passes = []", r"^r\.toml: name is"),
        ('name = "a"\nextra = 1', r"^r\.toml: extra is 1"),
        ('name = "a"\n[[passes]]\nbits = 8', r"^r\.toml: passes\[0\]: a pass has no name"),
        ('name = "a"\n[[passes]]\nname = "melt"', "^melt: no such pass"),
        ('name = "a"\n[[passes]]\nname = "quantize_weights"\nbits = 16', r"^r\.toml: passes\[0\]: bits is 16"),
        ('name = "a"\n[[passes]]\nname = "quantize_weights"\nbit = 8', r"^r\.toml: passes\[0\]: bit is no parameter"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(text: str, message: str) -> None:
    with pytest.raises(EdgemlError, match=message):
        Recipe.from_toml(text, where="r.toml")
