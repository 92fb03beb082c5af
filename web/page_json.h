// Answers of the coordinator in the form that the page reads.
#pragma once

#include <string>

#include "proto/client.pb.h"

namespace allometry::web {

// {"revision", "whole", "sweep", "flops_done", "flops_total", "eta_s", "runs": {column: [...]},
// "cells": {column: [...]}}: columns, because ten thousand objects take four times the bytes.
std::string ChangesJson(const v1::SweepChanges& changes);

// {"curves": [{"run_id", "size", ..., "x": [...], "y": [...]}], "frontier": {"x", "y", "run_id"},
// "series": [...]}.
std::string CurvesJson(const v1::GetCurvesResponse& curves);

// The run table and the curves as CSV.
std::string RunsCsv(const v1::SweepChanges& sweep);
std::string CurvesCsv(const v1::GetCurvesResponse& curves, const std::string& x_name,
                      const std::string& series);
std::string SweepsCsv(const v1::ListSweepsResponse& sweeps);

}  // namespace allometry::web
