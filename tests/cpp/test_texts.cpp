// SPDX-License-Identifier: Apache-2.0
// Equal texts from C++: bad hashes, every coding. Python compares with a dictionary.
#include "nearmiss/texts.hpp"

#include <string>
#include <string_view>
#include <vector>

#include "check.hpp"
#include "text_groups.hpp"

using nearmiss::Coding;
using nearmiss::first_equal;
using nearmiss::first_equal_by;
using nearmiss::Text;

namespace {

using Places = std::vector<std::int64_t>;

Text utf8(std::string_view text) { return {text.data(), text.size()}; }

std::uint64_t zero(const std::byte*, std::size_t) noexcept { return 0; }
std::uint64_t size_of(const std::byte*, std::size_t size) noexcept { return size; }
std::uint64_t high_bits(const std::byte*, std::size_t size) noexcept {
    return std::uint64_t{size % 3} << 62;
}

}  // namespace

TEST(equal_hashes_do_not_make_texts_equal) {
    std::vector<std::string> strings;
    for (std::size_t i = 0; i < 300; ++i)
        strings.push_back(std::string(i % 7, 'x') + std::to_string(i % 120));
    const auto is_none = [](std::size_t i) { return i % 11 == 5; };
    std::vector<Text> texts;
    Places expected;
    for (std::size_t i = 0; i < strings.size(); ++i) {
        texts.push_back(is_none(i) ? Text{} : utf8(strings[i]));
        std::size_t first = 0;
        while (first < i && (is_none(first) || strings[first] != strings[i])) ++first;
        expected.push_back(is_none(i) ? -1 : static_cast<std::int64_t>(first));
    }
    for (const std::size_t threads : {1u, 2u, 7u}) {
        CHECK(first_equal(texts, {.num_threads = threads, .progress = {}}) == expected);
        for (const auto hash : {zero, size_of, high_bits})
            CHECK(first_equal_by(hash, texts, {.num_threads = threads, .progress = {}}) ==
                  expected);
    }
}

TEST(texts_are_equal_whatever_their_coding) {
    const std::vector<std::uint8_t> latin1 = {0x41, 0xE9};
    const std::vector<std::uint16_t> ucs2 = {0x41, 0xE9};
    const std::vector<std::uint32_t> ucs4 = {0x41, 0xE9};
    const std::vector<std::uint32_t> other = {0x41, 0xE9, 0x1F600};
    const std::vector<Text> texts = {
        {other.data(), 3, Coding::ucs4},
        {ucs4.data(), 2, Coding::ucs4},
        {latin1.data(), 2, Coding::latin1},
        utf8("A\xC3\xA9"),
        {ucs2.data(), 2, Coding::ucs2},
        utf8("A\xC3\xA9\xF0\x9F\x98\x80"),
        {ucs2.data(), 0, Coding::ucs2},
        utf8(""),
        {},
    };
    CHECK(first_equal(texts, {}) == (Places{0, 1, 1, 1, 1, 0, 6, 6, -1}));
}

TEST(no_texts_at_all) {
    CHECK(first_equal({}, {}).empty());
    const std::vector<Text> none(3);
    CHECK(first_equal(none, {}) == (Places{-1, -1, -1}));
}
