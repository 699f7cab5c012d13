/** The conversation: what was said, the words of the reply as they come, and what holds from now on. */

import { Problem, reach, remove } from "./api.js";
import { startConversations } from "./conversations.js";
import { button, el, freshId, speak } from "./elements.js";
import { rereadHistory } from "./feedback.js";
import { here, on, personPath, tell } from "./here.js";
import { icon } from "./icons.js";
import { asProblem, attempt, problemBox } from "./notices.js";
import { answerBubble, saidBubble } from "./replies.js";
import { eventsOf } from "./stream.js";

const OPENERS = ["Recommend something", "Why the first one?", "What do you know about me?", "What can I say?"];
const LENGTH = 5;
const NEAR = 80;
let parts = null;
let speaking = null;

export function startChat(place) {
  parts = makeParts();
  place.append(startConversations(showConversation), parts.log, parts.constraints, parts.form);
  on("person", () => begin());
  on("said", ({ text }) => send(text));
}

function makeParts() {
  const id = freshId("message");
  const field = el("textarea", {
    id,
    class: "field",
    rows: 1,
    maxlength: 4000,
    placeholder: "Say what you want, or ask why",
    "aria-label": "Your message",
    on: {
      keydown: (event) => event.key === "Enter" && !event.shiftKey && !event.isComposing && submit(event),
      input: () => grow(field),
    },
  });
  const sendButton = button(icon("send"), null, { type: "submit", class: "icon-button primary", "aria-label": "Send" });
  const stopButton = button(icon("stop"), () => speaking?.abort(), {
    class: "icon-button",
    "aria-label": "Stop the reply",
    hidden: true,
  });
  const form = el("form", { class: "say", on: { submit } }, field, sendButton, stopButton);
  const log = el("div", { class: "log", tabindex: "0", role: "region", "aria-label": "What was said" });
  return { field, form, log, sendButton, stopButton, constraints: el("div", { class: "constraints" }) };
}

/** A textarea grows with its words, up to what the style allows. */
function grow(field) {
  field.style.height = "auto";
  field.style.height = `${field.scrollHeight + 2}px`;
}

function submit(event) {
  event.preventDefault();
  const text = parts.field.value.trim();
  if (!text || speaking) return;
  parts.field.value = "";
  grow(parts.field);
  send(text);
}

function begin() {
  speaking?.abort();
  here.conversation = null;
  showConstraints([]);
  const chips = OPENERS.map((text) => button(text, () => send(text), { class: "chip chip-button" }));
  parts.log.replaceChildren(
    el(
      "div",
      { class: "openers" },
      el(
        "p",
        { class: "quiet" },
        "Say what you are after, what you would rather not have, or ask why. What you say counts at once.",
      ),
      el("div", { class: "chips" }, chips),
    ),
  );
}

/** An earlier conversation, or a new one where there is none. */
function showConversation(conversation) {
  begin();
  if (!conversation) return;
  here.conversation = conversation.conversation_id;
  parts.log.replaceChildren(
    ...conversation.turns.flatMap((turn) => [
      saidBubble(turn.said),
      answerBubble({ ...turn, text: turn.answered, conversation_id: conversation.conversation_id }),
    ]),
  );
  showConstraints(conversation.constraints ?? []);
  parts.log.scrollTop = parts.log.scrollHeight;
}

async function send(text) {
  if (speaking) return;
  parts.log.querySelector(".openers")?.remove();
  const said = saidBubble(text);
  const bubble = el("div", { class: "bubble theirs", "aria-busy": "true" });
  parts.log.append(said, bubble);
  follow(true);
  const stream = (speaking = new AbortController());
  setSpeaking(true);
  try {
    await listen(text, bubble, stream.signal);
  } catch (error) {
    tellFailure(error, bubble, () => {
      said.remove();
      bubble.remove();
      send(text);
    });
  } finally {
    bubble.removeAttribute("aria-busy");
    if (speaking === stream) speaking = null;
    setSpeaking(Boolean(speaking));
    follow();
  }
}

