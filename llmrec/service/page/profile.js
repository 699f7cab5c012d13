/** What is known about a person, what each line rests on, and how to take it back. */

import { ask, pathPart, remove } from "./api.js";
import { button, el } from "./elements.js";
import { rereadHistory } from "./feedback.js";
import { ago, count, sentence } from "./format.js";
import { constraintPath, here, on, personPath, tell } from "./here.js";
import { icon } from "./icons.js";
import { attempt } from "./notices.js";

const KINDS = {
  constraint: "In this conversation",
  event: "You said and did",
  data: "Your data",
  taste: "What stands out",
  taken: "What you took",
};
const LATEST = 15;
let place = null;
let asked = 0;

export function startProfile(panel) {
  place = { told: el("div", {}), lines: el("div", {}), history: el("div", {}) };
  panel.append(
    el("h2", {}, "What is known about you"),
    el(
      "p",
      { class: "quiet small" },
      "All that lists and replies are made from. What you remove counts no more, at once.",
    ),
    place.lines,
    place.told,
    place.history,
  );
  on("person", () => {
    place.known = null;
    place.lines.replaceChildren();
    place.history.replaceChildren();
  });
  // Asked for when it is looked at: each profile is work for the server.
  let stale = true;
  const renew = () => {
    stale = panel.hidden;
    if (here.user && !stale) draw();
  };
  for (const name of ["person", "changed", "profile"]) on(name, renew);
  on("tab", () => stale && renew());
  on("history", ({ history }) => drawHistory(history));
}

async function draw() {
  const turn = (asked += 1);
  place.told.replaceChildren();
  const query = here.conversation ? `?conversation_id=${encodeURIComponent(here.conversation)}` : "";
  const profile = await attempt(place.told, "looking", () => ask(personPath(`/profile${query}`)));
  if (!profile || turn !== asked) return;
  place.known = profile.lines;
  drawLines();
}

function drawLines() {
  const groups = Map.groupBy(place.known, ({ kind }) => (kind in KINDS ? kind : "data"));
  const chapters = Object.entries(KINDS)
    .filter(([kind]) => groups.has(kind))
    .map(([kind, words]) =>
      el("section", {}, el("h3", {}, words), el("ul", { class: "known" }, groups.get(kind).map(profileLine))),
    );
  const focused = place.lines.contains(document.activeElement);
  place.lines.replaceChildren(...(chapters.length ? chapters : [el("p", {}, "Nothing yet.")]));
  if (focused) (place.lines.querySelector("button") ?? document.getElementById("profile")).focus();
}

function profileLine(line) {
  const removable = line.event_ids?.length > 0 || isConstraint(line);
  const told = el("div", {});
  const off =
    removable &&
    button([icon("close"), "Remove"], () => takeLine(line, told), {
      class: "button small",
      "aria-label": `Remove: ${line.text}`,
    });
  return el("li", {}, el("div", { class: "known-line" }, el("p", {}, sentence(line.text)), off), restsOn(line), told);
}

function restsOn({ event_ids: ids = [] }) {
  if (ids.length === 0) return null;
  const found = ids.map((id) => (here.history ?? []).find((event) => event.event_id === id)).filter(Boolean);
  const words = found.map((event) => `${eventWords(event)}${event.time ? `, ${ago(event.time)}` : ""}`);
  return el(
    "p",
    { class: "quiet small" },
    `rests on ${words.length ? words.slice(0, 3).join("; ") : count(ids.length, "event")}`,
  );
}

async function takeLine(line, told) {
  const done = await attempt(told, "removing", async () => {
    if (isConstraint(line)) tell("constraints", await remove(constraintPath(line.words)));
    for (const id of line.event_ids ?? []) await remove(personPath(`/events/${pathPart(id)}`));
    await rereadHistory();
    return true;
  });
  if (done) tell("changed", { words: `No longer counts: ${line.text}.` });
}

function isConstraint({ kind, words }) {
  return kind === "constraint" && Boolean(words);
}

function drawHistory(history) {
  here.history = history;
  if (place.known) drawLines();
  const rows = history.slice(0, LATEST).map((event) => {
    const told = el("div", {});
    const off = async () => {
      const done = await attempt(told, "removing", async () => {
        await remove(personPath(`/events/${pathPart(event.event_id)}`));
        await rereadHistory();
        return true;
      });
      if (done) tell("changed", { words: `No longer counts: ${eventWords(event)}.` });
    };
    return el(
      "li",
      {},
      el(
        "div",
        { class: "known-line" },
        el(
          "p",
          {},
          sentence(eventWords(event)),
          el("span", { class: "quiet small" }, event.time ? ` ${ago(event.time)}` : ""),
        ),
        button(icon("close"), off, { class: "icon-button small", "aria-label": `Remove: ${eventWords(event)}` }),
      ),
      told,
    );
  });
  const open = Boolean(place.history.querySelector("details[open]"));
  place.history.replaceChildren(
    ...(rows.length
      ? [
          el(
            "details",
            { class: "how", open },
            el("summary", {}, "Your latest events"),
            el("ul", { class: "known" }, rows),
          ),
        ]
      : []),
  );
}

function eventWords({ kind, title, item_id: id, value, text }) {
  const of = title ?? id ?? "";
  const stars = kind === "rating" && value !== null ? `: ${value} of 5` : "";
  return `${kind} ${of}${stars}${text ? ` “${text}”` : ""}`.replace(/\s+/g, " ").trim();
}
