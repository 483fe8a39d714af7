"""See tests/k8s/run."""
import copy
import os
import re
import sys
import traceback

import kubernetes_validate
import yaml

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "../.."))
VERSIONS = ["1.30", "1.35"]  # the oldest that README names, and one with zones on pods


def text(path):
    with open(os.path.join(ROOT, path)) as f:
        return f.read()


KUSTOMIZATION = yaml.safe_load(text("k8s/kustomization.yaml"))
ALL = [d for name in KUSTOMIZATION["resources"] for d in yaml.safe_load_all(text(f"k8s/{name}"))]


def one(kind, name):
    found = [d for d in ALL if (d["kind"], d["metadata"]["name"]) == (kind, name)]
    assert len(found) == 1, (kind, name)
    return found[0]


NODES, PEERS, CLIENTS = one("StatefulSet", "tercet"), one("Service", "tercet-nodes"), one("Service", "tercet")
POD = NODES["spec"]["template"]
CONTAINER, = POD["spec"]["containers"]
LABELS = {"app": "tercet"}


def schemas():
    """Every object is what its kind allows, and has no word that it does not know."""
    for version in VERSIONS:
        for d in ALL:
            kubernetes_validate.validate(d, version, strict=True)


def listed():
    """Each manifest of the folder is in the kustomization."""
    have = {f for f in os.listdir(f"{ROOT}/k8s") if f.endswith(".yaml")} - {"kustomization.yaml"}
    assert have == set(KUSTOMIZATION["resources"]), have


