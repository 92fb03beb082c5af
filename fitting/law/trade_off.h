// Models other than the compute-optimal one, and what they cost.
//
// Serving (Sardana and Frankle 2024, "Beyond Chinchilla-Optimal", eq. 3). A model that T tokens
// will be asked of costs C = 6 N D to train and 2 N T to serve. Of all models with the loss that
// the compute-optimal one of a budget C has, the cheapest is
//
//   argmin over N, D of  k N^s (D + T / 3)   subject to  L(N, D) = L*(C)
//
// where C = k N^s D (fitting/law/quantity.h) and a forward pass costs a third of a training step.
// It is smaller than N*(C) and trained on more tokens.
//
// Over-training. A model m times smaller than N*(C):
//   at the same C it sees more tokens and has the loss L(N*/m, D'), k (N*/m)^s D' = C;
//   for the loss L*(C) it needs the tokens D'' with L(N*/m, D'') = L*(C), which is the multiple
//   (N*/m)^s D'' / (N*^s D*) of C. Infinite where a model of that size never gets there.
//
// All take data to be unique, and hold for every law of the table: only ln L(N, D) is asked.
#pragma once

#include <vector>

#include "fitting/law/quantity.h"

namespace allometry::fitting {

// Of one budget and one number of served tokens, in this order:
//   ln N, ln D, ln of the training FLOPs, ln of all FLOPs, and the part of all FLOPs that is saved
//   against N*(C) serving the same tokens.
enum ServingPart {
  kServeParams,
  kServeTokens,
  kServeTraining,
  kServeTotal,
  kServeSaved,
  kServeParts
};
std::vector<Quantity> ServingQuantities(double flops, double served_tokens, const Cost& cost);

// Of one budget and one m: ln N, ln D' and L at the same C, and ln of the multiple of C that L*(C)
// takes.
enum SmallerPart { kSmallerParams, kSmallerTokens, kSmallerLoss, kSmallerMultiple, kSmallerParts };
std::vector<Quantity> SmallerQuantities(double flops, double times_smaller, const Cost& cost);

}  // namespace allometry::fitting
