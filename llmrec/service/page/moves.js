/** What changed between two lists, as words and as motion. */

import { count } from "./format.js";

const CALM = matchMedia("(prefers-reduced-motion: reduce)");

/** item id -> {kind, by} against the ranks before; empty when there was no list. */
export function movesBetween(before, items) {
  if (!before) return new Map();
  return new Map(
    items.map(({ item_id: id, rank }) => {
      if (!before.has(id)) return [id, { kind: "new", by: 0 }];
      const by = before.get(id).rank - rank;
      return [id, { kind: by > 0 ? "up" : by < 0 ? "down" : "same", by: Math.abs(by) }];
    }),
  );
}

export function moveWords(before, items, moves) {
  if (!before) return "";
  const kinds = [...moves.values()].map(({ kind }) => kind);
  const moved = kinds.filter((kind) => kind === "up" || kind === "down").length;
  const fresh = kinds.filter((kind) => kind === "new").length;
  const stay = new Set(items.map(({ item_id: id }) => id));
  const left = [...before].filter(([id]) => !stay.has(id)).map(([, { title }]) => title);
  const said = [
    moved && `${count(moved, "item")} moved`,
    fresh && `${fresh} new`,
    left.length &&
      `left the list: ${left.slice(0, 3).join(", ")}${left.length > 3 ? ` and ${left.length - 3} more` : ""}`,
  ].filter(Boolean);
  return said.length ? `${said.join("; ")}.` : "The list stays as it was.";
}

export function placesOf(list) {
  return new Map([...(list?.children ?? [])].map((card) => [card.dataset.item, card.getBoundingClientRect().top]));
}

/** Cards glide from where they were to where they are. */
export function glide(list, places) {
  if (CALM.matches) return;
  for (const card of list.children) {
    const from = places.get(card.dataset.item);
    const way = from === undefined ? null : from - card.getBoundingClientRect().top;
    if (way === null && places.size) card.animate({ opacity: [0, 1] }, { duration: 350 });
    else if (way)
      card.animate(
        { transform: [`translateY(${way}px)`, "none"] },
        { duration: 380, easing: "cubic-bezier(.2,.7,.2,1)" },
      );
  }
}
