"""The JobSets: that they agree with themselves, and with the published schemas."""

import copy
import importlib.util
import json
import re
import shlex
import stat
import subprocess
import sys

import pytest

from grel.training import signals
from tests.launch.scripts import AWKWARD, REPO

SCRIPT = REPO / "launch/jobset.py"
IMAGE = ["--image=registry/grel:cuda13-1", "--claim=disk"]
RUN = ["--config=configs/bert.py:nyt24", "--workdir=/data/x"]
KINDS = {
    "gpus": ["--gpus=8", "--nodes=2", "--queue=team", "--namespace=ours"],
    "tpus": ["--tpu=v5e:4x4", "--slices=2", "--spot", "--node_label=pool=a=b"],
}


def _jobset(*arguments, **options):
    command = [sys.executable, SCRIPT, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, **options)


def manifest(*arguments):
    done = _jobset("--dry_run", *IMAGE, *arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def _job(jobset):
    [replicated] = jobset["spec"]["replicatedJobs"]
    return replicated["template"]["spec"]


def _container(jobset):
    [container] = _job(jobset)["template"]["spec"]["containers"]
    return container


def test_gpu_nodes_find_each_other():
    jobset = manifest(*KINDS["gpus"], *RUN)
    job, container = _job(jobset), _container(jobset)
    environment = {entry["name"]: entry for entry in container["env"]}
    [workers] = jobset["spec"]["replicatedJobs"]
    # As the JobSet controller calls its pods: set, job of the set, its number, the pod's number.
    host = f"{jobset['metadata']['name']}-{workers['name']}-0-0.{jobset['metadata']['name']}"
    port = container["ports"][0]["containerPort"]
    assert environment["JAX_COORDINATOR_ADDRESS"]["value"] == f"{host}:{port}"
    assert environment["JAX_NUM_PROCESSES"]["value"] == "2"
    assert "JAX_PROCESS_ID" in environment
    assert job["completionMode"] == "Indexed"
    assert job["completions"] == job["parallelism"] == 2
    assert workers["replicas"] == 1
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 8
    assert jobset["metadata"]["labels"] == {"kueue.x-k8s.io/queue-name": "team"}
    assert "labels" not in manifest("--gpus=8", *RUN)["metadata"]


@pytest.mark.parametrize(
    ("tpu", "accelerator", "num_pods"),
    [("v5e:4x4", "tpu-v5-lite-podslice", 4), ("v5p:2x2x2", "tpu-v5p-slice", 2)],
)
def test_a_tpu_slice_has_its_nodes_and_nobody_elses(tpu, accelerator, num_pods):
    jobset = manifest(f"--tpu={tpu}", "--slices=3", *RUN)
    job, container = _job(jobset), _container(jobset)
    labels = job["template"]["spec"]["nodeSelector"]
    assert labels["cloud.google.com/gke-tpu-accelerator"] == accelerator
    assert labels["cloud.google.com/gke-tpu-topology"] == tpu.partition(":")[2]
    assert job["completions"] == job["parallelism"] == num_pods
    assert jobset["spec"]["replicatedJobs"][0]["replicas"] == 3
    assert container["resources"]["limits"]["google.com/tpu"] == 4
    assert container["env"] == []  # GKE gives it
    [exclusive] = jobset["metadata"]["annotations"].items()
    assert exclusive == (
        "alpha.jobset.sigs.k8s.io/exclusive-topology",
        "cloud.google.com/gke-nodepool",
    )


def test_labels_of_nodes_and_spot():
    pod = _job(manifest(*KINDS["tpus"], *RUN))["template"]["spec"]
    assert pod["nodeSelector"]["pool"] == "a=b"
    assert pod["nodeSelector"]["cloud.google.com/gke-spot"] == "true"
    assert {"key": "cloud.google.com/gke-spot", "operator": "Exists"} in pod["tolerations"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_ends_a_run_and_what_does_not(kind):
    jobset = manifest(*KINDS[kind], "--restarts=7", *RUN)
    job = _job(jobset)
    saved, wrong = job["podFailurePolicy"]["rules"]
    assert (saved["action"], saved["onExitCodes"]["values"]) == ("Ignore", [signals.STATUS])
    assert (wrong["action"], wrong["onExitCodes"]["values"]) == ("FailJob", [2])
    assert {rule["onExitCodes"]["containerName"] for rule in (saved, wrong)} == {
        _container(jobset)["name"]
    }
    policy = jobset["spec"]["failurePolicy"]
    assert policy["maxRestarts"] == 7
    [rule] = policy["rules"]
    assert rule["action"] == "FailJobSet"
    assert rule["onJobFailureReasons"] == ["PodFailurePolicy"]
    assert job["template"]["spec"]["restartPolicy"] == "Never"  # which the policy asks for
    mounts = {mount["name"] for mount in _container(jobset)["volumeMounts"]}
    assert mounts == {volume["name"] for volume in job["template"]["spec"]["volumes"]}


def _expanded(argument, variables):
    """As Kubernetes puts variables into arguments: $$ is $, $(NAME) its value where it is known."""

    def value(found):
        if found[0] == "$$":
            return "$"
        return variables.get(found[1], found[0])

    return re.sub(r"\$\$|\$\(([^)]*)\)", value, argument)


def test_overrides_reach_the_run_untouched():
    arguments = _container(manifest("--gpus=1", *AWKWARD))["args"]
    variables = {"HOME": "wrong", "PATH": "wrong"}
    expanded = [_expanded(argument, variables) for argument in arguments]
    assert expanded == ["--mode=train", "--distributed", *AWKWARD]


def test_it_is_applied_as_it_is_shown(tmp_path):
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(
        f'#!/bin/sh\necho "$@" >{tmp_path}/arguments\ncat >{tmp_path}/manifest\nexit 7\n'
    )
    kubectl.chmod(stat.S_IRWXU)
    done = _jobset(*IMAGE, "--gpus=1", *AWKWARD, env={"PATH": f"{tmp_path}:/usr/bin:/bin"})
    assert done.returncode == 7
    assert (tmp_path / "arguments").read_text() == "apply --filename=-\n"
    assert json.loads((tmp_path / "manifest").read_text()) == manifest("--gpus=1", *AWKWARD)


def test_without_kubectl(tmp_path):
    done = _jobset(*IMAGE, "--gpus=1", env={"PATH": str(tmp_path)})
    assert (done.returncode, done.stderr) == (1, "jobset: error: kubectl is not on PATH\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--image=grel", "--claim=c", "--gpus=1"], "--image=grel: pin it by a tag"),
        (["--image=a:5000/grel", "--claim=c", "--gpus=1"], "--image=a:5000/grel: pin it"),
        (["--image=grel:latest", "--claim=c", "--gpus=1"], "--image=grel:latest: pin it by a tag"),
        ([*IMAGE], "say either --gpus=NUMBER"),
        ([*IMAGE, "--gpus=1", "--tpu=v5e:4x4"], "say either --gpus=NUMBER"),
        ([*IMAGE, "--tpu=v5e:4x4", "--nodes=2"], "--nodes=2: it goes with --gpus alone"),
        ([*IMAGE, "--gpus=8", "--slices=2"], "--slices=2: it goes with --tpu alone"),
        ([*IMAGE, "--gpus=8", "--chips=8"], "--chips=8: it goes with --tpu alone"),
        ([*IMAGE, "--gpus=0"], "--gpus=0: it must be 1 or more"),
        ([*IMAGE, "--tpu=v9:4x4"], "--tpu=v9:4x4: it must be one of v4, "),
        ([*IMAGE, "--tpu=v5e"], "--tpu=v5e: it must be one of "),
        ([*IMAGE, "--tpu=v5e:3x3"], "--chips=4: the 9 of 3x3 do not divide"),
        ([*IMAGE, "--gpus=1", "--name=A_b"], "--name=A_b: it must be"),
        ([*IMAGE, "--gpus=1", "--node_label=x"], "--node_label=x: it must be LABEL=VALUE"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(arguments, message):
    done = _jobset(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"jobset: error: {message}")
    assert done.stderr.count("\n") == 1


def test_help_names_every_flag():
    done = _jobset("--help")
    assert done.returncode == 0
    for flag in ("--dry_run", "--image", "--claim", "--gpus", "--tpu", "--queue"):
        assert flag in done.stdout


@pytest.mark.parametrize("kind", KINDS)
def test_jobs_fit_the_schema_of_kubernetes(kind):
    validate = pytest.importorskip(
        "kubernetes_validate", reason="pip install kubernetes-validate, for the published schemas"
    )
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "a"}}
    job["spec"] = _job(manifest(*KINDS[kind], *RUN))
    validate.validate(job, validate.latest_version(), strict=True)
    wrong = copy.deepcopy(job)
    wrong["spec"]["template"]["spec"]["containers"][0]["arguments"] = ["x"]
    with pytest.raises(validate.ValidationError):
        validate.validate(wrong, validate.latest_version(), strict=True)


@pytest.mark.parametrize("kind", KINDS)
def test_the_jobset_fits_the_models_of_its_api(kind):
    """These drop what they do not know, and refuse other types."""
    models = pytest.importorskip(
        "kubeflow_trainer_api.models",
        reason="pip install kubeflow-trainer-api, for JobSet's models",
    )
    jobset = manifest(*KINDS[kind], *RUN)
    assert json.loads(models.JobsetV1alpha2JobSet.from_dict(jobset).to_json()) == jobset


def test_the_image_has_what_a_run_needs():
    lines = (REPO / "launch/Dockerfile").read_text().splitlines()
    copied = [shlex.split(line)[1] for line in lines if line.startswith("COPY ")]
    assert all((REPO / name).exists() for name in copied)
    assert {"requirements.txt", "grel", "configs"} <= set(copied)
    assert "-m" in json.loads(lines[-1].removeprefix("ENTRYPOINT "))


def test_a_topology_is_a_number_of_chips():
    spec = importlib.util.spec_from_file_location("jobset", SCRIPT)
    jobset = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(jobset)
    assert [jobset.num_chips(topology) for topology in ("2x4", "2x2x2", "16x16")] == [8, 8, 256]
