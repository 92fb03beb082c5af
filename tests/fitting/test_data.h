// The tables of tests/fitting/data, and one-line ways to fit them.
#pragma once

#include <string>

#include "fitting/data/csv.h"
#include "fitting/report/fit.h"
#include "gtest/gtest.h"

namespace allometry::fitting {

inline std::string DataPath(const std::string& name) {
  return std::string(ALLO_SOURCE_DIR) + "/tests/fitting/data/" + name;
}

inline Observations ReadData(const std::string& name) {
  CsvOptions options;
  options.units = {"N=1", "D=1"};  // some tables have D / N of no model
  absl::StatusOr<Observations> observations = ReadCsv(DataPath(name), options);
  EXPECT_TRUE(observations.ok()) << observations.status();
  return observations.ok() ? *std::move(observations) : Observations();
}

// Chinchilla's 240 points: without those whose loss is at least the fifth largest.
inline Observations Chinchilla240() {
  Observations all = ReadData("chinchilla_svg.csv"), kept;
  std::vector<double> losses;
  for (const Observation& point : all.points()) losses.push_back(point.loss);
  std::sort(losses.rbegin(), losses.rend());
  for (const Observation& point : all.points()) {
    if (point.loss < losses[4]) kept.Add(point);
  }
  EXPECT_EQ(kept.used(), 240);
  return kept;
}

inline FitReport FitOrDie(const Observations& observations, const FitOptions& options) {
  absl::StatusOr<FitReport> report = Fit(observations, options);
  EXPECT_TRUE(report.ok()) << report.status();
  return report.ok() ? *std::move(report) : FitReport();
}

// The parametric fit alone.
inline MethodFit Parametric(const Observations& observations, FitOptions options) {
  options.method = Method::kParametric;
  FitReport report = FitOrDie(observations, options);
  EXPECT_EQ(report.fits.size(), 1u);
  return report.fits.empty() ? MethodFit() : report.fits.front();
}

inline double Value(const MethodFit& fit, const char* name) {
  const Estimate* estimate = fit.Find(name);
  EXPECT_TRUE(estimate != nullptr && estimate->estimate) << name;
  return estimate != nullptr && estimate->estimate ? *estimate->estimate : 0;
}

inline void ExpectBounds(const MethodFit& fit, const char* name, double lower, double upper,
                         double tolerance) {
  const Estimate* estimate = fit.Find(name);
  ASSERT_TRUE(estimate != nullptr && estimate->lower && estimate->upper) << name;
  EXPECT_NEAR(*estimate->lower, lower, tolerance) << name;
  EXPECT_NEAR(*estimate->upper, upper, tolerance) << name;
}

}  // namespace allometry::fitting
