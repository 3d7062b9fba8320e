"""What `docs/how-to/train.md` shows runs as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

from edgeml.data import prepare
from edgeml.project import Project, load_project
from edgeml.train import train
from edgeml.train.zoo import find_network

PAGE = (Path(__file__).parents[3] / "docs" / "how-to" / "train.md").read_text()


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
