// A database as version 1 of the schema left it, in the middle of a sweep: it is migrated beside a
// backup, and the sweep goes on.
#include <filesystem>
#include <string>

#include "base/files.h"
#include "coordinator/store/schema.h"
#include "coordinator/store/sqlite.h"
#include "tests/store/store_fixture.h"

namespace allometry::store {
namespace {

using allometry::testing::IsOk;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr char kToken[] = "0123456789abcdef0123456789abcdef";

// Rows in the columns of version 1: run 1 half done, held by agent "a", with points up to step 50
// and a checkpoint at 30; a fit that somebody made.
constexpr char kSweep[] = R"sql(
INSERT INTO datasets VALUES ('00000000000000aa', 'text', '{}', 5000);
INSERT INTO sweeps VALUES (1, 'old', '00000000000000aa', 'paper', '6nd', 4.0, 3, 'a: too large', 17);
INSERT INTO expansions VALUES (1, 1, 'old.yaml', 'name: old', 17);
)sql";
constexpr char kRowsOfTheRun[] = R"sql(
INSERT INTO cells VALUES (1, 1, '40k', 1000, 5025.0, 0.0, 5000, 50, 3e7, 1.0),
                         (2, 1, '40k', 1000, 10050.0, 0.0, 10000, 100, 6e7, 2.0);
INSERT INTO points VALUES (1, 1, 20, 2000, 3.95, 1), (1, 1, 50, 5000, 3.5, 1),
                          (1, 2, 10, 1000, 4.0, 1);
INSERT INTO checkpoints VALUES (1, 1, 30, 'attempt-1/checkpoint-000000000030.safetensors',
                                '0123456789abcdef', 1234, 'root-a', 'GOOD', 18);
INSERT INTO agents VALUES ('a', 'host-a', 'root-a', '0.1.0', 17);
INSERT INTO agent_slots VALUES ('a', 0, 'host-a', 'cpu:0');
INSERT INTO events VALUES (1, 1, 0, 17, 'submitted');
INSERT INTO fits VALUES ('f', 1, 'fit', '{}', '{"a": 1}', 'a table', 'fitting 1', 19);
)sql";

class MigrationTest : public StoreFixture {
 protected:
  std::unique_ptr<Connection> Connect(const std::string& path) {
    auto db = Connection::Open(path, Connection::Mode::kReadWrite, 1000);
    ALLO_CHECK(db.ok()) << db.status();
    return *std::move(db);
  }

  void MakeVersion1() {
    store_.reset();
    std::filesystem::remove(path_);
    const auto db = Connect(path_);
    ASSERT_OK(Migrate(*db, Migrations().subspan(0, 1)));
    ASSERT_OK(db->Execute(kSweep));
    const v1::RunSpec spec = MakeSpec(100, {20, 50, 100});
    const std::string bytes = spec.SerializeAsString();
    ASSERT_OK(
        db->Prepare("INSERT INTO runs VALUES (1, 1, 'key-40k', '40k', 1000, 2, 1, 16, 16, 64, "
                    "100, 0.01, 10, 1, 1, 100, 900, 100, 0, 0, 0, 6000.0, 7000.0, ?1, "
                    "'LEASED', '', '', 1, 2, 0, 50, 1e5, 4.0, 3.5)")
            .With(Blob{bytes})
            .Run());
    ASSERT_OK(db->Execute(kRowsOfTheRun));
    ASSERT_OK(db->Prepare("INSERT INTO attempts VALUES (1, 1, ?2, 'a', 'host-a', 'root-a', "
                          "'host-a/cpu:0', 'LEASED', '', NULL, 0, '', ?1, 5, 0, 1, 'host-a', 2, "
                          "'cpu', 'x', 'y', 'z', '', '', 0, 17, 0)")
                  .With(Blob{bytes}, absl::string_view(kToken))
                  .Run());
  }

  static v1::Lease OldLease() {
    v1::Lease lease;
    lease.set_run_id(1);
    lease.set_attempt(1);
    lease.set_token(kToken);
    return lease;
  }
};

// Released: files with it exist. A new column is a new script.
TEST_F(MigrationTest, TextOfVersion1IsWhatItWas) {
  EXPECT_EQ(HashHex(Migrations()[0]), "fdb9a66483560bad");
}

