/** Signed bars around a common zero: to the right what lifts, to the left what lowers; the number stands beside. */

import { el } from "./elements.js";
import { signed } from "./format.js";

/** What a set of values needs: from its lowest to its highest, zero always within. */
export function scaleOf(values) {
  const low = Math.min(0, ...values);
  const high = Math.max(0, ...values);
  return high > low ? { low, high } : { low: 0, high: 1 };
}

/** Rows of [words, value], drawn to one scale; `written` words a value. */
export function barList(
  rows,
  { scale = scaleOf(rows.map(([, value]) => value)), label = null, written = signed } = {},
) {
  return el(
    "ul",
    { class: "bars", "aria-label": label },
    rows.map(([words, value]) => barRow(words, value, scale, written)),
  );
}

function barRow(words, value, { low, high }, written) {
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
    el("span", { class: "bar-value figures" }, written(value)),
  );
}
