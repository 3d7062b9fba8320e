"""Results of compressions as a real run hands them on, in every extreme that a report has to stand."""

from __future__ import annotations

import msgspec

from edgeml.demo.result import Accuracies, AgentState, Demo, Scene
from edgeml.gates import Phase, Verdict
from edgeml.lifecycle import GateStatus, PhaseStatus
from edgeml_bench import machine
from edgeml_compress import CandidateResult, Compression, StepDone, TargetResult
from edgeml_compress.results import LayerForm, LayerSensitivity

HOSTILE = '<script>alert("x")</script><b>&amp;{{ 7 * 7 }}'
KEPT = (
    *(f"Conv /backbone/stage{i}/conv/Conv: its weight is in blocks, which no integer kernel takes" for i in range(20)),
    *(f"Conv Conv_{i}: it lies in a branch of If_12, where activations stay in float" for i in range(3)),
    "Relu_3: x is always 0 or not finite",
)
LONG = "quantized_with_a_name_that_has_exactly_sixty_characters_in_it"[:60]


def candidate(name: str, *, size: int, p50_us: float | None, drop: float | None = 0.1) -> CandidateResult:
    """Return a candidate; `drop` in points, `None` without labels. float32's latency is 1000 us."""
    found = CandidateResult(name=name, artifact=f"out/{name}", size_bytes=size, p50_us=p50_us, cosine_min=0.9987)
    if drop is not None:
        found = msgspec.structs.replace(
            found,
            accuracy=0.97 - drop / 100,
            accuracy_low=0.95 - drop / 100,
            accuracy_high=0.98 - drop / 100,
            drop_points=drop,
            drop_low=drop - 0.5,
            drop_high=drop + 0.5,
        )
    if p50_us is None:
        return found
    ratio = p50_us / 1000
    return msgspec.structs.replace(
        found, ratio=ratio, ratio_low=0.98 * ratio, ratio_high=1.02 * ratio, loads=10, inferences=4000
    )


def usual(*, latency: float | None = 1.0, labelled: bool = True) -> tuple[CandidateResult, ...]:
    """Return the five candidates of a small model; `latency` scales all, `None` is not measured."""
    rows = (
        ("float32", 1_101_000, 1000.0, 0.0),
        ("float16", 556_000, 1010.0, 0.0),
        ("int8", 289_000, 400.0, 0.13),
        ("int8-dynamic", 294_000, 700.0, 0.2),
        ("int8-weight-only", 290_000, 1005.0, 0.05),
    )
    return tuple(
        candidate(name, size=size, p50_us=None if latency is None else p50 * latency, drop=drop if labelled else None)
        for name, size, p50, drop in rows
    )


def target(
    candidates: tuple[CandidateResult, ...], *, name: str = "x86_64-onnxruntime", chosen: str = "int8", note: str = ""
) -> TargetResult:
    """Return a target that takes `chosen`."""
    by_name = {c.name: c for c in candidates}
    taken, plain = by_name[chosen], by_name["float32"]
    return TargetResult(
        target=name,
        title="PC",
        runtime=name.rpartition("-")[2],
        chosen=chosen,
        artifact=taken.artifact,
        size_bytes=taken.size_bytes,
        p50_us=taken.p50_us,
        accuracy=taken.accuracy,
        float_artifact=plain.artifact,
        float_size_bytes=plain.size_bytes,
        float_p50_us=plain.p50_us,
        float_accuracy=plain.accuracy,
        cosine_min=taken.cosine_min,
        notes=(note,) if note else (),
        candidates=candidates,
        reason="int8 is slower than float here (1.29 times); float was kept" if chosen == "float32" else "the fastest",
    )


