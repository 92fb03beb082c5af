// allo import on a coordinator: runs of other trainers, from files, as a sweep.

#include <algorithm>
#include <atomic>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/files.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/testing/in_process_coordinator.h"
#include "tests/testing/shell.h"
#include "tests/testing/temporary_folder.h"

namespace allometry::testing {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kData[] = ALLO_SOURCE_DIR "/tests/fitting/data/";

// L of the law that the tests plant.
double Loss(double params, double tokens) {
  return 1.7 + 400 * std::pow(params, -.34) + 410 * std::pow(tokens, -.28);
}

class ImportTest : public ::testing::Test {
 protected:
  ImportTest() : coordinator_(InProcessCoordinator::Start()) {}

  // Exit code; what was printed is in output_.
  int Allo(const std::string& arguments) {
    const std::string command =
        absl::StrCat(ALLO_BIN_DIR "/allo --coordinator ", coordinator_->address(), " ", arguments,
                     " 2>", folder_.Path("errors"), " </dev/null");
    const testing::Outcome outcome = testing::Shell(command);
    output_ = outcome.output;
    errors_ = ReadFile(folder_.Path("errors")).value_or("");
    return outcome.exit_code;
  }
  void Do(const std::string& arguments) { ASSERT_EQ(Allo(arguments), 0) << output_ << errors_; }
  void Refuses(const std::string& arguments, const std::string& what) {
    EXPECT_NE(Allo(arguments), 0) << output_;
    EXPECT_THAT(errors_, HasSubstr(what));
  }
  json Json(const std::string& arguments) {
    Do("--json " + arguments);
    return json::parse(output_, nullptr, false);
  }

  std::string Write(const std::string& name, const std::string& text) const {
    const std::string path = folder_.Path(name);
    std::filesystem::create_directories(std::filesystem::path(path).parent_path());
    std::ofstream(path) << text;
    return path;
  }

  // Every coefficient and interval of the methods, of the sweep as of the file.
  void ExpectSameFit(const std::string& sweep, const std::string& file) {
    const std::string options = " --budget 1e20 --resamples 50";
    const json of_file = Json("fit " + file + options);
    const json of_sweep = Json("fit " + sweep + options);
    EXPECT_EQ(of_file["observations"]["used"], of_sweep["observations"]["used"]);
    ASSERT_EQ(of_file["fits"].size(), of_sweep["fits"].size());
    for (size_t i = 0; i < of_file["fits"].size(); ++i) {
      ExpectClose(of_file["fits"][i]["parameters"], of_sweep["fits"][i]["parameters"],
                  of_file["fits"][i]["method"].get<std::string>());
    }
  }
  static void ExpectClose(const json& a, const json& b, const std::string& where) {
    ASSERT_EQ(a.type(), b.type()) << where;
    if (a.is_number()) {
      // N and D of a sweep are whole numbers.
      EXPECT_NEAR(a.get<double>(), b.get<double>(), 1e-5 * std::abs(a.get<double>()) + 1e-12)
          << where;
      return;
    }
    if (!a.is_structured()) {
      EXPECT_EQ(a, b) << where;
      return;
    }
    ASSERT_EQ(a.size(), b.size()) << where;
    if (a.is_array()) {
      for (size_t i = 0; i < a.size(); ++i) ExpectClose(a[i], b[i], absl::StrCat(where, "[", i));
      return;
    }
    for (const auto& [key, value] : a.items()) ExpectClose(value, b[key], where + "." + key);
  }

