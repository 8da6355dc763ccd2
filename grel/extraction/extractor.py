"""Extraction: texts in, documents with triples, places and scores out.

    import grel
    extractor = grel.Extractor.from_checkpoint("runs/demo")
    for document in extractor(["Ann Moore lives in Oslo ."]):
        print(document.triples)

This is where tokenizer, windows, decoder and the reading of outputs meet; each of them knows
nothing of the others.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import functools
import hashlib
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from grel import config as config_lib
from grel import parallel
from grel.decoding.driver import Decoder, Written
from grel.extraction import lookup, reading, tuning
from grel.extraction.reading import Extraction, Part, Tally
from grel.extraction.system import System, read_config
from grel.extraction.texts import TextExtractor, check_texts, summarize
from grel.records import Document
from grel.runs import layout
from grel.runs.checkpoint import CheckpointError, Checkpoints
from grel.text.windows import windows
from grel.text.wordpiece import Encoding, Wordpiece

COMPILE_CACHE = "~/.cache/grel/xla"


def extract(
    decoder: Decoder, params: Any, wordpiece: Wordpiece, documents: Sequence[Document]
) -> tuple[list[Document], Tally]:
    """The same documents with extracted instead of given triples, and what went wrong.

    What the paper evaluates: nothing is filtered, and of a text that is too long the model sees the
    beginning. `params` are replicated over the devices.
    """
    return summarize(extract_each(functools.partial(decoder, params), wordpiece, documents))


def extract_each(
    decode: Callable[[Sequence[Sequence[int]]], Sequence[Written]],
    wordpiece: Wordpiece,
    documents: Sequence[Document],
    *,
    window: int | None = None,
    min_score: float = 0.0,
) -> list[Extraction]:
    """What becomes of each document; all their wordpieces are decoded in one call.

    Args:
        decode: writes an output for each source.
        window: most wordpieces of a source; longer texts are read in overlapping windows. None
            leaves it to `decode` to cut them.
        min_score: triples less likely are dropped.
    """
    encodings = wordpiece.encode_batch([document.text for document in documents])
    sources = [
        _sources(document.text, encoding, window)
        for document, encoding in zip(documents, encodings, strict=True)
    ]
    written = iter(decode([source.ids for of_one in sources for source in of_one]))
    return [
        reading.read_document(
            document, [Part(s, next(written)) for s in of_one], wordpiece, min_score=min_score
        )
        for document, of_one in zip(documents, sources, strict=True)
    ]


def _sources(text: str, encoding: Encoding, window: int | None) -> list[Encoding]:
    """What the model reads of a text: nothing where there are no wordpieces to copy."""
    if not encoding.ids:
        return []
    if window is None:
        return [encoding]
    return [
        Encoding(encoding.ids[part], encoding.offsets[part])
        for part in windows(text, encoding.offsets, window)
    ]


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
        self._decoder = self.system.decoder()
        self._params = parallel.replicate(params)
        self._lock = threading.Lock()

    @classmethod
    def from_checkpoint(
        cls,
        workdir: str | Path,
        checkpoint: str = "best",
        *,
        tuned: bool = False,
        compile_cache: str | Path | None = COMPILE_CACHE,
        **options: Any,
    ) -> Extractor | lookup.Lookup:
        """Opens the "best" or the "latest" checkpoint of a run: `make` of its system.

        Args:
            workdir: the run's folder.
            checkpoint: which one.
            tuned: use the balance that `--mode=tune` found.
            compile_cache: see `cache_compilations`; None leaves JAX as it is.
            options: see `Extractor`.

        Raises:
            CheckpointError: there is none, or it is damaged.
            ConfigError: it was not tuned, or with other options.
        """
        if compile_cache is not None:
            cache_compilations(compile_cache)
        system, params, about = load(workdir, checkpoint)
        extractor = make(system, params, **options)
        if tuned:
            return extractor.balanced(*tuning.read(about["tuned"], extractor))
        return extractor

    @property
    def relations(self) -> Sequence[str]:
        """All relations of the schema."""
        return self.system.wordpiece.relations

    def restricted(self, relations: Sequence[str]) -> Extractor:
        """The same extractor for these relations only, of the same compiled programs.

        Raises ConfigError where a relation is unknown, and without structure "on".
        """
        other = copy.copy(self)
        other.system = _configured(self.system, {"relations": tuple(relations)})
        try:
            other._decoder = self._decoder.restricted(relations)
        except ValueError as error:
            raise config_lib.ConfigError(f"config.decoding: {error}") from None
        return other

    def balanced(self, end_bias: float, min_score: float) -> Extractor:
        """See `TextExtractor.balanced`; of the same compiled programs."""
        config_lib.check_min_score(min_score)
        other = copy.copy(self)
        other.system = _configured(self.system, {"end_bias": float(end_bias)})
        other._decoder = self._decoder.biased(end_bias)
        other._min_score = min_score
        return other

    def extractions(self, documents: Sequence[Document]) -> list[Extraction]:
        """The same one by one, each with what went wrong and the outputs it was read from."""
        check_texts(documents)
        return extract_each(
            self._decode,
            self.system.wordpiece,
            documents,
            window=self._decoder.max_source if self._windows else None,
            min_score=self._min_score,
        )

    def _decode(self, sources: Sequence[Sequence[int]]) -> list[Written]:
        # One call fills the devices; a second beside it would only take their memory.
        with self._lock:
            return self._decoder(self._params, sources)

    def alternatives(self, extraction: Extraction) -> list[Document]:
        """What else the beams found for a document, the best first.

        There are `num_best` - 1 of them at most, and none for a text that was read in windows.
        """
        if len(extraction.parts) != 1:
            return []
        ((source, written),) = extraction.parts
        return [
            reading.read_document(
                extraction.document,
                [Part(source, other)],
                self.system.wordpiece,
                min_score=self._min_score,
            ).document
            for other in written.others
        ]

    def traces(self, extraction: Extraction) -> list[dict[str, Any]]:
        """How the outputs of a document were written, step by step, as JSON.

        One object for each part, with what the model saw of it. The first has the document's id;
        of a text in windows the others have `#2`, `#3` and so on behind it.
        """
        wordpiece = self.system.wordpiece
        traces = []
        for number, (source, written) in enumerate(extraction.parts, start=1):
            source_ids = source.ids[: self._decoder.max_source]
            steps = [
                {
                    "label": step.label,
                    "match_length": step.match_length,
                    "allowed": "all" if step.allowed is None else step.allowed,
                    "token_id": step.token_id,
                    "token": wordpiece.vocabulary[step.token_id],
                }
                for step in self._decoder.trace(source.ids, written)
            ]
            traces.append(
                {
                    "id": extraction.document.id + (f"#{number}" if number > 1 else ""),
                    "source_ids": source_ids,
                    "source_tokens": [wordpiece.vocabulary[i] for i in source_ids],
                    "excluded_ids": sorted(wordpiece.excluded_ids),
                    "steps": steps,
                }
            )
        return traces

    def identity(self) -> dict[str, Any]:
        """JSON that is the same for two extractors only if they extract the same.

        The batch size is left out: what is extracted does not depend on it.
        """
        decoding = self.system.config.decoding.to_dict()
        del decoding["batch_size"]
        return {
            "model": repr(self.system.model),
            "params": _digest(parallel.unreplicate(self._params)),
            "tokenizer": self.system.wordpiece.fingerprint,
            "windows": self._windows,
            "min_score": self._min_score,
            **decoding,
        }


def _configured(system: System, decoding: dict[str, Any]) -> System:
    config = copy.deepcopy(system.config)
    if unknown := decoding.keys() - config.decoding.keys():
        raise config_lib.ConfigError(
            f"unknown option {min(unknown)!r}; there are windows, min_score, "
            f"{', '.join(sorted(config.decoding))}"
        )
    # Values of another type are for `check` to refuse, with a line that says which.
    with config.ignore_type():
        for name, value in decoding.items():
            config.decoding[name] = value
    # How rows divide over the devices is checked where they are divided.
    config_lib.check(config, num_devices=1, num_processes=1)
    return dataclasses.replace(system, config=config)


def _digest(tree: Any) -> str:
    digest = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        digest.update(f"{jax.tree_util.keystr(path)} {leaf.dtype} {leaf.shape}".encode())
        digest.update(np.ascontiguousarray(leaf).data)
    return digest.hexdigest()


def cache_compilations(folder: str | Path = COMPILE_CACHE) -> None:
    """Keeps compiled programs in a folder, so that the next process starts without compiling them.

    Does nothing where JAX has a cache already, as by JAX_COMPILATION_CACHE_DIR. What is in the
    folder is run, so nobody else may write to it.
    """
    if jax.config.jax_compilation_cache_dir is None:
        jax.config.update("jax_compilation_cache_dir", str(Path(folder).expanduser()))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


def make(system: System | lookup.System, params: Any, **options: Any) -> Extractor | lookup.Lookup:
    """The extractor of a system, with the options that the one of its family has."""
    cls = lookup.Lookup if isinstance(system, lookup.System) else Extractor
    return cls(system, params, **options)


def load(
    workdir: str | Path, checkpoint: str
) -> tuple[System | lookup.System, Any, dict[str, Any]]:
    """System, host parameters and `about` of a run's "best" or "latest" checkpoint.

    Under "tuned" `about` has what `Checkpoints.tuned` says.
    """
    if checkpoint not in layout.CHECKPOINTS:
        raise CheckpointError(
            f"checkpoint is {checkpoint!r}; one of {', '.join(layout.CHECKPOINTS)}"
        )
    folder = Path(workdir) / layout.CHECKPOINTS[checkpoint]
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: no such folder; train first, or check --workdir")
    with contextlib.closing(Checkpoints(folder, read_only=True)) as checkpoints:
        about = checkpoints.about() | {"tuned": checkpoints.tuned()}
        is_lookup = read_config(about, folder).model.family == config_lib.LOOKUP
        system = (lookup.System if is_lookup else System).from_about(about)
        return system, checkpoints.params(system.params_like()), about
