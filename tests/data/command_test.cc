#include "data/command.h"

#include <filesystem>
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
  const Outcome no_file = Run({"data", "text", folder_.Path("none"), "--name", "x"});
  EXPECT_EQ(no_file.exit_code, 1);
  EXPECT_THAT(no_file.err, HasSubstr(folder_.Path("none")));
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

TEST_F(CommandTest, ABadNeighbourIsNamedAndHidesNothing) {
  ASSERT_EQ(Make().exit_code, 0);
  ASSERT_TRUE(MakeDirectories(folder_.Path("data/half")).ok());
  ASSERT_TRUE(
      WriteFileAtomically(folder_.Path("data/half/dataset.json"), "{\"version\": 1, ").ok());
  const Outcome listed = Run({"data", "list"});
  EXPECT_EQ(listed.exit_code, 0);
  EXPECT_THAT(listed.out, HasSubstr("corpus "));
  EXPECT_THAT(listed.err, HasSubstr("half/dataset.json"));
  const json list = json::parse(Run({"--json", "data", "list"}).out);
  ASSERT_EQ(list.size(), 2u);
  EXPECT_EQ(list[0]["name"], "corpus");
  EXPECT_EQ(list[1]["name"], "half");
  EXPECT_TRUE(list[1].contains("error"));
  const Outcome verified = Run({"data", "verify"});
  EXPECT_NE(verified.exit_code, 0);
  EXPECT_THAT(verified.out, HasSubstr("corpus: every shard is as its manifest says"));
  EXPECT_THAT(verified.err, HasSubstr("half/dataset.json"));
}

TEST_F(CommandTest, ListOfNothingSaysHowToMakeSomething) {
  const Outcome outcome = Run({"data", "list"});
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_THAT(outcome.out, HasSubstr("allo data text"));
}

TEST_F(CommandTest, ADataDirectoryThatIsNotThereYetHasNoDatasets) {
  for (const char* command : {"list", "verify"}) {
    Outcome outcome = Run({"data", command});
    std::filesystem::remove_all(folder_.Path("data"));
    outcome = Run({"data", command});
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    EXPECT_EQ(Run({"data", command, "--json"}).out, "[]\n");
  }
  EXPECT_THAT(Run({"data", "list"}).out, HasSubstr("no datasets yet"));
  EXPECT_TRUE(WriteFileAtomically(folder_.Path("data"), "a file").ok());
  const Outcome file = Run({"data", "list"});
  EXPECT_EQ(file.exit_code, 2);
  EXPECT_THAT(file.err, HasSubstr("data is a file: the data directory is a folder of datasets"));
}

TEST_F(CommandTest, WhatWasLeftOutIsSaidAndIsInTheJson) {
  std::string text = *ReadFile(folder_.Path("in.txt"));
  ASSERT_TRUE(WriteFileAtomically(folder_.Path("in.txt"), text + "document 7\n\n").ok());
  EXPECT_THAT(Make().out, HasSubstr("from 200 documents; left out: 1 duplicate\n"));
  const Outcome made = Run({"data", "text", folder_.Path("in.txt"), "--name", "other", "--json"});
  EXPECT_EQ(json::parse(made.out)["left_out"], json::array({"1 duplicate"}));
  ASSERT_TRUE(WriteFileAtomically(folder_.Path("in.txt"), "%PDF-1.4 and so on").ok());
  const Outcome pdf = Run({"data", "text", folder_.Path("in.txt"), "--name", "pdf"});
  EXPECT_EQ(pdf.exit_code, 2);
  EXPECT_THAT(pdf.err, AllOf(HasSubstr("is a PDF, not text"), HasSubstr("pdftotext")));
}

TEST_F(CommandTest, TokenFilesAreImported) {
  std::string ids;
  for (int i = 0; i < 100; ++i) ids += {static_cast<char>(i), 1};
  ASSERT_TRUE(WriteFileAtomically(folder_.Path("train.bin"), ids).ok());
  ASSERT_TRUE(WriteFileAtomically(folder_.Path("val.bin"), ids + ids).ok());
  const Outcome made = Run({"data", "import-bin", "--train", folder_.Path("train.bin"), "--heldout",
                            folder_.Path("val.bin"), "--name", "web"});
  EXPECT_EQ(made.exit_code, 0) << made.err;
  EXPECT_THAT(made.out, AllOf(HasSubstr("from 100 + 200 token ids (raw u16); left out: nothing"),
                              HasSubstr("note: the largest id is 355")));
}

