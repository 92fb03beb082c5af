#include "cli/format.h"

#include <gtest/gtest.h>

#include <cmath>

namespace allometry::cli {
namespace {

TEST(FormatTest, ALossThatNoModelHasIsDiverged) {
  EXPECT_EQ(Loss(0), "-");
  EXPECT_EQ(Loss(3.25), "3.2500");
  EXPECT_EQ(Loss(2677395062775480320.0), "diverged");
  EXPECT_EQ(Loss(std::nan("")), "diverged");
}

TEST(FormatTest, WhatIsLeftOutIsNotAdded) {
  EXPECT_EQ(WouldAdd("adds size 80k: 1 run, 2 cells"), "would add: adds size 80k: 1 run, 2 cells");
  EXPECT_EQ(WouldAdd("left out: 10k at 1e10 FLOPs: why"), "left out: 10k at 1e10 FLOPs: why");
}

TEST(FormatTest, ShortKeepsThreeDigitsAndCarriesIntoTheNextUnit) {
  EXPECT_EQ(Short(0), "0");
  EXPECT_EQ(Short(999), "999");
  EXPECT_EQ(Short(4904), "4.90k");
  EXPECT_EQ(Short(36000000), "36.0M");
  EXPECT_EQ(Short(999999), "1.00M");
}

TEST(FormatTest, DeviceHoursNameTheBudgetWhereThereIsOne) {
  v1::Sweep sweep;
  sweep.set_device_seconds(1512);
  EXPECT_EQ(DeviceHours(sweep), "0.42 device-hours used");
  sweep.set_max_device_hours(2);
  EXPECT_EQ(DeviceHours(sweep), "0.42 of 2 device-hours used (limits.max_device_hours)");
}

TEST(FormatTest, DurationSaysUnknownForANegativeTime) {
  EXPECT_EQ(Duration(-1), "?");
  EXPECT_EQ(Duration(59.4), "59s");
  EXPECT_EQ(Duration(185), "3m 05s");
  EXPECT_EQ(Duration(7800), "2h 10m");
}

TEST(FormatTest, GroupedPutsACommaEveryThreeDigits) {
  EXPECT_EQ(Grouped(0), "0");
  EXPECT_EQ(Grouped(999), "999");
  EXPECT_EQ(Grouped(1000), "1,000");
  EXPECT_EQ(Grouped(-1234567), "-1,234,567");
}

TEST(FormatTest, ScientificHasNoPlusInItsExponent) {
  EXPECT_EQ(Scientific(3e12), "3.00e12");
  EXPECT_EQ(Scientific(2.5e-3), "2.50e-03");
}

TEST(FormatTest, ColumnsAlignEveryRowAndTrimItsEnd) {
  EXPECT_EQ(Columns({{"size", "loss"}, {"5k", "2.25"}, {"320k", "-"}}, {true}, 2),
            "  size  loss\n  5k    2.25\n  320k     -\n");
}

TEST(FormatTest, AFailedRunShowsItsReason) {
  v1::Run run;
  run.set_state(v1::RUN_FAILED);
  run.set_failure(v1::DIVERGED);
  EXPECT_EQ(StateWord(run), "failed: DIVERGED");
}

TEST(FormatTest, TrunksAndBranchesAreToldApart) {
  v1::Run run;
  run.set_size("40k");
  run.mutable_spec()->mutable_identity()->set_schedule("constant");
  EXPECT_EQ(SizeWord(run), "40k");
  v1::Run trunk = run;
  trunk.mutable_spec()->add_checkpoint_steps(400);
  EXPECT_EQ(SizeWord(trunk), "40k trunk");
  run.mutable_spec()->mutable_identity()->set_schedule("wsd");
  run.mutable_spec()->mutable_identity()->set_decay_begin(400);
  EXPECT_EQ(SizeWord(run), "40k from 400");
  run.mutable_spec()->mutable_identity()->set_schedule("cosine");
  EXPECT_EQ(SizeWord(run), "40k cosine");
}

TEST(FormatTest, NumbersOfSweepFilesBecomePlainOnes) {
  EXPECT_EQ(PlainNumbers("1e21"), "1e+21");
  EXPECT_EQ(PlainNumbers("5k, 1.2M,3T"), "5000,1200000,3000000000000");
  EXPECT_EQ(PlainNumbers("1e18..1e24"), "1e+18..9.9999999999999998e+23");
  EXPECT_EQ(PlainNumbers("1_000,many,-3"), "1000,many,-3");
  EXPECT_EQ(PlainNumbers(""), "");
}

}  // namespace
}  // namespace allometry::cli
