/** What somebody says of items: sent at once, remembered for its undoing, and told to the rest of the page. */

import { ask, pathPart, post, remove } from "./api.js";
import { button, el } from "./elements.js";
import { here, on, personPath, randomId, tell } from "./here.js";
import { icon } from "./icons.js";
import { attempt } from "./notices.js";

const SPOKEN = { like: "liked", dislike: "disliked", hide: "hid", rating: "rated", comment: "commented on" };
const OPPOSED = { like: ["dislike"], dislike: ["like"], rating: ["rating"], hide: [], comment: [] };
const LATELY = 3;

/** item id -> the events about it that can be taken back, newest first. */
const given = new Map();
let lately = [];

export function givenOn(itemId, kind) {
  return (given.get(itemId) ?? []).find((event) => event.kind === kind);
}

export function startFeedback(place) {
  on("person", () => {
    given.clear();
    lately = [];
    drawLately(place);
  });
  on("history", ({ history }) => {
    given.clear();
    for (const event of history) if (event.item_id && event.kind in SPOKEN) keep(event, false);
    tell("given");
  });
  on("given", () => drawLately(place));
}

/** Say something of an item; what it contradicts is taken back first. Throws what went wrong. */
export async function give(item, kind, { value = null, text = null } = {}) {
  // With a name of its own, sending it twice stores it once.
  const event = { user_id: here.user, item_id: item.item_id, kind, value, text, event_id: randomId() };
  for (const other of OPPOSED[kind].map((one) => givenOn(item.item_id, one)).filter(Boolean)) await forget(other);
  await post("v1/feedback", { ...event, recommendation_id: here.recommendation }, { repeatable: true });
  if (event.user_id !== here.user) return;
  keep({ ...event, title: item.title });
  lately = [{ ...event, title: item.title }, ...lately].slice(0, LATELY);
  tell("given");
  tell("changed", { words: `You ${SPOKEN[kind]} ${item.title}.` });
  rereadHistory();
}

export async function takeBack(event) {
  await forget(event);
  tell("given");
  tell("changed", { words: "Taken back." });
  rereadHistory();
}

async function forget(event) {
  try {
    await remove(personPath(`/events/${pathPart(event.event_id)}`));
  } catch (error) {
    // Somebody else took it back already: that is what was wanted.
    if (error.status !== 404) throw error;
  }
  given.set(
    event.item_id,
    (given.get(event.item_id) ?? []).filter((one) => one.event_id !== event.event_id),
  );
  lately = lately.filter((one) => one.event_id !== event.event_id);
}

function keep(event, newest = true) {
  const events = given.get(event.item_id) ?? [];
  given.set(event.item_id, newest ? [event, ...events] : [...events, event]);
}

/** What is stored of the person again, because something changed it. What is shown stays where that fails. */
export async function rereadHistory() {
  const { user } = here;
  try {
    const person = await ask(personPath());
    if (user === here.user) tell("history", person);
  } catch (error) {
    console.warn(error);
  }
}

function drawLately(place) {
  const focused = place.contains(document.activeElement);
  place.replaceChildren(...lately.map(latelyRow));
  if (focused) (place.querySelector("button") ?? document.getElementById("list")).focus({ preventScroll: true });
}

function latelyRow(event) {
  const told = el("div", {});
  const words = `You ${SPOKEN[event.kind]} `;
  const stars = event.kind === "rating" ? `: ${event.value} of 5` : "";
  return el(
    "div",
    { class: "lately" },
    el("p", {}, words, el("span", { class: "strong" }, event.title), stars, "."),
    button([icon("undo"), "Undo"], () => attempt(told, "taking it back", () => takeBack(event)), {
      class: "button small",
      "aria-label": `Undo: ${words}${event.title}`,
    }),
    told,
  );
}
