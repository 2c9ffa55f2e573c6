// Small pieces that put values into the page and touch nothing that stays the same.

export const $ = (id) => document.getElementById(id);

/** Set an element's text, if it is another. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Show or hide an element. */
export function show(element, visible) {
  if (element.hidden === visible) element.hidden = !visible;
}

/** Make an element with properties and children. */
export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** A table body whose rows are found by key; rows and cells are made once, and changed in place. */
export class Rows {
  constructor(body, classes) {
    this.body = body;
    this.classes = classes;
    this.rows = new Map();
  }

  /** Put a row's texts in place; a text may be [text, class, title]. The first is the row's heading. */
  set(key, texts, first = false) {
    let row = this.rows.get(key);
    if (!row) {
      row = document.createElement("tr");
      texts.forEach((_, column) => {
        const cell = document.createElement(column ? "td" : "th");
        if (!column) cell.scope = "row";
        if (this.classes[column]) cell.className = this.classes[column];
        row.append(cell);
      });
      this.rows.set(key, row);
      if (first) this.body.prepend(row);
      else this.body.append(row);
    }
    texts.forEach((told, column) => {
      const [text, mark, title] = Array.isArray(told) ? told : [told];
      const cell = row.cells[column];
      say(cell, text);
      const name = [this.classes[column], mark].filter(Boolean).join(" ");
      if (cell.className !== name) cell.className = name;
      if (title !== undefined && cell.title !== title) cell.title = title;
    });
    return row;
  }

  keepLast(count) {
    while (this.rows.size > count) {
      const [key, row] = this.rows.entries().next().value;
      row.remove();
      this.rows.delete(key);
    }
  }

  clear() {
    this.body.replaceChildren();
    this.rows.clear();
  }
}

/** Put a chart that the server drew in place of the one that is there. */
export function picture(element, svg) {
  const parsed = new DOMParser().parseFromString(svg, "text/html");
  element.replaceChildren(...parsed.body.childNodes);
}

export const none = "–";

export function seconds(value) {
  if (value === null || value === undefined) return none;
  if (value >= 120) return `${(value / 60).toFixed(1)} min`;
  return value >= 0.1 ? `${value.toFixed(2)} s` : `${(value * 1000).toFixed(1)} ms`;
}

export function joules(value) {
  if (value === null || value === undefined) return none;
  return value >= 1000 ? `${(value / 1000).toFixed(2)} kJ` : `${Number(value.toPrecision(3))} J`;
}

export function number(value, digits) {
  return value === null || value === undefined ? none : value.toFixed(digits);
}

export function clock(at) {
  return new Date(at * 1000).toLocaleTimeString();
}

export function ago(at) {
  const passed = Math.max(0, Math.round(Date.now() / 1000 - at));
  return passed < 120 ? `${passed} s` : `${Math.round(passed / 60)} min`;
}
