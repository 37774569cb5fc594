// Which key a request is about: all alike, or a few far more often than the rest.
//
// Zipf: key k of n is drawn in proportion to 1 / (k + 1)^0.99, the skew of YCSB's workloads. Drawn
// by rejection-inversion (Hörmann and Derflinger, "Rejection-inversion to generate variates from
// monotone discrete distributions", 1996): exact, without a table, at about 1.1 tries per key.
#pragma once

#include <cmath>
#include <cstdint>

#include "runtime/base/prng.h"

namespace pakv {

class KeyDraw {
 public:
  enum class Kind : uint8_t { kEven, kZipf };

  // Of the keys 0 to keys - 1; at least one.
  KeyDraw(Kind kind, uint64_t keys)
      : kind_(keys > 1 ? kind : Kind::kEven),
        keys_(keys),
        area_first_(Area(1.5) - 1),
        area_all_(Area(static_cast<double>(keys) + 0.5)),
        sure_(2 - Inverse(Area(2.5) - std::pow(2, -kSkew))) {}

  uint64_t Next(Prng& prng) const {
    if (kind_ == Kind::kEven) return prng.Below(keys_);
    while (true) {
      const double part = static_cast<double>(prng.Below(kSteps)) / static_cast<double>(kSteps);
      const double u = area_all_ + part * (area_first_ - area_all_);
      const double x = Inverse(u);
      const double rank = std::fmin(std::fmax(std::floor(x + 0.5), 1), static_cast<double>(keys_));
      if (rank - x <= sure_ || u >= Area(rank + 0.5) - std::pow(rank, -kSkew)) {
        return static_cast<uint64_t>(rank) - 1;
      }
    }
  }

 private:
  static constexpr double kSkew = 0.99;
  static constexpr uint64_t kSteps = uint64_t{1} << 53;

  // The integral of x^-skew from 1, and its inverse.
  static double Area(double x) { return std::expm1((1 - kSkew) * std::log(x)) / (1 - kSkew); }
  static double Inverse(double area) {
    return std::exp(std::log1p(area * (1 - kSkew)) / (1 - kSkew));
  }

  const Kind kind_;
  const uint64_t keys_;
  const double area_first_;
  const double area_all_;
  const double sure_;  // a rank so close above x is taken without a look at the areas
};

}  // namespace pakv
