// An environment that is another program: "process:PROGRAM" or "process:PROGRAM:GAME".
//
// PROGRAM is a path, or the name of a program in PATH; it is started without arguments, and with
// one copy of the program all copies of the game are played. It reads requests on its standard
// input and writes answers to its standard output, both little-endian, each answer flushed:
//
//   request                        answer
//   I u32 n, u8 length, GAME       u32 actions, u16 height, u16 width, u8 channels
//   R n x i64 episode (-1: leave)  n images of height * width * channels bytes
//   S n x u8 action                n x f32 reward, n x u8 flags, n images
//   Q                              none: it ends
//
// `I` comes first and once; n is then the number of copies. Flags are those of environment.h. A
// game must be a function of the episode's number and of the actions. What it writes to its
// standard error is shown where it fails.
//
// An answer that is short or does not come within 30 s is Unavailable, with the last lines of the
// program's standard error. The program is ended with its environment.
#pragma once

#include "environments/environment.h"

namespace allometry::environments {

inline constexpr int kAnswerMs = 30'000;

absl::StatusOr<std::unique_ptr<Environment>> CreateProcess(const std::string& name, int copies);
// The same with another limit for an answer.
absl::StatusOr<std::unique_ptr<Environment>> StartProcess(const std::string& name, int copies,
                                                          int answer_ms);
absl::Status CheckProcessName(const std::string& name);

}  // namespace allometry::environments
