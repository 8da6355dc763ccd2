// Triples as a graph: names on an ellipse, relations as arrows between them.
const graph = (() => {
  "use strict";
  const MAX_NAMES = 40;
  const WIDTH = 720;
  const HEIGHT = 440;
  const CENTER = { x: WIDTH / 2, y: HEIGHT / 2 };
  const RADIUS = { x: 200, y: 150 };
  const BEND = 46;
  const LABEL = 9;

  function svg(tag, attributes, ...children) {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  }

  /** Cut in code points, so that no character is halved. */
  function short(text, length) {
    const points = [...text];
    return points.length > length ? `${points.slice(0, length - 1).join("")}…` : text;
  }

  function places(names) {
    return new Map(names.map((name, index) => {
      const angle = Math.PI + (2 * Math.PI * index) / names.length;
      const reach = names.length > 1 ? 1 : 0;
      return [name, {
        x: CENTER.x + reach * RADIUS.x * Math.cos(angle),
        y: CENTER.y + reach * RADIUS.y * Math.sin(angle),
      }];
    }));
  }

  function node(name, { x, y }) {
    const side = Math.sign(Math.round(x - CENTER.x));
    const above = side === 0 && y < CENTER.y;
    const text = svg("text", {
      x: x + 12 * side,
      y: y + (side !== 0 ? 4 : above ? -12 : 22),
      "text-anchor": ["end", "middle", "start"][side + 1],
    }, short(name, 22));
    return svg("g", { class: "node" }, svg("title", {}, name), svg("circle", { cx: x, cy: y, r: 6 }), text);
  }

  /** The path of an arrow, and where its label stands; `nth` of those between the same names. */
  function curve(from, to, nth) {
    if (from === to) {
      const reach = 50 + 26 * nth;
      const { x, y } = from;
      return {
        d: `M ${x} ${y} C ${x - reach} ${y - reach} ${x + reach} ${y - reach} ${x} ${y}`,
        x, y: y - 0.78 * reach,
      };
    }
    const [dx, dy] = [to.x - from.x, to.y - from.y];
    const length = Math.hypot(dx, dy);
    // To its left, seen from its beginning: arrows there and back keep apart.
    const bend = BEND * (nth + 0.5);
    const [x, y] = [(from.x + to.x) / 2 + (bend * dy) / length, (from.y + to.y) / 2 - (bend * dx) / length];
    return {
      d: `M ${from.x} ${from.y} Q ${x} ${y} ${to.x} ${to.y}`,
      // Beside the middle of the arrow, on its outer side.
      x: (from.x + to.x) / 4 + x / 2 + (LABEL * dy) / length,
      y: (from.y + to.y) / 4 + y / 2 - (LABEL * dx) / length + 4,
    };
  }

  /**
   * The graph of triples, each with a `number`. The chosen one is told apart, and a click on one
   * calls `choose` with its number.
   */
  function draw(triples, chosen, choose) {
    const names = [...new Set(triples.flatMap((triple) => [triple.head, triple.tail]))];
    const place = places(names.slice(0, MAX_NAMES));
    const seen = new Map();
    const edges = triples.filter(({ head, tail }) => place.has(head) && place.has(tail)).map((triple) => {
      const pair = JSON.stringify([triple.head, triple.tail]);
      const nth = seen.get(pair) ?? 0;
      seen.set(pair, nth + 1);
      const { d, x, y } = curve(place.get(triple.head), place.get(triple.tail), nth);
      const edge = svg("g", { class: triple.number === chosen ? "edge selected" : "edge" },
        svg("title", {}, `${triple.head} — ${triple.relation} → ${triple.tail}`),
        svg("path", { d, "marker-end": "url(#arrow)" }),
        svg("text", { x, y }, short(triple.relation.split("/").pop() || triple.relation, 26)));
      edge.addEventListener("click", () => choose(triple.number));
      return edge;
    });
    const marker = svg("marker", {
      id: "arrow", markerUnits: "userSpaceOnUse", markerWidth: 12, markerHeight: 12,
      refX: 17, refY: 6, orient: "auto",
    }, svg("path", { class: "arrow", d: "M 0 1 L 11 6 L 0 11 z" }));
    const picture = svg("svg", {
      viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img",
      "aria-label": `Graph of ${names.length} names; the table says the same`,
    }, svg("defs", {}, marker), ...edges, ...[...place].map(([name, at]) => node(name, at)));
    const hidden = names.length - place.size;
    return [picture, hidden > 0 ? `${hidden} more names are in the table.` : ""];
  }

  return { draw };
})();
