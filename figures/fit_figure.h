// A fit as a figure of six panels:
//
//   loss against compute        every run's curve, L*(C) of the fit on to the largest prediction
//   isoFLOP profiles            loss over N at one C, with the curve through its minimum
//   N*(C), D*(C)                each method in its own colour with its 95 % band
//   residuals                   ln L - ln Lhat of the parametric law
//   fitted surface              contours of L(N, D) and the line of optima
//
// as in figures 2 to 4 of Hoffmann et al. (2022) and 5 to 8 of Pearce et al. (2025). The conclusion
// stands above them. What is refused, or contradicted by the data, is not drawn, and its panel says
// why. Methods have colours of Okabe and Ito (2008), sizes of viridis: colour-blind readers tell
// both apart, and no panel needs colour alone.
#pragma once

#include <string>

#include "figures/drawing.h"
#include "fitting/report/fit.h"

namespace allometry::figures {

// `title`: what was fitted: a sweep or a file; "" is nothing.
Drawing DrawFit(const fitting::FitReport& report, const std::string& title);

// A page that needs nothing else: the conclusion, the figure, the whole report. `report_text` is
// that of fitting::ReportText, `svg` that of the drawing.
std::string FitHtml(const std::string& title, const std::string& report_text,
                    const std::string& svg);

}  // namespace allometry::figures
