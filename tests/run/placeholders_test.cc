#include "run/placeholders.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace allometry::run {
namespace {

using ::allometry::testing::IsOkAndHolds;
using ::allometry::testing::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;

RunSpec Example() {
  RunSpec spec;
  spec.attempt = 3;
  spec.ranks = 8;
  spec.steps = 70;
  spec.identity.seed = 5;
  spec.identity.learning_rate = 3e-4;
  spec.identity.trainer.size = {
      R"({"args":{"depth":20,"label":"not me","tied":true},"label":"1B","params":1020000000})"};
  return spec;
}

PlaceholderValues Values() { return ValuesOf(Example(), "/runs/run-7", "/data"); }

absl::StatusOr<std::string> Json(const std::string& json) {
  const auto replaced = ReplaceInJson({json}, Values());
  if (!replaced.ok()) return replaced.status();
  return replaced->text;
}

TEST(PlaceholdersTest, StandInsideTexts) {
  EXPECT_THAT(Replace("--n={devices} --dir={run_dir}/{attempt} lr {learning_rate}", Values()),
              IsOkAndHolds("--n=8 --dir=/runs/run-7/3 lr 0.0003"));
  EXPECT_THAT(Replace("{size.label}-{size.depth}", Values()), IsOkAndHolds("1B-20"));
  EXPECT_THAT(Replace("{attempt_dir}", Values()), IsOkAndHolds("/runs/run-7/attempt-3"));
}

TEST(PlaceholdersTest, ATextOfOneKeepsTheType) {
  EXPECT_THAT(Json(R"({"depth":"{size.depth}","lr":"{learning_rate}","tied":"{size.tied}"})"),
              IsOkAndHolds(R"({"depth":20,"lr":0.0003,"tied":true})"));
  EXPECT_THAT(Json(R"(["{seed}","a{seed}",7,{"x":["{seed}"]}])"),
              IsOkAndHolds(R"([5,"a5",7,{"x":[5]}])"));
}

TEST(PlaceholdersTest, BracesAreDoubled) {
  EXPECT_THAT(Replace("{{seed}} {{{seed}}}", Values()), IsOkAndHolds("{seed} {5}"));
  EXPECT_THAT(Json(R"("{{seed}}")"), IsOkAndHolds(R"("{seed}")"));
  for (const char* text : {"{", "a } b", "{seed", "}{"}) {
    EXPECT_THAT(Replace(text, Values()), StatusIs(absl::StatusCode::kInvalidArgument)) << text;
  }
}

TEST(PlaceholdersTest, AnUnknownOneListsThoseThereAre) {
  EXPECT_THAT(Replace("{sead}", Values()),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("{sead} is not known"), HasSubstr("{seed}"),
                             HasSubstr("{size.depth}"))));
}

TEST(PlaceholdersTest, APlaceIsThatOfAProcess) {
  PlaceholderValues values = Values();
  EXPECT_THAT(Replace("{rank}", values), StatusIs(absl::StatusCode::kInvalidArgument));
  AddPlace({2, 1, 4, "n1", 20'001, 7, 3}, values);
  EXPECT_THAT(Replace("{hosts} {host_rank} {host_devices} {main_address}:{main_port}", values),
              IsOkAndHolds("2 1 4 n1:20001"));
  EXPECT_THAT(Replace("{rank} {local_rank} of {devices}", values), IsOkAndHolds("7 3 of 8"));
}

TEST(PlaceholdersTest, WhatACommandNamesSaysHowManyProcessesItIs) {
  const auto trainer = [](const std::string& command, const std::string& environment) {
    Trainer trainer;
    trainer.command = {command};
    trainer.environment = {environment};
    return trainer;
  };
  for (const Trainer& one : {trainer(R"(["a","--rank={rank}"])", ""),
                             trainer(R"(["a"])", R"({"LOCAL_RANK":"{local_rank}"})")}) {
    EXPECT_TRUE(IsForEachDevice(one));
    EXPECT_TRUE(KnowsOtherHosts(one));
  }
  const Trainer by_host = trainer(R"(["a","{host_rank}","{{rank}}"])", "");
  EXPECT_FALSE(IsForEachDevice(by_host)) << "{{ is a brace";
  EXPECT_TRUE(KnowsOtherHosts(by_host));
  const Trainer alone = trainer(R"(["a","{devices}","{host_devices}","{main_port}"])", "{}");
  EXPECT_FALSE(IsForEachDevice(alone));
  EXPECT_FALSE(KnowsOtherHosts(alone));
}

TEST(PlaceholdersTest, WhatIsReplacedIsNotReadAgain) {
  RunSpec spec = Example();
  spec.identity.dataset = "{seed}";
  EXPECT_THAT(Replace("{dataset}", ValuesOf(spec.identity)), IsOkAndHolds("{seed}"));
}

}  // namespace
}  // namespace allometry::run
