/** One turn of a conversation, as it is shown: words, what was done, a list to click, a thumb. */

import { pathPart, post } from "./api.js";
import { button, el } from "./elements.js";
import { attributeLine } from "./format.js";
import { here, tell } from "./here.js";
import { icon } from "./icons.js";
import { remember } from "./items.js";
import { attempt } from "./notices.js";

export function saidBubble(text) {
  return el(
    "div",
    { class: "bubble mine" },
    el("span", { class: "unseen" }, "You: "),
    el("p", { class: "words" }, text),
  );
}

export function answerBubble(reply) {
  const told = el("div", {});
  const [before, after] = wordsAround(reply);
  const intents = (reply.intents ?? []).map((intent) => intent.replaceAll("_", " ")).join(", ");
  return el(
    "div",
    { class: "bubble theirs" },
    el("span", { class: "unseen" }, "Reply: "),
    before && el("p", { class: "words" }, before),
    smallList(reply.recommendation),
    after && el("p", { class: "words" }, after),
    actionChips(reply.actions ?? []),
    reply.explanation && explanationLink(reply.explanation),
    el(
      "div",
      { class: "reply-foot" },
      intents && el("span", { class: "quiet small" }, `understood as: ${intents}`),
      Number.isInteger(reply.turn) && thumbs(reply, told),
    ),
    told,
  );
}

/** The words before and after the lines that name the list, which is shown as one to click in their place. */
function wordsAround({ text, recommendation }) {
  const items = recommendation?.items ?? [];
  const lines = text.split("\n");
  const first = lines.findIndex((line) => items[0] && line.startsWith(`1. ${items[0].title}`));
  const named =
    first >= 0 && items.every(({ title }, place) => lines[first + place]?.startsWith(`${place + 1}. ${title}`));
  if (!named) return [text, ""];
  return [lines.slice(0, first), lines.slice(first + items.length)].map((part) => part.join("\n").trim());
}

function actionChips(actions) {
  if (actions.length === 0) return null;
  return el(
    "ul",
    { class: "chips", "aria-label": "What was done" },
    actions.map((action) => el("li", { class: "chip done" }, action.text ?? String(action))),
  );
}

function smallList(recommendation) {
  if (!recommendation?.items?.length) return null;
  remember(recommendation.items);
  const rows = recommendation.items.map((item) =>
    el(
      "li",
      {},
      el(
        "button",
        { type: "button", class: "small-item", "aria-haspopup": "dialog", on: { click: () => tell("why", { item }) } },
        el("span", { class: "figures quiet" }, `${item.rank}`),
        el(
          "span",
          {},
          el("span", { class: "strong" }, item.title),
          el("span", { class: "quiet small" }, ` ${attributeLine(item.attributes, 2)}`),
        ),
      ),
    ),
  );
  return el(
    "div",
    {},
    recommendation.fallback &&
      el("p", { class: "quiet small" }, `Without the language model: ${recommendation.fallback}`),
    el("ol", { class: "small-list", "aria-label": "Recommended in this reply" }, rows),
  );
}

function explanationLink(explanation) {
  const item = { item_id: explanation.item_id, title: explanation.title ?? explanation.item_id };
  return button(`All reasons for ${item.title}`, () => tell("why", { item }), {
    class: "button small",
    "aria-haspopup": "dialog",
  });
}

function thumbs(reply, told) {
  const buttons = [
    ["like", true, "Good reply"],
    ["dislike", false, "Bad reply"],
  ].map(([name, up, label]) =>
    button(icon(name), (event) => press(event.currentTarget, up), {
      class: "icon-button small",
      "aria-label": label,
      "aria-pressed": String(reply.up === up),
    }),
  );
  const press = async (pressed, up) => {
    const value = pressed.getAttribute("aria-pressed") === "true" ? null : up;
    told.replaceChildren();
    const path = () => `v1/chat/${pathPart(reply.conversation_id)}/turns/${reply.turn}/thumb`;
    const body = { user_id: here.user, up: value };
    const kept = await attempt(told, "sending", () => post(path(), body, { repeatable: true }));
    if (!kept) return;
    buttons.forEach((one, place) => one.setAttribute("aria-pressed", String(kept.up === [true, false][place])));
  };
  return el("span", { class: "thumbs" }, buttons);
}
