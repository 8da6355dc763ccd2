"""launch/ray.sh, without a cluster."""

import json
import shlex
import subprocess

from tests.launch.scripts import REPO, dry_run


def test_the_job_takes_the_checkout_along():
    args = ["--address=http://head:8265", "--jax=tpu", "--workdir=/mnt/x", "--input=s3://b/it's"]
    folder, archive, submit = dry_run("ray.sh", *args)
    assert folder == "mkdir -p runs"
    assert archive == "git archive --format=zip --output=runs/grel.zip HEAD"
    words = shlex.split(submit)
    assert words[:3] == ["ray", "job", "submit"]
    assert "--address=http://head:8265" in words
    assert words[words.index("--") :] == ["--", "python", "-m", "grel.ray", *args[2:]]
    [environment] = [word for word in words if word.startswith("--runtime-env-json=")]
    packages = json.loads(environment.partition("=")[2])["pip"]["packages"]
    assert packages == ["-r ${RAY_RUNTIME_ENV_CREATE_WORKING_DIR}/requirements.txt", "jax[tpu]"]


def test_it_asks_for_the_cluster():
    result = subprocess.run(["bash", REPO / "launch/ray.sh"], capture_output=True, text=True)
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
    assert "--address=" in result.stderr
