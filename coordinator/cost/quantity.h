// Quantities as text for people, a few characters each.
#pragma once

#include <string>

namespace allometry::cost {

std::string CountText(double count);       // 5136, 41.22k, 894.3M, 3.6T
std::string FlopsText(double flops);       // 3.00e12
std::string DurationText(double seconds);  // 0.4s, 12s, 4m 10s, 3h 20m, 2d 05h, 7.3y
std::string BytesText(double bytes);       // 512 B, 3.2 MiB, 1.5 GiB

}  // namespace allometry::cost
