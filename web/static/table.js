// A table of any length: only the rows in sight are elements.
import {h} from "./dom.js";

const kRowHeight = 30;
const kBeyond = 12;  // rows above and below what is in sight

// columns: {name, title, number, wide, value(row) for sorting, show(row)}
export class Table {
  constructor(element, columns, {label, open, key, sort, descending = false, ifEmpty = "nothing here"}) {
    Object.assign(this, {columns, open, key, ifEmpty, sort, descending});
    this.rows = [];
    this.selected = null;
    this.body = h("tbody");
    this.above = h("td", {colspan: columns.length});
    this.below = h("td", {colspan: columns.length});
    this.heads = columns.map((column) => h("th", {class: `${column.number ? "number" : ""} ${column.wide ? "wide" : ""}`, title: column.title, scope: "col"},
      h("button", {type: "button", onclick: () => this.sortBy(column)}, column.name)));
    this.box = h("div", {class: "scroll virtual", tabindex: 0, role: "region", "aria-label": label,
                         onscroll: () => this.draw(), onkeydown: (event) => this.key_(event)},
                 h("table", {}, h("thead", {}, h("tr", {}, this.heads)), this.body));
    element.append(this.box);
    new ResizeObserver(() => this.draw()).observe(this.box);
  }

  set(rows) {
    this.rows = rows;
    this.box.style.height = `min(62vh, 640px, ${(Math.max(rows.length, 1) + 2) * kRowHeight}px)`;
    this.order();
    this.draw(true);
  }

  sortBy(column) {
    this.descending = this.sort === column.name ? !this.descending : false;
    this.sort = column.name;
    this.order();
    this.draw(true);
  }

  order() {
    const column = this.columns.find((one) => one.name === this.sort);
    this.heads.forEach((head, i) => {
      const sorted = this.columns[i] === column;
      head.firstChild.textContent = this.columns[i].name + (sorted ? (this.descending ? " ▾" : " ▴") : "");
      if (sorted) head.setAttribute("aria-sort", this.descending ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    });
    if (!column) return;
    const sign = this.descending ? -1 : 1;
    const keyed = this.rows.map((row, i) => [column.value(row), i, row]);
    keyed.sort(([a, i], [b, j]) => {
      const none = (value) => value === null || value === undefined || value === "";
      if (none(a) || none(b)) return none(a) - none(b) || i - j;  // what is not known comes last
      return (a < b ? -1 : a > b ? 1 : 0) * sign || i - j;
    });
    this.rows = keyed.map(([, , row]) => row);
  }

  draw(anew = false) {
    const height = this.box.clientHeight || 600;
    const first = Math.max(0, Math.floor(this.box.scrollTop / kRowHeight) - kBeyond);
    const last = Math.min(this.rows.length, Math.ceil((this.box.scrollTop + height) / kRowHeight) + kBeyond);
    if (!anew && this.first === first && this.last === last) return;
    [this.first, this.last] = [first, last];
    // A spacer is an attribute's height, not a style: a table row takes it as its least height.
    const spacer = (cell, rows) => { cell.style.height = `${rows * kRowHeight}px`; return h("tr", {class: "spacer", "aria-hidden": "true"}, cell); };
    const shown = this.rows.slice(first, last).map((row) => this.element(row));
    if (this.rows.length === 0) shown.push(h("tr", {}, h("td", {colspan: this.columns.length, class: "muted"}, this.ifEmpty)));
    this.body.replaceChildren(spacer(this.above, first), ...shown, spacer(this.below, Math.max(0, this.rows.length - last)));
  }

  element(row) {
    const cells = this.columns.map((column) => {
      const shown = column.show(row);
      return h("td", {class: `${column.number ? "number" : ""} ${column.wide ? "wide" : ""}`,
                      title: typeof shown === "string" && shown.length > 30 ? shown : undefined}, shown ?? "–");
    });
    return h("tr", {"aria-selected": this.key(row) === this.selected ? "true" : undefined,
                    ondblclick: () => this.open?.(row), onclick: () => this.select(row)}, cells);
  }

  select(row) {
    this.selected = this.key(row);
    this.draw(true);
  }

  key_(event) {
    if (event.target !== this.box) return;
    const at = this.rows.findIndex((row) => this.key(row) === this.selected);
    const page = Math.max(1, Math.floor(this.box.clientHeight / kRowHeight) - 2);
    const to = {ArrowDown: at + 1, ArrowUp: at - 1, PageDown: at + page, PageUp: at - page, Home: 0, End: this.rows.length - 1}[event.key];
    if (event.key === "Enter" && at >= 0) return this.open?.(this.rows[at]);
    if (to === undefined || this.rows.length === 0) return;
    event.preventDefault();
    const row = Math.min(Math.max(to, 0), this.rows.length - 1);
    const top = row * kRowHeight, height = this.box.clientHeight - kRowHeight;
    if (top < this.box.scrollTop) this.box.scrollTop = top;
    if (top + kRowHeight > this.box.scrollTop + height) this.box.scrollTop = top + kRowHeight - height;
    this.select(this.rows[row]);
  }
}
