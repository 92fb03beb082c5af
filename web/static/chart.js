// Curves over one pair of axes: uPlot draws the axes and lets a part be chosen; the lines are drawn
// here, because each curve has its own x.
import {h, power, scientific, short} from "./dom.js";

// Viridis, without the ends that vanish on the page's ground: dark to light in the order of size.
const kLight = ["#440154", "#472d7b", "#3b528b", "#2c728e", "#21918c", "#1f9e75", "#4aa54a", "#8a9a1c", "#b57f00"];
const kDark = ["#8f7ae6", "#7d93ee", "#5fb0ec", "#3fc3d0", "#35d0a0", "#6fd870", "#a9dc52", "#d9db3c", "#fde725"];

export function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}
const channel = (hex, at) => parseInt(hex.slice(at, at + 2), 16);
function between(colors, share) {
  const at = Math.min(Math.max(share, 0), 1) * (colors.length - 1);
  const i = Math.min(Math.floor(at), colors.length - 2);
  const mix = (offset) => Math.round(channel(colors[i], offset) + (at - i) * (channel(colors[i + 1], offset) - channel(colors[i], offset)));
  return `rgb(${mix(1)}, ${mix(3)}, ${mix(5)})`;
}
export const ramp = (share) => between(isDark() ? kDark : kLight, share);
// Ground of a heat map's field and whether its text is to be white.
export function ground(share) {
  const color = between(["#08306b", "#08519c", "#2171b5", "#4292c6", "#6baed6", "#9ecae1", "#c6dbef", "#deebf7"], share);
  const [red, green, blue] = color.match(/\d+/g).map(Number);
  return [color, 0.299 * red + 0.587 * green + 0.114 * blue < 150 ? "#fff" : "#10233c"];
}

const variable = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// Round numbers between two, about `count` of them.
function linearTicks(from, to, count) {
  const raw = (to - from) / Math.max(1, count);
  const scale = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].find((unit) => unit * scale >= raw) * scale;
  const ticks = [];
  for (let i = Math.ceil(from / step - 1e-9); i * step <= to * (1 + 1e-12) && ticks.length < 100; ++i) ticks.push(i * step);
  return ticks;
}
function logTicks(from, to, count) {
  const decades = Math.log10(to / from);
  if (decades < 0.9) return linearTicks(from, to, count);
  const units = decades < 2.5 && count > 4 ? [1, 2, 5] : [1];
  const every = units.length > 1 ? 1 : Math.max(1, Math.ceil(decades / count));
  const ticks = [];
  for (let e = Math.floor(Math.log10(from)); e <= Math.ceil(Math.log10(to)); ++e) {
    if (((e % every) + every) % every !== 0) continue;
    for (const unit of units) {
      const tick = unit * 10 ** e;
      if (tick >= from * 0.999 && tick <= to * 1.001) ticks.push(tick);
    }
  }
  return ticks.length >= 2 ? ticks : linearTicks(from, to, count);
}

function tickLabels(ticks) {
  const most = Math.max(...ticks.map(Math.abs));
  const step = ticks.length > 1 ? Math.abs(ticks[1] - ticks[0]) : 1;
  return ticks.map((tick) => {
    if (tick === 0) return "0";
    if (most >= 1e6 || most < 1e-3) {
      const exponent = Math.log10(tick);
      return Math.abs(exponent - Math.round(exponent)) < 1e-9 ? power(Math.round(exponent)) : scientific(tick, 3);
    }
    if (most >= 1000) return short(tick);
    return tick.toFixed(Math.max(0, Math.min(6, -Math.floor(Math.log10(step) + 1e-9))));
  });
}

// options: {xLabel, yLabel, xLog, yLog, height, describe(line, index) -> text, open(line), zoomed(from, to)}
// A line: {x, y, color, width, dash, dots, lower, upper, silent}. lower, upper: a band around it.
export class Chart {
  constructor(element, options, signal) {
    this.options = options;
    this.lines = [];
    this.tip = h("div", {class: "tip hidden", role: "status"});
    this.holder = h("div", {class: "chart", tabindex: 0, role: "img", "aria-label": `${options.yLabel} against ${options.xLabel}`}, this.tip);
    element.append(this.holder);
    this.holder.addEventListener("keydown", (event) => this.key(event));
    this.holder.addEventListener("mouseleave", () => this.point(null));
    this.observer = new ResizeObserver(() => this.resize());
    this.observer.observe(this.holder);
    signal.addEventListener("abort", () => { this.observer.disconnect(); this.plot?.destroy(); });
  }

