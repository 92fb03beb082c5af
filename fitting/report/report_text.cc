#include <algorithm>
#include <cmath>

#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "fitting/report/cells.h"
#include "fitting/report/conclusion.h"
#include "fitting/report/fit.h"
#include "fitting/report/influence.h"
#include "fitting/report/read_text.h"

namespace allometry::fitting {
namespace {

std::string Show(const std::optional<double>& value) {
  return value ? absl::StrFormat("%.6g", *value) : "-";
}

std::string ShowInterval(const Estimate& estimate, bool logarithmic) {
  if (!estimate.lower || !estimate.upper) return "";
  if (!Determined(estimate, logarithmic)) return "not determined";
  return absl::StrFormat("[%.6g, %.6g]", *estimate.lower, *estimate.upper);
}

void AppendParameters(const std::vector<NamedEstimate>& parameters, std::string& out) {
  for (const NamedEstimate& one : parameters) {
    std::string df;
    if (one.value.df) df = absl::StrFormat("df %.1f", *one.value.df);
    std::string line =
        absl::StrFormat("    %-16s %-14s %-28s %s", one.name, Show(one.value.estimate),
                        ShowInterval(one.value, one.name == "A" || one.name == "B"), df);
    absl::StrAppend(&out, absl::StripTrailingAsciiWhitespace(line), "\n");
  }
}

void AppendFit(const MethodFit& fit, std::string& out) {
  std::string head =
      absl::StrFormat("%s, law %s, objective %s", Name(fit.method), fit.law, fit.objective.name);
  if (fit.objective.delta) absl::StrAppendFormat(&head, " (delta %g)", *fit.objective.delta);
  if (fit.objective.value) {
    absl::StrAppendFormat(&head, " = %.10g over %d", *fit.objective.value,
                          fit.objective.observations);
  }
  absl::StrAppend(&out, "\n");
  Wrap(head, 0, out);
  if (fit.refused) Wrap("REFUSED: " + *fit.refused, 2, out);
  if (fit.not_usable) Wrap("NOT USABLE: " + *fit.not_usable, 2, out);
  AppendParameters(fit.parameters, out);
  std::string interval = "95 % interval: " + fit.interval.method;
  if (!fit.interval.reason.empty()) absl::StrAppend(&interval, " (", fit.interval.reason, ")");
  absl::StrAppendFormat(&interval, "; %d clusters by %s", fit.interval.clusters,
                        fit.interval.cluster_by);
  if (fit.interval.resamples > 0) {
    absl::StrAppendFormat(&interval, ", %d resamples, %d at a bound", fit.interval.resamples,
                          fit.interval.refits_at_bounds);
  }
  if (fit.interval.intraclass_correlation) {
    absl::StrAppendFormat(&interval, ", intraclass correlation %.2f",
                          *fit.interval.intraclass_correlation);
  }
  Wrap(interval, 2, out);
  const Certificate& certificate = fit.certificate;
  if (certificate.gradient_norm) {
    std::string text = absl::StrFormat(
        "certificate: %s %.2g, %d of %d starts",
        fit.objective.name == "lad" ? "largest multiplier" : "gradient", *certificate.gradient_norm,
        certificate.starts_at_optimum, certificate.starts);
    absl::StrAppend(&text, ", condition ", Show(certificate.condition_number), ", bounds ",
                    certificate.active_bounds.empty()
                        ? "none active"
                        : absl::StrJoin(certificate.active_bounds, ", "));
    if (!certificate.flat_directions.empty()) {
      absl::StrAppend(&text, ", flat: ", absl::StrJoin(certificate.flat_directions, "; "));
    }
    Wrap(text, 2, out);
  }
  if (!fit.profile.empty()) {
    Wrap("profile likelihood, for independent errors only:", 2, out);
    AppendParameters(fit.profile, out);
  }
  for (const Outlier& outlier : fit.outliers) {
    Wrap(absl::StrFormat("outlier%s: N %.4g, D %.4g, L %.4g, ln L off by %+.4f (%+.1f robust s.d.)",
                         outlier.line > 0 ? absl::StrFormat(", line %d", outlier.line) : "",
                         outlier.params, outlier.tokens, outlier.loss, outlier.residual,
                         outlier.deviations),
         2, out);
  }
  for (const std::string& note : fit.notes) Wrap("note: " + note, 2, out);
}

void AppendPredictions(const FitReport& report, std::string& out) {
  if (report.predictions.empty()) return;
  absl::StrAppend(&out, "\npredictions\n");
  absl::StrAppendFormat(&out, "  %-8s %-12s %-22s %-22s %-21s %s\n", "C", "method", "N*", "D*",
                        "L*", "outside");
  for (const Prediction& one : report.predictions) {
    if (one.not_usable) {
      Wrap(absl::StrFormat("%-8s %-12s not usable (N* %s, D* %s, L* %s)", Short(one.flops, 2),
                           Name(one.method), ShortCell(one.params), ShortCell(one.tokens),
                           LossCell(one.loss)),
           2, out);
      continue;
    }
    absl::StrAppendFormat(&out, "  %-8s %-12s %-22s %-22s %-21s %.2f\n", Short(one.flops, 2),
                          Name(one.method), ShortCell(one.params), ShortCell(one.tokens),
                          LossCell(one.loss), one.decades_outside);
  }
  absl::StrAppend(&out, "  outside: decades of C beyond what the method used\n");
}

const Estimate& Part(const TradeOff& row, absl::string_view name) {
  return std::find_if(row.parts.begin(), row.parts.end(),
                      [&](const NamedEstimate& part) { return part.name == name; })
      ->value;
}

std::string Percent(const Estimate& estimate) {
  if (!estimate.estimate) return "-";
  std::string text = absl::StrFormat("%.1f %%", 100 * *estimate.estimate);
  if (estimate.lower && estimate.upper) {
    absl::StrAppendFormat(&text, " %.1f..%.1f", 100 * *estimate.lower, 100 * *estimate.upper);
  }
  return text;
}

// A multiple of C; a model that never reaches the loss has none.
std::string Multiple(const Estimate& estimate) {
  if (!estimate.estimate || !std::isfinite(*estimate.estimate)) return "never reached";
  std::string text = absl::StrFormat("%.3g C", *estimate.estimate);
  if (estimate.lower && estimate.upper) {
    absl::StrAppendFormat(&text, " %.3g..%.3g", *estimate.lower, *estimate.upper);
  } else {
    absl::StrAppend(&text, " (no interval)");
  }
  return text;
}

void AppendTradeOffs(const FitReport& report, std::string& out) {
  const auto some = [&](bool serving) {
    return std::any_of(report.trade_offs.begin(), report.trade_offs.end(),
                       [&](const TradeOff& row) { return row.serving == serving; });
  };
  if (some(true)) {
    absl::StrAppend(&out,
                    "\nserving: the cheapest model with the loss L*(C), trained and served\n");
    absl::StrAppendFormat(&out, "  %-8s %-8s %-22s %-22s %-20s %s\n", "C", "served", "N", "D",
                          "training FLOPs", "saved of all FLOPs");
    for (const TradeOff& row : report.trade_offs) {
      if (!row.serving) continue;
      absl::StrAppendFormat(&out, "  %-8s %-8s %-22s %-22s %-20s %s\n", Short(row.flops, 2),
                            Short(row.of, 2), ShortCell(Part(row, "params")),
                            ShortCell(Part(row, "tokens")), ShortCell(Part(row, "training_flops")),
                            Percent(Part(row, "saved")));
    }
  }
  if (some(false)) {
    absl::StrAppend(&out, "\nsmaller models: at the same C, and what the loss L*(C) costs them\n");
    absl::StrAppendFormat(&out, "  %-8s %-8s %-22s %-22s %-20s %s\n", "C", "smaller", "N", "D at C",
                          "loss at C", "L*(C) costs");
    for (const TradeOff& row : report.trade_offs) {
      if (row.serving) continue;
      absl::StrAppendFormat(&out, "  %-8s %-8s %-22s %-22s %-20s %s\n", Short(row.flops, 2),
                            absl::StrFormat("%gx", row.of), ShortCell(Part(row, "params")),
                            ShortCell(Part(row, "tokens")), LossCell(Part(row, "loss")),
                            Multiple(Part(row, "multiple")));
    }
  }
  const MethodFit& law = report.fits.front();
  if (!report.trade_offs.empty() && law.not_usable) {
    Wrap("of a law that is not usable: " + *law.not_usable, 2, out);
  }
}

// "1.32e6 (2.2e4 to 7.8e7)", or that the data do not say.
std::string AnswerCell(const Estimate& estimate, bool loss) {
  if (!estimate.estimate) return "not determined";
  std::string text =
      loss ? absl::StrFormat("%.4f", *estimate.estimate) : Short(*estimate.estimate, 2);
  if (estimate.lower && estimate.upper) {
    text += loss ? absl::StrFormat(" (%.3f to %.3f)", *estimate.lower, *estimate.upper)
                 : absl::StrCat(" (", Short(*estimate.lower, 1), " to ", Short(*estimate.upper, 1),
                                ")");
  } else {
    text += " (no interval)";
  }
  return text;
}

}  // namespace

std::string ConclusionText(const FitReport& report) {
  std::string out;
  const Conclusion& conclusion = report.conclusion;
  std::string outside;
  for (const Answer& one : conclusion.answers) {
    std::string line = absl::StrFormat("At C = %s FLOPs: ", Short(one.flops, 2));
    absl::StrAppend(&line, "N ", AnswerCell(one.params, false), ", D ",
                    AnswerCell(one.tokens, false));
    if (one.tokens_per_param.estimate) {
      absl::StrAppendFormat(&line, ", %.3g tokens per parameter", *one.tokens_per_param.estimate);
    }
    absl::StrAppend(&line, ", loss ", AnswerCell(one.loss, true), ".");
    Wrap(line, 0, out);
    if (one.decades_outside > 0.005) {
      absl::StrAppendFormat(&outside, "%s%s is %.1f decades of C beyond what was used",
                            outside.empty() ? "" : ", ", Short(one.flops, 2), one.decades_outside);
    }
  }
  if (!conclusion.why.empty()) Wrap("Answer: " + conclusion.why + ".", 0, out);
  std::vector<std::string> texts;
  for (const Contradiction& one : conclusion.contradictions) texts.push_back(one.text);
  Wrap(absl::StrCat("Contradictions: ", texts.empty() ? "none" : absl::StrJoin(texts, "; "), ".",
                    outside.empty() ? "" : " Outside: " + outside + "."),
       0, out);
  return out;
}

namespace {

void AppendWindow(const FitReport& report, std::string& out) {
  if (!report.window) return;
  const WindowSummary& window = *report.window;
  std::string text = absl::StrFormat("window of the law: %s, %d of %d points (%s", window.window,
                                     window.points, window.total, window.why);
  if (window.rms) {
    absl::StrAppendFormat(&text,
                          "; predicted from below, the best sizes are off by %.4f rms of ln "
                          "L",
                          *window.rms);
    if (window.points < window.total) {
      absl::StrAppendFormat(&text, ", %.4f with all points", *window.rms_of_all);
    }
  }
  Wrap(text + ")", 2, out);
  if (report.lack_of_fit && report.lack_of_fit->p) {
    Wrap(absl::StrFormat("lack of fit: p = %.2g; the clearest pattern of residuals, %s, explains "
                         "%.0f %% of their squares",
                         *report.lack_of_fit->p, report.lack_of_fit->pattern,
                         100 * report.lack_of_fit->share),
         2, out);
  }
}

void AppendExtrapolations(const FitReport& report, std::string& out) {
  if (report.extrapolations.empty()) return;
  absl::StrAppend(&out,
                  "\nwithheld sizes, where each curve touches the predicted line of optima\n");
  absl::StrAppendFormat(&out, "  %-8s %-10s %-8s %-20s %-20s %s\n", "size", "method", "C",
                        "log10 N/N*", "log10 D/D*", "L - L*");
  const auto cell = [](const Estimate& estimate, int digits) {
    if (!estimate.estimate) return std::string("-");
    std::string text = absl::StrFormat("%+.*f", digits, *estimate.estimate);
    if (estimate.lower && estimate.upper) {
      absl::StrAppendFormat(&text, " %+.*f..%+.*f", digits, *estimate.lower, digits,
                            *estimate.upper);
    }
    return text;
  };
  for (const Extrapolation& one : report.extrapolations) {
    absl::StrAppendFormat(&out, "  %-8.8s %-10s %-8s %-20s %-20s %s\n", one.family,
                          Name(one.method), Short(one.flops, 2), cell(one.log10_params, 2),
                          cell(one.log10_tokens, 2), cell(one.loss_gap, 3));
    if (!one.turns) {
      Wrap(one.family + " does not turn away from the line again: the ratios are bounds", 4, out);
    }
    if (one.above_line()) {
      Wrap(one.family + " lies above the predicted loss, beyond the prediction's interval", 4, out);
    }
  }
}

// Differences of methods under the report's own conventions, a line each; each method under the
// other ones in a line. The estimates themselves stand with the fits and predictions.
void AppendAgreement(const FitReport& report, std::string& out) {
  const std::string own =
      absl::StrFormat(" [%s, %s]", report.params_policy, report.flops_convention);
  std::string block;
  for (const Agreement& agreement : report.agreement) {
    std::string head = agreement.quantity;
    if (agreement.flops) absl::StrAppendFormat(&head, " at C = %s", Short(*agreement.flops, 2));
    const bool of_logs = agreement.quantity == "params" || agreement.quantity == "tokens";
    if (of_logs) head = "ln " + head;
    for (const Difference& one : agreement.differences) {
      if (!absl::EndsWith(one.first, own) || !absl::EndsWith(one.second, own)) continue;
      std::string text = absl::StrFormat(
          "%s: %s - %s %+.4f", head, one.first.substr(0, one.first.size() - own.size()),
          one.second.substr(0, one.second.size() - own.size()), one.difference);
      if (one.covers_zero) {
        absl::StrAppendFormat(&text, " [%+.4f, %+.4f]%s", *one.lower, *one.upper,
                              *one.covers_zero ? "" : " DISAGREE beyond chance");
      }
      Wrap(text, 2, block);
    }
    std::vector<std::pair<std::string, std::string>> elsewhere;  // method -> values
    for (const MethodEstimate& one : agreement.estimates) {
      if (one.params_policy == report.params_policy &&
          one.flops_convention == report.flops_convention) {
        continue;
      }
      auto found = std::find_if(elsewhere.begin(), elsewhere.end(),
                                [&](const auto& entry) { return entry.first == one.method; });
      if (found == elsewhere.end()) found = elsewhere.insert(found, {one.method, ""});
      absl::StrAppend(&found->second, found->second.empty() ? "" : ", ", one.params_policy, "/",
                      one.flops_convention, " ", Show(one.value.estimate));
    }
    for (const auto& [method, values] : elsewhere) {
      Wrap(head + ": " + method + " under " + values, 2, block);
    }
  }
  if (!block.empty()) absl::StrAppend(&out, "\nagreement\n", block);
}

}  // namespace

std::string ReportText(const FitReport& report) {
  std::string out;
  absl::StrAppend(&out, ConclusionText(report), "\n");
  Wrap(absl::StrFormat("fit %s: used %d of %d observations; N: %s, C: %s", report.fit_id,
                       report.used, report.total, report.params_policy, report.flops_convention),
       0, out);
  if (report.total > report.used) {
    absl::StrAppendFormat(&out, "%d excluded:\n", report.total - report.used);
    ListExclusions(report.exclusions, out);
    if (report.exclusions.size() > kListedExclusions) {
      absl::StrAppendFormat(&out, "  and %d more (all in --json)\n",
                            report.exclusions.size() - kListedExclusions);
    }
  }
  for (const std::string& line : ReadLines(report.read)) Wrap(line, 0, out);
  for (const std::string& note : report.notes) Wrap("note: " + note, 0, out);
  if (report.influence) Wrap(InfluenceText(*report.influence), 0, out);
  for (const MethodFit& fit : report.fits) {
    AppendFit(fit, out);
    if (fit.method == Method::kParametric) AppendWindow(report, out);
  }
  AppendAgreement(report, out);
  if (report.back_test) {
    const BackTest& test = *report.back_test;
    absl::StrAppend(&out, "\n");
    Wrap(test.refused
             ? "back-test refused: " + *test.refused
             : absl::StrFormat("back-test: fitted to %d points below C = %.3g, %d above have ln L "
                               "off by %+.5f on average, %.5f rms (%.5f rms inside)%s",
                               test.fitted, test.cutoff_flops, test.held_out, *test.mean_error,
                               *test.rms_error, *test.rms_error_inside,
                               test.fitted_decades >= 1
                                   ? ""
                                   : absl::StrFormat(": below lie %.1f decades, too few to judge "
                                                     "the law by",
                                                     test.fitted_decades)),
         0, out);
  }
  AppendPredictions(report, out);
  AppendTradeOffs(report, out);
  AppendExtrapolations(report, out);
  return out;
}

}  // namespace allometry::fitting
