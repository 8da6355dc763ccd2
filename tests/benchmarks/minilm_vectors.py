"""Word vectors out of a pretrained encoder, for the systems that read words.

python -m tests.benchmarks.minilm_vectors --weights=weights/minilm --jsonl=train.jsonl \
    --output=vectors.txt [--num_features=100]

A word gets the mean of its wordpieces' embeddings. Principal components bring them to the width
asked for, and a common factor to the size of a random start. Only words of the records are written,
in GloVe's form.
"""

import argparse
from pathlib import Path

import numpy as np
from transformers import BertTokenizerFast

from grel.pretrained import foreign
from grel.records import read_jsonl

_EMBEDDING = "embeddings.word_embeddings.weight"
# The deviation of numbers between -.25 and .25, as which PtDec and WordDec start their words.
_DEVIATION = 0.25 / np.sqrt(3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", required=True, help="folder of grel.pretrained --fetch")
    parser.add_argument("--jsonl", required=True, help="training records of grel")
    parser.add_argument("--output", required=True, help="the file of vectors")
    parser.add_argument("--num_features", type=int, default=100, help="numbers a word")
    a = parser.parse_args()
    tensors = foreign.read(Path(a.weights) / "model.safetensors")
    pieces_VD = next(tensor for name, tensor in tensors.items() if name.endswith(_EMBEDDING))
    tokenizer = BertTokenizerFast(str(Path(a.weights) / "vocab.txt"))
    words = sorted({word for document in read_jsonl(a.jsonl) for word in document.text.split()})
    ids = tokenizer(words, add_special_tokens=False)["input_ids"]
    of_words_WD = np.stack([pieces_VD[i].mean(0) for i in ids if i]).astype(np.float32)
    words = [word for word, i in zip(words, ids, strict=True) if i]
    of_words_WD -= of_words_WD.mean(0)
    _, _, components_DD = np.linalg.svd(of_words_WD, full_matrices=False)
    vectors_WX = of_words_WD @ components_DD[: a.num_features].T
    vectors_WX *= _DEVIATION / vectors_WX.std()
    with open(a.output, "w", encoding="utf-8") as file:
        for word, vector in zip(words, vectors_WX, strict=True):
            print(word, *(f"{number:.5f}" for number in vector), file=file)
    print(f"{len(words)} words of {a.num_features} numbers in {a.output}")


if __name__ == "__main__":
    main()
