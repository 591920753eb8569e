"""The target against a real API server and real controllers; only nodes and containers are made up."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
import yaml

from inferline.errors import OutsideError
from serving_adapter.replicas import CoreAddress, CoreOptions, SetKey, wait
from serving_adapter.replicas.kubernetes import (
    KubernetesOptions,
    KubernetesTarget,
    manifests,
    role_manifests,
    to_yaml,
)
from serving_adapter.replicas.kubernetes.connection import Connection
from serving_adapter.replicas.kubernetes.names import core_name, set_name
from tests.serving_adapter.replicas.kubernetes.cluster import LONG_S, MERGE, until

pytestmark = [pytest.mark.kubernetes, pytest.mark.usefixtures("kubelet")]

CORE = CoreAddress(host="social-media-core.test.svc")


def path(namespace, plural="deployments", name=""):
    root = {
        "deployments": "apis/apps/v1",
        "replicasets": "apis/apps/v1",
        "poddisruptionbudgets": "apis/policy/v1beta1",
    }
    root["networkpolicies"] = "apis/networking.k8s.io/v1"
    return f"/{root.get(plural, 'api/v1')}/namespaces/{namespace}/{plural}/{name}".rstrip("/")


def everything(cluster, namespace):
    """Return what there is, by kind, of all that a deployment makes."""
    kinds = ("deployments", "replicasets", "pods", "services", "poddisruptionbudgets", "networkpolicies")
    found = {kind: cluster.ask("GET", path(namespace, kind))["items"] for kind in kinds}
    return {kind: sorted(each["metadata"]["name"] for each in items) for kind, items in found.items()}


def phases(target, deployment="social-media"):
    return sorted(each.phase for each in target.list(deployment))


def settled(cluster, namespace, wanted):
    """Return the Deployment once the controllers have nothing left to do about it."""

    def look():
        found = cluster.ask("GET", path(namespace, "deployments", set_name(wanted.deployment, wanted.key)))
        status = found["status"]
        seen = status.get("observedGeneration") == found["metadata"]["generation"]
        told = [each["reason"] for each in status.get("conditions", ()) if each["type"] == "Progressing"]
        there = status.get("availableReplicas", 0) == wanted.replicas
        return found if seen and there and told == ["NewReplicaSetAvailable"] else None

    return until(look, "the Deployment")


def test_start_again_scale_and_stop(cluster, namespace, target, replicas):
    wanted = replicas(2)
    target.start(wanted, CORE)
    wait(target, wanted, LONG_S)
    first = settled(cluster, namespace, wanted)
    assert target.requested("social-media") == {SetKey("translate", "1", "cpu-2"): 2}
    assert [each.phase for each in target.list("social-media")] == ["ready", "ready"]

    target.start(wanted, CORE)  # the same again
    again = settled(cluster, namespace, wanted)
    assert again["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]

    for count in (5, 1, 0):
        target.start(replace(wanted, replicas=count), CORE)
        assert target.requested("social-media") == {wanted.key: count}
        until(lambda count=count: phases(target) == ["ready"] * count, f"{count} replicas")

    target.stop("social-media", wanted.key)
    target.stop("social-media", wanted.key)  # is not there any more
    assert target.requested("social-media") == {}


def test_replicas_that_stay_are_the_old_ones(target, replicas):
    target.start(replicas(3), CORE)
    until(lambda: phases(target) == ["ready"] * 3)
    before = {each.id for each in target.list("social-media")}
    target.start(replicas(5), CORE)
    until(lambda: phases(target) == ["ready"] * 5)
    assert before < {each.id for each in target.list("social-media")}


def test_replicas_that_are_not_ready_go_first(kubelet, target, replicas):
    target.start(replicas(1), CORE)
    until(lambda: phases(target) == ["ready"])
    (ready,) = (each.id for each in target.list("social-media"))
    kubelet.loading.add("cpu-2")
    target.start(replicas(4), CORE)
    until(lambda: [each.phase for each in target.list("social-media")].count("starting") >= 3)
    target.start(replicas(1), CORE)
    until(lambda: len(target.list("social-media")) == 1)
    assert target.list("social-media")[0].id == ready


def test_a_new_plan_and_back(cluster, namespace, target, replicas):
    old = replicas(2, plan="aaaa")
    gpu = {"name": "k80", "accelerator": "nvidia-k80", "accelerators": 1}
    new = replicas(1, plan="bbbb", version="2", hardware=gpu)
    target.start(old, CORE)
    wait(target, old, LONG_S)
    kept = {each.id for each in target.list("social-media")}

    target.start(replace(old, plan="bbbb"), CORE)  # what a new plan keeps gets its label, and goes on
    labels = settled(cluster, namespace, old)["metadata"]["labels"]
    assert labels["inferline.io/plan"] == "bbbb"
    target.start(new, CORE)  # beside the old one, until it is there
    wait(target, new, LONG_S)
    assert target.requested("social-media") == {old.key: 2, new.key: 1}
    assert kept < {each.id for each in target.list("social-media")}
    target.stop("social-media", old.key)
    until(lambda: {each.key for each in target.list("social-media")} == {new.key})

    target.start(old, CORE)  # back
    wait(target, old, LONG_S)
    target.stop("social-media", new.key)
    until(lambda: {each.key for each in target.list("social-media")} == {old.key})
    assert target.requested("social-media") == {old.key: 2}


def test_another_entry_is_rolled_out(cluster, namespace, target, replicas):
    target.start(replicas(2), CORE)
    until(lambda: phases(target) == ["ready"] * 2)
    before = {each.id for each in target.list("social-media")}
    target.start(replicas(2, entry={"target": "models:better"}), CORE)
    until(lambda: phases(target) == ["ready"] * 2 and not before & {each.id for each in target.list("social-media")})
    (container,) = cluster.ask("GET", path(namespace, "pods"))["items"][0]["spec"]["containers"]
    told = {each["name"]: each["value"] for each in container["env"]}
    assert "models:better" in told["INFERLINE_MODEL"]


def test_deleting_leaves_nothing(cluster, namespace, target, replicas):
    nothing = everything(cluster, namespace)
    address = target.start_core("social-media", CoreOptions())
    other = replicas(1, deployment="other")
    for wanted in (replicas(2), replicas(1, stage="rank"), other):
        target.start(wanted, address)
    until(lambda: phases(target) == ["ready"] * 3)
    target.stop("social-media")
    until(lambda: not target.list("social-media"))
    assert phases(target, "other") == ["ready"]  # whose name is its own
    target.stop("other")
    until(lambda: everything(cluster, namespace) == nothing, "the end of everything")
    target.stop("other")


def test_the_core_is_started_once(cluster, namespace, target):
    options = CoreOptions(query_port=0, admin_port=0, rpc_port=0)
    address = target.start_core("Social media!", options)
    host = f"{core_name('Social media!')}.{namespace}.svc"
    assert address == CoreAddress(host=host, query_port=1337, admin_port=1338, rpc_port=7000)
    before = everything(cluster, namespace)
    found = cluster.ask("GET", path(namespace, "deployments", core_name("Social media!")))["spec"]
    assert target.start_core("Social media!", CoreOptions(query_port=1, arguments=("--seed", "1"))) == address
    assert cluster.ask("GET", path(namespace, "deployments", core_name("Social media!")))["spec"] == found

    cluster.ask("DELETE", path(namespace, "services", core_name("Social media!")))  # half of it is gone
    assert target.start_core("Social media!", options) == address
    until(lambda: everything(cluster, namespace)["services"] == before["services"])
    assert target.list("Social media!") == ()
    assert target.requested("Social media!") == {}


def test_an_operators_edit_is_seen(cluster, namespace, target, replicas):
    wanted = replicas(1)
    target.start(wanted, CORE)
    edit = {"spec": {"replicas": 3}}
    scale = path(namespace, "deployments", set_name("social-media", wanted.key)) + "/scale"
    cluster.ask("PATCH", scale, edit, kind=MERGE)  # as kubectl scale
    assert target.requested("social-media") == {wanted.key: 3}
    until(lambda: phases(target) == ["ready"] * 3)
    target.start(replicas(2), CORE)  # whoever asks last is heard
    assert target.requested("social-media") == {wanted.key: 2}


def test_what_an_operator_adds_stays(cluster, namespace, target, replicas):
    wanted = replicas(1)
    target.start(wanted, CORE)
    name = path(namespace, "deployments", set_name("social-media", wanted.key))
    cluster.ask("PATCH", name, {"metadata": {"annotations": {"team": "search"}}}, kind=MERGE)
    target.start(replicas(2), CORE)
    found = cluster.ask("GET", name)
    assert (found["metadata"]["annotations"]["team"], found["spec"]["replicas"]) == ("search", 2)


def test_why_replicas_are_not_there(kubelet, target, replicas):
    kubelet.full.add("huge")
    kubelet.broken.add("registry/gone:1")
    target.start(replicas(1, stage="a", hardware={"name": "huge"}), CORE)
    target.start(replicas(1, stage="b", entry={"kind": "container", "target": "registry/gone:1"}), CORE)
    target.start(replicas(1, stage="c", hardware={"isolation": "kata"}), CORE)  # of which there is no RuntimeClass

    def said():
        return {each.key.stage: (each.phase, each.message) for each in target.list("social-media")}

    until(lambda: len(said()) == 3 and all(message for _, message in said().values()))
    assert said()["a"] == (
        "starting",
        "Unschedulable: 0/1 nodes are available: 1 node(s) didn't match node selector.",
    )
    assert said()["b"] == ("starting", 'ImagePullBackOff: Back-off pulling image "registry/gone:1"')
    assert said()["c"][0] == "failed"
    assert 'RuntimeClass "kata" not found' in said()["c"][1]
    with pytest.raises(OutsideError, match=r"0 of 1 replicas on huge were ready.*Unschedulable"):
        wait(target, replicas(1, stage="a", hardware={"name": "huge"}), 0.0)


def test_isolated_replicas_run_where_there_is_such_a_runtime(cluster, namespace, target, replicas):
    runtime = {"metadata": {"name": "gvisor"}, "handler": "runsc"}
    cluster.ask("POST", "/apis/node.k8s.io/v1/runtimeclasses", runtime)
    wanted = replicas(1, hardware={"isolation": "gvisor"})
    target.start(wanted, CORE)
    wait(target, wanted, LONG_S)
    (pod,) = cluster.ask("GET", path(namespace, "pods"))["items"]
    assert pod["spec"]["runtimeClassName"] == "gvisor"


ODD = ["größe", "Social Media (v2)!", "-", "a" * 300, "x.y_z", "9-lives", "日本", " ", "a\nb", "$(HOME)"]


@pytest.mark.parametrize("name", ODD)
def test_odd_names_are_names(cluster, namespace, target, replicas, name):
    wanted = replicas(1, deployment=name, stage=name, version=name, hardware={"name": name})
    address = target.start_core(name, CoreOptions())
    target.start(wanted, address)
    wait(target, wanted, LONG_S)
    assert target.requested(name) == {SetKey(name, name, name): 1}
    assert {each.key for each in target.list(name)} == {wanted.key}
    target.stop(name)
    until(lambda: not target.list(name))


def test_names_that_differ_little_are_apart(target, replicas):
    for name in ODD:
        target.start(replicas(1, deployment=name), CORE)
    for one, other in pairwise(ODD):
        assert len(target.requested(one)) == 1
        target.stop(one)
        assert (len(target.requested(one)), len(target.requested(other))) == (0, 1)


def test_the_server_takes_every_manifest(cluster, namespace, target, replicas):
    """By a dry run at the server, which checks all and keeps nothing."""
    options = KubernetesOptions(
        namespace=namespace, image="i", memory_bytes={"k80": 2**31}, pull_secret="p", core_secret="s", core_claim="c"
    )
    gpu = {"name": "k80", "accelerator": "nvidia-k80", "isolation": "gvisor", "cpus": 0.5}
    sets = [replicas(3), replicas(1, stage="rank", hardware=gpu), replicas(0, stage="none")]
    documents = [*manifests("social-media", CoreOptions(), sets, options), *role_manifests(namespace)]
    nothing = everything(cluster, namespace)
    connection = Connection(config=cluster.kubeconfig())
    known = connection.versions("policy")
    for each in yaml.safe_load_all(to_yaml(documents)):
        if each["apiVersion"] == "policy/v1" and "v1" not in known:  # which this server is too old for
            each["apiVersion"] = "policy/v1beta1"
        made = connection.apply(each, dry_run=True)
        assert made["kind"] == each["kind"]
    connection.close()
    assert everything(cluster, namespace) == nothing


def test_a_namespace_that_is_not_there(cluster, replicas):
    target = KubernetesTarget(KubernetesOptions(namespace="nowhere", image="i"), config=cluster.kubeconfig())
    with pytest.raises(OutsideError, match="no such namespace; make it with: kubectl create namespace nowhere"):
        target.start(replicas(1), CORE)
    assert (target.list("social-media"), target.requested("social-media")) == ((), {})
    target.stop("social-media")
    target.close()


def test_who_is_not_known_is_told(cluster, namespace):
    target = KubernetesTarget(KubernetesOptions(namespace=namespace), config=cluster.kubeconfig("no-such-token"))
    with pytest.raises(OutsideError, match=r"list pods in namespace '.*': it does not know who asks \(401\)"):
        target.list("social-media")
    target.close()


def test_the_tuners_role_lets_it_tune_and_no_more(cluster, namespace, target, replicas):
    connection = Connection(config=cluster.kubeconfig())
    for each in role_manifests(namespace):
        connection.apply(each)
    connection.close()
    wanted = replicas(1)
    target.start(wanted, CORE)

    token = cluster.account_token(namespace, "inferline-tuner")
    options = KubernetesOptions(namespace=namespace, image="inferline:test")
    tuner = KubernetesTarget(options, config=cluster.kubeconfig(token))
    tuner.start(replicas(3), CORE)
    until(lambda: phases(tuner) == ["ready"] * 3)
    assert tuner.requested("social-media") == {wanted.key: 3}

    who = f"'system:serviceaccount:{namespace}:inferline-tuner'"
    with pytest.raises(OutsideError) as caught:
        tuner.stop("social-media", wanted.key)
    assert f"no Role lets {who} delete deployments.apps in namespace '{namespace}' (403)" in str(caught.value)
    with pytest.raises(OutsideError) as caught:
        tuner.start(replicas(1, stage="rank"), CORE)
    assert f"no Role lets this user create deployments.apps in namespace '{namespace}' (403)" in str(caught.value)
    assert "bind the Role 'inferline-deployer'" in str(caught.value)
    assert tuner.core("social-media") is None
    with pytest.raises(OutsideError, match=r"no Role lets .* patch services in namespace .*'inferline-deployer'"):
        tuner.start_core("social-media", CoreOptions())
    elsewhere = KubernetesTarget(replace(options, namespace="default"), config=cluster.kubeconfig(token))
    with pytest.raises(OutsideError, match=r"list pods in namespace 'default' \(403\)"):
        elsewhere.list("social-media")
    assert target.requested("social-media") == {wanted.key: 3}
    for each in (tuner, elsewhere):
        each.close()


def test_the_deployers_role_is_enough_to_deploy(cluster, namespace, replicas):
    connection = Connection(config=cluster.kubeconfig())
    for each in role_manifests(namespace):
        connection.apply(each)
        if each["kind"] == "RoleBinding":
            role = {**each["roleRef"], "name": "inferline-deployer"}
            connection.apply({**each, "metadata": {**each["metadata"], "name": "deployer"}, "roleRef": role})
    connection.close()
    token = cluster.account_token(namespace, "inferline-tuner")
    target = KubernetesTarget(KubernetesOptions(namespace=namespace, image="i"), config=cluster.kubeconfig(token))
    address = target.start_core("social-media", CoreOptions())
    target.start(replicas(2), address)
    wait(target, replicas(2), LONG_S)
    target.stop("social-media")
    until(lambda: not target.list("social-media"))
    assert target.requested("social-media") == {}
    target.close()


def test_the_api_server_goes_and_comes_back(cluster, target, replicas):
    """Last, because it is everybody's server: what runs goes on, and what is asked next is done."""
    wanted = replicas(2)
    target.start(wanted, CORE)
    wait(target, wanted, LONG_S)
    before = {each.id for each in target.list("social-media")}
    cluster.stop_server()
    for ask in (
        lambda: target.list("social-media"),
        lambda: target.requested("social-media"),
        lambda: target.start(replicas(3), CORE),
        lambda: target.stop("social-media"),
    ):
        with pytest.raises(OutsideError, match=f"Kubernetes at {cluster.url}: .*Connection refused"):
            ask()
    cluster.start_server()
    assert target.requested("social-media") == {wanted.key: 2}
    assert before <= {each.id for each in target.list("social-media")}
    target.start(replicas(3), CORE)
    until(lambda: phases(target) == ["ready"] * 3)
    assert before < {each.id for each in target.list("social-media")}
