/** The drawer that says why an item stands where it does, or why not higher. */

import { post } from "./api.js";
import { barList } from "./bars.js";
import { attributeList } from "./card.js";
import { combobox } from "./combobox.js";
import { button, el, speak } from "./elements.js";
import { count, partName, sentence } from "./format.js";
import { here, on } from "./here.js";
import { icon } from "./icons.js";
import { itemOf, seekItems } from "./items.js";
import { attempt } from "./notices.js";
import { requestBody } from "./options.js";

const MOST_EVENTS = 12;
const MOST_LOOKS = 8;
let drawer = null;
let asked = null;
let opener = null;

export function startWhy() {
  on("why", ({ item }) => open(item));
  on("person", () => drawer?.close());
}

function open(item) {
  if (!drawer) document.body.append((drawer = makeDrawer()));
  if (!drawer.open) {
    opener = document.activeElement;
    drawer.showModal();
  }
  explain(item);
}

function makeDrawer() {
  const close = button(icon("close"), () => drawer.close(), { class: "icon-button", "aria-label": "Close" });
  const { root } = combobox({
    label: "Why not …?",
    placeholder: "find any item by its title",
    seek: seekItems,
    pick: explain,
  });
  return el(
    "dialog",
    { class: "drawer", "aria-labelledby": "why-title", on: { close: closed, click: outside } },
    el(
      "div",
      { class: "drawer-inside" },
      el("div", { class: "drawer-head" }, el("h2", { id: "why-title", tabindex: "-1" }), close),
      el("div", { id: "why-body" }),
      el("div", { class: "drawer-foot" }, root),
    ),
  );
}

function outside(event) {
  if (event.target === drawer) drawer.close();
}

function closed() {
  asked?.abort();
  // The list may have been made again meanwhile: its new button of the same item takes the focus.
  if (opener?.isConnected) return opener.focus();
  const { item } = opener?.closest("[data-item]")?.dataset ?? {};
  const card = [...document.querySelectorAll(".card")].find((one) => one.dataset.item === item);
  return (card?.querySelector('[data-act="why"]') ?? document.getElementById("list")).focus();
}

async function explain(item) {
  asked?.abort();
  asked = new AbortController();
  const { signal } = asked;
  const title = document.getElementById("why-title");
  const body = document.getElementById("why-body");
  title.textContent = `Why ${item.title}?`;
  title.focus();
  body.replaceChildren(...[attributeList(item.attributes), bones()].filter(Boolean));
  const { context } = requestBody();
  const request = { user_id: here.user, item_id: item.item_id, context: Object.keys(context).length ? context : null };
  await attempt(body, "weighing what you did", async () => {
    try {
      const told = await post("v1/explain", request, { signal, repeatable: true });
      await showExplanation(body, told, signal);
    } finally {
      body.querySelector(".bones")?.remove();
    }
  });
}

async function showExplanation(body, told, signal) {
  const of = (kind) => told.evidence.filter((one) => one.kind === kind);
  const parts = of("part").map(({ text, strength }) => [partName(text), strength]);
  const shared = of("attribute");
  const looks = el("div", { class: "looks" });
  body.append(
    el("p", { class: "reason" }, told.text),
    ...chapter("What counts for and against it", "how much the score would fall without it", strengths(of("event"))),
    ...chapter("What the score is the sum of", "in log-odds", parts.length ? barList(parts) : null),
    ...chapter(
      "What it shares with that",
      "",
      shared.length ? el("ul", { class: "chips" }, shared.map(sharedChip)) : null,
    ),
    looks,
  );
  speak(told.text);
  body.querySelector(".bones")?.remove();
  looks.append(
    ...chapter("Where the attention went", "share of the retriever's attention", await attention(told.trace, signal)),
  );
}

function chapter(title, note, content) {
  return content ? [el("h3", {}, title, note && el("span", { class: "quiet small" }, ` ${note}`)), content] : [];
}

function strengths(events) {
  const rows = events.filter(({ strength }) => Number.isFinite(strength));
  if (rows.length === 0) return el("p", { class: "quiet" }, "Nothing that you did: nobody knows enough of you yet.");
  const sorted = rows.toSorted((a, b) => Math.abs(b.strength) - Math.abs(a.strength));
  const bars = barList(sorted.slice(0, MOST_EVENTS).map(({ text, strength }) => [sentence(text), strength]));
  const rest = sorted.length - MOST_EVENTS;
  return el("div", {}, bars, rest > 0 && el("p", { class: "quiet small" }, `and ${count(rest, "weaker event")}`));
}

function sharedChip({ text, strength }) {
  return el("li", { class: "chip" }, Number.isFinite(strength) && strength > 1 ? `${text} (${strength} times)` : text);
}

async function attention(trace, signal) {
  const looks = (trace?.attention ?? []).slice(0, MOST_LOOKS);
  if (looks.length === 0) return null;
  const items = await Promise.all(looks.map(({ item_id: id }) => itemOf(id, signal)));
  const rows = looks.map(({ item_id: id, weight }, place) => [items[place]?.title ?? id, weight]);
  return barList(rows, { written: (weight) => `${(weight * 100).toFixed(0)} %` });
}

function bones() {
  return el(
    "div",
    { class: "bones", "aria-hidden": "true" },
    Array.from({ length: 4 }, () => el("span", { class: "bone" })),
  );
}
