"""The process of a model container: one model, served to a serving core until it is told to stop.

``inferline-container``, or ``python -m serving_adapter.rpc.container``. Its exit codes are those of Clipper's
containers: 0 stopped, 1 wrong settings or the model failed, 3 a module that the model imports is missing.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from threading import Event
from time import perf_counter
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from inferline.errors import Fault, InputError
from serving_adapter.rpc.runtime_cores import take_cores
from serving_adapter.rpc.runtime_settings import SETTINGS, RuntimeSettings, read_settings

if TYPE_CHECKING:
    from serving_adapter.rpc.serving import BatchTimes, Container

__all__ = ["FAILED", "MODULE_MISSING", "main"]

FAILED = 1
MODULE_MISSING = 3

_LONGEST = 2000

_log = logging.getLogger(__name__)


class _Stopped(BaseException):
    """A signal came while there was no batch to finish; no model's ``except Exception`` takes it for a failure."""


def main() -> NoReturn:
    """Run the process of a container, and end it."""
    logging.basicConfig(
        level=logging.INFO,
        format="time=%(asctime)s level=%(levelname)s %(message)s",
        datefmt="%Y-%m-%dT%H:%M:%S%z",
    )
    sys.exit(_run(vars(_parser().parse_args()), os.environ))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="inferline-container",
        allow_abbrev=False,
        description="Serve one model to a serving core, as a Clipper model container does.",
        epilog="Each option has an environment variable, which counts where the option is not given. "
        "Exit codes: 0 stopped by SIGTERM or ctrl-C, after the batch in hand; 1 a setting is wrong, or the model "
        "failed; 3 a module that the model needs is not installed.",
    )
    for each in SETTINGS:
        parser.add_argument(each.flag, metavar=each.metavar, help=f"{each.help} [{each.variable}]")
    return parser


def _run(options: Mapping[str, str | None], environment: Mapping[str, str]) -> int:
    settings = container = None
    told = Event()
    try:
        _on_signals(_give_up(told))
        settings = read_settings(environment, options)
        _remove(settings.ready_file)  # of a process that was here before
        container = _prepare(settings)
        _on_signals(_finish(container.stop))
        if told.is_set():
            raise _Stopped
        _show_ready(settings.ready_file)
        container.serve()
    except _Stopped:
        pass
    # Whatever a model raises, which may be what would end the process too.
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        if not told.is_set():
            return _say_failed(error, loading=container is None)
    finally:
        if settings is not None:
            _remove(settings.ready_file)
    _log.info("event=stopped")
    return 0


def _on_signals(handler: Callable[[int, FrameType | None], object]) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handler)


def _give_up(told: Event) -> Callable[[int, FrameType | None], object]:
    """Return what ends loading at once.

    Where Python swallows what a handler raises (in a callback), or an import turns it into an error of its own, the
    event still says that somebody has asked.
    """

    def handle(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001 - the signature of a handler
        told.set()
        raise _Stopped

    return handle


def _finish(stop: Event) -> Callable[[int, FrameType | None], None]:
    def handle(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signature of a handler
        stop.set()
        if number == signal.SIGINT:  # whoever presses ctrl-C again will not wait for the batch
            signal.signal(signal.SIGINT, signal.SIG_DFL)

    return handle


def _prepare(settings: RuntimeSettings) -> Container:
    """Load the model, and whatever counts the cores only now that they are set."""
    try:
        # Clipper's containers end at once as well when the name means nothing. ZeroMQ looks it up anew whenever it
        # connects, so that a server may move.
        socket.getaddrinfo(settings.host, settings.port, socket.AF_INET)
    except (OSError, UnicodeError) as error:
        message = f"no address of {settings.host!r} is known: {getattr(error, 'strerror', None) or error}"
        raise InputError(Fault("CLIPPER_IP (--ip)", "", message)) from None
    threads = take_cores(settings.cpus, settings.threads)
    from serving_adapter.rpc import runtime_model  # noqa: PLC0415 - see above
    from serving_adapter.rpc.serving import Container  # noqa: PLC0415 - see above

    start = perf_counter()
    model, input_type = runtime_model.load(settings, threads)
    address = f"tcp://{settings.host}:{settings.port}"
    _log.info(
        "event=loaded model=%s:%s input_type=%s load_s=%.3f threads=%d server=%s",
        settings.name,
        settings.version,
        input_type,
        perf_counter() - start,
        threads,
        address,
    )
    return Container(
        model=model,
        name=settings.name,
        version=settings.version,
        input_type=input_type,
        address=address,
        observe_times=_start_metrics(settings.metrics_host, settings.metrics_port),
    )


def _start_metrics(host: str, port: int) -> Callable[[BatchTimes], None]:
    """Show metrics if that is possible; a model serves without them too."""
    if not port:
        return _uncounted
    try:
        from serving_adapter.rpc.runtime_metrics import serve_metrics  # noqa: PLC0415 - optional

        metrics = serve_metrics(host, port)
    except ImportError:
        reason = "needs prometheus_client: pip install 'inferline[serve]'"
    except OSError as error:
        reason = error.strerror or str(error)
    else:
        _log.info("event=metrics url=http://%s:%d/metrics", host, port)
        return metrics
    _log.warning("event=no_metrics host=%s port=%d reason=%s", host, port, _quoted(reason))
    return _uncounted


def _uncounted(batch: BatchTimes) -> None:
    """Count nothing."""


def _show_ready(path: Path) -> None:
    try:
        path.write_text("READY")
    except OSError as error:
        _log.warning("event=no_ready_file file=%s reason=%s", path, _quoted(error.strerror or str(error)))


def _remove(path: Path) -> None:
    with suppress(OSError):  # where it cannot be removed it cannot be written either, which is said then
        path.unlink(missing_ok=True)


def _say_failed(error: BaseException, *, loading: bool) -> int:
    """Log why the process ends; return its exit code."""
    missing = loading and _is_import_error(error)
    code = MODULE_MISSING if missing else FAILED
    if isinstance(error, InputError):
        # The traceback of what a model's own module raised says where; that of our own finding says nothing.
        trace = error if error.__cause__ is not None and not missing else None
        for fault in error.faults:
            _log.error("event=refused code=%d message=%s", code, _quoted(str(fault)), exc_info=trace)
        return code
    frames = traceback.extract_tb(error.__traceback__)
    _log.error(
        "event=failed code=%d while=%s error=%s place=%s message=%s",
        code,
        "loading" if loading else "serving",
        type(error).__name__,
        f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "unknown",
        _quoted(str(error)),
        exc_info=error,
    )
    return code


def _is_import_error(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ImportError):
            return True
        error = error.__cause__
    return False


def _quoted(text: str) -> str:
    """Return a value for a log line, which stays one line."""
    return json.dumps(text[:_LONGEST], ensure_ascii=False)
