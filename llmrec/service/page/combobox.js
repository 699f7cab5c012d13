/** A field with suggestions, after the combobox pattern of the ARIA practices. */

import { attempt } from "./notices.js";
import { el, freshId } from "./elements.js";

const PAUSE = 180;

/**
 * A labelled field; `seek(text, signal)` gives choices {words, detail, value}, `pick` is called with one value.
 * @returns {{root: HTMLElement, field: HTMLInputElement, close: () => void}}
 */
export function combobox({ label, placeholder, seek, pick, clears = true }) {
  const [fieldId, listId] = [freshId("field"), freshId("choices")];
  const field = el("input", {
    id: fieldId,
    class: "field",
    type: "text",
    role: "combobox",
    placeholder,
    autocomplete: "off",
    spellcheck: "false",
    "aria-expanded": "false",
    "aria-controls": listId,
    "aria-autocomplete": "list",
    autocapitalize: "off",
  });
  const list = el("ul", { id: listId, class: "choices", role: "listbox", "aria-label": label, hidden: true });
  const told = el("div", { class: "combobox-notice" });
  const root = el(
    "div",
    { class: "combobox" },
    el("label", { for: fieldId, class: "label" }, label),
    field,
    list,
    told,
  );
  const state = { choices: [], active: -1, timer: null, asked: null };

  const close = () => {
    clearTimeout(state.timer);
    state.asked?.abort();
    list.hidden = true;
    activate(-1);
    field.setAttribute("aria-expanded", "false");
  };

  const activate = (place) => {
    state.active = place;
    for (const [index, option] of [...list.children].entries()) {
      option.setAttribute("aria-selected", String(index === place));
      if (index === place) option.scrollIntoView({ block: "nearest" });
    }
    if (place >= 0) field.setAttribute("aria-activedescendant", list.children[place].id);
    else field.removeAttribute("aria-activedescendant");
  };

  const choose = (place) => {
    const choice = state.choices[place];
    close();
    if (!choice) return;
    field.value = clears ? "" : choice.words;
    pick(choice.value);
  };

  const open = async () => {
    state.asked?.abort();
    const asked = (state.asked = new AbortController());
    told.replaceChildren();
    const choices = await attempt(told, "searching", () => seek(field.value.trim(), asked.signal));
    if (choices === undefined || asked.signal.aborted) return;
    state.choices = choices;
    list.replaceChildren(...choices.map((choice, place) => option(choice, () => choose(place))));
    if (choices.length === 0)
      list.append(el("li", { class: "choice quiet", role: "option", "aria-disabled": "true" }, "nothing found"));
    list.hidden = false;
    field.setAttribute("aria-expanded", "true");
    activate(-1);
  };

  const move = (step) => {
    const many = state.choices.length;
    if (list.hidden) open();
    else if (many) activate((state.active + step + many + (state.active < 0 && step < 0 ? 1 : 0)) % many);
  };

  const keys = {
    ArrowDown: () => move(1),
    ArrowUp: () => move(-1),
    Enter: () => (list.hidden ? open() : choose(Math.max(0, state.active))),
    Escape: () => close(),
  };
  field.addEventListener("keydown", (event) => {
    if (!keys[event.key]) return;
    // Escape closes the suggestions first; only then whatever the field stands in.
    if (event.key === "Escape" && list.hidden) return;
    event.preventDefault();
    event.stopPropagation();
    keys[event.key]();
  });
  field.addEventListener("input", () => {
    clearTimeout(state.timer);
    state.timer = setTimeout(open, PAUSE);
  });
  field.addEventListener("click", () => list.hidden && open());
  field.addEventListener("blur", close);
  return { root, field, close };
}

function option({ words, detail }, choose) {
  // What is pressed would take the focus from the field, and so close the list before the click.
  const on = { mousedown: (event) => event.preventDefault(), click: choose };
  return el(
    "li",
    { id: freshId("choice"), class: "choice", role: "option", "aria-selected": "false", on },
    el("span", { class: "choice-words" }, words),
    detail && el("span", { class: "quiet small" }, detail),
  );
}
