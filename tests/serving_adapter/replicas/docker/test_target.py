"""Replicas in a real engine, behind a real serving core."""

from __future__ import annotations

import gc
import os
import signal
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from inferline.domain import Hardware
from inferline.errors import InputError, OutsideError
from serving_adapter.models import ModelEntry
from serving_adapter.replicas import CoreOptions, wait
from serving_adapter.replicas.docker import DockerOptions, DockerTarget
from tests.serving_adapter.replicas.docker.engines import LONG_S, until

pytestmark = pytest.mark.containers

SANDBOXED = Hardware(name="sandboxed", price_nano_usd_per_hour=0, cpus=2, isolation="gvisor")


def test_serves_scales_and_stops(target, core, a_set, engine, settled):
    none, one, two = (a_set(count) for count in (0, 1, 2))
    core.serve(one)
    target.start(one, core.at)
    assert target.requested(one.deployment) == {one.key: 1}
    assert [each.key for each in target.list(one.deployment)] == [one.key]

    wait(target, one, LONG_S)
    until(lambda: core.registered(one) == 1)
    assert core.predict(one, 1.5) == 3.0

    target.start(two, core.at)
    assert target.requested(one.deployment) == {one.key: 2}
    wait(target, two, LONG_S)
    until(lambda: core.registered(one) == 2)
    first, second = target.list(one.deployment)
    assert (first.phase, second.phase, first.restarts) == ("ready", "ready", 0)
    assert first.since_s < second.since_s

    target.start(two, core.at)  # the same again
    assert target.list(one.deployment) == (first, second)

    target.start(one, core.at)
    assert target.requested(one.deployment) == {one.key: 1}
    kept = settled(target, one.deployment, lambda there: len(there) == 1)
    assert kept == (first,)  # the newest one is gone
    until(lambda: core.registered(one) == 1)
    assert core.predict(one, 2) == 4.0

    target.start(none, core.at)
    assert target.requested(one.deployment) == {one.key: 0}
    settled(target, one.deployment, lambda there: not there)
    assert target.requested(one.deployment) == {one.key: 0}

    target.stop(one.deployment)
    assert target.requested(one.deployment) == {}
    target.close()
    assert engine.containers.list(all=True, filters={"label": f"inferline.deployment={one.deployment}"}) == []


def test_a_sandboxed_stage_has_a_kernel_of_its_own(sandboxing_target, core, a_set, engine):
    wanted = a_set(1, "boot_messages", hardware=SANDBOXED)
    core.serve(wanted)
    sandboxing_target.start(wanted, core.at)
    wait(sandboxing_target, wanted, LONG_S)
    until(lambda: core.registered(wanted) == 1)
    assert "Starting gVisor" in core.predict(wanted, 0)
    sandboxing_target.stop(wanted.deployment)
    sandboxing_target.close()
    assert engine.containers.list(all=True, filters={"label": f"inferline.deployment={wanted.deployment}"}) == []


def test_a_replica_that_is_told_to_end_finishes_its_batch(target, core, a_set, engine, settled):
    wanted = a_set(1, "slow")
    core.serve(wanted)
    target.start(wanted, core.at)
    wait(target, wanted, LONG_S)
    until(lambda: core.registered(wanted) == 1)
    (replica,) = target.list(wanted.deployment)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(core.predict, wanted, 3)
        until(lambda: engine.containers.get(replica.id).exec_run(["test", "-f", "/tmp/begun"]).exit_code == 0)
        target.start(a_set(0, "slow"), core.at)
        assert [each.phase for each in target.list(wanted.deployment)] == ["stopping"]
        assert answer.result(LONG_S) == 3.0
    settled(target, wanted.deployment, lambda there: not there)
    target.stop(wanted.deployment)


def test_a_killed_replica_is_replaced_and_others_look_on(target, service, image, core, a_set, engine, settled):
    wanted = a_set(1)
    core.serve(wanted)
    target.start(wanted, core.at)
    wait(target, wanted, LONG_S)
    until(lambda: core.registered(wanted) == 1)
    assert core.predict(wanted, 3) == 6
    (before,) = target.list(wanted.deployment)

    os.kill(engine.containers.get(before.id).attrs["State"]["Pid"], signal.SIGKILL)
    (after,) = settled(target, wanted.deployment, lambda there: there[0].restarts == 1 and there[0].phase == "ready")
    assert after.id == before.id
    assert after.since_s > before.since_s
    until(lambda: core.registered(wanted) == 1)
    assert core.predict(wanted, 4) == 8

    # Nothing but the engine knows: who comes later finds everything, and a replica that was ended by hand goes on.
    other = DockerTarget(DockerOptions(url=service.url, image=image))
    assert other.list(wanted.deployment) == (after,)
    assert other.requested(wanted.deployment) == {wanted.key: 1}
    engine.containers.get(after.id).kill()
    settled(other, wanted.deployment, lambda there: there[0].phase == "failed")
    other.start(wanted, core.at)
    settled(other, wanted.deployment, lambda there: there[0].phase == "ready")
    assert len(other.list(wanted.deployment)) == 1
    other.stop(wanted.deployment, wanted.key)
    assert other.requested(wanted.deployment) == target.requested(wanted.deployment) == {}
    other.close()
    assert target.list(wanted.deployment) == ()


