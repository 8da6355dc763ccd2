"""Documents of any Unicode, whose names and entities stand in their texts."""

from hypothesis import strategies as st

from grel.records import Document, Triple, check

# What a text may have; half of a surrogate pair has no form in UTF-8.
CHARACTERS = st.characters(exclude_categories=["Cs"])


@st.composite
def documents(draw, characters=CHARACTERS, labels=None, ids=None, with_scores=False):
    """A document whose triples and entities have spans, some of them the same or overlapping."""
    text = draw(st.text(characters, min_size=1, max_size=30).filter(lambda text: text.strip()))
    places = [n for n, char in enumerate(text) if char.strip()]
    labels = st.text(characters, min_size=1, max_size=5) if labels is None else labels
    labels = labels.map(str.strip).filter(_is_relation)

    def span():
        start, end = sorted((draw(st.sampled_from(places)), draw(st.sampled_from(places))))
        return start, end + 1

    spans = [span() for _ in range(draw(st.integers(1, 4)))]
    triples = []
    for _ in range(draw(st.integers(0, 3))):
        head, tail = draw(st.sampled_from(spans)), draw(st.sampled_from(spans))
        score = draw(st.floats(0, 1)) if with_scores and draw(st.booleans()) else None
        names = text[slice(*head)], draw(labels), text[slice(*tail)]
        triples.append(Triple(*names, head, tail, score))
    entities = [
        {"text": text[slice(*span)], "type": draw(labels), "span": list(span)}
        for span in dict.fromkeys(spans)
    ]
    id = draw(st.text(characters, min_size=1, max_size=8).filter(str.strip) if ids is None else ids)
    document = Document(id, text, tuple(triples), {"entities": entities})
    check(document)
    return document


def _is_relation(label):
    return label and label.casefold() not in ("none", "na", "n/a", "other")


def told(document):
    """What a round trip has to bring back."""
    entities = {
        (entity["text"], entity["type"], tuple(entity["span"]))
        for entity in document.other.get("entities", [])
    }
    return document.text, document.triples, entities
