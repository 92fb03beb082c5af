#include "cli/fit_file.h"

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/files.h"
#include "gmock/gmock.h"
#include "tests/fitting/test_data.h"

namespace allometry::cli {
namespace {

using ::testing::HasSubstr;

struct Outcome {
  int code;
  std::string out, err;
};

Outcome RunCaptured(const FitFileArguments& arguments) {
  ::testing::internal::CaptureStdout();
  ::testing::internal::CaptureStderr();
  const int code = RunFitFile(arguments);
  std::string out = ::testing::internal::GetCapturedStdout();
  return {code, std::move(out), ::testing::internal::GetCapturedStderr()};
}

FitFileArguments Chinchilla() {
  FitFileArguments arguments;
  arguments.path = fitting::DataPath("chinchilla_svg.csv");
  arguments.options.method = fitting::Method::kParametric;
  arguments.options.resamples = 10;
  return arguments;
}

TEST(FitFileTest, PrintsATableAndEndsWithZero) {
  const Outcome outcome = RunCaptured(Chinchilla());
  EXPECT_EQ(outcome.code, 0);
  EXPECT_THAT(outcome.out, HasSubstr("used 245 of 245"));
  EXPECT_EQ(outcome.err, "");
}

TEST(FitFileTest, JsonIsOneObjectOnStandardOutput) {
  FitFileArguments arguments = Chinchilla();
  arguments.json = true;
  const Outcome outcome = RunCaptured(arguments);
  EXPECT_EQ(outcome.code, 0);
  EXPECT_EQ(nlohmann::json::parse(outcome.out)["observations"]["used"], 245);
}

TEST(FitFileTest, WritesThePictureOrSaysWhyNot) {
  FitFileArguments arguments = Chinchilla();
  arguments.figure.svg = ::testing::TempDir() + "/fit.svg";
  EXPECT_EQ(RunCaptured(arguments).code, 0);
  EXPECT_TRUE(std::filesystem::exists(arguments.figure.svg));
  std::filesystem::remove(arguments.figure.svg);
  arguments.figure.svg = "";
  arguments.figure.pdf = ::testing::TempDir() + "/fit.pdf";
  arguments.figure.html = ::testing::TempDir() + "/fit.html";
  EXPECT_EQ(RunCaptured(arguments).code, 0);
  EXPECT_THAT(ReadFile(arguments.figure.pdf).value_or(""), ::testing::StartsWith("%PDF-1.4"));
  EXPECT_THAT(ReadFile(arguments.figure.html).value_or(""), HasSubstr("used 245 of 245"));
  std::filesystem::remove(arguments.figure.pdf);
  std::filesystem::remove(arguments.figure.html);
  arguments.figure = {};
  arguments.figure.svg = "/dev/null/fit.svg";
  const Outcome outcome = RunCaptured(arguments);
  EXPECT_EQ(outcome.code, 1);
  EXPECT_THAT(outcome.err, HasSubstr("/dev/null/fit.svg"));
}

TEST(FitFileTest, BadInputEndsWithTwoAndOneSentence) {
  FitFileArguments arguments = Chinchilla();
  arguments.path = "/nonexistent.csv";
  Outcome outcome = RunCaptured(arguments);
  EXPECT_EQ(outcome.code, 2);
  EXPECT_THAT(outcome.err, HasSubstr("/nonexistent.csv"));
  EXPECT_EQ(outcome.out, "");
  arguments = Chinchilla();
  arguments.options.delta = -1;
  outcome = RunCaptured(arguments);
  EXPECT_EQ(outcome.code, 2);
  EXPECT_THAT(outcome.err, HasSubstr("delta"));
}

TEST(FitFileTest, TheReportSaysWhatWasRead) {
  FitFileArguments arguments = Chinchilla();
  arguments.path = fitting::DataPath("faults/01c.csv");
  const Outcome text = RunCaptured(arguments);
  EXPECT_EQ(text.code, 0) << text.err;
  EXPECT_THAT(text.out, HasSubstr("column 'val_loss': nats per token, as no unit is stated"));
  EXPECT_THAT(text.out, HasSubstr("not read  loss"));
  arguments.json = true;
  const nlohmann::json read = nlohmann::json::parse(RunCaptured(arguments).out)["read"];
  EXPECT_EQ(read["columns"].size(), 3u);
  EXPECT_EQ(read["columns"][2]["header"], "val_loss");
  EXPECT_EQ(read["not_read"], nlohmann::json::array({"loss"}));
}

TEST(FitFileTest, AnErrorNamesTheOptionThatAnswersAndTheOptionAnswers) {
  FitFileArguments arguments = Chinchilla();
  arguments.path = fitting::DataPath("faults/03h.csv");
  Outcome outcome = RunCaptured(arguments);
  EXPECT_EQ(outcome.code, 2);
  EXPECT_THAT(outcome.err, HasSubstr("--unit C=PF-days"));
  EXPECT_EQ(outcome.out, "");
  arguments.csv.units = {"C=PF-days"};
  outcome = RunCaptured(arguments);
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("column 'C': x 8.64e+19"));
}

TEST(FitFileTest, GroupsAreFittedOneByOneAndShownBesideEachOther) {
  const std::string path = ::testing::TempDir() + "/groups.csv";
  {
    std::ofstream out(path);
    out << "N,D,loss,dataset\n";
    for (const fitting::Observation& point : fitting::ReadData("faults/31.csv").points()) {
      for (const double factor : {1., 1.2}) {
        out << point.params << "," << point.tokens << "," << factor * point.loss
            << (factor == 1 ? ",c4\n" : ",pile\n");
      }
    }
  }
  FitFileArguments arguments = Chinchilla();
  arguments.path = path;
  arguments.csv.group = "dataset";
  const Outcome text = RunCaptured(arguments);
  EXPECT_EQ(text.code, 0) << text.err;
  EXPECT_THAT(text.out, HasSubstr("===== dataset: pile ====="));
  EXPECT_THAT(text.out, HasSubstr("the 2 groups of 'dataset' beside each other"));
  arguments.json = true;
  const nlohmann::json json = nlohmann::json::parse(RunCaptured(arguments).out);
  ASSERT_EQ(json["groups"].size(), 2u);
  const double c4 = json["groups"][0]["fit"]["fits"][0]["parameters"]["E"]["estimate"];
  const double pile = json["groups"][1]["fit"]["fits"][0]["parameters"]["E"]["estimate"];
  EXPECT_NEAR(pile / c4, 1.2, .001);
  std::filesystem::remove(path);
}

TEST(FitFileTest, ARefusedFitIsAReportNotAFailure) {
  const std::string path = ::testing::TempDir() + "/three.csv";
  std::ofstream(path) << "N,D,loss\n1e6,1e8,3\n2e6,1e8,2.9\n4e6,1e8,2.8\n";
  FitFileArguments arguments = Chinchilla();
  arguments.path = path;
  const Outcome outcome = RunCaptured(arguments);
  EXPECT_EQ(outcome.code, 0);
  EXPECT_THAT(outcome.out, HasSubstr("REFUSED: 3 points for 5 parameters"));
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace allometry::cli