  width() { return Math.max(240, this.holder.clientWidth - 14); }
  resize() {
    if (!this.plot || Math.abs(this.plot.width - this.width()) < 2) return;
    this.plot.setSize({width: this.width(), height: this.options.height ?? 440});
  }

  // Replaces what is drawn. `keep`: the chosen part of the axes stays.
  set(lines, {keep = false} = {}) {
    this.lines = lines;
    const {xLog, yLog} = this.options;
    const extent = (pick, log) => {
      let from = Infinity, to = -Infinity;
      for (const line of lines) {
        for (const values of pick(line)) {
          for (const value of values) {
            if (!isFinite(value) || (log && value <= 0)) continue;
            if (value < from) from = value;
            if (value > to) to = value;
          }
        }
      }
      if (from > to) return log ? [1, 10] : [0, 1];
      if (from === to) return log ? [from / 1.3, to * 1.3] : [from - 0.5, to + 0.5];
      if (log) { const margin = (to / from) ** 0.03; return [from / margin, to * margin]; }
      const margin = (to - from) * 0.03;
      return [from >= 0 && from - margin < 0 ? 0 : from - margin, to + margin];
    };
    this.whole = {x: extent((line) => [line.x], xLog), y: extent((line) => [line.y, line.lower ?? [], line.upper ?? []], yLog)};
    if (!keep || !this.shown) this.shown = {x: this.whole.x, y: this.whole.y};
    if (!keep || !this.zoomed) this.shown = {x: this.whole.x, y: this.whole.y};
    if (this.plot && this.drawnWith === `${xLog}${yLog}${isDark()}`) {
      this.plot.batch(() => {
        this.plot.setScale("x", {min: this.shown.x[0], max: this.shown.x[1]});
        this.plot.setScale("y", {min: this.shown.y[0], max: this.shown.y[1]});
      });
      this.plot.redraw();
    } else {
      this.make();
    }
  }

  make() {
    this.plot?.destroy();
    const {xLog, yLog, xLabel, yLabel, height = 440} = this.options;
    this.drawnWith = `${xLog}${yLog}${isDark()}`;
    const text = variable("--text"), line = variable("--line");
    const font = "13px system-ui, 'DejaVu Sans', sans-serif";
    const axis = (label, log, side) => ({
      label, side, stroke: text, font, labelFont: font, labelSize: 22, size: side === 3 ? 62 : 34,
      grid: {stroke: line, width: 1}, ticks: {stroke: line, width: 1},
      splits: (plot, _, from, to) => (log ? logTicks : linearTicks)(from, to, Math.max(2, Math.floor((side === 3 ? plot.height : plot.width) / (side === 3 ? 55 : 95)))),
      values: (_, ticks) => tickLabels(ticks),
      filter: (_, ticks) => ticks,
    });
    const scale = (log, which) => ({time: false, auto: false, distr: log ? 3 : 1, log: 10, range: () => this.shown[which]});
    this.plot = new uPlot({
      width: this.width(), height, padding: [10, this.lines.some((line) => line.name) ? 48 : 12, 0, 0],
      scales: {x: scale(xLog, "x"), y: scale(yLog, "y")},
      axes: [axis(xLabel, xLog, 2), axis(yLabel, yLog, 3)],
      series: [{}, {show: true, scale: "y", paths: () => null, points: {show: false}}],
      legend: {show: false},
      cursor: {drag: {x: true, y: true, uni: 30, setScale: false}, points: {show: false}},
      hooks: {
        draw: [(plot) => this.draw(plot)],
        setCursor: [(plot) => this.near(plot)],
        setSelect: [(plot) => this.select(plot)],
      },
    }, [this.whole.x, this.whole.y], this.holder);
    this.plot.over.addEventListener("dblclick", () => this.zoomOut());
    this.plot.over.addEventListener("click", () => {
      if (this.at && this.options.open && !this.justSelected) this.options.open(this.at.line);
      this.justSelected = false;
    });
  }

