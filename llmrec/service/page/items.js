/** Items the page has met, and the search among all of them. */

import { ask, isAddressable, pathPart } from "./api.js";
import { attributeLine } from "./format.js";

const met = new Map();

export function remember(items) {
  for (const item of items) met.set(item.item_id, item);
}

/** The item, asked for once; null where there is none of that id any more, or no path leads to it. */
export async function itemOf(itemId, signal) {
  if (!isAddressable(itemId)) return null;
  if (!met.has(itemId)) {
    try {
      met.set(itemId, await ask(`v1/items/${pathPart(itemId)}`, { signal }));
    } catch (error) {
      if (error.status !== 404) throw error;
      return null;
    }
  }
  return met.get(itemId);
}

export async function seekItems(text, signal) {
  const { items } = await ask(`v1/items?query=${encodeURIComponent(text)}&limit=8`, { signal });
  remember(items);
  return items.map((item) => ({ words: item.title, detail: attributeLine(item.attributes, 2), value: item }));
}

/** Values by attribute name, of the items met so far: what a filter can ask for. */
export function knownValues() {
  const values = new Map();
  for (const { attributes } of met.values()) {
    for (const [name, value] of Object.entries(attributes ?? {})) {
      if (!values.has(name)) values.set(name, new Set());
      for (const one of [value].flat()) values.get(name).add(one);
    }
  }
  return values;
}
