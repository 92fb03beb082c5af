// How `allo` shows numbers and rows to people. Scripts use --json.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "proto/types.pb.h"

namespace allometry::cli {

// A line of what a submission changes, as a dry run says it: "would add: adds size 80k: 1 run", or
// "left out: 10k at 1e10 FLOPs: ..." as it is.
std::string WouldAdd(const std::string& change);

// "4.9k", "1.25M", "36.0M"; below 1000 as it is.
std::string Short(double value);
// "3.00e12".
std::string Scientific(double value);
// Numbers as sweep files have them (5k, 1.2M, 1_000) as plain ones, alone or in a list with commas
// and ranges with "..". What is no number stays, for whoever reads the list to name.
std::string PlainNumbers(const std::string& text);
// A check for CLI11: empty where `text` is a number above 0, otherwise what is wrong with it.
std::string CheckAboveZero(const std::string& text);
// "45s", "3m 05s", "2h 10m"; "?" when negative.
std::string Duration(double seconds);
// "2026-11-30 17:05", in the time of this machine.
std::string LocalTime(int64_t unix_us);
// "4,904".
std::string Grouped(int64_t value);
// "2.3412", or "-" for 0 (no value yet).
std::string Loss(double nats);

// "waiting", "running", "done", "failed: DIVERGED", "cancelled".
std::string StateWord(const v1::Run& run);
// The size, and under a rate that falls what the run is: "40k trunk", "40k from 400" of a branch
// that leaves its trunk at step 400, "40k cosine".
std::string SizeWord(const v1::Run& run);

// Rows as columns two spaces apart; the first row is the heading. Columns named in `left` are left
// aligned, others right. Every line begins with `indent` spaces; no trailing spaces.
std::string Columns(const std::vector<std::vector<std::string>>& rows,
                    const std::vector<bool>& left, int indent = 2);

// "0.42 device-hours used", "0.42 of 2 device-hours used (limits.max_device_hours)".
std::string DeviceHours(const v1::Sweep& sweep);

// The stages of a sweep, each with its rule and how far it is; empty of a sweep without stages.
std::string StagesText(const v1::Sweep& sweep);
bool StagesDone(const v1::Sweep& sweep);

// The run did what it was for: it succeeded, or it was a tuning run and showed that its learning
// rate is too large.
bool ServedItsPurpose(const v1::Run& run);

// Why a run waits, in one line; of a failed one the last line of its log.
std::string WhyWord(const v1::Run& run);

// The table of `allo runs`. Seed, learning rate and ranks have a column where runs differ in them.
std::string RunsTable(const std::vector<v1::Run>& runs);

}  // namespace allometry::cli
