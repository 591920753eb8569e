"""A Pod's container as a process of this machine: it shares the network and the files, which are told apart here."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any

import httpx

_PROGRAMS = {
    "inferline": [sys.executable, "-c", "from inferline.cli import main; main()"],
    "inferline-container": [sys.executable, "-m", "serving_adapter.rpc.container"],
}
_FIRST_PAUSE_S = 0.2
_ONE_CORE = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


class LocalContainer:
    """Runs what a container's specification says, again when it ends, with a back-off.

    Parameters
    ----------
    pod
        The Pod's name.
    spec
        The container in the Pod's specification.
    folder
        Stands for the folder that ``INFERLINE_FOLDER`` names in the image.
    """

    def __init__(self, pod: str, spec: dict[str, Any], folder: Path) -> None:
        self.pod = pod
        self.spec = spec
        self.files = Path(tempfile.mkdtemp(prefix=f"{pod}-", dir=folder))
        self.restarts = 0
        self.last: dict[str, Any] = {}
        self._folder = folder
        self._log = self.files / "log"
        self._start_s = 0.0
        self._told_to_end_s: float | None = None
        self._start()

    def attend(self) -> None:
        """Start it again when it has ended and its pause is over."""
        if self.process.poll() is None:
            return
        if not self._start_s:
            self._start_s = monotonic() + _FIRST_PAUSE_S * 2**self.restarts
            self.last = {"terminated": self._termination()}
        elif monotonic() >= self._start_s:
            self.restarts += 1
            self._start()

    def state(self) -> dict[str, Any]:
        """Return what a kubelet says of it."""
        if self.process.poll() is None:
            return {"running": {"startedAt": self._started_at}}
        return {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off restarting failed container"}}

    def ready(self) -> bool:
        """Do what the readiness probe says."""
        if self.process.poll() is not None:
            return False
        probe = self.spec["readinessProbe"]
        if "exec" in probe:
            program, flag, path = probe["exec"]["command"]
            assert (program, flag) == ("test", "-f")
            return self._here(path).is_file()
        asked = probe["httpGet"]
        try:
            url = f"http://127.0.0.1:{asked['port']}{asked['path']}"
            return httpx.get(url, verify=False, trust_env=False).is_success
        except httpx.TransportError:
            return False

    def has_ended(self, grace_s: float) -> bool:
        """Tell it to end, once; kill it when its grace is over."""
        if self._told_to_end_s is None:
            self._told_to_end_s = monotonic()
            self.process.terminate()
        elif monotonic() > self._told_to_end_s + grace_s:
            self.process.kill()
        return self.process.poll() is not None

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)

    @property
    def log(self) -> str:
        return self._log.read_text()

    def _start(self) -> None:
        self._start_s = 0.0
        probe = self.spec["readinessProbe"]
        if "exec" in probe:  # a container begins with the files of its image
            self._here(probe["exec"]["command"][-1]).unlink(missing_ok=True)
        self._started_at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        program, *words = [*self.spec["command"], *self.spec.get("args", ())]
        words = [self._word(each.replace("$$", "$")) for each in words]
        told = {each["name"]: each["value"].replace("$$", "$") for each in self.spec.get("env", ())}
        inherited = {
            name: text for name, text in os.environ.items() if not name.startswith(("CLIPPER_", "INFERLINE_"))
        }
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [*_PROGRAMS[program], *words],
                env=inherited | _ONE_CORE | told | self._apart(told),
                stdout=log,
                stderr=log,
                cwd=self._folder,
            )

    def _apart(self, told: dict[str, str]) -> dict[str, str]:
        """Return what differs from Pod to Pod, and is the same machine's here: addresses, ports and files."""
        if "CLIPPER_IP" not in told:
            return {}
        return {
            "CLIPPER_IP": "127.0.0.1",  # which the Service's name would lead to
            "INFERLINE_READY_FILE": str(self._here(told["INFERLINE_READY_FILE"])),
            "INFERLINE_FOLDER": str(self._folder),
            "INFERLINE_METRICS_PORT": "0",
        }

    def _word(self, word: str) -> str:
        mounts = [each["mountPath"] for each in self.spec.get("volumeMounts", ())]
        for mount in mounts:
            word = word.replace(f"//{mount}/", f"//{self.files}/")
        return "--host=127.0.0.1" if word == "--host=0.0.0.0" else word

    def _here(self, path: str) -> Path:
        return self.files / Path(path).name

    def _termination(self) -> dict[str, Any]:
        code = self.process.returncode
        at = {"startedAt": self._started_at, "finishedAt": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}
        return {"exitCode": code if code >= 0 else 128 - code, "reason": "Error", "message": self.log[-2000:], **at}