  std::unique_ptr<InProcessCoordinator> coordinator_;
  TemporaryFolder folder_;
  std::string output_, errors_;
};

TEST_F(ImportTest, TheFitOfAnImportedTableIsThatOfTheTable) {
  for (const char* name : {"chinchilla_svg", "quickstart", "synthetic_curves_chinchilla"}) {
    const std::string file = absl::StrCat(kData, name, ".csv");
    Do(absl::StrCat("import csv ", name, " ", file));
    ExpectSameFit(name, file);
  }
}

TEST_F(ImportTest, WhatIsImportedIsListedExportedAndPredictedAsOurOwn) {
  Do(absl::StrCat("import csv quick ", kData, "quickstart.csv --dataset shakespeare"));
  const json sweep = Json("sweeps")[0];
  EXPECT_EQ(sweep["name"], "quick");
  EXPECT_EQ(sweep["dataset"], "shakespeare");
  EXPECT_EQ(sweep["imported"], absl::StrCat("csv ", kData, "quickstart.csv"));
  EXPECT_EQ(sweep["runs"], sweep["runs_succeeded"]);
  EXPECT_EQ(sweep["cells"], sweep["cells_done"]);
  const json runs = Json("runs quick");
  for (const json& run : runs["runs"]) {
    EXPECT_EQ(run["state"], "RUN_SUCCEEDED");
    EXPECT_EQ(run["spec"]["kind"], "external");
  }
  Do("predict quick --budget 1e13 --resamples 20");
  Do("export quick -o " + folder_.Path("observations.csv"));
  ExpectSameFit("quick", folder_.Path("observations.csv"));
  EXPECT_EQ(Allo("watch quick"), 0);  // it has ended
  Refuses("next quick", "trained elsewhere");
}

TEST_F(ImportTest, FiguresAndPagesOfASweepAreWritten) {
  std::string table = "size,params,tokens,loss\n";
  for (double params = 1e6; params < 5e7; params *= 2) {
    for (double tokens = 2e7; tokens < 1e9; tokens *= 2) {
      absl::StrAppendFormat(&table, "%.0f,%.0f,%.0f,%.9f\n", params, params, tokens,
                            Loss(params, tokens));
    }
  }
  Do("import csv others " + Write("runs.csv", table));
  const std::string pdf = folder_.Path("fit.pdf"), svg = folder_.Path("fit.svg"),
                    html = folder_.Path("fit.html");
  Do("fit others --budget 1e18 --resamples 20 --pdf " + pdf + " --svg " + svg + " --html " + html);
  EXPECT_EQ(ReadFile(pdf).value().substr(0, 5), "%PDF-");
  EXPECT_THAT(ReadFile(pdf).value(), HasSubstr("%%EOF"));
  EXPECT_THAT(ReadFile(svg).value(), HasSubstr("</svg>"));
  EXPECT_THAT(ReadFile(html).value(), HasSubstr("</svg>"));
  // What a file's figure would be.
  const std::string own = folder_.Path("own.pdf");
  Do("fit " + folder_.Path("runs.csv") + " --budget 1e18 --resamples 20 --pdf " + own);
  EXPECT_GT(ReadFile(pdf).value().size(), ReadFile(own).value().size() / 2);

  const std::string study = Write("study.yaml",
                                  "name: others\ntitle: A planted law\nsweeps: [others]\nrows:\n"
                                  "  - {what: its alpha, quantity: alpha, sweep: others, paper: "
                                  "\"0.34\", source: the test, accept: [0.2, 0.5]}\n"
                                  "  - {what: the robot, paper: \"R 0.61\", cannot: no data}\n");
  const std::string page = folder_.Path("report.html");
  Do("report " + study + " --html " + page);
  EXPECT_THAT(output_, HasSubstr("within"));
  const std::string text = ReadFile(page).value();
  EXPECT_THAT(text, AllOf(HasSubstr("its alpha"), HasSubstr("within"), HasSubstr("no data"),
                          HasSubstr("<svg"), HasSubstr("</html>")));
  EXPECT_THAT(text, Not(HasSubstr("<script")));
  EXPECT_THAT(text, Not(HasSubstr("src=\"http")));
}

TEST_F(ImportTest, ARepeatedImportAddsNothingAndAGrownTableAddsWhatIsNew) {
  std::string rows = "run,params,tokens,loss\n";
  for (int i = 1; i <= 4; ++i) {
    absl::StrAppendFormat(&rows, "a,1000000,%d,%.4f\n", i * 1000000, Loss(1e6, i * 1e6));
  }
  const std::string file = Write("runs.csv", rows);
  EXPECT_EQ(Json("import csv s " + file)["new_points"], 4);
  EXPECT_EQ(Json("import csv s " + file)["new_points"], 0);
  Do("import csv s " + file);
  EXPECT_THAT(output_, HasSubstr("nothing to add"));
  Write("runs.csv", rows + "a,1000000,5000000,3.1\nb,2000000,5000000,3.0\n");
  EXPECT_EQ(Json("import csv s --dry-run " + file)["new_points"], 2);
  const json grown = Json("import csv s " + file);
  EXPECT_EQ(grown["new_points"], 2);
  EXPECT_EQ(grown["new_runs"], 1);
  coordinator_->Restart();
  EXPECT_EQ(Json("runs s")["runs"].size(), 2U);
  EXPECT_EQ(Json("fit s --resamples 20")["observations"]["used"], 6);
  // Nothing of a table that contradicts what is stored comes in.
  Write("runs.csv", rows + "a,1000000,5000000,3.2\nc,2000000,5000000,3.0\n");
  Refuses("import csv s " + file, "run 'a' is stored with the heldout loss");
  Write("runs.csv", "run,params,tokens,loss\nc,2000000,6000000,3\na,1000001,7000000,3\n");
  Refuses("import csv s " + file, "run 'a' is stored with N = 1000000");
  EXPECT_EQ(Json("runs s")["runs"].size(), 2U);
}

TEST_F(ImportTest, MistakesNameTheFileTheLineAndTheValue) {
  const auto refuses = [&](const std::string& rows, const std::string& what) {
    const std::string file = Write("bad.csv", rows);
    Refuses("import csv s " + file, what);
    EXPECT_THAT(errors_, HasSubstr("bad.csv:"));
  };
  refuses("run,params,tokens,loss\na,1e6,1e6,3\na,2e6,2e6,2.9\n", "has N = 1000000, and 2000000");
  refuses("run,params,tokens,loss\na,1e6,1e6,3\na,1e6,1e6,2.9\n", "has D = 1000000 twice");
  refuses("run,params,tokens,loss,weight\na,1e6,1e6,3,2\nb,1e6,2e6,3,1\n", "has weight 2");
  refuses("run,loss\na,3\n", "N");
  Refuses("import csv s " + folder_.Path("none.csv"), "none.csv");
  Refuses("import csv 'a/b' " + absl::StrCat(kData, "quickstart.csv"), "is not a name");
  // Rows that cannot be used are named, and the others come in.
  const std::string file =
      Write("some.csv", "run,params,tokens,loss\na,1e6,1e6,3\nb,1e6,2e6,nan\nc,1e6,3e6,2.8\n");
  Do("import csv some " + file);
  EXPECT_THAT(output_, HasSubstr("some.csv:3: loss is nan"));
  EXPECT_EQ(Json("sweeps")[0]["left_out"].size(), 1U);
}

TEST_F(ImportTest, ASweepThatIsTrainedHereAndOneThatIsImportedStayApart) {
  Do(absl::StrCat("import csv quick ", kData, "quickstart.csv"));
  const std::string file = Write("quick.yaml",
                                 "name: quick\ntrainer: {command: [/bin/true]}\n"
                                 "model: {table: [{label: a, params: 1000}]}\n"
                                 "dataset: {external: x, tokens: 1M}\n"
                                 "training: {batch_tokens: 10, learning_rate: 1, warmup_steps: 1}\n"
                                 "budgets: {tokens: [100]}\n");
  Refuses("submit " + file, "is imported");
  Write("quick.yaml", "name: ours\n" + *ReadFile(file));
  std::ofstream(file) << "name: ours\ntrainer: {command: [/bin/true]}\n"
                         "model: {table: [{label: a, params: 1000}]}\n"
                         "dataset: {external: x, tokens: 1M}\n"
                         "training: {batch_tokens: 10, learning_rate: 1, warmup_steps: 1}\n"
                         "budgets: {tokens: [100]}\n";
  Do("submit " + file);
  Refuses(absl::StrCat("import csv ours ", kData, "quickstart.csv"), "is trained here");
}

TEST_F(ImportTest, ATableOfRunsOfWeightsAndBiasesIsRead) {
  const std::string file = Write("runs.csv",
                                 "Name,State,config.n_params,tokens,val/loss,Runtime\n"
                                 "a,finished,1000000,1000000,4.5,10\n"
                                 "b,finished,2000000,1000000,4.2,10\n"
                                 "c,crashed,4000000,1000000,9.9,10\n");
  Do("import wandb-csv w " + file);
  EXPECT_THAT(output_, HasSubstr("the run did not end"));
  EXPECT_EQ(Json("runs w")["runs"].size(), 2U);
}

TEST_F(ImportTest, ChartsOfWeightsAndBiasesAreJoinedToTheTableOfRuns) {
  std::string val = "Step,a - val/loss,a - val/loss__MIN,a - val/loss__MAX,b - val/loss\n";
  std::string train = "Step,a - train/loss,b - train/loss\n";
  for (int step = 100; step <= 500; step += 100) {
    const double tokens = step * 1e6;
    absl::StrAppendFormat(&val, "%d,%.6f,%.6f,%.6f,%s\n", step, Loss(1e6, tokens), 0., 9.,
                          step == 300 ? "" : absl::StrFormat("%.6f", Loss(4e6, tokens)));
    absl::StrAppendFormat(&train, "%d,%.6f,%.6f\n", step + 50, 4.0, 3.9);
  }
  const std::string chart = Write("val.csv", val), chart2 = Write("train.csv", train);
  const std::string table =
      Write("runs.csv",
            "Name,State,n_params,batch_tokens,val/loss\na,finished,1000000,1000000,1\n"
            "b,finished,4000000,1000000,1\n");
  const std::string all = absl::StrCat(chart, " ", chart2, " ", table);
  Refuses("import wandb-csv w " + all, "--batch-tokens");
  Do("import wandb-csv w --unit loss=nats --batch-tokens batch_tokens " + all);
  const json runs = Json("runs w")["runs"];
  ASSERT_EQ(runs.size(), 2U);
  Do("export w");
  EXPECT_THAT(output_, AllOf(HasSubstr(",1000000,100000000,"), HasSubstr(",4000000,500000000,")));
  Do("export w --points");
  EXPECT_THAT(output_, AllOf(HasSubstr("train,150000000,150000000,4"),
                             Not(HasSubstr("4.00M,heldout,300000000"))))
      << output_;
  EXPECT_EQ(Json("sweeps")[0]["cells"], 2);  // the end of each
  Write("val.csv", "Step,a - val/loss\n100,three\n");
  Refuses("import wandb-csv w2 " + all, "val.csv:2: 'three' is no number");
  Write("val.csv", "Wall Time,a - val/loss\n100,3\n");
  Refuses("import wandb-csv w2 " + all, "the x axis is 'Wall Time'");
  Write("val.csv", "Step,z - val/loss\n100,3\n");
  Refuses("import wandb-csv w2 --batch-tokens 5 " + all, "no row for run 'z'");
}

TEST_F(ImportTest, AnMlrunsFolderIsRead) {
  const auto write = [&](const std::string& run, double params, const std::string& status) {
    const std::string at = "mlruns/0/" + run;
    Write(at + "/meta.yaml", absl::StrCat("artifact_uri: x\nrun_name: ", run, "-name\nstatus: ",
                                          status, "\nlifecycle_stage: active\n"));
    Write(at + "/params/n_params", absl::StrCat(params));
    std::string loss, tokens;
    for (int step = 1; step <= 5; ++step) {
      absl::StrAppendFormat(&loss, "170000%d %.6f %d\n", step, Loss(params, step * 1e6), step);
      absl::StrAppendFormat(&tokens, "170000%d %d %d\n", step, step * 1000000, step);
    }
    Write(at + "/metrics/val/loss", loss);
    Write(at + "/metrics/tokens", tokens);
  };
  Write("mlruns/0/meta.yaml", "name: Default\n");
  write("r1", 1e6, "3");
  write("r2", 2e6, "3");
  write("r3", 3e6, "5");  // killed
  Do("import mlflow m " + folder_.Path("mlruns"));
  EXPECT_THAT(output_, HasSubstr("'killed': the run did not end"));
  const json runs = Json("runs m")["runs"];
  ASSERT_EQ(runs.size(), 2U);
  EXPECT_THAT(runs[0]["spec"]["identity"]["settings"].dump(), HasSubstr("r1-name"));
  EXPECT_EQ(Json("fit m --method parametric --resamples 20")["observations"]["used"], 10);
  Write("mlruns/0/r1/metrics/val/loss", "1700 3.5 1\n1700 x 2\n");
  Refuses("import mlflow m2 " + folder_.Path("mlruns"), "loss:2: 'x' is no number");
  Write("mlruns/0/r1/metrics/val/loss", "1700 3.5 0\n1700 3.4 0\n");
  Refuses("import mlflow m2 " + folder_.Path("mlruns"), "logged without steps");
  Refuses("import mlflow m2 " + folder_.Path("nothing"), "no such folder");
}

TEST_F(ImportTest, ScalarsOfTensorboardAreReadAsTheirReaderPrintsThem) {
  std::string events = "run,series,step,value\n";
  for (int step = 1; step <= 5; ++step) {
    for (const auto& [run, params] : {std::pair("s", 1e6), std::pair("m", 4e6)}) {
      absl::StrAppendFormat(&events, "%s,eval/loss,%d,%.6f\n", run, step, Loss(params, step * 1e6));
    }
  }
  const std::string file = Write("events.csv", events);
  const std::string table = Write("sizes.csv", "run,params\ns,1e6\nm,4e6\n");
  Do("import tensorboard t --batch-tokens 1M --table " + table + " " + file);
  EXPECT_EQ(Json("runs t")["runs"].size(), 2U);
  // One N for all runs is a --set; two tokens a step were meant otherwise.
  Do("import tensorboard t1 --batch-tokens 1000000 --set params=5e6 " + file);
  Refuses("import tensorboard t2 --batch-tokens 0 --set params=5e6 " + file,
          "--batch-tokens is '0'");
  Refuses("import tensorboard t2 --batch-tokens 1000000 " + file, "N");
  std::filesystem::create_directory(folder_.Path("logs"));
  setenv("ALLO_PYTHON", "/nowhere/python3", 1);
  Refuses("import tensorboard t2 --batch-tokens 1000000 " + folder_.Path("logs"),
          "/nowhere/python3");
  setenv("ALLO_PYTHON", "/usr/bin/false", 1);
  Refuses("import tensorboard t2 --batch-tokens 1000000 " + folder_.Path("logs"),
          "pip install './python[tensorboard]'");
  unsetenv("ALLO_PYTHON");
}

v1::ImportSweepRequest ARequest() {
  v1::ImportSweepRequest request;
  request.set_name("r");
  request.set_source("a test");
  for (int i = 0; i < 5; ++i) {
    v1::ImportedRun& run = *request.add_runs();
    run.set_name(absl::StrCat("run ", i));
    run.set_size("1M");
    run.set_params(1'000'000);
    for (int k = 1; k <= 20; ++k) {
      run.add_tokens(k * 1000);
      run.add_losses(4.0 / k);
      run.add_ends_cell(k == 20);
    }
  }
  return request;
}

grpc::Status Call(v1::ClientService::Stub& client, const v1::ImportSweepRequest& request,
                  v1::ImportSweepResponse* response) {
  grpc::ClientContext context;
  return client.ImportSweep(&context, request, response);
}

TEST_F(ImportTest, ARequestThatNoClientOfOursMakesIsRefusedWithItsRunAndValue) {
  const auto client = coordinator_->client();
  const auto refuses = [&](const std::function<void(v1::ImportSweepRequest&)>& spoil,
                           const std::string& what) {
    v1::ImportSweepRequest request = ARequest();
    spoil(request);
    v1::ImportSweepResponse response;
    const grpc::Status status = Call(*client, request, &response);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << what;
    EXPECT_THAT(status.error_message(), HasSubstr(what));
  };
  using Request = v1::ImportSweepRequest;
  refuses([](Request& r) { r.mutable_runs(2)->set_tokens(3, 5); },
          "run 'run 2': heldout has D = 5");
  refuses([](Request& r) { r.mutable_runs(2)->set_tokens(0, 0); }, "D = 0 after 0");
  refuses([](Request& r) { r.mutable_runs(1)->add_losses(1); }, "20 tokens and 21 losses");
  refuses([](Request& r) { r.mutable_runs(1)->set_params(0); }, "run 'run 1': N is 0");
  refuses([](Request& r) { r.mutable_runs(1)->set_params_non_embedding(2e6); }, "2000000");
  refuses([](Request& r) { r.mutable_runs(1)->set_flops_per_token(NAN); }, "nan FLOPs per token");
  refuses([](Request& r) { r.mutable_runs(1)->set_epochs_per_token(-1); }, "-1 epochs");
  refuses([](Request& r) { r.mutable_runs(1)->set_name("run 0"); }, "it is there twice");
  refuses([](Request& r) { r.mutable_runs(1)->set_name(std::string(2000, 'x')); }, "name has 2000");
  refuses([](Request& r) { r.mutable_runs(0)->set_ends_cell(19, false); }, "ends_cell");
  refuses([](Request& r) { r.set_name("../x"); }, "is not a name");
  refuses([](Request& r) { r.set_schedule("steps"); }, "schedule 'steps'");
  refuses([](Request& r) { r.set_params_policy("paper"); }, "params_policy 'paper'");
  refuses([](Request& r) { r.clear_runs(); }, "no run");
  EXPECT_EQ(Json("sweeps").size(), 0U);  // nothing of them came in
}

TEST_F(ImportTest, ImportsAtOnceAddEveryPointOnce) {
  std::atomic<int64_t> points = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 6; ++i) {
    threads.emplace_back([&] {
      v1::ImportSweepResponse response;
      const grpc::Status status = Call(*coordinator_->client(), ARequest(), &response);
      EXPECT_TRUE(status.ok()) << status.error_message();
      points += response.new_points();
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(points, 100);
  Do("export r --points");
  EXPECT_EQ(std::count(output_.begin(), output_.end(), '\n'), 101);
}

TEST_F(ImportTest, OfARateThatFallsOnlyTheEndOfEachRunIsRead) {
  v1::ImportSweepRequest request = ARequest();
  request.set_schedule("cosine");
  v1::ImportSweepResponse response;
  ASSERT_TRUE(Call(*coordinator_->client(), request, &response).ok());
  Do("export r");
  EXPECT_EQ(std::count(output_.begin(), output_.end(), '\n'), 1 + 5);
}

}  // namespace
}  // namespace allometry::testing
