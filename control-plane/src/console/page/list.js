// A list of any length: only the rows that are seen are elements. One tab stop, arrows move within.

import { h } from "./dom.js";

const ROW = 36;
const BEYOND = 8;

export class VirtualList {
  /** `row` makes the parts of an entry; `chosen` hears of the entry that is chosen. */
  constructor(label, { row, chosen }) {
    Object.assign(this, { row, chosen, entries: [], at: -1 });
    this.spacer = h("div", { class: "spacer", role: "presentation" });
    this.element = h("div", {
      class: "list", role: "listbox", tabindex: 0, "aria-label": label,
      onscroll: () => this.schedule(),
      onkeydown: (event) => this.pressed(event),
    }, this.spacer);
    new ResizeObserver(() => this.schedule()).observe(this.element);
  }

  show(entries) {
    this.entries = entries;
    this.at = Math.min(this.at, entries.length - 1);
    this.spacer.style.height = `${entries.length * ROW}px`;
    this.draw();
  }

  schedule() {
    this.drawing ??= requestAnimationFrame(() => {
      this.drawing = undefined;
      this.draw();
    });
  }

  draw() {
    const { scrollTop, clientHeight } = this.element;
    const first = Math.max(0, Math.floor(scrollTop / ROW) - BEYOND);
    const last = Math.min(this.entries.length, Math.ceil((scrollTop + clientHeight) / ROW) + BEYOND);
    const rows = this.entries.slice(first, last).map((entry, index) => this.option(entry, first + index));
    this.spacer.replaceChildren(...rows);
    if (this.at >= first && this.at < last) this.element.setAttribute("aria-activedescendant", `row-${this.at}`);
    else this.element.removeAttribute("aria-activedescendant");
  }

  option(entry, place) {
    const option = h("div", {
      id: `row-${place}`, role: "option", "aria-selected": String(place === this.at),
      "aria-posinset": place + 1, "aria-setsize": this.entries.length,
      onclick: () => this.choose(place),
    }, this.row(entry));
    option.style.top = `${place * ROW}px`;
    return option;
  }

  choose(place) {
    this.at = Math.max(0, Math.min(place, this.entries.length - 1));
    const top = this.at * ROW;
    const { scrollTop, clientHeight } = this.element;
    if (top < scrollTop) this.element.scrollTop = top;
    if (top + ROW > scrollTop + clientHeight) this.element.scrollTop = top + ROW - clientHeight;
    this.draw();
    this.chosen(this.entries[this.at]);
  }

  pressed(event) {
    const page = Math.max(1, Math.floor(this.element.clientHeight / ROW) - 1);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
    const step = steps[event.key];
    if (step === undefined || !this.entries.length) return;
    event.preventDefault();
    this.choose(this.at + step);
  }
}
