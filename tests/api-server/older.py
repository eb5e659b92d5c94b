"""Says what manifests say (standard input) in the words of Kubernetes 1.20 (standard output).

What stands here is all that this version has other words for, or none.
"""

import sys

import yaml

VERSIONS = {"policy/v1": "policy/v1beta1", "autoscaling/v2": "autoscaling/v2beta2"}


def older(item):
    item["apiVersion"] = VERSIONS.get(item["apiVersion"], item["apiVersion"])
    pod = item.get("spec", {}).get("template", {}).get("spec", {})
    for container in pod.get("containers", []):
        rest = container.get("lifecycle", {}).get("preStop", {})
        if "sleep" in rest:
            rest["exec"] = {"command": ["sleep", str(rest.pop("sleep")["seconds"])]}
        with_protocol(container.get("ports", []))
    if item["kind"] == "Service":
        with_protocol(item["spec"]["ports"])
    return item


def with_protocol(ports):
    """It is part of a port's identity in this version, whose server-side apply knows no default."""
    for port in ports:
        port.setdefault("protocol", "TCP")


yaml.safe_dump_all(map(older, yaml.safe_load_all(sys.stdin)), sys.stdout)
