/** What the page is about just now, and the news that its parts tell each other. */

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
  return `v1/users/${encodeURIComponent(here.user)}${rest}`;
}
