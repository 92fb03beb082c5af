#include "data/import_bin.h"

#include <string>
#include <vector>

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
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class ImportBinTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK(WriteFileAtomically(options_.train, std::string("\x01\x00\x50\xc4\x02\x01", 6)));
    ASSERT_OK(WriteFileAtomically(options_.heldout, std::string("\x03\x00\x04\x00", 4)));
  }

  TemporaryFolder folder_;
  ImportBinOptions options_ = {
      .name = "web", .train = folder_.Path("train.bin"), .heldout = folder_.Path("val.bin")};
  bool existed_ = false;
};

TEST_F(ImportBinTest, IdsAndSplitsStayAsTheyAre) {
  ASSERT_OK(ImportBin(options_, folder_.path(), &existed_).status());
  EXPECT_FALSE(existed_);
  ASSERT_OK_AND_ASSIGN(const TokenDataset dataset, TokenDataset::Open(folder_.Path("web")));
  std::vector<int32_t> train(3), heldout(2);
  ASSERT_OK(dataset.train().Read(0, train));
  ASSERT_OK(dataset.heldout().Read(0, heldout));
  EXPECT_THAT(train, ElementsAre(1, 50256, 258));
  EXPECT_THAT(heldout, ElementsAre(3, 4));
  EXPECT_EQ(dataset.manifest().tokenizer, "gpt2");
  EXPECT_OK(VerifyDataset(folder_.Path("web")).status());
  ASSERT_OK(ImportBin(options_, folder_.path(), &existed_).status());
  EXPECT_TRUE(existed_);
}

TEST_F(ImportBinTest, IdOutsideTheVocabularyAndOddSizesAreNamed) {
  options_.vocabulary = 50256;
  EXPECT_THAT(ImportBin(options_, folder_.path(), &existed_).status(),
              StatusIs(absl::StatusCode::kOutOfRange,
                       AllOf(HasSubstr("train.bin"), HasSubstr("id 50256 at token 1"))));
  EXPECT_THAT(TokenDataset::Open(folder_.Path("web")).status(),
              StatusIs(absl::StatusCode::kNotFound));
  options_.vocabulary = 70000;
  EXPECT_THAT(ImportBin(options_, folder_.path(), &existed_).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("70000")));
  options_.vocabulary = 50257;
  ASSERT_OK(WriteFileAtomically(options_.heldout, "abc"));
  EXPECT_THAT(ImportBin(options_, folder_.path(), &existed_).status(),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("val.bin"), HasSubstr("3 bytes"))));
}

}  // namespace
}  // namespace allometry::data
