/** The parts of scores against their means on a list: all that set its items apart, however high they stand together. */

import { partName } from "./format.js";

/** part -> its mean; where an item lacks it, it adds nothing to the score. */
export function partMeans(items) {
  const means = new Map();
  for (const { parts } of items) {
    for (const [name, value] of Object.entries(parts ?? {}))
      means.set(name, (means.get(name) ?? 0) + value / items.length);
  }
  return means;
}

/** Rows for bars: its name, how far it is above the mean, and the part itself. */
export function partRows({ parts }, means) {
  return Object.entries(parts ?? {}).map(([name, value]) => [partName(name), apart(value, means.get(name)), value]);
}

/** What rounding alone leaves would be drawn as a bar where nothing else sets the items apart. */
function apart(value, mean) {
  const difference = value - mean;
  return Math.abs(difference) < 1e-9 ? 0 : difference;
}
