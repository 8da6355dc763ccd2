"""What drafts save a trained model: steps a token, and time in turn within one run.

    python -m tests.benchmarks.drafts --workdir=RUN --jsonl=dev.jsonl [--batch 1 8 64 --rounds=5]

Row-steps are steps summed over the rows that they are run for, and at batch 1 the steps of the
model; tokens include the end token of each output. These counts are exact, and are all there is
with --rounds=0. That all drafts write the same is checked; scores may differ in their last digits,
and so in theory may a choice between tokens that are as likely.
"""

import argparse
import dataclasses
import functools

from grel.extraction import opening
from grel.records import read_jsonl
from tests.benchmarks.timing import in_turn, report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workdir", required=True, help="of a run of the family bert")
    parser.add_argument("--jsonl", required=True, help="records of grel")
    parser.add_argument("--num_examples", type=int, default=5000)
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--draft", type=int, nargs="+", default=[0, 2, 4])
    parser.add_argument("--rounds", type=int, default=0)
    a = parser.parse_args()
    system, params, _ = opening.load(a.workdir, "best")
    writer = system.writer()
    placed = writer.place(params)
    texts = [document.text for document in read_jsonl(a.jsonl)][: a.num_examples]
    encodings = writer.encode(texts)
    given = [encoding.ids for encoding in encodings], writer.beside(encodings)
    print(vars(a))
    found = None
    for batch in a.batch:
        alternatives = {}
        for draft in a.draft:
            config = system.config.copy_and_resolve_references()
            config.decoding.update(draft=draft, batch_size=batch)
            decoder = dataclasses.replace(system, config=config).decoder()
            written = decoder(placed, *given)
            num_tokens = sum(len(one.ids) + one.ended for one in written)
            outputs = [(one.ids.tolist(), one.labels.tolist()) for one in written]
            found = found or outputs
            others = sum(one != other for one, other in zip(outputs, found, strict=True))
            print(
                f"batches of {batch:3}, draft {draft}: {decoder.row_steps / num_tokens:.3f} "
                f"row-steps a token; {others} of {len(outputs)} outputs are others",
                flush=True,
            )
            alternatives[f"draft {draft}"] = functools.partial(decoder, placed, *given)
        if a.rounds:
            print(report(in_turn(alternatives, a.rounds), f"draft {a.draft[0]}"), flush=True)


if __name__ == "__main__":
    main()