  select(plot) {
    const {left, top, width, height} = plot.select;
    if (width < 5 && height < 5) return;
    this.justSelected = true;
    this.zoomed = true;
    const x = [plot.posToVal(left, "x"), plot.posToVal(left + width, "x")];
    const y = [plot.posToVal(top + height, "y"), plot.posToVal(top, "y")];
    this.shown = {x: width >= 5 ? x : this.shown.x, y: height >= 5 ? y : this.shown.y};
    plot.setSelect({left: 0, top: 0, width: 0, height: 0}, false);
    plot.batch(() => {
      plot.setScale("x", {min: this.shown.x[0], max: this.shown.x[1]});
      plot.setScale("y", {min: this.shown.y[0], max: this.shown.y[1]});
    });
    this.options.zoomed?.(...this.shown.x);
  }
  zoomOut() {
    this.zoomed = false;
    this.shown = {x: this.whole.x, y: this.whole.y};
    this.set(this.lines);
    this.options.zoomed?.(0, 0);
  }

  draw(plot) {
    const canvas = plot.ctx;
    const {left, top, width, height} = plot.bbox;
    canvas.save();
    canvas.beginPath();
    canvas.rect(left, top, width, height);
    canvas.clip();
    const {xLog, yLog} = this.options;
    const place = (log, [from, to], start, length, turned) => {
      const f = log ? Math.log : (value) => value;
      const a = f(from), scale = length / (f(to) - a);
      return turned ? (value) => start + length - (f(value) - a) * scale : (value) => start + (f(value) - a) * scale;
    };
    const px = place(xLog, this.shown.x, left, width, false), py = place(yLog, this.shown.y, top, height, true);
    this.px = px;
    this.py = py;
    const ratio = devicePixelRatio;
    canvas.lineJoin = "round";
    for (const line of this.lines) {
      if (line.lower) {
        canvas.globalAlpha = 0.18;
        canvas.fillStyle = line.color;
        canvas.beginPath();
        line.x.forEach((x, i) => canvas.lineTo(px(x), py(line.upper[i])));
        for (let i = line.x.length - 1; i >= 0; --i) canvas.lineTo(px(line.x[i]), py(line.lower[i]));
        canvas.fill();
      }
      const chosen = this.at?.line === line;
      canvas.globalAlpha = this.at && !chosen && !line.silent ? 0.3 : 1;
      canvas.strokeStyle = canvas.fillStyle = line.color;
      canvas.lineWidth = (line.width ?? 1.5) * ratio * (chosen ? 1.8 : 1);
      canvas.setLineDash((line.dash ?? []).map((part) => part * ratio));
      if (line.x.length > 1 && !line.dots) {
        canvas.beginPath();
        let before = false;
        for (let i = 0; i < line.x.length; ++i) {
          const drawn = !(xLog && line.x[i] <= 0) && !(yLog && line.y[i] <= 0);
          if (drawn) before ? canvas.lineTo(px(line.x[i]), py(line.y[i])) : canvas.moveTo(px(line.x[i]), py(line.y[i]));
          before = drawn;
        }
        canvas.stroke();
      } else {
        for (let i = 0; i < line.x.length; ++i) {
          canvas.beginPath();
          canvas.arc(px(line.x[i]), py(line.y[i]), 3 * ratio, 0, 2 * Math.PI);
          canvas.fill();
        }
      }
    }
    canvas.setLineDash([]);
    canvas.globalAlpha = 1;
    if (this.at) {
      const {line, index} = this.at;
      canvas.beginPath();
      canvas.arc(px(line.x[index]), py(line.y[index]), 4.5 * ratio, 0, 2 * Math.PI);
      canvas.fillStyle = line.color;
      canvas.fill();
      canvas.strokeStyle = variable("--ground");
      canvas.lineWidth = 1.5 * ratio;
      canvas.stroke();
    }
    canvas.restore();
    this.label(canvas, px, py, plot.bbox);
  }

  // Names at the ends of the lines; those that would lie over each other are moved apart.
  label(canvas, px, py, box) {
    const ratio = devicePixelRatio, apart = 13 * ratio;
    canvas.save();
    canvas.font = `${12 * ratio}px system-ui, "DejaVu Sans", sans-serif`;
    canvas.textBaseline = "middle";
    canvas.textAlign = "left";
    const labels = [];
    for (const line of this.lines) {
      if (!line.name) continue;
      const end = px(line.x[line.x.length - 1]), at = py(line.y[line.y.length - 1]);
      if (at < box.top || at > box.top + box.height || end < box.left || end > box.left + box.width + 1) continue;
      const width = canvas.measureText(line.name).width;
      labels.push({line, width, x: Math.min(end + 7 * ratio, canvas.canvas.width - width - 2 * ratio), y: at, wanted: at});
    }
    labels.sort((a, b) => a.y - b.y);
    let group = [];
    const settle = () => {
      const shift = group.reduce((sum, one) => sum + one.y - one.wanted, 0) / (group.length || 1);
      for (const one of group) one.y -= shift;
      group = [];
    };
    for (const one of labels) {
      const before = group[group.length - 1];
      if (before && one.y < before.y + apart && one.x < before.x + before.width && before.x < one.x + one.width) one.y = before.y + apart;
      else settle();
      group.push(one);
    }
    settle();
    for (const {line, x, y} of labels) {
      canvas.fillStyle = line.color;
      canvas.fillText(line.name, x, y);
    }
    canvas.restore();
  }

