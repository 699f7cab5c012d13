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
  const lines = block
    .split("\n")
    .map((line) => line.match(/^(event|data): ?(.*)$/))
    .filter(Boolean);
  const data = lines
    .filter(([, field]) => field === "data")
    .map(([, , text]) => text)
    .join("\n");
  const event = lines.find(([, field]) => field === "event")?.[2] ?? "message";
  return data ? { event, data: JSON.parse(data) } : null;
}
