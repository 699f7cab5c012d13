/** Past conversations: to open, to delete, or to begin anew. */

import { ask, remove } from "./api.js";
import { button, el } from "./elements.js";
import { ago, count } from "./format.js";
import { conversationPath, here, on, personPath, tell } from "./here.js";
import { icon } from "./icons.js";
import { attempt } from "./notices.js";

const KEY = "llmrec-conversation:";

/** The row above the conversation; `show` is given one to show, or null for a new one. */
export function startConversations(show) {
  const list = el("ul", { class: "past" });
  const told = el("div", {});
  const details = el(
    "details",
    { class: "past-box", on: { toggle: () => details.open && draw() } },
    el("summary", {}, "Past conversations"),
    list,
    told,
  );
  const open = async (id) => {
    told.replaceChildren();
    const conversation = await attempt(told, "opening", () => ask(conversationPath(id)));
    if (!conversation) return;
    show(conversation);
    details.open = false;
    keep();
  };
  const draw = async () => {
    told.replaceChildren();
    const found = await attempt(told, "looking", () => ask(personPath("/conversations")));
    if (found) list.replaceChildren(...rows(found.conversations, open, draw, show, told));
  };
  const anew = button(
    [icon("plus"), "New"],
    () => {
      show(null);
      keep();
    },
    { class: "button small", "aria-label": "New conversation" },
  );
  on("person", () => {
    details.open = false;
    list.replaceChildren();
    const last = here.user && sessionStorage.getItem(KEY + here.user);
    if (last) reopen(last, show);
  });
  on("conversation", () => {
    keep();
    if (details.open) draw();
  });
  return el("div", { class: "past-row" }, details, anew);
}

/** A reload goes on with the conversation that was open; if it is gone, a new one begins. */
async function reopen(id, show) {
  const { user } = here;
  try {
    const conversation = await ask(conversationPath(id));
    if (user === here.user && !here.conversation) show(conversation);
    tell("profile");
  } catch (error) {
    if (error.status === 404) sessionStorage.removeItem(KEY + user);
  }
}

function keep() {
  if (here.conversation) sessionStorage.setItem(KEY + here.user, here.conversation);
  else sessionStorage.removeItem(KEY + here.user);
  tell("profile");
}

function rows(conversations, open, draw, show, told) {
  if (conversations.length === 0) return [el("li", { class: "quiet" }, "none yet")];
  const forget = async (id) => {
    const path = () => (id === null ? personPath("/conversations") : conversationPath(id));
    if (!(await attempt(told, "deleting", () => remove(path())))) return;
    if (id === null || id === here.conversation) {
      show(null);
      keep();
    }
    draw();
  };
  const one = ({ conversation_id: id, time, turns, said }) =>
    el(
      "li",
      {},
      el(
        "button",
        {
          type: "button",
          class: "past-open",
          on: { click: () => open(id) },
          "aria-current": id === here.conversation ? "true" : null,
        },
        el("span", {}, said),
        el("span", { class: "quiet small" }, `${count(turns, "turn")}, ${ago(time)}`),
      ),
      button(icon("trash"), () => forget(id), {
        class: "icon-button small",
        "aria-label": `Delete the conversation “${said}”`,
      }),
    );
  return [
    ...conversations.map(one),
    el(
      "li",
      {},
      sureButton("Delete all", () => forget(null)),
    ),
  ];
}

/** A button that asks once more before it acts. */
function sureButton(words, act) {
  const pressed = button(
    words,
    () => {
      if (pressed.dataset.sure) return act();
      pressed.dataset.sure = "yes";
      pressed.textContent = `${words}: press once more`;
      return undefined;
    },
    { class: "button small danger" },
  );
  return pressed;
}
