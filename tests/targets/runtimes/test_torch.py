"""Torch: programs without our metadata are spoken to by torch's own names; several inputs and outputs keep their order."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from edgeml_targets.contract.settings import Settings
from edgeml_targets.runtimes.torch import RUNTIME


def test_a_program_without_metadata(tmp_path: Path, settings_of: Callable[[str], Settings]) -> None:
    import torch

    class Network(torch.nn.Module):
        def forward(self, left: torch.Tensor, right: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"difference": left - right, "sum": left + right}

    batch = torch.export.Dim("batch")
    shapes = {"left": {0: batch}, "right": {0: batch}}
    program = torch.export.export(Network(), (torch.zeros(2, 3), torch.zeros(2, 3)), dynamic_shapes=shapes)
    torch.export.save(program, tmp_path / "two.pt2")

    session = RUNTIME.load(tmp_path / "two.pt2", settings_of("torch"))
    found = session.run({"right": np.ones((4, 3), np.float32), "left": np.full((4, 3), 3, np.float32)})

    assert [(t.name, t.shape) for t in session.inputs] == [("left", (-1, 3)), ("right", (-1, 3))]
    assert [float(found[t.name][0, 0]) for t in session.outputs] == [2.0, 4.0]
