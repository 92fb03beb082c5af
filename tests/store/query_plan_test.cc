// How SQLite answers what the store asks: by its indices. A query that walks a whole large table
// works in every other test and fails a researcher with a million points.
//
// The statements are those that really run: a trace of every connection while the store is used.
#include <sqlite3.h>

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "base/mutex.h"
#include "tests/store/store_fixture.h"

namespace allometry::store {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Filled by any thread of the store; read when the store is closed.
class Trace {
 public:
  static Trace& Get() {
    static Trace trace;
    return trace;
  }
  void Add(const std::string& sql) {
    MutexLock lock(mutex_);
    statements_.insert(sql);
  }
  std::set<std::string> Take() {
    MutexLock lock(mutex_);
    return std::exchange(statements_, {});
  }

 private:
  Mutex mutex_;
  std::set<std::string> statements_ ALLO_GUARDED_BY(mutex_);
};

int OnStatement(unsigned, void*, void* statement, void*) {
  if (const char* sql = sqlite3_sql(static_cast<sqlite3_stmt*>(statement)); sql != nullptr) {
    Trace::Get().Add(sql);
  }
  return 0;
}

// Called by SQLite for every connection that is opened.
int TraceConnection(sqlite3* db, char**, const void*) {
  return sqlite3_trace_v2(db, SQLITE_TRACE_STMT, OnStatement, nullptr);
}
using Extension = void (*)();

class QueryPlanTest : public StoreFixture {
 protected:
  QueryPlanTest() {
    sqlite3_auto_extension(reinterpret_cast<Extension>(TraceConnection));
    Reopen();
    Trace::Get().Take();
  }
  ~QueryPlanTest() override {
    sqlite3_cancel_auto_extension(reinterpret_cast<Extension>(TraceConnection));
  }

  std::vector<std::string> Plan(const std::string& sql) {
    std::vector<std::string> plan;
    for (const std::string& line : Sql("EXPLAIN QUERY PLAN " + sql)) {
      plan.push_back(std::vector<std::string>(absl::StrSplit(line, '|')).back());
    }
    return plan;
  }

  // The lines of the plan that read a large table, by any of its names in the store's queries, from
  // one end to the other.
  std::vector<std::string> WholeTables(const std::string& sql) {
    static const std::set<std::string> kLarge = {
        "points",   "p", "archived_points", "runs",        "r",     "cells", "c",
        "attempts", "a", "holder",          "checkpoints", "events"};
    std::vector<std::string> found;
    for (const std::string& line : Plan(sql)) {
      const std::vector<std::string> words = absl::StrSplit(line, ' ');
      if (words.size() < 2 || words[0] != "SCAN" || kLarge.count(words[1]) == 0) continue;
      if (!absl::StrContains(line, "USING")) found.push_back(line + " in: " + sql);
    }
    return found;
  }

  // Everything that is asked while people look and trainers write.
  void UseTheStore() {
    SubmitAndRegister({"40k", "80k"});
    const Attempt attempt = TrainToStep70();
    ASSERT_OK(store_->GetSweep("grid"));
    ASSERT_OK(store_->ListSweeps());
    ASSERT_OK(store_->GetRunsOf("grid", {1, 2}));
    ASSERT_OK(store_->Curve(1, "heldout"));
    ASSERT_OK(store_->CurveExtents("grid", "heldout"));
    ASSERT_OK(store_->SeriesOf("grid"));
    ASSERT_OK(store_->Observations("grid", "heldout"));
    ASSERT_OK(store_->ExportPoints("grid", "", {}, 10));
    ASSERT_OK(store_->EventsAfter(1, 0, 10));
    ASSERT_OK(store_->NewestEvent());
    ASSERT_OK(store_->Attempts(1));
    ASSERT_OK(store_->DeletableCheckpoints("root-a"));
    ASSERT_OK(store_->CheckpointsDeleted("root-a", {"run-1/attempt-1/checkpoint"}));
    ASSERT_OK(store_->ExpireLease(attempt.lease));
    const Attempt next = Start();
    Spool spool(next.lease);
    Append(spool.Batch({spool.Point(80, "train", 3.2), spool.Point(100, "heldout", 3.1),
                        spool.Exit(v1::SUCCEEDED, 100)}));
    ASSERT_OK(store_->Cancel("grid", {}));
    ASSERT_OK(store_->Retry("grid", {}));
    ASSERT_OK(store_->OpenRuns());
  }
};

TEST_F(QueryPlanTest, NothingWalksALargeTable) {
  UseTheStore();
  const std::set<std::string> statements = Trace::Get().Take();
  EXPECT_GT(statements.size(), 40u);
  std::vector<std::string> whole;
  for (const std::string& sql : statements) {
    if (!absl::StartsWith(sql, "SELECT") && !absl::StartsWith(sql, "INSERT") &&
        !absl::StartsWith(sql, "UPDATE") && !absl::StartsWith(sql, "DELETE") &&
        !absl::StartsWith(sql, "WITH")) {
      continue;
    }
    for (const std::string& line : WholeTables(sql)) whole.push_back(line);
  }
  EXPECT_THAT(whole, IsEmpty());
}

TEST_F(QueryPlanTest, ListingASweepSortsNothing) {
  SubmitAndRegister();
  Trace::Get().Take();
  ASSERT_OK(store_->GetSweep("grid"));
  bool runs = false, cells = false;
  for (const std::string& sql : Trace::Get().Take()) {
    if (!absl::StartsWith(sql, "SELECT")) continue;
    runs = runs || absl::StrContains(sql, "runs.spec");
    cells = cells || absl::StrContains(sql, "asked_tokens");
    if (!absl::StrContains(sql, "runs")) continue;
    EXPECT_THAT(Plan(sql), ::testing::Each(::testing::Not(HasSubstr("TEMP B-TREE")))) << sql;
    EXPECT_THAT(Plan(sql), Contains(HasSubstr("INDEX runs_by_s"))) << sql;
  }
  EXPECT_TRUE(runs && cells) << "the queries that this test is about have other names now";
}

// The rule itself: it sees a scan where there is one.
TEST_F(QueryPlanTest, AScanIsSeen) {
  EXPECT_EQ(WholeTables("SELECT * FROM points AS p WHERE tokens = 7").size(), 1u);
  EXPECT_EQ(WholeTables("SELECT * FROM points AS p WHERE run_id = 7").size(), 0u);
}

}  // namespace
}  // namespace allometry::store
