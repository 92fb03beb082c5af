#include "fitting/data/csv.h"

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "fitting/data/utf8.h"
#include "fitting/report/fit.h"
#include "gmock/gmock.h"
#include "tests/fitting/test_data.h"

namespace allometry::fitting {
namespace {

using ::testing::HasSubstr;

std::string WhyNot(absl::string_view text) {
  const absl::StatusOr<Observations> result = ParseCsv(text, "runs.csv");
  EXPECT_FALSE(result.ok());
  EXPECT_EQ(result.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(result.status().message());
}

TEST(CsvTest, ReadsEveryColumn) {
  const auto data = ParseCsv(
      "N,D,loss,C,run,family,weight,epochs\n"
      "1e6,2e7,3.5,1.2e14,first,small,2,0.5\n"
      "2e6,4e7,3.1,4.8e14,second,large,1,1.5\n",
      "x");
  ASSERT_TRUE(data.ok()) << data.status();
  ASSERT_EQ(data->used(), 2);
  const Observation& point = data->points()[1];
  EXPECT_EQ(point.params, 2e6);
  EXPECT_EQ(point.tokens, 4e7);
  EXPECT_EQ(point.loss, 3.1);
  EXPECT_EQ(point.flops, 4.8e14);
  EXPECT_EQ(data->runs()[point.run], "second");
  EXPECT_EQ(data->families()[point.family], "large");
  EXPECT_EQ(data->points()[0].weight, 2);
  EXPECT_EQ(point.epochs, 1.5);
  EXPECT_EQ(point.line, 3);
}

TEST(CsvTest, AcceptsCommonSpellings) {
  for (const char* header :
       {"params,tokens,val_loss", "Model Size,Training Tokens,loss", "n_params,D,final_loss",
        "num-params;train_tokens;Loss", "N\ttokens\tLoss (nats)", "\xef\xbb\xbfN,D,L"}) {
    std::string row = "\n1e6,1e8,3\n";
    if (std::string(header).find(';') != std::string::npos) row = "\n1e6;1e8;3\n";
    if (std::string(header).find('\t') != std::string::npos) row = "\n1e6\t1e8\t3\n";
    const auto data = ParseCsv(header + row, "x");
    ASSERT_TRUE(data.ok()) << header << data.status();
    EXPECT_EQ(data->points()[0].tokens, 1e8) << header;
  }
}

TEST(CsvTest, TheMostSpecificSpellingWinsWhereSeveralArePresent) {
  const auto data = ParseCsv("train_loss,val_loss,N,D\n9,3,1e6,1e8\n", "x");
  ASSERT_TRUE(data.ok());
  EXPECT_EQ(data->points()[0].loss, 3);
}

TEST(CsvTest, DerivesTokensFromComputeAndSaysSo) {
  const auto data = ParseCsv("Model Size,Training FLOP,loss\n1e6,6e14,3\n", "x");
  ASSERT_TRUE(data.ok()) << data.status();
  EXPECT_DOUBLE_EQ(data->points()[0].tokens, 1e8);
  EXPECT_THAT(data->notes(), ::testing::Contains(HasSubstr("D is derived as C / (6 N)")));
}

TEST(CsvTest, OtherCountsOfParametersBecomeAlternatives) {
  const auto data = ParseCsv("N,N_nonembed,D,loss\n2e6,1e6,1e8,3\n3e6,2e6,1e8,2.9\n", "x");
  ASSERT_TRUE(data.ok());
  ASSERT_EQ(data->alternatives().size(), 1u);
  EXPECT_EQ(data->alternatives()[0].params_policy, "non-embedding");
  EXPECT_EQ(data->alternatives()[0].params[1], 2e6);
  const auto broken = ParseCsv("N,N_nonembed,D,loss\n2e6,,1e8,3\n", "x");
  ASSERT_TRUE(broken.ok());
  EXPECT_TRUE(broken->alternatives().empty());
  EXPECT_THAT(broken->notes(), ::testing::Contains(HasSubstr("line 2")));
}

TEST(CsvTest, BadRowsAreExcludedByLineWithTheReason) {
  const auto data = ParseCsv(
      "# a comment\n"
      "N,D,loss\n"
      "1e6,1e8,3\n"
      "\n"
      "1e6,1e8,nan\n"
      "0,1e8,3\n"
      "1e6,-5,3\n"
      "1e6,1e8,\n"
      "1e6,1e8,three\n"
      "1e6,1e8\n"
      "1e6,1e8,inf\n"
      "1e6,1e8,1e999\n"
      "1e6,1e8,\xff\xfe\n"
      "\"1e6,1e8,3\n",
      "x");
  ASSERT_TRUE(data.ok()) << data.status();
  EXPECT_EQ(data->used(), 1);
  EXPECT_EQ(data->total(), 11);
  const std::vector<std::pair<int64_t, std::string>> expected = {
      {5, "loss is nan"},           {6, "params is 0"},
      {7, "tokens is -5"},          {8, "loss is empty"},
      {9, "'three', not a number"}, {10, "2 fields where the header has 3"},
      {11, "loss is inf"},          {12, "of double range"},
      {13, "not a number"},         {14, "unbalanced quote"}};
  ASSERT_EQ(data->exclusions().size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(data->exclusions()[i].line, expected[i].first);
    EXPECT_THAT(data->exclusions()[i].reason, HasSubstr(expected[i].second));
  }
}

TEST(CsvTest, UnusableFilesAreRefusedWithFileLineAndWhatIsNeeded) {
  EXPECT_THAT(WhyNot(""), HasSubstr("runs.csv: the file is empty"));
  EXPECT_THAT(WhyNot("\n\n"), HasSubstr("empty"));
  EXPECT_THAT(WhyNot("loss\n3\n"), HasSubstr("runs.csv:1: the header has 1 column"));
  EXPECT_THAT(WhyNot("N,D,loss\n"), HasSubstr("no rows after the header"));
  EXPECT_THAT(WhyNot("N,D,step\n1,2,3\n"), HasSubstr("no column for loss"));
  EXPECT_THAT(WhyNot("step,D,loss\n1,2,3\n"), HasSubstr("no column for N"));
  EXPECT_THAT(WhyNot("N,step,loss\n1,2,3\n"), HasSubstr("no column for D"));
  EXPECT_THAT(WhyNot("N,D,loss\nx,2,3\n"),
              HasSubstr("none of 1 rows can be used; the first, line 2"));
  EXPECT_THAT(WhyNot(std::string("\xff\xfeN\0,\0", 6)), HasSubstr("the header has"));
  EXPECT_THAT(WhyNot(std::string("N,D,loss\n1e6,\0\0\0\0", 19)), HasSubstr("zero bytes"));
}

TEST(CsvTest, MissingFileIsNotFoundByName) {
  const auto result = ReadCsv("/nonexistent/runs.csv");
  EXPECT_EQ(result.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(result.status().message()), HasSubstr("/nonexistent/runs.csv"));
}

TEST(CsvTest, WindowsLineEndsAndQuotesAreUnderstood) {
  const auto data = ParseCsv("\"N\",\"D\",\"loss\",\"run\"\r\n1e6,1e8,3,\"a, \"\"b\"\"\"\r\n", "x");
  ASSERT_TRUE(data.ok()) << data.status();
  EXPECT_EQ(data->runs()[0], "a, \"b\"");
}

TEST(CsvTest, FilesAreReadInPiecesLikeText) {
  const std::string path = ::testing::TempDir() + "/pieces.csv";
  std::string text = "N,D,loss,run\n";
  for (int i = 0; i < 60000; ++i) {
    text += std::to_string(1000000 + i) + ",1e8,3." + std::to_string(i) + ",run" +
            std::to_string(i / 100) + "\n";
  }
  std::ofstream(path) << text;
  const auto file = ReadCsv(path), parsed = ParseCsv(text, "x");
  ASSERT_TRUE(file.ok() && parsed.ok());
  ASSERT_EQ(file->used(), 60000);
  for (int i = 0; i < 60000; ++i) ASSERT_EQ(file->points()[i].loss, parsed->points()[i].loss);
  std::filesystem::remove(path);
}

TEST(CsvTest, LinesWithoutEndAreRefusedNotSwallowed) {
  const std::string path = ::testing::TempDir() + "/endless.csv";
  std::ofstream(path) << std::string(4 << 20, 'x');
  EXPECT_THAT(std::string(ReadCsv(path).status().message()), HasSubstr("longer than"));
  std::filesystem::remove(path);
}

TEST(ObservationsTest, NumbersWhoseComputeOverflowsAreExcluded) {
  Observations data;
  Observation point;
  point.params = 1e200, point.tokens = 1e200, point.loss = 3;
  EXPECT_FALSE(data.Add(point));
  EXPECT_THAT(data.exclusions().front().reason, HasSubstr("6 N D is inf"));
}

TEST(ObservationsTest, ManyExclusionsOfOneReasonAreCounted) {
  Observations data;
  for (int i = 0; i < 5000; ++i) data.Exclude(i + 2, "run 7 diverged");
  EXPECT_EQ(data.total(), 5000);
  EXPECT_EQ(data.exclusions().size(), Observations::kListedExclusions + 1);
  EXPECT_EQ(data.exclusions().back().points, 4000);
}

TEST(Utf8Test, FollowsRfc3629) {
  EXPECT_TRUE(ValidUtf8("plain, \xc3\xa9, \xe2\x82\xac, \xf0\x9f\x98\x80"));
  for (const char* bad : {"\xc0\x80", "\xe0\x80\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xff",
                          "\xc3", "\xe2\x82", "a\x80"}) {
    EXPECT_FALSE(ValidUtf8(bad));
  }
  EXPECT_FALSE(ValidUtf8(absl::string_view("a\0b", 3)));
  EXPECT_EQ(SafePrefix("\xe2\x82\xac\xe2\x82\xac", 4), "\xe2\x82\xac...");
}

// Replays the fuzzer's corpus: no input crashes, and what is accepted can be fitted and rendered.
TEST(CsvTest, FuzzCorpusNeitherCrashesNorBreaksTheReport) {
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(DataPath("fuzz_corpus"))) {
    std::stringstream text;
    text << std::ifstream(entry.path(), std::ios::binary).rdbuf();
    ++files;
    const auto data = ParseCsv(text.str(), "corpus");
    if (!data.ok()) continue;
    for (const Observation& point : data->points()) {
      EXPECT_TRUE(point.params > 0 && point.tokens > 0 && point.loss > 0 && point.weight > 0);
    }
    FitOptions options;
    options.resamples = 2;
    const auto report = Fit(*data, options);
    ASSERT_TRUE(report.ok()) << entry.path() << report.status();
    EXPECT_TRUE(nlohmann::json::accept(ReportJson(*report))) << entry.path();
  }
  EXPECT_GE(files, 10);
}

}  // namespace
}  // namespace allometry::fitting
