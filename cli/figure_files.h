// Where `allo fit` writes its figure: --svg, --pdf, --html.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"

namespace allometry::cli {

struct FigureFiles {
  std::string svg, pdf, html;  // "" is nowhere

  bool any() const { return !svg.empty() || !pdf.empty() || !html.empty(); }
};

// Whether each may be written, before a fit that may take minutes: an earlier file of its kind may
// be replaced, and none of the inputs. The error names the option.
absl::Status CheckFigureFiles(const FigureFiles& files, const std::vector<std::string>& inputs);

// A fit as the files show it.
struct FitPages {
  std::string title, report_text, svg, pdf;
};
absl::Status WriteFigureFiles(const FigureFiles& files, const FitPages& pages,
                              const std::vector<std::string>& inputs);

}  // namespace allometry::cli
