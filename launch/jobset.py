"""Trains on a Kubernetes cluster: a JobSet on GPU nodes, or on slices of TPUs of GKE.

    python3 launch/jobset.py --gpus=8 --nodes=2 --image=REGISTRY/grel:cuda13-1a2b3c4 \\
        --claim=CLAIM --config=configs/bert.py:nyt24 --workdir=/data/nyt24 \\
        [--config.FIELD=VALUE ...] [--dry_run]
    python3 launch/jobset.py --tpu=v5e:4x4 [--slices=2] --image=REGISTRY/grel:tpu-1a2b3c4 ...
    kubectl logs --follow --selector=jobset.sigs.k8s.io/jobset-name=grel --prefix
    kubectl delete jobset grel

With --dry_run the manifest is printed and nothing is applied. The cluster needs the JobSet
controller (v0.6 or newer), kubectl has to know the cluster, and the image is made of
launch/Dockerfile. CLAIM is a ReadWriteMany volume (such as Filestore) with the corpora, mounted at
/data in every pod.

All pods start again together, from the last checkpoint, where one is lost. One that was asked to
stop and has saved (status 75) is replaced, and does not count; wrong usage (status 2) ends the
JobSet. What is none of the flags below goes to grel.main as it is: no shell reads it.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import subprocess
import sys
from typing import Any

# What nodes with such TPUs are labeled in GKE.
TPUS = {
    "v4": "tpu-v4-podslice",
    "v5e": "tpu-v5-lite-podslice",
    "v5p": "tpu-v5p-slice",
    "v6e": "tpu-v6e-slice",
    "v7x": "tpu7x",
}
_PORT = 8476
_INDEX = "batch.kubernetes.io/job-completion-index"
_SAVED, _WRONG_USAGE = 75, 2  # exit statuses of grel


def parser() -> argparse.ArgumentParser:
    """The flags of this script, all of the form --name=value."""
    flags = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, add_help=False
    )
    flags.add_argument("--help", action="help", help="shows this")
    flags.add_argument("--dry_run", action="store_true", help="prints the manifest")
    flags.add_argument("--name", default="grel", help="of the JobSet")
    flags.add_argument("--namespace", help="default: that of kubectl's context")
    flags.add_argument("--image", required=True, help="with a tag that is not latest, or a digest")
    flags.add_argument("--claim", required=True, help="volume claim that all pods mount at /data")
    flags.add_argument("--gpus", type=int, help="GPUs of a node")
    flags.add_argument("--nodes", type=int, default=1, help="GPU nodes")
    flags.add_argument("--tpu", help="KIND:TOPOLOGY of a slice, such as v5e:4x4 or v5p:2x2x2")
    flags.add_argument("--slices", type=int, default=1, help="TPU slices")
    flags.add_argument("--chips", type=int, default=4, help="chips of a TPU node")
    flags.add_argument("--cpu", default="16", help="CPUs that a pod requests")
    flags.add_argument("--memory", default="64Gi", help="memory that a pod requests")
    flags.add_argument("--spot", action="store_true", help="on spot nodes of GKE")
    flags.add_argument(
        "--node_label", action="append", default=[], metavar="LABEL=VALUE", help="repeatable"
    )
    flags.add_argument("--queue", help="local queue of Kueue that the JobSet is submitted to")
    flags.add_argument("--restarts", type=int, default=100, help="most restarts after losses")
    return flags


def split(argv: list[str]) -> tuple[list[str], list[str]]:
    """The flags of this script, and what goes to grel.main, each in its order."""
    known = {name for action in parser()._actions for name in action.option_strings}
    own = [argument for argument in argv if argument.partition("=")[0] in known]
    return own, [argument for argument in argv if argument.partition("=")[0] not in known]


def check(options: argparse.Namespace) -> str | None:
    """What is wrong with the flags, in one line; None where nothing is."""
    image = options.image.rpartition("/")[2]
    tag = image.partition(":")[2]
    if "@sha256:" not in image and tag in ("", "latest"):
        return f"--image={options.image}: pin it by a tag that is not latest, or by its digest"
    if not re.fullmatch(r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?", options.name):
        return f"--name={options.name}: it must be up to 40 lower-case letters, digits and dashes"
    for name in ("gpus", "nodes", "slices", "chips"):
        if getattr(options, name) is not None and getattr(options, name) < 1:
            return f"--{name}={getattr(options, name)}: it must be 1 or more"
    if (options.gpus is None) == (options.tpu is None):
        return "say either --gpus=NUMBER (of a node), or --tpu=KIND:TOPOLOGY"
    other, names = ("tpu", ["slices", "chips"]) if options.tpu is None else ("gpus", ["nodes"])
    for name in names:
        if getattr(options, name) != parser().get_default(name):
            return f"--{name}={getattr(options, name)}: it goes with --{other} alone"
    if options.tpu is not None:
        kind, _, topology = options.tpu.partition(":")
        if kind not in TPUS or not re.fullmatch(r"[1-9]\d*(x[1-9]\d*){1,2}", topology):
            return f"--tpu={options.tpu}: it must be one of {', '.join(TPUS)}, and as in v5e:4x4"
        if num_chips(topology) % options.chips:
            return f"--chips={options.chips}: the {num_chips(topology)} of {topology} do not divide"
    for label in options.node_label:
        if "=" not in label:
            return f"--node_label={label}: it must be LABEL=VALUE"
    return None


def num_chips(topology: str) -> int:
    """Of a slice: 16 of 4x4."""
    return math.prod(map(int, topology.split("x")))


def literal(argument: str) -> str:
    """An argument as Kubernetes has to get it, which puts variables in place of $(NAME)."""
    return argument.replace("$", "$$")


def manifest(options: argparse.Namespace, arguments: list[str]) -> dict[str, Any]:
    """The JobSet; `arguments` are those of grel.main."""
    on_tpus = options.tpu is not None
    if on_tpus:
        kind, _, topology = options.tpu.partition(":")
        num_pods, num_jobs = num_chips(topology) // options.chips, options.slices
        device, num_devices = "google.com/tpu", options.chips
        nodes = {
            "cloud.google.com/gke-tpu-accelerator": TPUS[kind],
            "cloud.google.com/gke-tpu-topology": topology,
        }
        environment = []  # GKE says to each process which one it is
    else:
        num_pods, num_jobs = options.nodes, 1
        device, num_devices = "nvidia.com/gpu", options.gpus
        nodes = {}
        environment = [
            {
                "name": "JAX_COORDINATOR_ADDRESS",
                "value": f"{options.name}-workers-0-0.{options.name}:{_PORT}",
            },
            {"name": "JAX_NUM_PROCESSES", "value": str(num_pods)},
            {
                "name": "JAX_PROCESS_ID",
                "valueFrom": {"fieldRef": {"fieldPath": f"metadata.annotations['{_INDEX}']"}},
            },
            {"name": "LD_LIBRARY_PATH", "value": "/usr/local/nvidia/lib64"},  # GKE's driver
        ]
    tolerations = [{"key": device, "operator": "Exists", "effect": "NoSchedule"}]
    if options.spot:
        nodes["cloud.google.com/gke-spot"] = "true"
        tolerations.append({"key": "cloud.google.com/gke-spot", "operator": "Exists"})
    nodes |= dict(label.split("=", 1) for label in options.node_label)

    container = {
        "name": "grel",
        "image": options.image,
        "args": [literal(a) for a in ("--mode=train", "--distributed", *arguments)],
        "env": environment,
        "ports": [{"containerPort": _PORT, "protocol": "TCP"}],
        "resources": {
            "requests": {"cpu": options.cpu, "memory": options.memory, device: num_devices},
            "limits": {"memory": options.memory, device: num_devices},
        },
        "volumeMounts": [
            {"name": "data", "mountPath": "/data"},
            {"name": "shm", "mountPath": "/dev/shm"},
        ],
    }
    pod = {
        "restartPolicy": "Never",  # the policy below asks for it
        "terminationGracePeriodSeconds": 300,  # to save when asked to stop
        "nodeSelector": nodes,
        "tolerations": tolerations,
        "securityContext": {"fsGroup": 1000},  # the image's user
        "containers": [container],
        "volumes": [
            {"name": "data", "persistentVolumeClaim": {"claimName": options.claim}},
            # NCCL and TPU runtimes want more than a container's default 64 MiB.
            {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "8Gi"}},
        ],
    }

    def on_status(status: int, action: str) -> dict[str, Any]:
        codes = {"containerName": "grel", "operator": "In", "values": [status]}
        return {"action": action, "onExitCodes": codes}

    job = {
        "completionMode": "Indexed",
        "completions": num_pods,
        "parallelism": num_pods,
        "backoffLimit": 0,  # a lost pod is a matter of all pods
        "podFailurePolicy": {
            "rules": [on_status(_SAVED, "Ignore"), on_status(_WRONG_USAGE, "FailJob")]
        },
        "template": {"spec": pod},
    }
    metadata: dict[str, Any] = {"name": options.name}
    if options.namespace is not None:
        metadata["namespace"] = options.namespace
    if options.queue is not None:
        metadata["labels"] = {"kueue.x-k8s.io/queue-name": options.queue}
    if on_tpus:  # a slice is a node pool, and one job has it alone
        exclusive = {"alpha.jobset.sigs.k8s.io/exclusive-topology": "cloud.google.com/gke-nodepool"}
        metadata["annotations"] = exclusive
    ends = {
        "name": "wrongUsage",
        "action": "FailJobSet",
        "onJobFailureReasons": ["PodFailurePolicy"],
    }
    return {
        "apiVersion": "jobset.x-k8s.io/v1alpha2",
        "kind": "JobSet",
        "metadata": metadata,
        "spec": {
            "network": {"enableDNSHostnames": True, "publishNotReadyAddresses": True},
            "failurePolicy": {"maxRestarts": options.restarts, "rules": [ends]},
            "replicatedJobs": [
                {
                    "name": "slice" if on_tpus else "workers",
                    "replicas": num_jobs,
                    "template": {"spec": job},
                }
            ],
        },
    }


def main(argv: list[str]) -> int:
    """Prints the manifest, or has kubectl apply it; returns the exit status."""
    own, arguments = split(argv)
    options = parser().parse_args(own)
    wrong = check(options)
    if wrong is not None:
        print(f"jobset: error: {wrong}", file=sys.stderr)
        return 2
    text = json.dumps(manifest(options, arguments), indent=2, ensure_ascii=False)
    if options.dry_run:
        print(text)
        return 0
    try:
        return subprocess.run(["kubectl", "apply", "--filename=-"], input=text.encode()).returncode
    except FileNotFoundError:
        print("jobset: error: kubectl is not on PATH", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
