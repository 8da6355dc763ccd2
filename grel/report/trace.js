// What pages of texts have in common: elements made without markup, and the decoding trace.
// A page's own script stands behind it in the same element, so that one hash allows both.
const shared = (() => {
  "use strict";
  const MAX_CANDIDATES = 24;
  const STRATEGY = {
    any: "any token",
    sentence: "a token of the sentence",
    grammar: "what the form of triples allows",
    free: "any token: the sentence offers none",
  };

  /** An element with a class, and texts or elements inside. */
  function make(tag, className, ...children) {
    const element = document.createElement(tag);
    if (className) element.className = className;
    element.append(...children);
    return element;
  }

  function traceDetails(trace, window, windows) {
    const part = windows.length > 1 ? ` of window ${window + 1}` : "";
    const summary = make("summary", "", `Decoding trace${part}, ${trace.steps.length} steps`);
    const details = make("details", "trace", summary);
    // Drawn when first opened: a page of traces has thousands of cells.
    details.addEventListener("toggle", () => {
      if (details.childElementCount === 1) details.append(...traceTable(trace));
    });
    return details;
  }

  function traceTable(trace) {
    const tokens = trace.tokens.map((token) => make("span", "token", token));
    const head = ["Step", "Label", "Strategy", "Candidates", "Choice"].map((text) => {
      const cell = make("th", "", text);
      cell.scope = "col";
      return cell;
    });
    const rows = trace.steps.map((step, index) => stepRow(trace, step, index, tokens));
    const table = make("table", "steps",
      make("thead", "", make("tr", "", ...head)), make("tbody", "", ...rows));
    const scroll = make("div", "scroll", table);
    scroll.tabIndex = 0;
    return [make("p", "source", ...tokens), scroll];
  }

  function stepRow(trace, [label, strategy, matchLength, candidates, token], index, tokens) {
    const before = trace.steps.slice(Math.max(0, index - matchLength), index);
    const copied = before.map((step) => step[4]).join(" ");
    const told = strategy === "continue" ? `what follows “${copied}”` : STRATEGY[strategy];
    const cell = make("td");
    if (candidates !== null) {
      const texts = candidates.map((c) => (typeof c === "number" ? trace.tokens[c] : c));
      for (const text of texts.slice(0, MAX_CANDIDATES)) {
        cell.append(make("span", text === token ? "token chosen" : "token offered", text));
      }
      if (texts.length > MAX_CANDIDATES) cell.append(`and ${texts.length - MAX_CANDIDATES} more`);
    } else {
      const all = strategy === "any" || strategy === "free";
      cell.append(make("span", "quiet", all ? "the whole vocabulary" : "every token of the sentence"));
    }
    const row = make("tr", "",
      make("td", "quiet", String(index + 1)),
      make("td", "", make("span", `label ${label}`, label)),
      make("td", "", told), cell, make("td", "", make("span", "token chosen", token)));
    const places = new Set(candidates?.filter((c) => typeof c === "number")
      .map((c) => trace.tokens[c]));
    const everything = candidates === null && strategy === "sentence";
    row.addEventListener("mouseenter", () => tokens.forEach((element) => {
      const text = element.textContent;
      element.classList.toggle("offered", everything || places.has(text));
      element.classList.toggle("chosen", text === token && (everything || places.has(text)));
    }));
    row.addEventListener("mouseleave", () =>
      tokens.forEach((element) => element.classList.remove("offered", "chosen")));
    return row;
  }

  return { make, traceDetails };
})();
