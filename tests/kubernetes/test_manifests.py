"""docker/kubernetes: what is rendered keeps the published schemas, and what the service promises."""

import copy
import itertools
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.server import _CLOSING_SECONDS, _LATEST_SECONDS, _LINGER_SECONDS
from app.service import GRACE_SECONDS
from app.settings import Settings
from docs import generate
from tests.kubernetes import schemas
from tests.kubernetes.manifests import FOLDER, laid_over, pod, rendered, the
from tests.serving import ROOT

COMPONENTS = sorted(path.name for path in (FOLDER / "components").iterdir())
SOURCES = [name for name in COMPONENTS if name.startswith("models-from-")]
OTHERS = [name for name in COMPONENTS if name not in SOURCES]
USES = [
    (overlay, (*source, *OTHERS[:others]))
    for overlay, source, others in itertools.product(
        ("cpu", "gpu"), ((), *((name,) for name in SOURCES)), (0, len(OTHERS))
    )
]


def ports(container: dict[str, Any]) -> dict[str, int]:
    return {port["name"]: port["containerPort"] for port in container["ports"]}


@pytest.mark.parametrize(("overlay", "components"), USES, ids=str)
def test_every_combination_keeps_the_published_schemas(overlay: str, components: list[str], tmp_path: Path) -> None:
    documents = laid_over(tmp_path, overlay, components, namespace="somewhere")
    for document in documents:
        schemas.check(document)
        assert document["metadata"]["namespace"] == "somewhere"
        assert document["metadata"]["labels"] == {"app.kubernetes.io/name": "masksembles"}
    kinds = [document["kind"] for document in documents]
    assert len(set(kinds)) == len(kinds) == 5 + len(set(components) - set(SOURCES) - {"grpc", "feedback"})


def test_grpc_has_a_port_everywhere(tmp_path: Path) -> None:
    documents = laid_over(tmp_path, "cpu", ["grpc"])
    (container,) = pod(documents)["containers"]
    assert ports(container)["grpc"] == 8001
    assert {"name": "MASKSEMBLES_GRPC_PORT", "value": "8001"} in container["env"]
    assert [port["name"] for port in the("Service", documents)["spec"]["ports"]] == ["grpc", "http"]
    (rule,) = the("NetworkPolicy", documents)["spec"]["ingress"]
    assert [port["port"] for port in rule["ports"]] == ["http", "grpc"]


def test_the_secret_of_feedback_is_a_file_of_the_service(tmp_path: Path) -> None:
    spec = pod(laid_over(tmp_path, "cpu", ["feedback"]))
    (container,) = spec["containers"]
    (setting,) = (entry["value"] for entry in container["env"] if entry["name"] == "MASKSEMBLES_FEEDBACK_SECRET_FILE")
    (mount,) = (mount for mount in container["volumeMounts"] if mount["name"] == "feedback")
    assert mount["readOnly"]
    assert setting == f"{mount['mountPath']}/secret"
    (volume,) = (volume for volume in spec["volumes"] if volume["name"] == "feedback")
    assert volume["secret"] == {"secretName": "masksembles-feedback"}


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("Deployment", lambda found: found["spec"]["template"]["spec"].update(terminationGracePeriod=1)),
        ("Deployment", lambda found: found["spec"].update(replicas="two")),
        ("NetworkPolicy", lambda found: found["spec"].update(policyType=[])),
        ("ScaledObject", lambda found: found["spec"].update(minReplicas=1)),
        ("ScaledObject", lambda found: found["spec"]["triggers"][0]["metadata"].update(threshold=16)),
        ("ServiceMonitor", lambda found: found["spec"]["endpoints"][0].update(intervall="15s")),
    ],
)
def test_the_schemas_are_strict(kind: str, change: Any, tmp_path: Path) -> None:
    document = copy.deepcopy(the(kind, laid_over(tmp_path, "cpu", OTHERS)))
    schemas.check(document)
    change(document)
    with pytest.raises(schemas.Unpublished):
        schemas.check(document)


@pytest.mark.parametrize("overlay", ["cpu", "gpu"])
def test_a_link_to_the_service_of_that_name_does_not_set_its_port(overlay: str) -> None:
    assert pod(rendered(FOLDER / overlay))["enableServiceLinks"] is False


