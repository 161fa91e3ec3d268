// SPDX-License-Identifier: Apache-2.0
#include "nearmiss/texts.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "hash_bytes.hpp"
#include "parallel.hpp"
#include "text_groups.hpp"

namespace nearmiss {
namespace {

constexpr std::size_t kTextsPerTask = 1024;
// Texts are shared out by the highest bits of their hashes: equal ones meet in one part.
constexpr int kPartBits = 6;
constexpr std::size_t kParts = std::size_t{1} << kPartBits;

using Bytes = std::span<const std::byte>;

// Texts as UTF-8. Those of another coding are written into a memory of its own, until the next one.
// Code points that UTF-8 has no place for (surrogates) are written as it would write them.
class Utf8 {
  public:
    [[nodiscard]] Bytes of(const Text& text) {
        switch (text.coding) {
        case Coding::utf8:
            return {static_cast<const std::byte*>(text.data), text.size};
        case Coding::latin1:
            return written(static_cast<const std::uint8_t*>(text.data), text.size);
        case Coding::ucs2:
            return written(static_cast<const std::uint16_t*>(text.data), text.size);
        case Coding::ucs4:
            return written(static_cast<const std::uint32_t*>(text.data), text.size);
        }
        return {};
    }

  private:
    template <class Unit>
    [[nodiscard]] Bytes written(const Unit* characters, std::size_t size) {
        if (bytes_.size() < 4 * size) bytes_.resize(4 * size);
        std::byte* end = bytes_.data();
        for (std::size_t i = 0; i < size; ++i) end = write(characters[i], end);
        return {bytes_.data(), end};
    }

    [[nodiscard]] static std::byte* write(std::uint32_t character, std::byte* to) noexcept {
        const auto following = [&](int shift) {
            return std::byte(0x80 | (character >> shift & 0x3F));
        };
        if (character < 0x80) {
            *to++ = std::byte(character);
        } else if (character < 0x800) {
            *to++ = std::byte(0xC0 | character >> 6);
            *to++ = following(0);
        } else if (character < 0x10000) {
            *to++ = std::byte(0xE0 | character >> 12);
            *to++ = following(6);
            *to++ = following(0);
        } else {
            *to++ = std::byte(0xF0 | character >> 18);
            *to++ = following(12);
            *to++ = following(6);
            *to++ = following(0);
        }
        return to;
    }

    std::vector<std::byte> bytes_;
};

struct Hashed {
    std::uint64_t hash;
    std::size_t place;
};

[[nodiscard]] std::vector<std::uint64_t> hash_texts(Hash hash,
                                                    std::span<const Text> texts,
                                                    const Execution& execution) {
    std::vector<std::uint64_t> hashes(texts.size());
    const std::size_t tasks = (texts.size() + kTextsPerTask - 1) / kTextsPerTask;
    run_parallel(tasks, tasks, execution, [&](std::size_t task, TaskContext& context) {
        Utf8 utf8;
        const std::size_t end = std::min(texts.size(), (task + 1) * kTextsPerTask);
        for (std::size_t place = task * kTextsPerTask; place < end; ++place) {
            if (texts[place].data == nullptr) continue;
            const Bytes bytes = utf8.of(texts[place]);
            hashes[place] = hash(bytes.data(), bytes.size());
        }
        context.checkpoint(1);
    });
    return hashes;
}

// The texts that there are, part by part, each part in the order of places.
struct Parts {
    std::vector<Hashed> texts;
    std::array<std::size_t, kParts + 1> first{};  // of each part, in `texts`

    [[nodiscard]] std::span<const Hashed> part(std::size_t number) const noexcept {
        return std::span(texts).subspan(first[number], first[number + 1] - first[number]);
    }
};

[[nodiscard]] Parts share_out(std::span<const Text> texts,
                              const std::vector<std::uint64_t>& hashes) {
    Parts parts;
    const auto part_of = [&](std::size_t place) { return hashes[place] >> (64 - kPartBits); };
    for (std::size_t place = 0; place < texts.size(); ++place)
        if (texts[place].data != nullptr) ++parts.first[part_of(place) + 1];
    for (std::size_t part = 0; part < kParts; ++part) parts.first[part + 1] += parts.first[part];
    parts.texts.resize(parts.first.back());
    auto next = parts.first;
    for (std::size_t place = 0; place < texts.size(); ++place)
        if (texts[place].data != nullptr)
            parts.texts[next[part_of(place)]++] = {hashes[place], place};
    return parts;
}

// Calls found(place, first place) for each text of a part.
template <class Found>
void find_first_equal(std::span<const Text> texts,
                      std::span<const Hashed> part,
                      TaskContext& context,
                      const Found& found) {
    Utf8 utf8, other_utf8;
    const auto equal = [&](std::size_t a, std::size_t b) {
        const Bytes left = utf8.of(texts[a]);
        const Bytes right = other_utf8.of(texts[b]);
        return left.size() == right.size() &&
               (left.empty() || std::memcmp(left.data(), right.data(), left.size()) == 0);
    };
    // Open addressing over the first text of each kind.
    const std::size_t num_slots = std::bit_ceil(2 * part.size());
    std::vector<const Hashed*> slots(num_slots, nullptr);
    std::size_t done = 0;
    for (const Hashed& text : part) {
        std::size_t slot = text.hash & (num_slots - 1);
        while (slots[slot] != nullptr &&
               !(slots[slot]->hash == text.hash && equal(slots[slot]->place, text.place)))
            slot = (slot + 1) & (num_slots - 1);
        if (slots[slot] == nullptr) slots[slot] = &text;
        found(text.place, slots[slot]->place);
        if (++done % kTextsPerTask == 0) context.checkpoint();
    }
}

}  // namespace

std::vector<std::int64_t> first_equal_by(Hash hash,
                                         std::span<const Text> texts,
                                         const Execution& execution) {
    const Parts parts = share_out(texts, hash_texts(hash, texts, execution));
    std::vector<std::int64_t> firsts(texts.size(), -1);
    run_parallel(kParts, kParts, execution, [&](std::size_t part, TaskContext& context) {
        find_first_equal(
            texts, parts.part(part), context, [&](std::size_t place, std::size_t first) {
                firsts[place] = static_cast<std::int64_t>(first);
            });
        context.checkpoint(1);
    });
    return firsts;
}

std::vector<std::int64_t> first_equal(std::span<const Text> texts, const Execution& execution) {
    return first_equal_by(hash_bytes, texts, execution);
}

}  // namespace nearmiss
