#include "base/files.h"

#include <sys/stat.h>

#include <cerrno>
#include <filesystem>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace allometry {
namespace {

using ::allometry::testing::IsOkAndHolds;
using ::allometry::testing::StatusIs;
using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A folder of its own for every test, removed afterwards.
class FilesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::path(::testing::TempDir()) / ("files_test_" + RandomHex128());
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string Path(const std::string& name) const { return (folder_ / name).string(); }
  std::vector<std::string> Names() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
      names.push_back(entry.path().filename().string());
    }
    return names;
  }

  std::filesystem::path folder_;
};

TEST_F(FilesTest, WrittenFileReadsBackWithZeroBytesAndLeavesNothingElse) {
  const std::string contents("a\0b\n\xff", 5);
  ASSERT_OK(WriteFileAtomically(Path("x"), contents));
  EXPECT_THAT(ReadFile(Path("x")), IsOkAndHolds(contents));
  ASSERT_OK(WriteFileAtomically(Path("x"), ""));
  EXPECT_THAT(ReadFile(Path("x")), IsOkAndHolds(""));
  EXPECT_THAT(Names(), ElementsAre("x"));
}

TEST_F(FilesTest, MissingFileIsNotFoundByPath) {
  EXPECT_THAT(ReadFile(Path("none")), StatusIs(absl::StatusCode::kNotFound,
                                               AllOf(HasSubstr(Path("none")), HasSubstr("open"))));
  EXPECT_THAT(HashFileHex(Path("none")), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(WriteFileAtomically(Path("no/folder"), "x"), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(FilesTest, FolderInTheWayKeepsTheFolderAndLeavesNoTemporaryFile) {
  ASSERT_OK(MakeDirectories(Path("x/inside")));
  EXPECT_FALSE(WriteFileAtomically(Path("x"), "y").ok());
  EXPECT_THAT(Names(), ElementsAre("x"));
}

TEST_F(FilesTest, ErrnoDecidesTheCode) {
  const auto code = [](int error) {
    errno = error;
    return ErrnoStatus("p", "write").code();
  };
  EXPECT_EQ(code(ENOSPC), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(code(EDQUOT), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(code(EACCES), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(code(EIO), absl::StatusCode::kUnavailable);
}

TEST_F(FilesTest, ConcurrentWritersOfOnePathLeaveOneWholeFile) {
  const std::string a(1 << 16, 'a'), b(1 << 12, 'b');
  std::thread other([&] {
    for (int i = 0; i < 20; ++i) EXPECT_OK(WriteFileAtomically(Path("x"), b));
  });
  for (int i = 0; i < 20; ++i) EXPECT_OK(WriteFileAtomically(Path("x"), a));
  other.join();
  EXPECT_THAT(ReadFile(Path("x")), AnyOf(IsOkAndHolds(a), IsOkAndHolds(b)));
  EXPECT_THAT(Names(), ElementsAre("x"));
}

TEST_F(FilesTest, MakeDirectoriesIsMkdirWithParents) {
  ASSERT_OK(MakeDirectories(Path("a/b/c")));
  ASSERT_OK(MakeDirectories(Path("a/b/c")));
  EXPECT_TRUE(std::filesystem::is_directory(folder_ / "a/b/c"));
  ASSERT_OK(WriteFileAtomically(Path("file"), ""));
  EXPECT_FALSE(MakeDirectories(Path("file/below")).ok());
}

TEST_F(FilesTest, HashOfBytesIsTheStoredXxh3) {
  EXPECT_EQ(HashHex(""), "2d06800538d394c2");  // XXH3_64bits of nothing, xxhsum -H3
  EXPECT_NE(HashHex("a"), HashHex("b"));
}

TEST_F(FilesTest, HashOfAFileReadInPiecesEqualsTheHashOfItsBytes) {
  std::string contents;
  for (int i = 0; contents.size() < (5u << 20) / 2; ++i) contents += std::to_string(i);
  ASSERT_OK(WriteFileAtomically(Path("x"), contents));
  EXPECT_THAT(HashFileHex(Path("x")), IsOkAndHolds(HashHex(contents)));
}

TEST_F(FilesTest, RandomIdsAreDistinctHexDigits) {
  std::set<std::string> ids;
  for (int i = 0; i < 100; ++i) {
    const std::string id = RandomHex128();
    EXPECT_EQ(id.size(), 32u);
    EXPECT_EQ(id.find_first_not_of("0123456789abcdef"), std::string::npos) << id;
    ids.insert(id);
  }
  EXPECT_EQ(ids.size(), 100u);
}

// Such a file is waited for, or read, without end.
TEST_F(FilesTest, PipesAndDevicesAreNoFiles) {
  ASSERT_EQ(mkfifo(Path("fifo").c_str(), 0600), 0);
  std::filesystem::create_symlink("/dev/zero", Path("zero"));
  for (const char* name : {"fifo", "zero"}) {
    EXPECT_THAT(ReadFile(Path(name)),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("a file is expected")));
    EXPECT_THAT(HashFileHex(Path(name)), StatusIs(absl::StatusCode::kInvalidArgument));
  }
  EXPECT_THAT(ReadFile("/dev/zero"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("longer than")));
  EXPECT_THAT(ReadFile("/dev/null"), IsOkAndHolds(""));
}

TEST_F(FilesTest, AFileIsReadUpToItsLimit) {
  ASSERT_OK(WriteFileAtomically(Path("x"), "12345"));
  EXPECT_THAT(ReadFile(Path("x"), 5), IsOkAndHolds("12345"));
  EXPECT_THAT(ReadFile(Path("x"), 4), StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace allometry