def weighed(result: TargetResult, count: int, *, alike: str = "/backbone/stage{}/conv/Conv") -> TargetResult:
    """Return a target whose every layer was weighed, the quietest first, as `sensitivity` hands them on; four forms."""
    forms = ("int8", "int8", "int8 in blocks of 32", "float16", "float32")
    names = [alike.format(i) for i in range(count)]
    costs = tuple(
        LayerSensitivity(node=name, operator="Conv", values=1000 + i, sqnr_db=62 - 55 * i / count, loss=0.001 * i)
        for i, name in enumerate(names)
    )
    made = tuple(LayerForm(node=n, operator="Conv", form=forms[i * 5 // count]) for i, n in enumerate(names))
    return msgspec.structs.replace(result, sensitivity=costs, layers=made)


def with_kept(result: TargetResult, kept: tuple[str, ...]) -> TargetResult:
    """Return a target whose every candidate but float32 keeps so much in float."""
    found = tuple(c if c.name == "float32" else msgspec.structs.replace(c, kept=kept) for c in result.candidates)
    return msgspec.structs.replace(result, candidates=found)


def compression(
    *targets: TargetResult, labelled: bool = True, model: str = "models/kws.onnx", max_drop: float = 1.0
) -> Compression:
    """Return a whole result."""
    return Compression(
        model=model,
        evaluation_samples=1667,
        targets=targets,
        range_samples=2500,
        validation_samples=833,
        max_drop=max_drop,
        labelled=labelled,
        steps=(StepDone("Folded 21 batch norms into the layers before.", "They cost time.", "worst cosine 1.00000"),),
        parameters=272_474,
        layers=22,
        model_sha256="ab" * 32,
        data_sha256="cd" * 32,
        machine=machine(),
        versions={"onnxruntime": "1.32.0"},
        made_at="2026-01-15T13:58:00+00:00",
        seconds=12.5,
        command=f"edgeml compress {model} --calibration samples.npy --labels labels.npy --target x86_64-onnxruntime",
    )


def everything() -> dict[str, Compression]:
    """Return the usual and the extreme results by name."""
    unmeasured = target(
        usual(latency=None),
        name="raspberrypi5-onnxruntime",
        note="Latency was not measured (no aarch64 here). On the hardware: edgeml bench kws.int8.onnx --target pi",
    )
    three = [
        target(usual(latency=f), name=f"x86_64-{r}")
        for f, r in ((1, "onnxruntime"), (1.4, "litert"), (0.8, "openvino"))
    ]
    renamed = tuple(msgspec.structs.replace(c, name=LONG) if c.name == "int8" else c for c in usual())
    hostile = tuple(msgspec.structs.replace(c, name=HOSTILE) if c.name == "int8" else c for c in usual())
    broken = (
        *usual(),
        candidate("int8-broken", size=200_000, p50_us=350.0, drop=62.0),
        candidate("int8-slow", size=210_000, p50_us=9000.0, drop=0.1),
    )
    return {
        "usual": compression(*three, unmeasured),
        "unlabelled": compression(target(usual(labelled=False)), labelled=False),
        "float": compression(target(usual(), chosen="float32")),
        "one candidate": compression(target(usual()[:1], chosen="float32")),
        "nothing measured": compression(unmeasured),
        "eight targets": compression(
            *(target(usual(latency=1 + i / 4), name=f"board{i}-onnxruntime") for i in range(8))
        ),
        "long names": compression(target(renamed, name="x" * 60, chosen=LONG), model="m" * 60),
        "hostile names": compression(
            weighed(
                with_kept(target(hostile, name=HOSTILE, chosen=HOSTILE, note=HOSTILE), (HOSTILE,) * 3),
                24,
                alike=f"{HOSTILE}{{}}".replace("{{ 7 * 7 }}", ""),
            ),
            model=HOSTILE,
        ),
        "far off": compression(target(broken)),
        "insufficient": compression(
            target(tuple(msgspec.structs.replace(c, drop_evidence="insufficient", kept=KEPT[:5]) for c in usual()))
        ),
        "no budget": compression(target(usual()), max_drop=0.0),
        "few layers": compression(weighed(target(usual()), 3), target(usual(), name="x86_64-litert")),
        "many layers": compression(
            with_kept(weighed(target(usual()), 64), KEPT),
            weighed(target(usual(), name="x86_64-litert"), 64, alike="p2o.Conv.{}"),
            weighed(target(usual(), name="pi-onnxruntime"), 64),
            labelled=False,
        ),
        "milliseconds": compression(target(usual(latency=30.0))),
    }


def demo() -> Demo:
    """Return the result of a demo."""
    targets = tuple(target(usual(), name=f"x86_64-{r}") for r in ("onnxruntime", "litert", "openvino"))
    phases = tuple(
        PhaseStatus(
            phase, verdict, (GateStatus("gate", "A requirement", "a check", "at least 1", "2", verdict, "why", 1.0),)
        )
        for phase, verdict in zip(Phase, [*Verdict, Verdict.PASS], strict=True)
    )
    return Demo(
        seconds=84.0,
        accuracy=Accuracies(0.976, 0.614, 0.94, 0.942),
        answers=500,
        quiet_windows=12,
        quiet_alarms=0,
        corruption_at_s=52.0,
        alarm_at_s=58.5,
        release_before="r1",
        release_after="r2",
        agents=tuple(AgentState(f"device-{i}", t.target, "r2") for i, t in enumerate(targets)),
        artifacts=targets,
        phases=phases,
        report="report.html",
        scenes=(
            Scene("clean", 488, 500, 0.959, 0.986, "r1", 36.0),
            Scene("corrupted", 307, 500, 0.571, 0.656, "r1", 52.0),
            Scene("recovered", 470, 500, 0.916, 0.958, "r2", 79.0),
        ),
        page="http://127.0.0.1:8000",
    )
