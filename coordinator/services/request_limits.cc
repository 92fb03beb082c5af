#include "coordinator/services/request_limits.h"

#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_format.h"

namespace allometry::coordinator {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

constexpr size_t kLongestText = 1024;  // names, versions, paths, words of options
constexpr int kLongestList = 10'000;

// Texts in bytes, lists in elements; the rest as above.
const std::map<std::string, size_t, std::less<>>& Others() {
  static const auto* const others = new std::map<std::string, size_t, std::less<>>{
      {"allometry.v1.CreateSweepRequest.sweep_yaml", size_t{1} << 20},
      {"allometry.v1.CreateSweepRequest.manifest_json", size_t{12} << 20},
      {"allometry.v1.ImportedRun.tokens", 1'000'000},
      {"allometry.v1.ImportedRun.losses", 1'000'000},
      {"allometry.v1.ImportedRun.ends_cell", 1'000'000},
      {"allometry.v1.ImportedRun.train_tokens", 1'000'000},
      {"allometry.v1.ImportedRun.train_losses", 1'000'000},
      {"allometry.v1.GivenBack.message", 64 << 10},
      {"allometry.v1.FitOptions.budgets_flops", 1000},
      {"allometry.v1.FitOptions.withhold", 1000},
      {"allometry.v1.CancelSweepRequest.run_ids", 100'000},
      {"allometry.v1.RetrySweepRequest.run_ids", 100'000},
      {"allometry.v1.PreemptSweepRequest.run_ids", 100'000},
      {"allometry.v1.ExportRequest.run_ids", 100'000},
      {"allometry.v1.HeartbeatRequest.held", 65'536},
      {"allometry.v1.HeartbeatRequest.deleted_checkpoints", 65'536},
      {"allometry.v1.HeartbeatRequest.deleted_runs", 65'536},
      {"allometry.v1.HeldAttempt.log_tail", 64 << 10},
      {"allometry.v1.LabelSweepRequest.note", 64 << 10},
      {"allometry.v1.RegisterRequest.given_back", 65'536},
  };
  return *others;
}

size_t LimitOf(const FieldDescriptor& field, size_t otherwise) {
  const auto found = Others().find(field.full_name());
  return found == Others().end() ? otherwise : found->second;
}

absl::Status CheckText(const FieldDescriptor& field, const std::string& text) {
  const size_t limit = field.is_repeated() ? kLongestText : LimitOf(field, kLongestText);
  if (text.size() <= limit) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrFormat("%s has %d bytes: allowed are at most %d", field.name(), text.size(), limit));
}

absl::Status CheckField(const Message& message, const FieldDescriptor& field) {
  const Reflection& reflection = *message.GetReflection();
  const int count = field.is_repeated() ? reflection.FieldSize(message, &field) : 1;
  if (field.is_repeated() && static_cast<size_t>(count) > LimitOf(field, kLongestList)) {
    return absl::InvalidArgumentError(absl::StrFormat("%s has %d entries: allowed are at most %d",
                                                      field.name(), count,
                                                      LimitOf(field, kLongestList)));
  }
  for (int i = 0; i < count; ++i) {
    if (field.cpp_type() == FieldDescriptor::CPPTYPE_STRING) {
      std::string scratch;
      ALLO_RETURN_IF_ERROR(
          CheckText(field, field.is_repeated()
                               ? reflection.GetRepeatedStringReference(message, &field, i, &scratch)
                               : reflection.GetStringReference(message, &field, &scratch)));
    } else if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      ALLO_RETURN_IF_ERROR(CheckLimits(field.is_repeated()
                                           ? reflection.GetRepeatedMessage(message, &field, i)
                                           : reflection.GetMessage(message, &field)));
    } else {
      break;  // numbers: only how many there are
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckLimits(const Message& request) {
  std::vector<const FieldDescriptor*> fields;
  request.GetReflection()->ListFields(request, &fields);
  for (const FieldDescriptor* field : fields) ALLO_RETURN_IF_ERROR(CheckField(request, *field));
  return absl::OkStatus();
}

}  // namespace allometry::coordinator
