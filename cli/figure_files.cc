#include "cli/figure_files.h"

#include "figures/fit_figure.h"

namespace allometry::cli {

absl::Status CheckFigureFiles(const FigureFiles& files, const OutputOptions& options) {
  const std::pair<const char*, const std::string*> named[] = {
      {"--svg", &files.svg}, {"--pdf", &files.pdf}, {"--html", &files.html}};
  for (const auto& [option, path] : named) {
    if (path->empty()) continue;
    ALLO_RETURN_IF_ERROR(Annotate(CheckOutput(*path, options), option));
  }
  return absl::OkStatus();
}

absl::Status WriteFigureFiles(const FigureFiles& files, const FitPages& pages,
                              const OutputOptions& options) {
  if (!files.svg.empty()) ALLO_RETURN_IF_ERROR(WriteOutput(files.svg, pages.svg, options));
  if (!files.pdf.empty()) ALLO_RETURN_IF_ERROR(WriteOutput(files.pdf, pages.pdf, options));
  if (files.html.empty()) return absl::OkStatus();
  return WriteOutput(files.html, figures::FitHtml(pages.title, pages.report_text, pages.svg),
                     options);
}

}  // namespace allometry::cli