TEST_F(MigrationTest, SweepOfAVersion1FileGoesOnToItsEnd) {
  MakeVersion1();
  Reopen();
  EXPECT_THAT(Sql("PRAGMA user_version"), ElementsAre(absl::StrCat(Migrations().size())));
  EXPECT_THAT(Sql("PRAGMA integrity_check"), ElementsAre("ok"));
  EXPECT_THAT(Sql("PRAGMA foreign_key_check"), IsEmpty());

  ASSERT_OK_AND_ASSIGN(const StoredSweep sweep, store_->GetSweep("old"));
  EXPECT_EQ(sweep.sweep.priority(), 3);
  EXPECT_EQ(sweep.sweep.max_run_hours(), 0);
  EXPECT_EQ(sweep.newest_text, "name: old");
  EXPECT_EQ(sweep.sweep.imported(), "");
  EXPECT_EQ(sweep.sweep.user(), "");
  EXPECT_FALSE(sweep.sweep.user_is_claimed());
  EXPECT_EQ(sweep.sweep.note(), "");
  EXPECT_FALSE(sweep.sweep.archived());
  EXPECT_DOUBLE_EQ(sweep.sweep.best_loss(), 3.5);
  ASSERT_EQ(sweep.runs.size(), 1u);
  EXPECT_EQ(sweep.runs[0].state(), v1::LEASED);
  EXPECT_EQ(sweep.runs[0].failures(), 2);
  EXPECT_EQ(sweep.runs[0].checkpoint().step(), 30);
  EXPECT_EQ(sweep.runs[0].stage(), "");
  ASSERT_EQ(sweep.cells.size(), 2u);
  EXPECT_TRUE(sweep.cells[0].done());
  EXPECT_FALSE(sweep.cells[1].done());
  EXPECT_THAT(Sql("SELECT fit_id FROM fits"), ElementsAre("f"));

  // The agent that held the run delivers the rest, as if nothing had been.
  Spool spool(OldLease());
  std::vector<v1::Record> records = {spool.Point(60, "train", 3.4),
                                     spool.Point(100, "heldout", 3.1),
                                     spool.Exit(v1::SUCCEEDED, 100)};
  for (size_t i = 0; i < records.size(); ++i) records[i].set_sequence(6 + i);
  EXPECT_EQ(Append(spool.Batch(records)).durable_sequence(), 8u);
  EXPECT_EQ(GetRun().state(), v1::RUN_SUCCEEDED);
  ASSERT_OK_AND_ASSIGN(const auto curve, store_->Curve(1, "heldout"));
  EXPECT_EQ(curve.size(), 3u);
}

TEST_F(MigrationTest, AttemptsOfAnOlderFileThatSentPointsGotGoing) {
  MakeVersion1();
  Reopen();
  EXPECT_THAT(Sql("SELECT got_going, charged_to_host FROM attempts"), ElementsAre("1|0"));
  EXPECT_THAT(Sql("SELECT failures, tries FROM runs"), ElementsAre("2|"));
}

TEST_F(MigrationTest, SweepOfAnOlderFileIsLabelledAndDeleted) {
  MakeVersion1();
  Reopen();
  LabelChange labels;
  labels.add_tags = {"old"};
  labels.note = "from version 1";
  ASSERT_OK(store_->Label("old", labels));
  ASSERT_OK(store_->Cancel("old", {}));
  Spool spool(OldLease());
  std::vector<v1::Record> exit = {spool.Exit(v1::CANCELLED_BY_USER, 50)};
  exit[0].set_sequence(6);
  Append(spool.Batch(exit));
  ASSERT_OK(store_->Delete("old", {}, [] { return false; }));
  EXPECT_THAT(Sql("SELECT root_id, run_id, run_key FROM deletable_runs"),
              ElementsAre("root-a|1|key-40k"));
  EXPECT_THAT(Sql("SELECT (SELECT count(*) FROM runs) + (SELECT count(*) FROM points)"),
              ElementsAre("0"));
  ASSERT_OK(store_->Submit(MakeSubmission()));
  EXPECT_THAT(Sql("SELECT run_id FROM runs"), ElementsAre("2"));
}

TEST_F(MigrationTest, FileBeforeTheMigrationLiesBesideIt) {
  MakeVersion1();
  Reopen();
  const auto backup = Connect(path_ + ".v1.backup");
  EXPECT_THAT(backup->QueryInt("PRAGMA user_version"), testing::IsOkAndHolds(1));
  EXPECT_THAT(backup->QueryInt("SELECT count(*) FROM points"), testing::IsOkAndHolds(3));
  EXPECT_THAT(
      backup->QueryInt("SELECT count(*) FROM pragma_table_info('runs') WHERE name = 'stage'"),
      testing::IsOkAndHolds(0));
  // Opened again, it is what it is: nothing migrates twice.
  Reopen();
  EXPECT_OK(store_->GetSweep("old"));
}

}  // namespace
}  // namespace allometry::store
