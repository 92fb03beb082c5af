#include "figures/fit_figure.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "fitting/data/csv.h"
#include "tests/fitting/synthetic_sweep.h"
#include "tests/fitting/test_data.h"

namespace allometry::figures {
namespace {

using fitting::FitOptions;
using fitting::FitReport;
using fitting::Observations;
using ::testing::HasSubstr;
using ::testing::Not;

FitReport Fitted(const Observations& data, std::vector<double> budgets = {}) {
  FitOptions options;
  options.choose_law = true;
  options.resamples = 40;
  options.budgets = std::move(budgets);
  absl::StatusOr<FitReport> report = fitting::Fit(data, options);
  EXPECT_TRUE(report.ok()) << report.status();
  return *std::move(report);
}

// Six sizes close together under so much noise that no law and no minimum is found.
Observations Undetermined() {
  Observations data;
  fitting::Random random(3, 1000);
  for (int size = 0; size < 6; ++size) {
    for (int k = 0; k < 8; ++k) {
      fitting::Observation point;
      point.params = 2e4 * std::pow(1.1, size);
      point.tokens = point.params * (10 + 3 * k);
      point.loss = 4 * std::exp(0.08 * random.Normal());
      data.Add(point, absl::StrCat(size));
    }
  }
  return data;
}

Observations OnePoint() {
  Observations data;
  fitting::Observation point;
  point.params = 1e6, point.tokens = 1e8, point.loss = 3;
  data.Add(point);
  return data;
}

std::map<std::string, FitReport> Reports() {
  std::map<std::string, FitReport> reports;
  reports["quickstart"] = Fitted(fitting::ReadData("quickstart.csv"));
  reports["three decades beyond"] = Fitted(fitting::ReadData("quickstart.csv"), {3e15});
  reports["far beyond"] = Fitted(fitting::ReadData("quickstart.csv"), {1e12, 1e40});
  reports["Chinchilla"] = Fitted(fitting::ReadData("chinchilla_svg.csv"));
  reports["three sizes"] = Fitted(fitting::CurveSweep(1, 3, 40));
  reports["twenty sizes"] = Fitted(fitting::CurveSweep(2, 20, 40));
  reports["fifty sizes"] = Fitted(fitting::CurveSweep(3, 50, 60));
  reports["undetermined"] = Fitted(Undetermined());
  reports["one point"] = Fitted(OnePoint());
  return reports;
}

std::vector<XY> PointsOf(const Drawing::Mark& mark) {
  if (const auto* line = std::get_if<Line>(&mark)) return line->points;
  if (const auto* area = std::get_if<Area>(&mark)) return area->points;
  if (const auto* dots = std::get_if<Dots>(&mark)) return dots->points;
  return {std::get<Text>(mark).at};
}

std::string AllText(const Drawing& drawing) {
  std::string all;
  for (const Drawing::Mark& mark : drawing.marks()) {
    if (const auto* text = std::get_if<Text>(&mark)) absl::StrAppend(&all, text->text, "\n");
  }
  return all;
}

bool Is(const Colour& a, const Colour& b) {
  return a.red == b.red && a.green == b.green && a.blue == b.blue;
}

constexpr Colour kParametric{213, 94, 0};

TEST(FitFigureTest, NoTwoTextsMeetAndAllIsOnThePage) {
  for (const auto& [name, report] : Reports()) {
    for (const std::string& title : {std::string(), std::string("demo"), std::string(400, 'W'),
                                     std::string("\u4e2d<&>\xff")}) {
      const Drawing drawing = DrawFit(report, title);
      const Box page{0, 0, drawing.width(), drawing.height()};
      const std::vector<Box>& boxes = drawing.text_boxes();
      EXPECT_GT(boxes.size(), 40u) << name;
      for (size_t i = 0; i < boxes.size(); ++i) {
        EXPECT_TRUE(page.Holds(boxes[i])) << name << ", text " << i << " of " << title;
        for (size_t k = 0; k < i; ++k) {
          EXPECT_FALSE(boxes[i].Meets(boxes[k])) << name << ", texts " << k << ", " << i;
        }
      }
      for (const Drawing::Mark& mark : drawing.marks()) {
        for (const XY& point : PointsOf(mark)) EXPECT_TRUE(page.Holds(point)) << name;
      }
    }
  }
}

TEST(FitFigureTest, SvgNeedsNothingElseAndHasNoBrokenNumbers) {
  for (const auto& [name, report] : Reports()) {
    const std::string svg = ToSvg(DrawFit(report, "demo"));
    EXPECT_EQ(svg.rfind("<svg xmlns='http://www.w3.org/2000/svg'", 0), 0u);
    EXPECT_TRUE(absl::EndsWith(svg, "</svg>\n"));
    for (const char* bad : {"href", "'nan", "nan,", ",nan", "inf,", ",inf", "<script", "url("}) {
      EXPECT_EQ(svg.find(bad), std::string::npos) << name << ": " << bad;
    }
  }
}

TEST(FitFigureTest, TheFitReachesTheLargestPrediction) {
  const Drawing drawing = DrawFit(Fitted(fitting::ReadData("quickstart.csv"), {3e15}), "");
  double line = 0, answer = 0;  // of the first column of panels
  for (const Drawing::Mark& mark : drawing.marks()) {
    if (const auto* one = std::get_if<Line>(&mark)) {
      for (const XY& p : one->points) {
        if (Is(one->colour, kParametric) && p.x < drawing.width() / 2) line = std::max(line, p.x);
      }
    }
    const auto* area = std::get_if<Area>(&mark);
    if (area != nullptr && Is(area->colour, kBlack) && area->points[0].x < drawing.width() / 2) {
      answer = std::max(answer, area->points[0].x);  // the upper corner of a diamond
    }
  }
  EXPECT_GT(answer, 100);
  EXPECT_NEAR(line, answer, 0.2);
}

TEST(FitFigureTest, AnswersAndSizesAreLabelled) {
  const FitReport report = Fitted(fitting::ReadData("quickstart.csv"));
  const std::string text = AllText(DrawFit(report, "demo"));
  for (const char* label : {"demo", "4.94k", "164k", "C, FLOPs", "N, parameters", "D, tokens",
                            "loss, nats per token", "beyond the data"}) {
    EXPECT_THAT(text, HasSubstr(label));
  }
  const fitting::Estimate& params = report.conclusion.answers.front().params;
  EXPECT_THAT(text, HasSubstr(absl::StrFormat("%.0fk (%.0f0k to %.0f0k)", *params.estimate / 1e3,
                                              *params.lower / 1e4, *params.upper / 1e4)));
}

TEST(FitFigureTest, WhatIsRefusedIsNotDrawnAndSaysWhy) {
  const FitReport report = Fitted(Undetermined());
  ASSERT_TRUE(report.fits.front().refused || report.fits.front().not_usable);
  const Drawing drawing = DrawFit(report, "");
  EXPECT_THAT(AllText(drawing), HasSubstr("parametric is not drawn, "));
  for (const Drawing::Mark& mark : drawing.marks()) {
    const auto* line = std::get_if<Line>(&mark);
    EXPECT_FALSE(line != nullptr && Is(line->colour, kParametric));
  }
}

TEST(FitFigureTest, EveryMethodOnItsOwnCanBeDrawn) {
  for (const fitting::Method method : {fitting::Method::kParametric, fitting::Method::kFrontier,
                                       fitting::Method::kIsoflop, fitting::Method::kLossCompute}) {
    FitOptions options;
    options.method = method;
    options.resamples = 20;
    const auto report = fitting::Fit(fitting::ReadData("quickstart.csv"), options);
    ASSERT_TRUE(report.ok()) << report.status();
    EXPECT_THAT(ToPdf(DrawFit(*report, "")), HasSubstr("%%EOF"));
  }
}

TEST(FitHtmlTest, BeginsWithTheConclusionAndRefersToNothing) {
  const FitReport report = Fitted(fitting::ReadData("quickstart.csv"));
  const std::string html =
      FitHtml("a<b", fitting::ReportText(report), ToSvg(DrawFit(report, "a<b")));
  const size_t verdict = html.find("At C = "), figure = html.find("<svg"), rest = html.find("fit ");
  ASSERT_NE(verdict, std::string::npos);
  EXPECT_LT(verdict, figure);
  EXPECT_LT(figure, html.find("The whole report"));
  EXPECT_NE(rest, std::string::npos);
  EXPECT_THAT(html, HasSubstr("<title>a&lt;b</title>"));
  EXPECT_THAT(html, HasSubstr("default-src 'none'"));
  for (const char* bad : {"<script", "src=", "href", "url("})
    EXPECT_THAT(html, Not(HasSubstr(bad)));
}

}  // namespace
}  // namespace allometry::figures
