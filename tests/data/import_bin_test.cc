#include "data/import_bin.h"

#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/files.h"
#include "data/npy.h"
#include "data/verify.h"
#include "data/windows.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temporary_folder.h"
#include "tests/testing/token_dataset.h"

namespace allometry::data {
namespace {

using ::allometry::testing::PatternedTokens;
using ::allometry::testing::StatusIs;
using ::allometry::testing::TemporaryFolder;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

// Ids as raw numbers of one type, little-endian or the other way round.
template <class Word>
std::string Raw(const std::vector<uint32_t>& ids, bool big_endian = false) {
  std::string bytes;
  for (const uint32_t id : ids) {
    const auto word = static_cast<Word>(id);
    std::string one(reinterpret_cast<const char*>(&word), sizeof(word));
    if (big_endian) one.assign(one.rbegin(), one.rend());
    bytes += one;
  }
  return bytes;
}

std::string Npy(const std::string& descr, const std::string& shape, const std::string& elements,
                const std::string& order = "False") {
  std::string dict =
      absl::StrCat("{'descr': ", descr, ", 'fortran_order': ", order, ", 'shape': ", shape, ", }");
  dict.resize(117, ' ');
  dict += '\n';
  return absl::StrCat(absl::string_view("\x93NUMPY\x01\x00\x76\x00", 10), dict, elements);
}

std::string Llmc(int32_t magic, int32_t version, int32_t tokens, const std::string& ids) {
  std::vector<int32_t> header(256);
  header[0] = magic;
  header[1] = version;
  header[2] = tokens;
  return std::string(reinterpret_cast<const char*>(header.data()), 1024) + ids;
}

class ImportBinTest : public ::testing::Test {
 protected:
  void SetUp() override {
    Write(std::string("\x01\x00\x50\xc4\x02\x01", 6));
    ASSERT_OK(WriteFileAtomically(options_.heldout, std::string("\x03\x00\x04\x00", 4)));
  }
  void Write(const std::string& train) { ASSERT_OK(WriteFileAtomically(options_.train, train)); }
  absl::StatusOr<MadeDataset> Import() { return ImportBin(options_, folder_.path()); }
  // What `train` is refused with.
  absl::Status Refusal(const std::string& train) {
    Write(train);
    return Import().status();
  }
  // The ids of the train split.
  std::vector<int32_t> Read() {
    const auto dataset = TokenDataset::Open(folder_.Path("web"));
    EXPECT_OK(dataset.status());
    std::vector<int32_t> ids(static_cast<size_t>(dataset->train().size()));
    EXPECT_OK(dataset->train().Read(0, ids));
    return ids;
  }
  std::vector<int32_t> Imported(const std::string& train) {
    Write(train);
    options_.replace = true;
    const auto made = Import();
    EXPECT_OK(made.status());
    return made.ok() ? Read() : std::vector<int32_t>();
  }

