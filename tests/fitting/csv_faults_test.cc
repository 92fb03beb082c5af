// The table of tests/fitting/data/faults: one set of 64 points as people have it. Each file is read
// right, asked about, or refused with line, value and what was allowed; never silently wrong.
#include <cmath>
#include <fstream>
#include <functional>

#include "absl/strings/str_format.h"
#include "fitting/data/csv.h"
#include "gmock/gmock.h"
#include "tests/fitting/test_data.h"

namespace allometry::fitting {
namespace {

using ::testing::AnyOf;
using ::testing::Contains;
using ::testing::HasSubstr;

std::string FaultPath(const std::string& name) { return DataPath("faults/" + name); }

const Observations& Right() {
  static const Observations& right = *new Observations(*ReadCsv(FaultPath("31.csv")));
  return right;
}

void ExpectRight(const std::string& name, double tolerance = 1e-12, double loss_factor = 1) {
  SCOPED_TRACE(name);
  const auto data = ReadCsv(FaultPath(name));
  ASSERT_TRUE(data.ok()) << data.status();
  ASSERT_EQ(data->used(), 64);
  EXPECT_EQ(data->total(), 64);
  for (int i = 0; i < 64; ++i) {
    const Observation &got = data->points()[i], &want = Right().points()[i];
    EXPECT_NEAR(got.params / want.params, 1, tolerance);
    EXPECT_NEAR(got.tokens / want.tokens, 1, tolerance);
    EXPECT_NEAR(got.loss / (want.loss * loss_factor), 1, std::max(tolerance, 1e-5));
  }
  EXPECT_EQ(data->read.file, FaultPath(name));
}

std::string Refused(const std::string& name, const CsvOptions& options = {}) {
  const auto data = ReadCsv(FaultPath(name), options);
  EXPECT_FALSE(data.ok()) << name;
  EXPECT_EQ(data.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(data.status().message());
}

std::string ColumnOf(const Observations& data, const std::string& quantity) {
  for (const ReadSummary::Column& column : data.read.columns) {
    if (column.quantity == quantity) return column.header;
  }
  return "";
}

TEST(CsvFaultsTest, WhatMeansOneThingIsRead) {
  for (const char* name : {"04b.csv", "05a.csv", "05b.csv", "06b.csv", "08a.csv", "11b.csv",
                           "21a.csv", "21c.csv", "21e.csv", "26.csv", "31.csv", "31d.csv"}) {
    ExpectRight(name);
  }
  ExpectRight("03a.csv", 1e-3);  // four digits
  ExpectRight("09b.csv", 1e-9);  // D from C
}

TEST(CsvFaultsTest, TheHeldOutLossWinsAndIsNamed) {
  const auto data = ReadCsv(FaultPath("01c.csv"));
  ASSERT_TRUE(data.ok()) << data.status();
  EXPECT_EQ(ColumnOf(*data, "loss"), "val_loss");
  EXPECT_EQ(data->points()[0].loss, 5.77191);
  EXPECT_THAT(data->notes(), Contains(HasSubstr("not read: loss")));
}

TEST(CsvFaultsTest, BitsUnderLossAreAskedAboutAndBitsPerByteAreConverted) {
  EXPECT_THAT(Refused("02a.csv"), HasSubstr("--unit bits"));
  CsvOptions options;
  options.units = {"bits"};
  const auto asked = ReadCsv(FaultPath("02a.csv"), options);
  ASSERT_TRUE(asked.ok()) << asked.status();
  EXPECT_NEAR(asked->points()[0].loss, 5.77191, 1e-5);
  const auto bpb = ReadCsv(FaultPath("02c.csv"));
  ASSERT_TRUE(bpb.ok()) << bpb.status();
  EXPECT_NEAR(bpb->points()[0].loss, 1.98264 * std::log(2), 1e-12);
  EXPECT_THAT(bpb->notes(), Contains(HasSubstr("nats per byte")));
}

TEST(CsvFaultsTest, OtherUnitsOfNAndCAreRefusedWithTheFactor) {
  EXPECT_THAT(Refused("03c.csv"), HasSubstr("--unit N=K, M or B"));
  EXPECT_THAT(Refused("03f.csv"), HasSubstr("billions: --unit N=B"));
  EXPECT_THAT(Refused("03h.csv"), HasSubstr("--unit C=PF-days"));
  CsvOptions options;
  options.units = {"N=M"};
  const auto millions = ReadCsv(FaultPath("03c.csv"), options);
  ASSERT_TRUE(millions.ok()) << millions.status();
  EXPECT_EQ(millions->points()[0].params, 1e7);
  options.units = {"N=B"};
  const auto billions = ReadCsv(FaultPath("03f.csv"), options);
  ASSERT_TRUE(billions.ok()) << billions.status();
  EXPECT_DOUBLE_EQ(billions->points()[0].params, 1e7);
  options.units = {"C=PF-days"};
  const auto days = ReadCsv(FaultPath("03h.csv"), options);
  ASSERT_TRUE(days.ok()) << days.status();
  EXPECT_NEAR(days->points()[0].flops / 5.54757e13, 1, 1e-4);
}

TEST(CsvFaultsTest, LinesThatCannotBeMeantAreRefused) {
  EXPECT_THAT(Refused("05d.csv"), AllOf(HasSubstr("05d.csv:2:"), HasSubstr("must be quoted")));
  EXPECT_THAT(Refused("20b.csv"), AllOf(HasSubstr("20b.csv:1:"), HasSubstr("looks like data")));
}

TEST(CsvFaultsTest, LettersOfOtherThingsAreNotTakenAndSo) {
  for (const auto& [name, letter] :
       {std::pair{"21a.csv", "n"}, {"21c.csv", "w"}, {"21e.csv", "c"}}) {
    const auto data = ReadCsv(FaultPath(name));
    ASSERT_TRUE(data.ok()) << data.status();
    EXPECT_THAT(data->read.unread, Contains(letter));
    EXPECT_THAT(data->notes(), Contains(HasSubstr("'" + std::string(letter) + "'")));
    for (const Observation& point : data->points()) EXPECT_EQ(point.weight, 1);
  }
}

TEST(CsvFaultsTest, DerivedTokensAreCounted) {
  const auto data = ReadCsv(FaultPath("09b.csv"));
  ASSERT_TRUE(data.ok()) << data.status();
  EXPECT_THAT(data->read.derived, Contains(HasSubstr("D = C / (6 N) on ")));
}

// What is not in the folder: the same points, dressed.
class Dressed : public ::testing::Test {
 protected:
  // A table of the right points; each cell as `cell` writes it.
  static std::string Table(const std::string& header,
                           const std::function<std::string(const Observation&)>& row,
                           const std::string& end = "\n") {
    std::string text = header + end;
    for (const Observation& point : Right().points()) text += row(point) + end;
    return text;
  }
  static std::string Plain(double value) { return absl::StrFormat("%.0f", value); }
  static std::string WithMarks(double value, const std::string& mark) {
    std::string digits = Plain(value), out;
    for (size_t i = 0; i < digits.size(); ++i) {
      if (i > 0 && (digits.size() - i) % 3 == 0) out += mark;
      out += digits[i];
    }
    return out;
  }
  static std::string CommaLoss(double loss) {
    std::string text = absl::StrFormat("%.5f", loss);
    text[text.find('.')] = ',';
    return text;
  }
  static void ExpectRight(const std::string& text, double tolerance = 1e-9) {
    const auto data = ParseCsv(text, "x.csv");
    ASSERT_TRUE(data.ok()) << text.substr(0, 200) << "\n" << data.status();
    ASSERT_EQ(data->used(), 64) << text.substr(0, 200) << data->exclusions().front().reason;
    for (int i = 0; i < 64; ++i) {
      const Observation &got = data->points()[i], &want = Right().points()[i];
      ASSERT_NEAR(got.params / want.params, 1, tolerance) << text.substr(0, 200);
      ASSERT_NEAR(got.tokens / want.tokens, 1, tolerance) << text.substr(0, 200);
      ASSERT_NEAR(got.loss / want.loss, 1, std::max(tolerance, 1e-5)) << text.substr(0, 200);
    }
  }
  static std::string Refused(const std::string& text, const CsvOptions& options = {}) {
    const auto data = ParseCsv(text, "x.csv", options);
    EXPECT_FALSE(data.ok()) << text.substr(0, 200);
    return std::string(data.status().message());
  }
  static std::string Row(const Observation& p, const char* separator = ",") {
    return Plain(p.params) + separator + Plain(p.tokens) + separator +
           absl::StrFormat("%.5f", p.loss);
  }
};

TEST_F(Dressed, TrackersPrefixesAreUnderstood) {
  for (const char* header :
       {"config.n_params,summary.tokens,summary.val/loss", "config/num_params,tokens_seen,val/loss",
        "params.n_params,metrics.total_tokens,metrics.val_loss",
        "config.model.n_params,train/tokens,eval/loss", "numParams,consumedTokens,ValLoss",
        "Number of parameters,Training tokens,Validation loss (nats)",
        "non_embedding_params,tokens,test_loss", "model_size,dataset_size,loss"}) {
    ExpectRight(Table(header, [](const Observation& p) { return Row(p); }));
  }
}

TEST_F(Dressed, UnitsInHeadersAreApplied) {
  const auto scaled = [&](double n, double d, double l) {
    return [=](const Observation& p) {
      return absl::StrFormat("%.17g,%.17g,%.17g", p.params / n, p.tokens / d, p.loss / l);
    };
  };
  ExpectRight(Table("params (M),tokens (B),loss", scaled(1e6, 1e9, 1)));
  ExpectRight(Table("params_M,tokens_B,loss", scaled(1e6, 1e9, 1)));
  ExpectRight(Table("N [millions],D [billions],loss", scaled(1e6, 1e9, 1)));
  ExpectRight(Table("Params (in millions),Tokens (x1e9),loss", scaled(1e6, 1e9, 1)));
  ExpectRight(Table("nParamsM,tokensB,loss", scaled(1e6, 1e9, 1)));
  ExpectRight(Table("million params,billion tokens,loss", scaled(1e6, 1e9, 1)));
  ExpectRight(Table("params / 1e6,tokens (10^9),loss", scaled(1e6, 1e9, 1)));
  ExpectRight(Table("N,D,loss_bits", scaled(1, 1, std::log(2))));
  ExpectRight(Table("N,D,loss (bits per token)", scaled(1, 1, std::log(2))));
  ExpectRight("params,tokens,loss\nM,B,nats\n" +
              Table("params,tokens,loss", scaled(1e6, 1e9, 1)).substr(19));
  ExpectRight(Table("N,D,perplexity", [](const Observation& p) {
    return absl::StrFormat("%.17g,%.17g,%.17g", p.params, p.tokens, std::exp(p.loss));
  }));
}

TEST_F(Dressed, ComputeInItsUnitsIsApplied) {
  for (const auto& [header, unit] : {std::pair{"compute (PF-days)", 8.64e19},
                                     {"petaflop/s-days", 8.64e19},
                                     {"PFLOP/s-days", 8.64e19},
                                     {"FLOPs (1e18)", 1e18},
                                     {"EFLOPs", 1e18},
                                     {"flops_1e18", 1e18},
                                     {"training FLOPs (ZFLOP)", 1e21},
                                     {"C (x10^18)", 1e18},
                                     {"TFLOPs", 1e12}}) {
    SCOPED_TRACE(header);
    const double factor = unit;
    const std::string text = Table(std::string("N,loss,") + header, [&](const Observation& p) {
      return absl::StrFormat("%.17g,%.17g,%.17g", p.params, p.loss,
                             6 * p.params * p.tokens / factor);
    });
    ExpectRight(text);
  }
}

TEST_F(Dressed, ComputeInAnotherUnitIsRefusedByItsFactor) {
  for (const auto& [factor, answer] : {std::pair{1e18, "1e18"},
                                       {8.64e19, "PF-days"},
                                       {4e17, "GPU hours or money"},
                                       {3., "2 N D"},
                                       {1e-6, "millions"}}) {
    const double by = factor;
    const std::string text = Table("N,D,C,loss", [&](const Observation& p) {
      return absl::StrFormat("%.17g,%.17g,%.17g,%.17g", p.params, p.tokens,
                             6 * p.params * p.tokens / by, p.loss);
    });
    EXPECT_THAT(Refused(text), HasSubstr(answer));
    CsvOptions options;
    options.flops = FlopsConvention::k6nd;
    EXPECT_TRUE(ParseCsv(text, "x", options).ok());
    options.flops = FlopsConvention::kData;
    EXPECT_TRUE(ParseCsv(text, "x", options).ok());
  }
  int k = 0;
  EXPECT_THAT(Refused(Table("N,D,compute,loss",
                            [&](const Observation& p) {
                              return absl::StrFormat("%.17g,%.17g,%.2f,%.5f", p.params, p.tokens,
                                                     100. + ++k, p.loss);
                            })),
              HasSubstr("is not the FLOPs of these N and D"));
}

TEST_F(Dressed, LocalesAreUnderstood) {
  for (const char* mark : {".", " ", "\xc2\xa0", "\xe2\x80\xaf", "'"}) {
    ExpectRight(Table("N;D;loss", [&](const Observation& p) {
      return WithMarks(p.params, mark) + ";" + WithMarks(p.tokens, mark) + ";" + CommaLoss(p.loss);
    }));
  }
  ExpectRight(Table("N\tD\tloss", [&](const Observation& p) {
    return WithMarks(p.params, ",") + "\t" + WithMarks(p.tokens, ",") + "\t" +
           absl::StrFormat("%.5f", p.loss);
  }));
  ExpectRight("sep=;\n" + Table("N;D;loss", [](const Observation& p) { return Row(p, ";"); }));
  // Three digits behind every comma: the loss has no thousands.
  const auto data =
      ParseCsv("N;D;loss\n10.000.000;924.595;5,771\n20.000.000;1.924.595;4,771\n", "x");
  ASSERT_TRUE(data.ok()) << data.status();
  EXPECT_EQ(data->points()[0].loss, 5.771);
  EXPECT_EQ(data->points()[0].tokens, 924595);
  EXPECT_THAT(Refused("N;D;loss\n10000000;1924595;5,77\n20000000;2924595;4.8\n"),
              HasSubstr("--decimal"));
  EXPECT_THAT(Refused("N;D;perplexity\n10000000;1924595;1,770\n20000000;2924595;1,800\n"),
              HasSubstr("--decimal comma or --decimal point"));
}

TEST_F(Dressed, OtherTablesThanCsvAreRead) {
  ExpectRight("| N | D | loss |\n|---|--:|:--|\n" +
              Table("", [](const Observation& p) { return "| " + Row(p, " | ") + " |"; }));
  ExpectRight("\\begin{tabular}{lll}\n\\toprule\n$N$ & $D$ & loss \\\\\n\\midrule\n" +
              Table("", [](const Observation& p) { return Row(p, " & ") + " \\\\"; }) +
              "\\bottomrule\n\\end{tabular}\n");
  ExpectRight("# N D loss\n" + Table("", [](const Observation& p) { return Row(p, " "); }));
  ExpectRight(Table("   params      tokens  val loss",
                    [](const Observation& p) { return "  " + Row(p, "   "); }));
  int k = 0;
  ExpectRight(
      Table(",N,D,loss", [&](const Observation& p) { return absl::StrCat(k++, ",", Row(p)); }));
  k = 0;
  ExpectRight(Table("\"N\",\"D\",\"loss\"",
                    [&](const Observation& p) { return absl::StrCat("\"", ++k, "\",", Row(p)); }));
  ExpectRight("Runs of the spring,,\n,,\n" +
              Table("N,D,loss", [](const Observation& p) { return Row(p); }) + ",,\n,,\n");
  ExpectRight(Table("N,D,loss,", [](const Observation& p) { return Row(p) + ","; }));
}

TEST_F(Dressed, EncodingsAreRead) {
  const std::string text =
      Table("N,D,loss,n\xc3\xb6te", [](const Observation& p) { return Row(p) + ",\xc3\xbc"; });
  for (const bool little : {true, false}) {
    for (const bool marked : {true, false}) {
      std::string wide = !marked ? "" : little ? "\xff\xfe" : "\xfe\xff";
      for (size_t i = 0; i < text.size(); ++i) {
        int code = static_cast<unsigned char>(text[i]);
        if (code == 0xc3) code = 0xc0 + (static_cast<unsigned char>(text[++i]) & 0x3f);
        const char low = static_cast<char>(code), high = 0;
        wide += little ? low : high;
        wide += little ? high : low;
      }
      ExpectRight(wide);
    }
  }
  std::string latin;
  for (size_t i = 0; i < text.size(); ++i) {
    latin += text[i] == '\xc3' ? static_cast<char>(0xc0 + (text[++i] & 0x3f)) : text[i];
  }
  ExpectRight(latin);
  ExpectRight("\xef\xbb\xbf" + text);
  ExpectRight(Table(
      "N,D,loss", [](const Observation& p) { return Row(p); }, "\r\n"));
  ExpectRight(Table(
      "N,D,loss", [](const Observation& p) { return Row(p); }, "\r\r\n"));
}

TEST_F(Dressed, TheHeaderAgainIsPassedOverAndAnotherOneRefused) {
  const std::string text = Table("N,D,loss", [](const Observation& p) { return Row(p); });
  ExpectRight(text + "\xef\xbb\xbfN,D,loss\n");
  // With more empty fields than the header has.
  ExpectRight(text + "N,D,loss,,,\n");
  const auto twice = ParseCsv(text + text, "x");
  ASSERT_TRUE(twice.ok());
  EXPECT_EQ(twice->used(), 64);
  EXPECT_EQ(twice->exclusions().size(), 64u);
  EXPECT_THAT(twice->exclusions()[0].reason, HasSubstr("the same as line 2"));
  EXPECT_THAT(Refused(text + "D,N,loss\n1e9,2e7,3\n"), HasSubstr("another header"));
}

TEST_F(Dressed, FilesThatAreNoTablesAreNamed) {
  for (const auto& [bytes, what] : std::vector<std::pair<std::string, const char*>>{
           {std::string("\x1f\x8b\x08\x00", 4), "gunzip -c x.csv | allo fit -"},
           {"PAR1....", "Parquet"},
           {"PK\x03\x04\x14[Content_Types].xml xl/worksheet", ".xlsx"},
           {"PK\x03\x04 something", "unzip -p"},
           {"[{\"N\": 1}]", "JSON"},
           {"{\"N\": 1e6, \"D\": 1e8, \"loss\": 3}\n", "JSON"},
           {"<html><table>", "HTML"},
           {"\x89HDF\r\n", "HDF5"},
           {std::string("SQLite format 3\0", 16), "SQLite"},
           {std::string("\x93NUMPY\x01\x00", 8), "NumPy"},
           {"\x28\xb5\x2f\xfd....", "zstd"}}) {
    EXPECT_THAT(Refused(bytes), HasSubstr(what));
  }
  EXPECT_THAT(Refused("Wall time,Step,Value\n1.6e9,1,3.5\n"), HasSubstr("TensorBoard"));
  EXPECT_THAT(Refused("Step,run-1 - val/loss,run-1 - val/loss__MIN\n1,3,3\n"),
              HasSubstr("Weights & Biases"));
}

TEST_F(Dressed, MissingAndFailedAreLeftOutWithTheReason) {
  const auto data = ParseCsv(
      "N,D,loss,State\n1e7,1e9,3,finished\n1e7,2e9,NA,finished\n1e7,3e9,#N/A,finished\n"
      "1e7,4e9,2.9,crashed\n1e7,5e9,2.8,running\n1e7,6e9,5 %,finished\n1e7,7e9,2.7 nats,finished\n"
      "1e7,8e9,1e30,finished\n1e7,9e9,inf,finished\nnull,9e9,2.5,finished\n2e7,9e9,2.5,FINISHED\n",
      "x");
  ASSERT_TRUE(data.ok()) << data.status();
  EXPECT_EQ(data->used(), 3);
  std::string reasons;
  for (const Exclusion& one : data->exclusions()) {
    reasons += absl::StrCat(one.line, ":", one.reason, "\n");
  }
  for (const char* reason :
       {"3:loss is NA", "4:loss is #N/A", "5:State is 'crashed'", "6:State is 'running'",
        "7:loss is '5 %', not a number", "9:loss is 1e+30: the run diverged", "10:loss is inf",
        "11:N is missing ('null')"}) {
    EXPECT_THAT(reasons, HasSubstr(reason));
  }
}

TEST_F(Dressed, TwoColumnsForOneQuantityAreAskedAbout) {
  EXPECT_THAT(Refused("params,n_params,D,loss\n1e7,2e7,1e9,3\n2e7,4e7,1e9,2.9\n"),
              HasSubstr("--column N="));
  EXPECT_THAT(Refused("N,D,loss,eval/c4/loss\n1e7,1e9,3,3.1\n"),
              HasSubstr("--column loss=eval/c4/loss"));
  EXPECT_THAT(Refused("N,D,aux_loss\n1e7,1e9,3\n"), HasSubstr("--column loss=aux_loss"));
  EXPECT_THAT(Refused("N,step,loss\n1e7,1e9,3\n"), HasSubstr("--column D=step --unit D=TOKENS"));
  CsvOptions options;
  options.columns = {"loss=eval/c4/loss"};
  const auto named = ParseCsv("N,D,loss,eval/c4/loss\n1e7,1e9,3,3.1\n", "x", options);
  ASSERT_TRUE(named.ok()) << named.status();
  EXPECT_EQ(named->points()[0].loss, 3.1);
  options.columns = {"D=step"};
  options.units = {"D=65536"};
  const auto steps = ParseCsv("N,step,loss\n1e7,1000,3\n", "x", options);
  ASSERT_TRUE(steps.ok()) << steps.status();
  EXPECT_EQ(steps->points()[0].tokens, 65536000);
  options.columns = {"loss=nosuch"};
  EXPECT_THAT(Refused("N,D,loss\n1e7,1e9,3\n", options), HasSubstr("the header has: N, D, loss"));
}

TEST_F(Dressed, PerplexitiesUnderLossAreAskedAbout) {
  EXPECT_THAT(Refused(Table("N,D,loss",
                            [](const Observation& p) {
                              return absl::StrFormat("%.17g,%.17g,%.5f", p.params, p.tokens,
                                                     std::exp(p.loss));
                            })),
              HasSubstr("--unit perplexity"));
}

TEST_F(Dressed, DepthAndHeadsAreNotCountsWhereComputeStandsBeside) {
  int k = 0;
  const auto data =
      ParseCsv(Table("params,d,flops,loss",
                     [&](const Observation& p) {
                       return absl::StrFormat("%.17g,%d,%.17g,%.5f", p.params, 4 + 2 * (k++ / 8),
                                              6 * p.params * p.tokens, p.loss);
                     }),
               "x");
  ASSERT_TRUE(data.ok()) << data.status();
  EXPECT_NEAR(data->points()[0].tokens / Right().points()[0].tokens, 1, 1e-9);
  EXPECT_THAT(Refused(Table("n,tokens,loss",
                            [](const Observation& p) {
                              return absl::StrFormat("8,%.0f,%.5f", p.tokens, p.loss);
                            })),
              HasSubstr("no model has so few parameters"));
}

TEST_F(Dressed, ComputeOfTheActiveParametersIsNoContradiction) {
  const auto data =
      ParseCsv(Table("total_params,active_params,tokens,flops,loss",
                     [](const Observation& p) {
                       return absl::StrFormat("%.17g,%.17g,%.17g,%.17g,%.5f", 8 * p.params,
                                              p.params, p.tokens, 6 * p.params * p.tokens, p.loss);
                     }),
               "x");
  ASSERT_TRUE(data.ok()) << data.status();
  EXPECT_EQ(data->params_policy, "total");
  EXPECT_THAT(data->notes(), Contains(HasSubstr("C is that of the active parameters")));
}

TEST_F(Dressed, OneRowThatContradictsTheOthersIsLeftOut) {
  int k = 0;
  const auto data = ParseCsv(Table("N,D,C,loss",
                                   [&](const Observation& p) {
                                     return absl::StrFormat(
                                         "%.17g,%.17g,%.17g,%.5f", p.params, p.tokens,
                                         6 * p.params * p.tokens * (++k == 7 ? 1e3 : 1), p.loss);
                                   }),
                             "x");
  ASSERT_TRUE(data.ok()) << data.status();
  ASSERT_EQ(data->exclusions().size(), 1u);
  EXPECT_EQ(data->exclusions()[0].line, 8);
  EXPECT_THAT(data->exclusions()[0].reason, HasSubstr("C / (6 N D) is 1e+03"));
}

TEST_F(Dressed, LogarithmsAreRefused) {
  EXPECT_THAT(Refused(Table("N,D,loss",
                            [](const Observation& p) {
                              return absl::StrFormat("%.6f,%.6f,%.5f", std::log10(p.params),
                                                     std::log10(p.tokens), p.loss);
                            })),
              HasSubstr("a logarithm must be undone first"));
}

TEST_F(Dressed, AColumnThatSplitsTheRowsIsNamedAndGroupsAreReadOneByOne) {
  int k = 0;
  const std::string text = Table("N,D,loss,dataset", [&](const Observation& p) {
    return Row(p) + (++k % 2 == 0 ? ",c4" : ",pile");
  });
  const auto pooled = ParseCsv(text, "x");
  ASSERT_TRUE(pooled.ok());
  EXPECT_THAT(pooled->notes(),
              Contains(AllOf(HasSubstr("'dataset' has 2 values"), HasSubstr("--group dataset"))));
  const auto broken = ParseCsv(Table("N,D,loss,notes",
                                     [&](const Observation& p) {
                                       return Row(p) + (++k % 2 == 0 ? ",ok" : ",\"again\nat 5\"");
                                     }),
                               "x");
  ASSERT_TRUE(broken.ok());
  EXPECT_THAT(broken->notes(), Contains(HasSubstr("again at 5: 32 rows"))) << "on one line";
  CsvOptions options;
  options.group = "dataset";
  const auto groups = ParseCsvGroups(text, "x", options);
  ASSERT_TRUE(groups.ok()) << groups.status();
  ASSERT_EQ(groups->size(), 2u);
  EXPECT_EQ((*groups)[0].read.group, "pile");
  EXPECT_EQ((*groups)[0].used(), 32);
  EXPECT_EQ((*groups)[1].used(), 32);
  options.group = "nosuch";
  EXPECT_THAT(std::string(ParseCsvGroups(text, "x", options).status().message()),
              HasSubstr("--group nosuch"));
}

TEST_F(Dressed, AnOpenQuoteSwallowsNoRows) {
  std::string text = Table("notes,N,D,loss", [](const Observation& p) { return "," + Row(p); });
  text.insert(text.find('\n') + 1, "\"open,1e7,1e9,3\n");
  text += "close\",1e7,2e9,3\n";
  const auto data = ParseCsv(text, "x");
  ASSERT_TRUE(data.ok()) << data.status();
  EXPECT_EQ(data->used() + data->excluded_points(), 66);
  EXPECT_GE(data->used(), 64);
}

}  // namespace
}  // namespace allometry::fitting
