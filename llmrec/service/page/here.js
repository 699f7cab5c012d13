/** What the page is about just now, and the news that its parts tell each other. */

import { pathPart } from "./api.js";

/** @property {string|null} user, @property {string|null} conversation, @property {string|null} recommendation: ids. */
export const here = { user: null, conversation: null, recommendation: null };

const news = new EventTarget();

/**
 * News: `person` (somebody else is here), `given` (what they said of items is known), `changed` (something was said,
 * taken back or asked for, so lists may differ), `conversation` (another one is open), `why` (an item is asked about).
 */
export function tell(name, detail = {}) {
  news.dispatchEvent(new CustomEvent(name, { detail }));
}

export function on(name, listener) {
  news.addEventListener(name, (event) => listener(event.detail));
}

export function personPath(rest = "") {
  return `v1/users/${pathPart(here.user)}${rest}`;
}

export function conversationPath(id) {
  return personPath(`/conversations/${pathPart(id)}`);
}

/** What somebody asked for in the conversation, by its words: places change, words stay. */
export function constraintPath(words) {
  const query = `conversation_id=${encodeURIComponent(here.conversation ?? "")}&text=${encodeURIComponent(words)}`;
  return personPath(`/constraints?${query}`);
}

/** An id that nobody else has. (randomUUID is missing on plain http.) */
export function randomId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
