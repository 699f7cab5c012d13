/** Who is here: found by id or new, and kept in the address so that a reload keeps them. */

import { ask, isAddressable, unaddressable } from "./api.js";
import { combobox } from "./combobox.js";
import { button, el } from "./elements.js";
import { attributeLine, count } from "./format.js";
import { here, on, personPath, tell } from "./here.js";
import { attempt, problemBox } from "./notices.js";

const SUGGESTED = 6;
/** An id of the address that nobody can have here. */
let refused = null;

export function startPeople(place) {
  const shown = el("p", { class: "person-now", "aria-live": "polite" });
  const { root, field, close } = combobox({
    label: "Who are you?",
    placeholder: "find a user, or type a new id",
    seek: seekPeople,
    pick: become,
  });
  place.append(root, shown);
  on("person", () => {
    field.value = "";
    close();
    meet(shown);
  });
  on("history", (person) => describe(shown, person));
  addEventListener("hashchange", readAddress);
  return { field };
}

export function become(userId) {
  const address = `#user=${encodeURIComponent(userId)}`;
  if (location.hash === address) readAddress();
  else location.hash = address;
}

/** Take the user from the address; without one nobody is here. */
export function readAddress() {
  const user = new URLSearchParams(location.hash.slice(1)).get("user");
  if (user === here.user && user !== null) return;
  refused = user && !isAddressable(user) ? user : null;
  here.user = refused ? null : user || null;
  here.conversation = null;
  here.recommendation = null;
  document.title = here.user ? `${here.user} – llmrec` : "llmrec";
  tell("person");
}

async function seekPeople(text, signal) {
  const { users } = await ask(`v1/users?query=${encodeURIComponent(text)}&limit=8`, { signal });
  const found = users.map(({ user_id: id, attributes }) => ({
    words: id,
    detail: attributeLine(attributes, 3),
    value: id,
  }));
  if (!text || users.some(({ user_id: id }) => id === text)) return found;
  return [...found, { words: text, detail: "begin as somebody new", value: text }];
}

async function meet(place) {
  place.replaceChildren();
  if (!here.user) return;
  const { user } = here;
  place.append(el("span", { class: "strong" }, user));
  const person = await attempt(place, "looking up", () => ask(personPath()));
  if (person && user === here.user) tell("history", person);
}

function describe(place, { user_id: id, known, attributes }) {
  const about = attributeLine(attributes, 3);
  const events = known ? `${count(known, "event")} known` : "nobody knows them yet";
  const words = ` · ${events}${about ? ` · ${about}` : ""}`;
  place.replaceChildren(el("span", { class: "strong" }, id), el("span", { class: "quiet" }, words));
}

/** What stands where the list would be while nobody is here. */
export async function welcome(place, field) {
  const people = el("ul", { class: "people" });
  const told = el("div", {});
  place.replaceChildren(
    el(
      "div",
      { class: "welcome" },
      refused && problemBox(unaddressable(refused)),
      el("h2", {}, "Whose list shall it be?"),
      el("p", { class: "quiet" }, "Find a user above, or type an id that nobody has: you begin as somebody new."),
      people,
      told,
    ),
  );
  field.focus({ preventScroll: true });
  const found = await attempt(told, "looking for users", () => ask(`v1/users?query=&limit=${SUGGESTED}`));
  people.append(...(found?.users ?? []).map(personRow));
}

function personRow({ user_id: id, attributes }) {
  const about = attributeLine(attributes, 3);
  const open = button(el("span", { class: "strong" }, id), () => become(id), { class: "person-card" });
  if (about) open.append(el("span", { class: "quiet small" }, about));
  return el("li", {}, open);
}
