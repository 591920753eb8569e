"""The laboratory: autoscaling policies on traces, in the simulator, and what they cost and miss."""

from inferline.laboratory.experiment import Experiment, experiment_of
from inferline.laboratory.forward import look_ahead, network_of
from inferline.laboratory.picture import draw_replays
from inferline.laboratory.replay import Change, Replay, replay
from inferline.laboratory.verdict import Second, Verdict, judge

__all__ = [
    "Change",
    "Experiment",
    "Replay",
    "Second",
    "Verdict",
    "draw_replays",
    "experiment_of",
    "judge",
    "look_ahead",
    "network_of",
    "replay",
]
