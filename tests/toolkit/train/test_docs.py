"""What `docs/how-to/train.md` and `train-on-sequences.md` show runs as it stands there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Protocol

from edgeml.data import prepare
from edgeml.project import Project, load_project
from edgeml.train import train
from edgeml.train.zoo import find_network

HOW_TO = Path(__file__).parents[3] / "docs" / "how-to"
PAGE = (HOW_TO / "train.md").read_text()
SEQUENCES = (HOW_TO / "train-on-sequences.md").read_text()


class MakeProject(Protocol):
    def __call__(self, source: str, *, training: str) -> Project: ...


def test_the_networks_have_the_weights_that_the_page_gives() -> None:
    image, series = (1, 28, 28), (2, 40)
    shapes = {"resnet8": image, "mobilenetv2-small": image, "dscnn": (1, 49, 10), "tabular-mlp": (10,)}
    shapes |= {"conv1d": series, "gru": series, "tiny-transformer": series}
    for name, said in re.findall(r"^\| `([\w-]+)` \| [^|]* \| (\d+) thousand", PAGE, re.MULTILINE):
        weights = sum(p.numel() for p in find_network(name).build(shapes.pop(name), 10).parameters())
        assert abs(weights / 1000 - int(said)) < 1
    assert not shapes, "a network is missing on the page"


def test_the_pages_own_network_and_metric_train(project: Project) -> None:
    code, toml = (re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)[0] for kind in ("python", "toml"))
    (project.root / "own.py").write_text(code)
    file = project.root / "edgeml.toml"
    file.write_text(file.read_text().replace("[training]", toml + "epochs = 1"))
    project = load_project(project.root)
    said = train(project, prepare(project)).manifest
    assert said.network == "own:build" and said.metric == "own:recall_of_first"


def test_the_project_for_sequences_trains(root: Path) -> None:
    (toml,) = re.findall(r"```toml\n(.*?)```", SEQUENCES, re.DOTALL)
    (root / "edgeml.toml").write_text(re.sub(r"^epochs = \d+$", "epochs = 2", toml, flags=re.MULTILINE))
    project = load_project(root)
    said = train(project, prepare(project)).manifest
    assert said.network == "gru" and said.input.shape == (-1, 12, 29) and said.validation_metric > said.baseline_metric


def test_the_pages_own_series_train(root: Path, make_project: MakeProject) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", SEQUENCES, re.DOTALL)
    (root / "own.py").write_text(code)
    project = make_project("own:load", training='network = "conv1d"\nepochs = 4\nbatch = 16')
    said = train(project, prepare(project)).manifest
    assert said.input.shape == (-1, 3, 50) and said.classes == ("slow", "fast") and said.validation_metric > 0.9


def test_the_page_on_sequences_gives_the_weights_of_the_example() -> None:
    for name, said in re.findall(r"^\| `([\w-]+)` \| [^|]* \| (\d+) thousand", SEQUENCES, re.MULTILINE):
        weights = sum(p.numel() for p in find_network(name).build((12, 29), 9).parameters())
        assert abs(weights / 1000 - int(said)) < 1