def test_the_core_runs_in_a_container_too(service, image, swept, a_set, core_at):
    cores = sorted(os.sched_getaffinity(0))
    target = DockerTarget(DockerOptions(url=service.url, image=image, cores=(cores[-1],)))
    wanted = a_set(1, "about_itself")
    options = CoreOptions(query_port=0, admin_port=0, rpc_port=0, arguments=("--state", "memory://"))
    assert target.core(wanted.deployment) is None
    at = target.start_core(wanted.deployment, options)
    assert target.core(wanted.deployment) == at
    assert 0 not in (at.query_port, at.admin_port, at.rpc_port)
    core = core_at(at)
    until(core.is_ready)
    assert target.start_core(wanted.deployment, options) == at  # it runs already
    core.serve(wanted)

    target.start(wanted, at)
    wait(target, wanted, LONG_S)
    until(lambda: core.registered(wanted) == 1)
    about = core.predict(wanted, 1)
    assert (about["user"], about["threads"], about["cores"]) == (10001, "1", [cores[-1]])
    assert [each.key for each in target.list(wanted.deployment)] == [wanted.key]  # the core is no replica

    target.stop(wanted.deployment)
    target.close()
    assert not core.is_ready()


def test_a_network_of_containers(service, image, swept, a_set, core_at, network):
    target = DockerTarget(DockerOptions(url=service.url, image=image, network=network))
    wanted = a_set(1, "about_itself", hardware=Hardware(name="part", price_nano_usd_per_hour=0, cpus=1.5))
    options = CoreOptions(query_port=0, admin_port=0, rpc_port=0)
    at = target.start_core(wanted.deployment, options)
    core = core_at(at)  # its ports are published on the loopback address
    until(core.is_ready)
    core.serve(wanted)
    target.start(wanted, at)
    wait(target, wanted, LONG_S)
    until(lambda: core.registered(wanted) == 1)
    about = core.predict(wanted, 1)
    assert (about["threads"], about["share"]) == ("1", "150000")  # microseconds of each 100 ms
    target.stop(wanted.deployment)
    target.close()


def test_deployments_do_not_see_each_other(target, core, a_set):
    mine, theirs = a_set(0, deployment="-mine"), a_set(0, deployment="-theirs")
    target.start(mine, core.at)
    target.start(theirs, core.at)
    target.stop(mine.deployment)
    assert target.requested(mine.deployment) == {}
    assert target.requested(theirs.deployment) == {theirs.key: 0}
    target.stop("no such deployment")
    target.stop(theirs.deployment, theirs.key)
    assert target.requested(theirs.deployment) == {}


def test_a_replica_that_cannot_serve_says_why(target, core, a_set, settled):
    entry = ModelEntry(name="m", kind="callable", target="no_such_module:f", input_type="doubles")
    wanted = a_set(1, entry=entry)
    target.start(wanted, core.at)
    (broken,) = settled(target, wanted.deployment, lambda there: there[0].message)
    assert broken.phase == "failed"
    assert "exit code 3" in broken.message
    assert "no_such_module" in broken.message
    settled(target, wanted.deployment, lambda there: there[0].restarts >= 2)  # it is tried again


def test_an_image_that_is_not_there(service, core, a_set):
    target = DockerTarget(DockerOptions(url=service.url, image="localhost/no-such-image:1"))
    with pytest.raises(
        OutsideError, match=r"there is no image 'localhost/no-such-image:1': build it there, or pull it"
    ):
        target.start(a_set(1), core.at)
    assert target.requested(a_set(1).deployment) == {}
    target.close()


def test_an_isolation_that_the_engine_does_not_give(target, service, core, a_set):
    wanted = a_set(1, hardware=replace(SANDBOXED, isolation="kata"))
    said = {
        "podman": r"asks for kata, but Podman at unix://\S+ runs every container with 'runc'",
        "docker": r"making container '\S+': .*kata",
    }
    with pytest.raises(OutsideError, match=said[service.kind]):
        target.start(wanted, core.at)
    assert target.requested(wanted.deployment) == {}


def test_accelerators_that_the_engine_does_not_give(target, service, core, a_set):
    gpu = Hardware(name="gpu", price_nano_usd_per_hour=0, accelerator="nvidia-l4", accelerators=1)
    said = {
        "podman": r"asks for accelerators, which the API of Podman gives since 5\.4",
        "docker": r"starting container '\S+': could not select device driver",
    }
    with pytest.raises(OutsideError, match=said[service.kind]):
        target.start(a_set(1, hardware=gpu), core.at)
    assert all(each.phase == "failed" for each in target.list(a_set(1).deployment))


def test_a_core_that_no_container_finds(service, image, core, a_set):
    target = DockerTarget(DockerOptions(url=service.url, image=image, network="models"))
    with pytest.raises(InputError, match=r"in network 'models' does not find the serving core at '127.0.0.1'"):
        target.start(a_set(1), core.at)
    target.close()


@pytest.fixture
def left_open():
    """Collect the sockets that the engine's client could not connect and does not close itself."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.mark.filterwarnings("ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning")
def test_an_engine_that_is_not_there(left_open, tmp_path):
    url = f"unix://{tmp_path}/no.sock"
    with pytest.raises(
        OutsideError, match=rf"container engine at {url}: looking for the engine: .*is the engine running"
    ):
        DockerTarget(DockerOptions(url=url))


@pytest.mark.filterwarnings("ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning")
def test_an_engine_that_goes_away(left_open, another_service, core, a_set):
    target = DockerTarget(DockerOptions(url=another_service.url, image="localhost/any"))
    assert target.list("nothing") == ()
    another_service.process.kill()
    another_service.process.wait(LONG_S)
    wanted = a_set(1)
    calls = {
        "list": lambda: target.list(wanted.deployment),
        "requested": lambda: target.requested(wanted.deployment),
        "start": lambda: target.start(wanted, core.at),
        "start_core": lambda: target.start_core(wanted.deployment, CoreOptions()),
        "stop": lambda: target.stop(wanted.deployment),
    }
    for call in calls.values():
        with pytest.raises(OutsideError, match=rf"container engine at {another_service.url}: listing containers: "):
            call()
    target.close()
