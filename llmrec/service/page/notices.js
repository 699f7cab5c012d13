/** What the page says about itself: progress, problems, a server that is gone or busy. */

import { connection, probeNow } from "./api.js";
import { button, el } from "./elements.js";
import { icon } from "./icons.js";

/** After a second, says in `place` what is going on and for how long. Returns how to end it. */
export function showProgress(place, words) {
  const begun = performance.now();
  const time = el("span", { class: "figures", "aria-hidden": "true" });
  const told = el("p", { class: "progress", role: "status" }, el("span", { class: "pulse" }), `${words} `, time);
  const timer = setInterval(() => {
    time.textContent = `${Math.round((performance.now() - begun) / 1000)} s`;
    if (!told.isConnected) place.append(told);
  }, 1000);
  return () => {
    clearInterval(timer);
    told.remove();
  };
}

/** A problem in its place, with what to do next; `retry` does what failed once more. */
export function problemBox(problem, retry = null) {
  const fields = (problem.errors ?? []).map(({ place, message }) => el("li", {}, `${place}: ${message}`));
  return el(
    "div",
    { class: "problem", role: "alert" },
    icon("alert"),
    el(
      "div",
      {},
      el("p", { class: "strong" }, problem.title ?? "Something went wrong"),
      problem.detail && el("p", {}, problem.detail),
      fields.length > 0 && el("ul", {}, fields),
      problem.hint && el("p", { class: "hint" }, `What to do: ${problem.hint}`),
      problem.requestId && el("p", { class: "quiet small" }, `request ${problem.requestId}`),
    ),
    retry && button("Try again", retry),
  );
}

/** Any error as a problem; those of this page itself too, so that nothing fails in silence. */
export function asProblem(error) {
  if (error.title) return error;
  console.error(error);
  return { title: "The page failed", detail: String(error.message ?? error), hint: "reload the page" };
}

/** Runs work that may fail: progress while it lasts, the problem in `place` if it does. Undefined if it failed. */
export async function attempt(place, words, work) {
  const done = showProgress(place, words);
  try {
    return await work();
  } catch (error) {
    if (error.name !== "AbortError") showProblem(place, error, () => attempt(place, words, work));
    return undefined;
  } finally {
    done();
  }
}

export function showProblem(place, error, retry = null) {
  const box = problemBox(
    asProblem(error),
    retry &&
      (() => {
        box.remove();
        retry();
      }),
  );
  for (const old of place.querySelectorAll(":scope > .problem")) old.remove();
  place.append(box);
}

let toastTimer = null;

/** A word at the edge of the page that goes away by itself. */
export function toast(text, milliseconds = 5000) {
  const place = document.getElementById("toast");
  place.textContent = text;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => place.replaceChildren(), milliseconds);
}

export function startNotices(banner) {
  connection.addEventListener("gone", ({ detail }) => {
    const words = `The server does not answer. Trying again in ${detail.seconds} s.`;
    banner.replaceChildren(icon("alert"), el("span", {}, words), button("Try now", probeNow));
    banner.hidden = false;
  });
  connection.addEventListener("back", () => {
    banner.hidden = true;
    toast("The server is back.");
  });
  connection.addEventListener("waiting", ({ detail: { seconds, problem } }) => {
    const why = problem.detail ?? problem.title;
    toast(`The server is busy (${why}). Trying again in ${seconds} s.`, seconds * 1000 + 500);
  });
}