@pytest.mark.parametrize("overlay", ["cpu", "gpu"])
def test_selectors_select_the_pods_and_ports_are_named_alike(overlay: str) -> None:
    documents = rendered(FOLDER / overlay)
    deployment = the("Deployment", documents)["spec"]
    labels = deployment["template"]["metadata"]["labels"].items()
    service = the("Service", documents)["spec"]
    selectors = [
        deployment["selector"]["matchLabels"],
        service["selector"],
        the("PodDisruptionBudget", documents)["spec"]["selector"]["matchLabels"],
        the("NetworkPolicy", documents)["spec"]["podSelector"]["matchLabels"],
        *(spread["labelSelector"]["matchLabels"] for spread in pod(documents)["topologySpreadConstraints"]),
    ]
    assert all(selector.items() <= labels for selector in selectors)
    (container,) = pod(documents)["containers"]
    assert ports(container) == {"http": 8000}
    (port,) = service["ports"]
    assert (port["name"], port["targetPort"]) == ("http", "http")


def test_the_monitor_finds_the_port_of_the_service_under_the_job_that_alerts_ask_for(tmp_path: Path) -> None:
    documents = laid_over(tmp_path, "cpu", ["service-monitor"])
    monitor, service = the("ServiceMonitor", documents)["spec"], the("Service", documents)
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    (endpoint,) = monitor["endpoints"]
    assert endpoint["port"] in [port["name"] for port in service["spec"]["ports"]]
    alerts = (ROOT / "docker" / "monitoring" / "prometheus" / "alerts.yml").read_text()
    assert set(re.findall(r'job="(\w+)"', alerts)) == {service["metadata"]["labels"][monitor["jobLabel"]]}


