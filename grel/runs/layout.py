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
"""

LOCK = ".lock"
RECORD = "run.json"
TRAINING_LOG = "metrics.jsonl"
TENSORBOARD = "tensorboard"

# The checkpoints of a run, by what `config.eval.checkpoint` calls them.
CHECKPOINTS = {"best": "best", "latest": "checkpoints"}
TUNED = "tuned.json"

EVALUATIONS = "eval"
GOLD = "gold.jsonl"
PREDICTIONS = "predictions.jsonl"
METRICS = "metrics.json"
TRACE = "trace.jsonl"
