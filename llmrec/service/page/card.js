/** One item of the list: what it is, how it came to its place, and what can be said of it. */

import { barList } from "./bars.js";
import { button, el, freshId } from "./elements.js";
import { give, givenOn, takeBack } from "./feedback.js";
import { attributePairs, chance, decimal } from "./format.js";
import { tell } from "./here.js";
import { icon } from "./icons.js";
import { attempt } from "./notices.js";
import { partRows } from "./parts.js";

const STARS = [1, 2, 3, 4, 5];
const SETTLING = 700;
/** Comments begun and not sent, by item: a list that is made again must not lose them. */
const drafts = new Map();

/** @param means of the parts on the list; @param move {kind: "up"|"down"|"new"|"same", by} against the list before, or null. */
export function itemCard(item, { means, scale, move }) {
  const titleId = freshId("item");
  const told = el("div", { class: "card-notice" });
  const card = el(
    "li",
    { class: "card", data: { item: item.item_id }, "aria-labelledby": titleId },
    el(
      "div",
      { class: "rank" },
      el("span", { class: "rank-number" }, el("span", { class: "unseen" }, "rank "), String(item.rank)),
    ),
    el(
      "div",
      { class: "what" },
      el("div", { class: "title-line" }, el("h2", { id: titleId, class: "title" }, item.title), moveBadge(move)),
      attributeList(item.attributes),
    ),
    scorePart(item, means, scale),
    actions(item, told),
    told,
  );
  markGiven(card);
  return card;
}

export function attributeList(attributes) {
  const pairs = attributePairs(attributes);
  if (pairs.length === 0) return null;
  return el(
    "dl",
    { class: "attributes" },
    pairs.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))),
  );
}

function moveBadge(move) {
  if (!move || move.kind === "same") return null;
  const words = move.kind === "new" ? "new" : `${move.kind} ${move.by}`;
  return el("span", { class: `move move-${move.kind}` }, move.kind !== "new" && icon(move.kind), words);
}

function scorePart(item, means, scale) {
  const likely = chance(item.probability);
  return el(
    "div",
    { class: "score" },
    el(
      "p",
      { class: "score-line" },
      el("span", {}, "score ", el("b", { class: "figures" }, decimal(item.score))),
      likely && el("span", {}, "chance ", el("b", { class: "figures" }, likely)),
    ),
    barList(partRows(item, means), { scale, label: `What the score of ${item.title} is the sum of` }),
  );
}

function actions(item, told) {
  const opinions = ["like", "dislike", "hide"].map((kind) => opinionButton(item, kind, told));
  const form = commentForm(item, told);
  const comment = button(
    [icon("comment"), el("span", { class: "act-words" }, "Comment")],
    () => toggleForm(form, comment),
    {
      class: "act",
      title: "Comment",
      data: { act: "comment" },
      "aria-label": `Comment on ${item.title}`,
      "aria-expanded": String(!form.hidden),
    },
  );
  const why = button([icon("why"), el("span", { class: "why-words" }, "Why?")], () => tell("why", { item }), {
    class: "act act-why",
    data: { act: "why" },
    "aria-label": `Why ${item.title}?`,
    "aria-haspopup": "dialog",
  });
  return el(
    "div",
    { class: "actions" },
    el("div", { class: "acts" }, opinions, comment, why),
    starField(item, told),
    form,
  );
}

const OPINIONS = { like: "Like", dislike: "Dislike", hide: "Hide" };

function opinionButton(item, kind, told) {
  const press = (event) => {
    const pressed = event.currentTarget;
    const earlier = givenOn(item.item_id, kind);
    pressed.setAttribute("aria-pressed", String(!earlier));
    busyWhile(pressed.closest(".card"), told, () => (earlier ? takeBack(earlier) : give(item, kind)));
  };
  return button([icon(kind), el("span", { class: "act-words" }, OPINIONS[kind])], press, {
    class: "act",
    data: { act: kind },
    title: OPINIONS[kind],
    "aria-label": `${OPINIONS[kind]} ${item.title}`,
    "aria-pressed": "false",
  });
}

function starField(item, told) {
  const name = freshId("stars");
  let settling = null;
  // Arrow keys pass through the stars between: only the one that somebody stays on is meant.
  const choose = (event) => {
    const { target } = event;
    clearTimeout(settling);
    settling = setTimeout(
      () => busyWhile(target.closest(".card"), told, () => give(item, "rating", { value: Number(target.value) })),
      SETTLING,
    );
  };
  const stars = STARS.map((value) => {
    const id = freshId("star");
    return [
      el("input", {
        id,
        type: "radio",
        name,
        value,
        class: "unseen",
        data: { act: `star-${value}` },
        on: { change: choose },
      }),
      el(
        "label",
        { for: id, title: `${value} of 5` },
        icon("star"),
        el("span", { class: "unseen" }, value === 1 ? "1 star" : `${value} stars`),
      ),
    ];
  });
  return el("fieldset", { class: "stars" }, el("legend", { class: "unseen" }, `Rate ${item.title}`), stars.flat());
}

function commentForm(item, told) {
  const id = freshId("comment");
  const field = el("textarea", {
    id,
    class: "field",
    rows: 2,
    maxlength: 2000,
    required: true,
    on: { input: () => drafts.set(item.item_id, field.value) },
  });
  field.value = drafts.get(item.item_id) ?? "";
  const submit = (event) => {
    event.preventDefault();
    const text = field.value.trim();
    if (!text) return;
    busyWhile(form.closest(".card"), told, async () => {
      await give(item, "comment", { text });
      drafts.delete(item.item_id);
      field.value = "";
      form.hidden = true;
    });
  };
  const form = el(
    "form",
    { class: "comment", hidden: !drafts.has(item.item_id), on: { submit } },
    el("label", { for: id, class: "label" }, `What do you say of ${item.title}?`),
    field,
    button("Send", null, { type: "submit", class: "button small primary" }),
  );
  return form;
}

function toggleForm(form, opener) {
  form.hidden = !form.hidden;
  opener.setAttribute("aria-expanded", String(!form.hidden));
  if (!form.hidden) form.querySelector("textarea").focus();
}

async function busyWhile(card, told, work) {
  card.setAttribute("aria-busy", "true");
  told.replaceChildren();
  await attempt(told, "sending", async () => {
    await work();
  });
  card.removeAttribute("aria-busy");
  markGiven(card);
}

/** Show on a card what was said of its item. */
export function markGiven(card) {
  const itemId = card.dataset.item;
  for (const pressed of card.querySelectorAll("[aria-pressed]")) {
    pressed.setAttribute("aria-pressed", String(Boolean(givenOn(itemId, pressed.dataset.act))));
  }
  const stars = givenOn(itemId, "rating")?.value ?? 0;
  for (const star of card.querySelectorAll(".stars input")) {
    // While somebody is choosing, their choice stands.
    if (!card.contains(document.activeElement) || stars) star.checked = Number(star.value) === stars;
  }
}
