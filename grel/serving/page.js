// A text is sent to the server; what the slider and the ticks hide, they hide here.
// Everything from an answer enters the page through textContent and attributes, never as markup.
(() => {
  "use strict";
  const { make, traceDetails } = shared;
  const $ = (id) => document.getElementById(id);
  let schema = null;
  let answer = null; // the record, its code points, its traces and what was told of it
  let chosen = null;
  let asking = null;

  async function ask(path, options) {
    let response;
    try {
      response = await fetch(path, options);
    } catch (error) {
      throw error.name === "AbortError" ? error : new Error("The server does not answer.");
    }
    const body = await response.json().catch(() => ({}));
    if (!response.ok) throw new Error(body.error ?? `The server answers with status ${response.status}.`);
    return body;
  }

  function complain(message) {
    $("error").hidden = message === "";
    $("error").textContent = message;
  }

  // ---- The question

  function ticks() {
    return [...$("ticks").querySelectorAll("input")];
  }

  function tickedRelations() {
    return ticks().filter((tick) => tick.checked).map((tick) => tick.value);
  }

  async function extract() {
    asking?.abort();
    const mine = new AbortController();
    asking = mine;
    const question = { texts: [$("text").value], min_score: 0, trace: schema.can_trace };
    const relations = tickedRelations();
    if (schema.can_restrict && relations.length > 0 && relations.length < schema.relations.length) {
      question.relations = relations;
    }
    $("status").textContent = "extracting …";
    complain("");
    try {
      const { documents: [record], tally, traces } = await ask("extract", {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify(question),
        signal: mine.signal,
      });
      record.triples.forEach((triple, index) => { triple.number = index + 1; });
      answer = { record, points: [...record.text], tally, traces: traces?.[0] ?? [] };
      chosen = null;
      $("status").textContent = "done";
      $("traces").replaceChildren(...answer.traces.map(traceDetails));
      show();
    } catch (error) {
      if (error.name === "AbortError") return;
      $("status").textContent = "";
      complain(error.message);
    } finally {
      if (asking === mine) asking = null;
    }
  }

  // ---- The answer

  function shownTriples() {
    const least = Number($("min-score").value);
    const relations = new Set(tickedRelations());
    return answer.record.triples.filter((triple) =>
      (triple.score ?? 0) >= least && relations.has(triple.relation));
  }

  function show() {
    $("least").textContent = Number($("min-score").value).toFixed(2);
    $("ticked").textContent = `${tickedRelations().length} of ${schema.relations.length}`;
    $("answer").hidden = answer === null;
    if (answer === null) return;
    const triples = shownTriples();
    if (!triples.some((triple) => triple.number === chosen)) chosen = null;
    const marked = triples.filter((triple) => chosen === null || triple.number === chosen);
    $("marked").replaceChildren(...markedText(marked));
    $("told").textContent = told(triples.length);
    $("table").tBodies[0].replaceChildren(...triples.map(tableRow));
    const [picture, note] = graph.draw(triples, chosen, choose);
    $("graph").replaceChildren(picture);
    $("graph-note").textContent = note;
  }

  function choose(number) {
    chosen = chosen === number ? null : number;
    show();
  }

  /** The text in pieces, cut where a name begins or ends; spans count code points. */
  function markedText(triples) {
    const { points } = answer;
    const spans = triples.flatMap((triple) => ["head", "tail"].flatMap((role) => {
      const span = triple[`${role}_span`];
      return span ? [{ role, start: span[0], end: span[1] }] : [];
    }));
    const cuts = [...new Set([0, points.length, ...spans.flatMap(({ start, end }) => [start, end])])]
      .sort((a, b) => a - b);
    return cuts.slice(1).map((end, index) => {
      const start = cuts[index];
      const string = points.slice(start, end).join("");
      const roles = new Set(spans.filter((span) => span.start <= start && end <= span.end)
        .map(({ role }) => role));
      if (roles.size === 0) return string;
      const mark = make("mark", [...roles].map((role) => `predicted-${role}`).join(" "), string);
      mark.title = [...roles].join(", ");
      return mark;
    });
  }

  function told(count) {
    const { record, tally } = answer;
    const more = Object.entries(tally).filter(([, number]) => number > 0)
      .map(([name, number]) => `${name.replaceAll("_", " ")}: ${number}`);
    return [`${count} of ${record.triples.length} triples shown`, ...more].join(" · ");
  }

  function tableRow(triple) {
    const button = make("button", "", String(triple.number));
    button.type = "button";
    button.setAttribute("aria-pressed", String(triple.number === chosen));
    button.addEventListener("click", () => {
      choose(triple.number);
      // The row was drawn anew.
      $("table").querySelector(`tbody tr[data-number="${triple.number}"] button`)?.focus();
    });
    const score = (value) => (value === undefined ? "–" : value.toPrecision(3));
    const row = make("tr", "triple-row", make("td", "", button), make("td", "head", triple.head),
      make("td", "relation", triple.relation), make("td", "tail", triple.tail),
      make("td", "", score(triple.score)), make("td", "", score(triple.score_per_token)));
    row.dataset.number = triple.number;
    return row;
  }

  // ---- Start

  function relationTick(relation) {
    const tick = make("input");
    tick.type = "checkbox";
    tick.value = relation;
    tick.checked = true;
    tick.addEventListener("change", show);
    return make("label", "", tick, make("span", "", relation));
  }

  function tickAll(checked) {
    for (const tick of ticks()) tick.checked = checked;
    show();
  }

  async function start() {
    $("question").addEventListener("submit", (event) => event.preventDefault());
    try {
      schema = await ask("schema");
    } catch (error) {
      complain(error.message);
      return;
    }
    $("facts").textContent =
      `${schema.relations.length} relations · texts of up to ${schema.limits.characters.toLocaleString("en")} characters`;
    $("relations-note").textContent = schema.can_restrict
      ? "The model writes ticked relations alone: extract again after ticking more."
      : "The model writes all of its relations; unticked ones are hidden.";
    $("ticks").append(...schema.relations.map(relationTick));
    $("min-score").value = String(schema.min_score);
    $("question").addEventListener("submit", extract);
    $("min-score").addEventListener("input", show);
    $("tick-all").addEventListener("click", () => tickAll(true));
    $("tick-none").addEventListener("click", () => tickAll(false));
    $("text").addEventListener("keydown", (event) => {
      if (event.key === "Enter" && event.ctrlKey) $("question").requestSubmit();
    });
    show();
    document.body.dataset.ready = "yes";
  }

  start();
})();
