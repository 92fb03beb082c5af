// Which screen an address shows. Links inside the page are followed without loading it anew.
import {h, note} from "./dom.js";
import * as sweeps from "./sweeps.js";
import * as sweep from "./sweep.js";
import * as curves from "./curves.js";
import * as fit from "./fit.js";
import * as compare from "./compare.js";
import * as run from "./run.js";
import * as workers from "./workers.js";

const kScreens = [
  [/^\/(?:sweeps)?$/, sweeps, "/sweeps"],
  [/^\/sweep\/([^/]+)$/, sweep, "/sweeps"],
  [/^\/sweep\/([^/]+)\/curves$/, curves, "/sweeps"],
  [/^\/sweep\/([^/]+)\/fit$/, fit, "/sweeps"],
  [/^\/compare$/, compare, "/compare"],
  [/^\/run\/(\d+)$/, run, "/sweeps"],
  [/^\/workers$/, workers, "/workers"],
];

const main = document.getElementById("main");
let leaving = new AbortController();

async function show() {
  leaving.abort();
  leaving = new AbortController();
  const signal = leaving.signal;
  const path = location.pathname;
  const found = kScreens.find(([pattern]) => pattern.test(path));
  for (const link of document.querySelectorAll("header nav a:not(.brand)")) {
    if (found && link.getAttribute("href") === found[2]) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (!found) {
    main.replaceChildren(note("bad", `There is no screen at ${path}.`));
    return;
  }
  const [pattern, screen] = found;
  const parts = pattern.exec(path).slice(1).map((part) => part && decodeURIComponent(part));
  const root = h("div");
  main.replaceChildren(root);
  try {
    await screen.show(root, signal, ...parts);
  } catch (error) {
    if (signal.aborted) return;
    root.append(note("bad", error.message));
  }
}

export function goTo(address, replace = false) {
  if (replace) history.replaceState(null, "", address);
  else history.pushState(null, "", address);
  show();
}
addEventListener("go", (event) => goTo(event.detail));
addEventListener("popstate", show);
document.addEventListener("click", (event) => {
  const link = event.target.closest("a");
  if (!link || link.target || link.dataset.file !== undefined || event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
  const href = link.getAttribute("href");
  if (!href?.startsWith("/") || href.startsWith("/api/")) return;
  event.preventDefault();
  goTo(href);
  main.focus({preventScroll: true});
  scrollTo(0, 0);
});

const theme = document.getElementById("theme");
const kThemes = ["auto", "light", "dark"];
function applyTheme(name) {
  if (name === "auto") document.documentElement.removeAttribute("data-theme");
  else document.documentElement.dataset.theme = name;
  theme.setAttribute("aria-label", `Colours: ${name}`);
  theme.textContent = {auto: "◐ auto", light: "☀ light", dark: "☾ dark"}[name];
}
applyTheme(localStorage.getItem("theme") ?? "auto");
theme.addEventListener("click", () => {
  const next = kThemes[(kThemes.indexOf(localStorage.getItem("theme") ?? "auto") + 1) % 3];
  localStorage.setItem("theme", next);
  applyTheme(next);
  show();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);

show();
