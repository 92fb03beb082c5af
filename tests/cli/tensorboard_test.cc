#include "cli/tensorboard.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "base/files.h"
#include "tests/testing/temporary_folder.h"

namespace allometry::cli {
namespace {

using ::allometry::testing::TemporaryFolder;
using ::testing::HasSubstr;

// RFC 3720 B.4: 32 bytes of zeros, of ones, and ascending.
TEST(Crc32cTest, AgreesWithTheRfc) {
  EXPECT_EQ(Crc32c(std::string(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(Crc32c(std::string(32, '\xff')), 0x62a8ab43u);
  std::string ascending;
  for (int i = 0; i < 32; ++i) ascending.push_back(static_cast<char>(i));
  EXPECT_EQ(Crc32c(ascending), 0x46dd794eu);
}

// The first record of a file that TensorFlow 2 writes, but for its wall time.
TEST(TensorboardTest, HeadIsTheVersionOfTheFormat) {
  const std::string head = TensorboardHead();
  uint64_t length = 0;
  std::memcpy(&length, head.data(), sizeof(length));
  ASSERT_EQ(length, 15u);
  EXPECT_EQ(head.substr(12, 15),
            "\x1a\x0d"
            "brain.Event:2");
  EXPECT_EQ(head.size(), 8 + 4 + 15 + 4u);
}

TEST(TensorboardTest, AFolderARunAndWhatHasNoValueIsLeftOut) {
  const TemporaryFolder folder;
  TensorboardFolder board(folder.Path("board"));
  ASSERT_TRUE(board
                  .AddCsv("run_id,size,series,step,tokens,value,attempt\n"
                          "7,40k,heldout,10,5120,3.5,1\n7,40k,train,10,5120,,1\n")
                  .ok());
  ASSERT_TRUE(board.AddCsv("8,\"a,b/..\",train,20,5120,2.5,1\n").ok());
  const auto files = board.Finish();
  ASSERT_TRUE(files.ok()) << files.status();
  EXPECT_EQ(*files, 2);
  const auto first = ReadFile(folder.Path("board/run-7-40k/events.out.tfevents.0.allometry"));
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(*first, TensorboardHead() + TensorboardScalar("heldout", 10, 3.5));
  EXPECT_TRUE(ReadFile(folder.Path("board/run-8-a_b_../events.out.tfevents.0.allometry")).ok());
  EXPECT_THAT(std::string(board.AddCsv("nonsense\n").message()),
              HasSubstr("not a loss point: nonsense"));
}

}  // namespace
}  // namespace allometry::cli
