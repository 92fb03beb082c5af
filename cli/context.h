// What every command of `allo` shares: where the coordinator is, how to print, and exit codes.
//
// Exit codes, for scripts:
//   0  done
//   1  it was understood and failed: a run failed, a fit was refused, a sweep is not there
//   2  bad usage or bad input: nothing was sent or changed
//   3  no coordinator answers
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/status.h"
#include "proto/client.grpc.pb.h"

namespace allometry::cli {

inline constexpr int kExitOk = 0;
inline constexpr int kExitFailed = 1;
inline constexpr int kExitBadInput = 2;
inline constexpr int kExitUnreachable = 3;

struct Context {
  std::string coordinator;         // HOST:PORT or unix:PATH
  bool coordinator_named = false;  // by an option or the environment: not the default
  std::string coordinator_option = "--coordinator";  // or the variable that named it
  std::string tls_ca;      // PEM file; empty: the token proves the coordinator
  std::string token_file;  // needed on TCP
  std::string data_dir;
  bool json = false;

  // Set by the command that the arguments name.
  std::function<int()> run;
};

// A stub on the coordinator of `context`. Does not wait for it to answer. Errors as
// transport::Connect.
absl::StatusOr<std::unique_ptr<v1::ClientService::Stub>> Connect(const Context& context);

// A call's context with a deadline; 0: none.
std::unique_ptr<grpc::ClientContext> MakeCall(const Context& context, int timeout_s);

// The error as sentences for people.
std::string Explain(const Context& context, const grpc::Status& status);

// Prints the error as sentences on standard error and returns the exit code that fits it.
int Fail(const Context& context, const grpc::Status& status);
int Fail(const absl::Status& status);

}  // namespace allometry::cli
