/** What a list is asked for beside the user: its length, filters, situation, variety, and whether the model reads. */

import { button, el, freshId } from "./elements.js";
import { icon } from "./icons.js";
import { knownValues, remember } from "./items.js";
import { ask } from "./api.js";

const MOST = 100;
// `llm` null leaves the choice to the server until somebody chooses.
const wanted = { n: 10, where: {}, context: {}, diversity: 0, llm: null };

export function requestBody() {
  return structuredClone(wanted);
}

/** Puts the form into `place`; `changed` is called when the list has to be asked for again. */
export function startOptions(place, changed) {
  const chips = el("div", { class: "chips", role: "group", "aria-label": "Options that hold" });
  const redraw = () => {
    chips.replaceChildren(
      ...chosen().map(({ words, drop }) =>
        chip(words, () => {
          drop();
          redraw();
          changed();
        }),
      ),
    );
  };
  const act = () => {
    redraw();
    changed();
  };
  const details = el(
    "details",
    { class: "options" },
    el("summary", {}, "Options"),
    el(
      "div",
      { class: "options-form" },
      lengthField(act),
      varietyField(act),
      modelField(act),
      pairForm({
        title: "Only where",
        label: "Filter",
        names: ["attribute", "value"],
        suggest: true,
        add: (name, value) => {
          narrow(name, value);
          act();
        },
      }),
      pairForm({
        title: "Situation",
        label: "Situation",
        names: ["name", "value"],
        suggest: false,
        add: (name, value) => {
          wanted.context[name] = value;
          act();
        },
      }),
    ),
  );
  // A few items of the catalogue say which attributes a filter can name.
  details.addEventListener("toggle", () => details.open && suggestNames(), { once: true });
  place.append(details, chips);
}

async function suggestNames() {
  try {
    remember((await ask("v1/items?query=&limit=50")).items);
  } catch {
    /* the names are a convenience; those of the list stay */
  }
}

function chosen() {
  const filters = Object.entries(wanted.where).flatMap(([name, values]) =>
    values.map((value) => ({ words: `${name}: ${value}`, drop: () => widen(name, value) })),
  );
  const context = Object.entries(wanted.context).map(([name, value]) => ({
    words: `${name} = ${value}`,
    drop: () => delete wanted.context[name],
  }));
  return [...filters, ...context];
}

function narrow(name, text) {
  const known = [...(knownValues().get(name) ?? [])];
  const value = known.find((one) => String(one).toLowerCase() === text.toLowerCase()) ?? text;
  wanted.where[name] = [...new Set([...(wanted.where[name] ?? []), value])];
}

function widen(name, value) {
  wanted.where[name] = wanted.where[name].filter((one) => one !== value);
  if (wanted.where[name].length === 0) delete wanted.where[name];
}

function lengthField(act) {
  const id = freshId("n");
  const change = (event) => {
    const n = Number(event.target.value);
    if (!Number.isInteger(n) || n < 1 || n > MOST) return event.target.reportValidity();
    wanted.n = n;
    return act();
  };
  return el(
    "div",
    { class: "option" },
    el("label", { for: id, class: "label" }, "How many"),
    el("input", {
      id,
      class: "field narrow",
      type: "number",
      min: 1,
      max: MOST,
      required: true,
      value: wanted.n,
      on: { change },
    }),
  );
}

function varietyField(act) {
  const id = freshId("diversity");
  const shown = el("output", { for: id, class: "figures" }, "0.0");
  const on = {
    input: (event) => {
      shown.textContent = Number(event.target.value).toFixed(1);
    },
    change: (event) => {
      wanted.diversity = Number(event.target.value);
      act();
    },
  };
  return el(
    "div",
    { class: "option" },
    el("label", { for: id, class: "label" }, "Diversity"),
    el("span", { class: "range" }, el("input", { id, type: "range", min: 0, max: 1, step: 0.1, value: 0, on }), shown),
  );
}

function modelField(act) {
  const id = freshId("llm");
  const change = (event) => {
    wanted.llm = event.target.checked;
    act();
  };
  return el(
    "div",
    { class: "option" },
    el("span", { class: "label" }, "Ranking"),
    el(
      "label",
      { class: "check", for: id },
      el("input", { id, type: "checkbox", checked: true, on: { change } }),
      "ask the language model",
    ),
  );
}

function pairForm({ title, label, names, suggest, add }) {
  const fields = names.map((name) => pairField(label, name, suggest));
  const [name, value] = fields.map(({ field }) => field);
  if (suggest) suggestInto(fields, name, value);
  const submit = (event) => {
    event.preventDefault();
    if (!name.value.trim() || !value.value.trim()) return (name.value.trim() ? value : name).focus();
    add(name.value.trim(), value.value.trim());
    value.value = "";
    return value.focus();
  };
  return el(
    "form",
    { class: "option pair", on: { submit } },
    el("span", { class: "label", "aria-hidden": "true" }, title),
    el(
      "span",
      { class: "pair-fields" },
      ...fields.flatMap(({ field, list }, place) => [
        place ? el("span", { "aria-hidden": "true" }, "=") : null,
        field,
        list,
      ]),
      button(icon("plus"), null, { type: "submit", class: "icon-button", "aria-label": `Add ${label.toLowerCase()}` }),
    ),
  );
}

function pairField(label, name, suggest) {
  const id = freshId("known");
  const list = suggest ? el("datalist", { id }) : null;
  const field = el("input", {
    class: "field",
    type: "text",
    placeholder: name,
    "aria-label": `${label}: ${name}`,
    autocomplete: "off",
    list: suggest ? id : null,
  });
  return { field, list };
}

function suggestInto([{ list: names }, { list: values }], name, value) {
  const fill = (list, texts) => list.replaceChildren(...texts.map((text) => el("option", { value: text })));
  name.addEventListener("focus", () => fill(names, [...knownValues().keys()]));
  value.addEventListener("focus", () => fill(values, [...(knownValues().get(name.value.trim()) ?? [])].slice(0, 60)));
}

function chip(words, drop) {
  return el(
    "span",
    { class: "chip" },
    words,
    button(icon("close"), drop, { class: "chip-drop", "aria-label": `Remove ${words}` }),
  );
}
