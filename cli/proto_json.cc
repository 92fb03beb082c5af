#include "cli/proto_json.h"

#include <google/protobuf/descriptor.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "absl/strings/match.h"

namespace allometry::cli {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

// Fields whose 0, or for times what is below 0, stands for "none".
constexpr std::array kNoneAtZero = {
    "allometry.v1.Cell.asked_flops",       "allometry.v1.Cell.loss",
    "allometry.v1.Checkpoint.run_id",      "allometry.v1.Run.last_heldout_loss",
    "allometry.v1.Run.last_train_loss",    "allometry.v1.Run.memory_bytes",
    "allometry.v1.Run.tokens_per_second",  "allometry.v1.RunSpec.micro_batch",
    "allometry.v1.Sweep.max_device_hours", "allometry.v1.Sweep.max_run_hours",
};
constexpr std::array kNoneBelowZero = {"allometry.v1.WatchSweepResponse.eta_s"};

template <class Names>
bool IsAmong(const Names& names, const FieldDescriptor* field) {
  return std::find(names.begin(), names.end(), field->full_name()) != names.end();
}

nlohmann::ordered_json Number(double value) {
  return std::isfinite(value) ? nlohmann::ordered_json(value) : nlohmann::ordered_json(nullptr);
}

nlohmann::ordered_json Enumerator(const google::protobuf::EnumValueDescriptor* value) {
  if (value->number() == 0 && absl::EndsWith(value->name(), "_UNSPECIFIED")) return nullptr;
  return value->name();
}

// Element `index` of a repeated field, or the field itself when index is negative.
nlohmann::ordered_json Value(const Message& message, const FieldDescriptor* field, int index) {
  const Reflection& in = *message.GetReflection();
  const bool one = index < 0;
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return one ? in.GetInt32(message, field) : in.GetRepeatedInt32(message, field, index);
    case FieldDescriptor::CPPTYPE_INT64:
      return one ? in.GetInt64(message, field) : in.GetRepeatedInt64(message, field, index);
    case FieldDescriptor::CPPTYPE_UINT32:
      return one ? in.GetUInt32(message, field) : in.GetRepeatedUInt32(message, field, index);
    case FieldDescriptor::CPPTYPE_UINT64:
      return one ? in.GetUInt64(message, field) : in.GetRepeatedUInt64(message, field, index);
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return Number(one ? in.GetDouble(message, field)
                        : in.GetRepeatedDouble(message, field, index));
    case FieldDescriptor::CPPTYPE_FLOAT:
      return Number(one ? in.GetFloat(message, field) : in.GetRepeatedFloat(message, field, index));
    case FieldDescriptor::CPPTYPE_BOOL:
      return one ? in.GetBool(message, field) : in.GetRepeatedBool(message, field, index);
    case FieldDescriptor::CPPTYPE_ENUM:
      return Enumerator(one ? in.GetEnum(message, field)
                            : in.GetRepeatedEnum(message, field, index));
    case FieldDescriptor::CPPTYPE_STRING:
      return one ? in.GetString(message, field) : in.GetRepeatedString(message, field, index);
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return ToJson(one ? in.GetMessage(message, field)
                        : in.GetRepeatedMessage(message, field, index));
  }
  return nullptr;
}

}  // namespace

nlohmann::ordered_json ToJson(const Message& message) {
  nlohmann::ordered_json object = nlohmann::ordered_json::object();
  const google::protobuf::Descriptor& descriptor = *message.GetDescriptor();
  const Reflection& reflection = *message.GetReflection();
  for (int i = 0; i < descriptor.field_count(); ++i) {
    const FieldDescriptor* field = descriptor.field(i);
    if (field->is_repeated()) {
      nlohmann::ordered_json array = nlohmann::ordered_json::array();
      for (int k = 0; k < reflection.FieldSize(message, field); ++k) {
        array.push_back(Value(message, field, k));
      }
      object[field->name()] = std::move(array);
    } else if (field->has_presence() && !reflection.HasField(message, field)) {
      object[field->name()] = nullptr;
    } else {
      nlohmann::ordered_json value = Value(message, field, -1);
      const bool none =
          value.is_number() && ((IsAmong(kNoneAtZero, field) && value.get<double>() == 0) ||
                                (IsAmong(kNoneBelowZero, field) && value.get<double>() < 0));
      object[field->name()] = none ? nlohmann::ordered_json(nullptr) : std::move(value);
    }
  }
  return object;
}

}  // namespace allometry::cli
