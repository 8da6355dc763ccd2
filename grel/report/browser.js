// The browser of sentences and the table of relations, drawn from the page's one block of data.
// Everything from the data enters the page through textContent and attributes, never as markup.
(() => {
  "use strict";
  const { make, traceDetails } = shared;
  const data = JSON.parse(document.getElementById("data").textContent);
  const PAGE_SIZE = 20;
  const $ = (id) => document.getElementById(id);

  const STATUS = { found: "found", missed: "missed", correct: "correct", wrong: "wrong",
    dropped: "dropped by the protocol" };

  function option(value, text) {
    const element = make("option", "", text);
    element.value = value;
    return element;
  }

  // ---- Filters

  const state = { page: 0, cell: null };
  let shown = [];

  function rowsOf(sentence) {
    return [sentence.gold, ...sentence.predicted].flat();
  }

  /** What the search looks at; made once a sentence, when first asked for. */
  function haystack(sentence) {
    sentence.haystack ??= [
      sentence.id,
      sentence.pieces.map((piece) => piece[0]).join(""),
      ...rowsOf(sentence).flatMap((row) => [row.head, data.relations[row.relation], row.tail]),
    ].join("\n").toLowerCase();
    return sentence.haystack;
  }

  const CLASS_TEST = {
    all: () => true,
    correct: (sentence) => sentence.classes.length === 0,
    any: (sentence) => sentence.classes.length > 0,
    traced: (sentence) => sentence.traces !== undefined,
  };

  function classTest(name) {
    return CLASS_TEST[name] ?? ((sentence) => sentence.classes.includes(name));
  }

  function applyFilters() {
    const hasClass = classTest($("class-filter").value);
    const relation = $("relation-filter").value;
    const compare = $("compare-filter").value;
    const query = $("search").value.trim().toLowerCase();
    const cell = state.cell && new Set(state.cell.sentences);
    shown = [];
    data.sentences.forEach((sentence, index) => {
      if (
        hasClass(sentence) &&
        (relation === "" || rowsOf(sentence).some((row) => row.relation === Number(relation))) &&
        (compare === "" || sentence.compare.includes(compare)) &&
        (!cell || cell.has(index)) &&
        (query === "" || haystack(sentence).includes(query))
      ) shown.push(sentence);
    });
    $("cell-filter").hidden = !cell;
    $("cell-filter").textContent = cell ? `${state.cell.name} ✕` : "";
    showPage(0);
  }

  function showPage(page) {
    const last = Math.max(0, Math.ceil(shown.length / PAGE_SIZE) - 1);
    state.page = Math.min(Math.max(page, 0), last);
    const start = state.page * PAGE_SIZE;
    $("list").replaceChildren(...shown.slice(start, start + PAGE_SIZE).map(sentenceCard));
    const total = data.sentences.length.toLocaleString("en");
    $("count").textContent = `${shown.length.toLocaleString("en")} of ${total} sentences`;
    $("page").textContent = `Page ${state.page + 1} of ${last + 1}`;
    $("previous").disabled = state.page === 0;
    $("next").disabled = state.page === last;
  }

  function fillFilters() {
    const count = (test) => data.sentences.filter(test).length.toLocaleString("en");
    // Sentences are filtered by errors of the first system; some classes only the second may have.
    const ofFirst = data.classes.filter(([name]) => data.sentences.some(classTest(name)));
    const classes = [["all", "All sentences"], ["correct", "All right"], ["any", "Any error"],
      ...ofFirst];
    if (data.sentences.some(CLASS_TEST.traced)) classes.push(["traced", "With a trace"]);
    for (const [name, text] of classes) {
      $("class-filter").append(option(name, `${text} (${count(classTest(name))})`));
    }
    $("relation-filter").append(option("", "Any"));
    data.relations
      .map((name, index) => [name, index])
      .sort((a, b) => a[0].localeCompare(b[0], "en"))
      .forEach(([name, index]) => $("relation-filter").append(option(String(index), name)));
    $("compare-filter").append(option("", "All sentences"));
    for (const [name, text] of data.comparisons) {
      const number = count((sentence) => sentence.compare.includes(name));
      $("compare-filter").append(option(name, `${text} (${number})`));
    }
    $("compare-label").hidden = data.comparisons.length === 0;
  }

  function reset() {
    $("class-filter").value = "all";
    $("relation-filter").value = "";
    $("compare-filter").value = "";
    $("search").value = "";
    state.cell = null;
    applyFilters();
  }

  // ---- One sentence

  function sentenceCard(sentence) {
    const text = make("p", "text");
    const buttons = [];
    const sides = [["Gold", sentence.gold],
      ...sentence.predicted.map((rows, system) => [data.systems[system], rows])];
    let selected = null;

    const draw = () => {
      text.replaceChildren(...markedText(sentence, selected));
      buttons.forEach((button, row) => button.setAttribute("aria-pressed", String(row === selected)));
    };
    const places = new Set(sentence.pieces.flatMap((piece) => piece[1]));
    const columns = sides.map(([title, rows]) => {
      const list = make("ul");
      for (const row of rows) {
        const index = buttons.length;
        const button = tripleButton(row, [2 * index, 2 * index + 1].map((mark) => places.has(mark)));
        button.addEventListener("click", () => {
          selected = selected === index ? null : index;
          draw();
        });
        buttons.push(button);
        list.append(make("li", "", button));
      }
      if (rows.length === 0) list.append(make("li", "quiet", "no triples"));
      return make("section", "", make("h4", "", title), list);
    });
    draw();

    const chips = sentence.classes.length === 0
      ? [make("span", "chip correct", "all right")]
      : sentence.classes.map((name) => make("span", `chip ${name}`, className(name)));
    const card = make("article", "sentence",
      make("header", "", make("h3", "", sentence.id), ...chips),
      text, make("div", "sides", ...columns));
    card.append(...(sentence.traces ?? []).map(traceDetails));
    return card;
  }

  function className(name) {
    return data.classes.find((pair) => pair[0] === name)[1].toLowerCase();
  }

  /** The sentence with its marks: those of one row, or of gold and of the first system. */
  function markedText(sentence, selected) {
    const numGold = sentence.gold.length;
    const numMarked = numGold + sentence.predicted[0].length;
    return sentence.pieces.map(([string, marks]) => {
      const roles = new Set();
      for (const mark of marks) {
        const row = mark >> 1;
        if (selected === null ? row < numMarked : row === selected) {
          roles.add(`${row < numGold ? "gold" : "predicted"}-${mark % 2 ? "tail" : "head"}`);
        }
      }
      if (roles.size === 0) return string;
      const mark = make("mark", [...roles].join(" "), string);
      mark.title = [...roles].map((role) => role.replace("-", " ")).join(", ");
      return mark;
    });
  }

  function tripleButton(row, found) {
    const status = Array.isArray(row.status) ? row.status[0] : row.status;
    const button = make("button", `triple ${status}`,
      make("span", "head", row.head), " — ",
      make("span", "relation", data.relations[row.relation]), " → ",
      make("span", "tail", row.tail));
    button.type = "button";
    const verdict = make("span", "verdict");
    if (Array.isArray(row.status) && data.systems.length > 1) {
      verdict.append(...row.status.flatMap((one, system) =>
        [system ? " · " : "", `${data.systems[system]}: `, make("b", one, STATUS[one])]));
    } else {
      verdict.append(make("b", status, STATUS[status]));
    }
    const details = row.errors.map((name) => className(name));
    if (row.score !== null) details.push(`score ${row.score}`);
    ["head", "tail"].forEach((role, index) => {
      if (!found[index]) details.push(`${role} is not in the sentence`);
    });
    if (details.length) verdict.append(" · ", details.join(" · "));
    button.append(verdict);
    return button;
  }

  // ---- The confusion of relations

  function drawMatrix() {
    const { names, cells, note } = data.confusion;
    $("matrix-note").textContent = note;
    if (cells.length === 0) return;
    const largest = { right: 1, wrong: 1 };
    const found = new Map();
    for (const [gold, predicted, kind, sentences] of cells) {
      const key = `${gold},${predicted}`;
      found.set(key, [...(found.get(key) ?? []), [kind, sentences]]);
      largest[kind] = Math.max(largest[kind], sentences.length);
    }
    const header = (scope, ...children) => {
      const cell = make("th", "", ...children);
      cell.scope = scope;
      return cell;
    };
    const top = names.map((name) => header("col", titled(make("span", "", short(name)), name)));
    const body = names.map((name, gold) => make("tr", "",
      titled(header("row", short(name)), name),
      ...names.map((other, predicted) => {
        const parts = found.get(`${gold},${predicted}`) ?? [];
        return make("td", "", ...parts.map(([kind, sentences]) => {
          const level = Math.ceil((4 * Math.log1p(sentences.length)) / Math.log1p(largest[kind]));
          const button = make("button", `${kind}-${level}`, String(sentences.length));
          button.type = "button";
          const folded = gold === predicted && kind === "wrong";
          const label = `gold ${name}, predicted ${folded ? "another of them" : other}`;
          button.title = label;
          button.setAttribute("aria-label", `${sentences.length}: ${label}`);
          button.addEventListener("click", () => {
            reset();
            state.cell = { sentences, name: label };
            applyFilters();
            $("sentences").scrollIntoView();
            $("cell-filter").focus({ preventScroll: true });
          });
          return button;
        }));
      })));
    $("matrix").append(make("table", "matrix",
      make("thead", "", make("tr", "", make("td"), ...top)), make("tbody", "", ...body)));
  }

  function titled(element, title) {
    element.title = title;
    return element;
  }

  /** The last part of a relation's path, which is what tells it from others. */
  function short(name) {
    const end = name.split("/").pop() || name;
    return end.length > 28 ? `…${end.slice(-27)}` : end;
  }

  // ---- Start

  const whose = data.systems.length > 1
    ? `Marks and error classes are those of ${data.systems[0]}. ` : "";
  $("marks-note").textContent = `${whose}Choose a triple to see it alone.`;
  fillFilters();
  drawMatrix();
  for (const id of ["class-filter", "relation-filter", "compare-filter"]) {
    $(id).addEventListener("change", applyFilters);
  }
  $("search").addEventListener("input", applyFilters);
  $("reset").addEventListener("click", reset);
  $("cell-filter").addEventListener("click", () => {
    state.cell = null;
    applyFilters();
    $("search").focus();
  });
  $("previous").addEventListener("click", () => showPage(state.page - 1));
  $("next").addEventListener("click", () => showPage(state.page + 1));
  reset();
})();
