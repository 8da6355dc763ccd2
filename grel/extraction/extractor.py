"""Extraction: texts in, documents with triples, places and scores out.

    import grel
    extractor = grel.Extractor.from_checkpoint("runs/demo")
    for document in extractor(["Ann Moore lives in Oslo ."]):
        print(document.triples)

This is where windows and a family's writer meet; neither knows of the other.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import functools
import hashlib
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import ml_collections
import numpy as np

from grel import config as config_lib
from grel.errors import ConfigError
from grel.extraction import opening, tuning
from grel.extraction.reading import Extraction, Part, read_document
from grel.extraction.texts import TextExtractor, check_texts
from grel.families.base import System
from grel.families.writer import Encoding, Writer
from grel.fields import leaves
from grel.records import Document
from grel.text.windows import windows as split

_NO_LOCK = contextlib.nullcontext()


def extract_each(
    writer: Writer,
    params: Any,
    documents: Sequence[Document],
    *,
    windows: bool = False,
    min_score: float = 0.0,
    lock: contextlib.AbstractContextManager = _NO_LOCK,
) -> list[Extraction]:
    """What becomes of each document; all of them are written in one call.

    The defaults are what the paper evaluates: nothing is filtered, and of a text that is too long
    the model sees the beginning.

    Args:
        params: as `writer.place` gives them.
        windows: read texts that are too long for the model in overlapping windows.
        min_score: triples less likely are dropped.
        lock: is held while the writer writes.
    """
    texts = [document.text for document in documents]
    encodings = writer.encode(texts)
    limit = writer.max_source if windows else None
    parts = [_parts(*pair, limit) for pair in zip(texts, encodings, strict=True)]
    with lock:
        outputs = iter(writer(params, [part for of_one in parts for part in of_one]))
    return [
        read_document(
            document,
            [Part(part, next(outputs)) for part in of_one],
            writer,
            min_score=min_score,
            num_unknown=writer.num_unknown(encoding),
            known=writer.remembered(document.text),
        )
        for document, encoding, of_one in zip(documents, encodings, parts, strict=True)
    ]


def _parts(text: str, encoding: Encoding, limit: int | None) -> list[Encoding]:
    """What the model reads of a text: nothing where there are no tokens."""
    if not encoding.offsets:
        return []
    if limit is None:
        return [encoding]
    return [encoding.part(tokens) for tokens in split(text, encoding.offsets, limit)]


class Extractor(TextExtractor):
    """Extracts triples from texts with a trained model; may be called from several threads.

    Args:
        system: the model's system.
        params: its parameters, as host arrays.
        windows: read texts that are too long for the model in overlapping windows of sentences;
            otherwise it sees their beginning only, and `Tally.cut` counts them.
        min_score: triples with a lower `score` are dropped and counted.
        decoding: replace fields of `config.decoding`, such as `copy="off"` or `structure="on"`.

    Raises:
        ConfigError: an option does not exist or has no such value.

    Attributes:
        system: with the configuration in use.
    """

    def __init__(
        self,
        system: System,
        params: Any,
        *,
        windows: bool = True,
        min_score: float = 0.0,
        **decoding: Any,
    ):
        config_lib.check_min_score(min_score)
        self.system = _configured(system, decoding)
        self._windows, self._min_score = windows, min_score
        self._writer = self.system.writer()
        self._host_params = params
        self._params = self._writer.place(params)
        self._lock = threading.Lock()
        self._refuse_unknown(self.system.config.get("decoding", {}).get("relations", ()))

    @classmethod
    def from_checkpoint(
        cls,
        workdir: str | Path,
        checkpoint: str = "best",
        *,
        tuned: bool = False,
        compile_cache: str | Path | None = opening.COMPILE_CACHE,
        **options: Any,
    ) -> Extractor:
        """Opens the "best" or the "latest" checkpoint of a run.

        Args:
            workdir: the run's folder.
            checkpoint: which one.
            tuned: use the balance that `--mode=tune` found.
            compile_cache: see `opening.cache_compilations`; None leaves JAX as it is.
            options: see `Extractor`.

        Raises:
            CheckpointError: there is none, or it is damaged.
            ConfigError: it was not tuned, or with other options.
            UsageError: both `tuned` and a `min_score`.
        """
        tuning.refuse_min_score(tuned, options.get("min_score", 0.0))
        if compile_cache is not None:
            opening.cache_compilations(compile_cache)
        system, params, about = opening.load(workdir, checkpoint)
        extractor = cls(system, params, **options)
        if tuned:
            return extractor.balanced(*tuning.read(about["tuned"], extractor))
        return extractor

    @property
    def relations(self) -> Sequence[str]:
        """All relations that it may write."""
        return self._writer.relations(self._params)

    @property
    def max_source(self) -> int | None:
        """Tokens of the longest text, or window, that is read whole; None: there is no longest."""
        return self._writer.max_source

    def restricted(self, relations: Sequence[str]) -> Extractor:
        """The same extractor for these relations only, of the same compiled programs.

        Raises ConfigError where a relation is unknown, and without structure "on".
        """
        if not relations:
            raise ConfigError("there are no relations to write; name some")
        self._refuse_unknown(relations)
        other = copy.copy(self)
        other._writer = self._writer.restricted(relations)
        other.system = _configured(self.system, {"relations": tuple(relations)})
        return other

    def _refuse_unknown(self, relations: Sequence[str]) -> None:
        if unknown := sorted(set(relations) - set(self.relations)):
            raise ConfigError(
                f"unknown relation {unknown[0]!r}; one of {', '.join(self.relations)}"
            )

    def balanced(self, end_bias: float, min_score: float, known_share: float = 0.0) -> Extractor:
        """See `TextExtractor.balanced`; of the same compiled programs."""
        config_lib.check_min_score(min_score)
        other = copy.copy(self)
        other._writer = self._writer.biased(end_bias).remembering(known_share)
        given = {"end_bias": float(end_bias), "known_share": float(known_share)}
        fields = self.system.config.get("decoding", {})
        other.system = _configured(
            self.system, {name: value for name, value in given.items() if value or name in fields}
        )
        other._min_score = min_score
        return other

    def known(self, documents: Sequence[Document]) -> list[Document]:
        """See `TextExtractor.known`."""
        known = self._writer.known
        return [dataclasses.replace(d, triples=tuple(known(d.text))) for d in documents]

    def extractions(self, documents: Sequence[Document]) -> list[Extraction]:
        """The same one by one, each with what went wrong and the outputs it was read from."""
        check_texts(documents)
        return extract_each(
            self._writer,
            self._params,
            documents,
            windows=self._windows,
            min_score=self._min_score,
            # One call fills the devices; a second beside it would only take their memory.
            lock=self._lock,
        )

    def alternatives(self, extraction: Extraction) -> list[Document]:
        """What else the beams found for a document, the best first.

        There are `num_best` - 1 of them at most, and none for a text that was read in windows.
        """
        if len(extraction.parts) != 1:
            return []
        ((encoding, output),) = extraction.parts
        return [
            read_document(
                extraction.document,
                [Part(encoding, other)],
                self._writer,
                min_score=self._min_score,
            ).document
            for other in self._writer.alternatives(output)
        ]

    def traces(self, extraction: Extraction) -> list[dict[str, Any]]:
        """How the outputs of a document were written, step by step, as JSON.

        One object for each part, with what the model saw of it. The first has the document's id;
        of a text in windows the others have `#2`, `#3` and so on behind it. Raises ConfigError
        where the family has no steps.
        """
        return [
            {
                "id": extraction.document.id + (f"#{number}" if number > 1 else ""),
                **self._writer.trace(part.encoding, part.output),
            }
            for number, part in enumerate(extraction.parts, start=1)
        ]

    def identity(self) -> dict[str, Any]:
        """JSON that is the same for two extractors only if they extract the same.

        The batch size and drafts are left out: what is extracted does not depend on them.
        """
        decoding = leaves(self.system.config.get("decoding", ml_collections.ConfigDict()))
        for name in ("batch_size", "draft"):
            decoding.pop(name, None)
        return {
            **self.system.identity(),
            "params": self._params_digest,
            "windows": self._windows,
            "min_score": self._min_score,
            **decoding,
        }

    @functools.cached_property
    def _params_digest(self) -> str:
        return _digest(self._host_params)


def _configured(system: System, decoding: dict[str, Any]) -> System:
    config = copy.deepcopy(system.config)
    known = sorted(config.get("decoding", {}))
    if unknown := sorted(decoding.keys() - set(known)):
        options = ", ".join(["windows", "min_score", *known])
        raise ConfigError(f"unknown option {unknown[0]!r}; there are {options}")
    # Values of another type are for `check` to refuse, with a line that says which.
    with config.ignore_type():
        for name, value in decoding.items():
            config.decoding[name] = value
    config_lib.check(config, num_devices=1, num_processes=1, trains=False)
    return dataclasses.replace(system, config=config)


def _digest(tree: Any) -> str:
    digest = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        digest.update(f"{jax.tree_util.keystr(path)} {leaf.dtype} {leaf.shape}".encode())
        digest.update(np.ascontiguousarray(leaf).data)
    return digest.hexdigest()
