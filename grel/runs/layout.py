"""The folder of a run: every file and folder in it by name, said once.

WORKDIR/
  .lock                    held while a training is at work here
  run.json                 what was trained, on what, with what, and for how long
  metrics.jsonl            losses and scores by step; tensorboard/ has the same
  checkpoints/STEP/        the newest, to go on from
  best/STEP/               of the best validation F1, to extract with
    tuned.json             its balance of precision and recall, once --mode=tune chose one
  eval/NAME/               one evaluation, whole or not there
    gold.jsonl
    predictions.jsonl
    metrics.json
    trace.jsonl            how each output came about, where predict --trace put one
  pretrained.txt           what became of each tensor of the weights that it began from

A run folder may be a stranger's, and its links may lead anywhere. None of them is followed:
`inside` refuses what would be read through one, or written into a folder that is one, and files are
written whole, in the place of whatever was there.
"""

from pathlib import Path

from grel.errors import UserError

LOCK = ".lock"
RECORD = "run.json"
TRAINING_LOG = "metrics.jsonl"
TENSORBOARD = "tensorboard"
PRETRAINED = "pretrained.txt"

# The checkpoints of a run, by what `config.eval.checkpoint` calls them.
CHECKPOINTS = {"best": "best", "latest": "checkpoints"}
TUNED = "tuned.json"

EVALUATIONS = "eval"
GOLD = "gold.jsonl"
PREDICTIONS = "predictions.jsonl"
METRICS = "metrics.json"
TRACE = "trace.jsonl"


class LinkError(UserError):
    """A link in the folder of a run, where there should be a file or a folder: says which."""


def inside(folder: Path, *names: str) -> Path:
    """A path below a folder of a run, such as `inside(workdir, EVALUATIONS, name)`.

    Raises LinkError where anything below the folder, which may be a link itself, is one.
    """
    path = folder
    for name in names:
        path = path / name
        if path.is_symlink():
            raise LinkError(
                f"{path}: is a link, and links below a run folder are not followed; put what it "
                "leads to in its place, as cp -rL does"
            )
    return path


def refuse_links(folder: Path) -> None:
    """Raises LinkError where anything below a folder is a link."""
    for path in sorted(folder.rglob("*")):
        inside(path.parent, path.name)
