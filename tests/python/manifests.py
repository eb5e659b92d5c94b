"""Renders an overlay, checks it against Kubernetes' own schemas, prints its objects as JSON.

    manifests.py FOLDER

A field or a kind that a version does not know is an error; so is a key that stands there twice.
"""

import json
import subprocess
import sys
from pathlib import Path

import kubernetes_validate
import yaml

# The oldest has `preStop.sleep`; the newest is the newest that the package has.
VERSIONS = ["1.30", "1.32", "1.34", "1.37"]

# Where ./test puts one if the machine's own is too old.
INSTALLED = Path(__file__).parents[2] / ".tools/bin/kubectl"


class Strict(yaml.SafeLoader):
    def construct_mapping(self, node, deep=False):
        keys = [key.value for key, _ in node.value]
        twice = {key for key in keys if keys.count(key) > 1}
        if twice:
            raise yaml.constructor.ConstructorError(None, None, f"twice: {twice}", node.start_mark)
        return super().construct_mapping(node, deep)


def main(folder):
    kubectl = INSTALLED if INSTALLED.exists() else "kubectl"
    rendered = subprocess.run([kubectl, "kustomize", folder], check=True, stdout=subprocess.PIPE)
    objects = list(yaml.load_all(rendered.stdout, Strict))
    mistakes = []
    for item in objects:
        name = f"{item['kind']} {item['metadata']['name']}"
        for version in VERSIONS:
            try:
                kubernetes_validate.validate(item, version, strict=True)
            except (
                kubernetes_validate.ValidationError,
                kubernetes_validate.SchemaNotFoundError,
            ) as error:
                mistakes.append(f"{name}, Kubernetes {version}: {error}")
    if mistakes:
        sys.exit("\n".join(mistakes))
    json.dump(objects, sys.stdout)


main(sys.argv[1])
