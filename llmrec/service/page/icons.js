/** Small line drawings. They stand beside words or a label, so they say nothing themselves. */

import { svg } from "./elements.js";

const PATHS = {
  like: ["M4 11h3.5v9H4zM7.5 11 11 4c1.7 0 2.6 1.2 2.3 2.8L12.7 10H18a2 2 0 0 1 2 2.4l-1.2 6a2 2 0 0 1-2 1.6H7.5"],
  dislike: [
    "M20 13h-3.5V4H20zM16.5 13 13 20c-1.7 0-2.6-1.2-2.3-2.8l.6-3.2H6a2 2 0 0 1-2-2.4l1.2-6a2 2 0 0 1 2-1.6h9.3",
  ],
  hide: [
    "M3 12s3.5-6 9-6 9 6 9 6-3.5 6-9 6-9-6-9-6z",
    "M12 9.6a2.4 2.4 0 1 0 0 4.8 2.4 2.4 0 0 0 0-4.8z",
    "M5 20 19 4",
  ],
  comment: ["M4 5h16v11H11l-5 4v-4H4z", "M8 9h8M8 12h5"],
  why: [
    "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18z",
    "M9.6 9.6c.2-1.4 1.2-2.2 2.5-2.2 1.4 0 2.4.9 2.4 2.1 0 1.8-2.5 2-2.5 4",
    "M12 16.7v.2",
  ],
  close: ["M6 6l12 12M18 6 6 18"],
  send: ["M5 12h13M12.5 6.5 18 12l-5.5 5.5"],
  stop: ["M8 8h8v8H8z"],
  undo: ["M8 5 4 9l4 4", "M4 9h9a6 6 0 0 1 0 12h-3"],
  trash: ["M5 7h14M10 7V4.5h4V7M7 7l.8 12.5h8.4L17 7"],
  plus: ["M12 5v14M5 12h14"],
  search: ["M11 4.5a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13z", "M16 16l4 4"],
  light: [
    "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8z",
    "M12 2.5v2M12 19.5v2M2.5 12h2M19.5 12h2M5.3 5.3l1.4 1.4M17.3 17.3l1.4 1.4M5.3 18.7l1.4-1.4M17.3 6.7l1.4-1.4",
  ],
  dark: ["M19.5 14.2A8 8 0 0 1 9.8 4.5a8 8 0 1 0 9.7 9.7z"],
  system: ["M4 5h16v11H4zM9 20h6M12 16v4"],
  up: ["M12 18V6M7 11l5-5 5 5"],
  down: ["M12 6v12M7 13l5 5 5-5"],
  star: ["M12 3.6l2.6 5.3 5.8.8-4.2 4.1 1 5.8-5.2-2.7-5.2 2.7 1-5.8L3.6 9.7l5.8-.8z"],
  alert: ["M12 4 2.8 19.5h18.4z", "M12 10v4.5M12 17v.2"],
};

export function icon(name) {
  const paths = PATHS[name].map((d) => svg("path", { d }));
  return svg(
    "svg",
    { class: `icon icon-${name}`, viewBox: "0 0 24 24", "aria-hidden": "true", focusable: "false" },
    paths,
  );
}
