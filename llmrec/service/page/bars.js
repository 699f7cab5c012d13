/** Signed bars around a common zero: to the right what lifts, to the left what lowers; the number stands beside. */

import { el } from "./elements.js";
import { signed } from "./format.js";

/** One row; `most` is the length of a full half. */
export function barRow(words, value, most) {
  const share = most > 0 ? Math.min(1, Math.abs(value) / most) : 0;
  const fill = el("span", { class: `bar-fill ${value < 0 ? "minus" : "plus"}` });
  fill.style.width = `${share * 50}%`;
  return el("li", { class: "bar-row" },
    el("span", { class: "bar-words" }, words),
    el("span", { class: "bar", "aria-hidden": "true" }, fill),
    el("span", { class: "bar-value figures" }, signed(value)));
}

/** Rows of [words, value], drawn to one scale. */
export function barList(rows, { most = null, label } = {}) {
  const scale = most ?? Math.max(...rows.map(([, value]) => Math.abs(value)), 0);
  return el("ul", { class: "bars", "aria-label": label }, rows.map(([words, value]) => barRow(words, value, scale)));
}
