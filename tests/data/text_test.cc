#include "data/text.h"

#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "base/files.h"
#include "data/verify.h"
#include "data/windows.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temporary_folder.h"

namespace allometry::data {
namespace {

using ::allometry::testing::StatusIs;
using ::allometry::testing::TemporaryFolder;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::string Decode(const TokenStream& stream, const Manifest& manifest) {
  std::vector<int32_t> ids(static_cast<size_t>(stream.size()));
  EXPECT_OK(stream.Read(0, ids));
  std::string text;
  for (const int32_t id : ids) text += manifest.token_bytes[static_cast<size_t>(id)];
  return text;
}

std::set<std::string> Documents(const std::string& text) {
  std::set<std::string> documents = absl::StrSplit(text, "\n\n");
  documents.erase("");
  return documents;
}

class TextTest : public ::testing::Test {
 protected:
  // `count` distinct paragraphs, a newline and a tab in each.
  static std::string Paragraphs(int count) {
    std::string text;
    for (int i = 0; i < count; ++i) absl::StrAppend(&text, "document ", i, "\n\tof many\n\n");
    return text;
  }
  TextOptions Options(const std::string& text) {
    EXPECT_OK(WriteFileAtomically(folder_.Path("input.txt"), text));
    TextOptions options;
    options.name = "corpus";
    options.inputs = {folder_.Path("input.txt")};
    options.heldout_fraction = 0.25;
    return options;
  }
  std::string DataDir() const { return folder_.Path("data"); }
  std::string Folder() const { return folder_.Path("data/corpus"); }

