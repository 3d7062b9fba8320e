"""The whole way on a small network: what comes out, that it can be made again, and that a failure leaves nothing."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import msgspec
import numpy as np
import onnx_ir as ir
import pytest

from edgeml_bench import answers
from edgeml_compress import CalibrationData, Compression, Limits, compress, rebuild
from edgeml_compress.engine import _held
from edgeml_compress.graph.running import MOST_BATCH
from edgeml_compress.judging.judge import ENOUGH_UNLABELLED, evaluate
from edgeml_compress.making import Made
from edgeml_compress.recipe import Recipe, apply
from edgeml_compress.results import RESULT
from edgeml_compress.sentences import OBSERVERS
from edgeml_compress.source import calibrated, read_source
from edgeml_targets.contract.errors import EdgemlError
from edgeml_targets.contract.files import sha256_of
from edgeml_targets.contract.settings import Settings
from edgeml_targets.exporters import find_exporter
from edgeml_targets.target import find_target

HERE, ELSEWHERE = "x86_64-onnxruntime", "raspberrypi5-onnxruntime"


@pytest.fixture(scope="module")
def samples(images) -> CalibrationData:  # type: ignore[no-untyped-def]
    x = images(96)
    return CalibrationData({"x": x[:48]}, {"x": x[48:64]}, {"x": x[64:]})


@pytest.fixture(scope="module")
def done(
    tiny_cnn: Path, samples: CalibrationData, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Compression, Path]:
    out = tmp_path_factory.mktemp("work") / "out"
    targets = [find_target(HERE), find_target(ELSEWHERE)]
    return compress(tiny_cnn, samples, targets, limits=Limits(), out=out), out


def test_every_candidate_lies_where_the_result_says(done: tuple[Compression, Path]) -> None:
    found, out = done
    for target in found.targets:
        for candidate in target.candidates:
            assert Path(candidate.artifact).stat().st_size == candidate.size_bytes
            assert sha256_of(Path(candidate.artifact)) == candidate.sha256
            if candidate.name != "float32":
                name = f"tiny_cnn.{candidate.name}.onnx"
                assert Path(candidate.artifact).resolve() == (out / target.target / name).resolve()
                assert (out / target.target / f"{name}.recipe.toml").read_text() == candidate.recipe
    assert [p.name for p in out.parent.iterdir()] == ["out"]  # nothing of the work is left


def test_float_is_among_the_candidates_and_one_is_int8(done: tuple[Compression, Path]) -> None:
    for target in done[0].targets:
        names = [c.name for c in target.candidates]
        assert names[0] == "float32" and "int8" in names and target.chosen in names


def test_a_latency_that_stands_was_raced(done: tuple[Compression, Path]) -> None:
    for target in done[0].targets:
        assert all((c.p50_us is None) == (c.ratio is None) == (c.loads == 0) for c in target.candidates)
    assert done[0].targets[0].p50_us is not None and done[0].targets[0].float_p50_us is not None


def test_a_failure_while_files_move_leaves_no_earlier_result(
    done: tuple[Compression, Path], samples: CalibrationData, tiny_cnn: Path, tmp_path: Path
) -> None:
    (tmp_path / "out" / ELSEWHERE).mkdir(parents=True)
    (tmp_path / "out" / RESULT).write_text("of an earlier run")
    (tmp_path / "out" / ELSEWHERE / "tiny_cnn.int8.onnx").mkdir()  # a file cannot take a folder's place
    with pytest.raises(EdgemlError, match="out"):
        compress(tiny_cnn, samples, [find_target(ELSEWHERE)], limits=Limits(), out=tmp_path / "out")
    assert not (tmp_path / "out" / RESULT).exists()


def test_the_figures_of_the_choice_stand_above(done: tuple[Compression, Path]) -> None:
    for target in done[0].targets:
        taken, plain = target.candidate(target.chosen), target.candidate("float32")
        assert (target.artifact, target.size_bytes, target.p50_us) == (taken.artifact, taken.size_bytes, taken.p50_us)
        assert (target.float_artifact, target.float_p50_us) == (plain.artifact, plain.p50_us)
        assert target.cosine_min == taken.cosine_min is not None and target.accuracy is None


def test_the_cosine_is_what_the_artifact_answers(done, samples: CalibrationData, tiny_cnn: Path) -> None:  # type: ignore[no-untyped-def]
    settings = Settings(target="t", runtime="onnxruntime")
    expected = answers(tiny_cnn, settings, samples.evaluation)["logits"].astype(np.float64)
    for candidate in done[0].targets[0].candidates:
        got = answers(Path(candidate.artifact), settings, samples.evaluation)["logits"].astype(np.float64)
        cosines = (expected * got).sum(1) / np.linalg.norm(expected, axis=1) / np.linalg.norm(got, axis=1)
        assert candidate.cosine_min == pytest.approx(cosines.min(), abs=1e-9)
        assert candidate.cosine_min > 0.99


def test_few_held_back_samples_without_labels_are_told(
    done: tuple[Compression, Path], samples: CalibrationData
) -> None:
    count = len(samples.evaluation["x"])
    assert count < ENOUGH_UNLABELLED
    for target in done[0].targets:
        assert len([note for note in target.notes if f"the worst of {count} held-back samples" in note]) == 1


def test_a_target_that_is_not_here_has_no_latency_and_takes_the_smallest(done: tuple[Compression, Path]) -> None:
    found = done[0].targets[1]
    assert found.p50_us is None and all(c.p50_us is None and c.ratio is None for c in found.candidates)
    good = [c.size_bytes for c in found.candidates if c.cosine_min is not None and c.cosine_min >= 0.99]
    assert found.size_bytes == min(good)
    assert any("Latency was not measured" in note and f"--target {ELSEWHERE}" in note for note in found.notes)


def test_a_candidates_recipe_makes_it_again_to_the_bit(
    done, samples: CalibrationData, tiny_cnn: Path, tmp_path
) -> None:  # type: ignore[no-untyped-def]
    target = find_target(HERE)
    source = calibrated(read_source(tiny_cnn, samples.validation), samples.ranges, tmp_path / "none")
    for candidate in done[0].targets[0].candidates[1:]:
        recipe = Recipe.from_toml(candidate.recipe, where="report")
        draft = apply(recipe, source.draft(target.scheme))
        again = tmp_path / "again.onnx"
        find_exporter(".onnx").export(draft.model, draft.encodings, again)
        assert again.read_bytes() == Path(candidate.artifact).read_bytes()


def test_the_result_survives_being_written(done: tuple[Compression, Path]) -> None:
    assert msgspec.json.decode(msgspec.json.encode(done[0]), type=Compression) == done[0]


def test_the_saved_calibration_is_taken_again_for_the_same_samples_only(done, samples, tiny_cnn: Path) -> None:  # type: ignore[no-untyped-def]
    saved, source = done[1] / "calibration.msgpack", read_source(tiny_cnn, samples.validation)
    told: list[str] = []

    class Heard:
        def begin(self, step: str) -> None: ...
        def advance(self, done: float, of: float, text: str = "") -> None:
            told.append(text)

        def end(self, result: str, *, warning: bool = False) -> None: ...

    first = calibrated(source, samples.ranges, saved, Heard())
    assert first.calibration.at_once == MOST_BATCH
    assert told == [] and first.calibration.samples == 48
    calibrated(source, {"x": samples.ranges["x"][:40]}, saved, Heard())
    assert told


def test_labels_give_accuracies_with_their_intervals(tiny_cnn: Path, samples: CalibrationData, tmp_path: Path) -> None:
    settings = Settings(target="t", runtime="onnxruntime")
    labels = answers(tiny_cnn, settings, samples.evaluation)["logits"].argmax(1)
    labels[::4] = (labels[::4] + 1) % 10  # float is right on three of four
    labelled = dataclasses.replace(samples, evaluation_labels=labels)
    found = compress(tiny_cnn, labelled, [find_target(HERE)], limits=Limits(), out=tmp_path / "out").targets[0]
    assert found.float_accuracy == pytest.approx(0.75)
    for candidate in found.candidates:
        assert candidate.accuracy is not None and candidate.drop_points is not None
        assert candidate.accuracy_low < candidate.accuracy < candidate.accuracy_high
        assert candidate.drop_low <= candidate.drop_points <= candidate.drop_high
        assert candidate.drop_points == pytest.approx(100 * (found.float_accuracy - candidate.accuracy))
    assert any("are too few to be sure of the budget" in note for note in found.notes) == (found.chosen != "float32")
    assert not any(note.startswith("Without labels") for note in found.notes)


def test_where_held_back_samples_refuse_full_int8_more_is_made(
    tiny_cnn: Path, samples: CalibrationData, tmp_path: Path
) -> None:
    settings = Settings(target="t", runtime="onnxruntime")
    labels = answers(tiny_cnn, settings, samples.evaluation)["logits"].argmax(1)
    labelled = dataclasses.replace(samples, evaluation_labels=labels)
    target = find_target(ELSEWHERE).model_copy(update={"scheme": find_target(HERE).scheme})
    heard: list[str] = []

    class Heard:
        def begin(self, step: str) -> None: ...
        def advance(self, done: float, of: float, text: str = "") -> None: ...
        def end(self, result: str, *, warning: bool = False) -> None:
            heard.append(result)

    limits = Limits(max_drop=-1.0)  # nothing gains
    done = compress(tiny_cnn, labelled, [target], limits=limits, out=tmp_path / "out", progress=Heard())
    assert any("which asked for 1 more candidate" in line for line in heard)
    found = done.targets[0]
    names = [c.name for c in found.candidates]
    another = names[2].removeprefix("int8-")
    assert names[:2] == ["float32", "int8"] and another in OBSERVERS and names[3] == "int8-mixed"
    assert any(note.startswith(f"{names[2]} is int8 rounded another way") for note in found.notes)
    assert any(step.what.startswith("Rounded all layers another way, too") for step in done.steps)
    assert found.sensitivity and found.chosen == "float32"
    for candidate in found.candidates[1:]:
        artifact = Path(candidate.artifact)
        assert sha256_of(artifact) == candidate.sha256
        recipe = Recipe.from_toml(candidate.recipe, where="report")
        again = tmp_path / "again" / "t" / artifact.name
        rebuild(tiny_cnn, labelled, recipe, target, again)
        assert sha256_of(again) == candidate.sha256


def test_what_is_refused_for_sure_is_rounded_no_other_way(
    tiny_cnn: Path, samples: CalibrationData, tmp_path: Path
) -> None:
    labelled = dataclasses.replace(samples, evaluation_labels=np.arange(32) % 10)
    target = find_target(ELSEWHERE).model_copy(update={"scheme": find_target(HERE).scheme})
    limits = Limits(max_drop=-150.0)  # no interval reaches it
    found = compress(tiny_cnn, labelled, [target, target], limits=limits, out=tmp_path / "out").targets[0]
    assert not any(c.name.removeprefix("int8-") in OBSERVERS for c in found.candidates)


def test_an_output_of_a_wrong_size_is_no_answer(graph, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """What an export declared of an output whose size the data decides says nothing of others."""
    rng = np.random.default_rng(0)
    body = "h = MatMul(x, w) y = Relu(h) at = NonZero(x)"
    text = f"t (float[b, 32] x) => (float[b, 16] y, int64[2, 5] at) {{ {body} }}"
    weights = {"w": rng.standard_normal((32, 16)).astype(np.float32)}
    twice = text.replace("float[b, 16] y", "float[b, 32] y").replace("Relu(h)", "Concat <axis = 1> (h, h)")
    for name, network in (("once", text), ("twice", twice)):
        ir.save(graph(network, weights), tmp_path / f"{name}.onnx")
    x = rng.standard_normal((8, 32)).astype(np.float32)
    source = read_source(tmp_path / "once.onnx", {"x": x})
    held = _held(source, CalibrationData({"x": x}, {"x": x}, {"x": x}))
    assert held.sized == {"at"}
    made, target = [Made("float32", source.path), Made("int8", tmp_path / "twice.onnx")], find_target(HERE)
    figures = evaluate(made, target, held)
    assert figures[0].fidelity.cosine_min == pytest.approx(1) and figures[1].fidelity.cosine_min == 0
    again = evaluate(made, target, held, figures)
    assert all(one is other for one, other in zip(again, figures, strict=True))


def test_a_latency_budget_that_nothing_meets_rests_on_races_of_all(
    tiny_cnn: Path, samples: CalibrationData, tmp_path: Path
) -> None:
    @dataclasses.dataclass(frozen=True)
    class Tight:
        size_bytes: int | None = None
        latency_ms: float | None = 1e-6

    limits = Limits(budgets={HERE: Tight()})
    found = compress(tiny_cnn, samples, [find_target(HERE)], limits=limits, out=tmp_path / "out").targets[0]
    assert found.unmet is not None and found.p50_us is not None
    good = [c for c in found.candidates if c.cosine_min is not None and c.cosine_min >= 0.99]
    assert len(good) > 1 and all(c.ratio is not None for c in good)


def test_labels_without_a_score_are_refused(tiny_cnn: Path, samples: CalibrationData, tmp_path: Path) -> None:
    labelled = dataclasses.replace(samples, evaluation_labels=np.full(32, 10))
    with pytest.raises(EdgemlError, match="the labels go from 10 to 10, and output logits has 10 scores"):
        compress(tiny_cnn, labelled, [find_target(HERE)], limits=Limits(), out=tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_failure_in_the_middle_leaves_nothing(
    tiny_cnn: Path, samples: CalibrationData, tmp_path: Path, monkeypatch
) -> None:  # type: ignore[no-untyped-def]
    import edgeml_compress.engine as engine

    def full(*_: object) -> None:
        raise EdgemlError("cannot be written: No space left on device", where="out", mend="free some space")

    monkeypatch.setattr(engine, "judge", full)
    with pytest.raises(EdgemlError, match="No space left"):
        compress(tiny_cnn, samples, [find_target(HERE)], limits=Limits(), out=tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_weights_beside_the_file_end_up_in_the_artifact(
    tiny_cnn: Path, samples: CalibrationData, tmp_path: Path
) -> None:
    split = tmp_path / "split.onnx"
    ir.save(ir.load(tiny_cnn), split, external_data="split.data", size_threshold_bytes=0)
    found = compress(split, samples, [find_target(ELSEWHERE)], limits=Limits(), out=tmp_path / "out").targets[0]
    (tmp_path / "split.data").unlink()
    settings = Settings(target="t", runtime="onnxruntime")
    for candidate in found.candidates:
        assert answers(Path(candidate.artifact), settings, samples.evaluation)["logits"].shape == (32, 10)


def test_several_inputs_and_no_batch_axis(graph, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """A recurrent cell: two inputs without a batch axis, two outputs, fed one sample at a time."""
    rng = np.random.default_rng(0)
    model = graph(
        """cell (float[1, 16] x, float[1, 32] h) => (float[1, 32] state, float[1, 4] score) {
            a = MatMul(x, wx)
            b = MatMul(h, wh)
            s = Add(a, b)
            state = Tanh(s)
            score = MatMul(state, wo)
        }""",
        {
            n: (rng.standard_normal(s) / 6).astype(np.float32)
            for n, s in (("wx", (16, 32)), ("wh", (32, 32)), ("wo", (32, 4)))
        },
    )
    ir.save(model, tmp_path / "cell.onnx")

    def some(count: int) -> dict[str, np.ndarray]:
        return {n: rng.uniform(-1, 1, (count, 1, w)).astype(np.float32) for n, w in (("x", 16), ("h", 32))}

    data = CalibrationData(some(32), some(8), some(8))
    found = compress(tmp_path / "cell.onnx", data, [find_target(ELSEWHERE)], limits=Limits(), out=tmp_path / "out")
    assert found.targets[0].chosen.startswith("int8") and found.targets[0].cosine_min > 0.99


def test_an_output_whose_shape_depends_on_the_data_is_told_of(graph, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(0)
    text = "t (float[b, 32] x) => (float[b, 16] y, int64[2, k] at) { y = MatMul(x, w)\n z = Relu(y)\n at = NonZero(z) }"
    ir.save(graph(text, {"w": rng.standard_normal((32, 16)).astype(np.float32)}), tmp_path / "found.onnx")
    x = rng.standard_normal((48, 32)).astype(np.float32)
    data = CalibrationData({"x": x[:16]}, {"x": x[16:32]}, {"x": x[32:]})
    found = compress(tmp_path / "found.onnx", data, [find_target(ELSEWHERE)], limits=Limits(), out=tmp_path / "out")
    assert "Not judged, since its shape depends on the data: at." in found.targets[0].notes
    assert found.targets[0].cosine_min is not None and found.targets[0].cosine_min > 0.99


def test_no_dynamic_candidate_is_made_where_no_product_would_be_dynamic(graph, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(0)
    weights = {"v": rng.standard_normal((32, 16)).astype(np.float32)}
    ir.save(graph("t (float[b, 32] x) => (float[b, 16] y) { y = MatMul(x, v) }", weights), tmp_path / "small.onnx")
    x = rng.normal(size=(24, 32)).astype(np.float32)
    data = CalibrationData({"x": x[:8]}, {"x": x[8:16]}, {"x": x[16:]})
    target = find_target(ELSEWHERE).model_copy(update={"scheme": find_target(HERE).scheme})
    found = compress(tmp_path / "small.onnx", data, [target], limits=Limits(), out=tmp_path / "out")
    assert "int8-dynamic" not in [c.name for c in found.targets[0].candidates]
    assert any(note.startswith("int8-dynamic was left out: no product") for note in found.targets[0].notes)


def test_a_model_without_weights_has_one_int8_candidate_that_says_it_is_float(graph, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    ir.save(graph("t (float[b, 8] x) => (float[b, 8] y) { y = Erf(x) }"), tmp_path / "erf.onnx")
    x = np.random.default_rng(0).normal(size=(24, 8)).astype(np.float32)
    data = CalibrationData({"x": x[:8]}, {"x": x[8:16]}, {"x": x[16:]})
    found = compress(tmp_path / "erf.onnx", data, [find_target(ELSEWHERE)], limits=Limits(), out=tmp_path / "out")
    assert [c.name for c in found.targets[0].candidates] == ["float32", "int8"]
    notes = found.targets[0].notes
    assert "int8: nothing in it became integers." in notes
    assert "int8-dynamic was left out: for this model it is the same as float32." in notes
