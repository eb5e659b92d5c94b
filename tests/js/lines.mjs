// What a rig says: one JSON object per line on stdout, read by the Rust tests.

export function say(line) {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

// Errors of the SDKs carry their facts in fields that JSON.stringify leaves out.
export function describe(error) {
  const { name, message, status, body, type, error: inner } = error ?? {};
  return { name, message, status, body, type, inner: inner ? describe(inner) : undefined };
}