async function listen(text, bubble, signal) {
  const user = here.user;
  const working = workingLine(bubble);
  try {
    const body = { user_id: user, message: text, conversation_id: here.conversation, n: LENGTH, stream: true };
    const response = await reach("v1/chat", { method: "POST", body, signal, patient: false });
    const reply = await lastOf(response, bubble, working);
    if (user === here.user) settle(reply, bubble);
  } finally {
    working.end();
  }
}

/** Shows the words as they come; the reply that the stream ends with. */
async function lastOf(response, bubble, working) {
  const words = el("p", { class: "words" });
  for await (const { event, data } of readable(response)) {
    if (event === "start") here.conversation = data.conversation_id;
    if (event === "working") working.at(data.seconds);
    if (event === "error") throw new Problem(data);
    if (event === "reply") return data;
    if (event === "delta") {
      working.end();
      if (!words.isConnected) bubble.append(words);
      words.append(data.text);
      follow();
    }
  }
  throw new Problem({
    title: "The reply broke off",
    detail: "the stream ended before the reply was whole",
    hint: "ask again; what was done so far holds",
  });
}

async function* readable(response) {
  try {
    yield* eventsOf(response);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem({
      title: "The reply broke off",
      detail: "the connection was lost, or what came cannot be read",
      hint: "ask again",
    });
  }
}

function settle(reply, bubble) {
  here.conversation = reply.conversation_id;
  bubble.replaceWith(answerBubble(reply));
  showConstraints(reply.constraints ?? []);
  speak(reply.text);
  tell("conversation");
  if (reply.actions?.length) {
    rereadHistory();
    tell("changed", { words: "" });
  } else {
    tell("profile");
  }
}

function tellFailure(error, bubble, retry) {
  if (error.name === "AbortError") {
    bubble.append(el("p", { class: "quiet" }, "Stopped."));
    return;
  }
  bubble.append(problemBox(asProblem(error), retry));
}

function workingLine(bubble) {
  const time = el("span", { class: "figures" });
  const line = el("p", { class: "progress" }, el("span", { class: "pulse" }), "working ", time);
  const begun = performance.now();
  const at = (seconds) => {
    time.textContent = seconds >= 1 ? `${Math.round(seconds)} s` : "";
  };
  const timer = setInterval(() => at((performance.now() - begun) / 1000), 1000);
  bubble.append(line);
  return {
    at,
    end: () => {
      clearInterval(timer);
      line.remove();
    },
  };
}

function setSpeaking(is) {
  parts.sendButton.hidden = is;
  parts.stopButton.hidden = !is;
}

/** Keep the newest words in sight, unless somebody scrolled back to read. */
function follow(always = false) {
  const { log } = parts;
  if (always || log.scrollHeight - log.scrollTop - log.clientHeight < NEAR) log.scrollTop = log.scrollHeight;
}

function showConstraints(constraints) {
  const told = el("div", {});
  const chips = constraints.map((words, index) =>
    el(
      "span",
      { class: "chip" },
      words,
      button(icon("close"), () => lift(index, told), { class: "chip-drop", "aria-label": `No longer: ${words}` }),
    ),
  );
  parts.constraints.replaceChildren(
    ...(chips.length
      ? [el("span", { class: "label" }, "Holds for this conversation"), el("div", { class: "chips" }, chips), told]
      : []),
  );
}

async function lift(index, told) {
  const path = personPath(`/constraints/${index}?conversation_id=${encodeURIComponent(here.conversation)}`);
  const left = await attempt(told, "lifting it", () => remove(path));
  if (!left) return;
  showConstraints(left.constraints);
  parts.field.focus();
  tell("profile");
}

/** The profile changed what holds. */
on("constraints", ({ constraints }) => showConstraints(constraints));
