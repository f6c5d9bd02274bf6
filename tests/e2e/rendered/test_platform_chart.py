"""What Helm makes of the platform's chart, held against the API server's own description of its kinds."""

from __future__ import annotations

import json

import pytest
from tests.e2e.rendered.charts import VALUES, conforms, pods, rendered

every_values = pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)


@every_values
def test_helm_finds_no_fault(helm, values):
    answer = helm("lint", values)
    assert answer.returncode == 0, answer.stdout + answer.stderr


@every_values
def test_what_comes_out_is_what_the_api_server_knows(helm, tools, schemas, values):
    conforms(helm("template", values).stdout, tools, schemas)


@every_values
def test_it_comes_out_the_same_every_time(helm, values):
    assert helm("template", values).stdout == helm("template", values).stdout


@every_values
def test_every_pod_is_restricted_and_has_resources_and_few_have_a_token(helm, values):
    found = pods(rendered(helm, values))
    assert found
    for name, spec in found.items():
        assert spec["securityContext"]["runAsNonRoot"] and spec["securityContext"]["runAsUser"]
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in spec["containers"]:
            security = container["securityContext"]
            assert security["readOnlyRootFilesystem"] and not security["allowPrivilegeEscalation"]
            assert security["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["requests"] and container["resources"]["limits"]
        needs_one = name.endswith(("-operator", "-nats-keys"))
        assert spec["automountServiceAccountToken"] is needs_one


def test_no_process_sees_the_keys_of_another(helm):
    for name, spec in pods(rendered(helm, VALUES["everything on"])).items():
        shown = {
            item["key"]
            for volume in spec["volumes"]
            for source in (
                volume.get("secret"),
                *(each.get("secret") for each in volume.get("projected", {}).get("sources", [])),
            )
            if source
            for item in source["items"]
        }
        role = name.rpartition("-")[2]
        own = {
            "operator": {"operator.creds", "account.pub", "account-signing.seed"},
            "test": {"operator.creds"},
            "nats": {"auth.conf"},
            "keys": set(),
        }
        assert shown == own.get(role, {f"{role}.creds"}), name


def test_definitions_stay_when_the_release_goes_unless_told_otherwise(helm):
    def policies(values):
        found = [each for each in rendered(helm, values) if each["kind"] == "CustomResourceDefinition"]
        assert found or values.get("crds", {}).get("enabled") is False
        return {each["metadata"].get("annotations", {}).get("helm.sh/resource-policy") for each in found}

    assert policies({}) == {"keep"}
    assert policies({"crds": {"keep": False}}) == {None}
    assert policies({"crds": {"enabled": False}}) == set()


def test_one_namespace_needs_no_rights_over_the_cluster(helm):
    manifests = rendered(helm, VALUES["one namespace and nothing for the cluster"])
    assert not {"ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition"} & {each["kind"] for each in manifests}
    role = next(each for each in manifests if each["kind"] == "Role" and each["metadata"]["namespace"] == "speech")
    assert role["rules"]
    operator = pods(manifests)["speech-whisperfleet-operator"]["containers"][0]
    assert {"name": "WHISPERFLEET_NAMESPACE", "value": "speech"} in operator["env"]


@pytest.mark.parametrize("watched", ["", "speech", "platform"])
def test_operators_agree_on_one_lease_in_their_own_namespace_and_may_touch_no_other(helm, watched):
    manifests = rendered(helm, {"operator": {"replicas": 2, "watchNamespace": watched}})
    (role,) = [each for each in manifests if each["kind"] == "Role" and each["metadata"]["name"].endswith("-lease")]
    assert role["metadata"]["namespace"] == "platform"
    create, use = role["rules"]
    assert (create["resources"], create["verbs"]) == (["leases"], ["create"])
    assert (use["resourceNames"], use["verbs"]) == (["speech-whisperfleet-operator"], ["get", "update"])
    others = [each for each in manifests if each["kind"] in ("Role", "ClusterRole") and each is not role]
    assert "leases" not in [resource for each in others for rule in each["rules"] for resource in rule["resources"]]
    names = [(each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"]) for each in manifests]
    assert len(names) == len(set(names))
    given = {each["name"]: each for each in pods(manifests)["speech-whisperfleet-operator"]["containers"][0]["env"]}
    assert given["WHISPERFLEET_LEASE_NAMESPACE"]["value"] == "platform"
    assert given["WHISPERFLEET_LEASE_NAME"]["value"] == "speech-whisperfleet-operator"
    assert given["WHISPERFLEET_POD_NAME"]["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.name"


@pytest.mark.parametrize(
    ("given", "grants"),
    [
        ({}, {"platform": ["*"]}),
        ({"watchNamespace": "speech"}, {"speech": ["*"]}),
        ({"queues": {"team-*": ["demo.en"]}}, {"platform": ["*"], "team-*": ["demo.en"]}),
        ({"queues": {"platform": ["demo.en"]}}, {"platform": ["demo.en"]}),
    ],
    ids=str,
)
def test_no_namespace_but_the_releases_own_may_serve_a_queue_that_was_not_given(helm, given, grants):
    spec = pods(rendered(helm, {"operator": given}))["speech-whisperfleet-operator"]
    said = {each["name"]: each.get("value") for each in spec["containers"][0]["env"]}
    assert json.loads(said["WHISPERFLEET_QUEUE_GRANTS"]) == grants


@pytest.mark.parametrize(("values", "ports"), [({}, [443, 6443]), ({"apiServerPorts": [16443]}, [16443])])
def test_the_operator_may_reach_the_api_server_where_it_listens(helm, values, ports):
    manifests = rendered(helm, {"networkPolicies": values})
    policies = {each["metadata"]["name"]: each for each in manifests if each["kind"] == "NetworkPolicy"}
    *_, last = policies["speech-whisperfleet-operator"]["spec"]["egress"]
    assert last == {"ports": [{"port": port, "protocol": "TCP"} for port in ports]}


@pytest.mark.parametrize(("values", "ports"), [({}, [443, 80]), ({"webhookPorts": [8080]}, [8080])])
def test_the_planner_may_reach_the_receivers_of_webhooks(helm, values, ports):
    manifests = rendered(helm, {"networkPolicies": values})
    policies = {each["metadata"]["name"]: each for each in manifests if each["kind"] == "NetworkPolicy"}
    *_, last = policies["speech-whisperfleet-planner"]["spec"]["egress"]
    assert last == {"ports": [{"port": port, "protocol": "TCP"} for port in ports]}


def test_what_runs_more_than_once_never_goes_all_at_once(helm):
    def budgets(values):
        found = [each for each in rendered(helm, values) if each["kind"] == "PodDisruptionBudget"]
        return {each["metadata"]["name"].rpartition("-")[2] for each in found}

    assert budgets({}) == {"gateway", "planner"}
    assert budgets(VALUES["everything on"]) == {"gateway", "planner", "operator", "nats"}


def test_no_role_has_a_wildcard(helm):
    for manifest in rendered(helm, VALUES["everything on"]):
        for rule in manifest.get("rules") or []:
            assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]], manifest["metadata"]["name"]


def test_the_ingress_lets_long_uploads_and_streams_through(helm):
    ingress = next(each for each in rendered(helm, VALUES["everything on"]) if each["kind"] == "Ingress")
    annotations = ingress["metadata"]["annotations"]
    nginx = "nginx.ingress.kubernetes.io"
    assert annotations[f"{nginx}/proxy-body-size"] == "2147483648"
    assert annotations[f"{nginx}/proxy-buffering"] == "off"
    assert annotations[f"{nginx}/proxy-request-buffering"] == "off"
    assert annotations[f"{nginx}/proxy-read-timeout"] == "3600"


def test_the_bot_is_off_until_its_token_is_named(helm):
    assert not [name for name in pods(rendered(helm, {})) if name.endswith("-bot")]
    assert [name for name in pods(rendered(helm, VALUES["everything on"])) if name.endswith("-bot")]


def test_ids_of_people_and_groups_reach_the_bot_in_full(helm):
    spec = pods(rendered(helm, VALUES["everything on"]))["speech-whisperfleet-bot"]["containers"][0]
    given = {variable["name"]: variable.get("value") for variable in spec["env"]}
    assert given["WHISPERFLEET_BOT_ALLOWED"] == "7123456789,-1001234567890"
    assert (given["WHISPERFLEET_BOT_ADMINS"], given["WHISPERFLEET_BOT_JOBS_IN_FLIGHT"]) == ("7123456789", "2")


@pytest.mark.parametrize(
    ("values", "name", "ports"),
    [
        ("an external queue with credentials and a private authority", "gateway", {5222, 5223}),
        ("everything on", "planner", {4222, 4318}),
        ("everything on", "bot", {443, 4222, 4318, 8081}),
    ],
)
def test_a_process_may_reach_every_address_that_it_is_given(helm, values, name, ports):
    manifests = rendered(helm, VALUES[values])
    policies = {each["metadata"]["name"]: each for each in manifests if each["kind"] == "NetworkPolicy"}
    rules = policies[f"speech-whisperfleet-{name}"]["spec"]["egress"]
    opened = {each["port"] for rule in rules for each in rule["ports"]}
    assert ports <= opened


def test_a_release_restarts_nats_only_where_its_configuration_is_another(helm):
    def checksum(values):
        (made,) = [each for each in rendered(helm, values) if each["kind"] == "StatefulSet"]
        return made["spec"]["template"]["metadata"]["annotations"]["checksum/config"]

    assert checksum({}) == checksum({"commonLabels": {"release": "next"}}) != checksum({"nats": {"syncInterval": "2s"}})


def test_workers_are_of_the_version_of_the_release(helm):
    def worker(values):
        operator = pods(rendered(helm, values))["speech-whisperfleet-operator"]["containers"][0]
        given = {variable["name"]: variable.get("value") for variable in operator["env"]}
        return json.loads(given["WHISPERFLEET_WORKER_IMAGES"])["nvidia"].rpartition(":")[2]

    assert worker({}) == "cuda-0.1.0"
    assert worker({"image": {"tag": "1.2.3"}}) == "cuda-1.2.3"
    assert worker({"images": {"workers": {"nvidia": {"tag": "mine"}}}}) == "mine"


@pytest.mark.parametrize(
    ("url", "port"),
    [("", 443), ("http://api.chat", 80), ("https://api.example.com/bots", 443), ("http://api.chat:8081", 8081)],
)
def test_the_bot_may_reach_the_bot_api_where_it_is(helm, url, port):
    values = {"bot": {"token": {"secretName": "t"}, "apiKey": {"secretName": "k"}, "telegramApiUrl": url}}
    manifests = rendered(helm, values)
    spec = pods(manifests)["speech-whisperfleet-bot"]["containers"][0]
    given = {variable["name"]: variable.get("value") for variable in spec["env"]}
    assert given.get("WHISPERFLEET_TELEGRAM_API_URL", "") == url
    (policy,) = [
        each
        for each in manifests
        if each["kind"] == "NetworkPolicy" and each["metadata"]["name"] == "speech-whisperfleet-bot"
    ]
    anywhere = [rule["ports"] for rule in policy["spec"]["egress"] if "to" not in rule]
    assert [{"port": port, "protocol": "TCP"}] in anywhere


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"gateway": {"replica": 3}}, "additional properties 'replica' not allowed"),
        ({"operator": {"replicas": 4}}, "/operator/replicas"),
        ({"operator": {"queues": {"speech": "*"}}}, "/operator/queues"),
        ({"nats": {"replicas": 2}}, "/nats/replicas': value must be one of 1, 3"),
        ({"nats": {"syncInterval": "never"}}, "/nats/syncInterval"),
        ({"images": {"nats": {"repository": "nats", "digest": "abc"}}}, "/images/nats/digest"),
        ({"nats": {"fileStore": "32Gi"}}, "Leave a twentieth of the claim free"),
        ({"nats": {"enabled": False}}, "nats.external.url must say where NATS is"),
        (
            {"nats": {"enabled": False, "external": {"url": "nats://a"}}},
            "nats.external.secretName must name the Secret",
        ),
        ({"bot": {"token": {"secretName": "t"}}}, "Make an API client for the bot"),
        ({"gateway": {"ingress": {"enabled": True}}}, "gateway.ingress.host is empty"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_wrong_values_are_refused_with_a_sentence(helm, values, sentence):
    answer = helm("template", values)
    assert answer.returncode != 0
    assert sentence in answer.stderr
