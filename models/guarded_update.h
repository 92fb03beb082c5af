// An update of a model in training whose numbers lie on the model's device.
//
// On a GPU the host enqueues updates ahead of the device, so it cannot look at a loss before it
// asks for the update that follows from it. The device does: an update whose loss is not finite,
// and every one after it, changes nothing and says so in the report, which the host reads now and
// then.
#pragma once

#include <memory>

#include "models/adamw.h"
#include "models/update_numbers.h"

namespace allometry::models {

class GuardedUpdate {
 public:
  virtual ~GuardedUpdate() = default;

  // AdamW's update `inputs->step`, where `report` has no failed step and a finite loss. All lies in
  // memory of the update's device; on a GPU the call only enqueues work.
  virtual void Apply(const AdamWState& state, const UpdateInputs* inputs, UpdateReport* report) = 0;
};

// On CPUs, with AdamW's bits.
std::unique_ptr<GuardedUpdate> CreateHostUpdate(const ParameterLayout& layout,
                                                const AdamWOptions& options);

}  // namespace allometry::models
