// What `allo data` prints.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "base/status.h"
#include "data/manifest.h"

namespace allometry::data {

using Json = nlohmann::ordered_json;

struct Output {
  std::string data_dir;
  bool json = false;
};

// Prints the message on standard error; the exit code: 2 for bad input, otherwise 1.
int Fail(const absl::Status& status);

// "39,952,321".
std::string Grouped(int64_t number);

// The manifest's file with its hash and its folder.
Json ToJson(const Manifest& manifest, const std::string& data_dir);
void Print(const Json& json);

// Tokens of both splits, vocabulary and hash on a line.
std::string Summary(const Manifest& manifest);
// Everything that a manifest says, for people.
void PrintDescription(const Manifest& manifest, const std::string& data_dir);

// What was made, or that it was there (`existed`). Returns 0.
int ReportMade(const Output& output, const Manifest& manifest, bool existed, int64_t duplicates);

}  // namespace allometry::data
