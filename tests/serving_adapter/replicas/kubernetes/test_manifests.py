"""From what is wanted to what Kubernetes is asked for; nothing is asked here."""

from __future__ import annotations

import json

import pytest
import yaml

from inferline.errors import InputError
from serving_adapter.replicas import CoreAddress, CoreOptions
from serving_adapter.replicas.kubernetes import KubernetesOptions, manifests, replica_manifests, to_yaml

OPTIONS = KubernetesOptions(namespace="serving", image="registry/inferline:1")
CORE = CoreAddress(host="social-media-core.serving.svc", rpc_port=7001)
GPU = {"name": "k80", "cpus": 1.0, "accelerator": "nvidia-k80", "accelerators": 2}


def pod_of(wanted, options=OPTIONS):
    return replica_manifests(wanted, CORE, options)[0]["spec"]["template"]["spec"]


def container_of(wanted, options=OPTIONS):
    (container,) = pod_of(wanted, options)["containers"]
    return container, {each["name"]: each["value"] for each in container["env"]}


def test_a_set_is_a_deployment_and_what_may_be_taken_of_it_at_a_time(replicas):
    deployment, budget = replica_manifests(replicas(3), CORE, OPTIONS)
    name = deployment["metadata"]["name"]
    selected = {"matchLabels": {"inferline.io/set": name}}
    assert (deployment["kind"], deployment["spec"]["replicas"], deployment["spec"]["selector"]) == (
        "Deployment",
        3,
        selected,
    )
    assert deployment["spec"]["template"]["metadata"]["labels"].items() >= selected["matchLabels"].items()
    assert (budget["kind"], budget["spec"]) == ("PodDisruptionBudget", {"maxUnavailable": 1, "selector": selected})


def test_a_plan_is_named_and_starts_nothing_anew(replicas):
    one, other = (replica_manifests(replicas(plan=plan), CORE, OPTIONS)[0] for plan in ("aaaa", "bbbb"))
    assert [each["metadata"]["labels"]["inferline.io/plan"] for each in (one, other)] == ["aaaa", "bbbb"]
    assert one["spec"] == other["spec"]


def test_a_replica_is_told_what_the_container_reads(replicas):
    wanted = replicas(entry={"options": {"scale": 2}, "device": "cuda:1", "input_type": "strings"}, hardware=GPU)
    container, told = container_of(wanted)
    assert (container["image"], container["command"]) == ("registry/inferline:1", ["inferline-container"])
    assert json.loads(told.pop("INFERLINE_MODEL")) == {
        "callable": "models:nmt",
        "scale": 2,
        "device": "cuda",  # a Pod's own are counted from 0
        "input_type": "strings",
    }
    assert told == {
        "CLIPPER_MODEL_NAME": "social-media.translate",
        "CLIPPER_MODEL_VERSION": "1",
        "CLIPPER_IP": "social-media-core.serving.svc",
        "CLIPPER_PORT": "7001",
        "INFERLINE_FOLDER": "/pipeline",
        "INFERLINE_THREADS": "1",
        "INFERLINE_READY_FILE": "/tmp/inferline-ready",
        "INFERLINE_METRICS_HOST": "0.0.0.0",
        "INFERLINE_METRICS_PORT": "1390",
    }
    assert container["readinessProbe"]["exec"]["command"] == ["test", "-f", told["INFERLINE_READY_FILE"]]
    assert container["livenessProbe"]["httpGet"] == {"path": "/metrics", "port": 1390, "scheme": "HTTP"}


def test_a_clipper_container_brings_its_own_image(replicas):
    entry = {"kind": "container", "target": "registry/ranker:3", "input_type": "doubles", "options": {"command": "x"}}
    container, told = container_of(replicas(entry=entry), KubernetesOptions())
    assert (container["image"], "command" in container) == ("registry/ranker:3", False)
    assert told == {
        "CLIPPER_MODEL_NAME": "social-media.translate",
        "CLIPPER_MODEL_VERSION": "1",
        "CLIPPER_IP": "social-media-core.serving.svc",
        "CLIPPER_PORT": "7001",
        "CLIPPER_INPUT_TYPE": "doubles",
    }
    assert container["livenessProbe"]["exec"]["command"] == ["test", "-f", "/model_is_ready.check"]


def test_a_dollar_stays_a_dollar(replicas):
    _, told = container_of(replicas(model="$(HOME).m", version="$1"))
    assert (told["CLIPPER_MODEL_NAME"], told["CLIPPER_MODEL_VERSION"]) == ("$$(HOME).m", "$$1")


@pytest.mark.parametrize(
    ("cpus", "requested", "threads"), [(1.0, "1", "1"), (0.5, "500m", "1"), (2.25, "2250m", "2"), (16, "16", "16")]
)
def test_cores_are_requested_and_never_exceeded(replicas, cpus, requested, threads):
    container, told = container_of(replicas(hardware={"cpus": cpus}))
    assert container["resources"] == {"requests": {"cpu": requested}, "limits": {"cpu": requested}}
    assert told["INFERLINE_THREADS"] == threads


