"""What the report says about single layers agrees with the figures, and stays short when there are many."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
from results import KEPT, compression, everything, target, usual, weighed, with_kept

from edgeml.report import compression as report
from edgeml.report import layer_words as words
from edgeml.report.charts import layers
from edgeml.report.charts.layers import Layer

NO_BREAK = "\u00a0"


def page(result, folder: Path) -> str:  # type: ignore[no-untyped-def]
    report.write(result, folder / "report.html")
    whole = (folder / "report.html").read_text().replace(NO_BREAK, " ").replace("&nbsp;", " ")
    return whole[whole.rindex("<body>") :]


def test_the_loudest_layer_is_named_and_the_forms_are_counted() -> None:
    said = words.verdict(weighed(target(usual()), 20)).replace(NO_BREAK, " ")
    assert said == (
        "/backbone/stage19/conv/Conv costs most, 9.8 dB; 9 of 20 cost less than 1 %. "
        "In int8 the 20 layers are 8 int8, 4 int8 in blocks, 4 float16, 4 float32."
    )


def test_float_that_was_kept_is_said() -> None:
    kept = msgspec.structs.replace(weighed(target(usual(), chosen="float32"), 3), layers=())
    assert words.verdict(kept).endswith("Float was kept, so all layers stay float32.")
    assert [row[3] for row in words.rows_of(kept)] == ["float32"] * 3


def test_a_layer_that_was_not_weighed_has_a_dash(tmp_path: Path) -> None:
    result = weighed(target(usual()), 3)
    result = msgspec.structs.replace(result, sensitivity=result.sensitivity[1:])
    assert words.rows_of(result)[0][2] is None
    assert 'data-name="SQNR, dB">—<' in page(compression(result), tmp_path)


def test_the_section_is_absent_where_nothing_was_measured(tmp_path: Path) -> None:
    said = page(everything()["usual"], tmp_path)
    assert "What each layer costs" not in said and "What stays in float" not in said


def test_targets_of_one_scheme_and_choice_share_a_chart() -> None:
    groups = words.grouped(everything()["many layers"])
    assert [[t.target for t in group] for group in groups] == [
        ["x86_64-onnxruntime", "pi-onnxruntime"],
        ["x86_64-litert"],
    ]


def test_losses_have_the_unit_of_what_was_measured() -> None:
    assert words.loss_in_words(0.0123, labelled=True) == "0.0123" and words.loss_name(labelled=True) == "loss, nats"
    assert words.loss_in_words(0.0123, labelled=False) == "1.23" and words.loss_name(labelled=False) == "error, %"


def test_what_stays_in_float_is_grouped_by_reason_the_most_frequent_first() -> None:
    found = words.by_reason(KEPT)
    assert [(k.count, k.reason) for k in found] == [
        (20, "its weight is in blocks, which no integer kernel takes"),
        (3, "it lies in a branch of If_12, where activations stay in float"),
        (1, "x is always 0 or not finite"),
    ]
    assert found[0].names.endswith("/backbone/stage3/conv/Conv and 16 more")
    assert found[2].names == "Relu_3"


def test_a_reason_may_hold_a_colon_and_a_line_may_hold_none() -> None:
    found = words.by_reason(["Gemm fc: it is small: 640 products", "Gemm head: it is small: 640 products", "odd"])
    assert [(k.reason, k.count, k.names) for k in found] == [
        ("it is small: 640 products", 2, "Gemm fc, Gemm head"),
        ("odd", 1, ""),
    ]


def test_a_candidate_that_keeps_much_in_float_folds_it(tmp_path: Path) -> None:
    said = page(compression(with_kept(target(usual()), KEPT)), tmp_path)
    assert "<summary>24 in float</summary>" in said and "What stays in float" in said
    assert len(re.findall("stage19", said)) == 0


def test_what_passes_note_stands_beside_the_candidate_in_short(tmp_path: Path) -> None:
    noted = tuple(f"MatMul fc_{i}: has no bias to correct" for i in range(9))
    result = target(usual())
    told = tuple(msgspec.structs.replace(c, notes=noted) if c.name == "int8" else c for c in result.candidates)
    said = page(compression(msgspec.structs.replace(result, candidates=told)), tmp_path)
    assert "<summary>9 notes of passes</summary>" in said
    assert "9: has no bias to correct (MatMul fc_0, MatMul fc_1, MatMul fc_2, MatMul fc_3 and 5 more)" in said


def test_a_long_list_is_folded_into_the_quietest_row() -> None:
    many = [Layer(f"conv_{i}", 60.0 - i, "0.1", "int8" if i < 30 else "float16") for i in range(40)]
    chart = layers.draw(many, "error, %", 1080)
    named = chart.layout.yaxis.ticktext
    assert named[0] == "22 quieter layers" and named[-1] == "conv_39"
    assert len(named) == layers.MOST_ROWS + 1
    assert "≥ 39.0" in [a.text for a in chart.layout.annotations]


def test_the_end_of_a_long_name_stays() -> None:
    chart = layers.draw([Layer("/a" * 100 + "/last", 30.0, "0.1", "int8")], "error, %", 368)
    name = chart.layout.yaxis.ticktext[0]
    assert name.startswith("…") and name.endswith("/last")
