// A real coordinator with a sweep "looked-at" that nothing trains, and the program `allo` on it.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/files.h"
#include "tests/testing/child_process.h"
#include "tests/testing/eventually.h"
#include "tests/testing/shell.h"
#include "tests/testing/temporary_folder.h"

namespace allometry::testing {

// Twelve sizes and two seeds of a trainer that no worker is there to start.
inline constexpr char kSweep[] =
    "name: looked-at\n"
    "dataset: {external: made-up, tokens: 1T}\n"
    "trainer: {command: [./none.sh], files: [none.sh], capabilities: [evaluation_steps]}\n"
    "model:\n"
    "  table:\n";
inline constexpr char kRest[] =
    "training: {batch_tokens: 65536, warmup_steps: 10, learning_rate: 1e-3, seeds: [1, 2]}\n"
    "budgets: {flops: [1e17]}\n"
    "evaluation: {per_decade: 5}\n";

class LookingTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string address_file = folder_.Path("address");
    coordinator_.Start({ALLO_BIN_DIR "/allo-coordinator", "--db", folder_.Path("a.db"), "--listen",
                        "unix:" + folder_.Path("socket"), "--address-file", address_file},
                       folder_.Path("log"));
    absl::StatusOr<std::string> address;
    ASSERT_TRUE(Eventually([&] { return (address = ReadFile(address_file)).ok(); }));
    address_ = std::string(absl::StripAsciiWhitespace(*address));
    std::string table;
    for (int size = 1; size <= 12; ++size) {
      absl::StrAppend(&table, "    - {label: ", size, "M, params: ", size, "000000}\n");
    }
    Write("none.sh", "#!/bin/sh\n");
    const std::string file = Write("s.yaml", absl::StrCat(kSweep, table, kRest));
    ASSERT_EQ(Allo("submit " + file), 0) << output_;
  }

  // Exit code; what it printed is in output_.
  int Allo(const std::string& arguments) {
    const std::string command = absl::StrCat(ALLO_BIN_DIR "/allo --coordinator ", address_, " ",
                                             arguments, " </dev/null 2>&1");
    const testing::Outcome outcome = testing::Shell(command);
    output_ = outcome.output;
    return outcome.exit_code;
  }

  std::string Write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_.Path(name)) << text;
    return folder_.Path(name);
  }

  const TemporaryFolder folder_;
  ChildProcess coordinator_;
  std::string address_, output_;
};

}  // namespace allometry::testing
