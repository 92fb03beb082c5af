// The panels of figures/fit_figure.h, each drawn into its box.
#pragma once

#include "figures/drawing.h"
#include "fitting/report/fit.h"

namespace allometry::figures {

void DrawLossPanel(Drawing& drawing, const Box& box, const fitting::FitReport& report);
void DrawProfilePanel(Drawing& drawing, const Box& box, const fitting::FitReport& report);
enum class Optimum { kParams, kTokens };
void DrawOptimumPanel(Drawing& drawing, const Box& box, const fitting::FitReport& report,
                      Optimum what);
void DrawResidualPanel(Drawing& drawing, const Box& box, const fitting::FitReport& report);
void DrawSurfacePanel(Drawing& drawing, const Box& box, const fitting::FitReport& report);

}  // namespace allometry::figures
