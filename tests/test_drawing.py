"""Drawings of documents: what is marked, that graph and table are whole, and hostile texts."""

from html.parser import HTMLParser
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from grel.drawing import MAX_NAMES, MAX_ROWS, Edge, drawing, marked, pieces
from grel.records import Document, Triple

TEXT = "Ann Moore , chairman of Time Inc. , lives in New York"
WORKS = Triple("Ann Moore", "/business/company", "Time Inc.", (0, 9), (24, 33), score=0.98765)
LIVES = Triple("Ann Moore", "lives_in", "New York", (0, 9), (45, 53))


class Page(HTMLParser):
    """Elements with their attributes and all text inside, as a browser would have them."""

    VOID = ("circle", "path", "polygon")

    def __init__(self, content):
        super().__init__()
        self.elements, self._open = [], []
        self.feed(content)
        self.close()
        assert not self._open

    def handle_starttag(self, tag, attrs):
        element = {"tag": tag, "text": "", **dict(attrs)}
        self.elements.append(element)
        self._open.append(element)

    def handle_startendtag(self, tag, attrs):
        assert tag in self.VOID
        self.elements.append({"tag": tag, **dict(attrs)})

    def handle_endtag(self, tag):
        assert self._open.pop()["tag"] == tag

    def handle_data(self, data):
        for element in self._open:
            element["text"] += data

    def all(self, tag):
        return [element for element in self.elements if element["tag"] == tag]

    def texts(self, tag):
        return [element["text"] for element in self.all(tag)]


def test_a_document_shows_its_text_its_marks_its_graph_and_its_table():
    page = Page(Document("a", TEXT, (WORKS, LIVES))._repr_html_())
    assert page.texts("p") == [TEXT]
    assert [(mark["text"], mark["title"]) for mark in page.all("mark")] == [
        ("Ann Moore", "head of /business/company; head of lives_in"),
        ("Time Inc.", "tail of /business/company"),
        ("New York", "tail of lives_in"),
    ]
    assert page.texts("text") == [
        *("company", "lives_in"),
        *("Ann Moore", "Time Inc.", "New York"),
    ]
    assert len(page.all("polygon")) == 2
    assert page.texts("td") == [
        *("Ann Moore", "/business/company", "Time Inc.", "0.988"),
        *("Ann Moore", "lives_in", "New York", ""),
    ]


def test_without_triples_there_is_only_the_text():
    page = Page(Document("a", TEXT)._repr_html_())
    assert [element["tag"] for element in page.elements] == ["div", "p"]
    assert page.texts("p") == [TEXT]


def test_without_a_span_a_name_is_marked_wherever_it_stands():
    triple = Triple("ana", "is", "ana", tail_span=(7, 10))
    assert triple.places("ana or ana") == (((0, 3), (7, 10)), ((7, 10),))
    assert Triple("bob", "is", "eve").places("ana or ana") == ((), ())
    page = Page(Document("a", "ana or ana", (triple,))._repr_html_())
    assert [mark["title"] for mark in page.all("mark")] == ["head of is", "head of is; tail of is"]


def test_arrows_between_the_same_names_keep_apart():
    names = [("a", "b"), ("a", "b"), ("b", "a"), ("a", "a"), ("a", "a")]
    page = Page(drawing("a b", [Edge(head, "r", tail) for head, tail in names]))
    assert len({path["d"] for path in page.all("path")}) == len(names)
    assert len({(text["x"], text["y"]) for text in page.all("text")}) == len(names) + 2


def test_what_is_too_much_is_told():
    edges = [Edge(f"h{n}", "r", f"t{n}") for n in range(MAX_ROWS + 5)]
    page = Page(drawing("x", edges))
    assert len(page.all("circle")) == MAX_NAMES
    assert len(page.all("tr")) == 1 + MAX_ROWS
    more = 2 * len(edges) - MAX_NAMES
    assert page.texts("p")[1:] == [
        f"{more} more names are in the table.",
        "5 more triples are not shown.",
    ]


names = st.text(min_size=1, max_size=30)
hostile = st.sampled_from(
    ["</p><script>alert(1)</script>", "\"'><img src=x onerror=y>", "&lt;&#0;"]
)


@st.composite
def drawn(draw):
    """A text and triples of any names at any places."""
    text = draw(st.text(max_size=20)) + "</p><b>"
    offset = st.integers(0, len(text))
    spans = st.lists(st.tuples(offset, offset).map(sorted).map(tuple), max_size=2)
    name = names | hostile
    edge = st.builds(Edge, name, name, name, st.floats(0, 1), st.tuples(spans, spans))
    return text, draw(st.lists(edge, max_size=4))


@given(drawn())
def test_any_text_is_shown_and_never_markup(given):
    text, edges = given
    content = drawing(text, edges)
    content.encode()
    page = Page(content)
    allowed = {"div", "p", "mark", "svg", "g", "title", *Page.VOID, "text", "table", "tr"}
    assert {element["tag"] for element in page.elements} <= allowed | {"th", "td"}
    assert {name.partition("-")[0] for element in page.elements for name in element} <= {
        *("tag", "style", "dir", "title", "viewbox", "role", "aria", "cx", "cy", "r", "fill", "d"),
        *("x", "y", "text", "stroke", "points", "font"),
    }
    assert page.texts("p")[0] == text.encode(errors="replace").decode()
    cells = [cell for e in edges for cell in (e.head, e.relation, e.tail)]
    shown = [text for n, text in enumerate(page.texts("td")) if n % 4 < 3]
    assert shown == [cell.encode(errors="replace").decode() for cell in cells]


def test_the_graph_is_well_formed():
    content = drawing("x", [Edge("a & b", "<r>", "c"), Edge("c", "r", "c")])
    svg = content[content.index("<svg") : content.index("</svg>") + len("</svg>")]
    assert ElementTree.fromstring(svg).attrib["viewBox"] == "0 0 720 440"


def test_spans_that_nest_and_overlap_are_cut_as_the_docstring_says():
    assert pieces("New York City", [((0, 13), 0), ((4, 8), 1)]) == [
        ("New ", (0,)),
        ("York", (0, 1)),
        (" City", (0,)),
    ]
    assert pieces("abcd", [((0, 3), 0), ((1, 4), 1), ((1, 3), 1)]) == [
        ("a", (0,)),
        ("bc", (0, 1)),
        ("d", (1,)),
    ]
    assert pieces("abc", []) == [("abc", ())]


@given(st.text(min_size=1, max_size=12), st.data())
def test_pieces_mark_each_character_as_a_literal_loop_does(text, data):
    offsets = st.integers(0, len(text) - 1).flatmap(
        lambda start: st.tuples(st.just(start), st.integers(start + 1, len(text)))
    )
    spans = data.draw(st.lists(st.tuples(offsets, st.integers(0, 3)), max_size=5))
    marks = [marks for string, marks in pieces(text, spans) for _ in string]
    assert marks == [
        tuple(sorted({mark for (start, end), mark in spans if start <= at < end}))
        for at in range(len(text))
    ]
    assert "".join(string for string, _ in pieces(text, spans)) == text


def test_triples_mark_their_heads_and_tails_by_number():
    cut = dict(marked(TEXT, [triple.places(TEXT) for triple in (WORKS, LIVES)]))
    assert cut["Ann Moore"] == (0, 2)
    assert cut["Time Inc."] == (1,)
    assert cut["New York"] == (3,)
