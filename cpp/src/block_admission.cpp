// SPDX-License-Identifier: Apache-2.0
#include "block_admission.hpp"

#include <algorithm>

namespace nearmiss {

using kernels::kPanelRows;

void BlockAdmission::prepare(std::span<const std::uint32_t> queries) {
    admissions_.clear();
    glances_.clear();
    names_.clear();
    if (rules_ == nullptr) return;
    names_are_all_ = !rules_->use_groups() && !rules_->use_values();
    named_panels_.assign(corpus_.num_panels() / 64 + 1, 0);
    for (const std::uint32_t query : queries) {
        admissions_.emplace_back(*rules_, query);
        gather_panels(admissions_.back());
        for (const std::size_t panel : panels_)
            named_panels_[panel / 64] |= std::uint64_t{1} << (panel % 64);
        glances_.push_back(glance_at_panels(admissions_.back().group()));
    }
}

void BlockAdmission::gather_panels(const Admission& admission) {
    panels_.clear();
    const auto add = [&](std::uint32_t row) {
        panels_.push_back(corpus_.position_of(row) / kPanelRows);
    };
    for (const std::uint32_t row : admission.listed()) add(row);
    for (const std::uint32_t lowest : admission.positive_classes())
        rules_->duplicates->for_each_row(lowest, add);
}

BlockAdmission::Glance BlockAdmission::glance_at_panels(std::int64_t group) {
    constexpr std::size_t kBitsPerPanel = 16;
    constexpr std::size_t kLeastBits = 64;
    constexpr std::size_t kMostBits = std::size_t{1} << 20;
    const std::size_t bits =
        std::bit_ceil(std::clamp(panels_.size() * kBitsPerPanel, kLeastBits, kMostBits));
    const Glance glance{group,
                        static_cast<std::uint32_t>(names_.size()),
                        static_cast<std::uint32_t>(32 - std::countr_zero(bits))};
    const std::uint64_t others = rules_->use_values() ? ~std::uint64_t{0} : 0;
    names_.resize(names_.size() + bits / 64, others);
    for (const std::size_t panel : panels_) {
        const std::uint32_t bit = place_of(panel, glance.shift);
        names_[glance.first_word + bit / 64] |= std::uint64_t{1} << (bit % 64);
    }
    return glance;
}

std::uint16_t BlockAdmission::look_closely(std::size_t i,
                                           std::size_t panel,
                                           std::uint16_t lanes,
                                           bool groups_are_right) const noexcept {
    const Admission& admission = admissions_[i];
    for (std::uint32_t rest = lanes; rest != 0; rest &= rest - 1) {
        const auto lane = static_cast<std::size_t>(std::countr_zero(rest));
        const std::uint32_t row = corpus_.row_at(panel * kPanelRows + lane);
        const bool out =
            groups_are_right ? admission.ruled_out_in_group(row) : admission.ruled_out(row);
        if (out) lanes = static_cast<std::uint16_t>(lanes & ~(1u << lane));
    }
    return lanes;
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
