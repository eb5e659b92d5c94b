// Elements made of values: texts never become markup.

/** An element. Properties that begin with "on" are listeners, the others attributes; absent ones are left out. */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== undefined && child !== null));
  return element;
}

let labels = 0;

/** A field with its label, a hint and a place for what is wrong with it; neither is part of its name. */
export function field(text, input, { hint, grow } = {}) {
  const id = `field-${++labels}`;
  input.id = id;
  const mistake = h("p", { class: "mistake", id: `${id}-mistake`, hidden: true });
  const parts = [h("label", { for: id }, text), input, hint && h("p", { class: "hint", id: `${id}-hint` }, hint), mistake];
  input.setAttribute("aria-describedby", `${hint ? `${id}-hint ` : ""}${id}-mistake`);
  const element = h("div", { class: grow ? "field grow" : "field" }, parts.filter(Boolean));
  return { element, input, say: (message) => say(input, mistake, message) };
}

function say(input, mistake, message) {
  mistake.textContent = message ?? "";
  mistake.hidden = !message;
  if (message) input.setAttribute("aria-invalid", "true");
  else input.removeAttribute("aria-invalid");
}

/**
 * A table; a column is [title, cell of a row, class: "number", "short" or "wide"?]. Where it is narrow the style makes a
 * block of each row, with the titles in its cells: the roles say that it is a table still.
 */
export function table(caption, columns, rows, nothing) {
  const titled = ([title, , kind]) => h("th", { scope: "col", role: "columnheader", class: kind }, title);
  const cell = (row) => ([title, content, kind]) => h("td", { role: "cell", class: kind, "data-label": title }, content(row));
  const line = (cells) => h("tr", { role: "row" }, cells);
  const body = rows.map((row) => line(columns.map(cell(row))));
  if (!rows.length) body.push(line(h("td", { role: "cell", colspan: columns.length, class: "hint" }, nothing)));
  const group = (tag, lines) => h(tag, { role: "rowgroup" }, lines);
  const parts = [h("caption", {}, caption), group("thead", line(columns.map(titled))), group("tbody", body)];
  return h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption }, h("table", { role: "table" }, parts));
}

/** Says something to everybody, with or without eyes. */
export function announce(message, bad = false) {
  const status = document.getElementById("status");
  status.textContent = message;
  status.className = bad ? "bad" : "";
}

/** Asks before something that cannot be undone; true where the answer is yes. */
export function confirm(question, action) {
  return new Promise((resolve) => {
    const close = (answer) => () => (dialog.close(), dialog.remove(), resolve(answer));
    const dialog = h("dialog", { "aria-label": question, oncancel: close(false) },
      h("p", {}, question),
      h("div", { class: "row" },
        h("button", { class: "danger", onclick: close(true) }, action),
        h("button", { onclick: close(false) }, "Cancel")));
    document.body.append(dialog);
    dialog.showModal();
  });
}

export const count = (number) => number.toLocaleString("en");

/** "1 event", "2 events". */
export const counted = (number, word) => `${count(number)} ${word}${number === 1 ? "" : "s"}`;
