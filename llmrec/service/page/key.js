/** The key that some servers want. It is kept for this tab alone. */

import { announceUnlocked, connection, openSession } from "./api.js";
import { button, el, freshId } from "./elements.js";
import { attempt } from "./notices.js";

let dialog = null;

/** Asks for a key where one is needed; resolves when requests may go out. */
export async function startKey(version) {
  connection.addEventListener("locked", () => askForKey("The server did not accept the key. Enter one that it knows."));
  const session = await attempt(version, "connecting", () => openSession());
  if (!session) return;
  version.textContent = `llmrec ${session.version ?? ""}`;
  if (!session.key_required || session.key_accepted) return;
  askForKey("");
  await new Promise((resolve) => connection.addEventListener("unlocked", resolve, { once: true }));
}

function askForKey(error) {
  if (dialog) return;
  const id = freshId("key");
  const field = el("input", {
    id,
    class: "field",
    type: "password",
    autocomplete: "current-password",
    required: true,
    "aria-describedby": `${id}-told`,
  });
  const told = el("div", { id: `${id}-told`, class: "key-error", role: "alert" }, error);
  const form = el(
    "form",
    { on: { submit: (event) => send(event, field, told) } },
    el("h2", { id: `${id}-title` }, "This server asks for a key"),
    el("p", { class: "quiet" }, "It was given to whoever started the server. The key stays in this tab."),
    el("label", { for: id, class: "label" }, "Key"),
    field,
    told,
    button("Continue", null, { type: "submit", class: "button primary" }),
  );
  dialog = el("dialog", { class: "key-dialog", "aria-labelledby": `${id}-title` }, form);
  dialog.addEventListener("cancel", (event) => event.preventDefault());
  document.body.append(dialog);
  dialog.showModal();
}

async function send(event, field, told) {
  event.preventDefault();
  told.replaceChildren();
  const session = await attempt(told, "asking", () => openSession(field.value));
  if (!session) return;
  if (session.key_required && !session.key_accepted) {
    told.textContent = "That key was not accepted. Compare it with the one the server was started with.";
    field.setAttribute("aria-invalid", "true");
    field.select();
    return;
  }
  dialog.remove();
  dialog = null;
  announceUnlocked();
}
