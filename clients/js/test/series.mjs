// Texts that resemble each other, the same ones in every run.

/** Numbers below `below`, always the same ones for a seed (xorshift). */
export function random(seed) {
  let state = seed;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

export const bytes = (text) => new TextEncoder().encode(text);

const words = ["price", "10.25", "ü", "{\\\"a\\\":1.10}", "日本", "🚀", "\n", "telemetry", "0", "channel"];

/** So many pairs of a base and a target that was edited here and there, all lengths from 0 on. */
export function* pairs(count) {
  const below = random(4711);
  for (let pair = 0; pair < count; pair++) {
    const base = Array.from({ length: below(60) }, () => words[below(words.length)]);
    const target = base.flatMap((word) => {
      const edit = below(20);
      if (edit === 0) return [];
      if (edit === 1) return [words[below(words.length)]];
      return edit === 2 ? [word, word] : [word];
    });
    yield [bytes(base.join("")), bytes(target.join(""))];
  }
}
