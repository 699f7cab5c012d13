/** Tabs after the pattern of the ARIA practices: arrows move, the chosen one is kept for this tab of the browser. */

import { tell } from "./here.js";

const KEY = "llmrec-tab";

export function startTabs(list) {
  const tabs = [...list.querySelectorAll("[role=tab]")];
  const choose = (tab) => {
    for (const one of tabs) {
      const chosen = one === tab;
      one.setAttribute("aria-selected", String(chosen));
      one.tabIndex = chosen ? 0 : -1;
      document.getElementById(one.getAttribute("aria-controls")).hidden = !chosen;
    }
    sessionStorage.setItem(KEY, tab.id);
    tell("tab", { name: tab.getAttribute("aria-controls") });
  };
  list.addEventListener("click", (event) => {
    const tab = event.target.closest("[role=tab]");
    if (tab) choose(tab);
  });
  list.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const next = tabs[(tabs.indexOf(document.activeElement) + step + tabs.length) % tabs.length];
    choose(next);
    next.focus();
  });
  choose(tabs.find(({ id }) => id === sessionStorage.getItem(KEY)) ?? tabs[0]);
}
