"""What the server's refusals become, and what is no answer of a server at all."""

from __future__ import annotations

import json

import pytest

from inferline.errors import OutsideError
from serving_adapter.replicas.kubernetes.resources import DEPLOYMENTS, PODS, Request, answer

DELETE = Request("delete", DEPLOYMENTS, "serving", "d")
LIST = Request("list", PODS, "serving")


def refusal(request, status, **said):
    with pytest.raises(OutsideError) as caught:
        answer("Kubernetes at https://k", request, status, json.dumps({"kind": "Status", **said}).encode())
    return str(caught.value)


def test_what_is_answered_is_given():
    assert answer("k", LIST, 200, b'{"kind": "PodList", "items": []}') == {"kind": "PodList", "items": []}


def test_paths():
    assert DELETE.path == "/apis/apps/v1/namespaces/serving/deployments/d"
    assert LIST.path == "/api/v1/namespaces/serving/pods"


def test_a_missing_right_names_the_role_that_gives_it():
    message = (
        'deployments.apps "d" is forbidden: User "system:serviceaccount:serving:x" cannot delete resource '
        '"deployments" in API group "apps" in the namespace "serving"'
    )
    assert refusal(DELETE, 403, message=message) == (
        "Kubernetes at https://k: delete deployments.apps 'd' in namespace 'serving': no Role lets "
        "'system:serviceaccount:serving:x' delete deployments.apps in namespace 'serving' (403); bind the Role "
        "'inferline-deployer', or one with apiGroups ['apps'], resources ['deployments'], verbs ['delete']"
    )
    message = 'pods is forbidden: User "x" cannot list resource "pods" in API group "" in the namespace "serving"'
    assert (
        "bind the Role 'inferline-tuner', or one with apiGroups [''], resources ['pods'], verbs ['list']"
        in refusal(LIST, 403, message=message)
    )


def test_a_right_to_make_what_is_not_there_is_missing_without_a_word():
    assert "no Role lets this user create deployments.apps in namespace 'serving' (403); bind the Role " in refusal(
        Request("patch", DEPLOYMENTS, "serving", "d"), 403, message='deployments.apps "d" is forbidden:  '
    )


def test_a_refusal_for_another_reason_is_passed_on():
    assert refusal(DELETE, 403, message="exceeded quota").endswith(": exceeded quota (403)")
    assert refusal(DELETE, 422, message="spec.replicas: Invalid value: -1").endswith("Invalid value: -1 (422)")
    assert refusal(DELETE, 500, reason="InternalError").endswith(": InternalError (500)")


def test_who_is_not_known_is_told_to_log_in():
    assert refusal(LIST, 401, message="Unauthorized").endswith(
        "it does not know who asks (401): log in again, or name another context"
    )


def test_a_namespace_that_is_not_there():
    assert refusal(DELETE, 404, message='namespaces "serving" not found').endswith(
        "there is no such namespace; make it with: kubectl create namespace serving"
    )


@pytest.mark.parametrize("body", [b"<html>Bad gateway</html>", b"[]", b"{}", b"", b"\xff\x00"])
def test_what_is_no_answer_is_shown(body):
    with pytest.raises(
        OutsideError, match=r"^k: list pods in namespace 'serving': status 200, and no answer of Kubern"
    ):
        answer("k", LIST, 200, body)
