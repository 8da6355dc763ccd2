from grel.corpora import card


def test_card_says_counts_rule_and_origin():
    statistics = {
        "examples": 10,
        "triples": 21,
        "relations": 4,
        "multi_token": {"2": 9, "3": 5, "3+": 1},
    }
    train = {"statistics": statistics, "digests": {"a.sent": "f00", "a.tup": "ba7"}, "faults": [1]}
    test = {"statistics": statistics | {"examples": 3}, "digests": {"b.sent": "0dd"}, "faults": []}
    text = card.markdown("nyt/x/1.0.0", "News.", "as they are", {"train": train, "test": test})
    assert text.startswith("# nyt/x/1.0.0\n\nNews.\n\nSplits: as they are.\n")
    tables = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()]
    assert [cells for cells in tables if cells and "---" not in cells] == [
        ["split", "examples", "triples", "relations"]
        + [f"multi-token {name}" for name in ("2", "3", "3+")]
        + ["faulty records left out"],
        ["train", "10", "21", "4", "9", "5", "1", "1"],
        ["test", "3", "21", "4", "9", "5", "1", "0"],
        ["split", "raw file", "SHA-256"],
        ["train", "a.sent", "f00"],
        ["train", "a.tup", "ba7"],
        ["test", "b.sent", "0dd"],
    ]
