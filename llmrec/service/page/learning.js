/** What the service has learnt, what waits, and how the newest release compares with the one that answers. */

import { ask } from "./api.js";
import { lineChart } from "./chart.js";
import { button, el } from "./elements.js";
import { ago, count, signed } from "./format.js";
import { on } from "./here.js";
import { attempt } from "./notices.js";

const PAUSE = 20_000;

export function startLearning(panel) {
  const body = el("div", {});
  const told = el("div", {});
  let busy = false;
  const draw = async () => {
    if (busy || panel.hidden || panel.closest("[hidden]")) return;
    busy = true;
    told.replaceChildren();
    const found = await attempt(told, "looking", () => Promise.all([ask("v1/learning"), ask("v1/releases")]));
    busy = false;
    if (found) body.replaceChildren(...status(found[0]), releases(found[1].releases));
  };
  panel.append(
    el("div", { class: "drawer-head" }, el("h2", {}, "Learning"), button("Refresh", draw, { class: "button small" })),
    body,
    told,
  );
  on("tab", ({ name }) => name === "learning" && draw());
  on("person", draw);
  on("changed", draw);
  // A figure that is being read must not be torn away: what is open stays until it is closed.
  setInterval(() => !document.hidden && !body.querySelector("details[open]") && draw(), PAUSE);
}

function status(learning) {
  const facts = [
    ["Answers come from", learning.live ?? "no release yet"],
    ["Events stored", count(learning.events, "event")],
    ["Waiting to be learnt", count(learning.waiting, "event")],
    ["Last retraining", ago(learning.last_retrain)],
    ["Now", learning.running ? `${learning.doing ?? "a training"} is running` : "at rest"],
  ];
  return [
    el(
      "dl",
      { class: "facts" },
      facts.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, String(value)))),
    ),
    challengerNote(learning.challenger),
    curves(learning),
  ].filter(Boolean);
}

function challengerNote(challenger) {
  if (!challenger) return el("p", { class: "quiet" }, "No release has challenged the one that answers.");
  const { difference, state } = challenger;
  const [value, low, high] = [difference?.value, difference?.low, difference?.high].map((one) => signed(one, 4));
  return el(
    "div",
    { class: `verdict ${state}` },
    el("p", {}, el("span", { class: "strong" }, `${challenger.version} was ${state}`), ` ${ago(challenger.created)}`),
    challenger.reason && el("p", {}, challenger.reason),
    difference && el("p", { class: "quiet small" }, `difference ${value}, between ${low} and ${high}`),
  );
}

function curves({ champion, challenger }) {
  const series = [
    ["champion", champion],
    ["challenger", challenger],
  ]
    .filter(([, one]) => one?.curve?.length)
    .map(([role, one]) => ({
      name: `${role} ${one.version}`,
      points: one.curve.map(({ lists, gain }) => [lists, gain]),
    }));
  if (series.length === 0) return el("p", { class: "quiet" }, "No training has left a curve yet.");
  const last = series.map(({ name, points }) => `${name} ends at ${signed(points.at(-1)[1], 4)}`).join(", ");
  return el(
    "div",
    {},
    el("h3", {}, "Gain over the retriever while learning"),
    lineChart(series, { label: `Gain by lists learnt from: ${last}`, xName: "lists learnt from", yName: "gain" }),
  );
}

function releases(all) {
  const rows = all.map((one) =>
    el(
      "li",
      {},
      el(
        "p",
        {},
        el("span", { class: "strong" }, one.version),
        one.live && el("span", { class: "chip done" }, "answers"),
      ),
      el(
        "p",
        { class: "quiet small" },
        [
          ago(one.created),
          one.parent && `from ${one.parent}`,
          one.adapter && `adapter ${one.adapter}`,
          one.learnt_from_deleted && "learnt from events that were deleted since",
        ]
          .filter(Boolean)
          .join(" · "),
      ),
    ),
  );
  return el(
    "section",
    {},
    el("h3", {}, "Releases"),
    rows.length ? el("ul", { class: "known" }, rows) : el("p", { class: "quiet" }, "none yet: nothing was fitted"),
  );
}
