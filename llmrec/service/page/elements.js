/** DOM elements from names, properties and children. Text only ever becomes a text node, never markup. */

const SVG = "http://www.w3.org/2000/svg";

/**
 * An HTML element. `on` holds listeners, `data` the data attributes; `true` writes an attribute without a value,
 * `false`, `null` and `undefined` leave it out. Children are nodes or texts; what is empty is left out.
 */
export function el(name, properties = {}, ...children) {
  return furnish(document.createElement(name), properties, children);
}

export function svg(name, properties = {}, ...children) {
  return furnish(document.createElementNS(SVG, name), properties, children);
}

function furnish(element, { on = {}, data = {}, ...attributes }, children) {
  for (const [name, listener] of Object.entries(on)) element.addEventListener(name, listener);
  for (const [name, value] of Object.entries(data)) element.dataset[name] = value;
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(
    ...children.flat().filter((child) => child !== null && child !== undefined && child !== false && child !== ""),
  );
  return element;
}

export function button(words, act, properties = {}) {
  return el(
    "button",
    { type: "button", class: "button", ...(act && { on: { click: act } }), ...properties },
    ...[words].flat(),
  );
}

let made = 0;

/** An id that no other element has. */
export function freshId(name) {
  made += 1;
  return `${name}-${made}`;
}

/** Say something to those who listen to the page. */
export function speak(text) {
  document.getElementById("spoken").textContent = text;
}
