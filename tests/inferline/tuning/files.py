"""A pipeline of two stages whose models sleep: what they take of the machine is next to nothing."""

from __future__ import annotations

from pathlib import Path

PIPELINE = """\
version: 1
name: numbers
slo: {latency: 800ms, percentile: 99}
profiles: profiles.csv
hardware:
  cpu: {price: $0.05/h}
stages:
  double: {model: doubler, replicas: {min: 1, max: 6}}
  add: {model: adder, after: [double], replicas: {min: 1, max: 6}}
models:
  doubler: {callable: "served:double"}
  adder: {callable: "served:add"}
workload:
  generate: {arrivals: poisson, rate: 4, duration: 60s, seed: 1}
"""

PROFILES = """\
model,hardware,batch_size,latency_mean_s,load_s
doubler,cpu,1,0.082,1.0
adder,cpu,1,0.022,1.0
"""

MODELS = """\
import time

def double(inputs):
    time.sleep(0.08)
    return [2 * each for each in inputs]

def add(inputs):
    time.sleep(0.02)
    return [each + 1 for each in inputs]
"""


def write_files(folder: Path) -> None:
    """Write the pipeline's files into a folder."""
    for name, text in (("pipeline.yaml", PIPELINE), ("profiles.csv", PROFILES), ("served.py", MODELS)):
        (folder / name).write_text(text)