  TemporaryFolder folder_;
};

TEST_F(TextTest, SplitsHoldEveryDocumentOnceAndShareNone) {
  ASSERT_OK_AND_ASSIGN(const MadeDataset made,
                       MakeTextDataset(Options(Paragraphs(400)), DataDir()));
  EXPECT_FALSE(made.existed);
  EXPECT_EQ(made.manifest.documents, 400);
  ASSERT_OK_AND_ASSIGN(const TokenDataset dataset, TokenDataset::Open(Folder()));
  const std::set<std::string> train = Documents(Decode(dataset.train(), made.manifest));
  const std::set<std::string> heldout = Documents(Decode(dataset.heldout(), made.manifest));
  EXPECT_EQ(train.size() + heldout.size(), 400u);
  std::set<std::string> all = train;
  all.insert(heldout.begin(), heldout.end());
  EXPECT_EQ(all, Documents(Paragraphs(400)));
  // 100 expected, standard deviation 8.7; fixed by the documents' hashes.
  EXPECT_GT(heldout.size(), 60u);
  EXPECT_LT(heldout.size(), 140u);
}

TEST_F(TextTest, SplitOfADocumentDoesNotDependOnItsPlaceOrNeighbours) {
  ASSERT_OK_AND_ASSIGN(MadeDataset made, MakeTextDataset(Options(Paragraphs(200)), DataDir()));
  ASSERT_OK_AND_ASSIGN(TokenDataset before, TokenDataset::Open(Folder()));
  const std::set<std::string> heldout = Documents(Decode(before.heldout(), made.manifest));
  TextOptions options = Options("Something new first.\n\n" + Paragraphs(300));
  options.replace = true;
  ASSERT_OK_AND_ASSIGN(made, MakeTextDataset(options, DataDir()));
  ASSERT_OK_AND_ASSIGN(const TokenDataset after, TokenDataset::Open(Folder()));
  const std::set<std::string> train = Documents(Decode(after.train(), made.manifest));
  for (const std::string& document : heldout) EXPECT_EQ(train.count(document), 0u) << document;
}

TEST_F(TextTest, DuplicatesAreLeftOutAndCounted) {
  ASSERT_OK_AND_ASSIGN(const MadeDataset made,
                       MakeTextDataset(Options(Paragraphs(50) + Paragraphs(60)), DataDir()));
  EXPECT_EQ(made.manifest.documents, 60);
  EXPECT_EQ(made.duplicates, 50);
  EXPECT_EQ(made.manifest.unique_tokens + made.manifest.heldout_tokens,
            static_cast<int64_t>(Paragraphs(60).size()));
}

TEST_F(TextTest, IdsAreTheDistinctBytesInByteOrder) {
  ASSERT_OK_AND_ASSIGN(const MadeDataset made, MakeTextDataset(Options(Paragraphs(100) + "b\xff"
                                                                                         "a"),
                                                               DataDir()));
  std::set<unsigned char> bytes;
  for (const char c : Paragraphs(100) +
                          "b\xff"
                          "a")
    bytes.insert(static_cast<unsigned char>(c));
  ASSERT_EQ(made.manifest.vocabulary, static_cast<int64_t>(bytes.size()));
  size_t id = 0;
  for (const unsigned char byte : bytes) {
    EXPECT_EQ(made.manifest.token_bytes[id++], std::string(1, static_cast<char>(byte)));
  }
}

TEST_F(TextTest, SameInputGivesTheSameBytesElsewhere) {
  ASSERT_OK_AND_ASSIGN(const MadeDataset a,
                       MakeTextDataset(Options(Paragraphs(100)), folder_.Path("a")));
  ASSERT_OK(MakeDirectories(folder_.Path("other/place")));
  std::filesystem::copy_file(folder_.Path("input.txt"), folder_.Path("other/place/input.txt"));
  TextOptions options = Options(Paragraphs(100));
  options.inputs = {folder_.Path("other/place/input.txt")};
  ASSERT_OK_AND_ASSIGN(const MadeDataset b, MakeTextDataset(options, folder_.Path("b")));
  EXPECT_EQ(a.manifest.hash, b.manifest.hash);
  for (const Shard& shard : a.manifest.shards) {
    EXPECT_EQ(*ReadFile(folder_.Path("a/corpus/" + shard.file)),
              *ReadFile(folder_.Path("b/corpus/" + shard.file)));
  }
}

TEST_F(TextTest, SameSourceAgainDoesNothing) {
  ASSERT_OK_AND_ASSIGN(const MadeDataset first,
                       MakeTextDataset(Options(Paragraphs(100)), DataDir()));
  const auto written = std::filesystem::last_write_time(Folder() + "/dataset.json");
  ASSERT_OK_AND_ASSIGN(const MadeDataset second,
                       MakeTextDataset(Options(Paragraphs(100)), DataDir()));
  EXPECT_TRUE(second.existed);
  EXPECT_EQ(second.manifest.hash, first.manifest.hash);
  EXPECT_EQ(std::filesystem::last_write_time(Folder() + "/dataset.json"), written);
}

TEST_F(TextTest, AnotherSourceOrOptionIsRefusedUntilReplaced) {
  ASSERT_OK(MakeTextDataset(Options(Paragraphs(100)), DataDir()).status());
  EXPECT_THAT(MakeTextDataset(Options(Paragraphs(101)), DataDir()).status(),
              StatusIs(absl::StatusCode::kAlreadyExists,
                       AllOf(HasSubstr("'corpus'"), HasSubstr("--replace"))));
  TextOptions options = Options(Paragraphs(100));
  options.heldout_fraction = 0.3;
  EXPECT_THAT(MakeTextDataset(options, DataDir()).status(),
              StatusIs(absl::StatusCode::kAlreadyExists, HasSubstr("--heldout 0.3")));
  options.replace = true;
  ASSERT_OK_AND_ASSIGN(const MadeDataset replaced, MakeTextDataset(options, DataDir()));
  EXPECT_THAT(replaced.manifest.generator, HasSubstr("--heldout 0.3 "));
  EXPECT_OK(VerifyDataset(Folder()).status());
}

TEST_F(TextTest, InterruptedMakeIsNoDatasetAndIsMadeAnew) {
  ASSERT_OK_AND_ASSIGN(const MadeDataset whole,
                       MakeTextDataset(Options(Paragraphs(100)), DataDir()));
  // As a kill before the last step leaves it, with a shard of a longer corpus.
  std::filesystem::remove(Folder() + "/dataset.json");
  ASSERT_OK(WriteFileAtomically(Folder() + "/train-00001.npy", "half"));
  EXPECT_THAT(TokenDataset::Open(Folder()).status(), StatusIs(absl::StatusCode::kNotFound));
  ASSERT_OK_AND_ASSIGN(const std::vector<FoundDataset> none, FindDatasets(DataDir()));
  EXPECT_THAT(none, IsEmpty());
  ASSERT_OK_AND_ASSIGN(const MadeDataset again,
                       MakeTextDataset(Options(Paragraphs(100)), DataDir()));
  EXPECT_FALSE(again.existed);
  EXPECT_EQ(again.manifest.hash, whole.manifest.hash);
  EXPECT_FALSE(std::filesystem::exists(Folder() + "/train-00001.npy"));
}

TEST_F(TextTest, AFailedReplacementLeavesTheOldDataset) {
  ASSERT_OK_AND_ASSIGN(const MadeDataset old, MakeTextDataset(Options(Paragraphs(100)), DataDir()));
  for (const std::string text : {"one paragraph",
                                 "\xFF\xFE"
                                 "a",
                                 "%PDF-1.7"}) {
    TextOptions options = Options(text);
    options.replace = true;
    EXPECT_FALSE(MakeTextDataset(options, DataDir()).ok()) << text;
    ASSERT_OK_AND_ASSIGN(const Manifest there, VerifyDataset(Folder()));
    EXPECT_EQ(there.hash, old.manifest.hash);
  }
  TextOptions inside = Options(Paragraphs(50));
  inside.replace = true;
  inside.inputs = {Folder() + "/train-00000.npy"};
  inside.encoding = "bytes";
  EXPECT_THAT(MakeTextDataset(inside, DataDir()).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("lies in")));
  EXPECT_OK(VerifyDataset(Folder()).status());
}

TEST_F(TextTest, WindowsLineEndsSeparateParagraphsAndAreSaidInTheSource) {
  const std::string crlf = absl::StrReplaceAll(Paragraphs(100), {{"\n", "\r\n"}});
  ASSERT_OK_AND_ASSIGN(const MadeDataset made, MakeTextDataset(Options(crlf), DataDir()));
  EXPECT_EQ(made.manifest.documents, 100);
  EXPECT_THAT(made.manifest.source, HasSubstr("CRLF read as LF"));
  EXPECT_THAT(made.notes, ::testing::ElementsAre(HasSubstr("input.txt: 300 lines end with CRLF")));
}

TEST_F(TextTest, WhatWasLeftOutIsSaid) {
  TextOptions options = Options(Paragraphs(50) + Paragraphs(60));
  options.max_bytes = 1100;
  ASSERT_OK_AND_ASSIGN(const MadeDataset made, MakeTextDataset(options, DataDir()));
  EXPECT_EQ(made.from, absl::StrCat(made.manifest.documents, " documents"));
  ASSERT_EQ(made.left_out.size(), made.duplicates > 0 ? 2u : 1u);
  EXPECT_THAT(made.left_out.back(), HasSubstr("beyond --max-bytes 1100"));
}

TEST_F(TextTest, DamagedDatasetIsNotTakenForTheSame) {
  ASSERT_OK(MakeTextDataset(Options(Paragraphs(100)), DataDir()).status());
  std::filesystem::resize_file(Folder() + "/train-00000.npy", 200);
  EXPECT_THAT(MakeTextDataset(Options(Paragraphs(100)), DataDir()).status(),
              StatusIs(absl::StatusCode::kDataLoss,
                       AllOf(HasSubstr("train-00000.npy"), HasSubstr("--replace"))));
}

TEST_F(TextTest, TwoMakesOfOneNameAtOnceBothSucceedWithOneDataset) {
  const TextOptions options = Options(Paragraphs(2000));
  std::vector<MadeDataset> made(4);
  std::vector<std::thread> threads;
  for (MadeDataset& one : made) {
    threads.emplace_back([&] {
      auto result = MakeTextDataset(options, DataDir());
      ASSERT_OK(result);
      one = *std::move(result);
    });
  }
  for (std::thread& thread : threads) thread.join();
  int existed = 0;
  for (const MadeDataset& one : made) {
    EXPECT_EQ(one.manifest.hash, made[0].manifest.hash);
    existed += one.existed ? 1 : 0;
  }
  EXPECT_EQ(existed, 3);
  EXPECT_OK(VerifyDataset(Folder()).status());
}

TEST_F(TextTest, MaxBytesStopsAfterTheDocumentThatPassesIt) {
  TextOptions options = Options(Paragraphs(1000));
  options.max_bytes = 2000;
  ASSERT_OK_AND_ASSIGN(const MadeDataset made, MakeTextDataset(options, DataDir()));
  const int64_t documents = made.manifest.documents;
  const int64_t text = made.manifest.unique_tokens + made.manifest.heldout_tokens - 2 * documents;
  EXPECT_GE(text, 2000);
  EXPECT_LT(text, 2000 + 30);
}

TEST_F(TextTest, SeveralFilesFollowEachOther) {
  TextOptions options = Options(Paragraphs(100));
  ASSERT_OK(WriteFileAtomically(folder_.Path("second.txt"), "Another file.\n\nIts end.\n"));
  options.inputs.push_back(folder_.Path("second.txt"));
  ASSERT_OK_AND_ASSIGN(const MadeDataset made, MakeTextDataset(options, DataDir()));
  EXPECT_EQ(made.manifest.documents, 102);
  EXPECT_THAT(made.manifest.source, AllOf(HasSubstr("input.txt ("), HasSubstr("; second.txt (")));
  EXPECT_EQ(made.manifest.licence, "unknown; unknown");
}

TEST_F(TextTest, BadOptionsAreNamedWithWhatIsAllowed) {
  const auto refusal = [&](auto change) {
    TextOptions options = Options(Paragraphs(100));
    change(options);
    return MakeTextDataset(options, DataDir()).status();
  };
  const auto code = absl::StatusCode::kInvalidArgument;
  EXPECT_THAT(refusal([](TextOptions& o) { o.name = "a/b"; }), StatusIs(code, HasSubstr("'a/b'")));
  EXPECT_THAT(refusal([](TextOptions& o) { o.inputs.clear(); }),
              StatusIs(code, HasSubstr("input")));
  EXPECT_THAT(refusal([](TextOptions& o) { o.tokenizer = "bpe"; }),
              StatusIs(code, AllOf(HasSubstr("'bpe'"), HasSubstr("chars"))));
  EXPECT_THAT(refusal([](TextOptions& o) { o.heldout_fraction = 1; }),
              StatusIs(code, HasSubstr("fraction 1:")));
  EXPECT_THAT(refusal([](TextOptions& o) { o.max_bytes = -1; }), StatusIs(code, HasSubstr("-1")));
  EXPECT_THAT(refusal([](TextOptions& o) { o.documents = "pages"; }),
              StatusIs(code, HasSubstr("'pages'")));
  EXPECT_FALSE(std::filesystem::exists(DataDir()));
}

TEST_F(TextTest, SplitWithoutADocumentIsRefused) {
  EXPECT_THAT(MakeTextDataset(Options("only one document\n"), DataDir()).status(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("none of the 1 documents"), HasSubstr("split"))));
  EXPECT_THAT(MakeTextDataset(Options("\n\n"), DataDir()).status(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("none of its 2 bytes is in a document")));
  EXPECT_FALSE(std::filesystem::exists(Folder() + "/dataset.json"));
}

TEST_F(TextTest, VerifyFindsOneChangedByteAndAChangedTokenizer) {
  ASSERT_OK(MakeTextDataset(Options(Paragraphs(100)), DataDir()).status());
  ASSERT_OK(VerifyDataset(Folder()).status());
  const std::string path = Folder() + "/train-00000.npy";
  const std::string shard = *ReadFile(path);
  std::string changed = shard;
  changed.back() = static_cast<char>(changed.back() ^ 1);
  ASSERT_OK(WriteFileAtomically(path, changed));
  EXPECT_THAT(VerifyDataset(Folder()),
              StatusIs(absl::StatusCode::kDataLoss, AllOf(HasSubstr(path), HasSubstr("hash"))));
  ASSERT_OK(WriteFileAtomically(path, shard));
  ASSERT_OK_AND_ASSIGN(Manifest manifest, ReadManifestFile(Folder()));
  std::swap(manifest.token_bytes[1], manifest.token_bytes[2]);
  ASSERT_OK(WriteFileAtomically(Folder() + "/dataset.json", ManifestJson(manifest)));
  EXPECT_THAT(VerifyDataset(Folder()),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("tokenizer_hash")));
}

}  // namespace
}  // namespace allometry::data
