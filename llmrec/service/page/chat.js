/** The conversation: what was said, the words of the reply as they come, and what holds from now on. */

import { Problem, reach, remove } from "./api.js";
import { startConversations } from "./conversations.js";
import { button, el, freshId, speak } from "./elements.js";
import { rereadHistory } from "./feedback.js";
import { constraintPath, here, on, randomId, tell } from "./here.js";
import { icon } from "./icons.js";
import { asProblem, attempt, problemBox } from "./notices.js";
import { ARRIVED, AT_WORK, outcomeOf } from "./outcome.js";
import { answerBubble, saidBubble } from "./replies.js";
import { eventsOf } from "./stream.js";

const OPENERS = ["Recommend something", "Why the first one?", "What do you know about me?", "What can I say?"];
const LENGTH = 5;
const NEAR = 80;
const GOES_ON = "the request goes on; its result will be in the conversation";
let parts = null;
let speaking = null;
/** The number of the newest turn that is shown. */
let newest = -1;

const NOT_ARRIVED = {
  title: "Your words did not arrive",
  detail: "the server could not be reached, and they are not in the conversation",
  hint: "say them again",
};
const NOT_YET = {
  title: "The result is not in the conversation yet",
  detail: "the reply was not heard to its end, and the server has not kept it since",
  hint: "look again in a while, before you say the same once more",
};

class BrokenOff extends Problem {
  constructor(detail) {
    super({ title: "The reply broke off", detail, hint: `wait: ${GOES_ON}` });
  }
}

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
  newest = -1;
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
  newest = Math.max(-1, ...conversation.turns.map(({ turn }) => turn));
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
    const again = () => {
      said.remove();
      bubble.remove();
      send(text);
    };
    // Where the server said that it failed, it did; of anything else nobody knows yet what came of it.
    if (error.status > 0) bubble.append(problemBox(error, again));
    else findOut(error, text, bubble, again);
  } finally {
    bubble.removeAttribute("aria-busy");
    if (speaking === stream) speaking = null;
    setSpeaking(Boolean(speaking));
    follow();
  }
}

async function listen(text, bubble, signal) {
  const user = here.user;
  // Named here and not by the server, so that it can be looked at even if no answer comes.
  here.conversation ??= randomId();
  const working = workingLine(bubble);
  try {
    const body = { user_id: user, message: text, conversation_id: here.conversation, n: LENGTH, stream: true };
    const response = await reach("v1/chat", { method: "POST", body, signal });
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
    if (event === "error") throw new Problem({ status: 500, ...data });
    if (event === "reply") return data;
    if (event === "delta") {
      working.end();
      if (!words.isConnected) bubble.append(words);
      words.append(data.text);
      follow();
    }
  }
  throw new BrokenOff("the stream ended before the reply was whole");
}

async function* readable(response) {
  try {
    yield* eventsOf(response);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new BrokenOff("the connection was lost, or what came cannot be read");
  }
}

function settle(reply, bubble) {
  here.conversation = reply.conversation_id;
  newest = Math.max(newest, reply.turn ?? -1);
  bubble.replaceWith(answerBubble(reply));
  showConstraints(reply.constraints ?? []);
  speak(reply.text);
  tell("conversation");
  if (reply.actions?.length) {
    renew();
  } else {
    tell("profile");
  }
}

/** A turn may have changed the list, the profile and what was said of items. */
function renew() {
  rereadHistory();
  tell("changed", { words: "" });
}

/** The reply was not heard to its end: what came of the words is read from the conversation. */
async function findOut(error, text, bubble, again) {
  if (!bubble.isConnected) return;
  const told = failure(error);
  bubble.append(told);
  const gone = error instanceof Problem && !(error instanceof BrokenOff);
  const busy = () => Boolean(speaking);
  const found = await outcomeOf(text, { after: newest, pauses: gone ? ARRIVED : AT_WORK, busy });
  if (!bubble.isConnected) return;
  if (found) {
    showConversation(found);
    tell("conversation");
    renew();
  } else if (found === null) {
    told.replaceWith(
      gone ? problemBox(NOT_ARRIVED, again) : problemBox(NOT_YET, () => lookAgain(error, text, bubble, again)),
    );
  }
}

function lookAgain(error, text, bubble, again) {
  bubble.replaceChildren();
  findOut(error, text, bubble, again);
}

function failure(error) {
  if (error.name !== "AbortError") return problemBox(asProblem(error));
  return el("p", { class: "quiet", role: "status" }, `Stopped listening: ${GOES_ON}.`);
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
  const chips = constraints.map((words) =>
    el(
      "span",
      { class: "chip" },
      words,
      button(icon("close"), () => lift(words, told), { class: "chip-drop", "aria-label": `No longer: ${words}` }),
    ),
  );
  parts.constraints.replaceChildren(
    ...(chips.length
      ? [el("span", { class: "label" }, "Holds for this conversation"), el("div", { class: "chips" }, chips), told]
      : []),
  );
}

async function lift(words, told) {
  const left = await attempt(told, "lifting it", () => remove(constraintPath(words)));
  if (!left) return;
  showConstraints(left.constraints);
  parts.field.focus();
  tell("profile");
}

/** The profile changed what holds. */
on("constraints", ({ constraints }) => showConstraints(constraints));
