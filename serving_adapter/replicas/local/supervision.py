"""What a supervisor does when it is asked something, and each time it looks: decisions made to happen."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import count
from pathlib import Path
from time import monotonic

from inferline.errors import InferlineError, OutsideError
from serving_adapter.machine import Machine, Placement
from serving_adapter.replicas.local import decisions
from serving_adapter.replicas.local.charges import Charge
from serving_adapter.replicas.local.decisions import CORE, Action, Life
from serving_adapter.replicas.local.folders import STATE, SUPERVISOR_LOG, WANTED, file_name
from serving_adapter.replicas.local.launches import Launch, core_launch, reachable, replica_launch
from serving_adapter.replicas.local.logs import trim
from serving_adapter.replicas.local.messages import Reply, Request
from serving_adapter.replicas.local.placing import place, reason_refused, remark
from serving_adapter.replicas.local.wanted import Asked, Wanted, read_wanted, write_wanted
from serving_adapter.replicas.ports import choose_ports
from serving_adapter.replicas.protocol import CoreAddress, CoreOptions, ReplicaSet, SetKey

__all__ = ["Supervision"]

_STARTING_S = 0.05
"""How often it is looked whether those that start are ready; the end of a process is heard of at once."""

_IDLE_S = 1.0

_UNASKED_S = 10.0
"""A supervisor that has nothing to keep and hears nothing for so long ends."""

_MOST = 1000
"""Replicas of a set: more processes than any machine has use for are a mistake."""

_log = logging.getLogger(__name__)


class Supervision:
    """All processes of a deployment; it belongs to one thread, which starts them.

    Parameters
    ----------
    folder
        The deployment's folder.
    machine
        What there is to run on.
    clock
        Monotonic seconds.

    Raises
    ------
    OutsideError
        When what a former supervisor had to keep running cannot be read.
    """

    def __init__(self, folder: Path, machine: Machine, clock: Callable[[], float] = monotonic) -> None:
        self._folder = folder
        self._machine = machine
        self._clock = clock
        self._wanted = read_wanted(folder / WANTED)
        self._charges: dict[str, Charge] = {}
        self._births = count()
        self._asked_s = self._trimmed_s = clock()
        self._stopped = self._leaving = False

    def is_over(self) -> bool:
        """Whether there is nothing left to do."""
        if self._charges:
            return False
        idle = self._stopped or self._clock() - self._asked_s >= _UNASKED_S
        return self._leaving or (self._wanted.is_empty and idle)

    def leave(self) -> None:
        """End everything, and keep in mind what is wanted for the next supervisor."""
        self._leaving = True

    def answer(self, request: Request) -> Reply:
        """Do what is asked, as far as that can be done at once, and tell how things are."""
        self._asked_s = self._clock()
        if self._leaving and request.do != "show":
            return Reply(error="the supervisor was told to end, and starts nothing any more", again=True)
        try:
            match request:
                case Request(do="start_core", options=CoreOptions() as options):
                    if self._wanted.core is None and CORE.hardware in self._charges:
                        return Reply(error="the former serving core is still answering its last queries", again=True)
                    self._start_core(options)
                case Request(do="start", wanted=ReplicaSet() as wanted, core=CoreAddress() as core):
                    self._start(Asked(replicas=wanted, core=core))
                case Request(do="stop", key=key):
                    self._stop(key)
                case Request(do="show"):
                    pass
                case _:
                    return Reply(error=f"{request.do!r} needs more than that")
        except InferlineError as error:
            return Reply(error=str(error))
        self.tick()
        return self._picture()

    def tick(self) -> float:
        """Look, decide and act; return after how many seconds to look again though nothing happens."""
        now_s = self._clock()
        for name in [name for name, charge in self._charges.items() if not charge.observe(now_s)]:
            self._forget(name)
        counts = {} if self._leaving else self._counts()
        for action in decisions.decide(counts, [charge.life for charge in self._charges.values()], now_s):
            self._act(action, now_s)
        if now_s - self._trimmed_s >= _IDLE_S:
            self._trim()
            self._trimmed_s = now_s
        lives = [charge.life for charge in self._charges.values()]
        starting = any(life.phase == "starting" for life in lives)
        return max(0.0, min(_STARTING_S if starting else _IDLE_S, decisions.next_due_s(lives) - self._clock()))

    # What is asked

    def _start_core(self, options: CoreOptions) -> None:
        if self._wanted.core is None:
            ports = choose_ports(options)
            self._drop_state()  # of one whose supervisor was killed before it could
            self._keep(replace(self._wanted, core=ports))

    def _start(self, asked: Asked) -> None:
        wanted = asked.replicas
        if not wanted.stage or not 0 <= wanted.replicas <= _MOST:
            raise OutsideError(
                f"stage {wanted.stage!r}: {wanted.replicas} replicas; a named one has from 0 to {_MOST}"
            )
        refused = reason_refused(self._machine, wanted.hardware)
        if refused is not None:
            name = wanted.hardware.name
            raise OutsideError(f"hardware {name!r} {refused}; take another target, or another hardware")
        self._keep(self._wanted.having(asked))

    def _stop(self, key: SetKey | None) -> None:
        self._keep(Wanted() if key is None else self._wanted.without(key))
        self._stopped |= key is None

    def _keep(self, wanted: Wanted) -> None:
        if wanted != self._wanted:
            write_wanted(self._folder / WANTED, wanted)
            self._wanted = wanted

    # What is done

    def _counts(self) -> Mapping[SetKey, int]:
        sets = {each.replicas.key: each.replicas.replicas for each in self._wanted.sets}
        return sets if self._wanted.core is None else {CORE: 1, **sets}

    def _act(self, action: Action, now_s: float) -> None:
        if action.what == "start":
            charge = self._new_core(now_s) if action.key == CORE else self._new_replica(action.key, now_s)
            self._charges[charge.life.id] = charge
        else:
            charge = self._charges[action.id]
        _log.info("event=%s set=%r id=%s", action.what, "/".join(filter(None, action.key)), charge.life.id)
        match action.what:
            case "start":
                charge.start(now_s)
            case "again":
                if charge.placement is not None:
                    charge.launch = self._launch(charge.life.key, charge.life.id, charge.placement)
                charge.start_again(now_s)
            case "stop":
                charge.stop(now_s)
            case "kill":
                charge.kill()
            case "forget":
                self._forget(charge.life.id)

    def _new_core(self, now_s: float) -> Charge:
        if self._wanted.core is None:
            raise RuntimeError("no serving core is wanted")
        life = Life(id=CORE.hardware, key=CORE, born=next(self._births), started_s=now_s)
        return Charge(life=life, launch=core_launch(self._wanted.core, self._folder, os.environ))

    def _new_replica(self, key: SetKey, now_s: float) -> Charge:
        hardware = self._asked(key).replicas.hardware
        stage = file_name(key.stage)
        name = next(f"{stage}-{number}" for number in count() if f"{stage}-{number}" not in self._charges)
        placement = place(self._machine, hardware, self._placed())
        life = Life(id=name, key=key, born=next(self._births), started_s=now_s)
        return Charge(life=life, launch=self._launch(key, name, placement), placement=placement)

    def _launch(self, key: SetKey, name: str, placement: Placement) -> Launch:
        return replica_launch(self._asked(key), placement, name, self._folder, os.environ)

    def _asked(self, key: SetKey) -> Asked:
        return next(each for each in self._wanted.sets if each.replicas.key == key)

    def _forget(self, name: str) -> None:
        del self._charges[name]
        if name == CORE.hardware and self._wanted.core is None:  # not when it is to be started again later
            self._drop_state()

    def _drop_state(self) -> None:
        for part in ("", "-journal", "-wal", "-shm"):
            (self._folder / f"{STATE}{part}").unlink(missing_ok=True)

    def _trim(self) -> None:
        for path in (self._folder / SUPERVISOR_LOG, *(charge.launch.log for charge in self._charges.values())):
            trim(path)

    # What is told

    def _placed(self) -> list[Placement]:
        return [charge.placement for charge in self._charges.values() if charge.placement is not None]

    def _picture(self) -> Reply:
        now_s, placed = self._clock(), self._placed()
        core = self._charges.get(CORE.hardware)
        return Reply(
            core=None if self._wanted.core is None else _address(self._wanted.core),
            core_failures=0 if core is None else core.life.failures,
            core_reason="" if core is None else core.reason,
            replicas=tuple(
                charge.shown(now_s, remark(self._machine, charge.placement, placed))
                for charge in self._charges.values()
                if charge.placement is not None
            ),
            requested=tuple((each.replicas.key, each.replicas.replicas) for each in self._wanted.sets),
        )


def _address(options: CoreOptions) -> CoreAddress:
    return CoreAddress(
        host=reachable(options.host),
        query_port=options.query_port,
        admin_port=options.admin_port,
        rpc_port=options.rpc_port,
    )
