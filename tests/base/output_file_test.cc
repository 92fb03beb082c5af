#include "base/output_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/files.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temporary_folder.h"

namespace allometry {
namespace {

namespace fs = std::filesystem;
using ::allometry::testing::IsOkAndHolds;
using ::allometry::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

class OutputFileTest : public ::testing::Test {
 protected:
  std::vector<std::string> Names() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder_.path())) {
      names.push_back(entry.path().filename().string());
    }
    return names;
  }
  static int ModeOf(const std::string& path) {
    struct stat info {};
    return stat(path.c_str(), &info) == 0 ? static_cast<int>(info.st_mode & 07777) : -1;
  }

  const allometry::testing::TemporaryFolder folder_;
  const std::string path_ = folder_.Path("x");
};

TEST_F(OutputFileTest, WhatIsThereStaysUntilTheNewOneIsWhole) {
  ASSERT_OK(WriteFileAtomically(path_, "old"));
  {
    ASSERT_OK_AND_ASSIGN(const std::unique_ptr<OutputFile> file, OutputFile::Create(path_, {}));
    ASSERT_OK(file->Append("new"));
    EXPECT_THAT(ReadFile(path_), IsOkAndHolds("old"));
  }
  EXPECT_THAT(ReadFile(path_), IsOkAndHolds("old"));
  EXPECT_THAT(Names(), ElementsAre("x"));
  ASSERT_OK(WriteOutput(path_, "new", {}));
  EXPECT_THAT(ReadFile(path_), IsOkAndHolds("new"));
  EXPECT_THAT(Names(), ElementsAre("x"));
}

TEST_F(OutputFileTest, OnlyAnEarlierOutputOfItsKindIsReplaced) {
  const OutputOptions picture = {.kind = "a picture", .beginnings = {"<svg", "<?xml"}};
  ASSERT_OK(WriteOutput(path_, "<svg>1</svg>", picture));
  ASSERT_OK(WriteOutput(path_, "<?xml?><svg>2</svg>", picture));
  ASSERT_OK(WriteFileAtomically(path_, ""));
  ASSERT_OK(WriteOutput(path_, "<svg>3</svg>", picture));
  for (const char* other : {"name: sweep\nsizes: [1k]\n", "<sv",
                            "\x7f"
                            "ELF",
                            "\n"}) {
    ASSERT_OK(WriteFileAtomically(path_, other));
    EXPECT_THAT(WriteOutput(path_, "<svg>4</svg>", picture),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("is not a picture")));
    EXPECT_THAT(ReadFile(path_), IsOkAndHolds(other));
  }
  ASSERT_OK(WriteFileAtomically(path_, "name: sweep\nsizes: [1k]\n"));
  EXPECT_THAT(CheckOutput(path_, picture),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("(it begins with 'name: sweep'): it was not written")));
}

TEST_F(OutputFileTest, AnInputIsRefusedAlsoThroughALink) {
  ASSERT_OK(WriteFileAtomically(path_, "data"));
  fs::create_symlink("x", folder_.Path("soft"));
  fs::create_hard_link(path_, folder_.Path("hard"));
  for (const std::string& name :
       {path_, folder_.Path("soft"), folder_.Path("hard"), folder_.Path("./x"),
        folder_.Path("../" + fs::path(folder_.path()).filename().string() + "/x")}) {
    EXPECT_THAT(WriteOutput(name, "new", {.inputs = {"-", "", path_}}),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("is the input")))
        << name;
    EXPECT_THAT(WriteOutput(path_, "new", {.inputs = {name}}),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("is the input")))
        << name;
  }
  EXPECT_THAT(ReadFile(path_), IsOkAndHolds("data"));
}

TEST_F(OutputFileTest, AnInputThatBecomesTheOutputMeanwhileIsRefused) {
  ASSERT_OK(WriteFileAtomically(path_, "data"));
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<OutputFile> file,
                       OutputFile::Create(folder_.Path("out"), {.inputs = {path_}}));
  ASSERT_OK(file->Append("new"));
  fs::create_symlink("x", folder_.Path("out"));
  EXPECT_THAT(file->Commit(), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("input")));
  EXPECT_THAT(ReadFile(path_), IsOkAndHolds("data"));
}

TEST_F(OutputFileTest, ALinkStaysAndItsTargetIsReplaced) {
  ASSERT_OK(WriteFileAtomically(path_, "old"));
  fs::create_symlink("x", folder_.Path("link"));
  fs::create_symlink("not there", folder_.Path("dangling"));
  ASSERT_OK(WriteOutput(folder_.Path("link"), "new", {}));
  ASSERT_OK(WriteOutput(folder_.Path("dangling"), "made", {}));
  EXPECT_TRUE(fs::is_symlink(folder_.Path("link")));
  EXPECT_THAT(ReadFile(path_), IsOkAndHolds("new"));
  EXPECT_THAT(ReadFile(folder_.Path("not there")), IsOkAndHolds("made"));
  EXPECT_THAT(Names(), UnorderedElementsAre("x", "link", "dangling", "not there"));
}

