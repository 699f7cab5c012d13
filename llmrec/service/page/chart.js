/** A small line chart, made of SVG elements; its figures stand in a table beside it. */

import { el, svg } from "./elements.js";
import { decimal } from "./format.js";

const [WIDTH, HEIGHT] = [320, 150];
const EDGE = { left: 46, right: 10, top: 10, bottom: 26 };

/** Series of {name, points: [[x, y], …]}; the first is drawn full, the second dashed: colour says nothing alone. */
export function lineChart(series, { label, xName, yName }) {
  const points = series.flatMap((one) => one.points);
  const [left, right] = spread(points.map(([x]) => x));
  const [low, high] = spread([0, ...points.map(([, y]) => y)]);
  const x = (value) => EDGE.left + ((value - left) / (right - left)) * (WIDTH - EDGE.left - EDGE.right);
  const y = (value) => EDGE.top + ((high - value) / (high - low)) * (HEIGHT - EDGE.top - EDGE.bottom);
  const lines = series.map(({ points: own }, place) =>
    svg(
      "g",
      { class: `series series-${place}` },
      svg("polyline", { points: own.map(([a, b]) => `${x(a)},${y(b)}`).join(" ") }),
      own.map(([a, b]) => svg("circle", { cx: x(a), cy: y(b), r: 2.6 })),
    ),
  );
  return el(
    "figure",
    { class: "chart" },
    svg(
      "svg",
      { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label },
      [low, 0, high].filter((value, at, all) => all.indexOf(value) === at).map((value) => rule(value, y(value))),
      [...new Set([left, right])].map((value, place) => tick(value, x(value), place)),
      svg("text", { class: "axis", x: (EDGE.left + WIDTH) / 2, y: HEIGHT - 3, "text-anchor": "middle" }, xName),
      lines,
    ),
    el(
      "figcaption",
      {},
      series.map(({ name }, place) => el("span", { class: "legend" }, swatch(place), name)),
    ),
    table(series, xName, yName),
  );
}

function spread(values) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  return low === high ? [low, low + 1] : [low, high];
}

function rule(value, at) {
  return svg(
    "g",
    { class: value === 0 ? "rule zero" : "rule" },
    svg("line", { x1: EDGE.left, x2: WIDTH - EDGE.right, y1: at, y2: at }),
    svg(
      "text",
      { class: "axis", x: EDGE.left - 6, y: at + 3, "text-anchor": "end" },
      value === 0 ? "0" : decimal(value, 3),
    ),
  );
}

function tick(value, at, place) {
  return svg("text", { class: "axis", x: at, y: HEIGHT - 3, "text-anchor": place ? "end" : "start" }, String(value));
}

function swatch(place) {
  return svg(
    "svg",
    { class: `swatch series series-${place}`, viewBox: "0 0 24 8", "aria-hidden": "true" },
    svg("polyline", { points: "0,4 24,4" }),
  );
}

function table(series, xName, yName) {
  const rows = series.flatMap(({ name, points }) =>
    points.map(([x, y]) =>
      el("tr", {}, el("td", {}, name), el("td", {}, String(x)), el("td", { class: "figures" }, decimal(y, 4))),
    ),
  );
  return el(
    "details",
    { class: "how" },
    el("summary", {}, "Figures"),
    el(
      "table",
      {},
      el(
        "thead",
        {},
        el(
          "tr",
          {},
          ["release", xName, yName].map((name) => el("th", { scope: "col" }, name)),
        ),
      ),
      el("tbody", {}, rows),
    ),
  );
}
