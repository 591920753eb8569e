"""The Roles, and what the guide says of them."""

from __future__ import annotations

from pathlib import Path

import yaml

from serving_adapter.replicas.kubernetes import role_manifests, to_yaml

GUIDE = Path(__file__).parents[4] / "docs" / "guides" / "deploying-kubernetes.md"


def test_the_guide_shows_them_as_they_are():
    shown = GUIDE.read_text().partition("```yaml\n")[2].partition("```")[0]
    assert list(yaml.safe_load_all(shown)) == role_manifests("serving")
    assert list(yaml.safe_load_all(to_yaml(role_manifests("serving")))) == role_manifests("serving")


def test_nothing_is_asked_for_that_is_not_needed():
    verbs = {
        (role["metadata"]["name"], resource): set(rule["verbs"])
        for role in role_manifests("serving")
        if role["kind"] == "Role"
        for rule in role["rules"]
        for resource in rule["resources"]
    }
    change = {"create", "delete", "list", "patch"}
    assert verbs == {
        ("inferline-tuner", "pods"): {"list"},
        ("inferline-tuner", "services"): {"list"},
        ("inferline-tuner", "deployments"): {"list", "patch"},
        ("inferline-tuner", "poddisruptionbudgets"): {"patch"},
        ("inferline-tuner", "leases"): {"create", "get", "update"},
        ("inferline-deployer", "pods"): {"list"},
        ("inferline-deployer", "services"): change,
        ("inferline-deployer", "deployments"): change,
        ("inferline-deployer", "poddisruptionbudgets"): change,
        ("inferline-deployer", "networkpolicies"): change,
        ("inferline-deployer", "leases"): {"create", "get", "update"},
    }
