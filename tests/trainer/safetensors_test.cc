#include "worker/trainer/safetensors.h"

#include <cstring>
#include <filesystem>
#include <fstream>

#include "base/files.h"
#include "nlohmann/json.hpp"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temporary_folder.h"

namespace allometry::trainer {
namespace {

using ::allometry::testing::IsOk;
using ::allometry::testing::StatusIs;
using ::testing::HasSubstr;

class SafetensorsTest : public ::testing::Test {
 protected:
  void WriteTwo() {
    const NamedTensor tensors[] = {{"a.weight", {2, 3}, a_}, {"b", {2}, b_}};
    ASSERT_THAT(WriteSafetensors(path_, {{"step", "12"}, {"note", "\"quoted\"\n"}}, tensors),
                IsOk());
  }
  // The file made of this header and `data` bytes of zeros.
  void WriteRaw(const std::string& header, size_t data) {
    const uint64_t length = header.size();
    std::ofstream file(path_, std::ios::binary | std::ios::trunc);
    file.write(reinterpret_cast<const char*>(&length), sizeof length);
    file << header << std::string(data, '\0');
  }

  testing::TemporaryFolder folder_;
  const std::string path_ = folder_.path() + "/x.safetensors";
  std::vector<float> a_ = {1, -0.0f, 3e-45f, 4, 5.5f, 6};
  std::vector<float> b_ = {7, 8};
};

TEST_F(SafetensorsTest, ValuesAndMetadataRoundTripBitForBit) {
  WriteTwo();
  const auto file = SafetensorsFile::Open(path_);
  ASSERT_THAT(file, IsOk());
  EXPECT_EQ(file->metadata(), (Metadata{{"step", "12"}, {"note", "\"quoted\"\n"}}));
  EXPECT_EQ(file->tensor_count(), 2u);
  std::vector<float> a(6), b(2);
  ASSERT_THAT(file->Read("a.weight", {2, 3}, a), IsOk());
  ASSERT_THAT(file->Read("b", {2}, b), IsOk());
  EXPECT_EQ(std::memcmp(a.data(), a_.data(), sizeof(float) * a.size()), 0);
  EXPECT_EQ(b, b_);
  EXPECT_FALSE(std::filesystem::exists(path_ + ".tmp"));
}

TEST_F(SafetensorsTest, LayoutIsTheFormatsOwn) {
  WriteTwo();
  const std::string bytes = *ReadFile(path_);
  uint64_t length;
  std::memcpy(&length, bytes.data(), sizeof length);
  EXPECT_EQ(length % 8, 0u);
  const auto header = nlohmann::json::parse(bytes.substr(8, length));
  EXPECT_EQ(header["a.weight"]["dtype"], "F32");
  EXPECT_EQ(header["a.weight"]["shape"], (std::vector<int>{2, 3}));
  EXPECT_EQ(header["a.weight"]["data_offsets"], (std::vector<int>{0, 24}));
  EXPECT_EQ(header["b"]["data_offsets"], (std::vector<int>{24, 32}));
  EXPECT_EQ(bytes.size(), 8 + length + 32);
}

TEST_F(SafetensorsTest, FileCutAnywhereIsDataLoss) {
  WriteTwo();
  const std::string bytes = *ReadFile(path_);
  for (size_t size = 0; size < bytes.size(); ++size) {
    std::ofstream(path_, std::ios::binary | std::ios::trunc) << bytes.substr(0, size);
    EXPECT_THAT(SafetensorsFile::Open(path_),
                StatusIs(absl::StatusCode::kDataLoss, HasSubstr(path_)))
        << size;
  }
  std::ofstream(path_, std::ios::binary | std::ios::trunc) << bytes << "x";
  EXPECT_THAT(SafetensorsFile::Open(path_),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("33 bytes")));
}

TEST_F(SafetensorsTest, HeaderThatLiesIsDataLoss) {
  struct Case {
    const char* header;
    size_t data;
    const char* said;
  };
  const Case kCases[] = {
      {"[1]", 0, "not a JSON object"},
      {"{", 0, "not a JSON object"},
      {R"({"a": 3})", 0, "tensor a lacks"},
      {R"({"a": {"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})", 4, "tensor a lacks"},
      {R"({"a": {"dtype":"F32","shape":[1],"data_offsets":[0]}})", 4, "tensor a lacks"},
      {R"({"a": {"dtype":"F32","shape":[1],"data_offsets":[0,8]}})", 4, "bytes 0 to 8 of 4"},
      {R"({"a": {"dtype":"F32","shape":[1],"data_offsets":[4,0]}})", 4, "bytes 4 to 0 of 4"},
      {R"({"a": {"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", 8, "gap or overlap"},
      {R"({"a": {"dtype":"F32","shape":[1],"data_offsets":[0,4]},
           "b": {"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
       4, "gap or overlap"},
      {R"({"a": {"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 8, "its tensors cover 4"},
      {R"({"__metadata__": {"step": 1}})", 0, "metadata step is not a string"},
  };
  for (const Case& lie : kCases) {
    WriteRaw(lie.header, lie.data);
    EXPECT_THAT(SafetensorsFile::Open(path_),
                StatusIs(absl::StatusCode::kDataLoss, HasSubstr(lie.said)))
        << lie.header;
  }
}

TEST_F(SafetensorsTest, WrongNameShapeTypeAndSizeAreToldApart) {
  WriteTwo();
  std::vector<float> six(6), two(2), one(1);
  {
    const auto file = SafetensorsFile::Open(path_);
    ASSERT_THAT(file, IsOk());
    EXPECT_THAT(file->Read("c", {2}, two),
                StatusIs(absl::StatusCode::kDataLoss, HasSubstr("no tensor c")));
    EXPECT_THAT(file->Read("a.weight", {3, 2}, six),
                StatusIs(absl::StatusCode::kDataLoss, HasSubstr("is F32 [2, 3], not F32 [3, 2]")));
    EXPECT_THAT(file->MetadataValue("steps"),
                StatusIs(absl::StatusCode::kNotFound, HasSubstr("steps")));
  }
  WriteRaw(R"({"a": {"dtype":"F16","shape":[2],"data_offsets":[0,4]}})", 4);
  EXPECT_THAT(SafetensorsFile::Open(path_)->Read("a", {2}, two),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("is F16")));
  WriteRaw(R"({"a": {"dtype":"F32","shape":[1],"data_offsets":[0,8]}})", 8);
  EXPECT_THAT(SafetensorsFile::Open(path_)->Read("a", {1}, one),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("has 8 bytes; its shape needs 4")));
}

TEST_F(SafetensorsTest, FailedWriteLeavesTheOldFile) {
  WriteTwo();
  const std::string before = *ReadFile(path_);
  std::filesystem::create_directory(path_ + ".tmp");  // the temporary file cannot be made
  const NamedTensor tensors[] = {{"b", {2}, b_}};
  EXPECT_FALSE(WriteSafetensors(path_, {}, tensors).ok());
  EXPECT_EQ(*ReadFile(path_), before);
}

}  // namespace
}  // namespace allometry::trainer
