"""Releases with real bundles, and what compression found, for seeded fleets."""

from __future__ import annotations

import msgspec
import sqlalchemy as sa
from seeding import CLASSES, PI4, PI5, TARGETS, X86, Seed, answers_for, reference, scene_images

from edgeml.server import tables
from edgeml_bench import machine
from edgeml_compress.results import CandidateResult, Compression, TargetResult
from edgeml_targets.contract.bundle import (
    GOLDEN,
    Golden,
    Manifest,
    describe_bytes,
    golden_bytes,
    member_of,
    write_bundle,
)
from edgeml_targets.contract.files import sha256_of
from edgeml_targets.contract.preprocess import Preprocessing
from edgeml_targets.contract.settings import Settings
from edgeml_targets.contract.tensors import Tensor


def add_release(seed: Seed, name: str, model: str, *, at: float, accuracy: float) -> None:
    """Keep a release and a real bundle a target, whose artifact is a stand-in that no page runs."""
    folder = seed.project.fleet_folder / "bundles"
    folder.mkdir(parents=True, exist_ok=True)
    artifact = folder.parent / "artifact.onnx"
    artifact.write_bytes(b"stand-in")
    golden = golden_bytes(Golden(scene_images(4, 3), answers_for(scene_images(4, 3))))
    rows = []
    for target in TARGETS:
        manifest = Manifest(
            model=model,
            candidate="int8",
            dataset="0" * 64,
            settings=Settings(target=target, runtime=target.rpartition("-")[2]),
            preprocessing=Preprocessing(),
            labels=CLASSES,
            input=Tensor("x", "float32", (-1, 1, 28, 28)),
            output=Tensor("scores", "float32", (-1, len(CLASSES))),
            artifact=member_of(artifact),
            golden=describe_bytes(GOLDEN, golden),
            reference=reference(),
            accuracy=accuracy,
        )
        made = folder / "made.bundle"
        write_bundle(made, manifest, artifact, golden)
        sha256 = sha256_of(made)
        made.replace(folder / sha256)
        rows.append(
            {"release": name, "target": target, "sha256": sha256, "size_bytes": (folder / sha256).stat().st_size}
        )
    with seed.store.writing() as connection:
        about = {"name": name, "created_at": at, "model": model, "notes": f"{model}, int8 on every target"}
        connection.execute(sa.insert(tables.RELEASES).values(about | {"accuracies": dict.fromkeys(TARGETS, accuracy)}))
        connection.execute(sa.insert(tables.BUNDLES), rows)


def compressed(
    seed: Seed, target: str, *, p50_us: float | None, ratio: tuple[float, float, float] | None, drop: float
) -> TargetResult:
    """Return one target's result; `ratio` is int8's p50 over float's with its interval."""
    middle, low, high = ratio or (None, None, None)
    int8 = CandidateResult(
        name="int8",
        artifact="int8",
        size_bytes=289_000,
        p50_us=p50_us,
        accuracy=0.967,
        cosine_min=0.995,
        accuracy_low=0.957,
        accuracy_high=0.975,
        drop_points=drop,
        drop_low=drop - 0.3,
        drop_high=drop + 0.3,
        ratio=middle,
        ratio_low=low,
        ratio_high=high,
    )
    return TargetResult(
        target=target,
        title=seed.project.target(target).title,
        runtime=target.rpartition("-")[2],
        chosen="int8",
        artifact="int8",
        size_bytes=289_000,
        p50_us=p50_us,
        accuracy=0.967,
        float_artifact="float32",
        float_size_bytes=1_101_000,
        float_p50_us=None if p50_us is None or middle is None else p50_us / middle,
        float_accuracy=0.968,
        cosine_min=0.995,
        notes=(),
        candidates=(int8,),
    )


def keep_compression(seed: Seed, model: str) -> None:
    """Keep what compression found for a model, as `edgeml compress` does; the figures are such a run's, rounded."""
    results = (
        compressed(seed, PI5, p50_us=None, ratio=None, drop=0.1),
        compressed(seed, X86, p50_us=2100.0, ratio=(0.56, 0.55, 0.57), drop=0.2),
        compressed(seed, PI4, p50_us=10800.0, ratio=(1.0, 0.98, 1.02), drop=0.0),
    )
    done = Compression(
        model="m41.onnx",
        evaluation_samples=1667,
        targets=results,
        range_samples=400,
        validation_samples=200,
        max_drop=1.0,
        labelled=True,
        steps=(),
        parameters=78_000,
        layers=22,
        model_sha256="0" * 64,
        data_sha256="0" * 64,
        machine=machine(),
        versions={},
        made_at="2026-01-15T13:58:00Z",
        seconds=41.0,
    )
    folder = seed.project.workspace / "compressed" / model
    folder.mkdir(parents=True)
    (folder / "compression.json").write_bytes(msgspec.json.encode(done))
    (folder / "report.html").write_text("<!doctype html><title>Report</title><h1>Report</h1>")
