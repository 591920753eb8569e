"""Options of targets, and the commands that messages name."""

from __future__ import annotations

from types import SimpleNamespace

from inferline.cli.deploy_story import undeploying
from inferline.cli.targets import target_words

NOTHING = dict.fromkeys(("engine_url", "namespace", "context", "image", "network", "options_file"))


def test_a_command_that_a_message_names_asks_the_same_target():
    local = SimpleNamespace(**NOTHING | {"target": "local"})
    assert target_words(local) == ["--target", "local"]
    docker = SimpleNamespace(
        **NOTHING | {"target": "docker", "engine_url": "tcp://a:1", "image": "app", "network": "n"}
    )
    assert target_words(docker) == ["--target", "docker", "--engine-url", "tcp://a:1"]
    cluster = SimpleNamespace(
        **NOTHING
        | {"target": "kubernetes", "namespace": "serving", "context": "east", "options_file": "my options.yaml"}
    )
    words = "--target kubernetes --namespace serving --context east --target-options 'my options.yaml'"
    assert undeploying(cluster, "sums") == f"inferline undeploy sums {words}"
