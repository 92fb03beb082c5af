// A run of kind evaluate: the quality of another run's checkpoints, measured on videos (videos.h),
// or, of models of objective `action`, by what they get in an environment (clone_player.h).
//
// A step is that of a checkpoint, and every step of the attempt has one among its inputs. For each,
// in ascending order, with h frames after the real one, h in {1, 3, 7, 15, ..} and the last:
//
//   token_accuracy_h1, ..        share of the frame's observation tokens equal to the real ones
//   cell_error_h1, ..            of Strata, where tokens lose nothing: share of cells with another
//                                tile
//   perceptual_h1, ..            of codes of images: mean of 1 - cosine of what the tokenizer's
//                                encoder sees in the frame, decoded, and in the real one's codes,
//                                decoded
//   frechet_inverse, frechet_random   Fréchet distances from the real videos to the generated ones,
//                                by the features of video_features.h; and, with _floor behind the
//                                name, to other real videos: what no model can be told from
//   return, return_se, real_reward, s_ern   in place of these, where episodes are asked for
//                                (play.h)
//   heldout                      nats a token on the same windows, as training has it; of videos
//                                longer than the model's window on their first frames
//
// `heldout` comes last: a step that has it has all. An attempt evaluates the steps that it was
// given, so one that is lost costs the step that it was at. Videos are the windows 0, 2, 4, .. of
// twice as many as were asked for, the other real ones 1, 3, 5, ..; where the held-out split has
// fewer, the videos are all that there are, and there is no floor. Distances are left out below 100
// samples.
//
// Every value is a function of (identity, checkpoint), whatever was evaluated before.
#pragma once

#include <memory>

#include "worker/trainer/training.h"

namespace allometry::trainer {

// Of one rank, on a CPU. Errors as of Training::Create.
absl::StatusOr<std::unique_ptr<Training>> CreateEvaluation(TrainingParts parts);

}  // namespace allometry::trainer
