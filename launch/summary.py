"""Shows what launch/local.sh has made: the scores side by side, and extracted triples.

    python launch/summary.py WORKDIR

It reads the files of the run and nothing else, as anybody's own report would.
"""

import json
import sys
from pathlib import Path


def main(workdir: Path) -> None:
    """Prints a table of the two evaluations, then the records of `extracted.jsonl`."""
    print(f"\n{'test split':<20}{'precision':>10}{'recall':>10}{'F1':>10}")
    for folder in ("test", "test_copy_off"):
        metrics = json.loads((workdir / "eval" / folder / "metrics.json").read_text())
        scores = (metrics[name] for name in ("precision", "recall", "f1"))
        # The run may have been trained with another mechanism than the recipe's.
        copy = metrics["config"]["decoding"]["copy"]
        print(f"{f'copy mechanism {copy}':<20}" + "".join(f"{score:>10.4f}" for score in scores))

    for line in (workdir / "extracted.jsonl").read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        print(f"\n{record['text']}")
        for triple in record["triples"]:
            print(f"    ({triple['head']}; {triple['relation']}; {triple['tail']})")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
