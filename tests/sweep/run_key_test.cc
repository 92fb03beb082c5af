#include "run/run_key.h"

#include <cmath>
#include <functional>
#include <set>
#include <vector>

#include "gtest/gtest.h"
#include "proto/run_conversion.h"
#include "run/fields.h"

namespace allometry::sweep {
namespace {

v1::RunIdentity Identity() {
  v1::RunIdentity identity;
  v1::ModelShape& shape = *identity.mutable_shape();
  shape.set_family("gpt");
  shape.set_layers(2);
  shape.set_heads(1);
  shape.set_width(32);
  shape.set_context(64);
  shape.set_vocabulary(99);
  identity.set_dataset("words");
  identity.set_dataset_hash("0011223344556677");
  identity.set_tokenizer_hash("8899aabbccddeeff");
  identity.set_batch_tokens(4096);
  identity.set_schedule("constant");
  identity.set_warmup_steps(100);
  identity.set_learning_rate(3e-3);
  identity.set_seed(1);
  v1::Optimizer& optimizer = *identity.mutable_optimizer();
  optimizer.set_beta1(0.9);
  optimizer.set_beta2(0.95);
  optimizer.set_weight_decay(0.1);
  optimizer.set_epsilon(1e-8);
  optimizer.set_clip_norm(1);
  return identity;
}

// Keys are stored: a change of this value orphans every run of every database.
TEST(RunKeyTest, IsTheOneThatDatabasesHold) { EXPECT_EQ(RunKey(Identity()), "affe530603de622f"); }

TEST(RunKeyTest, EveryFieldOfTheIdentityButTheNameOfTheDatasetIsInIt) {
  const std::vector<std::function<void(v1::RunIdentity&)>> changes = {
      [](auto& id) { id.mutable_shape()->set_family("gpt2"); },
      [](auto& id) { id.mutable_shape()->set_layers(3); },
      [](auto& id) { id.mutable_shape()->set_heads(2); },
      [](auto& id) { id.mutable_shape()->set_width(40); },
      [](auto& id) { id.mutable_shape()->set_context(65); },
      [](auto& id) { id.mutable_shape()->set_vocabulary(100); },
      [](auto& id) { id.set_dataset_hash("x"); },
      [](auto& id) { id.set_tokenizer_hash("x"); },
      [](auto& id) { id.set_batch_tokens(8192); },
      [](auto& id) { id.set_schedule("cosine"); },
      [](auto& id) { id.set_warmup_steps(101); },
      [](auto& id) { id.set_learning_rate(std::nextafter(3e-3, 1.0)); },
      [](auto& id) { id.set_seed(2); },
      [](auto& id) { id.mutable_optimizer()->set_beta1(0.91); },
      [](auto& id) { id.mutable_optimizer()->set_beta2(0.96); },
      [](auto& id) { id.mutable_optimizer()->set_weight_decay(0); },
      [](auto& id) { id.mutable_optimizer()->set_epsilon(1e-9); },
      [](auto& id) { id.mutable_optimizer()->set_clip_norm(2); },
      [](auto& id) { id.mutable_shape()->set_image_height(64); },
      [](auto& id) { id.mutable_shape()->set_image_width(64); },
      [](auto& id) { id.mutable_shape()->set_image_channels(3); },
      [](auto& id) { id.set_objective("sparse"); },
      [](auto& id) { id.set_objective_seed(7); },
      [](auto& id) { id.set_decay_begin(7); },
      [](auto& id) { id.set_decay_end(7); },
      [](auto& id) { id.set_final_rate_fraction(0.1); },
      [](auto& id) { id.set_tokenizer_key("x"); },
  };
  std::set<std::string> keys = {RunKey(Identity())};
  for (const auto& change : changes) {
    v1::RunIdentity identity = Identity();
    change(identity);
    EXPECT_TRUE(keys.insert(RunKey(identity)).second) << identity.ShortDebugString();
  }
  v1::RunIdentity renamed = Identity();
  renamed.set_dataset("sentences");
  EXPECT_EQ(RunKey(renamed), RunKey(Identity()));
}

template <class Owner>
std::set<std::string> RowNames() {
  std::set<std::string> names;
  run::ForEach(run::FieldsOf(static_cast<const Owner*>(nullptr)),
               [&](const auto& row) { names.insert(row.name); });
  return names;
}

// A field of a message without a row would be lost on its way.
TEST(RunConversionTest, EveryFieldOfTheMessagesHasARow) {
  const auto expect_rows = [](const google::protobuf::Descriptor* message,
                              std::set<std::string> rows, const std::set<std::string>& others) {
    rows.insert(others.begin(), others.end());
    for (int i = 0; i < message->field_count(); ++i) {
      EXPECT_TRUE(rows.contains(message->field(i)->name())) << message->field(i)->full_name();
    }
  };
  expect_rows(v1::RunIdentity::descriptor(), RowNames<run::Identity>(), {"settings"});
  expect_rows(v1::ModelShape::descriptor(), RowNames<run::Shape>(), {});
  expect_rows(v1::Optimizer::descriptor(), RowNames<run::Optimizer>(), {});
  expect_rows(v1::RunSpec::descriptor(), RowNames<run::RunSpec>(), {"start", "inputs"});
}

TEST(RunConversionTest, ASettingWithoutAFieldOfItsOwnTravelsByName) {
  run::Identity identity = *ToIdentity(Identity());
  EXPECT_EQ(ToProto(identity).settings_size(), 0);
  EXPECT_EQ(ToProto(identity).SerializeAsString(), Identity().SerializeAsString());
  const std::string key = run::RunKey(identity);
  identity.precision = run::Precision::kTf32;
  const v1::RunIdentity message = ToProto(identity);
  EXPECT_EQ(message.settings().at("precision"), "tf32");
  EXPECT_EQ(ToIdentity(message)->precision, run::Precision::kTf32);
  EXPECT_NE(RunKey(message), key);
}

TEST(RunConversionTest, AnUnknownSettingIsRefusedByName) {
  v1::RunIdentity message = Identity();
  (*message.mutable_settings())["from_the_future"] = "7";
  const auto identity = ToIdentity(message);
  ASSERT_EQ(identity.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(identity.status().message().find("from_the_future"), std::string::npos);
}

}  // namespace
}  // namespace allometry::sweep
