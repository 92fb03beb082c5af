// The fit: the verdict first, the picture, what to train at a budget, methods beside each other.
import {blobAddress, fileLink, get} from "./api.js";
import {fact, h, loss, note, scientific, short} from "./dom.js";
import {tabs} from "./sweep.js";

const kBelow = 1, kAbove = 4, kADecade = 6;  // decades of the slider, around the largest budget trained

// Budgets for the slider: the largest trained, and steps of a sixth of a decade around it.
function budgetsAround(largest) {
  const budgets = [];
  for (let i = -kBelow * kADecade; i <= kAbove * kADecade; ++i) budgets.push(Number((largest * 10 ** (i / kADecade)).toPrecision(3)));
  return budgets;
}

const within = (estimate, text) => estimate?.estimate === null || estimate?.estimate === undefined ? "not determined"
  : estimate.lower === null ? text(estimate.estimate) : `${text(estimate.estimate)}  [${text(estimate.lower)}, ${text(estimate.upper)}]`;
const count = (value) => short(value);
const nats = (value) => loss(value, 4);
const outside = (decades) => decades > 0.005 ? `${decades.toFixed(2)} decades of C beyond what was trained` : "inside what was trained";

function verdict(report) {
  const {conclusion} = report;
  const usable = report.fits.filter((fit) => fit.refused === null && fit.not_usable === null);
  const sized = conclusion.answers.every((answer) => answer.sized_by) && conclusion.answers[0];
  if (conclusion.contradictions.length > 0) {
    return note(usable.length > 0 ? "warn" : "bad", h("b", {}, usable.length > 0 ? "Measured data contradict part of this fit." : "Measured data contradict this fit: do not use its numbers."),
      "\n" + [...new Set(conclusion.contradictions.map((one) => one.text))].join("\n") + (sized ? `\nThe answers below are by ${sized.sized_by}.` : "\nWhere no method that may be used determines an answer, none is given below."));
  }
  if (!conclusion.answers.some((answer) => answer.sized_by)) return note("bad", h("b", {}, "No method determines the best size."), conclusion.why ? "\n" + conclusion.why : "");
  if (!sized) return note("warn", h("b", {}, "Nothing that was measured contradicts this fit, but no method determines the best size at every budget below."), conclusion.why ? "\n" + conclusion.why : "");
  return note("good", h("b", {}, `Nothing that was measured contradicts this fit; the answers are by ${sized.sized_by}.`), conclusion.why ? "\n" + conclusion.why : "");
}

const kColumns = ["a", "b", "alpha", "beta", "E", "A", "B", "gamma", "c", "c0", "G"];
function parametersTable(report) {
  const names = [...new Set(report.fits.flatMap((fit) => Object.keys(fit.parameters)))].sort((a, b) => (kColumns.indexOf(a) + 100) % 100 - (kColumns.indexOf(b) + 100) % 100);
  const digits = (value) => Math.abs(value) >= 1e5 || (value !== 0 && Math.abs(value) < 1e-3) ? scientific(value, 4) : Number(value.toPrecision(4)).toString();
  const fits = report.fits;
  return h("div", {class: "scroll"}, h("table", {},
    h("thead", {}, h("tr", {}, h("th", {scope: "col"}, ""), fits.map((fit) => h("th", {scope: "col"}, `${fit.method}${fit.law ? ` (${fit.law})` : ""}`)))),
    h("tbody", {},
      names.map((name) => h("tr", {}, h("th", {scope: "row"}, name), fits.map((fit) => {
        const one = fit.parameters[name];
        return h("td", {class: one && (!one.determined || fit.refused || fit.not_usable) ? "muted" : ""}, !one ? "–" : one.determined ? within(one, digits) : `${digits(one.estimate)}, not determined`);
      }))),
      h("tr", {}, h("th", {scope: "row"}, "usable"), fits.map((fit) => h("td", {class: "wrap"}, fit.refused ?? fit.not_usable ?? "yes"))),
      h("tr", {}, h("th", {scope: "row"}, "interval (95 %)"), fits.map((fit) => h("td", {class: "wrap small"}, fit.interval.reason ?? `${fit.interval.method}; ${fit.interval.clusters} clusters by ${fit.interval.cluster_by}`)))))) ;
}

function predictionsTable(list) {
  if (list.length === 0) return h("p", {class: "muted"}, "None is stored. 'allo predict SWEEP --budget C' stores what each method says before the run is trained, and scores it afterwards.");
  return h("div", {class: "scroll"}, h("table", {},
    h("thead", {}, h("tr", {}, ["C (FLOPs)", "Method", "N*", "D*", "Loss (nats)", "Outside (decades)", "How it did"].map((name) => h("th", {scope: "col"}, name)))),
    h("tbody", {}, list.slice(-200).map((one) => h("tr", {}, h("td", {}, scientific(one.flops)), h("td", {}, one.method),
      h("td", {}, within(one.params, count)), h("td", {}, within(one.tokens, count)), h("td", {}, within(one.loss, nats)), h("td", {class: "number"}, one.decades_outside?.toFixed(2) ?? "–"),
      h("td", {class: "wrap"}, one.score ? score(one.score) : one.why_not ?? "not trained yet"))))));
}
function score(one) {
  const inside = one.loss_inside === null ? "" : one.loss_inside ? ", inside the interval" : ", outside the interval";
  return `measured ${loss(one.loss)} by ${one.size}, off by ${one.loss_error > 0 ? "+" : ""}${one.loss_error.toFixed(4)}${inside}`;
}

