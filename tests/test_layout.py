"""The house rules that code can break without failing: layers, and who may name what."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# From the ground up: a module imports only from what stands on a line above its own.
LAYERS = """
errors
pods.aborts
pods.watch
devices.kinds devices.hlo devices.pages
devices.topologies
files.faults files.locks files.digests
files.parsing files.writing
files.splitting
files.reading
files.folders files.journal
drawing
names
records
scoring.corpus scoring.seen
scoring.protocols
scoring.errors
scoring.judged
scoring.bootstrap scoring.breakdown scoring.calibration scoring.contrast
scoring.merging
text.linearize text.bio text.windows text.known
text.wordpiece text.vectors
text.words text.vocabulary
corpora.drafts corpora.card corpora.synthetic
corpora.readers.shapes corpora.readers.ptrnet
corpora.readers.names corpora.readers.tokens corpora.readers.offsets corpora.readers.pairs
corpora.readers.brat corpora.readers.webanno corpora.readers.columns corpora.readers.tables
corpora.readers.webnlg corpora.readers.docbin
corpora.recognition
corpora.formats
corpora.inputs
corpora.writers.shapes
corpora.writers.tools corpora.writers.brat corpora.writers.tables corpora.writers.graphs
corpora.writers.docbin
corpora.outputs
corpora.corpus_builder
corpora.builders
corpora.sources
parallel
runs.layout runs.digests
runs.record runs.evaluations runs.checkpoint
tables.render tables.published
tables.systems
tables.paper
tables.details
report.trace report.confusion report.review report.svg report.assets
report.runs
report.figures report.content
report.page
report.build
data.features
data.pipeline data.augment
data.columns
decoding.batching decoding.structure decoding.pointers
decoding.copying decoding.trace
decoding.greedy decoding.extensions decoding.drafts
decoding.beam
decoding.network
decoding.program
decoding.driver
models.dropout models.losses models.pointer models.products
models.attention models.recurrent
models.cache models.choices models.crf
models.bert models.worddec models.ptdec models.mrmep models.copyre
models.bert_decoding models.copymtl models.flops
pretrained.fetch pretrained.foreign pretrained.naming pretrained.report
pretrained.port pretrained.similarity
fields
families.writer
families.base
families.reading families.lookup
families.tokens families.words
families.bert families.worddec families.ptdec families.mrmep families.copyre
families.copymtl
families.registry
config
extraction.reading extraction.opening extraction.shards extraction.frames
extraction.texts extraction.chunks
extraction.tuning
extraction.extractor extraction.evaluate extraction.predict
extraction.sharing extraction.pool extraction.spacy
exports.schema
exports.hf exports.stablehlo
training.optimizer training.steps training.examples training.validation
training.log training.signals training.skipped training.ownership training.profile
training.progress
training.fit training.trainer training.ahead
serving.limits serving.metrics serving.batcher serving.model
serving.requests serving.answers serving.openapi serving.page
serving.app
serving.listening
recipes
main serve ray aot convert score stats compare merge card checkpoint export
corpora.__main__ tables.__main__ report.__main__ pretrained.__main__
cli
"""
LEVEL = {name: n for n, line in enumerate(LAYERS.split("\n")) for name in line.split()}
MODULES = {
    ".".join(path.relative_to(ROOT / "grel").with_suffix("").parts).removesuffix(".__init__"): path
    for path in (ROOT / "grel").rglob("*.py")
}
# Packages whose __init__ says nothing but what they are.
BARE = {"", "__init__"} | {
    *("corpora", "corpora.readers", "corpora.writers", "data", "decoding", "devices"),
    *("exports", "extraction", "families", "files", "models", "pods", "pretrained", "report"),
    *("runs", "scoring", "serving", "tables", "text", "training"),
}


def _imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "grel":
            package = node.module.removeprefix("grel").removeprefix(".")
            for alias in node.names:
                full = f"{package}.{alias.name}".removeprefix(".")
                yield full if full in MODULES else package
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "grel":
                    yield alias.name.removeprefix("grel.")


def test_every_module_has_a_layer():
    assert set(MODULES) - BARE == set(LEVEL)


@pytest.mark.parametrize("name", sorted(LEVEL))
def test_modules_import_from_lower_layers_only(name):
    for imported in set(_imports(MODULES[name])) - BARE:
        assert LEVEL[imported] < LEVEL[name], f"{name} imports {imported}"


def test_rooms_import_from_lower_rooms_only():
    """A folder of `grel/` is a room, and all of it stands above all that it imports.

    The commands in `__main__` stand above everything.
    """
    inside = {name for name in LEVEL if not name.endswith("__main__")}

    def levels(room):
        return [LEVEL[name] for name in inside if name.split(".")[0] == room]

    arrows = {(name, imported) for name in inside for imported in _imports(MODULES[name])}
    rooms = {(a.split(".")[0], b.split(".")[0]) for a, b in arrows if b not in BARE}
    assert not [(a, b) for a, b in rooms if a != b and max(levels(b)) >= min(levels(a))]


# What is tested here is no file of its own, but how several go together.
TOGETHER = {
    *(
        "test_layout.py",
        "test_multiprocess.py",
        "test_benchmarks.py",
        "test_package.py",
        "test_notebook.py",
    ),
    *("decoding/test_stages.py", "launch/test_scripts.py", "pretrained/test_recipes.py"),
}


def test_tests_mirror_the_code():
    tests = {str(path.relative_to(ROOT / "tests")) for path in (ROOT / "tests").rglob("test_*.py")}
    files = [path for path in (ROOT / "grel").rglob("*.*") if path.suffix in (".py", ".js")]
    named = {
        str(path.relative_to(ROOT / "grel").with_name(f"test_{path.stem.strip('_')}.py"))
        for path in files
    }
    named |= {
        f"{folder}/test_{path.stem.lower()}.py"
        for folder in ("docs", "launch")
        for path in (ROOT / folder).iterdir()
    }
    assert tests - TOGETHER <= named
    assert tests >= TOGETHER


def _names(path):
    """All dotted names that the code (not its comments) mentions, imports included."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Attribute):
            names.add(ast.unparse(node))
    return names


