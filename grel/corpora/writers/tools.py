"""doccano and Label Studio: JSON that the tools import."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from grel.corpora.writers.shapes import OnLoss, blaming, file_writer, marked
from grel.files.writing import replacing
from grel.records import Document


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _doccano() -> Callable[[Document, OnLoss], str]:
    # Numbers that are different in all of a file are right whether or not doccano asks for that.
    numbers = itertools.count(1)

    def render(document: Document, on_loss: OnLoss) -> str:
        entities, links = marked(document, on_loss)
        ids = [next(numbers) for _ in entities]
        record = {
            "id": document.id,
            "text": document.text,
            "entities": [
                {"id": id, "label": type, "start_offset": span[0], "end_offset": span[1]}
                for id, (_, type, span) in zip(ids, entities, strict=True)
            ],
            "relations": [
                {"id": next(numbers), "from_id": ids[head], "to_id": ids[tail], "type": label}
                for head, label, tail, _ in links
            ],
        }
        return f"{_json(record)}\n"

    return render


doccano = file_writer(_doccano)


def labelstudio(path: str | Path, documents: Iterable[Document], on_loss: OnLoss) -> None:
    """Tasks with predictions, for a labeling interface of `<Labels name="label" toName="text">`.

    The score of a prediction is that of its least sure triple, so that tasks can be ordered by it.
    """
    with replacing(path) as file:
        file.write(b"[")
        for number, document in enumerate(documents):
            with blaming(path, document):
                task = _json(_task(document, on_loss)).encode()
            file.write(b",\n" * (number > 0) + task)
        file.write(b"]\n")


def _task(document: Document, on_loss: OnLoss) -> dict[str, Any]:
    entities, links = marked(document, on_loss)
    regions: list[dict[str, Any]] = [
        {
            "id": f"e{number}",
            "from_name": "label",
            "to_name": "text",
            "type": "labels",
            "value": {"start": span[0], "end": span[1], "text": text, "labels": [type]},
        }
        for number, (text, type, span) in enumerate(entities)
    ]
    relations = [
        {
            "from_id": f"e{link.head}",
            "to_id": f"e{link.tail}",
            "type": "relation",
            "direction": "right",
            "labels": [link.label],
            **({} if link.score is None else {"score": link.score}),
        }
        for link in links
    ]
    scores = [link.score for link in links if link.score is not None]
    prediction = {
        "model_version": "grel",
        **({"score": min(scores)} if scores else {}),
        "result": [*regions, *relations],
    }
    return {"data": {"id": document.id, "text": document.text}, "predictions": [prediction]}