TEST_F(CommandTest, StrataIsRecordedDescribedVerifiedAndImportedAgain) {
  const Outcome made = Run({"data", "strata", "--name", "world", "--spec", "strata:view=8,zo=64",
                            "--frames", "4", "--universe", "7", "--steps", "80", "--hdf5"});
  EXPECT_EQ(made.exit_code, 0) << made.err;
  EXPECT_THAT(made.out, HasSubstr("20 episodes of 4 frames"));
  const Outcome described = Run({"data", "describe", "world"});
  EXPECT_THAT(described.out,
              AllOf(HasSubstr("universe=7,"), HasSubstr("64 observation tokens and 1 action token"),
                    HasSubstr("policy     mix3"), HasSubstr("returns    expert")));
  EXPECT_EQ(Run({"data", "verify", "world"}).exit_code, 0);
  const Outcome imported =
      Run({"data", "import-hdf5", folder_.Path("data/world/trajectories.hdf5"), "--name", "again",
           "--observation-ids", "8", "--action-ids", "8", "--json"});
  EXPECT_EQ(json::parse(imported.out)["frames"]["frames_per_episode"], 4) << imported.err;
  EXPECT_EQ(json::parse(imported.out)["unique_tokens"], 19 * 4 * 65);
}

TEST_F(CommandTest, GeneratedDatasetsAreDescribedWithoutFiles) {
  const Outcome described = Run({"data", "describe", "strata:view=8,zo=16", "--json"});
  EXPECT_EQ(json::parse(described.out)[0]["kind"], "generated") << described.err;
  EXPECT_EQ(Run({"data", "verify", "strata:view=8,zo=16"}).exit_code, 0);
  const Outcome wrong = Run({"data", "describe", "strata:view=9"});
  EXPECT_EQ(wrong.exit_code, 2);
  EXPECT_THAT(wrong.err, AllOf(HasSubstr("view=9"), HasSubstr("8 and 16")));
}

TEST_F(CommandTest, EntropyIsToldWithItsErrorOrRefusedWithTheReason) {
  const Outcome told = Run({"data", "entropy", "strata:library=16,view=8,zo=16", "--frames", "2",
                            "--error", "0.02", "--json"});
  const json entropy = json::parse(told.out);
  EXPECT_LE(entropy["standard_error"], 0.02);
  EXPECT_GT(entropy["nats_per_token"], 0.1);
  EXPECT_EQ(entropy["frame_nats_per_token"].size(), 2u);
  const Outcome hashed = Run({"data", "entropy", "strata:zo=16"});
  EXPECT_EQ(hashed.exit_code, 2);
  EXPECT_THAT(hashed.err, HasSubstr("hashed"));
  const Outcome several = Run({"data", "entropy", "strata:universes=2"});
  EXPECT_EQ(several.exit_code, 2);
  EXPECT_THAT(several.err, HasSubstr("universes=2"));
}

TEST_F(CommandTest, BpeTellsBytesATokenAndItsVocabularyFileIsJson) {
  const Outcome made = Run(
      {"data", "text", folder_.Path("in.txt"), "--name", "bpe", "--tokenizer", "bpe:64", "--json"});
  EXPECT_EQ(made.exit_code, 0) << made.err;
  const json manifest = json::parse(made.out);
  EXPECT_GT(manifest["unique_bytes"], 2 * manifest["unique_tokens"].get<int64_t>());
  const json tokenizer = json::parse(*ReadFile(folder_.Path("data/bpe/tokenizer.json")));
  EXPECT_EQ(tokenizer["tokens"].size(), manifest["vocabulary"]);
  EXPECT_EQ(tokenizer["tokens"], manifest["token_bytes"]);
  EXPECT_THAT(Run({"data", "describe", "bpe"}).out, HasSubstr("a token\n"));
}

}  // namespace
}  // namespace allometry::data
