from __future__ import annotations

import string
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeml.project import FILE, init_project, load_project
from edgeml.project_errors import lines_of
from edgeml_targets.contract.errors import EdgemlError


@pytest.fixture
def text(tmp_path: Path) -> str:
    return init_project(tmp_path / "starter", "digits").read_text()


def test_the_starter_is_a_project_that_states_its_success_on_three_levels(tmp_path: Path) -> None:
    init_project(tmp_path, "digits")
    project = load_project(tmp_path)
    assert project.name == "digits" and project.root == tmp_path.resolve()
    assert project.success.business and project.success.ml and project.success.economic
    assert set(project.budgets) == set(project.targets)


WRONG = [
    ("epochs =", "epoch =", "training.epoch: no such key; did you mean epochs?"),
    ("[data]", "[dta]", "dta: no such key; did you mean data?"),
    ('source = "mnist-5k"', "", "data.source: is missing; add it"),
    ("least_per_class = 50", "epochs = 3", "data.epochs: no such key; it belongs in [training]"),
    ("epochs = 8", "epochs = 0", "training.epochs: '0': input should be greater than or equal to 1; correct it"),
    ('"x86_64-openvino",', '"x86_64-openvin",', "did you mean x86_64-openvino?"),
    ("[budgets.x86_64-litert]", "[budgets.x86_64-litter]", "not among the targets; did you mean x86_64-litert?"),
    ('network = "resnet8"', 'network = "resnet"', "'resnet': no such network; did you mean resnet8?"),
    ("scope =", "waivers = {fits_budgets = 'none'}\nscope =", "no such gate; did you mean fits_budget?"),
    ("test = 0.2 ", "test = 0.9 ", "the shares leave -0.11 to train on, 0.1 at least"),
    ('colour = "grey"', 'colour = "gray"', "input should be 'rgb' or 'grey'"),
    ("size_bytes = 200_000", "size = 200_000", "no such key; did you mean size_bytes?"),
    ("size = [28, 28]", "size = [\n28,\n'x']", "data.size[1]: 'x'"),
    ("[data]", "[data", "[data: expected ']'"),
    ("epochs = 8", "epochs = eight", "epochs = eight: invalid value; text goes in quotes, numbers without"),
    ("epochs = 8", "epochs = 8 or so", "text goes in quotes, numbers without"),
    ("name =", "root = 'x'\nname =", "root: no such key"),
]


@pytest.mark.parametrize(("right", "wrong", "said"), WRONG, ids=[said[:30] for _, _, said in WRONG])
def test_a_wrong_key_or_value_gets_its_line_the_reason_and_a_way_out(
    right: str, wrong: str, said: str, text: str, tmp_path: Path
) -> None:
    assert right in text
    file = tmp_path / FILE
    file.write_text(text.replace(right, wrong, 1))
    with pytest.raises(EdgemlError) as caught:
        load_project(tmp_path)
    message = str(caught.value)
    assert said in message and message.count("\n") == 0
    if wrong:
        told = "[data.splits]" if "shares" in said else right  # a sum has no line of its own, its table has
        line = 1 + text[: text.index(told)].count("\n")
        assert message.startswith(f"{file}: line {line}: ")


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "no such file"), (b"\xff\xfe", "not a text in UTF-8"), (b" " * (1 << 21), "bytes, at most")],
)
def test_what_is_no_project_file_is_told(content: bytes | None, said: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / FILE).write_bytes(content)
    with pytest.raises(EdgemlError, match=said):
        load_project(tmp_path)


@pytest.mark.parametrize("name", ["Big Name", "", "-x", "x" * 64])
def test_init_writes_nothing_under_a_name_that_is_none(name: str, tmp_path: Path) -> None:
    with pytest.raises(EdgemlError, match="no name for a project"):
        init_project(tmp_path / "new", name)
    assert not (tmp_path / "new").exists()


def test_init_leaves_a_project_that_is_there_alone(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("mine")
    with pytest.raises(EdgemlError, match="there is a project already"):
        init_project(tmp_path, "digits")
    assert (tmp_path / FILE).read_text() == "mine"


names = st.text(string.ascii_lowercase, min_size=1, max_size=6)
values = st.sampled_from(["1", "'a'", "[1, 2]", "[\n 1, # one\n 2,\n]", '"""\n[no.table]\nx = 1\n"""', "{ z = 1 }"])


@given(st.dictionaries(names, st.dictionaries(names, values, max_size=4), max_size=4), st.booleans())
def test_every_key_is_found_on_the_line_where_it_was_written(tables: dict[str, dict[str, str]], spaced: bool) -> None:
    text, lines = "# a comment\n", {}
    for table, keys in tables.items():
        lines[(table,)] = text.count("\n") + 1
        text += f"[{table}]\n"
        for key, value in keys.items():
            text += "\n" if spaced else ""
            lines[(table, key)] = text.count("\n") + 1
            text += f"{key} = {value}\n"
    found = lines_of(text)
    assert {path: found[path] for path in lines} == lines


def test_reading_a_project_imports_nothing_heavy(tmp_path: Path) -> None:
    init_project(tmp_path, "digits")
    heavy = "torch onnx onnxruntime openvino pandas numba sqlalchemy nicegui"
    script = f"import sys, edgeml; edgeml.load_project(); print([m for m in '{heavy}'.split() if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
