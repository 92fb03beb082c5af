#include "cli/figure_files.h"

#include "base/output_file.h"
#include "figures/fit_figure.h"

namespace allometry::cli {
namespace {

struct Kind {
  const char* option;
  std::string FigureFiles::*path;
  const char* what;
  std::vector<std::string> beginnings;
};

const std::vector<Kind>& Kinds() {
  static const std::vector<Kind> kinds = {
      {"--svg", &FigureFiles::svg, "an SVG picture", {"<svg", "<?xml"}},
      {"--pdf", &FigureFiles::pdf, "a PDF file", {"%PDF"}},
      {"--html", &FigureFiles::html, "a page", {"<!doctype html>", "<!DOCTYPE html>"}}};
  return kinds;
}

}  // namespace

absl::Status CheckFigureFiles(const FigureFiles& files, const std::vector<std::string>& inputs) {
  for (const Kind& kind : Kinds()) {
    const std::string& path = files.*(kind.path);
    if (path.empty()) continue;
    ALLO_RETURN_IF_ERROR(Annotate(
        CheckOutput(path, {.inputs = inputs, .kind = kind.what, .beginnings = kind.beginnings}),
        kind.option));
  }
  return absl::OkStatus();
}

absl::Status WriteFigureFiles(const FigureFiles& files, const FitPages& pages,
                              const std::vector<std::string>& inputs) {
  for (const Kind& kind : Kinds()) {
    const std::string& path = files.*(kind.path);
    if (path.empty()) continue;
    const std::string text = kind.path == &FigureFiles::svg ? pages.svg
                             : kind.path == &FigureFiles::pdf
                                 ? pages.pdf
                                 : figures::FitHtml(pages.title, pages.report_text, pages.svg);
    ALLO_RETURN_IF_ERROR(WriteOutput(
        path, text, {.inputs = inputs, .kind = kind.what, .beginnings = kind.beginnings}));
  }
  return absl::OkStatus();
}

}  // namespace allometry::cli
