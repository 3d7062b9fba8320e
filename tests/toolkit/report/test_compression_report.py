"""What the compression report says agrees with its figures."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from results import candidate, compression, everything, target, usual

from edgeml.compression import summary
from edgeml.report import compression as report
from edgeml.report import compression_words as words
from edgeml_targets.contract.errors import EdgemlError

NO_BREAK = "\u00a0"


def plain(text: str) -> str:
    return text.replace(NO_BREAK, " ")


def test_the_headline_is_the_best_targets_gain_and_price() -> None:
    slow = target(usual(latency=1.0), name="x86_64-litert")
    fast = (*usual()[:1], candidate("int8", size=300_000, p50_us=278.0, drop=0.13))
    found = words.headline(compression(slow, target(fast)))
    assert plain(found) == (
        "int8 on ONNX Runtime: 3.6 times faster, 3.7 times smaller, 0.1 points lost (95 % interval −0.6 to +0.4)"
    )


@pytest.mark.parametrize(
    ("drop", "said"),
    [(0.26, "0.3 points lost (95 % interval −0.8 to +0.2)"), (-0.4, "0.4 points gained (95 % interval −0.1 to +0.9)")],
)
def test_the_price_has_its_sign_in_words(drop: float, said: str) -> None:
    candidates = (*usual()[:1], candidate("int8", size=300_000, p50_us=500.0, drop=drop))
    assert said in plain(words.headline(compression(target(candidates))))


def test_a_ratio_whose_interval_holds_1_is_no_gain() -> None:
    candidates = (*usual()[:1], candidate("int8", size=300_000, p50_us=990.0))
    assert "no difference in latency, 3.7 times smaller" in words.headline(compression(target(candidates)))


def test_unmeasured_latency_is_a_dash_with_its_reason_and_no_gain(tmp_path: Path) -> None:
    result = everything()["nothing measured"]
    assert "faster" not in words.headline(result) and "3.8 times smaller" in words.headline(result)
    report.write(result, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert 'data-name="p50, us">—<' in page and "latency not measured" in page
    assert "<code>edgeml bench kws.int8.onnx --target pi</code>" in page


def test_why_float_was_kept_is_said() -> None:
    assert words.headline(everything()["float"]) == (
        "Float was kept on x86_64-onnxruntime: int8 is slower than float here (1.29 times)"
    )


def test_an_unmet_budget_comes_first() -> None:
    over = msgspec.structs.replace(target(usual()), unmet="int8 takes 289,000 bytes, the budget is 50,000")
    result = compression(over, target(usual(), name="x86_64-litert"))
    assert words.headline(result).startswith("No candidate meets the budget on 1 of 2 targets: x86_64-onnxruntime")
    assert words.verdict(over)[:2] == ("bad", "over a budget")


def test_without_labels_the_cosine_stands_for_accuracy(tmp_path: Path) -> None:
    result = everything()["unlabelled"]
    assert words.headline(result).endswith("worst cosine 0.9987")
    report.write(result, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "Worst cosine" in page and "Change, points" not in page


def test_the_table_has_the_figures_of_the_result(tmp_path: Path) -> None:
    report.write(everything()["usual"], tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    for figure in ("1,667 held-back samples", "2.50", "2.45 to 2.55", "−0.1", "−0.6 to +0.4", "3.8", "272,474"):
        assert figure in plain(page), figure


def test_a_report_that_cannot_be_written_says_where(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EdgemlError, match="file"):
        report.write(everything()["usual"], tmp_path / "file" / "report.html")


def test_too_few_samples_are_no_meeting_of_the_budget() -> None:
    """The table, the lead and the terminal say one thing."""
    chosen = msgspec.structs.replace(candidate("int8", size=300_000, p50_us=400.0), drop_evidence="insufficient")
    found = compression(target((*usual()[:1], chosen)))
    assert words.verdict(found.targets[0])[0] == "few" and words.verdict(found.targets[0]).brief == "too few samples"
    assert "by estimate, with too few samples to be sure" in plain(words.lead(found))
    assert "by estimate, with too few samples to be sure" in summary(found)
