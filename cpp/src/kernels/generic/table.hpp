// SPDX-License-Identifier: Apache-2.0
// Fills the function table of the target whose shim was included before this file. The generated
// source of each target (see isa.cmake) defines NEARMISS_TARGET and includes both; the table is the
// only symbol it exports.
#pragma once

#include "kernels/generic/encode.hpp"
#include "kernels/generic/logarithms.hpp"
#include "kernels/generic/nearest.hpp"
#include "kernels/generic/noise.hpp"
#include "kernels/generic/pairs.hpp"
#include "kernels/generic/rows.hpp"
#include "kernels/generic/screen.hpp"
#include "kernels/generic/screen_codes.hpp"
#include "kernels/kernels.hpp"

#define NEARMISS_TABLE_NAME(target) NEARMISS_TABLE_NAME_(target)
#define NEARMISS_TABLE_NAME_(target) kernel_table_##target
#define NEARMISS_TARGET_STRING(target) NEARMISS_TARGET_STRING_(target)
#define NEARMISS_TARGET_STRING_(target) #target

namespace {

template <class T>
constexpr nearmiss::kernels::KernelTable::PerType kernels_of_type = {
    &inner_products<T>,
    &squared_distances<T>,
    &squared_norm<T>,
    &interleave<T>,
    &to_float<T>,
    &add_rows<T>,
};

}  // namespace

namespace nearmiss::kernels {

extern const KernelTable NEARMISS_TABLE_NAME(NEARMISS_TARGET);
constinit const KernelTable NEARMISS_TABLE_NAME(NEARMISS_TARGET) = {
    NEARMISS_TARGET_STRING(NEARMISS_TARGET),
    kPanelsAtOnce,
    &screen,
    &near_greatest,
    &rotate,
    {kCodeSpeed, kCodeSumsAreWide, &screen_codes<Int8Codes, TileHit>, &quantise<kCodesPerStep>},
    {kInt16Speed, true, &screen_codes<Int16Codes, TileHit>, &quantise<kInt16CodesPerStep>},
    &screen_codes<Int8Codes, TilePass>,
    &int8_products,
    &logarithms,
    &exponentials,
    &random_bits,
    &noisy_keys,
    &key_bounds,
    &rank_floor,
    &keys_from,
    &count_greater,
    &pair_products,
    &pair_distances,
    {
        kernels_of_type<float>,
        kernels_of_type<Half>,
        kernels_of_type<BFloat16>,
        kernels_of_type<std::int8_t>,
        kernels_of_type<std::uint8_t>,
    },
};

}  // namespace nearmiss::kernels
