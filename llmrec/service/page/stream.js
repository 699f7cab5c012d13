/** Server-sent events out of a response's body. */

/** Yields {event, data}, data read from JSON; ends with the body. */
export async function* eventsOf(response) {
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      rest += done ? decoder.decode() : decoder.decode(value, { stream: true });
      const blocks = rest.replaceAll("\r\n", "\n").split("\n\n");
      rest = blocks.pop();
      yield* blocks.map(eventOf).filter(Boolean);
      if (done) return;
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

function eventOf(block) {
  const fields = block.split("\n").map(fieldOf);
  const data = fields
    .filter(([name]) => name === "data")
    .map(([, text]) => text)
    .join("\n");
  const event = fields.find(([name]) => name === "event")?.[1] ?? "message";
  return data ? { event, data: JSON.parse(data) } : null;
}

/** Cut at the first colon. Only line feeds end a line here: titles may hold others, such as U+2028. */
function fieldOf(line) {
  const colon = line.indexOf(":");
  return colon < 0 ? [line, ""] : [line.slice(0, colon), line.slice(colon + 1).replace(/^ /, "")];
}
