"""What was made before is taken again only while its file is the one that was made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeml_targets.contract.progress import SILENT
from peers import measuring
from peers.givens import Givens
from peers.listing import all_quantizers
from peers.measured import Journal
from peers.measuring import Bench
from peers.networks import Network


def test_an_artifact_that_other_samples_replaced_is_made_again(
    tiny_cnn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples, labels = {"x": np.zeros((2, 3, 16, 16), np.float32)}, np.zeros(2, np.int64)
    givens = Givens(Network("net", tiny_cnn, samples, labels, samples, labels), tmp_path)
    bench = Bench(Journal(tmp_path), tmp_path, 1, SILENT)
    quantizer, made = all_quantizers()[0], []
    out = givens.folder / quantizer.name / f"artifact{quantizer.suffix}"
    out.parent.mkdir()

    def quantized(*_: object) -> dict[str, Any]:
        made.append(1)
        out.write_bytes(b"of these samples")
        return {"seconds": 1.0, "artifact": str(out), "sha256": measuring._hash(out)}

    monkeypatch.setattr(measuring, "_quantized", quantized)
    for _ in range(2):
        measuring._make(bench, givens, quantizer)
    assert len(made) == 1
    out.write_bytes(b"of other samples")
    measuring._make(bench, givens, quantizer)
    assert len(made) == 2
    out.unlink()
    measuring._make(bench, givens, quantizer)
    assert len(made) == 3