@pytest.mark.parametrize(
    ("pattern", "home"),
    [("pmap", "parallel"), ("jax.distributed", "parallel"), ("orbax", "runs.checkpoint")],
)
def test_some_names_have_one_home(pattern, home):
    users = {m for m, path in MODULES.items() if any(pattern in name for name in _names(path))}
    assert users == {home}


@pytest.mark.parametrize("module", sorted(MODULES))
def test_nothing_dangerous_or_private(module):
    names = _names(MODULES[module])
    if module == "pretrained.foreign":
        # PyTorch's files are pickles: it takes their opcodes from the standard library's
        # disassembler, which runs nothing, and is the only one that may.
        names -= {"pickletools", "pickletools.genops"}
    calls = {
        node.func.id
        for node in ast.walk(ast.parse(MODULES[module].read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert not calls & {"eval", "exec", "__import__"}
    assert not any(
        name.startswith(("pickle", "jax._src", "torch", "tensorflow.")) for name in names
    )


# Commands from the lightest to the heaviest, and what neither they nor those before them import.
STARTS = {
    ("cli", "records", "score", "stats", "convert", "compare", "merge", "card"): {
        "numpy",
        "matplotlib",
    },
    ("tables.__main__", "report.__main__"): {"jax", "flax", "ml_collections"},
    ("checkpoint",): {"tokenizers"},
    ("main", "extraction.extractor"): {
        *("tensorboardX", "optax", "tensorflow_datasets", "array_record"),
        *("tensorflow", "torch", "transformers"),
    },
}


def test_commands_import_only_what_they_need():
    """As the interpreter tells it, with all that libraries import; --mode=train imports more."""
    code = "import sys"
    for modules in STARTS:
        code += "".join(f"\nimport grel.{module}" for module in modules) + "\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    starts = zip(STARTS.items(), done.stdout.splitlines(), strict=True)
    banned = set().union(*STARTS.values())
    for (modules, unneeded), imported in starts:
        assert not banned & set(imported.split()), modules
        banned -= unneeded


def test_scoring_needs_no_jax():
    for name in ("errors", "score", "stats", "convert", "merge"):
        seen, todo = set(), [name]
        while todo:
            module = todo.pop()
            if module not in seen:
                seen.add(module)
                todo += [m for m in _imports(MODULES[module]) if m]
        for module in seen:
            heavy = ("jax", "flax", "numpy", "transformers")
            assert not any(n.split(".")[0] in heavy for n in _names(MODULES[module])), module
