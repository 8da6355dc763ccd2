"""A corpus and a configuration that train in seconds, for tests of whole runs."""

import json

from grel import config as config_lib

CITIES = ("Oslo", "Rome", "New Delhi", "Lima", "Port Moresby", "Cairo")
PEOPLE = ("Ann Moore", "Bo Li", "Eva Perez Ruiz")


def write_corpus(folder):
    """train, validation and test.jsonl of short sentences with one or two triples."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, count in (("train", 48), ("validation", 9), ("test", 7)):
        lines = []
        for n in range(count):
            person, city = PEOPLE[n % len(PEOPLE)], CITIES[n * 5 % len(CITIES)]
            triples = [{"head": person, "relation": "/people/person/place_lived", "tail": city}]
            text = f"{person} lives in {city} ."
            if n % 3 == 0:
                other = CITIES[(n * 5 + 1) % len(CITIES)]
                text = f"{person} , born in {other} , lives in {city} ."
                triples.append(
                    {"head": person, "relation": "/people/person/place_of_birth", "tail": other}
                )
            lines.append(json.dumps({"id": f"{split}-{n}", "text": text, "triples": triples}))
        (folder / f"{split}.jsonl").write_text("\n".join(lines) + "\n")
    return folder


# Of a BERT that is tiny; beside where the corpus is.
FIELDS = {
    "data.name": "jsonl",
    "data.cache_dir": "",
    "data.buckets": (40,),
    "tokenizer.vocab_size": 120,
    "model.size": "tiny",
    "model.num_layers": 1,
    "model.hidden_size": 16,
    "model.ff_size": 32,
    "model.max_positions": 64,
    "model.objective": "causal",
    "train.batch_size": 16,
    "train.num_epochs": 3.0,
    "train.learning_rate": 1e-3,
    "train.log_every": 1,
    "train.checkpoint_every": 3,
    "decoding.max_target": 7,
    "decoding.batch_size": 8,
}


def config(tmp_path, **fields):
    """A configuration of a tiny model on that corpus; `fields` as {"train.batch_size": 8}."""
    c = config_lib.get_config()
    settings = {
        **FIELDS,
        "data.manual_dir": str(write_corpus(tmp_path / "corpus")),
        "data.data_dir": str(tmp_path / "tfds"),
        **fields,
    }
    c.update_from_flattened_dict(settings)
    return c


def train(main, folder, *flags):
    """A run of this model, by a `tests.command.Command`; its corpus is in `folder`/corpus."""
    write_corpus(folder / "corpus")
    recipe = folder / "recipe.py"
    recipe.write_text(
        "import pathlib\n"
        "from tests import tiny\n"
        "def get_config():\n"
        f"    return tiny.config(pathlib.Path({str(folder)!r}))\n"
    )
    main("--mode=train", f"--config={recipe}", f"--workdir={folder}/run", *flags)
    return folder / "run"
