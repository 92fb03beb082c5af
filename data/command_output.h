// What `allo data` prints.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "base/status.h"
#include "data/made_dataset.h"

namespace allometry::data {

using Json = nlohmann::ordered_json;

struct Output {
  std::string data_dir;
  bool json = false;
};

// Prints the message on standard error; the exit code: 2 for bad input, otherwise 1.
int Fail(const absl::Status& status);

// The manifest's file with its hash and its folder.
Json ToJson(const Manifest& manifest, const std::string& data_dir);
void Print(const Json& json);

// Tokens of both splits, vocabulary and hash on a line.
std::string Summary(const Manifest& manifest);
// Everything that a manifest says, for people.
void PrintDescription(const Manifest& manifest, const std::string& data_dir);

// What was made and from what, what was left out, notes; or that it was there. Returns 0.
int ReportMade(const Output& output, const MadeDataset& made);

}  // namespace allometry::data