def containers_of(documents: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if any(document["kind"] == "Deployment" for document in documents):
        spec = pod(documents)
        return [*spec["containers"], *spec.get("initContainers", [])]
    found: list[dict[str, Any]] = the("ServingRuntime", documents)["spec"]["containers"]
    return found


@pytest.mark.parametrize("overlay", ["cpu", "gpu", "kserve"])
def test_every_container_is_restricted(overlay: str, tmp_path: Path) -> None:
    for source in [()] if overlay == "kserve" else [(name,) for name in SOURCES]:
        documents = laid_over(tmp_path, overlay, source)
        around = {} if overlay == "kserve" else pod(documents)["securityContext"]
        for container in containers_of(documents):
            context = {**around, **container["securityContext"]}
            assert (context["runAsNonRoot"], context["runAsUser"]) == (True, 10001)
            assert context["seccompProfile"] == {"type": "RuntimeDefault"}
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert context["readOnlyRootFilesystem"]
            assert not context["allowPrivilegeEscalation"]
            assert container["resources"]["limits"]["memory"]
            assert container["resources"]["requests"].keys() >= {"cpu", "memory"}


@pytest.mark.parametrize("overlay", ["cpu", "gpu", "kserve"])
def test_the_grace_is_enough_for_the_drain(overlay: str) -> None:
    documents = rendered(FOLDER / overlay)
    if overlay == "kserve":
        grace = the("InferenceService", documents)["spec"]["predictor"]["terminationGracePeriodSeconds"]
    else:
        grace = pod(documents)["terminationGracePeriodSeconds"]
    (container,) = containers_of(documents)
    command, seconds = container["lifecycle"]["preStop"]["exec"]["command"]
    assert command == "sleep"
    timeout = Settings.model_fields["queue_timeout_ms"].default / 1000
    longest = _LINGER_SECONDS + _LATEST_SECONDS + timeout + GRACE_SECONDS + _CLOSING_SECONDS
    assert int(seconds) + longest + 3 < grace


@pytest.mark.parametrize("overlay", ["cpu", "gpu", "kserve"])
def test_probes_ask_what_there_is_without_a_key(overlay: str) -> None:
    (container,) = containers_of(rendered(FOLDER / overlay))
    probes = {name: container[f"{name}Probe"] for name in ("startup", "readiness", "liveness")}
    paths = {name: probe["httpGet"]["path"] for name, probe in probes.items()}
    assert paths == {"startup": "/health/live", "readiness": "/health/ready", "liveness": "/health/live"}
    assert {probe["httpGet"]["port"] for probe in probes.values()} == {8000 if overlay == "kserve" else "http"}
    assert probes["startup"]["periodSeconds"] * probes["startup"]["failureThreshold"] == 300


@pytest.mark.parametrize("overlay", ["cpu", "gpu", "kserve"])
def test_settings_are_those_of_the_service(overlay: str) -> None:
    for container in containers_of(rendered(FOLDER / overlay)):
        given = {entry["name"].removeprefix("MASKSEMBLES_").lower(): entry["value"] for entry in container["env"]}
        assert given.keys() <= Settings.model_fields.keys()
        Settings(**given)


@pytest.mark.parametrize("source", SOURCES)
def test_models_are_copied_where_the_service_reads_them(source: str, tmp_path: Path) -> None:
    spec = pod(laid_over(tmp_path, "cpu", [source]))
    (volume,) = (volume for volume in spec["volumes"] if volume["name"] == "models")
    assert set(volume) == {"name", "emptyDir"}
    (init,) = spec["initContainers"]
    (target,) = (mount["mountPath"] for mount in init["volumeMounts"] if mount["name"] == "models")
    assert target == [*init.get("command", []), *init.get("args", [])][-1]
    (mount,) = (mount for mount in spec["containers"][0]["volumeMounts"] if mount["name"] == "models")
    assert mount["readOnly"]


def test_without_a_source_models_are_mounted_read_only() -> None:
    spec = pod(rendered(FOLDER / "cpu"))
    (volume,) = (volume for volume in spec["volumes"] if volume["name"] == "models")
    assert volume["persistentVolumeClaim"] == {"claimName": "masksembles-models", "readOnly": True}


def test_only_what_needs_the_network_gets_out(tmp_path: Path) -> None:
    for source in SOURCES:
        policy = the("NetworkPolicy", laid_over(tmp_path, "cpu", [source]))["spec"]
        assert policy["policyTypes"] == ["Ingress", "Egress"]
        assert ("egress" in policy) is (source == "models-from-bucket")


def test_keda_alone_sets_the_number_of_replicas_by_a_metric_that_there_is(tmp_path: Path) -> None:
    documents = laid_over(tmp_path, "cpu", ["keda"])
    deployment, scaled = the("Deployment", documents), the("ScaledObject", documents)["spec"]
    assert "replicas" not in deployment["spec"]
    assert scaled["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    (trigger,) = scaled["triggers"]
    (name,) = re.findall(r"masksembles_\w+", trigger["metadata"]["query"])
    assert f"`{name.removesuffix('_sum')}` | histogram" in generate.metrics()


def test_a_gpu_is_asked_for_and_never_two_for_one_replica() -> None:
    documents = rendered(FOLDER / "gpu")
    (container,) = pod(documents)["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert {"name": "MASKSEMBLES_DEVICE", "value": "cuda"} in container["env"]
    assert the("Deployment", documents)["spec"]["strategy"]["rollingUpdate"]["maxSurge"] == 0
    built = yaml.safe_load((ROOT / "docker" / "gpu.yml").read_text())["services"]["masksembles"]["image"]
    assert container["image"] == built.replace("${CUDA:-13}", "13")


def test_the_volume_of_kserve_is_what_the_service_reads() -> None:
    documents = rendered(FOLDER / "kserve")
    runtime, served = the("ServingRuntime", documents), the("InferenceService", documents)
    model = served["spec"]["predictor"]["model"]
    assert model["runtime"] == runtime["metadata"]["name"]
    assert model["protocolVersion"] in runtime["spec"]["protocolVersions"]
    assert model["modelFormat"]["name"] in [format["name"] for format in runtime["spec"]["supportedModelFormats"]]
    (container,) = runtime["spec"]["containers"]
    assert {"name": "MASKSEMBLES_MODEL_REPOSITORY", "value": "/mnt/models"} in container["env"]
    assert {"name": "MASKSEMBLES_PORT", "value": "8000"} in container["env"]
