// One of a run's logs, fetched piece by piece as it grows.

import { make } from "/view.js";

const KEPT = 200000; // characters

export class LogView {
  /** The list of logs, the box for their text, and whether it stays at its end. */
  constructor(names, box, follow) {
    this.names = names;
    this.box = box;
    this.follow = follow;
    this.start("");
    names.onchange = () => this.choose(names.value);
  }

  /** Forget all, and show logs of another run. */
  start(run) {
    this.run = run;
    this.sizes = {};
    this.names.replaceChildren();
    this.choose("");
  }

  /** Take note of the sizes of the run's logs by name, and read what is new of the one that is shown. */
  draw(sizes) {
    this.sizes = sizes;
    const names = Object.keys(sizes);
    if (names.join() !== [...this.names.options].map((option) => option.value).join()) {
      this.names.replaceChildren(...names.map((name) => make("option", { value: name }, name)));
      if (names.includes(this.log.name)) this.names.value = this.log.name;
    }
    if (names.length && !names.includes(this.log.name)) this.choose(this.names.value);
    else this.read();
  }

  choose(name) {
    this.log = { name, end: 0, size: -1, busy: false };
    this.box.replaceChildren();
    this.read();
  }

  async read() {
    const log = this.log;
    const size = this.sizes[log.name];
    if (log.busy || size === undefined || size === log.size) return;
    log.busy = true;
    try {
      const anew = size < log.end;
      const query = new URLSearchParams({ run: this.run, name: log.name, from: `${anew ? 0 : log.end}` });
      const answer = await fetch(`/api/log?${query}`);
      const told = answer.ok ? await answer.json() : null;
      if (!told || log !== this.log) return;
      if (anew) this.box.replaceChildren();
      if (told.skipped) this.box.append("…\n");
      if (told.text) this.box.append(told.text);
      while (this.box.childNodes.length > 1 && this.box.textContent.length > KEPT) this.box.firstChild.remove();
      log.end = told.end;
      log.size = size;
      if (this.follow.checked) this.box.scrollTop = this.box.scrollHeight;
    } catch {
      return; // the stream says that the connection is lost
    } finally {
      log.busy = false;
    }
    this.read();
  }
}
