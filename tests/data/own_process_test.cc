#include "data/own_process.h"

#include <csignal>
#include <stdexcept>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace allometry::data {
namespace {

using ::allometry::testing::IsOkAndHolds;
using ::allometry::testing::StatusIs;
using ::testing::HasSubstr;

TEST(InItsOwnProcessTest, WhatWorkReturnsIsReturned) {
  const std::string large(300'000, 'x');
  EXPECT_THAT(InItsOwnProcess("it", [&] { return large; }), IsOkAndHolds(large));
  EXPECT_THAT(InItsOwnProcess("it", [] { return std::string(); }), IsOkAndHolds(""));
}

TEST(InItsOwnProcessTest, ASignalThatEndsItIsASentence) {
  const auto ended = [](int signal) {
    return InItsOwnProcess("a.hdf5: the HDF5 library", [signal]() -> std::string {
      std::signal(signal, SIG_DFL);
      raise(signal);
      return "";
    });
  };
  for (const int signal : {SIGSEGV, SIGABRT, SIGBUS, SIGKILL}) {
    EXPECT_THAT(ended(signal), StatusIs(absl::StatusCode::kDataLoss,
                                        HasSubstr("a.hdf5: the HDF5 library ended with signal")));
  }
  EXPECT_FALSE(InItsOwnProcess("it", []() -> std::string { throw std::runtime_error("no"); }).ok());
}

}  // namespace
}  // namespace allometry::data
