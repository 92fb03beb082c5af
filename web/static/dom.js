// Elements and numbers. Text from the coordinator only ever becomes text nodes.

export function h(tag, properties = {}, ...children) {
  const element = tag === "svg" || tag.startsWith("svg:")
    ? document.createElementNS("http://www.w3.org/2000/svg", tag.replace("svg:", ""))
    : document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style") for (const [key, of] of Object.entries(value)) element.style.setProperty(key, of);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const kPrefixes = [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]];

// 1234567 -> "1.23M", for counts of parameters and tokens.
export function short(value, digits = 3) {
  if (value === null || value === undefined || !isFinite(value)) return "–";
  for (const [scale, letter] of kPrefixes) {
    if (Math.abs(value) >= scale * 0.9995) return trim((value / scale).toPrecision(digits)) + letter;
  }
  return trim(Number(value).toPrecision(digits));
}
function trim(text) {
  return text.includes(".") && !text.includes("e") ? text.replace(/\.?0+$/, "") : text;
}

const kRaised = {"-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹"};
export const power = (exponent) => "10" + [...String(exponent)].map((c) => kRaised[c]).join("");

// 3.2e13 -> "3.2×10¹³".
export function scientific(value, digits = 2) {
  if (value === null || value === undefined || !isFinite(value)) return "–";
  if (value === 0) return "0";
  let [mantissa, exponent] = value.toExponential(digits - 1).split("e");
  mantissa = trim(mantissa);
  return (mantissa === "1" ? "" : mantissa + "×") + power(Number(exponent));
}

export const loss = (value, digits = 4) => value === null || value === undefined || !isFinite(value) ? "–" : Math.abs(value) >= 1e5 ? scientific(value, 4) : value.toFixed(digits);

export function duration(seconds) {
  if (seconds === null || seconds === undefined || !isFinite(seconds)) return "–";
  const s = Math.round(seconds);
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60 && s < 600 ? `${s % 60} s` : ""}`.trim();
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor(s % 3600 / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor(s % 86400 / 3600)} h`;
}
export const ago = (unix_us) => Number(unix_us) > 0 ? `${duration(Math.max(0, Date.now() / 1000 - Number(unix_us) / 1e6))} ago` : "–";
export const clock = (unix_us) => Number(unix_us) > 0 ? new Date(Number(unix_us) / 1000).toLocaleString() : "–";

// A mark of a state's shape and colour, before its word or another one.
export const mark = (kind, text) => h("span", {class: `state ${kind}`}, text);
export const state = (word, more = "") => mark(word, word + more);

// One bar of what is done, running, failed and cancelled, of a total.
export function progress(total, parts) {
  let x = 0;
  const words = [];
  const rectangles = parts.map(([kind, count]) => {
    if (count > 0) words.push(`${count} ${kind}`);
    const width = total > 0 ? 100 * count / total : 0;
    const rectangle = h("svg:rect", {x, y: 0, width, height: 10, class: `fill-${kind}`});
    x += width;
    return rectangle;
  });
  const text = `${words.join(", ") || "nothing yet"} of ${total}`;
  return h("div", {class: "progress", role: "img", "aria-label": text, title: text},
           h("svg", {viewBox: "0 0 100 10", preserveAspectRatio: "none"}, rectangles));
}

// Tags of a sweep; `act` is called with one where it is clicked.
export const tagList = (tags, act, title) => h("span", {class: "tags"}, (tags ?? []).map((tag) =>
  act ? h("button", {type: "button", class: "tag", title: `${title} ${tag}`, onclick: () => act(tag)}, tag) : h("span", {class: "tag"}, tag)));
export const userName = (sweep) => sweep.user ? sweep.user + (sweep.user_is_claimed ? "?" : "") : "–";

export const note = (kind, ...text) => h("div", {class: `note ${kind}`, role: kind === "bad" ? "alert" : "note"}, ...text);
export const fact = (label, value) => h("div", {}, h("div", {class: "label"}, label), h("div", {class: "value"}, value));
