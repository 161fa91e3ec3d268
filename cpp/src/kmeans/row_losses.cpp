// SPDX-License-Identifier: Apache-2.0
#include "kmeans/row_losses.hpp"

#include <algorithm>
#include <limits>
#include <numeric>

#include "kernels/dispatch.hpp"

namespace nearmiss {

PointCorpus::PointCorpus(const Points& points) : points_(points), kernel_(kernels::active()) {
    packed_.rows = points.rows();
    packed_.metric = points.metric();
    packed_.root_norms = AlignedBuffer<double>::borrow(points.root_norms());
}

RowLosses::RowLosses(const PointCorpus& corpus)
    : corpus_(corpus),
      scorer_(corpus.packed(), corpus.kernel()),
      elements_(corpus.points().dim()) {}

void RowLosses::aim_at(std::size_t row) {
    const MatrixView rows = corpus_.points().rows();
    corpus_.packed().typed(corpus_.kernel()).to_float(rows.row(row), rows.cols, elements_.data());
    target_ = {elements_.data(), corpus_.points().root_norms()[row]};
}

void RowLosses::aim_at(const float* vector, double root_norm) { target_ = {vector, root_norm}; }

double RowLosses::loss(std::size_t row) {
    return corpus_.points().loss(scorer_.score(target_, static_cast<std::uint32_t>(row)));
}

void RowLosses::losses(std::size_t begin, std::size_t end, double* out) {
    rows_.resize(end - begin);
    scores_.resize(end - begin);
    std::iota(rows_.begin(), rows_.end(), static_cast<std::uint32_t>(begin));
    scorer_.score(target_, rows_, scores_.data());
    for (std::size_t i = 0; i < scores_.size(); ++i) out[i] = corpus_.points().loss(scores_[i]);
}

double RowLosses::least_loss(std::span<const std::uint32_t> others, double enough) {
    constexpr std::size_t kAtOnce = 32;
    double least = std::numeric_limits<double>::infinity();
    scores_.resize(kAtOnce);
    for (std::size_t begin = 0; begin < others.size() && least > enough; begin += kAtOnce) {
        const auto some = others.subspan(begin, std::min(kAtOnce, others.size() - begin));
        scorer_.score(target_, some, scores_.data());
        const float best = *std::max_element(
            scores_.data(), scores_.data() + static_cast<std::ptrdiff_t>(some.size()));
        least = std::min(least, corpus_.points().loss(best));
    }
    return least;
}

}  // namespace nearmiss
