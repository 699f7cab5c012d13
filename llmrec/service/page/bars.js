/** Signed bars around a common zero: to the right what lifts, to the left what lowers; the number stands beside. */

import { el } from "./elements.js";
import { signed } from "./format.js";

/** What a set of values needs: from its lowest to its highest, zero always within. */
export function scaleOf(values) {
  const low = Math.min(0, ...values);
  const high = Math.max(0, ...values);
  return high > low ? { low, high } : { low: 0, high: 1 };
}

/** Rows of [words, value, number], drawn to one scale; the number, the value where there is none, stands beside. */
export function barList(
  rows,
  { scale = scaleOf(rows.map(([, value]) => value)), label = null, written = signed } = {},
) {
  return el(
    "ul",
    { class: "bars", "aria-label": label },
    rows.map(([words, value, number = value]) => barRow(words, value, written(number), scale)),
  );
}

function barRow(words, value, number, { low, high }) {
  const at = (point) => ((point - low) / (high - low)) * 100;
  const fill = el("span", { class: value < 0 ? "bar-fill minus" : "bar-fill" });
  fill.style.left = `${at(Math.min(0, value))}%`;
  fill.style.width = `${Math.abs(at(value) - at(0))}%`;
  const zero = el("span", { class: "bar-zero" });
  zero.style.left = `${at(0)}%`;
  return el(
    "li",
    { class: "bar-row" },
    el("span", { class: "bar-words" }, words),
    el("span", { class: "bar", "aria-hidden": "true" }, fill, zero),
    el("span", { class: "bar-value figures" }, number),
  );
}
