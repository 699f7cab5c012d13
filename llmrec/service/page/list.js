/** The ranked list: asked for, shown with how it came about, and made again when something was said. */

import { post } from "./api.js";
import { scaleOf } from "./bars.js";
import { itemCard, markGiven } from "./card.js";
import { combobox } from "./combobox.js";
import { el, speak } from "./elements.js";
import { count, seconds } from "./format.js";
import { here, on, tell } from "./here.js";
import { icon } from "./icons.js";
import { remember, seekItems } from "./items.js";
import { glide, movesBetween, moveWords, placesOf } from "./moves.js";
import { problemBox, showProblem, showProgress } from "./notices.js";
import { requestBody, startOptions } from "./options.js";
import { partMeans, partRows } from "./parts.js";
import { welcome } from "./people.js";

const place = (name) => document.getElementById(name);
const BARS =
  "The numbers are the parts of a score, in log-odds. Each bar shows how far a part is above (right) or below (left) " +
  "its mean on this list: what sets these items apart.";
const state = { before: null, asked: null };

export function startList(field) {
  startOptions(place("options"), () => reload());
  place("again").addEventListener("click", () => reload());
  on("person", () => {
    state.before = null;
    place("list-notices").replaceChildren();
    place("list-body").replaceChildren();
    place("list-foot").replaceChildren();
    place("summary").textContent = "";
    place("again").hidden = place("options").hidden = !here.user;
    if (here.user) reload();
    else welcome(place("list-body"), field);
  });
  on("changed", ({ words }) => reload(words));
  on("given", () => document.querySelectorAll(".card").forEach(markGiven));
}

/** Ask for the list again; a request that is still under way is given up. */
export async function reload(words = "") {
  if (!here.user) return;
  state.asked?.abort();
  const asked = (state.asked = new AbortController());
  const body = place("list-body");
  const notices = place("list-notices");
  body.querySelector(".cards:not(.skeletons)")
    ? body.setAttribute("aria-busy", "true")
    : body.replaceChildren(skeletons());
  notices.replaceChildren();
  const done = showProgress(notices, "making the list");
  try {
    const wish = { user_id: here.user, ...requestBody() };
    const answer = await post("v1/recommend", wish, { signal: asked.signal, repeatable: true });
    show(answer, words);
  } catch (error) {
    if (error.name === "AbortError") return;
    body.querySelector(".skeletons")?.remove();
    showProblem(notices, error, () => reload(words));
  } finally {
    done();
    if (state.asked === asked) body.removeAttribute("aria-busy");
  }
}

function show(answer, words) {
  here.recommendation = answer.recommendation_id;
  remember(answer.items);
  const moves = movesBetween(state.before, answer.items);
  const told = moveWords(state.before, answer.items, moves);
  state.before = new Map(answer.items.map((item) => [item.item_id, item]));
  draw(answer, moves);
  place("summary").textContent = summary(answer);
  place("list-notices").replaceChildren(
    ...[fallbackNotice(answer), told && el("p", { class: "moved" }, told)].filter(Boolean),
  );
  place("list-foot").replaceChildren(howItCame(answer), whyNot());
  speak(`${words} ${told || count(answer.items.length, "recommendation")}`);
  tell("answered", { release: answer.release });
}

function draw(answer, moves) {
  const body = place("list-body");
  const places = placesOf(body.querySelector(".cards:not(.skeletons)"));
  const held = heldFocus(body);
  const means = partMeans(answer.items);
  const scale = scaleOf(answer.items.flatMap((item) => partRows(item, means).map(([, value]) => value)));
  const cards = el(
    "ol",
    { class: "cards" },
    answer.items.map((item) => itemCard(item, { means, scale, move: moves.get(item.item_id) })),
  );
  body.replaceChildren(
    ...(answer.items.length ? [el("p", { class: "quiet small bars-note" }, BARS), cards] : [nothingLeft()]),
  );
  glide(cards, places);
  held(cards);
}

/** Remembers what has the focus; the result gives it to the same control of the new list, or to the next best. */
function heldFocus(body) {
  const focused = body.contains(document.activeElement) ? document.activeElement : null;
  if (!focused) return () => {};
  const { item } = focused.closest("[data-item]")?.dataset ?? {};
  const { act } = focused.dataset;
  return (cards) => {
    const card = [...cards.children].find((one) => one.dataset.item === item);
    const writing = card?.querySelector(".comment:not([hidden]) textarea");
    const same = card?.querySelector(`[data-act="${act ?? "comment"}"]`);
    const next = (act ? same : (writing ?? same)) ?? document.querySelector("#lately button");
    (next ?? place("list")).focus({ preventScroll: Boolean(card) });
  };
}

function summary({ items, trace, release }) {
  const whole = Object.values(trace?.seconds ?? {}).reduce((sum, one) => sum + one, 0);
  const parts = [
    `${items.length} of ${count(trace?.candidates ?? 0, "candidate")}`,
    `release ${release ?? "none"}`,
    seconds(whole),
  ];
  return parts.join(" · ");
}

function fallbackNotice({ fallback }) {
  if (!fallback) return null;
  return el(
    "div",
    { class: "notice", role: "status" },
    icon("alert"),
    el("p", {}, el("span", { class: "strong" }, "The language model did not rank this list. "), fallback),
  );
}

const PATHS = {
  history: "from what you did before",
  words: "from what you said you want",
  attributes: "from what people like you take",
  popularity: "from what most people take",
};

function howItCame({ trace = {}, release }) {
  const facts = [
    ["Basis", PATHS[trace.path] ?? trace.path],
    ["Release", release ?? "none"],
    ["Language model", trace.model ?? "not asked"],
    ["Candidates scored", trace.candidates],
    ["Your events", historyWords(trace)],
    ["Prompt", trace.prompt_tokens ? `${count(trace.prompt_tokens, "token")} shared by all candidates` : null],
    [
      "Time",
      Object.entries(trace.seconds ?? {})
        .map(([stage, value]) => `${stage} ${seconds(value)}`)
        .join(", "),
    ],
  ].filter(([, value]) => value !== null && value !== undefined && value !== "");
  return el(
    "details",
    { class: "how" },
    el("summary", {}, "How this list came about"),
    el(
      "dl",
      { class: "facts" },
      facts.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, String(value)))),
    ),
    trace.notes?.length > 0 &&
      el(
        "ul",
        { class: "notes" },
        trace.notes.map((note) => el("li", {}, note)),
      ),
  );
}

function historyWords({ history_events: known, history_used: used }) {
  if (!known) return "none yet";
  return used === null || used === undefined
    ? `${known} known`
    : `${known} known, the newest ${used} of them in the prompt`;
}

function whyNot() {
  const { root } = combobox({
    label: "Why not …?",
    placeholder: "find any item by its title",
    seek: seekItems,
    pick: (item) => tell("why", { item }),
  });
  return el("div", { class: "why-not" }, root);
}

function nothingLeft() {
  return problemBox({
    title: "Nothing to show",
    detail: "no item fits these options, or all that fit are known already",
    hint: "remove a filter above, or ask for something else",
  });
}

function skeletons() {
  const rows = Array.from({ length: 5 }, () =>
    el(
      "li",
      { class: "card skeleton" },
      el("span", { class: "bone" }),
      el("span", { class: "bone" }),
      el("span", { class: "bone" }),
    ),
  );
  return el("ol", { class: "cards skeletons", "aria-hidden": "true" }, rows);
}
