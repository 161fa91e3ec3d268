// SPDX-License-Identifier: Apache-2.0
// The rules applied to a block of queries: most rows are told at a glance.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "admission.hpp"
#include "kernels/kernels.hpp"
#include "packed_corpus.hpp"

namespace nearmiss {

// What is known of the groups of a panel's rows.
struct GroupsOfPanel {
    const std::int64_t* only = nullptr;  // that of all of them; null unless they are of one
    bool are_right = false;              // rule no row out for any query of the block
};

// Not thread-safe.
class BlockAdmission {
  public:
    // `rules`: null where every row is admissible. Both must outlive the object.
    BlockAdmission(const AdmissionRules* rules, const PackedCorpus& corpus)
        : rules_(rules),
          corpus_(corpus) {}

    void prepare(std::span<const std::uint32_t> queries);

    // Those of a panel's lanes whose rows no limit but those on scores rules out for query i of the
    // block.
    [[nodiscard]] std::uint16_t admissible(std::size_t i,
                                           std::size_t panel,
                                           std::uint16_t lanes,
                                           GroupsOfPanel groups) const noexcept {
        if (rules_ == nullptr) return lanes;
        bool right = groups.are_right || !rules_->use_groups();
        if (!right && groups.only != nullptr) {
            if (rules_->wrong_group(glances_[i].group, *groups.only)) return 0;
            right = true;
        }
        if (right && !names_any(i, panel)) return lanes;
        return look_closely(i, panel, lanes, right);
    }

    // Whether it is known that no limit but those on scores rules any of a panel's rows out for any
    // query of the block. `groups_are_right`: no group does.
    [[nodiscard]] bool admits_all(std::size_t panel, bool groups_are_right) const noexcept {
        if (rules_ == nullptr) return true;
        if (rules_->use_values() || (rules_->use_groups() && !groups_are_right)) return false;
        return !is_named(panel);
    }

    // The queries with groups in [lowest, highest], as first and past-the-last; queries must be in
    // the order of their groups.
    [[nodiscard]] std::pair<std::size_t, std::size_t> of_groups(std::int64_t lowest,
                                                                std::int64_t highest) const;

  private:
    struct Glance {
        std::int64_t group;
        // A bit of names_ for the panels of every row that is ruled out by name; for all panels
        // where values play a part.
        std::uint32_t first_word;
        std::uint32_t shift;
        // Where these rows are in the corpus, in named_.
        std::uint32_t first_named;
        std::uint32_t last_named;
    };

    [[nodiscard]] bool is_named(std::size_t panel) const noexcept {
        return (named_panels_[panel / 64] >> (panel % 64) & 1) != 0;
    }
    // Whether query i may name a row of the panel.
    [[nodiscard]] bool names_any(std::size_t i, std::size_t panel) const noexcept {
        if (!is_named(panel)) return false;
        const Glance& glance = glances_[i];
        const std::uint32_t bit = place_of(panel, glance.shift);
        return (names_[glance.first_word + bit / 64] >> (bit % 64) & 1) != 0;
    }
    [[nodiscard]] static std::uint32_t place_of(std::size_t panel, std::uint32_t shift) noexcept {
        return static_cast<std::uint32_t>(panel) * 0x9E3779B1u >> shift;
    }
    void prepare_query(const Admission& admission);
    // Adds the positions of rows ruled out by name.
    void name_rows(const Admission& admission);
    [[nodiscard]] std::uint16_t look_closely(std::size_t i,
                                             std::size_t panel,
                                             std::uint16_t lanes,
                                             bool groups_are_right) const noexcept;
    [[nodiscard]] std::uint16_t named_lanes(const Glance& glance, std::size_t panel) const noexcept;

    const AdmissionRules* rules_;
    const PackedCorpus& corpus_;
    std::vector<Glance> glances_;
    std::vector<std::uint64_t> names_;
    std::vector<std::uint32_t> named_;  // query by query, ascending
    // A bit for each: holds a row named for some query; for all where values play a part.
    std::vector<std::uint64_t> named_panels_;
    std::vector<Admission> admissions_;  // where values play a part
};

}  // namespace nearmiss
