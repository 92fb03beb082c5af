// allo backup PATH: a consistent copy of the coordinator's database while it works.
#include <filesystem>
#include <iostream>

#include "CLI/CLI.hpp"
#include "absl/strings/str_format.h"
#include "base/files.h"
#include "base/output_file.h"
#include "cli/commands.h"
#include "nlohmann/json.hpp"

namespace allometry::cli {
namespace {

struct Arguments {
  std::string path;
  bool force = false;
};

// What the coordinator said about the whole copy, in its last message.
struct Promise {
  int64_t bytes = 0;
  std::string hash;
};

// The copy has the leases' tokens, so it is its owner's alone.
const OutputOptions kOutput = {.may_replace_database = true, .only_owner = true};

absl::Status MayWrite(const Arguments& arguments) {
  ALLO_RETURN_IF_ERROR(Annotate(CheckOutput(arguments.path, kOutput), "allo"));
  std::error_code ignored;
  if (!std::filesystem::exists(arguments.path, ignored)) return absl::OkStatus();
  if (!std::filesystem::is_regular_file(arguments.path, ignored)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "allo: ", arguments.path, " is a device or a pipe; name a file, which can be verified"));
  }
  if (!arguments.force) {
    return absl::InvalidArgumentError(absl::StrCat(
        "allo: ", arguments.path, " is there already; --force replaces it, after a whole copy"));
  }
  return absl::OkStatus();
}

absl::Status Verify(const Promise& promise, const OutputFile& file) {
  if (promise.hash.empty()) return absl::DataLossError("the copy ended before its last message");
  ALLO_ASSIGN_OR_RETURN(const std::string hash, HashFileHex(file.temporary_path()));
  if (hash != promise.hash) {
    return absl::DataLossError(
        absl::StrCat("what arrived has the hash ", hash, ", what was sent has ", promise.hash));
  }
  return absl::OkStatus();
}

// The log of a database that was replaced would be read into the new one.
void ForgetLogOf(const std::string& path) {
  std::error_code ignored;
  for (const char* suffix : {"-wal", "-shm"}) std::filesystem::remove(path + suffix, ignored);
}

int NotMade(const Arguments& arguments, const absl::Status& status) {
  std::cerr << "allo: " << arguments.path << " was not written: " << status.message();
  if (absl::IsResourceExhausted(status)) std::cerr << "; make room, or name another disk";
  std::cerr << "\n";
  return absl::IsNotFound(status) ? kExitBadInput : kExitFailed;
}

int Print(const Context& context, const Arguments& arguments, const Promise& promise) {
  if (context.json) {
    nlohmann::ordered_json json = {
        {"path", arguments.path}, {"bytes", promise.bytes}, {"hash", promise.hash}};
    std::cout << json.dump() << "\n";
  } else {
    std::cout << absl::StrFormat("%s: %.1f MB, verified; 'allo coordinator --db %s' starts on it\n",
                                 arguments.path, static_cast<double>(promise.bytes) / 1e6,
                                 arguments.path);
  }
  return kExitOk;
}

int Backup(const Context& context, const Arguments& arguments) {
  if (const absl::Status may = MayWrite(arguments); !may.ok()) return Fail(may);
  absl::StatusOr<std::unique_ptr<v1::ClientService::Stub>> stub = Connect(context);
  if (!stub.ok()) return Fail(stub.status());
  const std::unique_ptr<grpc::ClientContext> call = MakeCall(context, 0);
  const auto reader = (*stub)->Backup(call.get(), v1::BackupRequest());
  std::unique_ptr<OutputFile> file;
  Promise promise;
  absl::Status written;
  v1::BackupResponse piece;
  while (written.ok() && reader->Read(&piece)) {
    if (file == nullptr) {
      absl::StatusOr<std::unique_ptr<OutputFile>> created =
          OutputFile::Create(arguments.path, kOutput);
      written = created.status();
      if (!written.ok()) break;
      file = *std::move(created);
    }
    written = file->Append(piece.data());
    if (!piece.hash().empty()) promise = {piece.total_bytes(), piece.hash()};
  }
  if (!written.ok()) {
    call->TryCancel();
    return NotMade(arguments, written);
  }
  if (const grpc::Status status = reader->Finish(); !status.ok()) return Fail(context, status);
  if (file == nullptr) return NotMade(arguments, absl::DataLossError("the copy is empty"));
  written = Verify(promise, *file);
  if (written.ok()) written = MayWrite(arguments);  // somebody else may have been faster
  if (written.ok()) written = file->Commit();
  if (written.ok()) ForgetLogOf(arguments.path);
  return written.ok() ? Print(context, arguments, promise) : NotMade(arguments, written);
}

}  // namespace

void AddBackup(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand(
      "backup", "copy the coordinator's database while it works: a file that a coordinator opens");
  auto arguments = std::make_shared<Arguments>();
  command->add_option("PATH", arguments->path, "file to write, whole or not at all")->required();
  command->add_flag("--force", arguments->force, "replace a file that is there");
  command->callback([&context, arguments] {
    context.run = [&context, arguments] { return Backup(context, *arguments); };
  });
}

}  // namespace allometry::cli
