/** Requests to the service: one way to ask, one kind of error. Where waiting helps, it waits and tells so. */

const KEY = "llmrec-key";
const MOST_WAITS = 4;
const LONGEST_WAIT = 60;

/** `waiting` {seconds, problem}, `gone` {seconds}, `back`, `locked` {problem}, `unlocked`. */
export const connection = new EventTarget();

/** What went wrong, as the server words it; status 0 where none answered. */
export class Problem extends Error {
  constructor({ title, detail, hint, status = 0, request_id: requestId = null, errors = [] }, retryAfter = null) {
    super(title ?? "Something went wrong");
    Object.assign(this, { title: this.message, detail, hint, status, requestId, errors, retryAfter });
  }
}

/** The JSON that answers a request. */
export async function ask(path, options = {}) {
  const response = await reach(path, options);
  try {
    return await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw malformed(response);
  }
}

export function post(path, body, options = {}) {
  return ask(path, { method: "POST", body, ...options });
}

/** An id as a part of a path; browsers take dots alone, encoded or not, for a step up in it. */
export function pathPart(id) {
  if (!isAddressable(id)) throw unaddressable(id);
  return encodeURIComponent(id);
}

export function unaddressable(id) {
  return new Problem({
    title: `The id “${id}” cannot be used here`,
    detail: "within an address, a browser takes it for a step to another one",
    hint: "choose an id that is more than dots",
  });
}

export function isAddressable(id) {
  return id !== "." && id !== "..";
}

export function remove(path, options = {}) {
  return ask(path, { method: "DELETE", ...options });
}

/**
 * A response that is no error: after waiting for a busy or absent server, and for a key where one is needed.
 * Nobody knows whether a request arrived whose connection broke: it is sent again only where it then acts once,
 * which is said of a POST by `repeatable`.
 */
export async function reach(path, { method = "GET", body, signal, repeatable = method !== "POST" } = {}) {
  for (let waits = 0; ;) {
    const response = await sent(path, method, body, signal, repeatable);
    if (response.ok) return response;
    const problem = await problemOf(response);
    if (problem.status === 401) {
      await unlocking(problem, signal);
    } else if (worthWaiting(problem) && waits < MOST_WAITS) {
      waits += 1;
      announce("waiting", { seconds: problem.retryAfter, problem });
      await sleep(problem.retryAfter, signal);
    } else {
      throw problem;
    }
  }
}

async function sent(path, method, body, signal, repeatable) {
  const headers = { Accept: "application/json, text/event-stream", ...authorization() };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  for (;;) {
    try {
      return await fetch(path, {
        method,
        headers,
        signal,
        body: body === undefined ? undefined : JSON.stringify(body),
      });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      const back = returning();
      if (!repeatable) throw gone();
      await Promise.race([back, aborted(signal)]);
    }
  }
}

function worthWaiting({ status, retryAfter }) {
  return (status === 429 || status === 503) && retryAfter !== null && retryAfter <= LONGEST_WAIT;
}

async function problemOf(response) {
  const given = Number.parseInt(response.headers.get("Retry-After") ?? "", 10);
  const retryAfter = Number.isNaN(given) ? null : Math.max(1, given);
  try {
    const told = await response.json();
    return new Problem({ title: response.statusText, ...told, status: response.status }, retryAfter);
  } catch {
    const problem = malformed(response);
    return new Problem({ ...problem, request_id: problem.requestId }, retryAfter);
  }
}

function malformed(response) {
  return new Problem({
    title: "The answer cannot be read",
    detail: `the server answered ${response.status} with something other than JSON`,
    hint: "try again; if it stays so, look at the server's log",
    status: response.status,
    request_id: response.headers.get("X-Request-ID"),
  });
}

function gone() {
  return new Problem({
    title: "The server does not answer",
    detail: "the connection could not be made, or broke off",
    hint: "see whether the server still runs; what was sent may have arrived",
  });
}

// ---- the key

function authorization() {
  const key = sessionStorage.getItem(KEY);
  return key ? { Authorization: `Bearer ${key}` } : {};
}

/** Who we are to the server: whether it wants a key, and takes the given one. */
export async function openSession(key = null) {
  if (key !== null) sessionStorage.setItem(KEY, key);
  const session = await ask("v1/session");
  if (key !== null && !session.key_accepted) sessionStorage.removeItem(KEY);
  return session;
}

export function announceUnlocked() {
  announce("unlocked");
}

function unlocking(problem, signal) {
  announce("locked", { problem });
  const unlocked = new Promise((resolve) => connection.addEventListener("unlocked", resolve, { once: true }));
  return Promise.race([unlocked, aborted(signal)]);
}

// ---- a server that is gone

let probing = null;
let hurry = () => {};

function returning() {
  probing ??= probe().finally(() => {
    probing = null;
  });
  return probing;
}

export function probeNow() {
  hurry();
}

async function probe() {
  for (let pause = 1; ; pause = Math.min(8, pause * 2)) {
    announce("gone", { seconds: pause });
    await Promise.race([
      sleep(pause),
      new Promise((resolve) => {
        hurry = resolve;
      }),
    ]);
    try {
      await fetch("health/live", { cache: "no-store" });
      announce("back");
      return;
    } catch {
      /* still gone */
    }
  }
}

function announce(name, detail = {}) {
  connection.dispatchEvent(new CustomEvent(name, { detail }));
}

function sleep(seconds, signal) {
  return Promise.race([new Promise((resolve) => setTimeout(resolve, seconds * 1000)), aborted(signal)]);
}

function aborted(signal) {
  return new Promise((_, reject) => {
    const stop = () => reject(new DOMException("no longer wanted", "AbortError"));
    if (signal?.aborted) stop();
    else signal?.addEventListener("abort", stop, { once: true });
  });
}
