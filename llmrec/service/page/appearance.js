/** Light, dark or as the system has it, kept in this browser. */

import { icon } from "./icons.js";

const KEY = "llmrec-theme";
const NEXT = { system: "light", light: "dark", dark: "system" };

export function startAppearance(button) {
  button.hidden = false;
  button.addEventListener("click", () => {
    const theme = NEXT[chosen()];
    localStorage.setItem(KEY, theme);
    if (theme === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    show(button);
  });
  show(button);
}

function chosen() {
  return document.documentElement.dataset.theme ?? "system";
}

function show(button) {
  const theme = chosen();
  button.replaceChildren(icon(theme));
  button.setAttribute("aria-label", `Theme: ${theme}. Change to ${NEXT[theme]}`);
  button.title = `Theme: ${theme}`;
}
