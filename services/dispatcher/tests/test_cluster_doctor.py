"""What `whisperfleet doctor --context NAME` says of a cluster."""

import json
import sys

import pytest

from whisper_dispatcher.local.cluster_examination import cluster_findings
from whisper_dispatcher.local.cluster_judgements import judge_definitions, judge_objects, judge_workloads

DEFINITIONS = tuple(f"whisper{each}.whisperfleet.dev" for each in ("servers", "models", "clients"))


def workload(ready, wanted=1, kind="Deployment"):
    metadata = {"namespace": "whisperfleet", "name": "whisperfleet-gateway"}
    return {"kind": kind, "metadata": metadata, "spec": {"replicas": wanted}, "status": {"readyReplicas": ready}}


def server(*conditions):
    told = [dict(zip(("type", "status", "reason", "message"), each, strict=True)) for each in conditions]
    return {
        "kind": "WhisperServer",
        "metadata": {"namespace": "speech", "name": "turbo"},
        "status": {"conditions": told},
    }


def verdict(findings):
    (found,) = findings
    return found.verdict


def test_a_cluster_without_our_kinds_is_told_how_to_get_them():
    found = judge_definitions(DEFINITIONS[:1], DEFINITIONS)
    assert found.verdict == "wrong"
    assert DEFINITIONS[1] in found.text and "kubectl apply" in found.text
    assert judge_definitions(DEFINITIONS, DEFINITIONS).verdict == "well"


def test_a_workload_whose_pods_are_not_ready_is_named_with_the_next_command():
    assert verdict(judge_workloads([workload(1)])) == "well"
    (found,) = judge_workloads([workload(0)])
    assert found.verdict == "wrong"
    assert "`kubectl describe deployment/whisperfleet-gateway --namespace whisperfleet`" in found.text


def test_a_workload_that_somebody_scaled_away_is_no_fault():
    assert verdict(judge_workloads([workload(0, wanted=0)])) == "warning"


def test_nothing_installed_is_told_as_such():
    assert "helm install" in next(iter(judge_workloads([]))).text


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ([("Ready", "True", "Serving", "1 of 1 pods take work.")], "well"),
        ([("Ready", "False", "Starting", "The pods start.")], "warning"),
        ([("Ready", "False", "WaitingForModel", "WhisperModel base: it is being downloaded.")], "warning"),
        ([("Ready", "False", "QueueTaken", "It is taken.")], "wrong"),
        ([("Ready", "True", "Serving", "1 of 1."), ("Degraded", "True", "CrashLoop", "It ended.")], "wrong"),
        ([], "wrong"),
    ],
)
def test_an_object_is_judged_by_its_own_conditions(conditions, expected):
    assert verdict(judge_objects([server(*conditions)])) == expected


def test_a_fault_is_told_with_the_objects_own_sentence():
    (found,) = judge_objects([server(("Ready", "False", "InsufficientGPU", "No node has a GPU free. Add one."))])
    assert "WhisperServer speech/turbo (InsufficientGPU): No node has a GPU free. Add one." in found.text
    assert "kubectl describe whisperserver/turbo --namespace speech" in found.text


@pytest.fixture
def kubectl(tmp_path, monkeypatch):
    """Puts a kubectl on PATH that answers with these items by the first word of what is asked for."""

    def answering(items, code=0, error=""):
        program = tmp_path / "kubectl"
        program.write_text(
            f"#!{sys.executable}\nimport json, sys\nitems = json.loads({json.dumps(json.dumps(items))})\n"
            f"print(json.dumps({{'items': items[sys.argv[5].split(',')[0]]}}) if not {code} else '')\n"
            f"print({error!r}, file=sys.stderr)\nsys.exit({code})\n"
        )
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))

    return answering


def test_every_part_of_a_cluster_is_looked_at(kubectl):
    kubectl(
        {
            "customresourcedefinitions": [{"metadata": {"name": name}} for name in DEFINITIONS],
            "deployments": [workload(1), workload(1, kind="StatefulSet")],
            DEFINITIONS[0]: [server(("Ready", "True", "Serving", "1 of 1 pods take work."))],
        }
    )
    assert [found.verdict for found in cluster_findings("prod")] == ["well"] * 5


def test_a_cluster_that_does_not_answer_is_told_with_kubectls_words(kubectl):
    kubectl({}, code=1, error='context "prod" does not exist')
    (found,) = cluster_findings("prod")
    assert found.verdict == "wrong" and 'context "prod" does not exist' in found.text


def test_a_missing_kubectl_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    (found,) = cluster_findings("prod")
    assert "no kubectl" in found.text