TEST_F(OutputFileTest, PermissionsStayAndNewOnesFollowTheUmask) {
  const mode_t before = umask(027);
  ASSERT_OK(WriteOutput(path_, "1", {}));
  EXPECT_EQ(ModeOf(path_), 0640);
  ASSERT_OK(WriteOutput(folder_.Path("secret"), "1", {.only_owner = true}));
  EXPECT_EQ(ModeOf(folder_.Path("secret")), 0600);
  ASSERT_EQ(chmod(path_.c_str(), 0604), 0);
  ASSERT_OK(WriteOutput(path_, "2", {}));
  EXPECT_EQ(ModeOf(path_), 0604);
  ASSERT_OK(WriteOutput(path_, "3", {.only_owner = true}));
  EXPECT_EQ(ModeOf(path_), 0600);
  umask(before);
}

TEST_F(OutputFileTest, AFolderIsRefused) {
  EXPECT_THAT(WriteOutput(folder_.path(), "x", {}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("is a folder")));
}

TEST_F(OutputFileTest, AFolderThatDoesNotExistIsNamedBeforeTheWork) {
  EXPECT_THAT(CheckOutput(folder_.Path("none/x.csv"), {}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr(folder_.Path("none") + " does not exist")));
  EXPECT_OK(CheckOutput("x-that-is-not-there.csv", {}));
}

TEST_F(OutputFileTest, DevicesAndPipesAreWrittenToAndStay) {
  ASSERT_OK(WriteOutput("/dev/null", "x", {}));
  EXPECT_TRUE(fs::is_character_file("/dev/null"));
  EXPECT_THAT(WriteOutput("/dev/full", "x", {}),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("No space left")));
  ASSERT_EQ(mkfifo(path_.c_str(), 0600), 0);
  const int reader = open(path_.c_str(), O_RDONLY | O_NONBLOCK);
  ASSERT_GE(reader, 0);
  ASSERT_OK(WriteOutput(path_, "through", {}));
  char got[16] = {};
  EXPECT_EQ(read(reader, got, sizeof(got)), 7);
  EXPECT_STREQ(got, "through");
  close(reader);
  EXPECT_TRUE(fs::is_fifo(path_));
}

// Another open file description is another program, as far as these locks know.
TEST_F(OutputFileTest, AFileThatAnotherProgramHoldsLockedIsRefused) {
  ASSERT_OK(WriteFileAtomically(path_, "served"));
  const int fd = open(path_.c_str(), O_RDWR | O_CLOEXEC);
  ASSERT_GE(fd, 0);
  const auto expect_refused = [&](const std::string& name) {
    EXPECT_THAT(WriteOutput(name, "new", {.may_replace_database = true}),
                StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("in use")));
    EXPECT_THAT(ReadFile(path_), IsOkAndHolds("served"));
  };
  ASSERT_EQ(flock(fd, LOCK_EX | LOCK_NB), 0);
  expect_refused(path_);
  ASSERT_EQ(flock(fd, LOCK_UN), 0);
  struct flock far {};
  far.l_type = F_WRLCK;
  far.l_whence = SEEK_SET;
  far.l_start = int64_t{1} << 40;
  far.l_len = 1;
  ASSERT_EQ(fcntl(fd, F_OFD_SETLK, &far), 0);
  expect_refused(path_);
  expect_refused(path_ + "-wal");
  expect_refused(path_ + "-shm");
  expect_refused(path_ + ".lock");
  fs::create_symlink("x", folder_.Path("link"));
  expect_refused(folder_.Path("link"));
  close(fd);
  EXPECT_OK(WriteOutput(path_, "new", {}));
}

TEST_F(OutputFileTest, ADatabaseIsReplacedOnlyWhereOneIsMeant) {
  const std::string database = std::string("SQLite format 3\0", 16) + "pages";
  ASSERT_OK(WriteFileAtomically(path_, database));
  EXPECT_THAT(WriteOutput(path_, "csv", {}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("is a database")));
  EXPECT_THAT(WriteOutput(path_ + "-wal", "csv", {}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("is a database")));
  ASSERT_OK(WriteOutput(path_, "copy", {.may_replace_database = true}));
  EXPECT_THAT(ReadFile(path_), IsOkAndHolds("copy"));
}

}  // namespace
}  // namespace allometry
