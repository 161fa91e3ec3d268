// SPDX-License-Identifier: Apache-2.0
#include "block_admission.hpp"

#include <algorithm>

namespace nearmiss {

using kernels::kPanelRows;

void BlockAdmission::prepare(std::span<const std::uint32_t> queries) {
    glances_.clear();
    names_.clear();
    named_.clear();
    admissions_.clear();
    if (rules_ == nullptr) return;
    const std::uint64_t others = rules_->use_values() ? ~std::uint64_t{0} : 0;
    named_panels_.assign(corpus_.num_panels() / 64 + 1, others);
    for (const std::uint32_t query : queries) {
        Admission admission(*rules_, query);
        prepare_query(admission);
        if (rules_->use_values()) admissions_.push_back(std::move(admission));
    }
}

void BlockAdmission::prepare_query(const Admission& admission) {
    constexpr std::size_t kBitsPerRow = 32;
    constexpr std::size_t kLeastBits = 64;
    constexpr std::size_t kMostBits = std::size_t{1} << 20;
    const std::size_t first = named_.size();
    name_rows(admission);
    const std::span<const std::uint32_t> named = std::span(named_).subspan(first);
    const std::size_t bits =
        std::bit_ceil(std::clamp(named.size() * kBitsPerRow, kLeastBits, kMostBits));
    const Glance glance{admission.group(),
                        static_cast<std::uint32_t>(names_.size()),
                        static_cast<std::uint32_t>(32 - std::countr_zero(bits)),
                        static_cast<std::uint32_t>(first),
                        static_cast<std::uint32_t>(named_.size())};
    const std::uint64_t others = rules_->use_values() ? ~std::uint64_t{0} : 0;
    names_.resize(names_.size() + bits / 64, others);
    for (const std::uint32_t position : named) {
        const std::size_t panel = position / kPanelRows;
        const std::uint32_t bit = place_of(panel, glance.shift);
        names_[glance.first_word + bit / 64] |= std::uint64_t{1} << (bit % 64);
        named_panels_[panel / 64] |= std::uint64_t{1} << (panel % 64);
    }
    glances_.push_back(glance);
}

void BlockAdmission::name_rows(const Admission& admission) {
    const std::size_t first = named_.size();
    const auto add = [&](std::uint32_t row) { named_.push_back(corpus_.position_of(row)); };
    for (const std::uint32_t row : admission.listed()) add(row);
    for (const std::uint32_t lowest : admission.positive_classes())
        rules_->duplicates->for_each_row(lowest, add);
    std::sort(named_.begin() + static_cast<std::ptrdiff_t>(first), named_.end());
}

std::uint16_t BlockAdmission::look_closely(std::size_t i,
                                           std::size_t panel,
                                           std::uint16_t lanes,
                                           bool groups_are_right) const noexcept {
    const Glance& glance = glances_[i];
    lanes = static_cast<std::uint16_t>(lanes & ~named_lanes(glance, panel));
    if (groups_are_right && !rules_->use_values()) return lanes;
    for (std::uint32_t rest = lanes; rest != 0; rest &= rest - 1) {
        const auto lane = static_cast<std::size_t>(std::countr_zero(rest));
        const std::uint32_t row = corpus_.row_at(panel * kPanelRows + lane);
        const bool wrong_group =
            !groups_are_right && rules_->wrong_group(glance.group, rules_->corpus_groups[row]);
        const bool wrong_value =
            rules_->use_values() && admissions_[i].wrong_value(rules_->corpus_values[row]);
        if (wrong_group || wrong_value) lanes = static_cast<std::uint16_t>(lanes & ~(1u << lane));
    }
    return lanes;
}

std::uint16_t BlockAdmission::named_lanes(const Glance& glance, std::size_t panel) const noexcept {
    const std::uint32_t* const end = named_.data() + glance.last_named;
    std::uint32_t lanes = 0;
    for (const std::uint32_t* at =
             std::lower_bound(named_.data() + glance.first_named, end, panel * kPanelRows);
         at != end && *at / kPanelRows == panel;
         ++at)
        lanes |= 1u << (*at % kPanelRows);
    return static_cast<std::uint16_t>(lanes);
}

std::pair<std::size_t, std::size_t> BlockAdmission::of_groups(std::int64_t lowest,
                                                              std::int64_t highest) const {
    const auto first =
        std::partition_point(glances_.begin(), glances_.end(), [=](const Glance& glance) {
            return glance.group < lowest;
        });
    const auto last = std::partition_point(
        first, glances_.end(), [=](const Glance& glance) { return glance.group <= highest; });
    return {static_cast<std::size_t>(first - glances_.begin()),
            static_cast<std::size_t>(last - glances_.begin())};
}

}  // namespace nearmiss
