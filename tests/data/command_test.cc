#include "data/command.h"

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "base/files.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/temporary_folder.h"

namespace allometry::data {
namespace {

using ::allometry::testing::TemporaryFolder;
using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;

struct Outcome {
  int exit_code = 0;
  std::string out;
  std::string err;
};

class CommandTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string text;
    for (int i = 0; i < 200; ++i) text += "document " + std::to_string(i) + "\n\n";
    ASSERT_TRUE(WriteFileAtomically(folder_.Path("in.txt"), text).ok());
    ASSERT_TRUE(MakeDirectories(folder_.Path("data")).ok());
  }

  // `allo ARGUMENTS...`, with --data-dir after "data".
  Outcome Run(std::vector<std::string> arguments) {
    CLI::App app("", "allo");
    bool json = false;
    app.add_flag("--json", json);
    std::function<int()> run;
    AddDataCommand(app, &run);
    arguments.insert(arguments.end(), {"--data-dir", folder_.Path("data")});
    std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());
    Outcome outcome;
    ::testing::internal::CaptureStdout();
    ::testing::internal::CaptureStderr();
    try {
      app.parse(reversed);
      outcome.exit_code = run();
    } catch (const CLI::ParseError& error) {
      outcome.exit_code = 100;
    }
    outcome.out = ::testing::internal::GetCapturedStdout();
    outcome.err = ::testing::internal::GetCapturedStderr();
    return outcome;
  }
  Outcome Make() { return Run({"data", "text", folder_.Path("in.txt"), "--name", "corpus"}); }

  TemporaryFolder folder_;
};

TEST_F(CommandTest, TextMakesADatasetAndSaysSoAgain) {
  const Outcome made = Make();
  EXPECT_EQ(made.exit_code, 0) << made.err;
  EXPECT_THAT(made.out, AllOf(HasSubstr("made dataset corpus"), HasSubstr("200 documents")));
  const Outcome again = Make();
  EXPECT_EQ(again.exit_code, 0);
  EXPECT_THAT(again.out, HasSubstr("nothing done"));
}

TEST_F(CommandTest, JsonIsOneDocumentBeforeOrAfterTheCommand) {
  const Outcome made = Run({"data", "text", folder_.Path("in.txt"), "--name", "corpus", "--json"});
  EXPECT_EQ(json::parse(made.out)["documents"], 200);
  EXPECT_EQ(json::parse(made.out)["existed"], false);
  const json list = json::parse(Run({"--json", "data", "list"}).out);
  ASSERT_EQ(list.size(), 1u);
  EXPECT_EQ(list[0]["name"], "corpus");
  EXPECT_EQ(list[0]["hash"], json::parse(made.out)["hash"]);
  EXPECT_EQ(json::parse(Run({"data", "describe", "corpus", "--json"}).out)[0], list[0]);
  EXPECT_EQ(json::parse(Run({"data", "verify", "--json"}).out)[0]["ok"], true);
}

TEST_F(CommandTest, ExitCodesTellBadInputFromFailure) {
  EXPECT_EQ(Run({"data", "text", folder_.Path("in.txt"), "--name", "a/b"}).exit_code, 2);
  const Outcome missing = Run({"data", "describe", "corpus"});
  EXPECT_EQ(missing.exit_code, 1);
  EXPECT_THAT(missing.err, AllOf(HasSubstr("'corpus'"), HasSubstr("allo data text")));
  EXPECT_EQ(Run({"data", "text", folder_.Path("none"), "--name", "x"}).exit_code, 100);
  Make();
  const Outcome other =
      Run({"data", "text", folder_.Path("in.txt"), "--name", "corpus", "--heldout", "0.2"});
  EXPECT_EQ(other.exit_code, 1);
  EXPECT_THAT(other.err, HasSubstr("--replace"));
}

TEST_F(CommandTest, VerifyFailsOnTheDamagedDatasetAndChecksTheOthers) {
  Make();
  Run({"data", "text", folder_.Path("in.txt"), "--name", "damaged"});
  const std::string shard = folder_.Path("data/damaged/train-00000.npy");
  std::string bytes = *ReadFile(shard);
  bytes.back() ^= 1;
  ASSERT_TRUE(WriteFileAtomically(shard, bytes).ok());
  const Outcome outcome = Run({"data", "verify", "damaged", "corpus"});
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.err, HasSubstr("damaged/train-00000.npy"));
  EXPECT_THAT(outcome.out, HasSubstr("corpus: every shard"));
}

TEST_F(CommandTest, ListOfNothingSaysHowToMakeSomething) {
  const Outcome outcome = Run({"data", "list"});
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_THAT(outcome.out, HasSubstr("allo data text"));
}

}  // namespace
}  // namespace allometry::data
