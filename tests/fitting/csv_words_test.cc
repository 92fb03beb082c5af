// Numbers, units and headers, word by word.
#include <cmath>
#include <fstream>
#include <limits>

#include "fitting/data/header.h"
#include "fitting/data/number.h"
#include "fitting/data/unit.h"
#include "gtest/gtest.h"

namespace allometry::fitting {
namespace {

constexpr double kNone = -1;  // no number

double Read(const std::string& text, Decimal decimal = Decimal::kPoint) {
  ParsedNumber number;
  std::string reason;
  if (!ParseNumber(text, decimal, number, reason)) {
    EXPECT_EQ(reason.substr(0, 1), "'");
    return kNone;
  }
  if (number.missing) return std::numeric_limits<double>::quiet_NaN();
  if (number.suffix.empty()) return number.value;
  const std::optional<Unit> unit = ParseUnit(Role::kTokens, number.suffix);
  return unit ? unit->Apply(number.value) : kNone;
}

TEST(NumberTest, ReadsWhatPeopleWrite) {
  for (const auto& [text, value] :
       std::vector<std::pair<std::string, double>>{{"5.77", 5.77},
                                                   {"+5.77", 5.77},
                                                   {"1e9", 1e9},
                                                   {"1.5E+09", 1.5e9},
                                                   {"1.5D+09", 1.5e9},
                                                   {"10,000,000", 1e7},
                                                   {"1,234.5", 1234.5},
                                                   {"10_000_000", 1e7},
                                                   {"10 000 000", 1e7},
                                                   {"10'000'000", 1e7},
                                                   {"10\xe2\x80\x99"
                                                    "000\xe2\x80\x99"
                                                    "000",
                                                    1e7},
                                                   {"10\xc2\xa0"
                                                    "000\xc2\xa0"
                                                    "000",
                                                    1e7},
                                                   {"10\\,000\\,000", 1e7},
                                                   {"1,00,00,000", 1e7},
                                                   {"10M", 1e7},
                                                   {"10 M", 1e7},
                                                   {"1.5B", 1.5e9},
                                                   {"300 million", 3e8},
                                                   {"1.5B tokens", 1.5e9},
                                                   {"924.6K", 924600},
                                                   {"1T", 1e12},
                                                   {"10^7", 1e7},
                                                   {"$10^{7}$", 1e7},
                                                   {"1.5x10^9", 1.5e9},
                                                   {"1.5 \xc3\x97 10^9", 1.5e9},
                                                   {"1.5\xc3\x97"
                                                    "10\xe2\x81\xb9",
                                                    1.5e9},
                                                   {"$1.5\\times10^{9}$", 1.5e9},
                                                   {"1.5*10**9", 1.5e9},
                                                   {"10\xc2\xb9\xc2\xb2", 1e12},
                                                   {"=\"10000000\"", 1e7},
                                                   {"5.", 5},
                                                   {".5", .5}}) {
    EXPECT_DOUBLE_EQ(Read(text), value) << text;
  }
  for (const auto& [text, value] :
       std::vector<std::pair<std::string, double>>{{"5,77", 5.77},
                                                   {"10.000.000", 1e7},
                                                   {"1.234,5", 1234.5},
                                                   {"10.000", 1e4},
                                                   {"1,5E+09", 1.5e9},
                                                   {"1,5 Mrd", 1.5e9},
                                                   {"924,6 Tsd", 924600}}) {
    EXPECT_DOUBLE_EQ(Read(text, Decimal::kComma), value) << text;
  }
}

TEST(NumberTest, WhatIsNoNumberIsNoNumber) {
  for (const char* text : {"three",
                           "5,77",
                           "1,2,3",
                           "5.77.1",
                           "10.000.000",
                           "5 %",
                           "~5",
                           "<3",
                           "5.77 (0.02)",
                           "5.77 0.02",
                           "5.77\xc2\xb1"
                           "0.1",
                           "0x10",
                           "1e",
                           "--5",
                           "1.5Q",
                           "10 apples",
                           "1-2",
                           "Oct-77",
                           "$5",
                           "1__",
                           "e9",
                           "1,0000"}) {
    EXPECT_EQ(Read(text), kNone) << text;
  }
  for (const char* text :
       {"", "NA", "N/A", "#N/A", "null", "None", "-", "missing", "<NA>", "\xc2\xa0"}) {
    EXPECT_TRUE(std::isnan(Read(text))) << text;
  }
}

TEST(NumberTest, EvidenceOfTheDecimalMark) {
  EXPECT_EQ(EvidenceOf("5.77"), DecimalEvidence::kPoint);
  EXPECT_EQ(EvidenceOf("5,77"), DecimalEvidence::kComma);
  EXPECT_EQ(EvidenceOf("1,234"), DecimalEvidence::kEither);
  EXPECT_EQ(EvidenceOf("10,000,000"), DecimalEvidence::kPoint);
  EXPECT_EQ(EvidenceOf("1.234,5"), DecimalEvidence::kComma);
  EXPECT_EQ(EvidenceOf("1234"), DecimalEvidence::kNone);
  EXPECT_EQ(EvidenceOf("v1.2.3"), DecimalEvidence::kNone);
}

TEST(UnitTest, OfEachQuantity) {
  EXPECT_EQ(ParseUnit(Role::kParams, "M")->factor, 1e6);
  EXPECT_EQ(ParseUnit(Role::kParams, "(in billions)")->factor, 1e9);
  EXPECT_EQ(ParseUnit(Role::kTokens, "Gtok")->factor, 1e9);
  EXPECT_EQ(ParseUnit(Role::kTokens, "x 10^9")->factor, 1e9);
  EXPECT_EQ(ParseUnit(Role::kTokens, "1e9 tokens")->factor, 1e9);
  EXPECT_EQ(ParseUnit(Role::kFlops, "PF-days")->factor, 8.64e19);
  EXPECT_EQ(ParseUnit(Role::kFlops, "PFLOP/s-days")->factor, 8.64e19);
  EXPECT_EQ(ParseUnit(Role::kFlops, "petaflop/s-day")->factor, 8.64e19);
  EXPECT_EQ(ParseUnit(Role::kFlops, "ZFLOPs")->factor, 1e21);
  EXPECT_EQ(ParseUnit(Role::kFlops, "1e18")->factor, 1e18);
  EXPECT_DOUBLE_EQ(ParseUnit(Role::kLoss, "bits/byte")->factor, std::log(2));
  EXPECT_EQ(ParseUnit(Role::kLoss, "bits per byte")->per, "byte");
  EXPECT_TRUE(ParseUnit(Role::kLoss, "ppl")->perplexity);
  for (const char* rate : {"FLOP/s", "TFLOP/s", "GPU hours", "$", "apples"}) {
    EXPECT_FALSE(ParseUnit(Role::kFlops, rate)) << rate;
  }
}

TEST(HeaderTest, EveryWordMustBeKnown) {
  for (const char* header : {"aux_loss",
                             "loss_std",
                             "z_loss",
                             "loss scale",
                             "tokens_per_second",
                             "flops_per_token",
                             "tokens_per_step",
                             "unique_tokens",
                             "batch_tokens",
                             "_step",
                             "lr",
                             "model.dim",
                             "log10_N",
                             "TFLOP/s",
                             "n_layers",
                             "n_heads",
                             "gpu_hours",
                             "val/tokens",
                             "Value",
                             "learning_rate",
                             "train/loss_scale",
                             "seed"}) {
    EXPECT_GT(MatchHeader(header).role, Role::kFlops) << header;
  }
  for (const char* header : {"val/loss", "summary.val/loss", "eval_nll", "heldout loss",
                             "held-out loss", "Validation Loss (nats/token)", "test_ce",
                             "dev cross entropy", "eval/perplexity", "val_bpb"}) {
    EXPECT_EQ(MatchHeader(header).role, Role::kLoss) << header;
    EXPECT_EQ(MatchHeader(header).loss, LossKind::kHeldOut) << header;
  }
  EXPECT_EQ(MatchHeader("train/loss").loss, LossKind::kTrain);
  EXPECT_EQ(MatchHeader("loss (nats)").unit.factor, 1);
  EXPECT_TRUE(MatchHeader("loss (nats)").unit.stated);
  EXPECT_EQ(MatchHeader("tokens (bananas)").unknown_unit, "bananas");
  EXPECT_EQ(MatchHeader("params (non-embedding)").params_policy, "non-embedding");
  EXPECT_EQ(MatchHeader("throughput/total_tokens").role, Role::kTokens);
}

}  // namespace
}  // namespace allometry::fitting
