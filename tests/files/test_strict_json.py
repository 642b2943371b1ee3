"""Settings are read strictly, and a mistake is answered with where it is and how to mend it."""

import json
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arctone.errors import ModelError, UsageError
from arctone.files.strict_json import read_config, write_config
from arctone.model_folder.config import DiTConfig, ModelConfig, TextConfig


class Inner(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    num_blocks: Annotated[int, msgspec.Meta(ge=1, le=64)] = 4
    activation: Literal["swiglu", "gelu"] = "swiglu"


class Left(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="left", tag_field="type"):
    width: int = 1


class Right(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="right", tag_field="type"):
    height: int = 1


class Outer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    inner: Inner = Inner()
    side: Left | Right = Left()
    many: tuple[Inner, ...] = ()
    by_name: dict[str, Inner] = {}
    maybe: Inner | None = None
    rate: Annotated[float, msgspec.Meta(gt=0)] = 0.5


VALUE = Outer(
    name="é", inner=Inner(num_blocks=7), side=Right(height=3), many=(Inner(),), by_name={"a": Inner()}, maybe=Inner()
)


def message(tmp_path: Path, text: str) -> str:
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(ModelError) as caught:
        read_config(path, Outer)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(f"{path}: ")


def test_what_is_written_is_read_back_and_written_again_alike(tmp_path: Path) -> None:
    first, second = tmp_path / "first.json", tmp_path / "second.json"
    write_config(first, VALUE)
    assert read_config(first, Outer) == VALUE
    write_config(second, read_config(first, Outer))
    assert first.read_bytes() == second.read_bytes()
    assert first.read_bytes().endswith(b"}\n")


@pytest.mark.parametrize(
    "text, key, value, nearest",
    [
        ('{"name": "a", "inner": {"num_block": 3}}', "inner.num_block", "3", "num_blocks"),
        ('{"name": "a", "iner": {}}', "iner", "{}", "inner"),
        ('{"name": "a", "side": {"type": "right", "heigth": 3}}', "side.heigth", "3", "height"),
        ('{"name": "a", "many": [{}, {"activatoin": "x"}]}', "activatoin", "", "activation"),
        ('{"name": "a", "by_name": {"k": {"num_blokcs": 3}}}', "num_blokcs", "", "num_blocks"),
        ('{"name": "a", "maybe": {"num_blokcs": 3}}', "maybe.num_blokcs", "3", "num_blocks"),
    ],
)
def test_unknown_key_names_the_nearest(tmp_path: Path, text: str, key: str, value: str, nearest: str) -> None:
    problem = message(tmp_path, text)
    assert key in problem
    assert value in problem
    assert f"did you mean '{nearest}'?" in problem


def test_unknown_key_without_a_near_one_lists_all(tmp_path: Path) -> None:
    problem = message(tmp_path, '{"name": "a", "inner": {"zzz": 3}}')
    assert problem == "inner.zzz (with the value 3) is not a known key; allowed are activation, num_blocks."


@pytest.mark.parametrize(
    "text, parts",
    [
        ('{"name": "a", "inner": {"num_blocks": 0}}', ["inner.num_blocks is 0", ">= 1"]),
        ('{"name": "a", "inner": {"num_blocks": 65}}', ["inner.num_blocks is 65", "<= 64"]),
        ('{"name": "a", "inner": {"num_blocks": "4"}}', ['inner.num_blocks is "4"', "`int`"]),
        ('{"name": "a", "inner": {"num_blocks": true}}', ["inner.num_blocks is true", "`int`"]),
        ('{"name": "a", "inner": {"activation": "relu"}}', ['inner.activation is "relu"', "gelu or swiglu"]),
        ('{"name": "a", "side": {"type": "top"}}', ['side.type is "top"', "left or right"]),
        ('{"name": "a", "many": [{}, {"num_blocks": 0}]}', ["many.1.num_blocks is 0", ">= 1"]),
        ('{"name": "a", "rate": 0}', ["rate is 0", "> 0"]),
        ('{"inner": {}}', ["name is required but missing"]),
        ("[]", ["the whole file is []", "`object`"]),
    ],
)
def test_unfit_values_name_key_value_and_what_is_allowed(tmp_path: Path, text: str, parts: list[str]) -> None:
    problem = message(tmp_path, text)
    for part in parts:
        assert part in problem


@pytest.mark.parametrize("text", ["", "{", '{"name": ' + "[" * 100_000, '{"name": "a",}', "name: a"])
def test_broken_json(tmp_path: Path, text: str) -> None:
    assert "is not valid JSON" in message(tmp_path, text)


def test_not_utf8(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(b'{"name": "\xff"}')
    with pytest.raises(ModelError, match="is not valid JSON"):
        read_config(tmp_path / "config.json", Outer)


def test_missing_file_and_folder_and_the_kind_of_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="does not exist"):
        read_config(tmp_path / "none.json", Outer)
    with pytest.raises(UsageError, match="is a folder, but a file is needed"):
        read_config(tmp_path, Outer, error=UsageError)


KEYS = st.sampled_from(["name", "inner", "side", "type", "many", "by_name", "maybe", "rate", "num_blocks", "x"])
SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.sampled_from(["left", "right", "gelu"])
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4))


@given(JSON)
def test_any_json_is_read_or_refused_in_one_sentence(tmp_path_factory: pytest.TempPathFactory, value: object) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_bytes(msgspec.json.encode(value))
    answer = what_reading_says(path)
    assert "\n" not in answer
    assert answer.endswith((".", "?"))


def what_reading_says(path: Path) -> str:
    try:
        read_config(path, Outer)
    except ModelError as error:
        return str(error)
    return "fine."


def test_model_configs_of_the_first_version_are_read(tmp_path: Path) -> None:
    """They had one type of each part, and so did not name it."""
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"name": "old", "dit": {"width": 32}, "text": {"width": 8}, "autoencoder": {}}))
    found = read_config(path, ModelConfig)
    assert found == ModelConfig(name="old", dit=DiTConfig(width=32), text=TextConfig(width=8))
    path.write_text(json.dumps({"name": "new", "dit": {"type": "unheard"}}))
    with pytest.raises(ModelError, match=r"dit\.type is \"unheard\", but it must be dit or continuous_transformer"):
        read_config(path, ModelConfig)
