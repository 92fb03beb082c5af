// The data of the page. Where the server asks for a token, it came in the address's fragment, which
// browsers send to nobody; it stays in this tab.
import {h} from "./dom.js";

const fragment = new URLSearchParams(location.hash.slice(1));
if (fragment.has("token")) {
  sessionStorage.setItem("token", fragment.get("token"));
  history.replaceState(null, "", location.pathname + location.search);
}
const token = sessionStorage.getItem("token");
const headers = token ? {Authorization: `Bearer ${token}`} : {};

export function address(path, parameters = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== undefined && value !== null && value !== "") query.set(name, value);
  }
  const text = query.toString();
  return `/api/${path}${text ? "?" + text : ""}`;
}

const connection = () => document.getElementById("connection");
function setConnected(works, why = "") {
  connection().textContent = works ? "" : `not connected: ${why}`;
  connection().className = works ? "" : "broken";
}

async function refusal(response) {
  const text = await response.text();
  try {
    return new Error(JSON.parse(text).error);
  } catch {
    return new Error(text.trim() || `${response.status} ${response.statusText}`);
  }
}

async function ask(path, parameters, options) {
  let response;
  try {
    response = await fetch(address(path, parameters), {headers, ...options});
  } catch (error) {
    if (error.name === "AbortError") throw error;
    setConnected(false, "allo web does not answer");
    throw new Error("allo web does not answer: is it still running?");
  }
  setConnected(response.status !== 503, "the coordinator does not answer");
  if (!response.ok) throw await refusal(response);
  return response;
}

export const get = async (path, parameters, signal) => (await ask(path, parameters, {signal})).json();
export const text = async (path, parameters, signal) => (await ask(path, parameters, {signal})).text();
export const blobAddress = async (path, parameters, signal) => URL.createObjectURL(await (await ask(path, parameters, {signal})).blob());

export const post = async (path, body) =>
  (await ask(path, {}, {method: "POST", headers: {...headers, "Content-Type": "application/json"}, body: JSON.stringify(body)})).json();

let settings;
export const getSettings = () => settings ??= get("settings");

// A link to data as a file; with a token it is fetched, because a link cannot carry one.
export function fileLink(label, path, parameters) {
  const link = h("a", {href: address(path, parameters), target: "_blank", rel: "noopener", "data-file": true}, label);
  if (token) {
    link.addEventListener("click", async (event) => {
      event.preventDefault();
      window.open(await blobAddress(path, parameters), "_blank", "noopener");
    });
  }
  return link;
}

const pause = (ms, signal) => new Promise((resolve) => {
  const timer = setTimeout(resolve, ms);
  signal.addEventListener("abort", () => { clearTimeout(timer); resolve(); });
});

// Calls onMessage with a sweep as it is and then with each change, until the signal. A connection
// that breaks is taken up again from the last revision, unless that is old: reasons to wait change
// without a revision.
export async function followSweep(name, onMessage, onError, signal) {
  let revision = "";
  let failures = 0;
  let heard = 0;
  while (!signal.aborted) {
    if (Date.now() - heard > 20000) revision = "";
    try {
      const response = await ask("changes", {name, revision}, {signal});
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      const pieces = [];  // of a line whose end has not come
      for (;;) {
        const {done, value} = await reader.read();
        if (done) break;
        failures = 0;
        heard = Date.now();
        const lines = value.split("\n");
        while (lines.length > 1) {
          pieces.push(lines.shift());
          const line = pieces.join("");
          pieces.length = 0;
          if (line === "") continue;
          const message = JSON.parse(line);
          revision = message.revision;
          onMessage(message);
        }
        pieces.push(lines[0]);
      }
    } catch (error) {
      if (signal.aborted) return;
      onError(error);
    }
    await pause(Math.min(10000, 500 * 2 ** failures++), signal);
  }
}