export async function show(root, signal, name) {
  document.title = `Fit of ${name} · Allometry`;
  const link = h("span", {class: "small"}), body = h("div", {}, h("p", {class: "busy", role: "status"}, "Fitting every method …"));
  root.append(h("div", {class: "title"}, h("h1", {}, name), link), tabs(name, "Fit"), body);
  const {curves, frontier} = await get("curves", {name, pixels: 64, log: 1}, signal);
  if (frontier.x.length === 0) {
    body.replaceChildren(note("", "There is no held-out loss to fit yet."));
    root.dataset.ready = "0";
    return;
  }
  const largest = Math.max(...curves.map((curve) => curve.x[curve.x.length - 1]));
  const budgets = budgetsAround(largest);
  const query = {name, budgets: budgets.join(",")};
  const answer = await get("fit", query, signal);
  if (answer.refused) {
    body.replaceChildren(note("warn", h("b", {}, "No fit yet."), "\n" + answer.refused));
    root.dataset.ready = "0";
    return;
  }
  const {report} = answer;
  const pictureOf = {name};
  link.replaceChildren(`fit ${answer.fit_id} · `, fileLink("picture (SVG)", "fit.svg", pictureOf), " · ", fileLink("report (JSON)", "fit", query), " · ", fileLink("observations (CSV)", "export.csv", {name, what: "observations"}));

  const slider = h("input", {type: "range", min: 0, max: budgets.length - 1, step: 1, id: "budget", oninput: () => at(Number(slider.value))});
  slider.value = kBelow * kADecade + kADecade;
  const answerHere = h("div", {"aria-live": "polite"}), rows = h("tbody"), marks = h("div", {class: "bar muted small"});
  function at(i) {
    const flops = budgets[i];
    const one = report.conclusion.answers.find((each) => each.flops === flops) ?? report.conclusion.answers[i];
    slider.setAttribute("aria-valuetext", `${scientific(flops)} FLOPs`);
    answerHere.replaceChildren(h("div", {class: "facts"},
      fact("budget C", `${scientific(flops, 3)} FLOPs`),
      fact(`parameters N*${one?.sized_by ? ` (${one.sized_by})` : ""}`, within(one?.params, count)),
      fact("tokens D*", within(one?.tokens, count)),
      fact("tokens a parameter", within(one?.tokens_per_param, (value) => Number(value.toPrecision(3)))),
      fact(`loss L*${one?.loss_by ? ` (${one.loss_by})` : ""}`, within(one?.loss, nats)),
      fact("how far outside", outside(Math.max(one?.decades_outside ?? 0, Math.log10(flops / largest))))));
    rows.replaceChildren(...report.predictions.filter((prediction) => prediction.flops === flops).map((prediction) => h("tr", {class: prediction.not_usable ? "muted" : ""},
      h("th", {scope: "row"}, prediction.method), h("td", {}, within(prediction.params, count)), h("td", {}, within(prediction.tokens, count)), h("td", {}, within(prediction.loss, nats)),
      h("td", {class: "number"}, prediction.decades_outside.toFixed(2)), h("td", {class: "wrap"}, prediction.not_usable ?? "yes"))));
  }
  const scale = h("p", {class: "muted small"}, `The largest budget trained is ${scientific(budgets[kBelow * kADecade], 3)} FLOPs; the slider goes from a tenth of it to ten thousand times it, in steps of a sixth of a decade.`);
  const image = h("img", {alt: "Six panels: curves with frontier and fit, isoFLOP profiles, best N and best D against C, residuals, contours of the fitted loss"});
  const figure = h("div", {class: "figure"}, h("p", {class: "muted"}, "Drawing …"));
  body.replaceChildren(
    verdict(report),
    h("h2", {}, h("label", {for: "budget"}, "What to train at a budget")), slider, marks, answerHere, scale,
    h("div", {class: "scroll"}, h("table", {}, h("thead", {}, h("tr", {}, ["Method", "N*", "D*", "L* (nats a token)", "Outside (decades)", "Usable"].map((title) => h("th", {scope: "col"}, title)))), rows)),
    h("h2", {}, "Picture"), figure,
    h("h2", {}, "Methods beside each other"), parametersTable(report),
    h("h2", {}, "Predictions and how they did"), h("div", {id: "predictions"}),
    h("h2", {}, "The whole report"), h("details", {}, h("summary", {}, "as 'allo fit' prints it"), h("pre", {}, answer.text)));
  at(Number(slider.value));
  root.dataset.ready = "1";
  get("predictions", {name}, signal).then(({predictions}) => body.querySelector("#predictions").replaceChildren(predictionsTable(predictions)),
    (error) => body.querySelector("#predictions").replaceChildren(note("bad", error.message)));
  try {
    image.src = await blobAddress("fit.svg", pictureOf, signal);
    figure.replaceChildren(image);
  } catch (error) {
    if (!signal.aborted) figure.replaceChildren(note("bad", error.message));
  }
}
