/** Numbers, times and attributes as people read them. */

const MINUS = "−";
const PARTS = { retrieval: "retrieval", llm: "language model", feedback: "feedback" };
const UNITS = [
  ["year", 31557600],
  ["month", 2629800],
  ["day", 86400],
  ["hour", 3600],
  ["minute", 60],
];
const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });

export function partName(name) {
  return PARTS[name] ?? name.replaceAll("_", " ");
}

/** With its sign, and digits enough to tell small values apart: +0.28, −6.1. */
export function signed(value, digits = 2) {
  if (!Number.isFinite(value)) return "–";
  const text = Math.abs(value).toFixed(digits);
  const zero = Number(text) === 0;
  return zero ? text : (value < 0 ? MINUS : "+") + text;
}

export function decimal(value, digits = 2) {
  if (!Number.isFinite(value)) return "–";
  return value.toFixed(digits).replace("-", MINUS);
}

export function chance(probability) {
  if (!Number.isFinite(probability)) return null;
  const percent = probability * 100;
  if (percent > 0 && percent < 0.01) return "below 0.01 %";
  return `${percent.toFixed(percent < 1 ? 2 : 1)} %`;
}

export function seconds(value) {
  if (!Number.isFinite(value)) return "–";
  return value < 0.0995 ? `${Math.max(1, Math.round(value * 1000))} ms` : `${value.toFixed(value < 10 ? 2 : 1)} s`;
}

export function count(number, one, several = `${one}s`) {
  return `${new Intl.NumberFormat("en").format(number)} ${number === 1 ? one : several}`;
}

/** How long ago, in words; "never" of nothing. */
export function ago(iso) {
  const time = Date.parse(iso ?? "");
  if (Number.isNaN(time)) return iso ? String(iso) : "never";
  const past = (Date.now() - time) / 1000;
  const unit = UNITS.find(([, length]) => Math.abs(past) >= length);
  return unit ? relative.format(-Math.round(past / unit[1]), unit[0]) : "just now";
}

/** Attributes as pairs of a name and its value in words, those without a value left out. */
export function attributePairs(attributes) {
  return Object.entries(attributes ?? {})
    .filter(([, value]) => value !== null && value !== "" && !(Array.isArray(value) && value.length === 0))
    .map(([name, value]) => [name.replaceAll("_", " "), Array.isArray(value) ? value.join(", ") : String(value)]);
}

export function attributeLine(attributes, most = 4) {
  return attributePairs(attributes)
    .slice(0, most)
    .map(([name, value]) => `${name} ${value}`)
    .join(" · ");
}

export function sentence(text) {
  return text ? text[0].toUpperCase() + text.slice(1) : "";
}