def test_accelerators_are_of_the_makers_plugin(replicas):
    wanted = replicas(hardware=GPU)
    container, _ = container_of(wanted, KubernetesOptions(image="i", memory_bytes={"k80": 2**32}))
    assert container["resources"] == {
        "requests": {"cpu": "1", "memory": "4294967296"},
        "limits": {"cpu": "1", "memory": "4294967296", "nvidia.com/gpu": "2"},
    }
    assert pod_of(wanted)["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]


def test_an_accelerator_that_nobody_knows_is_asked_about(replicas):
    wanted = replicas(hardware={"name": "asic", "accelerator": "frobnicator-9"})
    with pytest.raises(InputError, match="'asic' has the accelerator 'frobnicator-9', whose maker is not known"):
        replica_manifests(wanted, CORE, OPTIONS)
    named = KubernetesOptions(image="i", accelerator_resources={"frobnicator-9": "example.com/frob"})
    assert container_of(wanted, named)[0]["resources"]["limits"] == {"cpu": "2", "example.com/frob": "1"}


def test_hardware_is_a_label_of_nodes(replicas):
    wanted = replicas(hardware={"name": "Big box"})
    (label,) = pod_of(wanted)["nodeSelector"].items()
    assert label[0] == "inferline.io/hardware"
    assert label[1].startswith("big-box-")
    named = KubernetesOptions(image="i", node_selectors={"Big box": {"pool": "big"}})
    anywhere = KubernetesOptions(image="i", node_selectors={"Big box": {}})
    assert [pod_of(wanted, each)["nodeSelector"] for each in (named, anywhere)] == [{"pool": "big"}, {}]


@pytest.mark.parametrize("isolation", ["gvisor", "kata"])
def test_isolation_is_a_runtime_class(replicas, isolation):
    wanted = replicas(hardware={"isolation": isolation})
    assert pod_of(wanted)["runtimeClassName"] == isolation
    named = KubernetesOptions(image="i", runtime_classes={isolation: "sandboxed"})
    assert pod_of(wanted, named)["runtimeClassName"] == "sandboxed"
    assert "runtimeClassName" not in pod_of(replicas())


def test_the_core_is_a_service_that_only_its_replicas_find_the_rpc_port_of(replicas):
    core = CoreOptions(query_port=0, admin_port=0, rpc_port=7001, arguments=("--order", "deadline"))
    service, policy, deployment, *_ = manifests("social-media", core, [replicas()], OPTIONS)
    labels = service["spec"]["selector"]
    template = deployment["spec"]["template"]
    assert template["metadata"]["labels"] == labels
    assert {each["name"]: each["port"] for each in service["spec"]["ports"]} == {
        "query": 1337,
        "admin": 1338,
        "rpc": 7001,
    }
    replica = replica_manifests(replicas(), CORE, OPTIONS)[0]["spec"]["template"]["metadata"]["labels"]
    foreign = replica_manifests(replicas(deployment="other"), CORE, OPTIONS)[0]["spec"]["template"]["metadata"][
        "labels"
    ]
    everybody, own = policy["spec"]["ingress"]
    assert ([each["port"] for each in everybody["ports"]], "from" in everybody) == ([1337, 1338], False)
    assert [each["port"] for each in own["ports"]] == [7001]
    allowed = own["from"][0]["podSelector"]["matchLabels"].items()
    assert allowed <= replica.items()
    assert not allowed <= foreign.items()
    (container,) = template["spec"]["containers"]
    assert container["args"] == [
        "--host=0.0.0.0",
        "--query-port=1337",
        "--admin-port=1338",
        "--rpc-port=7001",
        "--state=sqlite:////var/lib/inferline/state.sqlite",
        "--order",
        "deadline",
    ]


def test_the_core_is_probed_as_it_listens_and_keeps_its_state_where_told():
    options = KubernetesOptions(image="i", core_claim="state", core_secret="tokens", pull_secret="pull")
    *_, deployment = manifests("p", CoreOptions(arguments=("--tls-certificate=/tls/c.pem",)), [], options)
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["readinessProbe"]["httpGet"] == {"path": "/ready", "port": 1337, "scheme": "HTTPS"}
    assert pod["volumes"] == [{"name": "state", "persistentVolumeClaim": {"claimName": "state"}}]
    assert container["envFrom"] == [{"secretRef": {"name": "tokens"}}]
    assert pod["imagePullSecrets"] == [{"name": "pull"}]


def test_no_pod_gets_a_token_or_variables_of_services(replicas):
    for each in manifests("p", CoreOptions(), [replicas()], OPTIONS):
        if each["kind"] == "Deployment":
            pod = each["spec"]["template"]["spec"]
            assert (pod["automountServiceAccountToken"], pod["enableServiceLinks"]) == (False, False)
            assert pod["containers"][0]["securityContext"]["allowPrivilegeEscalation"] is False


def test_without_an_image_there_is_a_word_about_it(replicas):
    with pytest.raises(InputError, match="the serving core needs an image that holds InferLine"):
        manifests("p", CoreOptions(), [], KubernetesOptions())
    with pytest.raises(InputError, match="stage 'translate' needs an image"):
        replica_manifests(replicas(), CORE, KubernetesOptions())


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"namespace": "a/b"}, "namespace 'a/b' is no name of one"),
        ({"namespace": ""}, "namespace '' is no name of one"),
        ({"grace_s": -1}, "grace_s -1"),
        ({"start_limit_s": 0}, "start_limit_s 0"),
        ({"memory_bytes": {"k80": 0}}, "'k80': 0"),
    ],
)
def test_options_that_kubernetes_cannot_take(wrong, said):
    with pytest.raises(InputError, match=said):
        KubernetesOptions(**wrong)


def test_yaml_says_the_same_without_references(replicas):
    documents = manifests("social-media", CoreOptions(), [replicas(), replicas(stage="rank")], OPTIONS)
    text = to_yaml(documents)
    assert list(yaml.safe_load_all(text)) == documents
    assert "&id" not in text
    assert text.count("---\n") == len(documents) == 7
