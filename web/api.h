// The data behind the page, under /api/. Answers are JSON unless they end in another way; an error
// is {"error": "a sentence"} with the HTTP status that fits.
//
//   settings                            {"allow_changes", "coordinator"}
//   sweeps, sweeps.csv                  every sweep
//   sweep?name=S                        a sweep with all runs and cells (page_json.h)
//   runs.csv?name=S                     its runs
//   changes?name=S&revision=R           the same and what changes, a line each, while the client
//   reads curves?name=S&run=1,2&series=heldout&x=flops&pixels=800&log=1&from=0&to=0, curves.csv
//   source.yaml?name=S                  the newest sweep file
//   export.csv?name=S&what=points       every stored point; what=observations: what a fit reads
//   fit?name=S&budgets=1e18,1e19&method=all&law=auto    {"fit_id", "report", "text"}, or
//                                       {"refused": "why the data give no fit"}; stores nothing
//   fit.svg?name=S                      the same as a picture
//   compare?a=S&b=T                     whether two sweeps' laws differ (fitting/report/compare.h)
//   predictions?name=S                  what was predicted, and how it did
//   run?id=7, run.json?id=7             a run with its attempts; what its trainer was given
//   workers
//   POST cancel, retry, preempt         {"name": S, "run_ids": [1, 2]}; no ids: all
//   POST label                          {"name": S, "add_tags": [], "remove_tags": [],
//                                       "note": "...", "archived": true}; what is not named stays
//   POST drain                          {"host": H, "drained": true, "reason": "..."}
#pragma once

#include "proto/client.grpc.pb.h"
#include "web/server.h"

namespace httplib {
class Server;
}

namespace allometry::web {

// Both outlive the server.
void AddApi(httplib::Server& server, const Options& options, v1::ClientService::Stub& coordinator);

}  // namespace allometry::web