def selectors():
    assert LABELS.items() <= POD["metadata"]["labels"].items()
    for where in (NODES["spec"]["selector"]["matchLabels"], PEERS["spec"]["selector"], CLIENTS["spec"]["selector"],
                  one("PodDisruptionBudget", "tercet")["spec"]["selector"]["matchLabels"],
                  one("NetworkPolicy", "tercet")["spec"]["podSelector"]["matchLabels"],
                  POD["spec"]["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][0]["labelSelector"]["matchLabels"]):
        assert where == LABELS, where


def ports():
    """What the program listens on, what the container names, what the services and the policy let through: the same."""
    doors = set(map(int, re.findall(r"= (\d{4})\b", re.search(r"ports\[DOORS\] = \{(.*?)\};", text("server/doors.c"), re.S)[1])))
    own = set(map(int, re.findall(r"PORT_\w+ = (\d+)", text("server/joining.h"))))
    assert len(doors) == 6 and len(own) == 2, (doors, own)
    named = {p["containerPort"] for p in CONTAINER["ports"]}
    assert named == doors | own, named
    assert {p["port"] for p in CLIENTS["spec"]["ports"]} == doors
    assert {p["port"] for p in PEERS["spec"]["ports"]} == own
    inside, outside = one("NetworkPolicy", "tercet")["spec"]["ingress"]
    assert {p["port"] for p in inside["ports"]} == own and inside["from"][0]["podSelector"]["matchLabels"] == LABELS
    assert {p["port"] for p in outside["ports"]} == doors and "from" not in outside


def joining():
    """Nodes find each other before they are ready, all at once, by the headless service."""
    assert NODES["spec"]["serviceName"] == "tercet-nodes" and NODES["spec"]["podManagementPolicy"] == "Parallel"
    assert PEERS["spec"]["clusterIP"] == "None" and PEERS["spec"]["publishNotReadyAddresses"] is True
    args = CONTAINER["args"]
    assert args[args.index("--join") + 1] == "tercet-nodes:7946" and args[args.index("--data") + 1] == CONTAINER["volumeMounts"][0]["mountPath"]


def setting_names():
    names = {"TERCET_" + n.upper().replace(".", "_") for n in re.findall(r'^CONFIG\(\w+, "([\w.]+)"', text("base/core/config.def"), re.M)}
    assert len(names) > 50
    return names


def settings():
    """Every variable is a setting of the table."""
    for e in CONTAINER["env"]:
        assert e["name"] in setting_names(), e["name"]


def probes():
    for kind, path in (("startupProbe", "/healthz"), ("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")):
        get = CONTAINER[kind]["httpGet"]
        assert get["path"] == path and f'"{path}"' in text("server/api/admin.c"), kind
        assert get["port"] in {p["name"] for p in CONTAINER["ports"]}


def quorum_survives():
    """What may be away at once leaves the quorum of the defaults."""
    text_of = text("base/core/config.def")
    replicas, quorum = (int(re.search(rf'"cluster\.{n}", INT, "nodes", "(\d+)"', text_of)[1]) for n in ("replicas", "write_quorum"))
    assert NODES["spec"]["replicas"] >= replicas
    assert replicas - one("PodDisruptionBudget", "tercet")["spec"]["maxUnavailable"] >= quorum


def hardened():
    pod, c = POD["spec"]["securityContext"], CONTAINER["securityContext"]
    assert pod["runAsNonRoot"] and pod["seccompProfile"]["type"] == "RuntimeDefault" and POD["spec"]["automountServiceAccountToken"] is False
    assert c["readOnlyRootFilesystem"] and c["capabilities"] == {"drop": ["ALL"]} and c["allowPrivilegeEscalation"] is False
    assert f"USER {pod['runAsUser']}:{pod['runAsGroup']}" in text("Dockerfile")
    component = yaml.safe_load(text("k8s/io-uring/kustomization.yaml"))
    op, = yaml.safe_load(component["patches"][0]["patch"])
    at = NODES
    for key in op["path"].strip("/").split("/"):
        at = at[key]
    assert at == pod["seccompProfile"] and os.path.exists(f"{ROOT}/demo/docker/seccomp.json")


def place(at, path):
    """The list or map of the last word of a JSON pointer, and that word."""
    *way, last = path.strip("/").split("/")
    for key in way:
        at = at[int(key)] if isinstance(at, list) else at[key]
    return at, last


def patched(*components):
    """The nodes with the patches of these components."""
    nodes = copy.deepcopy(NODES)
    for name in components:
        component = yaml.safe_load(text(f"k8s/{name}/kustomization.yaml"))
        assert component["kind"] == "Component" and len(component["patches"]) == 1
        assert component["patches"][0]["target"] == {"kind": "StatefulSet", "name": "tercet"}
        for op in yaml.safe_load(component["patches"][0]["patch"]):
            at, last = place(nodes, op["path"])
            if (op["op"], last) == ("add", "-"):
                at.append(op["value"])
            else:
                assert op["op"] == "replace" and last in at, op
                at[last] = op["value"]
    return nodes


def components():
    """Each alone and all together: what kinds allow, settings of the table, and files where a Secret is mounted."""
    have = sorted(d for d in os.listdir(f"{ROOT}/k8s") if os.path.isdir(f"{ROOT}/k8s/{d}"))
    assert have == ["io-uring", "keys", "tls"], have
    for some in [*([name] for name in have), have]:
        nodes = patched(*some)
        for version in VERSIONS:
            kubernetes_validate.validate(nodes, version, strict=True)
        pod = nodes["spec"]["template"]["spec"]
        container, = pod["containers"]
        names = [e["name"] for e in container["env"]]
        assert len(set(names)) == len(names) and set(names) <= setting_names(), names
        mounts = {m["mountPath"]: m["name"] for m in container["volumeMounts"]}
        assert set(mounts.values()) == {v["name"] for v in pod["volumes"]} | {"data"}
        files = [e["value"] for e in container["env"] if str(e.get("value")).startswith("/")]
        assert len(files) == ("keys" in some) + 3 * ("tls" in some) and all(os.path.dirname(f) in mounts for f in files), files


passed = failed = 0
for check in (schemas, listed, selectors, ports, joining, settings, probes, quorum_survives, hardened, components):
    try:
        check()
        passed += 1
    except Exception:  # noqa: BLE001  whatever it is, it is told, and the next one runs
        failed += 1
        print(f"FAILED {check.__name__}: {(check.__doc__ or '').strip()}")
        traceback.print_exc(file=sys.stdout)
print(f"{passed} passed, {failed} failed, 0 skipped")
sys.exit(failed > 0)