  TemporaryFolder folder_;
  ImportBinOptions options_ = {
      .name = "web", .train = folder_.Path("train.bin"), .heldout = folder_.Path("val.bin")};
};

TEST_F(ImportBinTest, IdsAndSplitsStayAsTheyAre) {
  ASSERT_OK_AND_ASSIGN(const MadeDataset made, Import());
  EXPECT_FALSE(made.existed);
  EXPECT_EQ(made.from, "3 + 2 token ids (raw u16)");
  EXPECT_THAT(made.left_out, IsEmpty());
  EXPECT_THAT(made.notes, IsEmpty());
  ASSERT_OK_AND_ASSIGN(const TokenDataset dataset, TokenDataset::Open(folder_.Path("web")));
  std::vector<int32_t> heldout(2);
  ASSERT_OK(dataset.heldout().Read(0, heldout));
  EXPECT_THAT(Read(), ElementsAre(1, 50256, 258));
  EXPECT_THAT(heldout, ElementsAre(3, 4));
  EXPECT_EQ(dataset.manifest().tokenizer, "gpt2");
  // As before there was another type: so stored runs find their dataset again.
  EXPECT_EQ(dataset.manifest().generator,
            "allo data import-bin --vocabulary 50257 --tokenizer gpt2");
  EXPECT_OK(VerifyDataset(folder_.Path("web")).status());
  ASSERT_OK_AND_ASSIGN(const MadeDataset again, Import());
  EXPECT_TRUE(again.existed);
}

TEST_F(ImportBinTest, IdOutsideTheVocabularyAndOddSizesAreNamed) {
  options_.vocabulary = 50256;
  EXPECT_THAT(Import().status(),
              StatusIs(absl::StatusCode::kOutOfRange,
                       AllOf(HasSubstr("train.bin"), HasSubstr("id 50256 at token 1"),
                             HasSubstr("0 to 50255"))));
  EXPECT_FALSE(std::filesystem::exists(folder_.Path("web")));
  options_.vocabulary = int64_t{1} << 40;
  EXPECT_THAT(Import().status(), StatusIs(kInvalid, HasSubstr("1099511627776")));
  options_.vocabulary = 50257;
  EXPECT_THAT(Refusal("abc"),
              StatusIs(kInvalid, AllOf(HasSubstr("train.bin"), HasSubstr("3 bytes"))));
  options_.dtype = "u64";
  EXPECT_THAT(Import().status(), StatusIs(kInvalid, HasSubstr("'u64'")));
}

TEST_F(ImportBinTest, AFailedReplacementLeavesTheOldDataset) {
  ASSERT_OK(Import().status());
  options_.replace = true;
  EXPECT_THAT(Refusal(Raw<uint16_t>({1, 2, 60000})), StatusIs(absl::StatusCode::kOutOfRange));
  EXPECT_THAT(Read(), ElementsAre(1, 50256, 258));
  EXPECT_OK(VerifyDataset(folder_.Path("web")).status());
}

TEST_F(ImportBinTest, IdsOfMoreBitsAreToldByTheirStatistics) {
  const std::vector<uint32_t> gpt2 = PatternedTokens(5000, 50257);
  EXPECT_THAT(Refusal(Raw<uint32_t>(gpt2)),
              StatusIs(kInvalid, AllOf(HasSubstr("32-bit ids"), HasSubstr("--dtype u32"))));
  EXPECT_THAT(Refusal(Raw<uint64_t>(gpt2)),
              StatusIs(kInvalid, AllOf(HasSubstr("64-bit ids"), HasSubstr("--dtype i64"))));
  EXPECT_THAT(Refusal(Raw<uint32_t>(PatternedTokens(5000, 99))),
              StatusIs(kInvalid, HasSubstr("--dtype u32")));
  // Ids that need more than 16 bits, and negative ones.
  EXPECT_THAT(Refusal(Raw<uint32_t>(PatternedTokens(5000, 128256))),
              StatusIs(kInvalid, HasSubstr("32-bit ids")));
  std::vector<uint32_t> padded = gpt2;
  padded[100] = static_cast<uint32_t>(-100);
  EXPECT_THAT(Refusal(Raw<uint32_t>(padded)), StatusIs(kInvalid, HasSubstr("32-bit ids")));
  // 16-bit ids of any vocabulary are not suspected.
  for (const int64_t vocabulary : {2, 12, 99, 256, 5000, 50257}) {
    EXPECT_EQ(Imported(Raw<uint16_t>(PatternedTokens(5000, vocabulary))).size(), 5000u)
        << vocabulary;
  }
  // Who names the type is believed.
  options_.dtype = "u16";
  EXPECT_EQ(Imported(Raw<uint32_t>(gpt2)).size(), 10000u);
  options_.dtype = "u32";
  ASSERT_OK(WriteFileAtomically(options_.heldout, Raw<uint32_t>({3, 4})));
  const std::vector<int32_t> ids = Imported(Raw<uint32_t>(gpt2));
  EXPECT_EQ(ids, std::vector<int32_t>(gpt2.begin(), gpt2.end()));
  options_.dtype = "i32";
  EXPECT_THAT(Refusal(Raw<uint32_t>(padded)),
              StatusIs(absl::StatusCode::kOutOfRange, HasSubstr("id -100 at token 100")));
}

TEST_F(ImportBinTest, TheOtherByteOrderAndTheOtherWidthAreTold) {
  const std::vector<uint32_t> ids = PatternedTokens(5000, 5000);
  options_.vocabulary = 5000;
  EXPECT_THAT(Refusal(Raw<uint16_t>(ids, true)), StatusIs(kInvalid, HasSubstr("big-endian")));
  options_.vocabulary = 100'000;
  EXPECT_THAT(Refusal(Raw<uint16_t>(ids)), StatusIs(kInvalid, HasSubstr("--dtype u16")));
}

TEST_F(ImportBinTest, AVocabularyOfMoreThan16BitsHas32BitIds) {
  options_.vocabulary = 128'256;
  ASSERT_OK(WriteFileAtomically(options_.heldout, Raw<uint32_t>({3, 128'255})));
  EXPECT_THAT(Imported(Raw<uint32_t>({100'000, 7})), ElementsAre(100'000, 7));
  ASSERT_OK_AND_ASSIGN(const Manifest manifest, VerifyDataset(folder_.Path("web")));
  EXPECT_EQ(manifest.shards[0].dtype, "u32");
}

TEST_F(ImportBinTest, LlmcHeadersAreReadAndTheirCountsCompared) {
  EXPECT_THAT(Imported(Llmc(20240520, 1, 3, Raw<uint16_t>({5, 6, 7}))), ElementsAre(5, 6, 7));
  EXPECT_THAT(Imported(Llmc(20240801, 7, 2, Raw<uint32_t>({5, 6}))), ElementsAre(5, 6));
  EXPECT_THAT(Refusal(Llmc(20240520, 1, 4, Raw<uint16_t>({5, 6, 7}))),
              StatusIs(absl::StatusCode::kDataLoss, AllOf(HasSubstr("4 ids"), HasSubstr("1030"))));
  EXPECT_THAT(Refusal(Llmc(20240520, 2, 3, Raw<uint16_t>({5, 6, 7}))),
              StatusIs(kInvalid, HasSubstr("version 2")));
  EXPECT_THAT(Refusal(Llmc(20240520, 1, -1, "")), StatusIs(kInvalid, HasSubstr("-1 tokens")));
  EXPECT_THAT(Refusal(Llmc(20240520, 1, 3, "").substr(0, 40)),
              StatusIs(kInvalid, HasSubstr("llm.c")));
}

TEST_F(ImportBinTest, NumpyArraysOfIntegersAreConverted) {
  const std::vector<uint32_t> ids = {5, 60, 7};
  for (const auto& [descr, elements] : {std::pair("'<u2'", Raw<uint16_t>(ids)),
                                        {"'|u1'", Raw<uint8_t>(ids)},
                                        {"'<u4'", Raw<uint32_t>(ids)},
                                        {"'<i4'", Raw<uint32_t>(ids)},
                                        {"'<i8'", Raw<uint64_t>(ids)},
                                        {"'>u2'", Raw<uint16_t>(ids, true)},
                                        {"'>i8'", Raw<uint64_t>(ids, true)}}) {
    EXPECT_THAT(Imported(Npy(descr, "(3,)", elements)), ElementsAre(5, 60, 7)) << descr;
    EXPECT_THAT(Imported(Npy(descr, "(3,)", elements, "True")), ElementsAre(5, 60, 7)) << descr;
  }
  EXPECT_THAT(Refusal(Npy("'<i4'", "(2,)", Raw<uint32_t>({1, 0xFFFFFFFF}))),
              StatusIs(absl::StatusCode::kOutOfRange, HasSubstr("id -1 at token 1")));
  EXPECT_THAT(Refusal(Npy("'<u8'", "(1,)", std::string(8, '\xFF'))),
              StatusIs(absl::StatusCode::kOutOfRange));
}

TEST_F(ImportBinTest, OtherNumpyArraysAreRefusedWithWhatTheyAre) {
  const std::string four(16, '\0');
  EXPECT_THAT(Refusal(Npy("'<f4'", "(4,)", four)), StatusIs(kInvalid, HasSubstr("'<f4'")));
  EXPECT_THAT(Refusal(Npy("'|b1'", "(16,)", four)), StatusIs(kInvalid, HasSubstr("'|b1'")));
  EXPECT_THAT(Refusal(Npy("'<U4'", "(1,)", four)), StatusIs(kInvalid, HasSubstr("'<U4'")));
  EXPECT_THAT(Refusal(Npy("[('a', '<u2'), ('b', '<u2')]", "(4,)", four)),
              StatusIs(kInvalid, HasSubstr("('a'")));
  EXPECT_THAT(Refusal(Npy("'<u2'", "(2, 4)", four)), StatusIs(kInvalid, HasSubstr("(2, 4)")));
  EXPECT_THAT(Refusal(Npy("'<u2'", "()", four)), StatusIs(kInvalid, HasSubstr("one dimension")));
  EXPECT_THAT(Refusal(Npy("'<u2'", "(9,)", four)),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("9 ids")));
  EXPECT_THAT(Refusal(Npy("'<u2'", "(7,)", four)),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("7 ids")));
  EXPECT_THAT(Refusal(Npy("'<u2'", "(0,)", "")), StatusIs(kInvalid, HasSubstr("has no ids")));
  EXPECT_THAT(Refusal(Npy("'<u2'", "(99999999999999999999,)", four)),
              StatusIs(kInvalid, HasSubstr("not sizes")));
  EXPECT_THAT(Refusal(Npy("'<u2'", "(4611686018427387904, 4)", four)),
              StatusIs(kInvalid, HasSubstr("not sizes")));
  EXPECT_THAT(Refusal(Npy("'<u2'", "(8,)", four).substr(0, 60)),
              StatusIs(kInvalid, HasSubstr("cut off")));
}

TEST_F(ImportBinTest, FilesOfAnotherKindAreNamed) {
  const std::string rest(300, '\x07');
  for (const auto& [bytes, name] : {std::pair<std::string, const char*>("\x1F\x8B\x08", "gzip"),
                                    {"\x28\xB5\x2F\xFD", "zstd"},
                                    {std::string("\xFD\x37zXZ\0", 6), "xz"},
                                    {"BZh91AY", "bzip2"},
                                    {"PK\x03\x04 npz", "zip archive"},
                                    {"PAR1\x15\x04", "Parquet"},
                                    {"\x89HDF\r\n\x1A\n", "HDF5"}}) {
    EXPECT_THAT(Refusal(bytes + rest),
                StatusIs(kInvalid, AllOf(HasSubstr(name), HasSubstr("not token ids"))));
  }
  std::string npz = "PK\x03\x04" + std::string(26, '\0') + "arr_0.npy";
  EXPECT_THAT(Refusal(npz + rest), StatusIs(kInvalid, HasSubstr(".npz")));
  EXPECT_THAT(Refusal("A text of some length."), StatusIs(kInvalid, HasSubstr("allo data text")));
  EXPECT_THAT(Refusal(""), StatusIs(kInvalid, HasSubstr("is empty")));
  options_.train = folder_.path();
  EXPECT_THAT(Import().status(), StatusIs(kInvalid, HasSubstr("a folder")));
  options_.train = "/dev/zero";
  EXPECT_THAT(Import().status(), StatusIs(kInvalid, HasSubstr("a device")));
  options_.train = folder_.Path("none");
  EXPECT_THAT(Import().status(), StatusIs(absl::StatusCode::kNotFound, HasSubstr("none")));
}

TEST_F(ImportBinTest, OneFileForBothSplitsIsRefused) {
  options_.heldout = options_.train;
  EXPECT_THAT(Import().status(), StatusIs(kInvalid, HasSubstr("the same ids")));
}

TEST_F(ImportBinTest, AVocabularyFarAboveEveryIdIsRemarkedOn) {
  Write(Raw<uint16_t>({1, 2, 98}));
  ASSERT_OK_AND_ASSIGN(const MadeDataset made, Import());
  EXPECT_THAT(made.notes, ElementsAre(HasSubstr("largest id is 98")));
}

}  // namespace
}  // namespace allometry::data
