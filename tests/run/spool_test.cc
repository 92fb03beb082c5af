#include "run/spool.h"

#include <sys/stat.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/files.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace allometry::run {
namespace {

using testing::HasSubstr;

class SpoolTest : public testing::Test {
 protected:
  SpoolTest() {
    dir_ = absl::StrCat(testing::TempDir(), "/spool_",
                        testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::remove_all(dir_);
  }
  ~SpoolTest() override { std::filesystem::remove_all(dir_); }

  // A spool of `count` train points, steps 1..count.
  void WritePoints(int count) {
    auto writer = SpoolWriter::Create(dir_);
    ASSERT_TRUE(writer.ok()) << writer.status();
    for (int step = 1; step <= count; ++step) {
      (*writer)->Append(Point{step, step * 64, "train", 1.0 / step});
    }
    ASSERT_TRUE((*writer)->Flush().ok());
  }
  std::string Bytes() { return *ReadFile(SpoolPath(dir_)); }
  void SetBytes(const std::string& bytes) {
    std::ofstream(SpoolPath(dir_), std::ios::binary | std::ios::trunc) << bytes;
  }
  void AppendBytes(const std::string& bytes) {
    std::ofstream(SpoolPath(dir_), std::ios::binary | std::ios::app) << bytes;
  }

  std::string dir_;
};

const Point& PointOf(const Record& record) { return std::get<Point>(record.body); }

TEST_F(SpoolTest, EveryKindRoundTripsInOrder) {
  auto writer = SpoolWriter::Create(dir_);
  ASSERT_TRUE(writer.ok()) << writer.status();
  (*writer)->Append(
      ExecutionConfig{2, "a,b", 8, "cpu", "Xeon \"x\"", "0.1", "autograd", 1234, "1.0"});
  (*writer)->Append(Point{10, 640, "heldout/frame=3", 0.1 + 0.2});
  (*writer)->Append(CheckpointRecord{10, "attempt-1/x", "00ff", int64_t{1} << 40});
  (*writer)->Append(ExitRecord{ExitReason::kOom, "line\nbreak \xff", 10});
  ASSERT_TRUE((*writer)->Sync().ok());
  EXPECT_EQ((*writer)->last_sequence(), 4u);

  SpoolReader reader(dir_);
  const auto records = reader.Read(100);
  ASSERT_TRUE(records.ok()) << records.status();
  ASSERT_EQ(records->size(), 4u);
  for (size_t i = 0; i < 4; ++i) EXPECT_EQ((*records)[i].sequence, i + 1);
  const auto& numerics = std::get<ExecutionConfig>((*records)[0].body);
  EXPECT_EQ(numerics.ranks, 2);
  EXPECT_EQ(numerics.hosts, "a,b");
  EXPECT_EQ(numerics.micro_batch, 8);
  EXPECT_EQ(numerics.device, "cpu");
  EXPECT_EQ(numerics.device_model, "Xeon \"x\"");
  EXPECT_EQ(numerics.trainer_build, "0.1");
  EXPECT_EQ(numerics.step_backend, "autograd");
  EXPECT_EQ(PointOf((*records)[1]).step, 10);
  EXPECT_EQ(PointOf((*records)[1]).tokens, 640);
  EXPECT_EQ(PointOf((*records)[1]).series, "heldout/frame=3");
  EXPECT_EQ(PointOf((*records)[1]).value, 0.1 + 0.2);
  const auto& checkpoint = std::get<CheckpointRecord>((*records)[2].body);
  EXPECT_EQ(checkpoint.step, 10);
  EXPECT_EQ(checkpoint.file, "attempt-1/x");
  EXPECT_EQ(checkpoint.hash, "00ff");
  EXPECT_EQ(checkpoint.bytes, int64_t{1} << 40);
  const auto& exit = std::get<ExitRecord>((*records)[3].body);
  EXPECT_EQ(exit.reason, ExitReason::kOom);
  EXPECT_EQ(exit.message, "line\nbreak \xef\xbf\xbd");  // bytes that are no text are replaced
  EXPECT_EQ(exit.step, 10);
  EXPECT_TRUE(reader.Read(100)->empty());
}

TEST_F(SpoolTest, DoublesRoundTripBitForBit) {
  using Limits = std::numeric_limits<double>;
  for (double value : {0.0, -0.0, 1.0 / 3, Limits::min(), Limits::denorm_min(), Limits::max(),
                       -1e22, 4.0, 0.1 + 0.2, std::nextafter(1.0, 2.0)}) {
    const auto record = DecodeRecord(EncodeRecord({1, Point{1, 2, "x", value}}));
    ASSERT_TRUE(record.ok()) << record.status();
    ASSERT_TRUE(PointOf(*record).value.has_value());
    EXPECT_EQ(*PointOf(*record).value, value);
    EXPECT_EQ(std::signbit(*PointOf(*record).value), std::signbit(value));
  }
}

TEST_F(SpoolTest, NonFiniteValueIsNull) {
  const std::optional<double> kValues[] = {std::nullopt, NAN, INFINITY, -INFINITY};
  for (const auto& value : kValues) {
    const std::string line = EncodeRecord({1, Point{1, 2, "train", value}});
    EXPECT_THAT(line, HasSubstr("\"value\":null"));
    EXPECT_EQ(PointOf(*DecodeRecord(line)).value, std::nullopt);
  }
}

TEST_F(SpoolTest, DamagedLineIsDataLossAndIntactNonsenseIsInvalid) {
  const std::string line = EncodeRecord({7, Point{1, 2, "train", 3.5}});
  for (size_t i = 0; i < line.size(); ++i) {
    std::string damaged = line;
    damaged[i] ^= 1;
    EXPECT_EQ(DecodeRecord(damaged).status().code(), absl::StatusCode::kDataLoss) << i;
  }
  EXPECT_EQ(DecodeRecord("").status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(DecodeRecord("\n").status().code(), absl::StatusCode::kDataLoss);

  for (const char* json :
       {"[]", "no json", R"({"seq":1})", R"({"seq":1,"kind":7})",
        R"({"seq":0,"kind":"exit","reason":"OOM","message":"","step":1})",
        R"({"seq":1,"kind":"exit","reason":"BORED","message":"","step":1})",
        R"({"seq":1,"kind":"point","step":1,"tokens":2,"series":"a"})",
        R"({"seq":1,"kind":"point","step":1,"tokens":2,"series":"a","value":""})"}) {
    const std::string text = absl::StrCat(HashHex(json), " ", json, "\n");
    EXPECT_EQ(DecodeRecord(text).status().code(), absl::StatusCode::kInvalidArgument) << json;
  }
}

// As any language's zlib makes it: python3 -c 'import zlib; print("%08x" % zlib.crc32(b"..."))'.
TEST_F(SpoolTest, ALineMayCarryACrc32Instead) {
  const std::string json = R"({"seq":1,"kind":"point","step":1,"tokens":2,"series":"a","value":3})";
  const auto record = DecodeRecord("7b3f3030 " + json + "\n");
  ASSERT_TRUE(record.ok()) << record.status();
  EXPECT_EQ(PointOf(*record).value, 3);
  EXPECT_EQ(DecodeRecord("7b3f3031 " + json + "\n").status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(DecodeRecord("b3f3030 " + json + "\n").status().code(), absl::StatusCode::kDataLoss);
}

TEST_F(SpoolTest, WhatANewerTrainerAddsIsPassedOver) {
  const auto decode = [](const std::string& json) {
    return DecodeRecord(absl::StrCat(HashHex(json), " ", json, "\n"));
  };
  const auto more = decode(R"({"seq":1,"kind":"exit","reason":"OOM","message":"","step":1,"x":2})");
  ASSERT_TRUE(more.ok()) << more.status();
  EXPECT_EQ(std::get<ExitRecord>(more->body).reason, ExitReason::kOom);
  const auto other = decode(R"({"seq":4,"kind":"song"})");
  ASSERT_TRUE(other.ok()) << other.status();
  EXPECT_EQ(other->sequence, 4u);
  EXPECT_EQ(std::get<UnknownRecord>(other->body).kind, "song");
}

TEST_F(SpoolTest, ATrainerMaySayItsParameterCountAndNothingElse) {
  const std::string json = R"({"seq":1,"kind":"numerics","params":1234,"contract":"1.0"})";
  const auto record = DecodeRecord(absl::StrCat(HashHex(json), " ", json, "\n"));
  ASSERT_TRUE(record.ok()) << record.status();
  EXPECT_EQ(std::get<ExecutionConfig>(record->body).params, 1234);
  EXPECT_EQ(std::get<ExecutionConfig>(record->body).contract, "1.0");
}

TEST_F(SpoolTest, ReaderMayComeBeforeTheFileAndTailsIt) {
  SpoolReader reader(dir_);
  EXPECT_TRUE(reader.Read(10)->empty());
  auto writer = SpoolWriter::Create(dir_);
  ASSERT_TRUE(writer.ok());
  EXPECT_TRUE(reader.Read(10)->empty());
  (*writer)->Append(Point{1, 1, "train", 1.0});
  EXPECT_TRUE(reader.Read(10)->empty());  // buffered, not flushed
  ASSERT_TRUE((*writer)->Flush().ok());
  EXPECT_EQ(reader.Read(10)->size(), 1u);
  for (int step = 2; step <= 6; ++step) (*writer)->Append(Point{step, 1, "train", 1.0});
  ASSERT_TRUE((*writer)->Flush().ok());
  EXPECT_EQ(reader.Read(2)->size(), 2u);
  const auto rest = reader.Read(10);
  ASSERT_EQ(rest->size(), 3u);
  EXPECT_EQ(PointOf(rest->back()).step, 6);
}

TEST_F(SpoolTest, ManyRecordsCrossReadBoundaries) {
  WritePoints(20000);  // over a megabyte
  SpoolReader reader(dir_);
  int next = 1;
  for (;;) {
    const auto records = reader.Read(777);
    ASSERT_TRUE(records.ok()) << records.status();
    if (records->empty()) break;
    for (const Record& record : *records) ASSERT_EQ(PointOf(record).step, next++);
  }
  EXPECT_EQ(next, 20001);
}

TEST_F(SpoolTest, LineCutAnywhereReadsAsNoneYetUntilItIsCompleted) {
  WritePoints(3);
  const std::string whole = Bytes();
  const size_t last_line = whole.rfind('\n', whole.size() - 2) + 1;
  for (size_t cut = last_line; cut < whole.size(); ++cut) {
    SetBytes(whole.substr(0, cut));
    SpoolReader reader(dir_);
    ASSERT_EQ(reader.Read(10)->size(), 2u) << cut;
    ASSERT_TRUE(reader.Read(10)->empty()) << cut;
    AppendBytes(whole.substr(cut));
    ASSERT_EQ(reader.Read(10)->size(), 1u) << cut;
  }
}

TEST_F(SpoolTest, BadHashAtTheEndIsATornTail) {
  WritePoints(2);
  AppendBytes(std::string(100, '\0') + "\n0123456789abcdef {\"seq\":3}\nxx");
  SpoolReader reader(dir_);
  EXPECT_EQ(reader.Read(10)->size(), 2u);
  const auto records = reader.Read(10);
  ASSERT_TRUE(records.ok()) << records.status();
  EXPECT_TRUE(records->empty());
}

TEST_F(SpoolTest, DamageBeforeTheTailIsDataLossWithItsOffset) {
  WritePoints(4);
  std::string bytes = Bytes();
  const size_t second = bytes.find('\n') + 1;
  bytes[second + 30] ^= 1;
  SetBytes(bytes);
  SpoolReader reader(dir_);
  EXPECT_EQ(reader.Read(10)->size(), 1u);  // what precedes the damage is delivered
  for (int call = 0; call < 2; ++call) {
    const auto records = reader.Read(10);
    EXPECT_EQ(records.status().code(), absl::StatusCode::kDataLoss);
    EXPECT_THAT(std::string(records.status().message()),
                HasSubstr(absl::StrCat("byte ", second, ":")));
  }
  EXPECT_EQ(SpoolWriter::Continue(dir_).status().code(), absl::StatusCode::kDataLoss);
}

TEST_F(SpoolTest, GapAndRepetitionInTheSequenceAreDataLoss) {
  for (uint64_t next : {1u, 2u, 4u}) {
    WritePoints(2);
    AppendBytes(EncodeRecord({next, Point{9, 9, "train", 1.0}}));
    SpoolReader reader(dir_);
    EXPECT_EQ(reader.Read(10)->size(), 2u);
    const auto records = reader.Read(10);
    EXPECT_EQ(records.status().code(), absl::StatusCode::kDataLoss);
    EXPECT_THAT(std::string(records.status().message()),
                HasSubstr(absl::StrCat("the record after 2 is number ", next)));
    std::filesystem::remove(SpoolPath(dir_));
  }
}

TEST_F(SpoolTest, SeekAfterDeliversTheNextRecord) {
  WritePoints(3000);
  SpoolReader reader(dir_);
  ASSERT_TRUE(reader.SeekAfter(2500).ok());
  EXPECT_EQ((*reader.Read(1))[0].sequence, 2501u);
  ASSERT_TRUE(reader.SeekAfter(0).ok());
  EXPECT_EQ((*reader.Read(1))[0].sequence, 1u);
  ASSERT_TRUE(reader.SeekAfter(3000).ok());
  EXPECT_TRUE(reader.Read(1)->empty());
  const absl::Status past = reader.SeekAfter(3001);
  EXPECT_EQ(past.code(), absl::StatusCode::kOutOfRange);
  EXPECT_THAT(std::string(past.message()), HasSubstr("ends at record 3000"));
}

TEST_F(SpoolTest, AnAttemptRunsOnce) {
  ASSERT_TRUE(SpoolWriter::Create(dir_).ok());
  ASSERT_TRUE(SpoolWriter::Create(dir_).ok());  // no record was written
  WritePoints(1);
  EXPECT_EQ(SpoolWriter::Create(dir_).status().code(), absl::StatusCode::kAlreadyExists);
}

TEST_F(SpoolTest, ContinueReplacesTheTornTailUnderAReader) {
  WritePoints(3);
  AppendBytes("0123456789abcdef {\"seq\":4,\"kind\":\"point\",\"step\":4,\"toke");
  SpoolReader reader(dir_);
  EXPECT_EQ(reader.Read(10)->size(), 3u);
  EXPECT_TRUE(reader.Read(10)->empty());

  auto writer = SpoolWriter::Continue(dir_);
  ASSERT_TRUE(writer.ok()) << writer.status();
  EXPECT_EQ((*writer)->last_sequence(), 3u);
  (*writer)->Append(ExitRecord{ExitReason::kKilled, "signal 9", 3});
  ASSERT_TRUE((*writer)->Flush().ok());

  const auto records = reader.Read(10);
  ASSERT_TRUE(records.ok()) << records.status();
  ASSERT_EQ(records->size(), 1u);
  EXPECT_EQ((*records)[0].sequence, 4u);
  EXPECT_EQ(std::get<ExitRecord>((*records)[0].body).reason, ExitReason::kKilled);
}

TEST_F(SpoolTest, ContinueWorksWhereTheTrainerDiedBeforeItsSpool) {
  auto writer = SpoolWriter::Continue(dir_);
  ASSERT_TRUE(writer.ok()) << writer.status();
  (*writer)->Append(ExitRecord{ExitReason::kKilled, "", 0});
  ASSERT_TRUE((*writer)->Sync().ok());
  SpoolReader reader(dir_);
  EXPECT_EQ(reader.Read(10)->size(), 1u);
}

// A trainer may write what it likes.
TEST_F(SpoolTest, ARecordThatIsNestedDeeplyIsRefused) {
  const std::string text = "{\"seq\":1,\"kind\":" + std::string(100'000, '[');
  EXPECT_EQ(DecodeRecord(absl::StrCat(HashHex(text), " ", text, "\n")).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(SpoolTest, ALineWithoutAnEndIsDamageAndNotReadForEver) {
  WritePoints(2);
  AppendBytes(std::string(9 << 20, 'x'));
  SpoolReader reader(dir_);
  auto records = reader.Read(10);
  for (int i = 0; i < 3 && records.ok(); ++i) records = reader.Read(10);
  EXPECT_EQ(records.status().code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(records.status().message()), HasSubstr("a line of more than"));
}

TEST_F(SpoolTest, APipeIsNoSpool) {
  std::filesystem::create_directories(dir_);
  ASSERT_EQ(mkfifo(SpoolPath(dir_).c_str(), 0600), 0);
  SpoolReader reader(dir_);
  EXPECT_EQ(reader.Read(1).status().code(), absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace allometry::run
