// A line over the last minutes, drawn as SVG; its caption says in words what it shows.

import { count, h } from "./dom.js";

const WIDTH = 300;
const HEIGHT = 80;

function svg(tag, properties, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(properties)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** A figure of [milliseconds, value] pairs, oldest first. */
export function plot(title, points, unit = "") {
  const values = points.map(([, value]) => value);
  const most = Math.max(...values, 0);
  const last = values.at(-1) ?? 0;
  const shown = (value) => `${count(Math.round(value * 10) / 10)}${unit}`;
  const words = points.length ? `${title}: ${shown(last)} at last, ${shown(most)} at most` : `${title}: nothing yet`;
  const drawing = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": words });
  drawing.append(svg("line", { class: "base", x1: 0, x2: WIDTH, y1: HEIGHT - 1, y2: HEIGHT - 1 }));
  if (points.length > 1) {
    const [from, to] = [points[0][0], points.at(-1)[0]];
    const place = ([at, value]) =>
      `${((at - from) / (to - from) * WIDTH).toFixed(1)},${(HEIGHT - 2 - value / (most || 1) * (HEIGHT - 6)).toFixed(1)}`;
    const line = points.map(place).join(" ");
    drawing.append(
      svg("polygon", { class: "area", points: `0,${HEIGHT} ${line} ${WIDTH},${HEIGHT}` }),
      svg("polyline", { class: "line", points: line }));
  }
  return h("figure", { class: "plot" },
    h("figcaption", {}, h("span", {}, title), h("span", {}, h("b", {}, shown(last)), h("span", { class: "hint" }, ` max ${shown(most)}`))),
    drawing);
}

/** How fast a counter grew between each two samples, per second. */
export function rate(samples, name) {
  return samples.slice(1).map((sample, index) => {
    const before = samples[index];
    return [sample.at_ms, Math.max(0, sample[name] - before[name]) * 1000 / Math.max(1, sample.at_ms - before.at_ms)];
  });
}

/** A number as it was at each sample. */
export const level = (samples, name) => samples.map((sample) => [sample.at_ms, sample[name]]);
