// The numbers of an update of a model in training. Plain: CUDA kernels read them too.
#pragma once

namespace allometry::models {

struct AdamWOptions {
  double beta1 = 0.9;
  double beta2 = 0.95;
  double weight_decay = 0.1;
  double epsilon = 1e-8;
  double clip_norm = 1.0;  // 0: no clipping
};

// Set by the host before an update (guarded_update.h).
struct UpdateInputs {
  double step = 0;  // from 1
  double rate = 0;
  double command = 0;  // what the caller has the ranks add up with the loss
};

// Left by it.
struct UpdateReport {
  // Of this update, summed over micro-batches and ranks by the caller.
  double loss = 0;
  double command = 0;
  double gradient_norm = 0;  // before clipping, of the last update applied
  // Over the updates applied; they go on from what the caller sets.
  double loss_sum = 0;
  double loss_count = 0;
  double failed_step = 0;  // of the first update whose loss is not finite; 0: none
  double failed_loss = 0;
};

}  // namespace allometry::models