  near(plot) {
    if (!this.px) return;
    const {left, top} = plot.cursor;
    if (left === null || left < 0) return this.point(null);
    const ratio = devicePixelRatio;
    const x = plot.bbox.left + left * ratio, y = plot.bbox.top + top * ratio;
    let best = (26 * ratio) ** 2, at = null;
    for (const line of this.lines) {
      if (line.silent) continue;
      for (let i = 0; i < line.x.length; ++i) {
        const dx = this.px(line.x[i]) - x;
        if (dx > 30 * ratio || dx < -30 * ratio) continue;
        const distance = dx * dx + (this.py(line.y[i]) - y) ** 2;
        if (distance < best) { best = distance; at = {line, index: i}; }
      }
    }
    this.point(at);
  }

  point(at) {
    if (at?.line === this.at?.line && at?.index === this.at?.index) return;
    this.at = at;
    this.tip.classList.toggle("hidden", at === null);
    if (at !== null) {
      this.tip.textContent = this.options.describe ? this.options.describe(at.line, at.index) : `${at.line.x[at.index]}, ${at.line.y[at.index]}`;
      const ratio = devicePixelRatio;
      const x = this.px(at.line.x[at.index]) / ratio, y = this.py(at.line.y[at.index]) / ratio;
      this.tip.style.left = `${Math.min(x + 14, this.holder.clientWidth - this.tip.offsetWidth - 6)}px`;
      this.tip.style.top = `${Math.max(4, y - this.tip.offsetHeight - 8)}px`;
    }
    this.plot?.redraw(false, false);
  }

  // Arrow keys go along a line and from line to line, Enter opens, Escape lets go, 0 shows all.
  key(event) {
    const lines = this.lines.filter((line) => !line.silent && line.x.length > 0);
    if (lines.length === 0) return;
    if (event.key === "Enter" && this.at && this.options.open) return this.options.open(this.at.line);
    if (event.key === "Escape") return this.point(null);
    if (event.key === "0") return this.zoomOut();
    const step = {ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0]}[event.key];
    if (!step) return;
    event.preventDefault();
    if (!this.at) return this.point({line: lines[0], index: lines[0].x.length - 1});
    const row = lines.indexOf(this.at.line);
    const line = lines[(row + step[0] + lines.length) % lines.length];
    const share = this.at.line.x.length > 1 ? this.at.index / (this.at.line.x.length - 1) : 1;
    const index = step[0] ? Math.round(share * (line.x.length - 1)) : this.at.index + step[1];
    this.point({line, index: Math.min(Math.max(index, 0), line.x.length - 1)});
  }
}

// A small line without axes: how the least loss fell.
export function spark(x, y) {
  if (x.length < 2) return h("span", {class: "muted"}, "–");
  const lx = x.map((value) => Math.log(Math.max(value, 1e-300))), ly = y.map((value) => Math.log(Math.max(value, 1e-300)));
  const [x0, x1] = [Math.min(...lx), Math.max(...lx)], [y0, y1] = [Math.min(...ly), Math.max(...ly)];
  const path = lx.map((value, i) => `${i ? "L" : "M"}${(100 * (value - x0) / (x1 - x0 || 1)).toFixed(1)} ${(22 - 20 * (ly[i] - y0) / (y1 - y0 || 1)).toFixed(1)}`).join("");
  return h("svg", {class: "spark", viewBox: "-1 0 102 24", preserveAspectRatio: "none", role: "img",
                   "aria-label": `least loss from ${y[0].toFixed(3)} to ${y[y.length - 1].toFixed(3)}`},
           h("svg:title", {}, `least loss from ${y[0].toFixed(3)} to ${y[y.length - 1].toFixed(3)}, log-log over FLOPs`),
           h("svg:path", {d: path}));
}
