"""What `python -m grel.export --to=stablehlo` wrote, in forty lines: lines of text in, triples out.

    python run_exported_short.py DIR < texts.txt

Names are cut where the program says that they were copied from. run_exported.py, which is longer,
has batches, several buckets, words that the vocabulary lacks, and names that no place was told of.
"""

import json
import math
import sys
from pathlib import Path

import numpy as np
from jax import export
from safetensors.numpy import load_file
from tokenizers import Tokenizer

folder = Path(sys.argv[1])
schema = json.loads((folder / "grel.json").read_text(encoding="utf-8"))
relation_of = {tuple(ids): name for name, ids in schema["relations"].items()}
width, file = max((int(width), file) for width, file in schema["programs"].items())
program = export.deserialize(bytearray((folder / file).read_bytes()))
params = load_file(folder / "params.safetensors")
tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
special, openers = schema["special_ids"], schema["opener_ids"] or ()

for line in sys.stdin:
    text = line.rstrip("\n")
    encoding = tokenizer.encode(text, add_special_tokens=False)
    framed = [special["cls"], *encoding.ids[: width - 2], special["sep"]]
    source = np.full((schema["batch_size"], width), special["pad"], np.int32)
    source[0, : len(framed)] = framed
    length = np.zeros(len(source), np.int32)  # 0 is a row of nothing
    length[0] = len(framed) if encoding.ids else 0
    out = {name: np.asarray(x)[0] for name, x in program.call(params, source, length).items()}
    ids, parts, triples = out["ids"][: out["length"]].tolist(), [[]], {}
    for place, token in enumerate([*ids, schema["triple_end_id"]]):
        if token == schema["triple_end_id"] or token in openers:  # what stood before is a triple
            if len(parts) == 3 and all(parts):
                names = [parts[1], parts[2]] if schema["relation_first"] else parts[:2]
                last = [out["positions"][name[-1]] for name in names]
                starts = [end - len(name) + 1 for end, name in zip(last, names, strict=True)]
                spans = zip(starts, last, strict=True)
                cut = [text[encoding.offsets[a][0] : encoding.offsets[b][1]] for a, b in spans]
                relation = parts[0] if schema["relation_first"] else parts[2]
                score = math.exp(sum(out["log_probs"][part].sum() for part in parts))
                name = relation_of[tuple(ids[i] for i in relation)]
                triples.setdefault((cut[0], name, cut[1]), score)
            parts = [[place], []] if token in openers else [[]]
        elif token == schema["part_end_id"]:
            parts.append([])
        else:
            parts[-1].append(place)
    found = [(*triple, score) for triple, score in triples.items()]
    print(json.dumps({"text": text, "triples": found}, ensure_ascii=False))
