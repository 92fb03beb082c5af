// What people say of a sweep: tags, a note, and whether lists show it.
#include <algorithm>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "coordinator/store/parts.h"
#include "coordinator/store/sweep_rows.h"

namespace allometry::store {
namespace {

constexpr size_t kLongestTag = 40;
constexpr int kMostTags = 20;
constexpr size_t kLongestNote = 4000;
constexpr absl::string_view kTagMarks = "._-/:+";

absl::Status CheckTag(const std::string& tag) {
  const bool is_tag =
      !tag.empty() && tag.size() <= kLongestTag && absl::ascii_isalnum(tag[0]) &&
      std::all_of(tag.begin(), tag.end(), [](unsigned char c) {
        return absl::ascii_isalnum(c) || kTagMarks.find(c) != absl::string_view::npos;
      });
  if (is_tag) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrFormat(
      "'%s' is not a tag: it begins with a letter or digit and has at most %d letters, digits and "
      "'%s'",
      tag, kLongestTag, kTagMarks));
}

absl::Status Check(const LabelChange& change) {
  for (const std::string& tag : change.add_tags) ALLO_RETURN_IF_ERROR(CheckTag(tag));
  if (change.note.has_value() && change.note->size() > kLongestNote) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "the note has %d bytes: allowed are at most %d", change.note->size(), kLongestNote));
  }
  return absl::OkStatus();
}

absl::Status RemoveTag(Connection& db, absl::string_view sweep, int64_t sweep_id,
                       const std::string& tag) {
  ALLO_RETURN_IF_ERROR(db.Prepare("DELETE FROM sweep_tags WHERE sweep_id = ?1 AND tag = ?2")
                           .With(sweep_id, tag)
                           .Run());
  if (db.changes() == 1) return absl::OkStatus();
  ALLO_ASSIGN_OR_RETURN(const std::vector<v1::Sweep> found, LoadSweeps(db, sweep_id, 0));
  return absl::FailedPreconditionError(
      absl::StrCat("sweep '", sweep, "' has no tag '", tag, "'; it has ",
                   found.at(0).tags().empty() ? "none" : absl::StrJoin(found.at(0).tags(), ", ")));
}

absl::Status CountTags(Connection& db, absl::string_view sweep, int64_t sweep_id) {
  Statement count = db.Prepare("SELECT count(*) FROM sweep_tags WHERE sweep_id = ?1");
  count.With(sweep_id);
  const int64_t tags = count.Step() ? count.Int(0) : 0;
  ALLO_RETURN_IF_ERROR(count.status());
  if (tags <= kMostTags) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrFormat(
      "sweep '%s' would have %d tags: allowed are at most %d", sweep, tags, kMostTags));
}

}  // namespace

absl::StatusOr<v1::Sweep> Store::Label(absl::string_view sweep, const LabelChange& change) {
  ALLO_RETURN_IF_ERROR(Check(change));
  v1::Sweep after;
  ALLO_RETURN_IF_ERROR(parts_->writer->Run([&](Transaction& transaction) -> absl::Status {
    Connection& db = transaction.db;
    ALLO_ASSIGN_OR_RETURN(const int64_t sweep_id, FindSweep(db, sweep));
    for (const std::string& tag : change.remove_tags) {
      ALLO_RETURN_IF_ERROR(RemoveTag(db, sweep, sweep_id, tag));
    }
    for (const std::string& tag : change.add_tags) {
      ALLO_RETURN_IF_ERROR(
          db.Prepare(
                "INSERT INTO sweep_tags (sweep_id, tag) VALUES (?1, ?2) ON CONFLICT DO NOTHING")
              .With(sweep_id, tag)
              .Run());
    }
    ALLO_RETURN_IF_ERROR(CountTags(db, sweep, sweep_id));
    if (change.note.has_value()) {
      ALLO_RETURN_IF_ERROR(db.Prepare("UPDATE sweeps SET note = ?2 WHERE sweep_id = ?1")
                               .With(sweep_id, *change.note)
                               .Run());
    }
    if (change.archived.has_value()) {
      ALLO_RETURN_IF_ERROR(db.Prepare("UPDATE sweeps SET archived = ?2 WHERE sweep_id = ?1")
                               .With(sweep_id, *change.archived)
                               .Run());
    }
    ALLO_ASSIGN_OR_RETURN(std::vector<v1::Sweep> sweeps,
                          LoadSweeps(db, sweep_id, transaction.now_unix_us));
    after = std::move(sweeps.at(0));
    return absl::OkStatus();
  }));
  return after;
}

}  // namespace allometry::store
